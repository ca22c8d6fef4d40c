"""Conv2D."""

from .. import activations, constraints, initializers, regularizers
from ..plan import value_of
from .base import Layer, positive_int
from .core import serialized_parts


def pair(value, argument):
    """An int or a pair of them as a pair of positive ints."""
    values = (value, value) if not isinstance(value, (tuple, list)) else tuple(value)
    if len(values) != 2:
        raise ValueError(f"The `{argument}` argument must be an integer or a tuple of 2 integers. Received: {argument}={value}")
    return tuple(positive_int(v, argument) for v in values)


class Conv2D(Layer):
    """2-D convolution, channels last.

    Args:
        filters: number of output channels.
        kernel_size: int or (height, width).
        strides, dilation_rate: int or pair.
        padding: "valid" or "same"; with "same" an odd cell of padding goes right and below.
        activation, use_bias, initializers, regularizers, constraints: as in `Dense`.

    Shapes: input (batch, height, width, channels), output (batch, new_height, new_width, filters); weights
    (kernel height, kernel width, channels, filters), (filters,).

    >>> import numpy as np
    >>> Conv2D(3, 2, padding="same")(np.ones((1, 4, 5, 2))).shape
    (1, 4, 5, 3)
    """

    takes_ids = False
    keeps_mask = False

    def __init__(self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1), groups=1,
                 activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = positive_int(filters, "filters")
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.strides = pair(strides, "strides")
        self.dilation_rate = pair(dilation_rate, "dilation_rate")
        if str(padding).lower() not in ("valid", "same"):
            raise ValueError(f"The `padding` argument must be 'valid' or 'same'. Received: padding={padding!r}")
        self.padding = padding.lower()
        if data_format not in (None, "channels_last") or groups != 1:
            raise ValueError(
                f"Only data_format='channels_last' and groups=1 are supported. Received: data_format={data_format!r}, groups={groups}"
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
        if len(input_shape) != 4:
            raise self.incompatible("min_ndim=4", f"ndim={len(input_shape)}", input_shape)
        if self.built and input_shape[-1] != self.kernel.shape[2]:
            raise self.incompatible(f"axis -1 of input shape to have value {self.kernel.shape[2]}", f"{input_shape[-1]}", input_shape)
        for n, axis in zip(input_shape[1:3], (0, 1)):
            if n is not None and self._length(n, axis)[0] < 1:
                raise ValueError(
                    f"Computed output size would be negative or zero in layer '{self.name}'. Received: input_shape={tuple(input_shape)}, "
                    f"kernel_size={self.kernel_size}, padding={self.padding!r}"
                )

    def build(self, input_shape):
        self.kernel = self.add_weight(
            (*self.kernel_size, input_shape[-1], self.filters), self.kernel_initializer, "kernel",
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.filters,), self.bias_initializer, "bias", regularizer=self.bias_regularizer, constraint=self.bias_constraint
            )

    def _length(self, n, axis):
        """Output length and padding before, along an axis of length n."""
        window, stride = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1, self.strides[axis]
        if self.padding == "valid":
            return (n - window) // stride + 1, 0
        out = -(-n // stride)
        return out, max(0, (out - 1) * stride + window - n) // 2

    def compute_output_shape(self, input_shape):
        lengths = [None if n is None else self._length(n, axis)[0] for axis, n in enumerate(input_shape[1:3])]
        return (input_shape[0], *lengths, self.filters)

    def lower(self, plan, x):
        (height, top), (width, left) = (self._length(n, axis) for axis, n in enumerate(x.shape[1:3]))
        y = plan.tensor(height, width, self.filters)
        plan.program.add_conv2d(
            activation=activations.native_name(self.activation), x=x.value, dx=x.gradient, y=y.value, dy=y.gradient,
            kernel=self.kernel.value, dkernel=plan.gradient_of(self.kernel),
            bias=value_of(self.bias), dbias=plan.gradient_of(self.bias),
            strides=self.strides, dilation=self.dilation_rate, padding=(top, left),
        )
        return y

    def get_config(self):
        return {
            **super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size, "strides": self.strides,
            "padding": self.padding, "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation), "use_bias": self.use_bias,
            **serialized_parts(self, ("kernel", "bias")),
        }


__all__ = ["Conv2D"]
