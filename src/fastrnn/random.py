"""Random arrays, as in `keras.random`, on one process-wide NumPy generator.

Every function takes `seed`:

* `None`: the global generator goes on. It starts from the operating system's entropy, or from `set_seed`.
* an `int`: the same values at every call.
* a `SeedGenerator`: a reproducible stream, other values at every call.

The numbers are not those of a Keras backend (the backends differ among themselves); their distributions are.
`numpy.random` is imported at the first draw, not with the package.
"""

from __future__ import annotations

import operator

import numpy as np

from .config import floatx, unique_name

__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "generator", "make_seed",
    "normal", "randint", "set_seed", "shuffle", "truncated_normal", "uniform",
]

_global_generator = None


def generator() -> np.random.Generator:
    """Return the global generator, which every draw without a seed shares."""
    global _global_generator
    if _global_generator is None:
        _global_generator = np.random.default_rng()
    return _global_generator


def set_seed(seed: int) -> None:
    """Restart the global generator from `seed`.

    `fastrnn.utils.set_random_seed` does this, and seeds Python's and NumPy's own generators as well.

    >>> set_seed(1)
    >>> first = normal([3])
    >>> set_seed(1)
    >>> bool((first == normal([3])).all())
    True
    """
    global _global_generator
    _global_generator = np.random.default_rng(_as_seed(seed))


def make_seed() -> int:
    """Draw a seed (63 bits) from the global generator, for a generator of one's own."""
    return int(generator().integers(0, 2**63, dtype=np.int64))


class SeedGenerator:
    """A seed that moves on at each use.

    Args:
        seed: int, or `None` to draw one from the global generator.
        name: string; numbered automatically when `None`.

    >>> stream = SeedGenerator(7)
    >>> bool((normal([3], seed=stream) == normal([3], seed=stream)).any())
    False
    """

    def __init__(self, seed: int | None = None, name: str | None = None):
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        self.name = unique_name("seed_generator") if name is None else name
        self._initial_seed = None if seed is None else int(seed)
        self.state = [make_seed() if seed is None else int(seed), 0]

    def next(self) -> tuple[int, int]:
        """Return the pair (seed, number of the draw) and move on."""
        seed, draw = self.state
        self.state[1] = draw + 1
        return seed, draw

    def get_config(self) -> dict:
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> SeedGenerator:
        return cls(**config)


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None) -> np.ndarray:
    """Draw from the normal distribution.

    Args:
        shape: tuple or list of ints.
        mean, stddev: floats.
        dtype: a float dtype; `fastrnn.config.floatx()` when `None`.
        seed: see the module.

    >>> normal([32, 10, 8]).shape
    (32, 10, 8)
    """
    dtype = _float_dtype("normal", dtype)
    x = _draw(seed).standard_normal(_shape(shape), dtype=_drawn_as(dtype))
    return _scaled(x, stddev, mean, dtype)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None) -> np.ndarray:
    """Draw from the normal distribution without what lies more than two `stddev` from `mean`.

    Such values are drawn again, so the standard deviation of the result is about 0.88 `stddev`.

    >>> x = truncated_normal([1000], mean=1.0, stddev=0.5)
    >>> bool((abs(x - 1.0) <= 1.0).all())
    True
    """
    dtype = _float_dtype("truncated_normal", dtype)
    drawn_as = _drawn_as(dtype)
    rng = _draw(seed)
    x = np.asarray(rng.standard_normal(_shape(shape), dtype=drawn_as), dtype=drawn_as)
    flat = x.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2)
    while outside.size:
        flat[outside] = rng.standard_normal(outside.size, dtype=drawn_as)
        outside = outside[np.abs(flat[outside]) > 2]
    return _scaled(x, stddev, mean, dtype)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None) -> np.ndarray:
    """Draw uniformly from `minval` (included) to `maxval` (excluded).

    >>> x = uniform((2, 3), -1.0, 1.0)
    >>> bool((x >= -1).all() and (x < 1).all())
    True
    """
    dtype = _float_dtype("uniform", dtype)
    x = _draw(seed).random(_shape(shape), dtype=_drawn_as(dtype))
    x = _scaled(x, maxval - minval, minval, dtype)
    if maxval > minval:  # rounding may have reached the bound
        last = np.nextafter(dtype.type(maxval), dtype.type(minval))
        np.minimum(x, last, out=x)
    return x


def randint(shape, minval, maxval, dtype="int32", seed=None) -> np.ndarray:
    """Draw integers from `minval` (included) to `maxval` (excluded).

    >>> sorted(set(randint([100], 3, 5).tolist()))
    [3, 4]
    """
    dtype = np.dtype(dtype or "int32")
    if dtype.kind not in "iu":
        raise ValueError(f"`fastrnn.random.randint` requires an integer `dtype`. Received: dtype={dtype}")
    return np.asarray(_draw(seed).integers(minval, maxval, size=_shape(shape), dtype=dtype))


