"""The reference itself: its gradients against finite differences, its values against real Keras."""

import numpy as np
import pytest
import reference
from conftest import assert_close, to_numpy

CELLS = {
    "simple_rnn": (reference.simple_rnn_forward, 1, 1, {}),
    "lstm": (reference.lstm_forward, 4, 2, {}),
    "gru": (reference.gru_forward, 3, 1, {"reset_after": True}),
    "gru_reset_before": (reference.gru_forward, 3, 1, {"reset_after": False}),
}
# Chosen so that no kink lies within reach of the difference step: inputs are drawn away from these points.
KINKS = np.array([-3, -1, -0.5, 0, 0.5, 1, 3, 6])


def difference(f, array, indices, step=1e-5):
    """Central differences of the scalar f() with respect to some entries of `array`, changed in place."""
    result = []
    for index in indices:
        original = array[index]
        array[index] = original + step
        above = f()
        array[index] = original - step
        below = f()
        array[index] = original
        result.append((above - below) / (2 * step))
    return np.array(result)


def some(rng, shape, count=12):
    flat = rng.choice(int(np.prod(shape)), size=min(count, int(np.prod(shape))), replace=False)
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in flat]


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activation_derivative(name, rng):
    x = rng.uniform(-7, 7, size=(6, 9))
    x = np.where(np.abs(x[..., None] - KINKS).min(-1) < 1e-3, x + 0.01, x)
    weight = rng.normal(size=x.shape)
    indices = some(rng, x.shape, 54)
    expected = difference(lambda: (weight * reference.activate(name, x)).sum(), x, indices)
    actual = reference.activate_back(name, x, weight)[tuple(np.array(indices).T)]
    assert_close(actual, expected, 1e-8)


@pytest.mark.parametrize("options", [
    {},
    {"go_backwards": True, "activation": "gelu", "recurrent_activation": "softmax"},
    {"mask": True, "zero_output_for_mask": True, "activation": "softsign"},
    {"mask": True, "go_backwards": True, "recurrent_activation": "softplus"},
    {"dropout": "shared", "activation": "elu"},
    {"dropout": "per gate", "mask": True},
])  # fmt: skip
@pytest.mark.parametrize("cell", CELLS)
def test_cell_gradient(cell, options, rng):
    forward, gates, state_count, extra = CELLS[cell]
    B, T, F, U = 3, 4, 2, 3
    options = dict(options)
    x, W, recurrent = rng.normal(size=(B, T, F)), rng.normal(size=(F, gates * U)), rng.normal(size=(U, gates * U))
    b = rng.normal(size=(2, gates * U) if extra.get("reset_after") else gates * U)
    states = [rng.normal(size=(B, U)) for _ in range(state_count)]
    dropout = options.pop("dropout", None)
    if dropout:
        lead = () if dropout == "shared" else (gates,)
        options["dropout_masks"] = rng.integers(0, 2, size=(*lead, B, F)) * 2.0
        options["recurrent_dropout_masks"] = rng.integers(0, 2, size=(*lead, B, U)) * 2.0
    if options.pop("mask", False):
        options["mask"] = np.array([[0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]])
    d_sequence, d_last = rng.normal(size=(B, T, U)), rng.normal(size=(B, U))
    d_states = [rng.normal(size=(B, U)) for _ in range(state_count)]

    def objective():
        sequence, last, finals, _ = forward(x, W, recurrent, b, initial_state=states, **extra, **options)
        return (d_sequence * sequence).sum() + (d_last * last).sum() + sum(
            (d * s).sum() for d, s in zip(d_states, finals))  # fmt: skip

    cache = forward(x, W, recurrent, b, initial_state=states, **extra, **options)[-1]
    gradient = reference.lstm_backward(cache, d_sequence, d_last, d_states)
    pairs = [("x", x, gradient["x"]), ("kernel", W, gradient["kernel"]), ("bias", b, gradient["bias"]),
             ("recurrent_kernel", recurrent, gradient["recurrent_kernel"])]  # fmt: skip
    pairs += [(f"state {k}", s, g) for k, (s, g) in enumerate(zip(states, gradient["initial_state"]))]
    for what, array, analytic in pairs:
        indices = some(rng, array.shape)
        expected = difference(objective, array, indices)
        assert_close(analytic[tuple(np.array(indices).T)], expected, 1e-7, what)


