"""Conv1D and Conv2D."""

import numpy as np

from .. import activations, constraints, initializers, regularizers
from ..plan import value_of
from ._arguments import int_tuple
from .base import positive_int
from .core import serialized_parts
from .spatial import Spatial, as_image, windows


class Convolution(Spatial):
    """Base of convolutions over steps or pixels."""

    paddings = ("valid", "same")

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, groups=1, activation=None,
                 use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros", kernel_regularizer=None,
                 bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(data_format, activity_regularizer=activity_regularizer, **kwargs)
        if isinstance(filters, (int, np.integer)) and filters <= 0:
            raise ValueError(f"Invalid value for argument `filters`. Expected a strictly positive value. Received filters={filters}.")
        self.filters = positive_int(filters, "filters")
        self.kernel_size = int_tuple(kernel_size, self.rank, "kernel_size")
        self.strides = int_tuple(strides, self.rank, "strides")
        self.dilation_rate = int_tuple(dilation_rate, self.rank, "dilation_rate")
        if str(padding).lower() not in self.paddings:
            raise ValueError(f"The `padding` argument must be one of {self.paddings}. Received: padding={padding}")
        self.padding = padding.lower()
        if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups <= 0:
            raise ValueError(f"The number of groups must be a positive integer. Received: groups={groups}.")
        self.groups = int(groups)
        if self.filters % self.groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. "
                f"Received: groups={self.groups}, filters={self.filters}."
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides={self.strides} and "
                f"dilation_rate={self.dilation_rate}"
            )
        self.activation = activations.get(activation)
        activations.native_name(self.activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel = self.bias = None

    def check_input(self, input_shape):
        if len(input_shape) < self.rank + 2:
            raise self.incompatible(f"min_ndim={self.rank + 2}", f"ndim={len(input_shape)}", input_shape)
        channels = self._split(input_shape)[1]
        if channels is None:
            raise ValueError(
                f"The channel dimension of the inputs to layer '{self.name}' ({type(self).__name__}) must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        if self.built and channels != self.kernel.shape[-2] * self.groups:
            axis = -1 if self.data_format == "channels_last" else 1
            raise ValueError(
                f"Input 0 of layer '{self.name}' is incompatible with the layer: expected axis {axis} of input shape to have value "
                f"{self.kernel.shape[-2] * self.groups}, but received input with shape {tuple(input_shape)}"
            )
        if channels == 0:
            raise ValueError(f"Layer '{self.name}' cannot take inputs without channels. Received: input_shape={tuple(input_shape)}")
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. Received "
                f"groups={self.groups}, but the input has {channels} channels (full input shape is {tuple(input_shape)})."
            )
        self.compute_output_shape(input_shape)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            (*self.kernel_size, self._split(input_shape)[1] // self.groups, self.filters), self.kernel_initializer, "kernel",
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.filters,), self.bias_initializer, "bias", regularizer=self.bias_regularizer, constraint=self.bias_constraint
            )

    def _windows(self, spatial):
        extent = [(size - 1) * rate + 1 for size, rate in zip(self.kernel_size, self.dilation_rate)]
        return windows(spatial, extent, self.strides, self.padding)

    def compute_output_shape(self, input_shape):
        spatial, channels = self._split(input_shape)
        kernel_shape = (*self.kernel_size, channels, self.filters)
        if len(spatial) != self.rank:
            raise ValueError(
                f"Kernel shape must have the same length as input, but received kernel of shape {kernel_shape} and input of shape "
                f"{tuple(input_shape)}."
            )
        counts = [count for count, _ in self._windows(spatial)]
        if any(count is not None and count < 1 for count in counts):
            raise ValueError(
                f"Computed output size would be zero or negative. Received `inputs shape={tuple(input_shape)}`, "
                f"`kernel shape={kernel_shape}`, `dilation_rate={self.dilation_rate}`, `strides={self.strides}`, `padding={self.padding}`."
            )
        return self._joined(input_shape[0], counts, self.filters)

    def lower(self, plan, x):
        z = super().lower(plan, x)
        if not self._activates_apart():
            return z
        y = plan.tensor(*z.shape[1:])
        plan.program.add_activation(
            activation=activations.native_name(self.activation), x=z.value, dx=z.gradient, y=y.value, dy=y.gradient
        )
        return y

    def _activates_apart(self):
        """Whether the activation is an operation of its own: the convolution computes one group at a time, and has the channels last, while
        softmax runs along the last axis of the output."""
        return activations.native_name(self.activation) != "linear" and (self.groups > 1 or self.data_format == "channels_first")

    def _lower_image(self, plan, x):
        (height, top), (width, left) = [(1, 0)] * (2 - self.rank) + self._windows(x.shape[3 - self.rank : 3])
        kernel, (dkernel, dbias) = self.kernel.value, plan.gradients_of(self.kernel, self.bias)
        if self.rank == 1:
            kernel, dkernel = kernel[None], None if dkernel is None else dkernel[None]
        y = plan.tensor(height, width, self.filters)
        plan.program.add_conv2d(
            activation="linear" if self._activates_apart() else activations.native_name(self.activation),
            x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, kernel=kernel, dkernel=dkernel,
            bias=value_of(self.bias), dbias=dbias,
            strides=as_image(self.strides), dilation=as_image(self.dilation_rate), padding=(top, left),
        )
        return y

    def get_config(self):
        return {
            "activity_regularizer": None, **super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size,
            "strides": self.strides, "padding": self.padding, "data_format": self.data_format, "dilation_rate": self.dilation_rate, "groups": self.groups,
            "activation": activations.serialize(self.activation), "use_bias": self.use_bias,
            **serialized_parts(self, ("kernel", "bias")),
        }


