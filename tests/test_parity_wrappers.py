"""TimeDistributed, models inside models and penalties on outputs, against real Keras, from the same weights."""

import numpy as np
import pytest
from parity import generator

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity


def both(K, make, rng):
    """The model in both libraries with the same weights."""
    theirs, ours = make(keras), make(K)
    theirs.set_weights([w + rng.normal(0, 0.1, w.shape).astype(w.dtype) for w in theirs.get_weights()])
    ours.set_weights(theirs.get_weights())
    assert ours.output_shape == theirs.output_shape
    return ours, theirs


def trained_alike(ours, theirs, x, y, **fit):
    histories = []
    for model in (ours, theirs):
        model.compile("sgd", "mse")
        histories.append(model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0, **fit).history["loss"])
    np.testing.assert_allclose(*histories, rtol=2e-4)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(a, b, atol=2e-5)
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), atol=2e-5)


INNER = {
    "dense": lambda L: L.Dense(3, "tanh"),
    "conv": lambda L: L.Conv2D(2, 2, activation="relu"),
    "flatten": lambda L: L.Flatten(),
    "reshape": lambda L: L.Reshape((6, 4)),
    "time_distributed": lambda L: L.TimeDistributed(L.Dense(2)),
}


@pytest.mark.parametrize("name", INNER)
def test_time_distributed(K, name):
    rng = generator(1, len(name))

    def make(library):
        L = library.layers
        tail = [L.TimeDistributed(L.Flatten())] if name != "flatten" else []
        return library.Sequential([library.Input((3, 4, 3, 2)), L.TimeDistributed(INNER[name](L)), *tail, L.GRU(3), L.Dense(1)])

    ours, theirs = both(K, make, rng)
    trained_alike(ours, theirs, rng.normal(size=(12, 3, 4, 3, 2)).astype("float32"), rng.normal(size=(12, 1)))


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "SimpleRNN"])
def test_time_distributed_recurrent(K, cell):
    rng = generator(2, len(cell))

    def make(library):
        L = library.layers
        inner = L.Bidirectional(getattr(L, cell)(3)) if cell == "GRU" else getattr(L, cell)(3)
        return library.Sequential([library.Input((3, 4, 2)), L.TimeDistributed(inner), L.LSTM(2)])

    ours, theirs = both(K, make, rng)
    trained_alike(ours, theirs, rng.normal(size=(12, 3, 4, 2)).astype("float32"), rng.normal(size=(12, 2)))


def test_time_distributed_passes_the_mask_on(K):
    rng = generator(3)

    def make(library):
        L = library.layers
        layers = [L.Embedding(9, 4, mask_zero=True), L.TimeDistributed(L.Dense(3)), L.LSTM(2)]
        return library.Sequential([library.Input((5,)), *layers])

    x = rng.integers(0, 9, size=(12, 5))
    x[:, 0] = 1
    trained_alike(*both(K, make, rng), x, rng.normal(size=(12, 2)))


def test_models_inside_models(K):
    rng = generator(4)

    def make(library):
        L = library.layers
        deep = library.Sequential([L.Dense(2)])
        inner = library.Sequential([library.Input((5, 3)), L.LSTM(4, return_sequences=True), deep])
        return library.Sequential([library.Input((5, 3)), inner, L.GRU(2)])

    ours, theirs = both(K, make, rng)
    assert len(ours.layers) == len(theirs.layers) and ours.count_params() == theirs.count_params()
    trained_alike(ours, theirs, rng.normal(size=(12, 5, 3)).astype("float32"), rng.normal(size=(12, 2)))


ACTIVE = {
    "dense": lambda L: L.Dense(3, activity_regularizer="l2"),
    "recurrent": lambda L: L.LSTM(3, activity_regularizer="l1", return_sequences=True),
    "bidirectional": lambda L: L.Bidirectional(L.GRU(3, activity_regularizer="l1", return_sequences=True)),
    "layer": lambda L: L.ActivityRegularization(l1=0.02, l2=0.03),
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ACTIVE)
def test_activity_regularizers(K, name, last):
    rng = generator(5, len(name), last)

    def make(library):
        L = library.layers
        return library.Sequential([library.Input((4, 2)), L.SimpleRNN(2, return_sequences=True), ACTIVE[name](L), *([] if last else [L.GRU(2)])])

    ours, theirs = both(K, make, rng)
    x = rng.normal(size=(13, 4, 2)).astype("float32")
    y = rng.normal(size=(13, *ours.output_shape[1:]))
    trained_alike(ours, theirs, x, y, validation_split=0.2)
    assert ours.evaluate(x, y, verbose=0) == pytest.approx(theirs.evaluate(x, y, verbose=0), rel=1e-4)


def test_lambda(K):
    rng = generator(6)

    def make(library):
        options = {"gradient": "elementwise"} if library is K else {}
        L = library.layers
        return library.Sequential([library.Input((4, 2)), L.LSTM(3), L.Lambda(lambda x: x * x + x, **options), L.Dense(1)])

    trained_alike(*both(K, make, rng), rng.normal(size=(13, 4, 2)).astype("float32"), rng.normal(size=(13, 1)))