def test_masked_steps_repeat_the_output_from_zero(rng):
    x, W, U = rng.normal(size=(2, 4, 3)), rng.normal(size=(3, 5)), rng.normal(size=(5, 5))
    state = rng.normal(size=(2, 5))
    mask = [[0, 1, 0, 1], [0, 0, 0, 0]]
    sequence, last, (h,), _ = reference.simple_rnn_forward(x, W, U, None, [state], mask)
    assert (sequence[:, 0] == 0).all() and (sequence[0, 2] == sequence[0, 1]).all()
    assert (sequence[1] == 0).all() and (h[1] == state[1]).all() and (last[0] == h[0]).all()
    sequence, last, _, _ = reference.simple_rnn_forward(x, W, U, None, [state], [[0, 1, 0, 0]] * 2,
                                                        zero_output_for_mask=True)  # fmt: skip
    assert (sequence[:, 2:] == 0).all() and (last == 0).all() and (sequence[:, 1] != 0).any()


@pytest.mark.parametrize("dilation, strides, padding", [
    ((1, 1), (1, 1), "same"), ((1, 1), (2, 3), "same"), ((1, 1), (2, 1), "valid"), ((2, 3), (1, 1), "same"),
])  # fmt: skip
def test_conv2d_gradient(dilation, strides, padding, rng):
    x, kernel, bias = rng.normal(size=(2, 7, 8, 3)), rng.normal(size=(2, 3, 3, 4)), rng.normal(size=4)

    def run():
        return reference.conv2d_forward(x, kernel, bias, strides, padding, dilation, "tanh")

    y, cache = run()
    weight = rng.normal(size=y.shape)
    gradient = reference.conv2d_backward(cache, weight)
    for name, array in (("x", x), ("kernel", kernel), ("bias", bias)):
        indices = some(rng, array.shape)
        expected = difference(lambda: (weight * run()[0]).sum(), array, indices)
        assert_close(gradient[name][tuple(np.array(indices).T)], expected, 1e-7, name)


def test_dense_and_embedding_gradient(rng):
    x, kernel, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
    weight = rng.normal(size=(2, 3, 5))
    gradient = reference.dense_backward(reference.dense_forward(x, kernel, bias, "softmax")[1], weight)
    for name, array in (("x", x), ("kernel", kernel), ("bias", bias)):
        indices = some(rng, array.shape)
        expected = difference(
            lambda: (weight * reference.dense_forward(x, kernel, bias, "softmax")[0]).sum(), array, indices)  # fmt: skip
        assert_close(gradient[name][tuple(np.array(indices).T)], expected, 1e-7, name)
    ids, table = np.array([[0, 2, 2], [1, 2, 0]]), rng.normal(size=(4, 5))
    y, cache = reference.embedding_forward(ids, table)
    assert (y[0, 1] == table[2]).all()
    gradient = reference.embedding_backward(cache, weight)["embeddings"]
    np.testing.assert_allclose(gradient[2], weight[0, 1] + weight[0, 2] + weight[1, 1])
    assert (gradient[3] == 0).all()


@pytest.fixture
def keras64():
    """Real Keras in float64."""
    keras = pytest.importorskip("keras")
    keras.config.set_floatx("float64")
    yield keras
    keras.config.set_floatx("float32")


def test_sparsemax_is_a_projection_on_the_simplex(rng):
    """Not compared with Keras: 3.15 sums the cumulative sums, so that its rows do not add up to one."""
    y = reference.sparsemax(rng.normal(size=(5, 7)))
    np.testing.assert_allclose(y.sum(axis=-1), 1)
    assert (y >= 0).all() and (y == 0).any() and ((y > 0).sum(axis=-1) > 1).any()
    np.testing.assert_allclose(reference.sparsemax(y), y, atol=1e-15)
    np.testing.assert_allclose(reference.sparsemax(np.array([0.5, 0.3, -1.0])), [0.6, 0.4, 0.0])


