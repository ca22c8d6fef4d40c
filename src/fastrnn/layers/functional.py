"""Lambda and ActivityRegularization."""

import numpy as np

from .. import _identifiers
from ..regularizers import L1L2
from .base import Layer


class Lambda(Layer):
    """A NumPy function as a layer.

    Args:
        function: f(x), from a batch to a batch; it may take `training` and `mask` too.
        output_shape: of one sample, as a tuple or as a function of the input shape; default is what a trial on zeros gives.
        mask: of the output: an array, or a function of (x, mask). Default: the output has none.
        arguments: dict of further keyword arguments of `function`.
        gradient: function (x, y, dy) that returns the gradient of x, or "elementwise" for a function that maps every element for itself: it is
            then differentiated numerically, in float64. Needed in training, unless no layer below has weights.

    Raises:
        ValueError: on training without the gradient that it needs.

    >>> Lambda(lambda x: x ** 2, gradient=lambda x, y, dy: 2 * x * dy)([[3.0]]).tolist()
    [[9.0]]
    """

    keeps_mask = False
    needs_sequence = "its function may look at several time steps at once"

    def __init__(self, function, output_shape=None, mask=None, arguments=None, gradient=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise ValueError(f"Argument `function` of layer '{self.name}' must be callable. Received: function={function!r}")
        if gradient is not None and gradient != "elementwise" and not callable(gradient):
            raise ValueError(f"Argument `gradient` must be a function (x, y, dy), or 'elementwise'. Received: gradient={gradient!r}")
        self.function = function
        self.gradient = gradient
        self.mask = mask
        self.arguments = dict(arguments or {})
        self._output_shape = output_shape

    def compute_output_shape(self, input_shape):
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return tuple(self._output_shape(tuple(input_shape)))
        return (input_shape[0], *([self._output_shape] if isinstance(self._output_shape, int) else self._output_shape))

    @property
    def forward(self):
        if not self.arguments:
            return self.function
        import functools

        return functools.partial(self.function, **self.arguments)

    def backward(self, x, y, dy):
        if self.gradient is None:
            raise ValueError(
                f"Layer '{self.name}' has no gradient, and layers below it have weights to train: there is no tape that could find it. Pass "
                "`gradient=`, a function (x, y, dy) that returns the gradient of x, or 'elementwise'."
            )
        if callable(self.gradient):
            return self.gradient(x, y, dy)
        middle = np.asarray(x, np.float64)
        step = 1e-6 * np.maximum(1, np.abs(middle))
        above, below = self.forward(middle + step), self.forward(middle - step)
        return dy * (np.asarray(above) - below) / (2 * step)

    def check_differentiable(self):
        if self.gradient is None:
            self.backward(None, None, None)

    def output_mask(self, plan, x):
        if self.mask is None:
            return None
        shape = (plan.batch, *self.compute_output_shape(x.shape)[1:2])
        mask = plan.array(*shape[1:], dtype="uint8")

        def forward(n, training):
            before = None if x.mask is None else x.mask[:n].view(bool)
            value = self.mask(x.value[:n], before) if callable(self.mask) else self.mask
            mask[:n] = True if value is None else np.broadcast_to(np.asarray(value, bool), mask[:n].shape)

        plan.call(forward, _nothing, x.value)
        return mask

    def get_config(self):
        config = {
            **super().get_config(), "function": _written(self.function), "arguments": self.arguments,
            "output_shape": self._output_shape if not callable(self._output_shape) else _written(self._output_shape),
        }
        if self.gradient is not None:  # an argument that Keras's layer does not have
            config["gradient"] = self.gradient if self.gradient == "elementwise" else _written(self.gradient)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("function", "gradient", "output_shape", "mask"):
            if isinstance(config.get(key), dict):
                config[key] = _identifiers.find(f"`{key}` of a Lambda layer", config[key], {}, custom_objects)
        return cls(**config)


def _nothing(n):
    pass


def _written(function):
    """A function in the configuration, as Keras's Lambda writes it."""
    config = _identifiers.serialize(function)
    if config["class_name"] == "__lambda__":
        config["config"] = dict(zip(("code", "defaults", "closure"), config["config"]["value"]))
    return config


class ActivityRegularization(Layer):
    """Passes its input on, and adds l1 * sum(|x|) + l2 * sum(x^2), divided by the number of samples, to the loss.

    Shapes: any; the output is the input.

    >>> ActivityRegularization(l2=0.1)([[1.0, 2.0]]).tolist()
    [[1.0, 2.0]]
    """

    takes_ids = False
    needs_sequence = None

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        super().__init__(activity_regularizer=L1L2(l1, l2), **kwargs)
        self.l1, self.l2 = float(l1), float(l2)

    def lower(self, plan, x):
        return x

    def get_config(self):
        config = super().get_config()
        del config["activity_regularizer"]
        return {**config, "l1": self.l1, "l2": self.l2}
