"""Layers that disturb their input in training, and do nothing in inference: dropout of all kinds, and Gaussian noise."""

import numpy as np

from .base import Layer


class Noise(Layer):
    """Base class: a native operation that draws random numbers in training.

    Args:
        seed: an int starts a stream of draws that belongs to the layer: two models with the same seeds draw the same. None: draws follow
            `utils.set_random_seed`.
    """

    takes_ids = False
    needs_sequence = None
    native = None  # name of the operation's kind
    noise_shape = None  # as the layer was given it

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self._state = None
        if seed is not None and self._strength() > 0:
            if not isinstance(seed, (int, np.integer)):
                raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
            self._state = np.array([int(seed) & 0xFFFF_FFFF_FFFF_FFFF, 0], np.uint64)  # seed, number of the next draw

    def _strength(self):
        """Share of dropped inputs, or standard deviation."""
        return self.rate

    def _noise_shape(self, shape):
        """Shape of the random numbers, which are broadcast to an input of this shape; None: one for each element."""
        return self.noise_shape

    def lower(self, plan, x):
        if not plan.training or self._strength() == 0:
            return x
        y = plan.like(x)
        draws, index, shared = _broadcast(self._noise_shape(x.shape), x.shape, self.name)
        plan.program.add_noise(
            kind=self.native, rate=self._strength(), x=x.value, dx=x.gradient, y=y.value, dy=y.gradient,
            draws=draws, index=index, shared=shared, state=self._state,
        )
        return y


def _broadcast(noise_shape, shape, name):
    """(draws per sample, which of them each element takes or None, whether all samples share them) of a noise shape."""
    if noise_shape is None:
        return int(np.prod(shape[1:])), None, False
    sizes = [shape[i] if n is None and i < len(shape) else n for i, n in enumerate(noise_shape)]
    sizes = [1] * (len(shape) - len(sizes)) + sizes
    if len(sizes) > len(shape) or any(n not in (1, size) for n, size in zip(sizes, shape)):
        raise ValueError(
            f"Argument `noise_shape` of layer '{name}' must be a shape that broadcasts to that of the inputs; use None for the size of "
            f"the input. Received: noise_shape={tuple(noise_shape)}, inputs.shape={tuple(shape)}"
        )
    per_sample = tuple(sizes[1:])
    draws = int(np.prod(per_sample))
    index = None
    if per_sample != tuple(shape[1:]):
        index = np.ascontiguousarray(np.broadcast_to(np.arange(draws, dtype=np.int64).reshape(per_sample), shape[1:])).reshape(-1)
    return draws, index, sizes[0] == 1