@pytest.mark.parity
@pytest.mark.parametrize("name", [n for n in reference.ACTIVATIONS if n != "sparsemax"])
def test_activation_is_that_of_keras(name, rng, keras64):
    keras = keras64
    x = np.concatenate([rng.uniform(-8, 8, 100), KINKS, [30.0, -30.0]]).reshape(2, 55)
    if name == "gelu_approximate":
        expected = keras.activations.gelu(x, approximate=True)
    else:
        expected = keras.activations.get(name)(x)
    # Keras on torch computes softplus and its relatives as the identity above 20: exp(-20) = 2e-9.
    np.testing.assert_allclose(reference.activate(name, x), to_numpy(expected), rtol=1e-12, atol=3e-9)


@pytest.mark.parity
def test_threshold_and_glu_are_those_of_keras(rng):
    keras = pytest.importorskip("keras")
    x = rng.normal(size=(3, 8))
    expected = to_numpy(keras.activations.threshold(x, 0.3, -1.0))
    np.testing.assert_allclose(reference.threshold(x, 0.3, -1.0), expected)
    np.testing.assert_allclose(reference.glu(x), to_numpy(keras.activations.glu(x)), rtol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("options", [
    {},
    {"go_backwards": True, "use_bias": False},
    {"mask": True, "zero_output_for_mask": True, "go_backwards": True},
    {"mask": True, "activation": "relu", "recurrent_activation": "hard_sigmoid"},
])  # fmt: skip
@pytest.mark.parametrize("cell", CELLS)
def test_cell_is_that_of_keras(cell, options, rng, keras64):
    keras = keras64
    forward, _, state_count, extra = CELLS[cell]
    options = dict(options)
    kwargs = {"mask": np.array([[0, 1, 1, 0, 1], [1, 0, 1, 1, 0]], bool)} if options.pop("mask", False) else {}
    simple = cell == "simple_rnn"
    if simple:
        options.pop("recurrent_activation", None)
    cls = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM}.get(cell, keras.layers.GRU)
    layer = cls(7, return_sequences=True, return_state=True, dtype="float64", **extra, **options)
    layer.build((None, None, 3))
    weights = [rng.normal(size=w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(2, 5, 3))
    states = [rng.normal(size=(2, 7)) for _ in range(state_count)]
    if simple:
        layer.zero_output_for_mask = options.get("zero_output_for_mask", False)
    sequence, *finals = to_numpy(layer(x, initial_state=[keras.ops.convert_to_tensor(s) for s in states], **kwargs))
    weights = [*weights, None][:3]
    options.pop("use_bias", None)
    expected, _, expected_finals, _ = forward(x, *weights, initial_state=states, **extra, **kwargs, **options)
    # Keras on torch rounds to float32 inside its generic time loop, whatever the layer's dtype.
    assert_close(sequence, expected, 5e-6)
    for actual, final in zip(finals, expected_finals, strict=True):
        assert_close(actual, final, 5e-6)


@pytest.mark.parity
@pytest.mark.parametrize("dilation, strides, padding", [
    ((1, 1), (1, 1), "same"), ((1, 1), (2, 3), "same"), ((1, 1), (2, 1), "valid"), ((2, 3), (1, 1), "same"),
])  # fmt: skip
def test_conv2d_is_that_of_keras(dilation, strides, padding, rng, keras64):
    keras = keras64
    layer = keras.layers.Conv2D(4, (2, 3), strides, padding, dilation_rate=dilation, activation="relu",
                                dtype="float64")  # fmt: skip
    layer.build((None, 7, 8, 3))
    weights = [rng.normal(size=w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(2, 7, 8, 3))
    expected, _ = reference.conv2d_forward(x, *weights, strides, padding, dilation, "relu")
    assert_close(layer(x), expected, 1e-12)
