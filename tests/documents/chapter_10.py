# The programs of "Chapter 10. Recurrent neural networks" as they stand; only the import lines are changed, and the
# typing errors that stop Python (`import numpyas np`, `modelsimport`, `layersimport`, `pyplotas`) are put right.
# Left out: the five lines of pseudo-code of the forward pass (`Wxh`, `f` are not defined there).
# %% stock samples
# 라이브러리 포함
import FinanceDataReader as fdr
import numpy as np
import matplotlib.pyplot as plt

# 삼성전자 코드 = '005930', 2020년 데이터부터 다운로드
samsung = fdr.DataReader('005930', '2020')

# 시작가격
seq_data = (samsung[['Open']]).to_numpy() # 선형 그래프
plt.plot(seq_data, color = 'blue')
plt.title("Samsung Electronics Stock Price")
plt.xlabel("days")
plt.xlabel("")
plt.show()

seq_data = (samsung[['Open']]).to_numpy()
def make_sample(data, window):
  train = []     # 공백 리스트 생성
  target = []
  for i in range(len(data) - window):
    # 데이터의 길이만큼 반복(0 ~ len(data) - window)
    train.append(data[i : i + window])
    # i부터 (i+window-1) 까지를 저장
    target.append(data[i + window])
    # (i+window) 번째 요소는 정답
  return np.array(train), np.array(target)
  # 훈련 샘플과 정답 레이블 반환

X, y = make_sample(seq_data, 7)
# 윈도우 크기 = 7

print(X.shape, y.shape)
# 넘파이 배열의 형상 출력
print(X[0], y[0])
# 첫 번째 샘플 출력
# %% example 1
X = []
Y = []
for i in range(6):
  lst = list(range(i,i + 4))
  X.append(list(map(lambda c: [c / 10], lst)))
  Y.append((i + 4)/10)
X = np.array(X)
Y = np.array(Y)
print(X)
print(Y)
# %% imports of example 2 (given further down in the document)
from fastrnn.models import Sequential
from fastrnn.layers import SimpleRNN
from fastrnn.layers import Dense
# %% example 2
model = Sequential()
model.add(SimpleRNN(50, return_sequences=False, input_shape=(4,1)))
model.add(Dense(1))
model.summary()
model.compile(loss = 'mse',
              optimizer = 'adam',
              metrics = ['accuracy'])
model.fit(X,Y,epochs=200, verbose=2)
print(model.predict(X))

X_test = np.array([[[0.8],[0.9],[1.0],[1.1]]])
print(model.predict(X_test))
# %% import tensorflow
import fastrnn as tf
# %% layer call
inputs = np.random.random([32, 10, 8]).astype(np.float32)
# 32개 샘플 / 각 샘플 당 10개의 시계열 데이터 / 하나의 데이터는 8개의 실수 형태
simple_rnn = tf.keras.layers.SimpleRNN(4)   # 4개의 셀
output = simple_rnn(inputs)                 # 최종 은닉 상태로 [32, 4] 형상
# %% layer call with sequences and state
simple_rnn = tf.keras.layers.SimpleRNN(4,
                                       return_sequences=True,
                                       return_state=True)
whole_sequence_output, final_state = simple_rnn(inputs)

# whole_sequence_output의 형상 : [32, 10, 4]
# final_state의 형상 : [32, 4]
# %% sine 1
import numpy as np
from fastrnn.models import Sequential
from fastrnn.layers import SimpleRNN
from fastrnn.layers import Dense
import matplotlib.pyplot as plt

def make_sample(data, window):
  train = [] # 공백 리스트
  target = []
  for i in range(len(data)-window):
    # 데이터의 길이만큼 반복
    train.append(data[i:i+window])
    # i부터 (i+window-1) 까지를 저장

    target.append(data[i+window])
    # (i+window) 번째 요소는 정답

  return np.array(train), np.array(target)
  # 파이썬 리스트를 넘파이로 변환

seq_data= []
for i in np.arange(0, 1000):
  seq_data+= [[np.sin( np.pi* i* 0.01 )]]
X, y = make_sample(seq_data, 10)
# 윈도우 크기=10

model = Sequential()
model.add(SimpleRNN(10, activation='tanh', input_shape=(10,1)))
model.add(Dense(1, activation='tanh'))
model.compile(optimizer='adam', loss='mse')

history = model.fit(X, y, epochs=100, verbose=1)
plt.plot(history.history['loss'], label="loss")
plt.show()
# %% sine 2
seq_data = []
for i in np.arange(0, 1000):
  # 테스트 샘플 생성
  seq_data += [[np.cos(np.pi * i * 0.01)]]
X, y = make_sample(seq_data, 10)
# 윈도우 크기 = 10

y_pred = model.predict(X, verbose=0)
# 테스트 예측값
plt.plot(np.pi * np.arange(0, 990)*0.01, y_pred )
plt.plot(np.pi * np.arange(0, 990)*0.01, y)
plt.show()
# %% lstm call
inputs = tf.random.normal([32, 10, 8])
lstm = tf.keras.layers.LSTM(4)
# 4개의 셀

output = lstm(inputs)

print(output.shape)
print(output)
# %% stock forecast
import FinanceDataReader as fdr
import numpy as np
import matplotlib.pyplot as plt
import pandas as pd

samsung = fdr.DataReader('005930', '2016')
print(samsung)

openValues = samsung[['Open']]

from sklearn.preprocessing import MinMaxScaler
scaler = MinMaxScaler(feature_range = (0, 1))
scaled = scaler.fit_transform(openValues)

TEST_SIZE = 200
train_data = scaled[:-TEST_SIZE]
test_data = scaled[-TEST_SIZE:]

def make_sample(data, window):
    train = []
    target = []
    for i in range(len(data)-window):
        train.append(data[i:i+window])
        target.append(data[i+window])
    return np.array(train), np.array(target)

X_train, y_train = make_sample(train_data, 30)

from fastrnn.models import Sequential
from fastrnn.layers import Dense
from fastrnn.layers import LSTM

model = Sequential()
model.add(LSTM(16,
          input_shape = (X_train.shape[1], 1),
          activation='tanh',
          return_sequences=False) )
model.add(Dense(1))

model.compile(optimizer = 'adam', loss = 'mean_squared_error')
model.fit(X_train, y_train, epochs = 100, batch_size = 16)

X_test, y_test = make_sample(test_data, 30)
pred = model.predict(X_test)

import matplotlib.pyplot as plt

plt.figure(figsize=(12, 9))
plt.plot(y_test, label='stock price')
plt.plot(pred, label='predicted stock price')
plt.legend()
plt.show()
