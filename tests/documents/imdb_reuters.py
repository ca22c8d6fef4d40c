# The notebook "Recurrent networks: IMDB and Reuters" as it stands; only the import lines are changed, and the typing
# errors that stop Python (`modle.add`, `Dense LSTM`, `Enbedding`, `metrics['acc']`) are put right.  The misspelt
# loss 'binarycrossentropy' stays in the cells that compile with it: fit fails; a cell after each puts it right.
# %% numpy
import numpy as np
# %% by hand
timesteps = 100
input_features = 32
output_features = 64

inputs = np.random.random((timesteps, input_features))

state_t = np.zeros((output_features, ))

W = np.random.random((output_features, input_features))
U = np.random.random((output_features, output_features))
b = np.random.random((output_features))

succesive_outputs = []

for input_t in inputs:
    output_t = np.tanh(np.dot(W, input_t) + np.dot(U, state_t) + b)
    succesive_outputs.append(output_t)
    state_t = output_t

final_output_sequence = np.stack(succesive_outputs, axis = 0 )
# %% imports
from fastrnn.layers import SimpleRNN, Embedding
from fastrnn.models import Sequential
# %% embedding
model = Sequential()
model.add(Embedding(10000, 32))
# model.add(SimpleRNN(32))
model.summary()
# %% two layers
model = Sequential()
model.add(Embedding(10000, 32))
model.add(SimpleRNN(32, return_sequences = True))
model.add(SimpleRNN(16))
model.summary()
# %% four layers
model = Sequential()
model.add(Embedding(10000, 32))
model.add(SimpleRNN(32, return_sequences = True))
model.add(SimpleRNN(32, return_sequences = True))
model.add(SimpleRNN(32, return_sequences = True))
model.add(SimpleRNN(32))

model.summary()
# %% import imdb
from fastrnn.datasets import imdb
from fastrnn.preprocessing import sequence
# %% load imdb
num_words = 10000
max_len = 500
batch_size = 32

(input_train, y_train), (input_test, y_test) = imdb.load_data(num_words = num_words)
print(len(input_train))
print(len(input_test))

input_train = sequence.pad_sequences(input_train, maxlen = max_len)
input_test = sequence.pad_sequences(input_test, maxlen = max_len)
print(input_train.shape)
print(input_test.shape)
# %% import dense
from fastrnn.layers import Dense
# %% simple_rnn model
model = Sequential()

model.add(Embedding(num_words, 32))
model.add(SimpleRNN(32))
model.add(Dense(1, activation = 'sigmoid'))

model.compile(optimizer = 'rmsprop',
             loss = 'binarycrossentropy',
              metrics = ['acc'])

model.summary()
# %% simple_rnn fit: raises
history = model.fit(input_train, y_train,
                   epochs = 10,
                   batch_size = 128,
                   validation_split = 0.2)
# %% simple_rnn the loss that was meant
model.compile(optimizer = 'rmsprop',
             loss = 'binary_crossentropy',
              metrics = ['acc'])
# %% simple_rnn fit
history = model.fit(input_train, y_train,
                   epochs = 10,
                   batch_size = 128,
                   validation_split = 0.2)
# %% plot style
import matplotlib.pyplot as plt
plt.style.use('seaborn-white')
# %% simple_rnn plot
loss = history.history['loss']
val_loss = history.history['val_loss']
acc = history.history['acc']
val_acc = history.history['val_acc']

epochs = range(1, len(loss) + 1)

plt.plot(epochs, loss, 'b--', label = 'training loss')
plt.plot(epochs, val_loss, 'r:', label = 'validation loss')
plt.grid()
plt.legend()

plt.figure()
plt.plot(epochs, acc, 'b--', label = 'training accuracy')
plt.plot(epochs, val_acc, 'r:', label = 'validation accuracy')
plt.grid()
plt.legend()

plt.show()
# %% simple_rnn evaluate
model.evaluate(input_test, y_test)
# %% import again
from fastrnn.datasets import imdb
from fastrnn.preprocessing.sequence import pad_sequences
# %% load imdb again
num_words = 10000
max_len = 500

