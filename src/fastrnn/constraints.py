"""Projections that weights go through after each update, by the names of `keras.constraints`.

A norm is the L2 norm over `axis` (an int, or a tuple or list of ints): with the default 0 a matrix
`(inputs, units)` has one norm per unit.
"""

from __future__ import annotations

import numpy as np

from . import _identifiers
from .config import epsilon


class Constraint:
    """Base class: `__call__(w)` returns the projected weights; with arguments also `get_config()`."""

    def __call__(self, w) -> np.ndarray:
        return w

    def get_config(self) -> dict:
        return {}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)


class MaxNorm(Constraint):
    """Scale down what has a norm above `max_value` (Srivastava et al. 2014).

    >>> MaxNorm(1.0)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(3)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """

    def __init__(self, max_value=2, axis=0):
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w):
        norms = _norms(w, self.axis)
        return w * (np.clip(norms, 0, self.max_value) / (epsilon() + norms))

    def get_config(self):
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Set negative weights to 0.

    >>> NonNeg()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __call__(self, w):
        return np.maximum(w, 0)


class UnitNorm(Constraint):
    """Scale to norm 1.

    >>> UnitNorm()(np.array([3.0, 4.0])).round(3)
    array([0.6, 0.8])
    """

    def __init__(self, axis=0):
        self.axis = axis

    def __call__(self, w):
        return w / (epsilon() + _norms(w, self.axis))

    def get_config(self):
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Move the norm by the share `rate` of the way into the range from `min_value` to `max_value`.

    >>> MinMaxNorm(0.0, 1.0, rate=0.5)(np.array([3.0, 4.0])).round(3)
    array([1.8, 2.4])
    """

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w):
        norms = _norms(w, self.axis)
        desired = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (desired / (epsilon() + norms))

    def get_config(self):
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm

_CLASSES = (MaxNorm, NonNeg, UnitNorm, MinMaxNorm)
_TABLE = {cls.__name__: cls for cls in _CLASSES}
_TABLE |= {_identifiers.to_snake_case(cls.__name__): cls for cls in _CLASSES}


def serialize(constraint):
    """The dict that `deserialize` reads back."""
    return _identifiers.serialize(constraint)


def deserialize(config, custom_objects=None):
    """The constraint of a dict `{"class_name": ..., "config": {...}}` or of a name."""
    return _identifiers.deserialize("constraint", config, _TABLE, custom_objects)


def get(identifier):
    """Return the constraint meant by a name, a dict, a class or a callable.

    Raises:
        ValueError: the name is unknown, or it is something else.

    >>> get("max_norm").get_config()
    {'max_value': 2, 'axis': 0}
    """
    return deserialize(identifier)


def _norms(w, axis) -> np.ndarray:
    axis = tuple(axis) if isinstance(axis, list) else axis
    return np.sqrt(np.sum(np.square(w), axis=axis, keepdims=True))
