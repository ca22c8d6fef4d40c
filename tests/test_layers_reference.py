"""layer(x), in float32 and float64, against tests/reference.py: sampled shapes, options and activations.

Every case draws from its own seed, which is part of the test's name.
"""

import numpy as np
import pytest
import reference
from conftest import API_NAME, assert_close, to_numpy

CELLS = {  # name: (class, forward, gates, number of states, constructor arguments)
    "simple_rnn": ("SimpleRNN", reference.simple_rnn_forward, 1, 1, {}),
    "lstm": ("LSTM", reference.lstm_forward, 4, 2, {}),
    "gru": ("GRU", reference.gru_forward, 3, 1, {"reset_after": True}),
    "gru_reset_before": ("GRU", reference.gru_forward, 3, 1, {"reset_after": False}),
}
SIZES = [1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 47, 48, 61, 63, 64, 65, 67, 70]
UNITS = [*SIZES, 79, 95, 96, 97, 113, 127, 128, 129, 130]
TOLERANCE = {"float32": 5e-6, "float64": 1e-12}
NAMES = [name for name in reference.ACTIVATIONS if name not in ("gelu_approximate", "sparsemax")]
# A unit may grow at every step under these: few steps and small weights, or rounding errors grow with it.
UNBOUNDED = {name for name in NAMES if name not in ("tanh", "sigmoid", "softsign", "hard_tanh", "softmax",
                                                    "hard_sigmoid", "sparse_sigmoid", "log_softmax")}  # fmt: skip


def pick(rng, values):
    return values[int(rng.integers(len(values)))]


class Case:
    """One drawn configuration: its layer, its data, and what the reference makes of them."""

    def __init__(self, K, cell, seed, dtype="float32", **fixed):
        rng = np.random.default_rng(seed)
        self.cls, self.forward, gates, self.state_count, extra = CELLS[cell]
        draw = {
            "units": pick(rng, UNITS),
            "batch": pick(rng, SIZES),
            "steps": int(rng.integers(1, 13)),
            "features": pick(rng, SIZES),
            "activation": pick(rng, ["tanh", "tanh", "relu", "sigmoid", "elu", "gelu", "softsign", None]),
            "recurrent_activation": pick(rng, ["sigmoid", "sigmoid", "hard_sigmoid", "hard_tanh", "relu6", "softsign"]),
            "use_bias": bool(rng.random() < 0.8),
            "go_backwards": bool(rng.random() < 0.3),
            "mask": pick(rng, [None, None, "random", "prefix", "rows"]),
            "initial_state": bool(rng.random() < 0.4),
            "zero_output_for_mask": bool(rng.random() < 0.2),
        }
        draw.update(fixed)
        B, T, F, U = (draw[k] for k in ("batch", "steps", "features", "units"))
        names = [draw["activation"] or "linear"] + ([] if cell == "simple_rnn" else [draw["recurrent_activation"]])
        growing = not UNBOUNDED.isdisjoint(names) or names[-1] not in ("tanh", "sigmoid", "hard_sigmoid")
        T = min(T, 4) if growing else T
        gain = 0.2 if "exponential" in names else 0.5 if growing else 1.0
        print(f"seed {seed}: {cell} {dtype} {draw}")
        self.x = rng.normal(size=(B, T, F)).astype(dtype)
        self.weights = [rng.normal(size=(F, gates * U)) * gain / np.sqrt(F),
                        rng.normal(size=(U, gates * U)) * gain / np.sqrt(U)]  # fmt: skip
        if draw["use_bias"]:
            shape = (2, gates * U) if extra.get("reset_after") else (gates * U,)
            self.weights.append(rng.normal(size=shape) * 0.5 * gain)
        self.weights = [w.astype(dtype) for w in self.weights]
        self.call = {}
        if draw["initial_state"]:
            self.call["initial_state"] = [rng.normal(size=(B, U)).astype(dtype) for _ in range(self.state_count)]
        if draw["mask"]:
            lengths = rng.integers(0, T + 1, size=B)
            self.call["mask"] = {
                "random": rng.random((B, T)) < 0.6,
                "prefix": np.arange(T) < lengths[:, None],
                "rows": np.repeat(rng.random((B, 1)) < 0.5, T, axis=1),
            }[draw["mask"]]
        options = {k: draw[k] for k in ("activation", "go_backwards")}
        if cell != "simple_rnn":
            options["recurrent_activation"] = draw["recurrent_activation"]
        self.options = {**options, **extra, "units": U, "use_bias": draw["use_bias"], "dtype": dtype}
        # `zero_output_for_mask` is an argument of keras.layers.RNN, and an attribute of every recurrent layer.
        self.zero_output_for_mask = draw["zero_output_for_mask"]
        self.K, self.dtype = K, dtype
        sequence, last, states, _ = self.forward(
            self.x, *self.weights, **self.call, **options, **extra,
            zero_output_for_mask=draw["zero_output_for_mask"])  # fmt: skip
        self.expected = {"sequence": sequence, "last": last, "states": states}

    def layer(self, **options):
        layer = getattr(self.K.layers, self.cls)(**self.options, **options)
        layer.zero_output_for_mask = self.zero_output_for_mask
        layer.build((None, None, self.x.shape[2]))
        layer.set_weights(self.weights)
        return layer

    def check(self):
        tolerance = TOLERANCE[self.dtype]
        outputs = to_numpy(self.layer(return_sequences=True, return_state=True)(self.x, **self.call))
        sequence, *states = outputs
        assert sequence.dtype == np.dtype(self.dtype)
        assert_close(sequence, self.expected["sequence"], tolerance, "sequence")
        for k, (state, expected) in enumerate(zip(states, self.expected["states"], strict=True)):
            assert_close(state, expected, tolerance, f"state {k}")
        last = to_numpy(self.layer()(self.x, **self.call))
        assert_close(last, self.expected["last"], tolerance, "last output")


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("cell", CELLS)
def test_sampled_shapes_and_options(K, cell, seed):
    Case(K, cell, seed).check()


