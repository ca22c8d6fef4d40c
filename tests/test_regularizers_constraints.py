"""Regularizers and constraints: values as in real Keras, gradients as of autograd and finite differences."""

import math

import numpy as np
import pytest

from fastrnn import constraints, regularizers

REGULARIZERS = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": 2}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.2}),
    ("L1L2", {"l2": 0.2}),
    ("L1L2", {"l1": 0.1, "l2": 0.4}),
    ("L1L2", {"l1": None, "l2": None}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.7, "mode": "rows"}),
    ("OrthogonalRegularizer", {"factor": 0.7, "mode": "columns"}),
]
CONSTRAINTS = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.7}),
    ("MaxNorm", {"max_value": 1.5, "axis": 1}),
    ("MaxNorm", {"max_value": 1.5, "axis": [0, 1]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": 1}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 1.9, "max_value": 2.1}),
    ("MinMaxNorm", {"min_value": 1.9, "max_value": 2.1, "rate": 0.3, "axis": 1}),
]


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


def weights(shape=(5, 7), dtype="float32"):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(5, 7), (7, 2), (2, 2)], ids=str)
@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS)
def test_parity_penalty(keras, name, arguments, shape):
    w = weights(shape)
    expected = float(getattr(keras.regularizers, name)(**arguments)(keras.ops.convert_to_tensor(w)))
    actual = getattr(regularizers, name)(**arguments)(w)
    assert type(actual) is float
    assert math.isclose(actual, expected, rel_tol=2e-6)
    assert (actual > 0) == bool(any(arguments.values()) or name not in ("L1L2",))


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(5, 7), (7, 2), (2, 2)], ids=str)
@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS)
def test_parity_gradient(keras, name, arguments, shape):
    torch = pytest.importorskip("torch")
    if keras.backend.backend() != "torch":
        pytest.skip("autograd of the torch backend")
    w = weights(shape)
    w[0, 0] = 0
    tensor = torch.tensor(w, requires_grad=True)
    penalty = getattr(keras.regularizers, name)(**arguments)(tensor)
    if penalty.requires_grad:
        penalty.backward()
    expected = np.zeros_like(w) if tensor.grad is None else tensor.grad.numpy()
    actual = getattr(regularizers, name)(**arguments).gradient(w)
    assert actual.dtype == np.float32
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6 * abs(expected).max())
    assert expected.any() == (penalty.item() != 0)


@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS)
def test_gradient_is_the_derivative(name, arguments):
    regularizer = getattr(regularizers, name)(**arguments)
    w = weights(dtype="float64")
    step = 1e-6
    numeric = np.empty_like(w)
    for i in np.ndindex(w.shape):
        ahead, behind = w.copy(), w.copy()
        ahead[i] += step
        behind[i] -= step
        numeric[i] = (regularizer(ahead) - regularizer(behind)) / (2 * step)
    np.testing.assert_allclose(regularizer.gradient(w), numeric, rtol=1e-7, atol=1e-8)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS)
def test_parity_regularizer_config(keras, name, arguments):
    config = getattr(regularizers, name)(**arguments).get_config()
    expected = getattr(keras.regularizers, name)(**arguments).get_config()
    assert config.keys() == expected.keys()
    for key, value in config.items():
        assert value == expected[key] or math.isclose(value, expected[key], rel_tol=1e-6)  # Keras rounds some


@pytest.mark.parity
@pytest.mark.parametrize(
    "make",
    [
        lambda m: m.OrthogonalRegularizer(mode="diagonal"),
        lambda m: m.OrthogonalRegularizer()(np.ones((2, 3, 4), "float32")),
    ],
)
def test_parity_regularizer_errors(keras, make):
    with pytest.raises(ValueError) as expected:
        make(keras.regularizers)
    with pytest.raises(ValueError) as actual:
        make(regularizers)

    def unordered(error):  # Keras prints a set
        return sorted(str(error.value))

    assert unordered(actual) == unordered(expected)


@pytest.mark.parametrize("name", ["L1", "L2"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "0.1", [0.1]], ids=str)
def test_bad_factor(name, value):
    message = f"Invalid value for argument {name.lower()}: expected a non-negative float"
    with pytest.raises(ValueError, match=message):
        getattr(regularizers, name)(value)


