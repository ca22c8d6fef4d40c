"""Activations that are layers of their own because they have numbers: ReLU with its three, ELU, PReLU, Softmax along any axis."""

import warnings

import numpy as np

from .. import constraints, initializers, regularizers
from .base import Layer
from .core import serialized_parts
from .normalization import positive_axes, rows_of_axes


class ReLU(Layer):
    """x up to `max_value` above the threshold, negative_slope * (x - threshold) below it.

    Args:
        max_value: largest output, None for no limit.
        negative_slope: not negative.
        threshold: not negative.

    Shapes: any; the output is as the input, and keeps its mask.

    Raises:
        ValueError: for a negative argument.

    >>> ReLU(max_value=10.0, negative_slope=0.5)([[-10.0, -5.0, 0.0, 5.0, 20.0]]).tolist()
    [[-5.0, -2.5, 0.0, 5.0, 10.0]]
    """

    takes_ids = False
    needs_sequence = None

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        if max_value is not None and not _not_negative(max_value):
            raise ValueError(f"max_value of a ReLU layer cannot be a negative value. Received: max_value={max_value}")
        for name, value in (("negative_slope", negative_slope), ("threshold", threshold)):
            if not _not_negative(value):
                raise ValueError(f"{name} of a ReLU layer cannot be None or a negative value. Received: {name}={value}")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def lower(self, plan, x):
        return _rectified(
            plan, x, kind="relu", slope=self.negative_slope, threshold=self.threshold,
            max_value=np.inf if self.max_value is None else self.max_value,
        )

    def get_config(self):
        return {
            **super().get_config(), "max_value": self.max_value, "negative_slope": self.negative_slope, "threshold": self.threshold
        }


def _not_negative(value):
    return isinstance(value, (int, float, np.number)) and value >= 0


def _rectified(plan, x, **options):
    y = plan.like(x)
    plan.program.add_rectifier(x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, **options)
    return y


class LeakyReLU(Layer):
    """x where x >= 0, else negative_slope * x (Maas et al., 2013).

    Args:
        negative_slope: not negative; `alpha` in Keras 2.

    Shapes: any; the output is as the input, and keeps its mask.

    >>> LeakyReLU(negative_slope=0.5)([[-10.0, 5.0]]).tolist()
    [[-5.0, 5.0]]
    """

    takes_ids = False
    needs_sequence = None

    def __init__(self, negative_slope=0.3, **kwargs):
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
            warnings.warn("Argument `alpha` is deprecated. Use `negative_slope` instead.", stacklevel=2)
        super().__init__(**kwargs)
        if not _not_negative(negative_slope):
            raise ValueError(
                "The negative_slope value of a Leaky ReLU layer cannot be None or negative value. Expected a float. Received: "
                f"negative_slope={negative_slope}"
            )
        self.negative_slope = negative_slope

    def lower(self, plan, x):
        return _rectified(plan, x, kind="relu", slope=self.negative_slope)

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(Layer):
    """x where x >= 0, else alpha * (exp(x) - 1) (Clevert et al., 2015).

    Args:
        alpha: a number.

    Shapes: any; the output is as the input, and keeps its mask.

    >>> ELU()([[0.0, 5.0]]).tolist()
    [[0.0, 5.0]]
    """

    takes_ids = False
    needs_sequence = None

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(alpha, (int, float, np.number)):
            raise ValueError(f"Argument `alpha` must be a number. Received: alpha={alpha}")
        self.alpha = alpha

    def lower(self, plan, x):
        return _rectified(plan, x, kind="elu", slope=self.alpha)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(Layer):
    """x where x >= 0, else alpha * x with an alpha that is learnt (He et al., 2015).

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: as in Keras.
        shared_axes: axes along which elements share their alpha: [1] makes one for each feature of a sequence.

    Shapes: any; the output is as the input, and keeps its mask. Weights: alpha, the shape of the input without the batch, 1 on shared axes.

    Raises:
        ValueError: for a shared axis that the input does not have, and for inputs of another shape than the first.

    >>> layer = PReLU(alpha_initializer="ones", shared_axes=[1])
    >>> layer([[[-1.0, 2.0]] * 3]).shape, layer.alpha.shape
    ((1, 3, 2), (1, 2))
    """

    takes_ids = False

    def __init__(self, alpha_initializer="Zeros", alpha_regularizer=None, alpha_constraint=None, shared_axes=None, **kwargs):
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = None if shared_axes is None else [*shared_axes] if isinstance(shared_axes, (list, tuple)) else [shared_axes]
        self.alpha = None

    @property
    def needs_sequence(self):
        if self.alpha is not None and len(self.alpha.shape) > 1 and self.alpha.shape[0] != 1:
            return "each time step has weights of its own (shared_axes=[1] shares them)"
        return None

    def check_input(self, input_shape):
        if self.alpha is None:
            return
        shape = self.alpha.shape
        if len(input_shape) != len(shape) + 1:
            raise self.incompatible(f"ndim={len(shape) + 1}", f"ndim={len(input_shape)}", input_shape)
        for i, n in enumerate(shape, 1):
            if n not in (1, input_shape[i]) and input_shape[i] is not None:
                raise self.wrong_size(i, n, input_shape)

    def build(self, input_shape):
        shape = list(input_shape[1:])
        for i in self.shared_axes or ():
            if not -len(shape) < i <= len(shape):
                raise ValueError(
                    f"Argument `shared_axes` of layer '{self.name}' names axis {i}, which inputs of shape {input_shape} do not have. "
                    f"Received: shared_axes={self.shared_axes}"
                )
            shape[i - 1] = 1
        self.alpha = self.add_weight(
            tuple(shape), self.alpha_initializer, "alpha", regularizer=self.alpha_regularizer, constraint=self.alpha_constraint
        )

    def lower(self, plan, x):
        y = plan.tensor(*x.shape[1:], mask=x.mask)
        alpha, gradient = self.alpha.value, plan.gradient_of(self.alpha)
        index = np.broadcast_to(np.arange(alpha.size, dtype=np.int64).reshape(alpha.shape), x.shape[1:])
        plan.program.add_rectifier(
            kind="prelu", x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, alpha=alpha.reshape(-1),
            dalpha=None if gradient is None else gradient.reshape(-1), index=np.ascontiguousarray(index).reshape(-1),
        )
        return y

    def get_config(self):
        return {**super().get_config(), **serialized_parts(self, ("alpha",)), "shared_axes": self.shared_axes}


