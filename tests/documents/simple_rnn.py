# The notebook "A simple RNN" as it stands; only the import lines are changed.
# %% imports
import fastrnn as tf
import fastrnn as keras
# %% versions
print(tf.__version__)
print(keras.__version__)
# %% numpy
import numpy as np
# %% windows
for i in range(10):
    lst = list(range(i, i+5))
    print(lst)
# %% data
X = []
Y = []
for i in range(10):
    lst = list(range(i, i+5))
    X.append( [ [c/10] for c in lst] ) # 문제
    Y.append( (i+5)/10 ) #

X = np.array(X)
Y = np.array(Y)

print( X.shape, Y.shape ) # 10개의 샘플 (5,1), 다음 0.5
print( X[0], Y[0])
print()
print( X[1], Y[1])
print()
print(Y)
print(X)
# %% all data
# 전체 데이터 확인
for i in range(len(X)):
    print(X[i], Y[i])
print( X.shape, Y.shape )
# %% list constructor
model = tf.keras.Sequential([
    tf.keras.layers.SimpleRNN(units=10, return_sequences=False, input_shape=[5,1]),
    tf.keras.layers.Dense(1)
])
# %% imports of layers
from fastrnn.models import Sequential
from fastrnn.layers import Embedding, SimpleRNN
# %% return_sequences true
model = Sequential()
model.add(SimpleRNN(10, return_sequences=True, input_shape=[5,1]))
model.summary()
# %% return_sequences false
model = Sequential()
model.add(SimpleRNN(10, return_sequences=False, input_shape=[5,1]))
model.summary()
# %% compile
model.compile(optimizer='adam', loss='mse')
model.summary()
# %% fit
model.fit(X, Y, epochs=50, verbose=1)
# %% X
print(X.shape, X)
# %% predict
print(Y) # 실제값
pred = model.predict(X)
np.max(pred, axis=0)
