"""Models that share layers, and layers of a model that share weights: they train the same ones, and optimizers keep their state when the weights move."""

import numpy as np
import pytest


def make(K, shared):
    model = K.Sequential([shared, K.layers.Dense(1)])
    model.compile(optimizer=K.optimizers.Adam(learning_rate=0.01), loss="mse")
    return model


def test_optimizer_state_survives_another_model_taking_the_weights(K, rng):
    x, y = rng.normal(size=(8, 4, 3)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    results = []
    for disturb in (False, True):
        K.utils.set_random_seed(1)
        shared = K.layers.LSTM(5)
        model = make(K, shared)
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
        other = make(K, shared) if disturb else None
        if disturb:
            other.predict(x, verbose=0)  # the weights of the shared layer move to this model's vector
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
        results.append(model.get_weights())
        if disturb:
            np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    for undisturbed, disturbed in zip(*results):
        np.testing.assert_array_equal(undisturbed, disturbed)


def only_once():
    """A `make` whose layer is always the first that was asked for."""
    made = []
    return lambda new: made[0] if made else (made.append(new()) or made[0])


def twice_dense(K, make):
    first = make(lambda: K.layers.Dense(4))
    return [first, K.layers.TimeDistributed(make(lambda: K.layers.Dense(4)))]


def twice_in_a_model(K, make):
    return [make(lambda: K.layers.LSTM(4, return_sequences=True)), K.Sequential([make(lambda: K.layers.LSTM(4, return_sequences=True))])]


def twice_a_cell(K, make):
    return [K.layers.RNN(make(lambda: K.layers.GRUCell(4)), return_sequences=True), K.layers.RNN(make(lambda: K.layers.GRUCell(4)))]


def twice_in_a_stack(K, make):
    return [K.layers.RNN([make(lambda: K.layers.SimpleRNNCell(4)), make(lambda: K.layers.SimpleRNNCell(4))])]


TWICE = [twice_dense, twice_in_a_model, twice_a_cell, twice_in_a_stack]


@pytest.mark.parametrize("layers", TWICE)
def test_weights_used_twice_are_there_once_and_get_both_gradients(K, rng, float64, layers):
    """One step of plain gradient descent moves shared weights by the sum of what it moves two layers with the same weights."""
    x = rng.normal(size=(2, 5, 4))

    models = [K.Sequential([K.Input((5, 4)), *layers(K, make)]) for make in (only_once(), lambda new: new())]
    once, apart = models
    values = [rng.normal(size=np.shape(w)) / 2 for w in once.get_weights()]
    y = rng.normal(size=once.compute_output_shape((2, 5, 4)))
    once.set_weights(values)
    apart.set_weights(values + values)
    moved = []
    for model in models:
        model.compile(optimizer=K.optimizers.SGD(0.1), loss="mse")
        model.train_on_batch(x, y)
        moved.append([after - before for after, before in zip(model.get_weights(), values + values)])
    assert len(once.weights) == len(values) and once.count_params() * 2 == apart.count_params()
    for both, first, second in zip(moved[0], moved[1], moved[1][len(values):]):
        np.testing.assert_allclose(both, first + second, rtol=1e-9, atol=1e-12)
        assert np.abs(first).max() > 1e-4 < np.abs(second).max()


@pytest.mark.fastrnn_only  # Keras writes files of shared cells that it cannot read
@pytest.mark.parametrize("ending", [".keras", ".h5", ".npz"])
@pytest.mark.parametrize("layers", TWICE)
def test_files_keep_what_is_shared(K, rng, tmp_path, layers, ending):
    """Training goes on with a model from a file as it does with the one that was written."""
    if ending != ".npz":
        pytest.importorskip("h5py")
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    model = K.Sequential([K.Input((5, 4)), *layers(K, only_once())])
    model.compile(optimizer="adam", loss="mse")
    y = np.zeros_like(model.predict_on_batch(x))
    model.train_on_batch(x, y)
    model.save(tmp_path / f"model{ending}")
    again = K.models.load_model(tmp_path / f"model{ending}")
    for each in (model, again):
        each.train_on_batch(x, y)
    assert len(again.weights) == len(model.weights)
    for read, written in zip(again.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(read, written)


@pytest.mark.fastrnn_only
def test_a_layer_in_python_adds_to_the_gradients_of_another(K, rng, float64):
    """Before the other adds its own, which would else be all that is there."""

    class Adds(K.layers.Layer):
        amount = 0.0

        def forward(self, x):
            return x

        def backward(self, x, y, dy):
            for v in self.of[0].weights:
                v.add_gradient(np.full(v.shape, self.amount))
            return dy

    x, y = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 3))
    gru, adds = K.layers.GRU(3, return_sequences=True), Adds()
    adds.of = (gru,)
    model = K.Sequential([K.Input((5, 4)), gru, adds])
    model.compile(optimizer=K.optimizers.SGD(0.1), loss="mse")
    before, moved = model.get_weights(), []
    for adds.amount in (0.0, 1.0):
        model.set_weights(before)
        model.train_on_batch(x, y)
        moved.append([w - b for w, b in zip(model.get_weights(), before)])
    for without, with_it in zip(*moved):
        np.testing.assert_allclose(with_it, without - 0.1, rtol=1e-9)
        assert np.abs(without).max() > 1e-6


@pytest.mark.fastrnn_only  # Keras writes a file that it cannot read
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("ending", [".keras", ".h5", ".npz"])
def test_a_cell_of_a_layer_that_another_uses_is_told_of_when_it_is_saved(K, tmp_path, ending, first):
    if ending != ".npz":
        pytest.importorskip("h5py")
    lstm = K.layers.LSTM(4, return_sequences=True)
    layers = [lstm, K.layers.RNN(lstm.cell, return_sequences=True)]
    model = K.Sequential([K.Input((5, 4)), *(layers if first else layers[::-1])])
    with pytest.raises(ValueError, match="cell 'lstm_cell' of layer 'lstm"):
        model.save(tmp_path / f"model{ending}")
    assert not any(tmp_path.iterdir())
