"""What all losses share: aligned shapes, weights and masks, the reduction, and the `Loss` classes."""

import functools

import numpy as np

from .. import _identifiers
from ..config import floatx, unique_name


def align(y_true, y_pred):
    """Both as float arrays of one type whose ranks agree where a last axis of 1 allows it.

    Targets ``(batch,)`` against predictions ``(batch, 1)`` become ``(batch, 1)``; targets ``(batch, 1)``
    against predictions ``(batch,)`` make those ``(batch, 1)``; at higher ranks the longer one is squeezed.
    """
    y_pred = np.asarray(y_pred)
    if y_pred.dtype.kind != "f":
        y_pred = y_pred.astype(floatx())
    return match_ranks(np.asarray(y_true, dtype=y_pred.dtype), y_pred)


def match_ranks(a, b):
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 else (a, b[..., 0])
    return a, b


def match_weight(values, weight, what):
    """``values`` and ``weight`` made broadcastable: a weight per sample spreads over the further axes."""
    if values.ndim == 0:  # one value for the whole batch, as of Dice: every weight weighs it
        values = np.broadcast_to(values, weight.shape)
    values, weight = match_ranks(values, weight)
    if 0 < weight.ndim < values.ndim:
        weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
    try:
        shape = np.broadcast_shapes(values.shape, weight.shape)
    except ValueError:
        shape = None
    if shape != values.shape:
        raise ValueError(
            f"`{what}` of shape {weight.shape} does not match the per-sample values of shape {values.shape}: "
            f"expected one weight per sample {values.shape[:1]} or per value {values.shape}."
        )
    return values, weight


_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


def reduce_weighted_values(values, sample_weight=None, mask=None, reduction="sum_over_batch_size"):
    """Reduce per-sample ``values`` to one number (or weight them only, with reduction "none").

    Args:
        values: array, one value per sample (or per sample and step).
        sample_weight: None, a number, or an array of shape ``(batch,)`` or of the shape of ``values``.
        mask: None or an array like ``values``; False leaves a value out; the mean is over the valid ones.
        reduction: one of "sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None.

    >>> float(reduce_weighted_values(np.array([1.0, 2.0, 3.0]), sample_weight=np.array([1.0, 0.0, 1.0])))
    1.3333333333333333
    """
    values = np.asarray(values)
    weight = combined_weight(values, sample_weight, mask, reduction)
    if weight is not None:
        values, weight = match_weight(values, weight, "sample_weight")
        values = values * weight
    if reduction in (None, "none") or values.ndim == 0 or values.shape == (0,):
        return values
    divisor = _divisor(values, weight, reduction)
    total = values.sum()
    if divisor is None:
        return total
    return total / divisor if divisor else np.zeros((), values.dtype)[()]


