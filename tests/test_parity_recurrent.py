"""Recurrent layers, cells and Bidirectional against real Keras: every option, over random configurations.

The seed is FASTRNN_PARITY_SEED, or a fixed one.
"""

import re

import numpy as np
import pytest
from conftest import assert_close, to_numpy
from parity import generator, pick

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity
TOLERANCE = 2e-5
CELLS = ["SimpleRNN", "LSTM", "GRU"]
FLAGS = ["return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask"]


def cell(rng):
    """(class without `Cell`, arguments) of a random cell whose state stays small."""
    cls = pick(rng, CELLS)
    options = {"units": int(rng.integers(1, 20)), "use_bias": bool(rng.random() < 0.8),
               "activation": pick(rng, ["tanh", "tanh", "sigmoid", "softmax", "softsign"])}  # fmt: skip
    if cls != "SimpleRNN":
        options["recurrent_activation"] = pick(rng, ["sigmoid", "sigmoid", "hard_sigmoid", "softmax"])
    if cls == "GRU":
        options["reset_after"] = bool(rng.random() < 0.5)
    return cls, options


class Drawn:
    """A random recurrent layer: of its own class, RNN of a cell, or of stacked cells; alone or Bidirectional."""

    def __init__(self, rng, **flags):
        kind = pick(rng, ["layer", "cell", "stack"])
        self.cells = [cell(rng) for _ in range(int(rng.integers(2, 4)) if kind == "stack" else 1)]
        self.kind, self.merge_mode = kind, pick(rng, ["concat", "sum", "mul", "ave", None])
        self.flags = {name: bool(rng.random() < 0.35) for name in FLAGS} | flags
        self.bidirectional = rng.random() < 0.35
        if self.bidirectional:
            self.flags["go_backwards"] = False
            if self.flags["stateful"]:
                self.flags["return_state"] = False  # Keras fails on both
        if not self.flags["return_state"] and flags:
            self.merge_mode = self.merge_mode or "concat"
        print(self.kind, self.cells, self.flags, self.bidirectional and self.merge_mode)

    def layer(self, library):
        L = library.layers
        if self.kind == "layer":
            ((cls, options),) = self.cells
            layer = getattr(L, cls)(**options, **self.flags)
        else:
            cells = [getattr(L, f"{cls}Cell")(**options) for cls, options in self.cells]
            layer = L.RNN(cells if self.kind == "stack" else cells[0], **self.flags)
        return L.Bidirectional(layer, merge_mode=self.merge_mode) if self.bidirectional else layer


def flat(structure):
    return [leaf for part in structure for leaf in flat(part)] if isinstance(structure, (list, tuple)) else [structure]


def each(function, structure):
    return [each(function, part) for part in structure] if isinstance(structure, (list, tuple)) else function(structure)


def compare(ours, theirs, what):
    assert each(np.shape, to_nested(ours)) == each(np.shape, to_nested(theirs)), what
    for a, e in zip(flat(to_nested(ours)), flat(to_nested(theirs)), strict=True):
        assert_close(a, e, TOLERANCE, what, floor=0.01)


def to_nested(value):
    return each(to_numpy, value)


def irregular(rng, theirs, ours):
    """Weights for both, Keras's own made a little irregular."""
    theirs.set_weights([w + rng.normal(0, 0.3, w.shape).astype(w.dtype) for w in theirs.get_weights()])
    ours.set_weights(theirs.get_weights())


@pytest.mark.parametrize("case", range(40))
def test_layer_on_arrays(K, case):
    """Two calls: outputs and states for masks and initial states, and what a stateful layer keeps; the configuration at last."""
    rng = generator(20, case)
    drawn = Drawn(rng)
    B, T, F = (int(v) for v in rng.integers(1, 8, size=3))
    theirs, ours = drawn.layer(keras), drawn.layer(K)
    for layer in (theirs, ours):
        layer.build((B, T, F))
    irregular(rng, theirs, ours)
    for _ in range(2):
        x, call = rng.normal(size=(B, T, F)).astype(np.float32), {}
        if rng.random() < 0.6:
            call["mask"] = rng.random((B, T)) < 0.6
        if rng.random() < 0.4:
            one = getattr(theirs, "forward_layer", theirs).get_initial_state(B)
            call["initial_state"] = each(lambda s: rng.normal(size=tuple(s.shape)).astype(np.float32), one + one * drawn.bidirectional)
        theirs_too = {k: each(keras.ops.convert_to_tensor, v) if k == "initial_state" else v for k, v in call.items()}
        compare(ours(x, **call), theirs(x, **theirs_too), f"output with {sorted(call)}")
        if drawn.flags["stateful"]:
            compare(*(each(lambda v: v.numpy(), layer.states) for layer in (ours, theirs)), "states")
    if drawn.flags["stateful"]:
        ours.reset_state()  # Keras's own fails on the states of stacked cells
    again = type(ours).from_config(ours.get_config())
    again.build((B, T, F))
    again.set_weights(ours.get_weights())
    compare(again(x), ours(x), "from_config")