(x_train, y_train), (x_test, y_test) = imdb.load_data(num_words = num_words)
print(len(x_train))
print(len(x_test))

pad_x_train = sequence.pad_sequences(x_train, maxlen = max_len)
pad_x_test = sequence.pad_sequences(x_test, maxlen = max_len)
print(pad_x_train.shape)
print(pad_x_test.shape)
# %% import lstm
from fastrnn.models import Sequential
from fastrnn.layers import Dense, LSTM, GRU, Embedding
# %% lstm model
model = Sequential()

model.add(Embedding(num_words, 32))
model.add(LSTM(32))
model.add(Dense(1, activation = 'sigmoid'))

model.compile(optimizer = 'rmsprop',
             loss = 'binarycrossentropy',
              metrics = ['acc'])

model.summary()
# %% lstm fit: raises
history = model.fit(input_train, y_train,
                   epochs = 10,
                   batch_size = 128,
                   validation_split = 0.2)
# %% lstm the loss that was meant
model.compile(optimizer = 'rmsprop',
             loss = 'binary_crossentropy',
              metrics = ['acc'])
# %% lstm fit
history = model.fit(input_train, y_train,
                   epochs = 10,
                   batch_size = 128,
                   validation_split = 0.2)
# %% lstm plot
loss = history.history['loss']
val_loss = history.history['val_loss']
acc = history.history['acc']
val_acc = history.history['val_acc']

epochs = range(1, len(loss) + 1)

plt.plot(epochs, loss, 'b--', label = 'training loss')
plt.plot(epochs, val_loss, 'r:', label = 'validation loss')
plt.grid()
plt.legend()

plt.figure()
plt.plot(epochs, acc, 'b--', label = 'training accuracy')
plt.plot(epochs, val_acc, 'r:', label = 'validation accuracy')
plt.grid()
plt.legend()

plt.show()
# %% lstm evaluate
model.evaluate(pad_x_test, y_test)
# %% import reuters
from fastrnn.datasets import reuters
# %% load reuters
num_words = 10000

(x_train, y_train), (x_test, y_test) = reuters.load_data(num_words = num_words)
print(x_train.shape)
print(y_train.shape)

print(x_test.shape)
print(y_test.shape)
# %% import pad_sequences
from fastrnn.preprocessing.sequence import pad_sequences
# %% length
max_len = 300
# %% pad
pad_x_train = pad_sequences(x_train, maxlen = max_len)
pad_x_test = pad_sequences(x_test, maxlen = max_len)

print(len(pad_x_train[0]))
# %% one sample
pad_x_train[5]
# %% import gru
from fastrnn.models import Sequential
from fastrnn.layers import Dense, LSTM, GRU, Embedding
# %% gru model
model = Sequential()
model.add(Embedding(input_dim = num_words, output_dim = 256))
model.add(GRU(256, return_sequences = True))
model.add(GRU(128))
model.add(Dense(46, activation = 'softmax'))

model.compile(optimizer = 'adam',
             loss = 'sparse_categorical_crossentropy',
             metrics = ['acc'])
model.summary()
# %% gru fit
history = model.fit(pad_x_train, y_train,
                   epochs = 20,
                   batch_size = 32,
                   validation_split = 0.2)
# %% gru plot
loss = history.history['loss']
val_loss = history.history['val_loss']
acc = history.history['acc']
val_acc = history.history['val_acc']

epochs = range(1, len(loss) + 1)

plt.plot(epochs, loss, 'b--', label = 'training loss')
plt.plot(epochs, val_loss, 'r:', label = 'validation loss')
plt.grid()
plt.legend()

plt.figure()
plt.plot(epochs, acc, 'b--', label = 'training accuracy')
plt.plot(epochs, val_acc, 'r:', label = 'validation accuracy')
plt.grid()
plt.legend()

plt.show()
# %% gru evaluate
model.evaluate(pad_x_test, y_test)
