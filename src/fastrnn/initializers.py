"""Initial values of weights, by the names of `keras.initializers`.

An initializer is called with a shape and returns a C-contiguous NumPy array. A random one that was given an
int seed, or none at all, returns the same values at every call (without a seed it draws one when it is made);
only a `fastrnn.random.SeedGenerator` as seed gives other values each time.
"""

from __future__ import annotations

import math

import numpy as np

from . import _identifiers, random
from .config import floatx

# The standard deviation of the standard normal distribution cut at +-2:
# sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
_TRUNCATED_STDDEV = 0.8796256610342398


class Initializer:
    """Base class: `__call__(shape, dtype=None)` and, with arguments, `get_config()`."""

    def __call__(self, shape, dtype=None) -> np.ndarray:
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def get_config(self) -> dict:
        return {}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)

    def clone(self):
        return self.from_config(self.get_config())


class Zeros(Initializer):
    """All 0.

    >>> Zeros()((2, 2))
    array([[0., 0.],
           [0., 0.]], dtype=float32)
    """

    def __call__(self, shape, dtype=None):
        return np.zeros(shape, dtype or floatx())


class Ones(Initializer):
    """All 1.

    >>> Ones()((2,))
    array([1., 1.], dtype=float32)
    """

    def __call__(self, shape, dtype=None):
        return np.ones(shape, dtype or floatx())


class Constant(Initializer):
    """All `value`.

    >>> Constant(0.5)((2,))
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, value=0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        return np.full(shape, self.value, dtype or floatx())

    def get_config(self):
        value = self.value
        return {"value": value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value}


class Identity(Initializer):
    """`gain` on the main diagonal of a matrix, 0 elsewhere.

    Raises:
        ValueError: the shape is not 2-D.

    >>> Identity()((2, 3))
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        matrix = np.eye(*shape, dtype=dtype or floatx())
        matrix *= self.gain
        return matrix

    def get_config(self):
        return {"gain": self.gain}


class RandomInitializer(Initializer):
    """Base class of those with a seed: an int, a `fastrnn.random.SeedGenerator`, or `None`."""

    def __init__(self, seed=None):
        if isinstance(seed, dict):
            seed = random.SeedGenerator.from_config(seed["config"])
        if seed is not None and not isinstance(seed, (int, np.integer, random.SeedGenerator)):
            raise ValueError(
                "`seed` argument should be an instance of `fastrnn.random.SeedGenerator()` or an integer. "
                f"Received: seed={seed}"
            )
        self._init_seed = int(seed) if isinstance(seed, np.integer) else seed
        self.seed = random.make_seed() if seed is None else self._init_seed

    def get_config(self):
        seed = self._init_seed
        return {"seed": _identifiers.serialize(seed) if isinstance(seed, random.SeedGenerator) else seed}


class RandomNormal(RandomInitializer):
    """Normal distribution.

    >>> RandomNormal(stddev=0.1, seed=1)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return random.normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self):
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class TruncatedNormal(RandomInitializer):
    """Normal distribution without what lies more than two `stddev` from `mean`.

    >>> float(abs(TruncatedNormal()((1000,))).max()) <= 0.1
    True
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self):
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class RandomUniform(RandomInitializer):
    """Uniform distribution from `minval` to `maxval`.

    >>> float(abs(RandomUniform()((1000,))).max()) <= 0.05
    True
    """

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)

    def get_config(self):
        return {"minval": self.minval, "maxval": self.maxval, **super().get_config()}


