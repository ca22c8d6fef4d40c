"""RNN on cells, native, stacked and written in Python, against the layers that are known to be right."""

import copy
import pickle

import numpy as np
import pytest

from fastrnn import Input, Sequential
from fastrnn.layers import (
    GRU, LSTM, RNN, Bidirectional, Dense, Embedding, GRUCell, Layer, LSTMCell, SimpleRNN, SimpleRNNCell, StackedRNNCells
)  # fmt: skip

LAYERS = {"SimpleRNN": (SimpleRNN, SimpleRNNCell), "LSTM": (LSTM, LSTMCell), "GRU": (GRU, GRUCell)}
LOOPS = [{}, {"return_sequences": True}, {"go_backwards": True, "return_sequences": True}, {"go_backwards": True},
         {"zero_output_for_mask": True, "return_sequences": True}, {"zero_output_for_mask": True}, {"stateful": True}]  # fmt: skip


class OwnCell(Layer):
    """h' = tanh(x W + h U + b), as SimpleRNNCell has it."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, self.units), "orthogonal", "recurrent_kernel")
        self.bias = self.add_weight((self.units,), "zeros", "bias")

    def forward(self, x, states):
        h = np.tanh(x @ self.kernel.value + states[0] @ self.recurrent_kernel.value + self.bias.value)
        return h, [h]

    def backward(self, x, states, y, dy, dstates):
        da = (dy + dstates[0]) * (1 - y * y)
        self.kernel.add_gradient(x.T @ da)
        self.recurrent_kernel.add_gradient(states[0].T @ da)
        self.bias.add_gradient(da.sum(axis=0))
        return da @ self.kernel.value.T, [da @ self.recurrent_kernel.value.T]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def masked(*layers, batch=4):
    """A model whose first steps, and some others, are masked in some samples."""
    model = Sequential([Input(batch_shape=(batch, 6)), Embedding(7, 3, mask_zero=True), *layers])
    model.compile("sgd", "mse")
    return model


def alike(a, b, tolerance=1e-6):
    """Two models compute and learn the same."""
    rng = np.random.default_rng(3)
    b.set_weights(a.get_weights())
    x = rng.integers(0, 7, size=(12, 6))
    x[0] = 0
    y = rng.normal(size=(12, *a.output_shape[1:]))
    np.testing.assert_allclose(a.predict(x, batch_size=4, verbose=0), b.predict(x, batch_size=4, verbose=0), atol=tolerance)
    losses_of = [m.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"] for m in (a, b)]
    np.testing.assert_allclose(*losses_of, rtol=1e-5)
    for v, w, before in zip(a.weights, b.get_weights(), a.get_weights()):
        np.testing.assert_allclose(v.value, w, atol=tolerance, err_msg=v.path)
        assert before.shape == w.shape


@pytest.mark.parametrize("loop", LOOPS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_rnn_of_a_cell_is_the_layer(name, loop):
    layer, cell = LAYERS[name]
    alike(masked(RNN(cell(5), **loop), Dense(2)), masked(layer(5, **loop), Dense(2)), tolerance=0)


@pytest.mark.parametrize("loop", [loop for loop in LOOPS if "go_backwards" not in loop], ids=str)
def test_stacked_cells_are_layers_on_layers(loop):
    below = {k: v for k, v in loop.items() if k == "stateful"} | {"return_sequences": True}
    layers = [LSTM(5, **below), SimpleRNN(3, **below), GRU(4, **loop)]
    alike(masked(RNN([LSTMCell(5), SimpleRNNCell(3), GRUCell(4)], **loop), Dense(2)), masked(*layers, Dense(2)), tolerance=0)


@pytest.mark.parametrize("sequences", [False, True])
def test_stacked_cells_backwards(sequences):
    """The layer below, in the order of processing, is what the one above reads forwards; masks are of the input all the same."""
    layers = [LSTM(5, return_sequences=True, go_backwards=True), GRU(4, return_sequences=sequences)]
    model = Sequential([Input((6, 3)), *layers])
    stack = RNN([LSTMCell(5), GRUCell(4)], go_backwards=True, return_sequences=sequences)
    stacked = Sequential([Input((6, 3)), stack])
    stacked.set_weights(model.get_weights())
    x, mask = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32"), np.random.default_rng(1).random((4, 6)) < 0.6
    np.testing.assert_array_equal(stacked.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_allclose(stack(x, mask=mask), layers[1](layers[0](x, mask=mask), mask=mask[:, ::-1]), atol=1e-6)


@pytest.mark.parametrize("wrap, loop", [
    (wrap, loop) for wrap in ("alone", "bidirectional", "stacked") for loop in LOOPS if wrap != "bidirectional" or "go_backwards" not in loop
], ids=str)  # fmt: skip
def test_own_cell_is_as_the_native_one(wrap, loop):
    def layer(cell):
        if wrap == "stacked":
            return RNN([LSTMCell(3), cell(5), cell(2)], **loop)
        return Bidirectional(RNN(cell(5), **loop)) if wrap == "bidirectional" else RNN(cell(5), **loop)

    alike(masked(layer(OwnCell), Dense(2)), masked(layer(SimpleRNNCell), Dense(2)), tolerance=2e-6)


def test_own_cell_with_several_states_and_an_output_of_its_own():
    class Mean(Layer):
        """The mean of the steps so far, from their sum and number."""

        state_size, output_size = [3, 1], 3

        def forward(self, x, states, training=False):
            total, count = states[0] + x, states[1] + 1
            return total / count, [total, count]

    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    y, total, count = RNN(Mean(), return_state=True, return_sequences=True)(x)
    np.testing.assert_allclose(y, np.cumsum(x, axis=1) / np.arange(1, 6)[:, None], rtol=1e-5)
    np.testing.assert_allclose(total, x.sum(axis=1), rtol=1e-5)
    assert (count == 5).all() and count.shape == (2, 1)
    model = Sequential([Input((5, 3)), RNN(Mean()), Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match="does not have a `backward"):
        model.fit(x, np.ones((2, 1)), verbose=0)
    with pytest.raises(ValueError, match="written in Python"):
        model.initial_state()


@pytest.mark.parametrize("wrong, message", [
    ({"forward": lambda self, x, states: (x[:, :1], states)}, r"`forward` must return an array of shape \(2, 3\)"),
    ({"forward": lambda self, x, states: (x, [x[:, :1]])}, r"`forward` must return an array of shape \(2, 3\), as state_size"),
    ({"forward": lambda self, x, states: (x, [])}, "`forward` must return 1 states. Received: 0"),
    ({}, "must be a `fastrnn.layers.Layer` with a method `forward"),
])  # fmt: skip
def test_own_cells_that_are_wrong(wrong, message):
    cls = type("Wrong", (Layer,), {"state_size": 3, **wrong})
    with pytest.raises(ValueError, match=message):
        RNN(cls())(np.ones((2, 4, 3), "float32"))


def test_states_of_stacked_cells():
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    layer = RNN([LSTMCell(5), GRUCell(4)], return_state=True)
    y, (h, c), (g,) = layer(x)
    assert layer.state_size == [[5, 5], 4] and h.shape == c.shape == (3, 5)
    np.testing.assert_array_equal(y, g)
    _, *states = layer(x[:, :2])
    np.testing.assert_allclose(layer(x[:, 2:], initial_state=states)[0], y, atol=1e-6)
    cell, state = layer.cell, layer.get_initial_state(3)
    for t in range(4):
        last, state = cell(x[:, t], state)
    np.testing.assert_allclose(last, y, atol=1e-6)
    with pytest.raises(ValueError, match="must be a list of 3 arrays. Received: 2 arrays"):
        layer(x, initial_state=[h, c])
    with pytest.raises(ValueError, match=r"must have shape \(3, 4\). Received: \(3, 5\)"):
        layer(x, initial_state=[[h, c], h])


def test_stream_of_stacked_cells():
    model = Sequential([Input((None, 2)), RNN([LSTMCell(5), GRUCell(4)], return_sequences=True, name="stack"), Dense(1)])
    x = np.random.default_rng(0).normal(size=(1, 7, 2)).astype("float32")
    expected, state = model.predict(x, verbose=0), model.initial_state()
    for t in range(7):
        y, state = model.step(x[:, t], state)
        np.testing.assert_allclose(y, expected[:, t], atol=1e-6)
    assert [a.shape for a in state.get()["stack"]] == [(1, 5), (1, 5), (1, 4)]


def test_copies_and_files(tmp_path):
    model = Sequential([Input((5, 2)), Bidirectional(RNN([LSTMCell(3), GRUCell(2, reset_after=False)])), Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(6, 5, 2)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.npz")
    from fastrnn.models import load_model

    for other in (load_model(tmp_path / "model.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_states_are_what_the_user_sees_and_sets():
    layer = GRU(3, stateful=True)
    x = np.ones((2, 4, 1), "float32")
    first = layer(x)
    (state,) = layer.states
    np.testing.assert_array_equal(state.numpy(), first)
    second = layer(x)
    state.assign(first)
    np.testing.assert_array_equal(layer(x), second)
    layer.reset_states()
    np.testing.assert_array_equal(layer(x), first)
    assert state not in layer.weights


def test_returned_states_stay_when_a_stateful_layer_goes_on():
    layer = LSTM(3, stateful=True, return_state=True)
    x = np.ones((2, 4, 1), "float32")
    states = layer(x)[1:]
    before = [s.copy() for s in states]
    assert (layer(x)[1] != before[0]).any()
    np.testing.assert_array_equal(states, before)


@pytest.mark.parametrize("dropout", [{"dropout": 1e-9}, {"dropout": 1e-9, "recurrent_dropout": 1e-9}], ids=str)
@pytest.mark.parametrize("both", [True, False])
def test_gradient_of_the_inputs_of_two_directions_with_dropout(dropout, both):
    """Each direction has its own dropped inputs; all of their gradients belong to the inputs."""
    def model(dropout):
        back = None if both else LSTM(4, go_backwards=True)
        return masked(Bidirectional(LSTM(4, **dropout), backward_layer=back), Dense(2))

    alike(model(dropout), model({}))


@pytest.mark.parametrize("implementation, kinds", [(2, {2}), (1, range(3, 17))])
def test_dropout_masks_by_gate(implementation, kinds):
    """One input: it is dropped for all gates at once, or for each on its own."""
    layer = LSTM(1, dropout=0.5, implementation=implementation, kernel_initializer="ones")
    y = layer(np.ones((400, 1, 1), "float32"), training=True)
    assert len(np.unique(y.round(5))) in kinds


def test_frozen_parts():
    layer = RNN([LSTMCell(2, trainable=False), GRUCell(2)])
    layer.build((None, 3, 1))
    assert [v.trainable for v in layer.weights] == [False] * 3 + [True] * 3
    layer.trainable = False
    assert not layer.trainable_weights
    layer.trainable = True
    assert len(layer.trainable_weights) == 6
    layer = Bidirectional(GRU(2, trainable=False))
    layer.build((None, 3, 1))
    assert not layer.trainable_weights


def test_a_cell_is_no_layer():
    model = Sequential([Input((3,)), LSTMCell(4)])
    with pytest.raises(ValueError, match="Wrap it, as in `RNN"):
        model.predict(np.ones((2, 3)), verbose=0)


def test_one_dtype():
    with pytest.raises(ValueError, match="must have the same dtype"):
        RNN(LSTMCell(3, dtype="float64"))
    assert RNN(LSTMCell(3, dtype="float64"), dtype="float64")(np.ones((1, 2, 3))).dtype == np.float64


def test_reset_states_of_a_model_without_states():
    model = masked(Bidirectional(GRU(2, return_sequences=True)), GRU(2, stateful=True))
    x = np.ones((4, 6), int)
    first = model.predict(x, batch_size=4, verbose=0)
    assert (model.predict(x, batch_size=4, verbose=0) != first).any()
    model.reset_states()
    np.testing.assert_array_equal(model.predict(x, batch_size=4, verbose=0), first)


def test_stacked_cells_know_their_cells():
    cells = StackedRNNCells([LSTMCell(3, name="one"), OwnCell(2, name="two")], name="cells")
    cells.build((None, 4))
    assert [v.path for v in cells.weights][::3] == ["cells/one/kernel", "cells/two/kernel"]
    again = StackedRNNCells.from_config(cells.get_config(), {"OwnCell": OwnCell})
    assert again.state_size == [[3, 3], 2] and again.cells[1].name == "two"