@pytest.mark.fastrnn_only  # Keras on torch rounds to float32 inside its generic time loop
@pytest.mark.parametrize("seed", range(100, 112))
@pytest.mark.parametrize("cell", CELLS)
def test_sampled_shapes_and_options_in_float64(K, cell, seed, float64):
    Case(K, cell, seed, dtype="float64").check()


@pytest.mark.parametrize("units", [1, 8, 15, 16, 17, 33, 64, 130])
@pytest.mark.parametrize("cell", CELLS)
def test_smallest_and_widest(K, cell, units):
    """One of everything else, then much of everything else: the edges of blocks and tails."""
    for seed, sizes in enumerate([(1, 1, 1), (70, 2, 70), (1, 12, 70), (65, 1, 1)]):
        batch, steps, features = sizes
        Case(K, cell, seed, units=units, batch=batch, steps=steps, features=features, activation="tanh").check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_every_activation(K, cell, name):
    Case(K, cell, 500, units=19, batch=5, steps=4, features=3, activation=name,
         recurrent_activation="sigmoid").check()  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", [c for c in CELLS if c != "simple_rnn"])
def test_every_recurrent_activation(K, cell, name):
    Case(K, cell, 600, units=19, batch=5, steps=3, features=3, activation="tanh",
         recurrent_activation=name).check()  # fmt: skip