FRONTS = {
    "Masking": lambda L, features: L.Masking(0.0),
    "Embedding": lambda L, features: L.Embedding(9, features, mask_zero=True),
    "Dense": lambda L, features: L.Dense(features),
}


@pytest.mark.parametrize("case", range(14))
def test_training(K, case):
    """Masked and stateful models: predictions, losses and weights of two epochs over three batches."""
    rng = generator(21, case)
    B, T, F = (int(v) for v in rng.integers(2, 7, size=3))
    stateful = case % 7 == 0
    drawn = [Drawn(rng, return_sequences=r, return_state=False, stateful=stateful) for r in (True, bool(rng.random() < 0.5))]
    front = pick(rng, [*FRONTS])
    models = []
    for library in (keras, K):
        L = library.layers
        models.append(library.Sequential([
            library.Input(batch_shape=(B, T) if front == "Embedding" else (B, T, F)), FRONTS[front](L, F),
            *(d.layer(library) for d in drawn), L.Dense(2)]))  # fmt: skip
        models[-1].compile(optimizer=library.optimizers.SGD(0.1), loss="mse")
    theirs, ours = models
    irregular(rng, theirs, ours)
    x = rng.integers(0, 9, size=(3 * B, T)) if front == "Embedding" else rng.normal(size=(3 * B, T, F)).astype(np.float32)
    if front == "Masking":
        x[rng.random((3 * B, T)) < 0.4] = 0
    y = rng.normal(size=(3 * B, *theirs.output_shape[1:])).astype(np.float32)
    compare(ours.predict(x, batch_size=B, verbose=0), theirs.predict(x, batch_size=B, verbose=0), "predict")
    if stateful:  # PyTorch cannot train these
        compare(ours.predict(x, batch_size=B, verbose=0), theirs.predict(x, batch_size=B, verbose=0), "predict again")
        return
    histories = [m.fit(x, y, batch_size=B, epochs=2, shuffle=False, verbose=0).history["loss"] for m in models]
    np.testing.assert_allclose(*histories, rtol=1e-4)
    for v, a, e in zip(ours.weights, ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, e, atol=1e-4, err_msg=v.path)


@pytest.mark.parametrize("case", range(8))
def test_cell_on_arrays(K, case):
    rng = generator(22, case)
    cells = [cell(rng) for _ in range(case % 3 + 1)]
    x = rng.normal(size=(4, 3)).astype(np.float32)
    made = []
    for library in (keras, K):
        one = [getattr(library.layers, f"{cls}Cell")(**options) for cls, options in cells]
        made.append(one[0] if len(one) == 1 else library.layers.StackedRNNCells(one))
        made[-1].build((4, 3))
    theirs, ours = made
    irregular(rng, theirs, ours)
    states = each(lambda s: rng.normal(size=tuple(s.shape)).astype(np.float32), theirs.get_initial_state(4))
    assert each(np.shape, ours.get_initial_state(4)) == each(np.shape, states)
    assert ours.state_size == theirs.state_size and ours.output_size == theirs.output_size
    compare(ours(x, states), theirs(x, each(keras.ops.convert_to_tensor, states)), "step")
    if len(cells) == 1 and cells[0][0] != "LSTM":  # a state without a list around it comes back so
        compare(ours(x, states[0]), theirs(x, keras.ops.convert_to_tensor(states[0])), "step")