def test_orthogonal_regularizer_of_one_row():
    regularizer = regularizers.OrthogonalRegularizer()
    assert regularizer(np.ones((1, 4))) == 0
    assert not regularizer.gradient(np.ones((1, 4))).any()


def test_orthogonal_regularizer_of_zero_rows():
    w = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])
    regularizer = regularizers.OrthogonalRegularizer(1.0)
    assert math.isclose(regularizer(w), 0.8 / 3)
    assert np.isfinite(regularizer.gradient(w)).all()


def test_own_regularizer_needs_a_gradient():
    class Mine(regularizers.Regularizer):
        def __call__(self, x):
            return float(np.sum(x**4))

    with pytest.raises(NotImplementedError, match="Mine must implement `gradient"):
        Mine().gradient(np.ones(3))


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 6)], ids=str)
@pytest.mark.parametrize(("name", "arguments"), CONSTRAINTS)
def test_parity_constraint(keras, name, arguments, shape):
    w = weights(shape)
    w[:, 1] = 0
    w[:, 2] *= 0.01
    expected = keras.ops.convert_to_numpy(getattr(keras.constraints, name)(**arguments)(w))
    actual = getattr(constraints, name)(**arguments)(w)
    assert actual.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-9)
    assert (actual != w).any()


@pytest.mark.parity
@pytest.mark.parametrize(("name", "arguments"), CONSTRAINTS)
def test_parity_constraint_config(keras, name, arguments):
    config = getattr(constraints, name)(**arguments).get_config()
    assert config == getattr(keras.constraints, name)(**arguments).get_config()


@pytest.mark.parametrize(("name", "arguments"), CONSTRAINTS)
def test_constraints_leave_their_input_alone(name, arguments):
    w = weights()
    before = w.copy()
    getattr(constraints, name)(**arguments)(w)
    np.testing.assert_array_equal(w, before)


def test_norms_are_per_unit():
    w = constraints.MaxNorm(1.0)(weights((20, 3), "float64") * [[0.01, 1.0, 1.0]])
    norms = np.linalg.norm(w, axis=0)
    assert norms[0] < 0.2
    np.testing.assert_allclose(norms[1:], 1, atol=1e-6)


MODULES = [(regularizers, "regularizer", REGULARIZERS), (constraints, "constraint", CONSTRAINTS)]


@pytest.mark.parity
@pytest.mark.parametrize(("module", "kind", "cases"), MODULES)
def test_parity_names(keras, module, kind, cases):
    import importlib

    table = importlib.import_module(f"keras.src.{kind}s").ALL_OBJECTS_DICT
    names = [name for name in table if name.lower() != kind]
    assert len(names) >= 8
    for name in names:
        assert type(module.get(name)).__name__ == table[name].__name__, name
    attributes = [name for name, value in vars(getattr(keras, f"{kind}s")).items() if isinstance(value, type)]
    assert len(attributes) >= 8
    for name in attributes:
        assert getattr(module, name).__name__ == getattr(getattr(keras, f"{kind}s"), name).__name__, name


@pytest.mark.parametrize(("module", "kind", "cases"), MODULES)
def test_get(module, kind, cases):
    assert module.get(None) is None
    for name, arguments in cases:
        original = getattr(module, name)(**arguments)
        assert module.get(original) is original
        copy = module.get(module.serialize(original))
        assert type(copy) is type(original)
        np.testing.assert_array_equal(copy(weights()), original(weights()))
        assert type(module.get(type(original))) is type(original)
    assert module.get(np.abs) is np.abs
    with pytest.raises(ValueError, match=f"Could not interpret {kind} identifier: 3"):
        module.get(3)


def test_unknown_names():
    with pytest.raises(ValueError, match="Unknown regularizer 'l1_l2'.*Did you mean 'l1l2'[?]"):
        regularizers.get("l1_l2")
    with pytest.raises(ValueError, match="Unknown constraint 'maxnorm'.*Did you mean 'max_norm'[?]"):
        constraints.get("maxnorm")