@pytest.mark.parametrize("mask", ["random", "prefix", "rows"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_masks(K, cell, zero, backwards, mask):
    for seed, state in ((700, False), (701, True)):
        Case(K, cell, seed, units=17, batch=33, steps=9, features=5, mask=mask, go_backwards=backwards,
             zero_output_for_mask=zero, initial_state=state, activation="tanh",
             recurrent_activation="sigmoid").check()  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_numeric_mask_and_all_masked(K, cell):
    """A mask of numbers is cast to bool; with every step masked the output is zero and the state unchanged."""
    case = Case(K, cell, 800, mask="random", units=9, batch=6, steps=4, activation="tanh", initial_state=True)
    layer = case.layer(return_state=True)
    numbers = dict(case.call, mask=case.call["mask"].astype(np.float32) * 2)
    for a, b in zip(to_numpy(layer(case.x, **numbers)), to_numpy(layer(case.x, **case.call)), strict=True):
        np.testing.assert_array_equal(a, b)
    nothing = dict(case.call, mask=np.zeros_like(case.call["mask"]))
    output, *states = to_numpy(layer(case.x, **nothing))
    assert not output.any()
    for state, initial in zip(states, case.call["initial_state"], strict=True):
        np.testing.assert_array_equal(state, initial)


@pytest.mark.parametrize("cell", CELLS)
def test_masked_values_are_not_read(K, cell):
    """NaN and infinity at masked steps change nothing."""
    case = Case(K, cell, 801, mask="random", units=20, batch=9, steps=6, activation="tanh", initial_state=False)
    layer = case.layer(return_sequences=True)
    expected = to_numpy(layer(case.x, **case.call))
    poisoned = case.x.copy()
    poisoned[~case.call["mask"]] = np.nan
    poisoned[0][~case.call["mask"][0]] = np.inf
    np.testing.assert_array_equal(to_numpy(layer(poisoned, **case.call)), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("cell", CELLS)
def test_nan_and_inf_stay_in_their_row(K, cell, value):
    case = Case(K, cell, 802, mask=None, units=20, batch=9, steps=6, activation="tanh", initial_state=False,
                use_bias=True, recurrent_activation="sigmoid", go_backwards=False)  # fmt: skip
    layer = case.layer(return_sequences=True)
    clean = to_numpy(layer(case.x))
    x = case.x.copy()
    x[4, 3, 0] = value
    y = to_numpy(layer(x))
    rest = np.arange(9) != 4
    np.testing.assert_array_equal(y[rest], clean[rest])
    np.testing.assert_array_equal(y[4, :3], clean[4, :3])
    if np.isnan(value):
        assert np.isnan(y[4, 3:]).all()
    else:
        expected = case.forward(x, *case.weights, **{k: v for k, v in case.options.items()
                                                     if k in ("activation", "recurrent_activation", "reset_after")})[0]
        np.testing.assert_allclose(y[4], expected[4], atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_array_layouts(K, cell):
    """Transposed, strided, reversed, read-only, integer, float16 and float64 input give what a plain copy gives."""
    case = Case(K, cell, 803, units=12, batch=6, steps=5, features=4, mask=None, activation="tanh")
    layer = case.layer(return_sequences=True)
    expected = to_numpy(layer(case.x, **case.call))
    read_only = case.x.copy()
    read_only.flags.writeable = False
    for x in (
        np.asfortranarray(case.x),
        np.repeat(case.x, 2, axis=1)[:, ::2],
        case.x[:, :, ::-1].copy()[:, :, ::-1],
        read_only,
        case.x.astype(np.float64),
        case.x.astype(">f4"),
    ):
        if API_NAME == "fastrnn" or (min(x.strides) > 0 and x.dtype.isnative):  # torch cannot take the others
            np.testing.assert_array_equal(to_numpy(layer(x, **case.call)), expected)
    whole = np.round(case.x * 3)
    for dtype in (np.int64, np.int32, np.float16):
        np.testing.assert_array_equal(
            to_numpy(layer(whole.astype(dtype), **case.call)), to_numpy(layer(whole, **case.call)))  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_input_is_not_changed(K, cell):
    case = Case(K, cell, 804, mask="random", initial_state=True, units=11, batch=4, steps=3, activation="relu")
    arrays = [case.x, case.call["mask"], *case.call["initial_state"]]
    copies = [a.copy() for a in arrays]
    case.layer(return_state=True)(case.x, **case.call)
    for array, copy in zip(arrays, copies):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("shape", [(3, 5), (70, 1), (2, 7, 13), (1, 1, 1, 4)])
@pytest.mark.parametrize("activation", [None, "relu", "softmax", "gelu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense(K, shape, activation, dtype, rng):
    for units in (1, 17, 64):
        layer = K.layers.Dense(units, activation=activation, dtype=dtype)
        layer.build((None, *shape[1:]))
        weights = [rng.normal(size=w.shape).astype(dtype) for w in layer.get_weights()]
        layer.set_weights(weights)
        x = rng.normal(size=shape).astype(dtype)
        if dtype == "float64" and API_NAME != "fastrnn":
            continue
        expected, _ = reference.dense_forward(x, *[w.astype(float) for w in weights], activation)
        assert_close(layer(x), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_of_dense(K, name, rng):
    layer = K.layers.Dense(23, activation=name)
    layer.build((None, 5))
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = (3 * rng.normal(size=(31, 5))).astype(np.float32)
    expected, _ = reference.dense_forward(x, *[w.astype(float) for w in weights], name)
    assert_close(layer(x), expected, 5e-6)
    assert_close(K.activations.get(name)(x), reference.activate(name, x.astype(float)), 5e-6)


def test_embedding(K, rng):
    layer = K.layers.Embedding(11, 7)
    layer.build((None, None))
    table = rng.normal(size=(11, 7)).astype(np.float32)
    layer.set_weights([table])
    ids = rng.integers(0, 11, size=(4, 6))
    for kind in (np.int32, np.int64, np.float32):
        np.testing.assert_array_equal(to_numpy(layer(ids.astype(kind))), table[ids])


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel, strides, dilation", [
    ((2, 2), (1, 1), (1, 1)), ((3, 2), (2, 1), (1, 1)), ((1, 3), (3, 2), (1, 1)), ((3, 3), (1, 1), (2, 1)), (3, 2, 1),
])  # fmt: skip
def test_conv2d(K, kernel, strides, dilation, padding, rng):
    layer = K.layers.Conv2D(6, kernel, strides, padding, dilation_rate=dilation, activation="relu")
    layer.build((None, 9, 8, 3))
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(4, 9, 8, 3)).astype(np.float32)
    pair = [v if isinstance(v, tuple) else (v, v) for v in (strides, dilation)]
    expected, _ = reference.conv2d_forward(x, *[w.astype(float) for w in weights], pair[0], padding, pair[1], "relu")
    assert_close(layer(x), expected, 5e-6)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_bidirectional(K, cell, masked, sequences, merge_mode, rng):
    cls, forward, gates, _, extra = CELLS[cell]
    layer = K.layers.Bidirectional(
        getattr(K.layers, cls)(5, return_sequences=sequences, **extra), merge_mode=merge_mode)  # fmt: skip
    layer.build((None, 6, 3))
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(4, 6, 3)).astype(np.float32)
    call = {"mask": np.arange(6) < np.array([6, 3, 1, 4])[:, None]} if masked else {}
    halves = []
    for weights_half, backwards in ((weights[:3], False), (weights[3:], True)):
        # Bidirectional forces zero outputs at masked steps of a sequence
        sequence, last, _, _ = forward(x, *weights_half, **call, **extra, go_backwards=backwards,
                                       zero_output_for_mask=sequences)  # fmt: skip
        halves.append((sequence[:, ::-1] if backwards else sequence) if sequences else last)
    f, b = halves
    expected = {"concat": np.concatenate(halves, axis=-1), "sum": f + b, "mul": f * b, "ave": (f + b) / 2}
    actual = to_numpy(layer(x, **call))
    if merge_mode is None:
        for part, half in zip(actual, halves, strict=True):
            assert_close(part, half, 5e-6)
    else:
        assert_close(actual, expected[merge_mode], 5e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_stateful_continues(K, cell, rng):
    """Two halves of a sequence with kept state are the whole; reset_states starts again."""
    cls, forward, gates, _, extra = CELLS[cell]
    model = K.Sequential([K.Input(batch_shape=(3, 4, 2)),
                          getattr(K.layers, cls)(6, stateful=True, return_sequences=True, **extra)])  # fmt: skip
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(weights)
    x = rng.normal(size=(3, 8, 2)).astype(np.float32)
    expected, *_ = forward(x, *weights, **extra)
    for _ in range(2):
        first = model.predict(x[:, :4], batch_size=3, verbose=0)
        second = model.predict(x[:, 4:], batch_size=3, verbose=0)
        assert_close(np.concatenate([first, second], axis=1), expected, 5e-6)
        model.layers[0].reset_state()


@pytest.mark.parametrize("cell", CELLS)
def test_predict_is_call(K, cell, rng):
    """The model's plan and the layer called on its own give the same bits, whatever the batch."""
    cls, _, _, _, extra = CELLS[cell]
    layer = getattr(K.layers, cls)(18, return_sequences=True, **extra)
    model = K.Sequential([K.Input((None, 3)), layer])
    x = rng.normal(size=(37, 5, 3)).astype(np.float32)
    expected = to_numpy(layer(x))
    for batch_size in (37, 32, 8):
        actual = model.predict(x, batch_size=batch_size, verbose=0)
        if API_NAME == "fastrnn":
            np.testing.assert_array_equal(actual, expected)
        assert_close(actual, expected, 5e-6)


def set_identity(layer, gates, units, recurrent):
    """The input reaches every gate as it is; the recurrent input does, too, or not at all."""
    layer.build((None, None, units))
    eye = np.tile(np.eye(units, dtype=np.float32), gates)
    layer.set_weights([eye, eye if recurrent else 0 * eye])


def test_dropout_of_inputs(K):
    """Mask of (batch, features), the same at every step, scaled by 1 / (1 - rate), another for each sample and call."""
    layer = K.layers.SimpleRNN(8, activation="linear", use_bias=False, dropout=0.25, return_sequences=True)
    set_identity(layer, 1, 8, recurrent=False)
    x = np.ones((600, 3, 8), np.float32)
    y = to_numpy(layer(x, training=True))
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 3, axis=1))
    assert abs((y[:, 0] == 0).mean() - 0.25) < 0.03
    assert len(np.unique(y[:, 0], axis=0)) > 100 and (to_numpy(layer(x, training=True)) != y).any()
    np.testing.assert_array_equal(to_numpy(layer(x)), x)


def test_dropout_of_recurrent_inputs(K):
    """Mask of (batch, units), the same at every step: from a state of ones and no input, the state is its powers."""
    layer = K.layers.SimpleRNN(8, activation="linear", use_bias=False, recurrent_dropout=0.25, return_sequences=True)
    set_identity(layer, 1, 8, recurrent=True)
    state = K.random.normal((600, 8)) * 0 + 1
    y = to_numpy(layer(np.zeros((600, 3, 8), np.float32), initial_state=[state], training=True))
    np.testing.assert_allclose(np.unique(y[:, 0]), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(y[:, 1], y[:, 0] ** 2, rtol=1e-6)
    np.testing.assert_allclose(y[:, 2], y[:, 0] ** 3, rtol=1e-6)
    assert abs((y[:, 0] == 0).mean() - 0.25) < 0.03


@pytest.mark.parametrize("recurrent_dropout", [0.0, 0.5])
def test_dropout_masks_of_gates(K, recurrent_dropout):
    """One input mask for all gates; with recurrent dropout one for each gate, as in Keras's implementation 1."""
    x = np.ones((600, 1, 8), np.float32)
    options = {"activation": "linear", "recurrent_activation": "linear", "use_bias": False, "dropout": 0.25,
               "recurrent_dropout": recurrent_dropout}  # fmt: skip
    layer = K.layers.LSTM(8, **options)  # h = o * (i * g): the product of three masks
    set_identity(layer, 4, 8, recurrent=False)
    y = to_numpy(layer(x, training=True))
    np.testing.assert_allclose(np.unique(y.round(4)), [0, round((4 / 3) ** 3, 4)])
    assert abs((y == 0).mean() - (1 - 0.75**3 if recurrent_dropout else 0.25)) < 0.03
    layer = K.layers.GRU(8, **options)  # h = (1 - z) * g: 4/3 only where z is dropped and g is not
    set_identity(layer, 3, 8, recurrent=False)
    y = to_numpy(layer(x, training=True))
    values = {round(float(v), 3) + 0.0 for v in np.unique(y)}
    assert values == ({-0.444, 0, 1.333} if recurrent_dropout else {-0.444, 0})


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropout_layer(K, rate):
    layer = K.layers.Dropout(rate)
    x = np.ones((200, 50), np.float32)
    y = to_numpy(layer(x, training=True))
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)] if rate else [1], rtol=1e-6)
    assert abs((y == 0).mean() - rate) < 0.03
    np.testing.assert_array_equal(to_numpy(layer(x)), x)


@pytest.mark.fastrnn_only
@pytest.mark.parametrize("cell", CELLS)
def test_rate_of_zero_and_call_without_training_do_not_drop(K, cell, rng):
    cls, forward, _, _, extra = CELLS[cell]
    layer = getattr(K.layers, cls)(9, dropout=0.5, recurrent_dropout=0.5, **extra)
    layer.build((None, None, 4))
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(5, 3, 4)).astype(np.float32)
    assert_close(layer(x), forward(x, *weights, **extra)[1], 5e-6)
