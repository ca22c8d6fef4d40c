"""Layers that only move numbers: Reshape and Flatten look at the same memory, the others copy it in another order."""

import math

import numpy as np

from ..plan import Tensor
from ._arguments import checked_data_format, int_tuple
from .base import Layer, _as_tuple


def rearranged(plan, x, axes):
    """A copy of a Tensor with its axes in another order, padded, cut and repeated; without the mask.

    axes: for each axis of the result, the batch aside, (axis of x, entries before, entries after, repeat): each entry is repeated, then
    zeros are put before and after, or, where their number is negative, entries are left out there.
    """
    shape = _rearranged_shape(x.shape, axes)[1:]
    dtype = x.value.dtype.name  # of a layer's floats, or of ids on their way to an Embedding
    y = Tensor(plan.array(*shape, dtype=dtype), None if x.gradient is None else plan.array(*shape))
    plan.program.add_rearrange(
        x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, axes=[(source, before, repeat) for source, before, _, repeat in axes]
    )
    return y


def _rearranged_shape(shape, axes):
    def length(source, before, after, repeat):
        return None if shape[source] is None else shape[source] * repeat + before + after

    return (shape[0], *(length(*axis) for axis in axes))


class Rearranging(Layer):
    """Base of the layers that are one `rearranged`, told by `_axes`. The mask is dropped."""

    keeps_mask = supports_masking = False
    rank = 3  # axes of the input, with the batch

    def check_input(self, input_shape):
        if len(input_shape) != self.rank:
            raise self.incompatible(f"ndim={self.rank}", f"ndim={len(input_shape)}", input_shape)
        self.compute_output_shape(input_shape)

    def _axes(self):
        """The `axes` of `rearranged`."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape):
        return _rearranged_shape(input_shape, self._axes())

    def lower(self, plan, x):
        return rearranged(plan, x, self._axes())


def _plain(axis):
    return (axis, 0, 0, 1)


class Permute(Rearranging):
    """Axes in another order.

    Args:
        dims: the axes of the input in their new order, the batch left out: `(2, 1)` exchanges the first two.

    Raises:
        ValueError: if `dims` are not the numbers from 1 on.

    >>> import numpy as np
    >>> Permute((2, 1))(np.ones((4, 10, 3))).shape
    (4, 3, 10)
    """

    needs_sequence = "it exchanges the time steps with another axis"

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = _as_tuple(dims, "dims")
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be consecutive and start from 1. "
                f"Received dims={dims}"
            )
        self.rank = len(self.dims) + 1

    def _axes(self):
        return [_plain(axis) for axis in self.dims]

    def get_config(self):
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Rearranging):
    """A vector as each of n time steps.

    Shapes: input (batch, features), output (batch, n, features).

    Raises:
        TypeError, ValueError: if `n` is not a positive integer.

    >>> RepeatVector(2)([[1.0, 3.0]]).tolist()
    [[[1.0, 3.0], [1.0, 3.0]]]
    """

    rank = 2
    needs_sequence = "it makes a sequence of one vector"

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        self.n = _positive(n, "n", "Argument `n` should be a positive integer. Received: n={}")

    def _axes(self):
        return [(1, 0, 0, self.n), _plain(2)]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n, input_shape[1])

    def lower(self, plan, x):
        return super().lower(plan, x.reshape(1, x.shape[1]))

    def get_config(self):
        return {**super().get_config(), "n": self.n}


class UpSampling1D(Rearranging):
    """Each time step `size` times in a row.

    Shapes: input (batch, timesteps, features), output (batch, timesteps * size, features).

    Raises:
        TypeError, ValueError: if `size` is not a positive integer.

    >>> UpSampling1D(2)([[[1.0], [3.0]]]).tolist()
    [[[1.0], [1.0], [3.0], [3.0]]]
    """

    needs_sequence = "it makes several time steps of one"

    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        self.size = _positive(size, "size", "Argument `size` should be a positive integer. Received: size={}")

    def _axes(self):
        return [(1, 0, 0, self.size), _plain(2)]

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def _positive(value, argument, message):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"Expected an integer value for `{argument}`, got {type(value)}.")
    if value <= 0:
        raise ValueError(message.format(value))
    return int(value)


class Cropping1D(Rearranging):
    """Time steps cut off at the start and the end.

    Args:
        cropping: how many at each end, or (at the start, at the end).

    Shapes: input (batch, timesteps, features), output (batch, timesteps - start - end, features).

    Raises:
        ValueError: if `cropping` is negative, or nothing is left.

    >>> Cropping1D((1, 0))([[[1.0], [3.0]]]).tolist()
    [[[3.0]]]
    """

    needs_sequence = "it leaves out time steps"

    def __init__(self, cropping=(1, 1), **kwargs):
        super().__init__(**kwargs)
        self.cropping = int_tuple(cropping, 2, "cropping", zero=True)

    def _axes(self):
        start, end = self.cropping
        return [(1, -start, -end, 1), _plain(2)]

    def compute_output_shape(self, input_shape):
        if input_shape[1] is not None and sum(self.cropping) >= input_shape[1]:
            raise ValueError(
                "`cropping` parameter of `Cropping1D` layer must be smaller than the input length. Received: "
                f"input_shape={tuple(input_shape)}, cropping={self.cropping}"
            )
        return super().compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "cropping": self.cropping}


class ZeroPadding1D(Rearranging):
    """Time steps of zeros at the start and the end.

    Args:
        padding: how many at each end, or (at the start, at the end).
        data_format: "channels_last" (default) or "channels_first", where the time steps are the last axis.

    Shapes: input (batch, timesteps, features), output (batch, timesteps + start + end, features).

    Raises:
        ValueError: if `padding` is negative.

    >>> ZeroPadding1D((2, 0))([[[1.0], [3.0]]]).tolist()
    [[[0.0], [0.0], [1.0], [3.0]]]
    """

    needs_sequence = "it adds time steps"

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.padding = int_tuple(padding, 2, "padding", zero=True)
        self.data_format = checked_data_format(data_format)

    def _axes(self):
        return _padded([self.padding], self.data_format)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


class ZeroPadding2D(Rearranging):
    """Rows and columns of zeros around an image.

    Args:
        padding: how many on every side, or (above and below, left and right), or ((above, below), (left, right)).
        data_format: "channels_last" (default) or "channels_first".

    Shapes: input (batch, height, width, channels), output (batch, height + above + below, width + left + right, channels).

    Raises:
        ValueError: if `padding` is negative or of another form.

    >>> import numpy as np
    >>> ZeroPadding2D(((1, 0), (2, 3)))(np.ones((1, 4, 5, 2))).shape
    (1, 5, 10, 2)
    """

    rank = 4
    needs_sequence = "it adds time steps"

    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(**kwargs)
        if isinstance(padding, (int, np.integer)):
            padding = (padding, padding)
        elif not hasattr(padding, "__len__"):
            raise ValueError(
                "`padding` should be either an int, a tuple of 2 ints (symmetric_height_crop, symmetric_width_crop), or a tuple of 2 "
                f"tuples of 2 ints ((top_crop, bottom_crop), (left_crop, right_crop)). Received: padding={padding}."
            )
        elif len(padding) != 2:
            raise ValueError(f"`padding` should have two elements. Received: padding={padding}.")
        self.padding = tuple(
            int_tuple(entry, 2, f"{which} entry of padding", zero=True) for entry, which in zip(padding, ("1st", "2nd"))
        )
        self.data_format = checked_data_format(data_format)

    def _axes(self):
        return _padded(self.padding, self.data_format)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


def _padded(padding, order):
    """The axes of zeros around steps or pixels."""
    first = 1 if order == "channels_last" else 2
    padded = [(first + k, before, after, 1) for k, (before, after) in enumerate(padding)]
    return [*padded, _plain(first + len(padding))] if order == "channels_last" else [_plain(1), *padded]


class Flatten(Layer):
    """(batch, a, b, ...) to (batch, a * b * ...), and (batch,) to (batch, 1). The mask is dropped.

    Args:
        data_format: "channels_last" (default), or "channels_first": then the first axis is moved to the end before.

    >>> import numpy as np
    >>> Flatten()(np.ones((4, 10, 3))).shape
    (4, 30)
    """

    keeps_mask = supports_masking = False
    needs_sequence = "it joins the time steps"

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = checked_data_format(data_format)

    def compute_output_shape(self, input_shape):
        tail = input_shape[1:]
        return (input_shape[0], None if None in tail else math.prod(tail))

    def lower(self, plan, x):
        if self.data_format == "channels_first" and len(x.shape) > 2:
            x = channels_last(plan, x)
        return x.reshape(math.prod(x.shape[1:]))

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


def channels_last(plan, x):
    """A copy of a Tensor with its first axis after the batch at the end."""
    return rearranged(plan, x, [_plain(axis) for axis in (*range(2, len(x.shape)), 1)])


def channels_first(plan, x):
    """The inverse of `channels_last`."""
    last = len(x.shape) - 1
    return rearranged(plan, x, [_plain(axis) for axis in (last, *range(1, last))])


class Reshape(Layer):
    """To another shape of the same size; one entry may be -1. The mask is dropped.

    Raises:
        ValueError: if the numbers do not fit into the new shape.

    >>> Reshape((2, -1))([[1.0, 2.0, 3.0, 4.0]]).shape
    (1, 2, 2)
    """

    keeps_mask = supports_masking = False

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = _as_tuple(target_shape, "target_shape")
        for n in self.target_shape:
            if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < -1:
                raise ValueError(
                    "Each dimension in `target_shape` must be a non-negative integer, or `-1` for a single unknown dimension. "
                    f"Received: target_shape={self.target_shape}."
                )
        if self.target_shape.count(-1) > 1:
            raise ValueError(
                f"There must be at most one unknown dimension (-1) in `target_shape`. Received: target_shape={self.target_shape}."
            )

    def compute_output_shape(self, input_shape):
        tail = tuple(input_shape[1:])
        if None in tail:
            return (input_shape[0], *(None if n == -1 else n for n in self.target_shape))
        total = math.prod(tail)
        if -1 not in self.target_shape:
            if total != math.prod(self.target_shape):
                raise ValueError(
                    "The total size of the tensor must be unchanged. Received: "
                    f"input_shape={tail}, target_shape={self.target_shape}"
                )
            return (input_shape[0], *self.target_shape)
        known = -math.prod(self.target_shape)
        if known == 0 or total % known:
            raise ValueError(
                "The total size of the tensor must be unchanged, however, the input size cannot by divided by the specified dimensions in "
                f"target_shape. Received: input_shape={tail}, target_shape={self.target_shape}"
            )
        return (input_shape[0], *(total // known if n == -1 else n for n in self.target_shape))

    def check_input(self, input_shape):
        self.compute_output_shape(input_shape)

    def lower(self, plan, x):
        return x.reshape(*self.compute_output_shape(x.shape)[1:])

    def get_config(self):
        return {**super().get_config(), "target_shape": self.target_shape}


__all__ = ["Cropping1D", "Flatten", "Permute", "RepeatVector", "Reshape", "UpSampling1D", "ZeroPadding1D", "ZeroPadding2D"]