MADE = {
    "LSTM": lambda L: L.LSTM(3), "GRU": lambda L: L.GRU(3), "SimpleRNN": lambda L: L.SimpleRNN(3), "RNN": lambda L: L.RNN(L.GRUCell(2)),
    "stack": lambda L: L.RNN([L.GRUCell(2), L.LSTMCell(3)]), "Bidirectional": lambda L: L.Bidirectional(L.GRU(3)),
    "named": lambda L: L.Bidirectional(L.GRU(3, name="forward_x"), backward_layer=L.LSTM(2, go_backwards=True)),
    "stateful": lambda L: L.LSTM(3, stateful=True), "implementation": lambda L: L.GRU(3, recurrent_dropout=0.2),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_names_configurations_and_attributes(K, name):
    keras.utils.clear_session()
    theirs, ours = MADE[name](keras.layers), MADE[name](K.layers)
    for layer in (theirs, ours):
        layer.build((2, 3, 4))
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights] and ours.name == theirs.name
    for a, e in config_pairs(ours.get_config(), theirs.get_config()):
        assert a == e
    for attribute in ("units", "state_size", "dropout", "implementation", "use_bias", "stateful", "unroll", "zero_output_for_mask"):
        assert getattr(ours, attribute, None) == getattr(theirs, attribute, None), attribute
    assert each(lambda v: v.shape, ours.states or []) == each(lambda v: tuple(v.shape), theirs.states or [])


def config_pairs(ours, theirs):
    """Values that belong together, down to those of the layers inside; types of numbers and objects have spellings of their own."""
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"dtype"}:
        if key in ("cell", "layer", "backward_layer"):
            yield from config_pairs(ours[key]["config"], theirs[key]["config"])
        elif key == "cells":
            for a, e in zip(ours[key], theirs[key], strict=True):
                yield from config_pairs(a["config"], e["config"])
        elif isinstance(theirs[key], dict):
            yield ours[key]["class_name"], theirs[key]["class_name"]
        else:
            yield ours[key], theirs[key]


ERRORS = {
    "units": lambda L: L.LSTM(0),
    "no such argument": lambda L: L.SimpleRNN(3, implementation=1),
    "no cell": lambda L: L.RNN(3),
    "no state": lambda L: L.RNN(L.Dense(3)),
    "no cells": lambda L: L.StackedRNNCells([3]),
    "use_cudnn": lambda L: L.GRU(3, use_cudnn="no"),
    "time_major": lambda L: L.LSTM(3, time_major=False),
    "merge mode": lambda L: L.Bidirectional(L.GRU(3), merge_mode="add"),
    "same direction": lambda L: L.Bidirectional(L.GRU(3), backward_layer=L.GRU(3)),
    "both backwards": lambda L: L.Bidirectional(L.GRU(3, go_backwards=True)),
    "other sequences": lambda L: L.Bidirectional(L.GRU(3), backward_layer=L.GRU(3, go_backwards=True, return_sequences=True)),
    "other states": lambda L: L.Bidirectional(L.GRU(3), backward_layer=L.GRU(3, go_backwards=True, return_state=True)),
    "no layer": lambda L: L.Bidirectional("LSTM"),
    "no backward layer": lambda L: L.Bidirectional(L.LSTM(2), backward_layer=3),
    "dynamic batch": lambda L: L.LSTM(2, stateful=True).build((None, 3, 4)),
    "other batch": lambda L: [layer(np.ones((n, 3, 4), "float32")) for layer in [L.LSTM(2, stateful=True)] for n in (2, 3)],
    "not stateful": lambda L: L.Bidirectional(L.GRU(3)).reset_state(),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_same_words(K, name):
    """The first words of Keras's message, up to what it received."""
    errors = []
    for library in (keras, K):
        with pytest.raises((ValueError, AttributeError)) as caught:
            ERRORS[name](library.layers)
        errors.append((type(caught.value), " ".join(str(caught.value).split()).replace("keras.layers", "fastrnn.layers")))
    (their_type, theirs), (our_type, ours) = errors
    theirs = re.sub(r"Exception encountered when calling \w+\.call\(\)\. \x1b\[1m", "", theirs)
    words = re.split(r", got \d|Received:|of the initial state\.|: sequence.shape", theirs)[0].strip(" .")
    assert our_type == their_type and len(words) > 15
    assert words in ours


def test_dropout_masks_by_gate(K):
    """One input: it is dropped for all gates at once, or, in implementation 1, for each on its own."""
    x = np.ones((300, 1, 1), np.float32)
    for implementation, most in ((2, 2), (1, 16)):
        kinds = []
        for library in (keras, K):
            layer = library.layers.LSTM(1, dropout=0.5, implementation=implementation, use_cudnn=False, kernel_initializer="ones")
            kinds.append(np.unique(to_numpy(layer(x, training=True)).round(4)).tolist())
        assert kinds[0] == kinds[1] and len(kinds[0]) <= most