def combined_weight(values, sample_weight, mask, reduction):
    """Sample weight times mask; with a mean reduction a masked batch is scaled by total/valid."""
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=values.dtype)
    if mask is None:
        return weight
    mask = np.asarray(mask).astype(bool)
    factor = mask.astype(values.dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        valid = np.count_nonzero(mask)
        factor *= mask.size / valid if valid else 0.0
    if weight is None:
        return factor
    factor, weight = match_weight(factor, weight, "sample_weight")
    return factor * weight


def _divisor(values, weight, reduction):
    if reduction == "sum":
        return None
    if reduction == "mean_with_sample_weight" and weight is not None:
        return weight.sum()
    return values.size


class Loss:
    """Base class of losses: subclass it and write `call`; write `gradient` too to train with it.

    There is no tape that could find the derivative. `utils.check_loss_gradient` compares the two methods; `with_gradient` makes a loss of a
    plain function. What happens around the two, weights, masks and the reduction, is the same as for the losses of this package.

    Args:
        name: name of the object; by default the class name in snake case.
        reduction: "sum_over_batch_size" (same as "mean"), "sum", "mean_with_sample_weight", or "none"/None.
        dtype: float type of the computation, by default `fastrnn.config.floatx()`.

    Raises:
        ValueError: for an unknown reduction.

    >>> class SquaredError(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return np.mean((y_pred - y_true) ** 2, axis=-1)
    ...     def gradient(self, y_true, y_pred):
    ...         return 2 * (y_pred - y_true) / y_pred.shape[-1]
    >>> float(SquaredError()([[1.0], [2.0]], [[1.0], [4.0]]))
    2.0
    """

    # (kind, {parameter: float}) when a native kernel computes this loss, else None
    native = None
    # whether targets must have the shape of the predictions, but for a last axis of 1; a loss of the user's may want any
    fixed_shapes = False

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        if reduction not in _REDUCTIONS:
            raise ValueError(
                "Invalid value for argument `reduction`. "
                f"Expected one of {_REDUCTIONS}. Received: reduction={reduction}"
            )
        self.name = name or unique_name(_identifiers.to_snake_case(type(self).__name__))
        self.reduction = reduction
        self.dtype = str(np.dtype(dtype or floatx()))

    def __init_subclass__(cls, **kwargs):
        """A loss that changes another has no kernel, unless it names one."""
        super().__init_subclass__(**kwargs)
        origin = next(c for c in cls.__mro__ if "native" in vars(c))
        if any(getattr(cls, hook) is not getattr(origin, hook) for hook in ("__call__", "call", "gradient", "pull_back", "value_and_gradient")):
            cls.native = None

    def __call__(self, y_true, y_pred, sample_weight=None, mask=None):
        """The reduced loss; ``mask`` (same shape as the per-sample values) leaves values out of the mean."""
        y_true, y_pred = self._convert(y_true, y_pred)
        values = np.asarray(self.call(y_true, y_pred))
        return reduce_weighted_values(
            values, sample_weight, self._full_mask(y_true, y_pred, mask), self.reduction
        )

    def call(self, y_true, y_pred):
        """Values per sample, ``y_pred.shape[:-1]``."""
        raise NotImplementedError(f"Loss {type(self).__name__} must override `call(self, y_true, y_pred)`.")

    def gradient(self, y_true, y_pred):
        """``d call(y_true, y_pred) / d y_pred``, of the shape of ``y_pred``."""
        raise NotImplementedError(
            f"Loss '{self.name}' cannot be trained with: it has no derivative. Override "
            "`gradient(self, y_true, y_pred)` in your Loss subclass, or decorate your loss function with "
            "`@losses.with_gradient(derivative)`; it returns d(per-sample loss)/d(y_pred), an array of the shape of y_pred. "
            "`@losses.with_gradient('numeric')` differentiates by finite differences."
        )

    def pull_back(self, y_true, y_pred, dvalues):
        """The derivative of ``sum(dvalues * call(y_true, y_pred))``. Override it where a value depends on other samples than its own."""
        gradient = np.asarray(self.gradient(y_true, y_pred))
        if gradient.shape[: dvalues.ndim] != dvalues.shape:
            raise _wrong_shape(self.name, y_pred.shape, gradient)
        return gradient * dvalues.reshape(dvalues.shape + (1,) * (gradient.ndim - dvalues.ndim))

    def mask(self, y_true, y_pred):
        """Entries that the targets themselves leave out (``ignore_class``), or None."""
        return None

    def value_and_gradient(self, y_true, y_pred, sample_weight=None, mask=None):
        """The reduced loss and its derivative by ``y_pred`` (weights, mask and mean included)."""
        y_true, y_pred = self._convert(y_true, y_pred)
        shape = y_pred.shape
        values = np.asarray(self.call(y_true, y_pred))
        mask = self._full_mask(y_true, y_pred, mask)
        weight = combined_weight(values, sample_weight, mask, self.reduction)
        dvalues = np.ones_like(values)
        if weight is not None:
            dvalues, weight = match_weight(dvalues, weight, "sample_weight")
            dvalues = dvalues * weight
        divisor = _divisor(dvalues, weight, self.reduction)
        if divisor is not None:
            dvalues = dvalues / divisor if divisor else np.zeros_like(dvalues)
        dvalues = dvalues.reshape(values.shape) if values.ndim else dvalues.sum()
        gradient = self.pull_back(y_true, y_pred, dvalues)
        loss = reduce_weighted_values(values, sample_weight, mask, self.reduction)
        return loss, _sum_to_shape(gradient, shape, self.name)

    def get_config(self):
        """The arguments of the constructor, as a dict."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def _convert(self, y_true, y_pred):
        return np.asarray(y_true, dtype=self.dtype), np.asarray(y_pred, dtype=self.dtype)

    def _full_mask(self, y_true, y_pred, mask):
        own = self.mask(y_true, y_pred)
        if mask is None or own is None:
            return own if mask is None else mask
        return np.asarray(mask).astype(bool) & own


def _sum_to_shape(gradient, shape, name):
    """Sum over the axes along which ``y_pred`` was broadcast against a larger ``y_true``."""
    if gradient.shape == shape:
        return gradient
    if gradient.size == np.prod(shape):
        return gradient.reshape(shape)
    extra = gradient.ndim - len(shape)
    if extra < 0 or any(m not in (n, 1) for n, m in zip(gradient.shape[extra:], shape)):
        raise _wrong_shape(name, shape, gradient)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1
    )
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


def _wrong_shape(name, shape, gradient):
    return ValueError(f"Loss '{name}': `gradient` must have the shape of y_pred, {shape}. Received: shape {gradient.shape}")


class LossFunctionWrapper(Loss):
    """A loss made from a function ``fn(y_true, y_pred, **kwargs)`` that returns one value per sample.

    ``fn.gradient(y_true, y_pred, **kwargs)``, if there is one, is the derivative used in training: see `with_gradient`.

    >>> @with_gradient("numeric")
    ... def pinball(y_true, y_pred, quantile):
    ...     error = y_true - y_pred
    ...     return np.mean(np.maximum(quantile * error, (quantile - 1) * error), axis=-1)
    >>> float(LossFunctionWrapper(pinball, quantile=0.75)([[1.0], [0.0]], [[0.0], [1.0]]))
    0.5
    """

    def __init_subclass__(cls, **kwargs):
        """The derivative of ``fn`` is not that of a subclass's own values."""
        super().__init_subclass__(**kwargs)
        derives = next(c for c in cls.__mro__ if vars(c).keys() & {"gradient", "pull_back", "value_and_gradient"})
        if cls.call is not LossFunctionWrapper.call and derives in (LossFunctionWrapper, BuiltinLoss):
            cls.gradient = Loss.gradient

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true, y_pred):
        return self.fn(*match_ranks(y_true, y_pred), **self._fn_kwargs)

    def gradient(self, y_true, y_pred):
        if not hasattr(self.fn, "gradient"):
            return super().gradient(y_true, y_pred)
        return self.fn.gradient(*match_ranks(y_true, y_pred), **self._fn_kwargs)

    def get_config(self):
        return {**super().get_config(), "fn": _identifiers.serialize(self.fn), **self._fn_kwargs}

    @classmethod
    def from_config(cls, config):
        if "fn" in config:
            from . import get

            config = {**config, "fn": get(config["fn"])}
        return cls(**config)


