"""Layers that shift and scale by numbers which training leaves alone: given ones, or those of data seen before."""

import math

import numpy as np

from ..config import epsilon as smallest
from .base import Layer


class Rescaling(Layer):
    """y = x * scale + offset, with fixed numbers.

    Args:
        scale, offset: numbers, or arrays that broadcast to a sample.

    Shapes: any; the output is as the input, and keeps its mask.

    Raises:
        ValueError: for numbers that do not broadcast to a sample.

    >>> Rescaling(1 / 255, offset=-0.5)([[0.0, 255.0]]).tolist()
    [[-0.5, 0.5]]
    """

    takes_ids = False

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = _numbers(scale, "scale")
        self.offset = _numbers(offset, "offset")

    @property
    def needs_sequence(self):
        by_step = any(n != 1 for value in (self.scale, self.offset) for n in np.shape(value)[:-1])
        return "it has numbers for each time step" if by_step else None

    def lower(self, plan, x):
        y = plan.like(x)
        shift, scale, offset = (_per_element(plan, self, n, v, x) for n, v in (("", 0.0), ("scale", self.scale), ("offset", self.offset)))
        plan.program.add_affine(x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, shift=shift, scale=scale, offset=offset)
        return y

    def get_config(self):
        return {**super().get_config(), "scale": _serialized(self.scale), "offset": _serialized(self.offset)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, **{name: _deserialized(config[name]) for name in ("scale", "offset") if name in config}})


def _numbers(value, argument):
    try:
        np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"Argument `{argument}` must be a number or an array of numbers. Received: {argument}={value!r:.80}") from None
    return value


def _per_element(plan, layer, argument, value, x):
    """A fixed array as one number for each element of a sample."""
    value = np.asarray(value, dtype=plan.dtype)
    try:
        return np.array(np.broadcast_to(value, (1, *x.shape[1:])), order="C").reshape(-1)
    except ValueError:
        raise ValueError(
            f"Argument `{argument}` of layer '{layer.name}' must broadcast to the shape of a sample, {tuple(x.shape[1:])}. "
            f"Received: an array of shape {value.shape}"
        ) from None


