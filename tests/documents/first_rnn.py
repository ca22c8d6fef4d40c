# The notebook "RNN, LSTM, GRU, Bidirectional" as it stands, cell by cell; only the import lines are changed.
# %% data
import numpy as np
x_train = np.array([[1, 2, 3, 4, 5], [2, 3, 4, 5, 6], [3, 4, 5, 6, 7]])
y_train = np.array([[6], [7], [8]])

print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)
# %% x
x_train
# %% y
y_train
# %% reshape
x_train = x_train.reshape(x_train.shape[0], x_train.shape[1], 1)
# %% reshaped
x_train
# %% shapes
print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)
# %% simple_rnn model
from fastrnn.models import Sequential
from fastrnn.layers import Dense, SimpleRNN, LSTM
model = Sequential()

model.add(SimpleRNN(7, input_shape=(5, 1), activation='relu'))
model.add(Dense(4))
model.add(Dense(1))

model.summary()
# %% simple_rnn fit
model.compile(optimizer='adam', loss='mse', metrics=['mse'])
model.fit(x_train, y_train, epochs=100, batch_size=1)
# %% predict data
x_predict = np.array([[4, 5, 6, 7, 8]])
print(x_predict.shape)
x_predict = x_predict.reshape(x_predict.shape[0], x_predict.shape[1], -1)
print("x_predict reshape : ", x_predict.shape)
# %% simple_rnn predict
y_predict = model.predict(x_predict)
print("예측값 : ", y_predict)
# %% lstm model
# 1. 데이터 준비
import numpy as np
x_train = np.array([[1, 2, 3, 4, 5], [2, 3, 4, 5, 6], [3, 4, 5, 6, 7]])
y_train = np.array([[6], [7], [8]])

print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)

# reshape
x_train = x_train.reshape(x_train.shape[0], x_train.shape[1], 1)

print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)

# 2. 모델구성
from fastrnn.models import Sequential
from fastrnn.layers import Dense, SimpleRNN, LSTM
model = Sequential()

model.add(LSTM(7, input_shape=(5, 1), activation='relu'))
model.add(Dense(4))
model.add(Dense(1))

model.summary()
# %% lstm fit
# 3. 모델
model.compile(optimizer='adam', loss='mse', metrics=['mse'])
model.fit(x_train, y_train, epochs=100, batch_size=1)

# 4. 예측
x_predict = np.array([[4, 5, 6, 7, 8]])
print(x_predict.shape)
x_predict = x_predict.reshape(x_predict.shape[0], x_predict.shape[1], -1)
print("x_predict reshape : ", x_predict.shape)

y_predict = model.predict(x_predict)
print("예측값 : ", y_predict)
# %% gru model
# 1. 데이터 준비
import numpy as np
x_train = np.array([[1, 2, 3, 4, 5], [2, 3, 4, 5, 6], [3, 4, 5, 6, 7]])
y_train = np.array([[6], [7], [8]])

print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)

# reshape
x_train = x_train.reshape(x_train.shape[0], x_train.shape[1], 1)

print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)

# 2. 모델구성
from fastrnn.models import Sequential
from fastrnn.layers import Dense, SimpleRNN, LSTM, GRU
model = Sequential()

model.add(GRU(7, input_shape=(5, 1), activation='relu'))
model.add(Dense(4))
model.add(Dense(1))

model.summary()
# %% gru fit
# 3. 모델
model.compile(optimizer='adam', loss='mse', metrics=['mse'])
model.fit(x_train, y_train, epochs=100, batch_size=1)

# 4. 예측
x_predict = np.array([[4, 5, 6, 7, 8]])
print(x_predict.shape)
x_predict = x_predict.reshape(x_predict.shape[0], x_predict.shape[1], -1)
print("x_predict reshape : ", x_predict.shape)

y_predict = model.predict(x_predict)
print("예측값 : ", y_predict)
# %% bidirectional model
# 1. 데이터 준비
import numpy as np
x_train = np.array([[1, 2, 3, 4, 5], [2, 3, 4, 5, 6], [3, 4, 5, 6, 7]])
y_train = np.array([[6], [7], [8]])

print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)

# reshape
x_train = x_train.reshape(x_train.shape[0], x_train.shape[1], 1)

print('x_train.shape : ', x_train.shape)
print('y_train.shape : ', y_train.shape)

# 2. 모델구성
from fastrnn.models import Sequential
from fastrnn.layers import Dense, SimpleRNN, LSTM, Bidirectional
model = Sequential()

model.add(Bidirectional(LSTM(7, activation='relu'), input_shape=(5, 1)))
model.add(Dense(4))
model.add(Dense(1))

model.summary()
# %% bidirectional fit
# 3. 모델
model.compile(optimizer='adam', loss='mse', metrics=['mse'])
model.fit(x_train, y_train, epochs=100, batch_size=1)

# 4. 예측
x_predict = np.array([[4, 5, 6, 7, 8]])
print(x_predict.shape)
x_predict = x_predict.reshape(x_predict.shape[0], x_predict.shape[1], -1)
print("x_predict reshape : ", x_predict.shape)

y_predict = model.predict(x_predict)
print("예측값 : ", y_predict)
# %% stacked without sequences: raises
# 2. 모델구성
from fastrnn.models import Sequential
from fastrnn.layers import Dense, SimpleRNN, LSTM
model = Sequential()

model.add(LSTM(7, input_shape=(5, 1), activation='relu'))
model.add(LSTM(8))
model.add(Dense(4))
model.add(Dense(1))

model.summary()
# %% stacked model
# 2. 모델구성
from fastrnn.models import Sequential
from fastrnn.layers import Dense, SimpleRNN, LSTM
model = Sequential()

model.add(LSTM(7, input_shape=(5, 1), activation='relu', return_sequences=True))
model.add(LSTM(8))
model.add(Dense(4))
model.add(Dense(1))

model.summary()
# %% stacked fit
# 3. 모델
model.compile(optimizer='adam', loss='mse', metrics=['mse'])
model.fit(x_train, y_train, epochs=100, batch_size=1)

# 4. 예측
x_predict = np.array([[4, 5, 6, 7, 8]])
print(x_predict.shape)
x_predict = x_predict.reshape(x_predict.shape[0], x_predict.shape[1], -1)
print("x_predict reshape : ", x_predict.shape)

y_predict = model.predict(x_predict)
print("예측값 : ", y_predict)