class BuiltinLoss(LossFunctionWrapper):
    """A class of this module: wraps ``function``; its own arguments are plain numbers kept in the config."""

    function = None
    has_kernel = True
    fixed_shapes = True

    def __init__(self, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        fn = type(self).function
        super().__init__(fn, name=name or fn.__name__, reduction=reduction, dtype=dtype, **kwargs)
        for key, value in kwargs.items():
            setattr(self, key, value)

    @functools.cached_property
    def native(self):
        if not self.has_kernel or self._fn_kwargs.get("axis", -1) != -1:
            return None
        # an absent "ignore_class" means that no class is ignored
        params = {k: float(v) for k, v in self._fn_kwargs.items() if k != "axis" and v is not None}
        return self.fn.__name__, params

    def pull_back(self, y_true, y_pred, dvalues):
        axis = self._fn_kwargs.get("axis")
        if axis in (None, -1):
            return super().pull_back(y_true, y_pred, dvalues)
        return self.gradient(y_true, y_pred) * np.expand_dims(dvalues, axis)  # the axis that the values have lost is not the last one

    def get_config(self):
        return {**Loss.get_config(self), **self._fn_kwargs}


def with_gradient(gradient):
    """Decorator: give a loss function its derivative, which training needs.

    Args:
        gradient: function of the arguments of the loss that returns d(per-sample value)/d(y_pred), an array of the shape of ``y_pred``; or
            "numeric": central differences of the loss in float64, two calls per column of ``y_pred``. For that each value may depend on its
            own row of ``y_pred`` only.

    Raises:
        ValueError: when ``gradient`` is something else.

    >>> @with_gradient(lambda y_true, y_pred: 4 * (y_pred - y_true) ** 3 / y_pred.shape[-1])
    ... def fourth_power(y_true, y_pred):
    ...     return np.mean((y_pred - y_true) ** 4, axis=-1)

    ``model.compile(loss=fourth_power)`` then trains with it; the name in messages is that of the function.
    """
    if gradient != "numeric" and not callable(gradient):
        raise ValueError(f"Argument `gradient` must be a function (y_true, y_pred), or 'numeric'. Received: gradient={gradient!r}")

    def attach(fn):
        fn.gradient = functools.partial(_numeric_gradient, fn) if gradient == "numeric" else gradient
        return fn

    return attach


def _numeric_gradient(fn, y_true, y_pred, **kwargs):
    y_true, middle = np.asarray(y_true, np.float64), np.array(y_pred, np.float64)
    gradient = np.empty_like(middle)
    for column in range(middle.shape[-1]):
        kept = middle[..., column].copy()
        step = 1e-6 * np.maximum(1, np.abs(kept))
        middle[..., column] = kept + step
        above = np.asarray(fn(y_true, middle, **kwargs))
        middle[..., column] = kept - step
        below = np.asarray(fn(y_true, middle, **kwargs))
        middle[..., column] = kept
        if above.shape != kept.shape:
            raise ValueError(
                f"Loss function '{fn.__name__}' must return one value per row of y_pred to be differentiated numerically: expected shape "
                f"{kept.shape}. Received: shape {above.shape}"
            )
        gradient[..., column] = (above - below) / (2 * step)
    return gradient.astype(np.asarray(y_pred).dtype)


def mean_of(gradient, axis=-1):
    return gradient / gradient.shape[axis]