def _serialized(value):
    if isinstance(value, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": value.tolist(), "dtype": str(value.dtype)}}
    return value.item() if isinstance(value, np.generic) else value


def _deserialized(value):
    return np.array(value["config"]["value"], dtype=value["config"]["dtype"]) if isinstance(value, dict) else value


class Normalization(Layer):
    """(x - mean) / sqrt(variance) with numbers given, or learnt from data by `adapt` before training.

    Args:
        axis: int, several or None: the axes along which each index has a mean and a variance of its own; None: one of each for everything.
        mean, variance: both or none; arrays that broadcast to the kept axes.
        invert: whether to compute x * sqrt(variance) + mean instead.

    Shapes: any; the output is as the input, and keeps its mask. Weights, where mean and variance are not given: mean, variance, count.

    Raises:
        ValueError: for an axis that the input does not have; if only one of mean and variance is given.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0, 7.0], [2.0, 9.0]]))
    >>> layer([[0.0, 9.0]]).tolist()
    [[-1.0, 1.0]]
    """

    takes_ids = False

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.input_mean, self.input_variance = mean, variance
        self.invert = invert
        if (mean is not None) != (variance is not None):
            raise ValueError(
                f"When setting values directly, both `mean` and `variance` must be set. Received: mean={mean} and variance={variance}"
            )
        if mean is not None and np.shape(mean) != np.shape(variance):
            raise ValueError(
                "When setting values directly, `mean` and `variance` must have the same shape. Received: "
                f"mean shape {np.shape(mean)} and variance shape {np.shape(variance)}"
            )
        if np.ndim(mean) > len(self.axis):
            raise ValueError(
                f"The rank of `mean` must be less than or equal to the number of axes ({len(self.axis)}). Received: mean shape "
                f"{np.shape(mean)} for axis {self.axis}"
            )
        self.adapt_mean = self.adapt_variance = self.count = None
        self._kept = ()  # positive axes that are kept, of the shape that the layer was built for
        self._built_shape = None
        self._rank = 0  # of the last input that was looked at

    @property
    def needs_sequence(self):
        by_step = any(self._rank > 2 and d - len(self._built_shape) == 1 - self._rank for d in self._kept)
        return "each time step has numbers of its own" if by_step else None

    def check_input(self, input_shape):
        self._rank = len(input_shape)
        if self.built:
            ndim = len(self._built_shape)
            if len(input_shape) < ndim:
                raise self.incompatible(f"min_ndim={ndim}", f"ndim={len(input_shape)}", input_shape)
            for d in self._kept:  # counted from the end: the numbers of (batch, features) serve sequences of these, too
                if input_shape[d - ndim] not in (None, self._built_shape[d]):
                    raise self.wrong_size(d - ndim, self._built_shape[d], input_shape)

    def build(self, input_shape):
        ndim = len(input_shape)
        if any(d < -ndim or d >= ndim for d in self.axis):
            raise ValueError(
                f"All `axis` values must be in the range [-ndim, ndim). Received inputs with ndim={ndim}, while axis={self.axis}"
            )
        kept = tuple(sorted(d % ndim for d in self.axis))
        for d in kept:
            if input_shape[d] is None:
                raise ValueError(
                    f"All `axis` values to be kept must have a known shape. Received axis={self.axis}, inputs.shape={input_shape}, "
                    f"with unknown axis at index {d}"
                )
        self._kept, self._built_shape = kept, tuple(input_shape)
        shape = tuple(input_shape[d] for d in kept)
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(shape, "zeros", "mean", trainable=False)
            self.adapt_variance = self.add_weight(shape, "ones", "variance", trainable=False)
            self.count = self.add_weight((), "zeros", "count", trainable=False)
        else:
            for value in (self.input_mean, self.input_variance):
                self._broadcast(value)

    @property
    def _broadcast_shape(self):
        return tuple(n if d in self._kept else 1 for d, n in enumerate(self._built_shape))

    def _broadcast(self, value):
        """A given mean or variance in the shape that broadcasts to the input."""
        value = np.asarray(value, dtype=self.dtype)
        shape = [1] * len(self._built_shape)
        if value.ndim:
            for d, size in zip(self._kept[-value.ndim :], value.shape):
                shape[d] = size
        try:
            return np.broadcast_to(value.reshape(shape), self._broadcast_shape)
        except ValueError:
            raise ValueError(
                f"`mean` and `variance` of layer '{self.name}' must broadcast to the kept axes {self._kept} of the inputs, of shape "
                f"{tuple(self._built_shape[d] for d in self._kept)}. Received: an array of shape {value.shape}"
            ) from None

    def _moment(self, given, variable):
        if not self.built:
            return None
        if given is not None:
            return self._broadcast(given)
        return variable.numpy().reshape(self._broadcast_shape)

    @property
    def mean(self):
        """The mean, in a shape that broadcasts to the input; None before the layer is built."""
        return self._moment(self.input_mean, self.adapt_mean)

    @property
    def variance(self):
        """The variance, in a shape that broadcasts to the input; None before the layer is built."""
        return self._moment(self.input_variance, self.adapt_variance)

    def adapt(self, data):
        """Learn mean and variance from data; what was learnt before is forgotten.

        Args:
            data: an array, or an iterable of batches: arrays, or tuples whose first entry is the array.

        Raises:
            TypeError: if `data` is neither.
            ValueError: if there is no batch, or if shapes differ from those that the layer was built for.
        """
        batches = [data] if hasattr(data, "shape") else _batches(data)
        count, mean, variance = 0, 0.0, 0.0
        for batch in batches:
            shape = getattr(batch[0] if isinstance(batch, tuple) else batch, "shape", None)
            if shape is None:
                raise TypeError(
                    "adapt() expects an iterable that yields arrays with a `.shape` attribute. Got an element of type "
                    f"{type(batch).__name__}."
                )
            batch = np.asarray(batch[0] if isinstance(batch, tuple) else batch)
            if not self.built:
                self.build(batch.shape)
            self._check_adapt(batch.shape)
            reduced = tuple(d for d in range(batch.ndim) if d not in self._kept)
            n = math.prod(batch.shape[d] for d in reduced)
            batch_mean, batch_variance = np.mean(batch, axis=reduced, dtype=np.float64), np.var(batch, axis=reduced, dtype=np.float64)
            count += n
            share, difference = n / count, batch_mean - mean
            variance = variance * (1 - share) + batch_variance * share + difference**2 * share * (1 - share)
            mean = mean + difference * share
        if not count:
            raise ValueError(
                "adapt() received an empty iterable (no batches). Expected at least one batch. Pass a non-empty iterable of arrays, e.g. "
                "layer.adapt([x]) or layer.adapt(list_of_batches)."
            )
        if self.input_mean is None:
            self.adapt_mean.assign(mean)
            self.adapt_variance.assign(variance)

    def _check_adapt(self, shape):
        if len(shape) != len(self._built_shape) or any(shape[d] != self._built_shape[d] for d in self._kept):
            raise ValueError(
                f"The layer was built with input_shape={self._built_shape}, but adapt() is being called with data with an incompatible "
                f"shape, data.shape={tuple(shape)}"
            )

    def lower(self, plan, x):
        shape = (1,) * (len(x.shape) - len(self._built_shape)) + self._broadcast_shape
        if len(shape) == len(self._built_shape) and 0 in self._kept:
            raise ValueError(
                f"Layer '{self.name}' (Normalization) would have a mean for each sample of the batch, which is not supported. Use "
                f"axis=None for one mean of all. Received: axis={self.axis} for inputs of shape {tuple(x.shape)}"
            )
        y = plan.like(x)
        if self.input_mean is None:
            mean, variance = self.adapt_mean.value, self.adapt_variance.value
        else:
            mean, variance = (np.array(value, order="C") for value in (self.mean, self.variance))
        index = np.broadcast_to(np.arange(mean.size, dtype=np.int64).reshape(shape[1:]), x.shape[1:])
        plan.program.add_affine(
            x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, mean=mean.reshape(-1), variance=variance.reshape(-1),
            index=np.ascontiguousarray(index).reshape(-1), epsilon=smallest(), invert=bool(self.invert),
        )
        return y

    def get_config(self):
        return {
            **super().get_config(), "axis": self.axis, "invert": self.invert, "mean": np.array(self.input_mean).tolist(),
            "variance": np.array(self.input_variance).tolist(),
        }


def _batches(data):
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (list, tuple, dict, str)):
        return (data[i] for i in range(len(data)))  # a dataset of numbered batches
    if hasattr(data, "__iter__") and not isinstance(data, (dict, str)):
        return data
    raise TypeError(f"Unsupported data type: {type(data)}. `adapt` supports arrays and iterables of batches (e.g. list, generator).")