class Softmax(Layer):
    """exp(x) / sum(exp(x)) along one axis or several.

    Args:
        axis: int, or a list of them.

    Call arguments: `mask`, an array that broadcasts to the inputs: True where elements count. The others become 0.

    Shapes: any; the output is as the input, and keeps its mask.

    Raises:
        ValueError: for an axis that the input does not have; for a mask that does not broadcast to the inputs, as that of the steps of a
            sequence (from `Masking` or an `Embedding`) does not. `Activation("softmax")` ignores such masks.

    >>> Softmax()([[1.0, 1.0, 1.0]], mask=np.array([[True, True, False]])).tolist()
    [[0.5, 0.5, 0.0]]
    """

    takes_ids = False

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self._axes = ()

    @property
    def needs_sequence(self):
        return "its axis is that of the time steps" if 1 in self._axes and self._rank > 2 else None

    def check_input(self, input_shape):
        self._axes, self._rank = positive_axes(self, self.axis, input_shape), len(input_shape)

    def lower(self, plan, x, mask=None):
        mask = x.mask if mask is None else np.asarray(mask)
        order, size = rows_of_axes(x.shape, self._axes)
        keep = None if mask is None else self._keep(mask, x, order)
        y = plan.like(x)
        plan.program.add_normalize(
            mode="softmax", x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, size=size, order=order, keep=keep
        )
        return y

    def _keep(self, mask, x, order):
        received = f"Received: inputs.shape={tuple(x.shape)}, mask.shape={tuple(mask.shape)}"
        if mask.ndim > len(x.shape):
            raise ValueError(f"The `mask` must be broadcastable to `inputs` and must not have more dimensions. {received}")
        if mask is x.mask or any(n not in (1, size) for n, size in zip(mask.shape[::-1], x.shape[::-1])):
            raise ValueError(
                "The `mask` must be broadcastable to `inputs`. Each mask dimension must be 1 or match the corresponding input "
                f"dimension. {received}"
            )
        mask = mask if mask.dtype == bool else mask > 0.5
        keep = np.broadcast_to(mask, x.shape).reshape(x.shape[0], -1)
        return np.ascontiguousarray(keep if order is None else keep[:, order]).view(np.uint8)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}
