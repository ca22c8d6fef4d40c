"""Pooling: the largest or mean value over windows, or over all steps or pixels."""

from ..plan import Tensor
from ._arguments import int_tuple
from .spatial import Spatial, as_image, windows


class Pooling(Spatial):
    """Base of pooling over windows."""

    mode = None
    needs_sequence = "a window covers several time steps"

    def __init__(self, pool_size, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.pool_size = int_tuple(pool_size, self.rank, "pool_size")
        self.strides = self.pool_size if strides is None else int_tuple(strides, self.rank, "strides")
        self.padding = padding
        if padding not in ("valid", "same"):
            raise ValueError(f"Argument `padding` must be either 'valid' or 'same'. Received: padding={padding}")

    def check_input(self, input_shape):
        if len(input_shape) != self.rank + 2:
            raise self.incompatible(f"ndim={self.rank + 2}", f"ndim={len(input_shape)}", input_shape)
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape):
        spatial, channels = self._split(input_shape)
        counts = [count for count, _ in windows(spatial, self.pool_size, self.strides, self.padding)]
        if any(count is not None and count < 1 for count in counts):
            raise ValueError(
                f"Computed output size would be zero or negative. Received: `inputs.shape={tuple(input_shape)}`, "
                f"`pool_size={self.pool_size}`, `strides={self.strides}`, `padding={self.padding}`."
            )
        return self._joined(input_shape[0], counts, channels)

    def _lower_image(self, plan, x):
        sizes, strides = as_image(self.pool_size), as_image(self.strides)
        (height, top), (width, left) = windows(x.shape[1:3], sizes, strides, self.padding)
        y = _result(plan, x, height, width, x.shape[3])
        plan.program.add_pool(
            mode=self.mode, x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, pool_size=sizes, strides=strides, padding=(top, left)
        )
        return y

    def get_config(self):
        return {
            **super().get_config(), "pool_size": self.pool_size, "padding": self.padding, "strides": self.strides,
            "data_format": self.data_format,
        }


def _result(plan, x, *tail):
    """A new value (batch, *tail) that has a gradient where x has one."""
    return Tensor(plan.array(*tail), None if x.gradient is None else plan.array(*tail))


class MaxPooling1D(Pooling):
    """The largest value of each feature in windows over time.

    Args:
        pool_size: time steps of a window.
        strides: time steps from one window to the next; default `pool_size`.
        padding: "valid": windows lie inside of the sequence; "same": windows stick out at the ends where necessary, and there are
            timesteps / strides of them, rounded up.
        data_format: "channels_last" (default), or "channels_first" for inputs (batch, features, timesteps).

    Shapes: input (batch, timesteps, features), output (batch, new_timesteps, features).

    Raises:
        ValueError: for a size or stride that is not positive, an unknown padding, or sequences shorter than a window.

    >>> MaxPooling1D(2)([[[1.0], [4.0], [2.0], [3.0]]]).tolist()
    [[[4.0], [3.0]]]
    """

    mode = "max"
    rank = 1

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)


class MaxPooling2D(Pooling):
    """The largest value of each channel in windows over an image.

    Args:
        pool_size: int or (height, width) of a window.
        strides: int or pair, cells from one window to the next; default `pool_size`.
        padding, data_format: as in `MaxPooling1D`.

    Shapes: input (batch, height, width, channels), output (batch, new_height, new_width, channels).

    Raises:
        ValueError: as `MaxPooling1D`.

    >>> import numpy as np
    >>> MaxPooling2D()(np.ones((1, 4, 6, 3))).shape
    (1, 2, 3, 3)
    """

    mode = "max"

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)


class AveragePooling1D(Pooling):
    """The mean of each feature in windows over time; padding does not count.

    Arguments, shapes and errors as in `MaxPooling1D`, but `pool_size` must be given.

    >>> AveragePooling1D(2, padding="same")([[[1.0], [4.0], [2.0]]]).tolist()
    [[[2.5], [2.0]]]
    """

    mode = "average"
    rank = 1


class AveragePooling2D(Pooling):
    """The mean of each channel in windows over an image; padding does not count.

    Arguments, shapes and errors as in `MaxPooling2D`, but `pool_size` must be given.

    >>> AveragePooling2D(2)([[[[1.0], [4.0]], [[2.0], [3.0]]]]).tolist()
    [[[[2.5]]]]
    """

    mode = "average"


class GlobalPooling(Spatial):
    """Base of pooling over everything."""

    mode = None
    needs_sequence = "it is over all time steps"

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, **kwargs)
        self.keepdims = keepdims

    def check_input(self, input_shape):
        if len(input_shape) != self.rank + 2:
            raise self.incompatible(f"ndim={self.rank + 2}", f"ndim={len(input_shape)}", input_shape)
        if 0 in input_shape[1:]:
            raise ValueError(f"Layer '{self.name}' cannot pool inputs without time steps. Received: input_shape={tuple(input_shape)}")

    def compute_output_shape(self, input_shape):
        spatial, channels = self._split(input_shape)
        if not self.keepdims:
            return (input_shape[0], channels)
        return self._joined(input_shape[0], [1] * len(spatial), channels)

    def lower(self, plan, x, **options):
        y = super().lower(plan, x, **options)
        return y if self.keepdims else y.reshape(self.compute_output_shape(x.shape)[1])

    def _lower_image(self, plan, x, mask=None):
        y = _result(plan, x, 1, 1, x.shape[3])
        flat = y.reshape(x.shape[3])
        plan.program.add_global_pool(mode=self.mode, x=x.value, dx=x.gradient, y=flat.value, dy=flat.gradient, mask=mask)
        return y

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


class GlobalMaxPooling1D(GlobalPooling):
    """The largest value of each feature over all time steps; a mask makes no difference.

    Args:
        data_format: "channels_last" (default), or "channels_first" for inputs (batch, features, timesteps).
        keepdims: whether the output keeps a time axis, of length 1.

    Shapes: input (batch, timesteps, features), output (batch, features).

    >>> GlobalMaxPooling1D()([[[1.0, 5.0], [4.0, 2.0]]]).tolist()
    [[4.0, 5.0]]
    """

    mode = "max"
    rank = 1


class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of each channel of an image.

    Args:
        data_format, keepdims: as in `GlobalMaxPooling1D`.

    Shapes: input (batch, height, width, channels), output (batch, channels).

    >>> import numpy as np
    >>> GlobalMaxPooling2D(keepdims=True)(np.ones((2, 4, 5, 3))).shape
    (2, 1, 1, 3)
    """

    mode = "max"


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of each feature over all time steps that are not masked; NaN where all are.

    Args:
        data_format, keepdims: as in `GlobalMaxPooling1D`.

    Shapes: input (batch, timesteps, features), output (batch, features). Called on an array it takes also `mask` (batch, timesteps).

    >>> GlobalAveragePooling1D()([[[1.0], [4.0], [1.0]]], mask=[[True, True, False]]).tolist()
    [[2.5]]
    """

    mode = "average"
    rank = 1
    supports_masking = True

    def _lower_image(self, plan, x, mask=None):
        steps = x.reshape(*x.shape[2:])
        steps.mask = x.mask
        return super()._lower_image(plan, x, self.mask_of(plan, steps, mask))


class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel of an image.

    Args:
        data_format, keepdims: as in `GlobalMaxPooling1D`.

    Shapes: input (batch, height, width, channels), output (batch, channels).

    >>> import numpy as np
    >>> GlobalAveragePooling2D()(np.ones((2, 4, 5, 3))).shape
    (2, 3)
    """

    mode = "average"


__all__ = [
    "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "MaxPooling1D", "MaxPooling2D",
]
