"""Accuracies: the share of predictions that are right (https://keras.io/api/metrics/accuracy_metrics/).

`accuracy` compares for equality, the binary one against a threshold, the categorical ones by the largest
prediction. The string "accuracy" in ``compile`` picks one by the shapes: see `fastrnn.metrics.resolve`.
"""

import numpy as np

from .. import losses
from ..config import floatx
from .base import FunctionMean


def _with_kernel(fn):
    fn.has_kernel = True
    return fn


@_with_kernel
def accuracy(y_true, y_pred):
    """1 where target and prediction are equal, else 0; one value per element."""
    y_true, y_pred = losses.align(y_true, y_pred)
    return (y_true == y_pred).astype(floatx())


@_with_kernel
def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where ``(y_pred > threshold)`` equals the target 0 or 1; one value per element.

    >>> binary_accuracy([1, 1, 0], [0.9, 0.5, 0.1]).tolist()
    [1.0, 0.0, 1.0]
    """
    y_true, y_pred = losses.align(y_true, y_pred)
    return (y_true == (y_pred > y_pred.dtype.type(threshold))).astype(floatx())


@_with_kernel
def categorical_accuracy(y_true, y_pred):
    """1 where the largest of the one-hot targets and of the predictions stand at the same index."""
    return (np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1)).astype(floatx())


def _labels(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    return y_true, y_pred


@_with_kernel
def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction stands at the index that the target, ``(...,)`` or ``(..., 1)``, names.

    >>> sparse_categorical_accuracy([2, 0], [[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]).tolist()
    [1.0, 0.0]
    """
    y_true, y_pred = _labels(y_true, y_pred)
    return (y_true == np.argmax(y_pred, axis=-1)).astype(floatx())


def _in_top_k(labels, y_pred, k):
    """Whether fewer than ``k`` predictions beat that of the label (never where that one is not finite)."""
    labels = labels.astype(np.int64)
    known = (labels >= 0) & (labels < y_pred.shape[-1])
    picked = np.take_along_axis(y_pred, np.where(known, labels, 0)[..., None], -1)
    larger = np.sum(y_pred > picked, axis=-1)
    return (known & np.isfinite(picked[..., 0]) & (larger < k)).astype(floatx())


@_with_kernel
def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the class of the one-hot target is among the ``k`` largest predictions."""
    return _in_top_k(np.argmax(y_true, axis=-1), np.asarray(y_pred), k)


@_with_kernel
def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where the class index in the target is among the ``k`` largest predictions.

    Args:
        y_true: class indices ``(...,)`` or ``(..., 1)``.
        y_pred: predictions ``(..., classes)``, or class indices, best first, with ``from_sorted_ids=True``.
        k: how many.
        from_sorted_ids: see ``y_pred``.
    """
    y_true, y_pred = _labels(y_true, y_pred)
    if from_sorted_ids:
        return np.any(y_true[..., None] == y_pred[..., :k], axis=-1).astype(floatx())
    return _in_top_k(y_true, y_pred, k)


class Accuracy(FunctionMean):
    """How often predictions equal targets.

    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    function = accuracy
    direction = "up"


class BinaryAccuracy(FunctionMean):
    """How often predictions are on the right side of the threshold."""

    function = binary_accuracy
    direction = "up"

    def __init__(self, name=None, dtype=None, threshold=0.5):
        super().__init__(name, dtype, threshold=threshold)


class CategoricalAccuracy(FunctionMean):
    """How often the largest prediction is the class of the one-hot target."""

    function = categorical_accuracy
    direction = "up"


class SparseCategoricalAccuracy(FunctionMean):
    """How often the largest prediction is the class that the target names."""

    function = sparse_categorical_accuracy
    direction = "up"


class TopKCategoricalAccuracy(FunctionMean):
    """How often the class of the one-hot target is among the ``k`` largest predictions."""

    function = top_k_categorical_accuracy
    direction = "up"

    def __init__(self, k=5, name=None, dtype=None):
        super().__init__(name, dtype, k=k)


class SparseTopKCategoricalAccuracy(FunctionMean):
    """How often the class that the target names is among the ``k`` largest predictions."""

    function = sparse_top_k_categorical_accuracy
    direction = "up"

    def __init__(self, k=5, name=None, dtype=None, from_sorted_ids=False):
        super().__init__(name, dtype, k=k, **({"from_sorted_ids": True} if from_sorted_ids else {}))
        self.from_sorted_ids = from_sorted_ids

    @property
    def native(self):
        return None if self.from_sorted_ids else super().native