class Conv1D(Convolution):
    """1-D convolution: each output step is a Dense of the `kernel_size` input steps around it.

    Args:
        filters: number of output features.
        kernel_size: time steps of a window.
        strides: time steps from one window to the next.
        padding: "valid": windows lie inside of the sequence; "same": zeros at both ends, an odd one at the end; "causal": zeros before the
            start, so that no output depends on later steps.
        data_format: "channels_last" (default), or "channels_first" for inputs (batch, features, timesteps).
        dilation_rate: distance of neighbouring steps of a window.
        groups: the features are split into so many groups, each with its own share of the filters.
        activation, use_bias, initializers, regularizers, constraints: as in `Dense`.

    Shapes: input (batch, timesteps, features), output (batch, new_timesteps, filters); weights (kernel_size, features / groups, filters),
    (filters,).

    Raises:
        ValueError: for sizes that are not positive or not multiples of `groups`, strides together with dilation, and sequences shorter
            than a window.

    >>> Conv1D(1, 2, padding="causal", kernel_initializer="ones")([[[1.0], [2.0], [3.0]]]).tolist()
    [[[1.0], [3.0], [5.0]]]
    """

    rank = 1
    paddings = ("valid", "same", "causal")
    needs_sequence = "its kernel covers several time steps"


class Conv2D(Convolution):
    """2-D convolution.

    Args:
        filters: number of output channels.
        kernel_size: int or (height, width).
        strides, dilation_rate: int or pair; not both more than 1.
        padding: "valid" or "same"; with "same" an odd cell of padding goes right and below.
        data_format: "channels_last" (default), or "channels_first" for inputs (batch, channels, height, width).
        groups: the channels are split into so many groups, each with its own share of the filters.
        activation, use_bias, initializers, regularizers, constraints: as in `Dense`.

    Shapes: input (batch, height, width, channels), output (batch, new_height, new_width, filters); weights
    (kernel height, kernel width, channels / groups, filters), (filters,).

    Raises:
        ValueError: as `Conv1D`.

    >>> import numpy as np
    >>> Conv2D(3, 2, padding="same")(np.ones((1, 4, 5, 2))).shape
    (1, 4, 5, 3)
    """


__all__ = ["Conv1D", "Conv2D"]
