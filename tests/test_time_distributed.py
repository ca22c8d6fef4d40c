"""TimeDistributed around every native operation: values against the layer on each step, gradients against finite differences, in batches
smaller than the program's."""

import numpy as np
import pytest

from fastrnn import Input, Sequential
from fastrnn import layers as L
from fastrnn.optimizers import SGD

RATE = 1024.0
STEPS = 3

CASES = {
    "dense": (lambda: L.Dense(3, activation="gelu"), (5,)),
    "conv": (lambda: L.Conv1D(4, 2, padding="same", activation="mish"), (5, 2)),
    "causal": (lambda: L.Conv1D(3, 2, padding="causal", dilation_rate=2), (5, 2)),
    "groups": (lambda: L.Conv2D(4, 2, groups=2, activation="tanh"), (4, 3, 2)),
    "max": (lambda: L.MaxPooling1D(2, padding="same"), (5, 2)),
    "max of windows that overlap": (lambda: L.MaxPooling2D(2, strides=1), (3, 4, 2)),
    "average": (lambda: L.AveragePooling1D(3, strides=2, padding="same"), (5, 2)),
    "global max": (lambda: L.GlobalMaxPooling1D(), (5, 2)),
    "global average": (lambda: L.GlobalAveragePooling1D(keepdims=True), (3, 70)),
    "padding": (lambda: L.ZeroPadding2D(((1, 0), (2, 1))), (3, 2, 2)),
    "cropping": (lambda: L.Cropping1D((1, 1)), (4, 2)),
    "up-sampling": (lambda: L.UpSampling1D(3), (2, 3)),
    "permute": (lambda: L.Permute((3, 1, 2)), (2, 3, 4)),
    "repeat": (lambda: L.RepeatVector(3), (4,)),
    "layer": (lambda: L.LayerNormalization(), (3, 5)),
    "layer over time": (lambda: L.LayerNormalization(axis=1), (3, 5)),
    "groups of channels": (lambda: L.GroupNormalization(2, axis=1), (4, 3)),
    "rms": (lambda: L.RMSNormalization(), (3, 5)),
    "unit": (lambda: L.UnitNormalization(axis=1), (3, 5)),
    "softmax": (lambda: L.Softmax(axis=1), (3, 5)),
    "affine": (lambda: L.Rescaling(2.0, offset=1.0), (3, 5)),
    "relu": (lambda: L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2), (3, 5)),
    "elu": (lambda: L.ELU(0.5), (3, 5)),
    "prelu": (lambda: L.PReLU(shared_axes=[1]), (3, 5)),
    "activation": (lambda: L.Activation("softmax"), (3, 5)),
    "rnn": (lambda: L.LSTM(3, return_sequences=True), (4, 2)),
    "mask": (lambda: Sequential([L.Masking(), L.GRU(3)]), (4, 2)),
    "merge": (lambda: L.Bidirectional(L.SimpleRNN(2), merge_mode="sum"), (4, 2)),
    "twice": (lambda: L.TimeDistributed(L.LayerNormalization(axis=1)), (4, 2, 3)),
    "function": (lambda: L.Lambda(lambda x: x**2, gradient=lambda x, y, dy: 2 * x * dy), (4, 2)),
    "several": (lambda: Sequential([L.Conv1D(3, 2), L.MaxPooling1D(2), L.Flatten(), L.Dense(2)]), (6, 2)),
}


def inputs(rng, name, shape):
    x = rng.normal(size=(5, STEPS, *shape))
    if name == "mask":
        x[1, :, 2] = 0
    return x


def randomise(rng, model):
    model.set_weights([rng.normal(size=w.shape) * 0.5 + 0.1 for w in model.get_weights()])


@pytest.mark.parametrize("name", CASES)
def test_values(K, name, rng, float64):
    make, shape = CASES[name]
    x, layer = inputs(rng, name, shape), make()
    model = Sequential([Input((STEPS, *shape)), L.TimeDistributed(layer)])
    randomise(rng, model)
    expected = np.stack([layer(x[:, t]) for t in range(STEPS)], axis=1)
    np.testing.assert_allclose(model.predict(x, batch_size=2, verbose=0), expected, rtol=1e-10, atol=1e-12)  # the last batch is smaller
    np.testing.assert_allclose(model.predict(x[:1], verbose=0), expected[:1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_gradients(K, name, rng, float64):
    """The input is that of an Embedding with a row for each step, so that its gradient is one of a weight."""
    make, shape = CASES[name]
    ids = np.arange(3 * STEPS).reshape(3, STEPS)
    below = [Input((STEPS,)), L.Embedding(ids.size, int(np.prod(shape))), L.Reshape((STEPS, *shape))]
    model = Sequential([*below, L.TimeDistributed(make())])
    randomise(rng, model)
    before = [inputs(rng, name, shape)[:3].reshape(ids.size, -1), *model.get_weights()[1:]]
    model.set_weights(before)
    model.compile(SGD(RATE), "mse")
    y = rng.normal(size=model.predict(ids, verbose=0).shape)
    for count in (3, 1):
        model.train_on_batch(ids[:count], y[:count])
        gradients = [(a - b) / RATE for a, b in zip(before, model.get_weights())]
        for k, gradient in enumerate(gradients):
            for _ in range(4):
                i = tuple(rng.integers(n) for n in gradient.shape)
                if name == "mask" and before[k][i] == 0:
                    continue
                losses = []
                for step in (1e-5, -1e-5):
                    moved = [w.copy() for w in before]
                    moved[k][i] += step
                    model.set_weights(moved)
                    losses.append(model.evaluate(ids[:count], y[:count], verbose=0))
                assert gradient[i] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5, abs=1e-7)
        model.set_weights(before)
