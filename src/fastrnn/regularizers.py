"""Penalties on weights or outputs, by the names of `keras.regularizers`.

A regularizer `r` gives the penalty `r(x)`, a float, and its derivative `r.gradient(x)`, an array like `x`.
Where a penalty has a kink (|x| at 0) the derivative is 0.
"""

from __future__ import annotations

import math

import numpy as np

from . import _identifiers
from .config import epsilon


class Regularizer:
    """Base class: a subclass implements `__call__(x)`, `gradient(x)` and `get_config()`."""

    def __call__(self, x) -> float:
        return 0.0

    def gradient(self, x) -> np.ndarray:
        raise NotImplementedError(
            f"{type(self).__name__} must implement `gradient(x)`, the derivative of its penalty."
        )

    def get_config(self) -> dict:
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x^2)`.

    Args:
        l1, l2: non-negative floats.

    Raises:
        ValueError: a factor is negative, not finite or not a number.

    >>> L1L2(l1=0.1, l2=0.5)(np.array([1.0, -2.0]))
    2.8
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _non_negative(0.0 if l1 is None else l1, "l1")
        self.l2 = _non_negative(0.0 if l2 is None else l2, "l2")

    def __call__(self, x):
        penalty = 0.0
        if self.l1:
            penalty += self.l1 * float(np.sum(np.abs(x), dtype=np.float64))
        if self.l2:
            penalty += self.l2 * float(np.sum(np.square(x), dtype=np.float64))
        return penalty

    def gradient(self, x):
        x = np.asarray(x)
        gradient = np.zeros_like(x)
        if self.l1:
            gradient += self.l1 * np.sign(x)
        if self.l2:
            gradient += 2 * self.l2 * x
        return gradient

    def get_config(self):
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """`l1 * sum(|x|)`.

    >>> L1(0.5)(np.array([1.0, -2.0]))
    1.5
    """

    def __init__(self, l1=0.01):
        self.l1 = _non_negative(0.01 if l1 is None else l1, "l1")

    def __call__(self, x):
        return self.l1 * float(np.sum(np.abs(x), dtype=np.float64))

    def gradient(self, x):
        return self.l1 * np.sign(x)

    def get_config(self):
        return {"l1": self.l1}


class L2(Regularizer):
    """`l2 * sum(x^2)`, without a factor 1/2.

    >>> L2(0.5)(np.array([1.0, -2.0]))
    2.5
    """

    def __init__(self, l2=0.01):
        self.l2 = _non_negative(0.01 if l2 is None else l2, "l2")

    def __call__(self, x):
        return self.l2 * float(np.sum(np.square(x), dtype=np.float64))

    def gradient(self, x):
        return 2 * self.l2 * np.asarray(x)

    def get_config(self):
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean of |cosine| over all pairs of rows, or of columns, of a matrix.

    A matrix with a single row (column) has no pairs and no penalty; Keras gives NaN there.

    Args:
        factor: non-negative float.
        mode: "rows" or "columns".

    Raises:
        ValueError: an argument is none of the above, or the matrix is not 2-D.

    >>> OrthogonalRegularizer(1.0)(np.array([[1.0, 0.0], [3.0, 4.0]]))
    0.6
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = _non_negative(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError(
                'Invalid value for argument `mode`. Expected one of {"rows", "columns"}. '
                f"Received: mode={mode}"
            )
        self.mode = mode

    def __call__(self, x):
        unit, _ = self._unit_rows(x)
        pairs = len(unit) * (len(unit) - 1) / 2
        if not pairs:
            return 0.0
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, 0)
        return self.factor * 0.5 * float(np.sum(np.abs(cosines), dtype=np.float64)) / pairs

    def gradient(self, x):
        # With unit rows u_i = x_i/|x_i| and S = sign(u u^T) off the diagonal: d/du = S u,
        # and d/dx_i = (d/du_i - (d/du_i . u_i) u_i) / |x_i|, the part of d/du_i across x_i.
        unit, norm = self._unit_rows(x)
        pairs = max(1.0, len(unit) * (len(unit) - 1) / 2)
        signs = np.sign(unit @ unit.T)
        np.fill_diagonal(signs, 0)
        across = signs @ unit
        across -= np.sum(across * unit, axis=1, keepdims=True) * unit
        gradient = across / norm * (self.factor / pairs)
        return gradient if self.mode == "rows" else np.ascontiguousarray(gradient.T)

    def _unit_rows(self, x):
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(
                f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={x.shape}"
            )
        rows = x if self.mode == "rows" else x.T
        norm = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), epsilon())
        return rows / norm, norm

    def get_config(self):
        return {"factor": self.factor, "mode": self.mode}


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_CLASSES = (L1, L2, L1L2, OrthogonalRegularizer)
_TABLE = {cls.__name__: cls for cls in _CLASSES}
_TABLE |= {_identifiers.to_snake_case(cls.__name__): cls for cls in _CLASSES}


def serialize(regularizer):
    """The dict that `deserialize` reads back."""
    return _identifiers.serialize(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer of a dict `{"class_name": ..., "config": {...}}` or of a name."""
    return _identifiers.deserialize("regularizer", config, _TABLE, custom_objects)


def get(identifier):
    """Return the regularizer meant by a name, a dict, a class or a callable.

    Raises:
        ValueError: the name is unknown, or it is something else.

    >>> get("l2").get_config()
    {'l2': 0.01}
    """
    return deserialize(identifier)


def _non_negative(value, name: str) -> float:
    if not isinstance(value, (float, int, np.floating, np.integer)) or not math.isfinite(value) or value < 0:
        raise ValueError(
            f"Invalid value for argument {name}: expected a non-negative float. Received: {name}={value}"
        )
    return float(value)