class VarianceScaling(RandomInitializer):
    """Distribution of mean 0 and variance `scale / n`, where `n` is a fan of the weight's shape.

    Args:
        scale: positive float.
        mode: `n` is the number of inputs of a unit ("fan_in"), of its outputs ("fan_out"), or the mean of
            both ("fan_avg").
        distribution: "truncated_normal" (or "normal"), "untruncated_normal", "uniform".
        seed: int, `fastrnn.random.SeedGenerator` or `None`.
        input_axes, output_axes: tuples of the axes of the shape that make up the fans, when the last two
            axes do not.

    Raises:
        ValueError: an argument is none of the above.

    >>> w = VarianceScaling(mode="fan_avg", distribution="uniform")((64, 128))  # limit sqrt(3 / 96)
    >>> bool(abs(w).max() <= 0.1768)
    True
    """

    def __init__(
        self,
        scale=1.0,
        mode="fan_in",
        distribution="truncated_normal",
        seed=None,
        input_axes=None,
        output_axes=None,
    ):
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(
                f"Invalid `mode` argument: {mode}. Please use one of 'fan_in', 'fan_out', 'fan_avg'"
            )
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                f"Invalid `distribution` argument: {distribution}. "
                "Please use one of 'uniform', 'truncated_normal', 'untruncated_normal'"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, math.sqrt(variance), dtype, self.seed)
        return random.truncated_normal(shape, 0.0, math.sqrt(variance) / _TRUNCATED_STDDEV, dtype, self.seed)

    def get_config(self):
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            **super().get_config(),
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _NamedScaling(VarianceScaling):
    """A `VarianceScaling` whose first three arguments are fixed by its name."""

    _scaling: tuple[float, str, str]

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(*self._scaling, seed, input_axes, output_axes)

    def get_config(self):
        config = super().get_config()
        return {key: config[key] for key in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_NamedScaling):
    """Uniform within +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    >>> bool(abs(GlorotUniform()((3, 3))).max() <= 1)
    True
    """

    _scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal of standard deviation sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""

    _scaling = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform within +-sqrt(3 / fan_in) (LeCun et al. 1998)."""

    _scaling = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal of standard deviation sqrt(1 / fan_in) (LeCun et al. 1998)."""

    _scaling = (1.0, "fan_in", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform within +-sqrt(6 / fan_in) (He et al. 2015)."""

    _scaling = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal of standard deviation sqrt(2 / fan_in) (He et al. 2015)."""

    _scaling = (2.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """Random matrix with orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al. 2014).

    Of a shape with more than two axes, all but the last count as rows.

    Raises:
        ValueError: the shape has fewer than two axes.

    >>> q = Orthogonal()((2, 6))
    >>> bool(np.allclose(q @ q.T, np.eye(2), atol=1e-6))
    True
    """

    def __init__(self, gain=1.0, seed=None):
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        dtype = np.dtype(dtype or floatx())
        rows, columns = math.prod(shape[:-1]), shape[-1]
        factored = np.float64 if dtype.itemsize >= 8 else np.float32  # LAPACK has no other real types
        a = random.normal((max(rows, columns), min(rows, columns)), dtype=factored, seed=self.seed)
        q, r = np.linalg.qr(a)
        # With the signs of diag(R) the result is uniform over orthogonal matrices; without, QR prefers some.
        q *= np.where(np.diagonal(r) < 0, -self.gain, self.gain).astype(q.dtype)
        if rows < columns:
            q = q.T
        return np.ascontiguousarray(q, dtype=dtype).reshape(shape)

    def get_config(self):
        return {"gain": self.gain, **super().get_config()}


def compute_fans(shape, input_axes=None, output_axes=None) -> tuple[int, int]:
    """Number of inputs and outputs of a weight: the last two axes, each times all axes before them.

    >>> compute_fans((3, 8, 16))  # convolution of width 3
    (24, 48)
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    receptive_field = math.prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


zeros = Zeros
ones = Ones
constant = Constant
identity = IdentityInitializer = Identity
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal
he_uniform = HeUniform
he_normal = HeNormal
orthogonal = OrthogonalInitializer = Orthogonal

_CLASSES = (
    Zeros, Ones, Constant, Identity, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling,
    GlorotUniform, GlorotNormal, LecunUniform, LecunNormal, HeUniform, HeNormal, Orthogonal,
)
_TABLE = {cls.__name__: cls for cls in _CLASSES}
_TABLE |= {_identifiers.to_snake_case(cls.__name__): cls for cls in _CLASSES}
_TABLE |= {
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "zero": Zeros,
    "one": Ones,
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
}


def serialize(initializer):
    """The dict that `deserialize` reads back."""
    return _identifiers.serialize(initializer)


def deserialize(config, custom_objects=None):
    """The initializer of a dict `{"class_name": ..., "config": {...}}` or of a name."""
    return _identifiers.deserialize("initializer", config, _TABLE, custom_objects)


def get(identifier):
    """Return the initializer meant by a name, a dict, a class, a callable `f(shape, dtype=None)` or an array.

    Raises:
        ValueError: the name is unknown, or it is something else.

    >>> get("glorot_uniform").__class__.__name__
    'GlorotUniform'
    """
    if isinstance(identifier, (np.ndarray, np.generic)):
        return _of_array(identifier)
    return deserialize(identifier)


def _of_array(values):
    def initialize(shape, dtype=None):
        if tuple(shape) != values.shape:
            raise ValueError(
                f"Expected `shape` to be {values.shape} for direct tensor as initializer. "
                f"Received shape={shape}"
            )
        return np.array(values, dtype=dtype or floatx(), order="C")

    return initialize
