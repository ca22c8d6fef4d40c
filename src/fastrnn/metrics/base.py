"""The metric contract (`Metric`) and the metrics that are sums and means of per-sample values."""

import numpy as np

from .. import _identifiers, initializers, losses
from ..config import floatx, unique_name
from ..losses.base import combined_weight, match_ranks
from ..variables import Variable


class State(Variable, np.lib.mixins.NDArrayOperatorsMixin):
    """A variable of a metric: it can be reckoned with like the array that it holds, and changed by `assign` and `assign_add`."""

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return getattr(ufunc, method)(*(i.value if isinstance(i, State) else i for i in inputs), **kwargs)

    def __float__(self):
        return float(self.value)

    def assign_add(self, value):
        """Add to all elements."""
        return self.assign(self.value + np.asarray(value))

    def assign_sub(self, value):
        """Subtract from all elements."""
        return self.assign(self.value - np.asarray(value))


class Metric:
    """Base class of metrics: numbers that grow batch by batch.

    A metric of your own makes its numbers by `add_variable` and overrides `update_state` and `result`; `reset_state` sets all variables to
    zero. Or it keeps plain attributes, and overrides `reset_state` too. A plain function of targets and predictions that returns one value
    per sample can be given to `compile` as it is: see `MeanMetricWrapper`.

    Args:
        dtype: float type in which targets and predictions are compared, by default `floatx()`.
        name: the key in the logs; by default the class name in snake case, made unique.

    >>> class Share(Metric):
    ...     def __init__(self, above=0.5, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.above = above
    ...         self.hits = self.add_variable((), "zeros", name="hits")
    ...         self.count = self.add_variable((), "zeros", name="count")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.hits.assign_add(np.sum(np.asarray(y_pred) > self.above))
    ...         self.count.assign_add(np.size(y_pred))
    ...     def result(self):
    ...         return self.hits / self.count
    >>> float(Share(name="share")([0, 0], [0.75, 0.25]))
    0.5
    """

    # (kind, {parameter: float}) when the native training step can sum this metric; it then calls `add`
    native = None
    # whether `update_state` takes a `mask`; others see the steps that the model skipped too, as in Keras
    uses_mask = False
    # "up" if larger is better, "down" if smaller is, None if nobody said: for callbacks with mode="auto"
    direction = None

    def __init_subclass__(cls, **kwargs):
        """A metric that takes in batches in another way than the one whose kernel it would have has none, unless it names one."""
        super().__init_subclass__(**kwargs)
        origin = next(c for c in cls.__mro__ if "native" in vars(c))
        if cls.update_state is not origin.update_state:
            cls.native = None

    def __init__(self, dtype=None, name=None):
        self.name = name or unique_name(_identifiers.to_snake_case(type(self).__name__))
        self.dtype = str(np.dtype(dtype or floatx()))
        self.variables = []

    def add_variable(self, shape=(), initializer=None, dtype=None, aggregation="sum", name=None):
        """Make a variable, which `reset_state` sets to zero.

        Args:
            shape: of its array.
            initializer: name, function or object of `fastrnn.initializers`; by default zeros.
            dtype: of its array; by default the metric's.
            aggregation: accepted for Keras's sake.
            name: its name.

        Returns:
            An object with `assign`, `assign_add`, `assign_sub`, `numpy()` and the operators of arrays.
        """
        value = np.array(initializers.get(initializer or "zeros")(tuple(shape), dtype=dtype or self.dtype), dtype=dtype or self.dtype)
        variable = State(value, name or "variable", trainable=False)
        self.variables.append(variable)
        return variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None):
        """`add_variable`, by its older name."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def update_state(self, *args, **kwargs):
        """Take in one batch."""
        raise NotImplementedError(f"Metric {type(self).__name__} must override `update_state`.")

    def result(self):
        """The metric over all batches since the last reset, as a float (an array for several thresholds), or a dict of floats by name."""
        raise NotImplementedError(f"Metric {type(self).__name__} must override `result`.")

    def reset_state(self):
        """Forget all batches."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def __call__(self, *args, **kwargs):
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self):
        """The arguments of the constructor, as a dict."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def _per_sample(values, sample_weight, reduce, dtype):
    """Weighted values and weights, reduced to one per sample (weights are None if none were given)."""
    values = np.asarray(values, dtype=dtype)
    if sample_weight is not None:
        weight = np.asarray(sample_weight, dtype=dtype)
        values, weight = match_ranks(values, weight)
        if values.ndim > weight.ndim:
            values = reduce(values, axis=tuple(range(weight.ndim, values.ndim)))
        try:
            weight = np.broadcast_to(weight, values.shape)
        except ValueError:
            raise ValueError(
                f"`sample_weight` of shape {np.shape(sample_weight)} does not match "
                f"the values of shape {values.shape}."
            ) from None
        values = values * weight
        sample_weight = reduce(weight, axis=tuple(range(1, weight.ndim))) if weight.ndim > 1 else weight
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, sample_weight


class Sum(Metric):
    """The (weighted) sum of values.

    >>> Sum()([1, 3, 5], sample_weight=[1, 0, 1])
    6.0
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(dtype, name)
        self.total = 0.0

    def update_state(self, values, sample_weight=None):
        values, _ = _per_sample(values, sample_weight, np.sum, self.dtype)
        self.total += float(values.sum(dtype=np.float64))

    def reset_state(self):
        self.total = 0.0

    def result(self):
        return self.total


