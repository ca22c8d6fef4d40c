"""Initializers: distributions, names and configurations against real Keras; seeds; bad arguments."""

import math

import numpy as np
import pytest

from fastrnn import initializers, random

RANDOM = [
    ("RandomNormal", {}),
    ("RandomNormal", {"mean": 1.0, "stddev": 0.2}),
    ("RandomUniform", {}),
    ("RandomUniform", {"minval": 0.1, "maxval": 0.4}),
    ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": -0.1, "stddev": 0.3}),
    ("VarianceScaling", {}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"scale": 0.5, "distribution": "normal", "input_axes": (1,), "output_axes": (0,)}),
    ("GlorotUniform", {}),
    ("GlorotNormal", {}),
    ("LecunUniform", {}),
    ("LecunNormal", {}),
    ("HeUniform", {}),
    ("HeNormal", {}),
    ("HeNormal", {"input_axes": (0, 1), "output_axes": (-1,)}),
]
CONSTANT = [("Zeros", {}), ("Ones", {}), ("Constant", {"value": 0.3}), ("Identity", {"gain": 1.5})]
ALL = RANDOM + CONSTANT + [("Orthogonal", {}), ("Orthogonal", {"gain": 0.7})]


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


def largest_gap(a, b):
    """Two-sample Kolmogorov-Smirnov statistic."""
    a, b = np.sort(a, axis=None), np.sort(b, axis=None)
    points = np.concatenate([a, b])
    below_a = np.searchsorted(a, points, side="right") / len(a)
    below_b = np.searchsorted(b, points, side="right") / len(b)
    return np.abs(below_a - below_b).max()


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(100, 800), (5, 40, 320), (70_000,)], ids=str)
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_parity_distribution(keras, name, arguments, shape):
    if "input_axes" in arguments and len(shape) == 1:
        shape = (200, 300)
    ours = getattr(initializers, name)(seed=11, **arguments)(shape)
    theirs = keras.ops.convert_to_numpy(getattr(keras.initializers, name)(seed=11, **arguments)(shape))
    assert ours.shape == theirs.shape == shape
    assert ours.dtype == theirs.dtype == np.float32
    assert largest_gap(ours, theirs) < 2.7 * math.sqrt(2 / math.prod(shape))
    assert abs(ours.std() / theirs.std() - 1) < 0.015


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (4, 1)], ids=str)
@pytest.mark.parametrize(("name", "arguments"), CONSTANT)
def test_parity_constants(keras, name, arguments, shape):
    ours = getattr(initializers, name)(**arguments)(shape)
    theirs = keras.ops.convert_to_numpy(getattr(keras.initializers, name)(**arguments)(shape))
    np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (3, 4, 5), (2, 3, 4, 5)], ids=str)
def test_parity_fans(keras, shape):
    from keras.src.initializers.random_initializers import compute_fans

    assert initializers.compute_fans(shape) == compute_fans(shape)
    if len(shape) > 2:
        axes = {"input_axes": (0, 2), "output_axes": (1,)}
        assert initializers.compute_fans(shape, **axes) == compute_fans(shape, **axes)


@pytest.mark.parity
def test_parity_names(keras):
    from keras.src.initializers import ALL_OBJECTS_DICT

    names = {name for name in ALL_OBJECTS_DICT if "stft" not in name.lower()} - {"Initializer", "initializer"}
    assert len(names) > 30
    for name in names:
        assert type(initializers.get(name)).__name__ == ALL_OBJECTS_DICT[name].__name__, name


@pytest.mark.parity
def test_parity_module_attributes(keras):
    names = [
        name
        for name, value in vars(keras.initializers).items()
        if isinstance(value, type) and "stft" not in name.lower()
    ]
    assert len(names) > 30
    for name in names:
        assert getattr(initializers, name).__name__ == getattr(keras.initializers, name).__name__, name


@pytest.mark.parity
@pytest.mark.parametrize(("name", "arguments"), ALL)
def test_parity_config(keras, name, arguments):
    if name not in ("Zeros", "Ones", "Constant", "Identity"):
        arguments = {**arguments, "seed": 5}
    config = getattr(initializers, name)(**arguments).get_config()
    expected = getattr(keras.initializers, name)(**arguments).get_config()
    if name == "Identity":
        expected = {"gain": 1.5}  # Keras forgets the gain
    assert config == expected


@pytest.mark.parity
@pytest.mark.parametrize(
    "make",
    [
        lambda m: m.VarianceScaling(scale=0.0),
        lambda m: m.VarianceScaling(scale=-1.0),
        lambda m: m.Identity()((2, 3, 4)),
        lambda m: m.Orthogonal()((3,)),
        lambda m: m.get(np.ones((2, 2)))((3, 2)),
        lambda m: m.get(3),
    ],
)
def test_parity_errors(keras, make):
    with pytest.raises(ValueError) as expected:
        make(keras.initializers)
    with pytest.raises(ValueError) as actual:
        make(initializers)
    assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize(("name", "arguments"), ALL)
@pytest.mark.parametrize("dtype", [None, "float64", "float16"])
def test_result(name, arguments, dtype):
    w = getattr(initializers, name)(**arguments)((6, 10), dtype=dtype)
    assert type(w) is np.ndarray
    assert w.shape == (6, 10)
    assert w.dtype == (dtype or "float32")
    assert w.flags.c_contiguous
    assert w.flags.writeable
    assert np.isfinite(w).all()