def categorical(logits, num_samples, dtype="int32", seed=None) -> np.ndarray:
    """Draw `num_samples` class numbers for each row of unnormalised log-probabilities.

    Args:
        logits: array `(batch, classes)`.
        num_samples: int.

    Returns: array `(batch, num_samples)`.

    >>> categorical([[0.0, 100.0]], 3)
    array([[1, 1, 1]], dtype=int32)
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2:
        raise ValueError(
            "`logits` should be a 2-D tensor with shape [batch_size, num_classes]. "
            f"Received: logits.shape={logits.shape}"
        )
    cumulative = np.cumsum(np.exp(logits - logits.max(axis=1, keepdims=True)), axis=1)
    u = _draw(seed).random((len(logits), num_samples)) * cumulative[:, -1:]
    samples = np.empty(u.shape, dtype=dtype)
    for row, bounds, position in zip(samples, cumulative, u):
        row[:] = np.searchsorted(bounds, position, side="right")
    return samples


def dropout(inputs, rate, noise_shape=None, seed=None) -> np.ndarray:
    """Set a share `rate` of the inputs to zero and divide the rest by `1 - rate`.

    Args:
        inputs: float array.
        rate: float from 0 to 1.
        noise_shape: shape of the mask, which is broadcast to the inputs; `None` in it stands for the
            input's size.

    >>> sorted(set(dropout(np.ones(100, "float32"), 0.5).tolist()))
    [0.0, 2.0]
    """
    inputs = np.asarray(inputs)
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` must be a float from 0 to 1. Received: rate={rate}")
    if rate == 0:
        return inputs
    if rate == 1:
        return np.zeros_like(inputs)
    if noise_shape is None:
        noise_shape = inputs.shape
    else:
        noise_shape = [size if n is None else n for n, size in zip(noise_shape, inputs.shape, strict=True)]
    keep = _draw(seed).random(_shape(noise_shape)) >= rate
    return np.where(keep, inputs / (1 - rate), 0).astype(inputs.dtype, copy=False)


def shuffle(x, axis=0, seed=None) -> np.ndarray:
    """Return a copy of `x` in random order along `axis`; slices stay together.

    >>> sorted(shuffle([1, 2, 3]).tolist())
    [1, 2, 3]
    """
    return _draw(seed).permutation(np.asarray(x), axis=axis)


def gamma(shape, alpha, dtype=None, seed=None) -> np.ndarray:
    """Draw from the Gamma distribution of shape parameter `alpha` and scale 1."""
    return _cast(_draw(seed).standard_gamma(alpha, _shape(shape)), _float_dtype("gamma", dtype))


def binomial(shape, counts, probabilities, dtype=None, seed=None) -> np.ndarray:
    """Draw numbers of successes in `counts` trials of success probability `probabilities`."""
    dtype = _float_dtype("binomial", dtype)
    counts = np.asarray(counts).astype(np.int64)
    return _cast(_draw(seed).binomial(counts, probabilities, _shape(shape)), dtype)


def beta(shape, alpha, beta, dtype=None, seed=None) -> np.ndarray:
    """Draw from the Beta distribution of parameters `alpha` and `beta`."""
    return _cast(_draw(seed).beta(alpha, beta, _shape(shape)), _float_dtype("beta", dtype))


def _draw(seed) -> np.random.Generator:
    if seed is None:
        return generator()
    if isinstance(seed, SeedGenerator):
        first, second = seed.next()
        return np.random.default_rng([_as_seed(first), second])
    return np.random.default_rng(_as_seed(seed))


def _as_seed(seed) -> int:
    """Any int as the non-negative int that NumPy wants; negative ones wrap at 64 bits."""
    if not isinstance(seed, (int, np.integer)):
        raise ValueError(
            "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
            f"Received: seed={seed} (of type {type(seed)})"
        )
    seed = int(seed)
    return seed if seed >= 0 else seed & 0xFFFF_FFFF_FFFF_FFFF


def _shape(shape) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        sizes = None
    if sizes is None or any(n < 0 for n in sizes):
        raise ValueError(
            f"Argument `shape` must be a tuple or list of non-negative integers. Received: shape={shape}"
        )
    return sizes


def _float_dtype(function: str, dtype) -> np.dtype:
    dtype = np.dtype(dtype or floatx())
    if dtype.kind != "f":
        raise ValueError(
            f"`fastrnn.random.{function}` requires a floating point `dtype`. Received: dtype={dtype}"
        )
    return dtype


def _drawn_as(dtype: np.dtype):
    """The generator draws float32 and float64 only."""
    return np.float64 if dtype.itemsize >= 8 else np.float32


def _scaled(x, factor, offset, dtype: np.dtype) -> np.ndarray:
    x = np.asarray(x)  # a draw of shape () is a Python float
    x *= x.dtype.type(factor)
    x += x.dtype.type(offset)
    return x.astype(dtype, copy=False)


def _cast(x, dtype: np.dtype) -> np.ndarray:
    return np.asarray(x).astype(dtype, copy=False)