class Mean(Metric):
    """The (weighted) mean of values.

    >>> Mean()([1, 3, 5, 7])
    4.0
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(dtype, name)
        self.total = 0.0
        self.count = 0.0

    def update_state(self, values, sample_weight=None):
        values, weight = _per_sample(values, sample_weight, np.mean, self.dtype)
        self.total += float(values.sum(dtype=np.float64))
        if weight is not None:
            self.count += float(weight.sum(dtype=np.float64))
        else:
            self.count += values.shape[0] if values.ndim else 1

    def add(self, total, count):
        """Take in a batch whose sum of (weighted) values and of weights is already known."""
        self.total += total
        self.count += count

    def reset_state(self):
        self.total = 0.0
        self.count = 0.0

    def result(self):
        return self.total / self.count if self.count else 0.0


class MeanMetricWrapper(Mean):
    """The mean of ``fn(y_true, y_pred, **kwargs)``, which returns values per sample.

    Args:
        fn: function of targets and predictions.
        name: the key in the logs.
        dtype: see `Metric`.
        **kwargs: further arguments of ``fn``.

    >>> distance = MeanMetricWrapper(lambda t, p: np.abs(np.subtract(t, p)), name="distance")
    >>> distance([1.0, 2.0], [1.5, 2.5])
    0.5
    """

    uses_mask = True

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs
        if self.direction is None and (fn in losses.CLASS_OF or isinstance(fn, losses.Loss)):
            self.direction = "down"

    @property
    def native(self):
        kwargs = {k: v for k, v in self._fn_kwargs.items() if k != "axis" and v is not None}
        supported = getattr(losses.CLASS_OF.get(self.fn, self.fn), "has_kernel", False)
        if not supported or self._fn_kwargs.get("axis", -1) != -1 or "ignore_class" in kwargs:
            return None
        return self.fn.__name__, {k: float(v) for k, v in kwargs.items()}

    def update_state(self, y_true, y_pred, sample_weight=None, mask=None):
        """Take in one batch; values whose ``mask`` is False do not count."""
        values = np.asarray(self.fn(y_true, y_pred, **self._fn_kwargs), dtype=self.dtype)
        ignored = self._fn_kwargs.get("ignore_class")
        if ignored is not None and sample_weight is not None:
            # without weights an ignored label counts as a value of 0, as in Keras
            valid = match_ranks(np.asarray(y_true), values)[0] != ignored
            mask = valid if mask is None else valid & np.asarray(mask, dtype=bool)
        super().update_state(values, combined_weight(values, sample_weight, mask, "sum"))

    def get_config(self):
        return {**super().get_config(), "fn": _identifiers.serialize(self.fn), **self._fn_kwargs}


class FunctionMean(MeanMetricWrapper):
    """A class of this package: the mean of ``function``; its own arguments are kept in the config."""

    function = None

    def __init__(self, name=None, dtype=None, **kwargs):
        super().__init__(type(self).function, name=name or self.function.__name__, dtype=dtype, **kwargs)
        for key, value in kwargs.items():
            setattr(self, key, value)

    def get_config(self):
        return {**Metric.get_config(self), **self._fn_kwargs}
