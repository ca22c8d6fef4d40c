"""Random arrays: their distributions (against Keras's), their seeds, and bad arguments."""

import numpy as np
import pytest

from fastrnn import random, utils

SIZE = 100_000

# name, arguments after the shape
DISTRIBUTIONS = [
    ("normal", {}),
    ("normal", {"mean": 3.0, "stddev": 0.1}),
    ("truncated_normal", {}),
    ("truncated_normal", {"mean": -1.0, "stddev": 2.0}),
    ("uniform", {}),
    ("uniform", {"minval": -2.0, "maxval": 5.0}),
    ("randint", {"minval": -3, "maxval": 4}),
    ("gamma", {"alpha": 0.7}),
    ("binomial", {"counts": 9, "probabilities": 0.3}),
    ("beta", {"alpha": 2.0, "beta": 0.5}),
]
FLOATS = [case for case in DISTRIBUTIONS if case[0] != "randint"]


def largest_gap(a, b):
    """Two-sample Kolmogorov-Smirnov statistic."""
    a, b = np.sort(a), np.sort(b)
    points = np.concatenate([a, b])
    below_a = np.searchsorted(a, points, side="right") / len(a)
    below_b = np.searchsorted(b, points, side="right") / len(b)
    return np.abs(below_a - below_b).max()


@pytest.mark.parity
@pytest.mark.parametrize(("name", "arguments"), DISTRIBUTIONS)
def test_parity_distribution(name, arguments):
    keras = pytest.importorskip("keras")
    ours = getattr(random, name)([SIZE], seed=1, **arguments)
    theirs = keras.ops.convert_to_numpy(getattr(keras.random, name)([SIZE], seed=1, **arguments))
    assert ours.shape == theirs.shape == (SIZE,)
    assert ours.dtype == theirs.dtype
    # At equal distributions the gap exceeds 2.7 sqrt(2 / n) = 0.012 once in a million pairs of draws.
    assert largest_gap(ours, theirs) < 2.7 * np.sqrt(2 / SIZE)


def test_the_distribution_test_sees_small_differences():
    assert largest_gap(random.normal([SIZE], seed=1), random.normal([SIZE], stddev=1.1, seed=2)) > 0.02


def test_moments_of_normal():
    x = random.normal([1_000_000], mean=2.0, stddev=0.5, dtype="float64", seed=3)
    assert abs(x.mean() - 2) < 5 * 0.5 / 1000
    assert abs(x.std() - 0.5) < 5 * 0.5 / np.sqrt(2) / 1000


def test_truncated_normal_is_redrawn_not_clipped():
    x = random.truncated_normal([1_000_000], seed=4)
    assert abs(x).max() <= 2
    assert np.sum(abs(x) == 2) <= 5
    assert abs(x.std() - 0.8796256610342398) < 0.003


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_excludes_its_upper_bound(dtype):
    eps = np.finfo(dtype).eps
    x = random.uniform([20_000], 1.0, 1.0 + 4 * float(eps), dtype=dtype, seed=5)
    assert x.dtype == dtype
    assert x.min() == 1
    assert x.max() < np.dtype(dtype).type(1 + 4 * float(eps))
    assert len(np.unique(x)) == 4


@pytest.mark.parametrize(("name", "arguments"), DISTRIBUTIONS)
@pytest.mark.parametrize("shape", [(), [], (0,), [3], (2, 3), [4, 1, 2], np.array([2, 2])], ids=str)
def test_shapes(name, arguments, shape):
    x = getattr(random, name)(shape, **arguments)
    assert type(x) is np.ndarray
    assert x.shape == tuple(shape)
    assert x.dtype == ("int32" if name == "randint" else "float32")


def test_positional_shape_as_with_tf_random():
    assert random.normal([32, 10, 8]).shape == (32, 10, 8)


@pytest.mark.parametrize(("name", "arguments"), FLOATS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_dtypes(name, arguments, dtype):
    x = getattr(random, name)((50,), dtype=dtype, **arguments)
    assert x.dtype == dtype
    assert np.isfinite(x).all()
    assert len(np.unique(x)) > 2


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64"])
def test_randint_dtypes(dtype):
    x = random.randint((500,), 0, 5, dtype=dtype)
    assert x.dtype == dtype
    assert np.unique(x).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("name", "arguments"), DISTRIBUTIONS)