def _share(value, argument):
    """The value as a float in [0, 1], or ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ValueError(
            f"Invalid value received for argument `{argument}`. Expected a float value between 0 and 1. Received: {argument}={value}"
        )
    return float(value)


def _checked_shape(noise_shape):
    problem = "Invalid value received for argument `noise_shape`. "
    if noise_shape is None:
        return None
    if isinstance(noise_shape, str):
        raise ValueError(f"{problem}Expected a tuple or list of integers. Received: noise_shape={noise_shape}")
    try:
        noise_shape = tuple(noise_shape)
    except TypeError:
        raise ValueError(
            f"{problem}Expected an iterable of integers (e.g., a tuple or list). Received: noise_shape={noise_shape}"
        ) from None
    for i, n in enumerate(noise_shape):
        if n is not None and not isinstance(n, (int, np.integer)):
            raise ValueError(
                f"{problem}Expected all elements to be integers or None. Received element at index {i}: {n} (type: {type(n).__name__})"
            )
        if n is not None and n <= 0:
            raise ValueError(
                f"{problem}Expected all dimensions to be positive integers or None. Received negative or zero value at index {i}: {n}"
            )
    return noise_shape


class Dropout(Noise):
    """Sets a share of the inputs to 0 in training and scales the others by 1 / (1 - rate).

    Args:
        rate: in [0, 1].
        noise_shape: shape of the random mask, which is broadcast to the inputs; None in it stands for the input's size. (None, 1, features)
            drops the same features at all time steps.
        seed: int, for a stream of draws of the layer's own; None: draws follow `utils.set_random_seed`.

    Shapes: any; the output is as the input, and keeps its mask.

    Raises:
        ValueError: for a rate outside of [0, 1], and for a noise_shape that does not fit the inputs.

    >>> Dropout(0.5)([[1.0, 2.0]]).tolist()
    [[1.0, 2.0]]
    >>> sorted(set(Dropout(0.5, seed=1)(np.ones((1, 100)), training=True)[0].tolist()))
    [0.0, 2.0]
    """

    native = "dropout"

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        self.rate = _share(rate, "rate")
        self.noise_shape = _checked_shape(noise_shape)
        super().__init__(seed, **kwargs)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}


class _SpatialDropout(Dropout):
    rank = None

    def check_input(self, input_shape):
        if len(input_shape) != self.rank:
            raise self.incompatible(f"ndim={self.rank}", f"ndim={len(input_shape)}", input_shape)

    def _noise_shape(self, shape):
        return (None, *[1] * (self.rank - 2), None)

    def get_config(self):
        return {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole features: the same ones at all time steps (Tompson et al., 2014).

    Args:
        rate: in [0, 1].
        seed: as in `Dropout`.

    Shapes: input and output (batch, timesteps, features).

    >>> y = SpatialDropout1D(0.5, seed=3)(np.ones((1, 4, 20)), training=True)
    >>> bool((y == y[:, :1]).all())
    True
    """

    rank = 3

    def __init__(self, rate, seed=None, name=None, dtype=None):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images (Tompson et al., 2014).

    Args:
        rate: in [0, 1].
        data_format: "channels_last", the default.
        seed: as in `Dropout`.

    Shapes: input and output (batch, rows, columns, channels).

    >>> SpatialDropout2D(0.5)(np.ones((1, 4, 4, 3))).shape
    (1, 4, 4, 3)
    """

    rank = 4

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        if data_format not in (None, "channels_last"):
            raise ValueError(f"The `data_format` argument must be 'channels_last'. Received: data_format={data_format}")
        self.data_format = "channels_last"

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class GaussianNoise(Noise):
    """Adds normally distributed noise in training.

    Args:
        stddev: its standard deviation, in [0, 1].
        seed: as in `Dropout`.

    Shapes: any; the output is as the input, and keeps its mask.

    >>> GaussianNoise(0.1)([[1.0, 2.0]]).tolist()
    [[1.0, 2.0]]
    """

    native = "gaussian_noise"

    def __init__(self, stddev, seed=None, **kwargs):
        self.stddev = _share(stddev, "stddev")
        super().__init__(seed, **kwargs)

    def _strength(self):
        return self.stddev

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class _BelowOne(Noise):
    """Noise whose formula has no value at a rate of 1."""

    def lower(self, plan, x):
        if plan.training and self.rate == 1:
            raise ValueError(
                f"Argument `rate` of layer '{self.name}' ({type(self).__name__}) must be below 1 for training. Received: rate={self.rate}"
            )
        return super().lower(plan, x)


class GaussianDropout(_BelowOne):
    """Multiplies by normally distributed noise of mean 1 in training (Srivastava et al., 2014).

    Args:
        rate: in [0, 1); the standard deviation is sqrt(rate / (1 - rate)), that of `Dropout`.
        seed: as in `Dropout`.

    Shapes: any; the output is as the input, and keeps its mask.

    >>> GaussianDropout(0.1)([[1.0, 2.0]]).tolist()
    [[1.0, 2.0]]
    """

    native = "gaussian_dropout"

    def __init__(self, rate, seed=None, **kwargs):
        self.rate = _share(rate, "rate")
        super().__init__(seed, **kwargs)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class AlphaDropout(_BelowOne):
    """Dropout to the lowest value of SELU, which keeps mean and variance of the inputs (Klambauer et al., 2017).

    Args:
        rate: in [0, 1).
        noise_shape, seed: as in `Dropout`.

    Shapes: any; the output is as the input, and keeps its mask.

    >>> AlphaDropout(0.1)([[1.0, 2.0]]).tolist()
    [[1.0, 2.0]]
    """

    native = "alpha_dropout"

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        self.rate = _share(rate, "rate")
        self.noise_shape = _checked_shape(noise_shape)
        super().__init__(seed, **kwargs)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}