@pytest.mark.parametrize(("name", "arguments"), [case for case in ALL if case not in CONSTANT])
def test_seeds(name, arguments):
    cls = getattr(initializers, name)
    shape = (8, 12)
    np.testing.assert_array_equal(cls(seed=3, **arguments)(shape), cls(seed=3, **arguments)(shape))
    assert (cls(seed=3, **arguments)(shape) != cls(seed=4, **arguments)(shape)).any()
    unseeded = cls(**arguments)
    np.testing.assert_array_equal(unseeded(shape), unseeded(shape))
    assert (unseeded(shape) != cls(**arguments)(shape)).any()
    stream = cls(seed=random.SeedGenerator(3), **arguments)
    assert (stream(shape) != stream(shape)).any()


def test_unseeded_follow_the_global_seed():
    random.set_seed(5)
    first = initializers.GlorotUniform()((3, 3))
    random.set_seed(5)
    np.testing.assert_array_equal(first, initializers.GlorotUniform()((3, 3)))


@pytest.mark.parametrize(("name", "arguments"), ALL)
def test_config_round_trip(name, arguments):
    if name not in ("Zeros", "Ones", "Constant", "Identity"):
        arguments = {**arguments, "seed": 5}
    original = getattr(initializers, name)(**arguments)
    for copy in (
        type(original).from_config(original.get_config()),
        original.clone(),
        initializers.get(initializers.serialize(original)),
        initializers.deserialize({"module": "keras.initializers", **initializers.serialize(original)}),
    ):
        assert type(copy) is type(original)
        np.testing.assert_array_equal(copy((5, 4)), original((5, 4)))


def test_config_with_seed_generator():
    original = initializers.RandomNormal(seed=random.SeedGenerator(3))
    copy = initializers.get(initializers.serialize(original))
    assert isinstance(copy.seed, random.SeedGenerator)
    np.testing.assert_array_equal(copy((4,)), original((4,)))


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("GlorotUniform", (6 / 400) ** 0.5),
        ("LecunUniform", (3 / 100) ** 0.5),
        ("HeUniform", (6 / 100) ** 0.5),
    ],
)
def test_uniform_limits(name, limit):
    w = getattr(initializers, name)(seed=1)((100, 300))
    assert 0.999 * limit < w.max() <= limit * (1 + 1e-6)
    assert -0.999 * limit > w.min() >= -limit * (1 + 1e-6)


@pytest.mark.parametrize(
    ("name", "stddev"),
    [("GlorotNormal", (2 / 400) ** 0.5), ("LecunNormal", (1 / 100) ** 0.5), ("HeNormal", (2 / 100) ** 0.5)],
)
def test_normal_widths(name, stddev):
    w = getattr(initializers, name)(seed=1)((100, 300))
    assert abs(w.std() / stddev - 1) < 0.015
    assert 1.9 * stddev < abs(w).max() * 0.8796256610342398 <= 2 * stddev * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(5, 20), (20, 5), (6, 6), (1, 4), (3, 4, 10), (2, 2, 50)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_orthogonal(shape, dtype, tolerance, gain):
    w = initializers.Orthogonal(gain, seed=2)(shape, dtype).reshape(-1, shape[-1])
    rows, columns = w.shape
    product = w @ w.T if rows <= columns else w.T @ w
    np.testing.assert_allclose(product, gain**2 * np.eye(min(rows, columns)), atol=tolerance)
    # W = Q of A = QR with a positive diagonal of R, where A is the normal draw of the same seed.
    a = random.normal((max(rows, columns), min(rows, columns)), dtype=dtype, seed=2)
    q = w if rows >= columns else w.T
    assert (np.diagonal(q.T @ a) > 0).all()


def test_orthogonal_blocks_of_a_fused_matrix_are_not_orthogonal():
    w = initializers.Orthogonal(seed=0)((8, 32))
    block = w[:, :8]
    assert abs(block @ block.T - np.eye(8)).max() > 0.1


@pytest.mark.parametrize("name", [name for name, _ in RANDOM + CONSTANT])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)], ids=str)
def test_empty_shapes(name, shape):
    assert getattr(initializers, name)()(shape).shape == shape


def test_orthogonal_empty():
    assert initializers.Orthogonal()((3, 0)).shape == (3, 0)


def test_large_embedding():
    w = initializers.get("uniform")((10_000, 32))
    assert w.shape == (10_000, 32)
    assert 0.0499 < abs(w).max() <= 0.05


def test_get():
    assert initializers.get(None) is None
    instance = initializers.Ones()
    assert initializers.get(instance) is instance
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)

    def mine(shape, dtype=None):
        return np.full(shape, 7.0, dtype)

    assert initializers.get(mine) is mine
    values = np.arange(6.0).reshape(3, 2).T
    w = initializers.get(values)((2, 3))
    np.testing.assert_array_equal(w, values)
    assert w.dtype == np.float32
    assert w.flags.c_contiguous
    w[:] = 0
    assert values[1, 1] == 3
    constant = initializers.get({"class_name": "Constant", "config": {"value": 2.0}})
    np.testing.assert_array_equal(constant((2,)), [2, 2])


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'glorot_unifrom'.*Did you mean 'glorot_uniform'\?"):
        initializers.get("glorot_unifrom")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "fan"}, "Invalid `mode` argument: fan"),
        ({"distribution": "gauss"}, "Invalid `distribution` argument: gauss"),
        ({"seed": 1.5}, "`seed` argument should be an instance of .* or an integer. Received: seed=1.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        initializers.VarianceScaling(**arguments)


def test_base_class():
    with pytest.raises(NotImplementedError, match="must implement the `__call__"):
        initializers.Initializer()((2,))