def test_seeds(name, arguments):
    def draw(seed):
        return getattr(random, name)((200,), seed=seed, **arguments)

    np.testing.assert_array_equal(draw(7), draw(7))
    assert (draw(7) != draw(8)).any()
    assert (draw(-7) != draw(7)).any()
    assert (draw(None) != draw(None)).any()
    stream, again = random.SeedGenerator(7), random.SeedGenerator(7)
    first, second = draw(stream), draw(stream)
    assert (first != second).any()
    np.testing.assert_array_equal(first, draw(again))
    np.testing.assert_array_equal(second, draw(again))
    random.set_seed(9)
    first = draw(None)
    assert (first != draw(None)).any()
    random.set_seed(9)
    np.testing.assert_array_equal(first, draw(None))


def test_numpy_ints_are_seeds():
    np.testing.assert_array_equal(random.normal((3,), seed=np.int64(5)), random.normal((3,), seed=5))


def test_seed_generator_without_seed_follows_the_global_seed():
    random.set_seed(1)
    a, b = random.SeedGenerator(), random.SeedGenerator()
    assert a.state != b.state
    random.set_seed(1)
    assert random.SeedGenerator().state == a.state


def test_seed_generator_config():
    stream = random.SeedGenerator(3, name="mine")
    assert stream.get_config() == {"seed": 3, "name": "mine"}
    assert random.SeedGenerator.from_config(stream.get_config()).state == [3, 0]
    assert random.SeedGenerator().name != random.SeedGenerator().name


def test_make_seed():
    seeds = {random.make_seed() for _ in range(1000)}
    assert len(seeds) == 1000
    assert all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**60


def test_generators_of_numpy_and_python_do_not_disturb_ours():
    utils.set_random_seed(1)
    expected = random.normal((3,))
    utils.set_random_seed(1)
    np.random.seed(99)
    np.random.rand(5)
    np.testing.assert_array_equal(expected, random.normal((3,)))


def test_categorical():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.0, 0.9, 0.1]])
    with np.errstate(divide="ignore"):
        x = random.categorical(np.log(probabilities) + 5, 50_000, seed=1)
    assert x.shape == (2, 50_000)
    assert x.dtype == np.int32
    shares = [[np.mean(row == k) for k in range(3)] for row in x]
    np.testing.assert_allclose(shares, probabilities, atol=0.012)
    assert shares[1][0] == 0


def test_dropout():
    x = np.full((200, 100), 3.0, "float32")
    y = random.dropout(x, 0.25, seed=1)
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(4)}
    assert abs(np.mean(y == 0) - 0.25) < 0.02
    assert random.dropout(x, 0.0) is x
    assert not random.dropout(x, 1.0).any()
    y = random.dropout(x, 0.5, noise_shape=(None, 1), seed=2)
    assert (y == y[:, :1]).all()
    assert len(np.unique(y[:, 0])) == 2


def test_shuffle_keeps_slices_together():
    x = np.arange(60).reshape(3, 20)
    y = random.shuffle(x, axis=1, seed=1)
    assert (y != x).any()
    np.testing.assert_array_equal(np.sort(y[0]), x[0])
    np.testing.assert_array_equal(y - y[:1], x - x[:1])
    np.testing.assert_array_equal(x, np.arange(60).reshape(3, 20))


@pytest.mark.parametrize("shape", [5, None, "ab", (2, None), (2, -1), (2.5,)], ids=str)
def test_bad_shape(shape):
    with pytest.raises(ValueError, match="Argument `shape` must be a tuple or list of non-negative integers"):
        random.normal(shape)


@pytest.mark.parametrize("seed", [1.5, "a", [1, 2]], ids=str)
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="Argument `seed` must be either an integer or an instance of"):
        random.normal((2,), seed=seed)
    with pytest.raises(ValueError, match="Argument `seed` must be an integer"):
        random.SeedGenerator(seed)


def test_bad_dtype():
    with pytest.raises(ValueError, match="`fastrnn.random.uniform` requires a floating point `dtype`"):
        random.uniform((2,), dtype="int32")
    with pytest.raises(ValueError, match="`fastrnn.random.randint` requires an integer `dtype`"):
        random.randint((2,), 0, 2, dtype="float32")


def test_bad_rate_and_logits():
    with pytest.raises(ValueError, match="`rate` must be a float from 0 to 1. Received: rate=1.5"):
        random.dropout(np.ones(3), 1.5)
    with pytest.raises(ValueError, match="`logits` should be a 2-D tensor"):
        random.categorical([0.0, 1.0], 2)
