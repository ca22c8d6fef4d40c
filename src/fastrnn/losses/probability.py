"""Losses of probabilities. Each function stands below its derivative; the classes are at the end."""

import numpy as np

from ..config import epsilon, floatx
from .base import BuiltinLoss, align, mean_of, with_gradient


def _clip(probability):
    """To ``[epsilon, 1 - epsilon]``, and where that changed nothing (the derivative is 0 elsewhere)."""
    low, high = probability.dtype.type(epsilon()), probability.dtype.type(1 - epsilon())
    return np.clip(probability, low, high), (probability >= low) & (probability <= high)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softmax(x, axis):
    """``exp(x) / sum(exp(x))`` along ``axis``, without overflow."""
    return np.exp(_log_softmax(x, axis))


def _log_softmax(x, axis):
    x = x - np.max(x, axis=axis, keepdims=True)
    return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))


def _same_shape(y_true, y_pred):
    if y_true.shape != y_pred.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. "
            f"Received: target.shape={y_true.shape}, output.shape={y_pred.shape}"
        )


def _smoothed_binary(y_true, y_pred, label_smoothing):
    y_true, y_pred = align(y_true, y_pred)
    _same_shape(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1 - label_smoothing) + 0.5 * label_smoothing
    return y_true, y_pred


def _d_binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    y_true, y_pred = _smoothed_binary(y_true, y_pred, label_smoothing)
    if from_logits:
        return mean_of(sigmoid(y_pred) - y_true, axis)
    p, inside = _clip(y_pred)
    return mean_of(np.where(inside, (p - y_true) / (p * (1 - p)), 0), axis)


@with_gradient(_d_binary_crossentropy)
def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-mean(y log p + (1-y) log(1-p), axis)`` with p clipped to [epsilon, 1 - epsilon].

    Args:
        y_true: labels in [0, 1], same shape as ``y_pred``.
        y_pred: probabilities, or logits with ``from_logits=True``.
        from_logits: use ``p = sigmoid(y_pred)``, computed without overflow and not clipped.
        label_smoothing: s moves the labels to ``y (1-s) + s/2``.
        axis: axis of the mean.
    """
    y_true, y_pred = _smoothed_binary(y_true, y_pred, label_smoothing)
    if from_logits:
        return np.mean(np.maximum(y_pred, 0) - y_true * y_pred + np.log1p(np.exp(-np.abs(y_pred))), axis=axis)
    p, _ = _clip(y_pred)
    return np.mean(-(y_true * np.log(p) + (1 - y_true) * np.log1p(-p)), axis=axis)


def _smoothed_categorical(y_true, y_pred, label_smoothing):
    y_true, y_pred = align(y_true, y_pred)
    _same_shape(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[-1]
    return y_true, y_pred


def _d_normalised_crossentropy(y_true, y_pred, axis):
    """Derivative of ``-sum(y log clip(q))`` with ``q = p / sum(p)``."""
    total = np.sum(y_pred, axis=axis, keepdims=True)
    share = y_pred / total
    q, inside = _clip(share)
    by_share = np.where(inside, -y_true / q, 0)
    return (by_share - np.sum(by_share * share, axis=axis, keepdims=True)) / total


def _d_categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    y_true, y_pred = _smoothed_categorical(y_true, y_pred, label_smoothing)
    if from_logits:
        weight = np.sum(y_true, axis=axis, keepdims=True)
        return softmax(y_pred, axis) * weight - y_true
    return _d_normalised_crossentropy(y_true, y_pred, axis)


@with_gradient(_d_categorical_crossentropy)
def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-sum(y log q, axis)``, q being the predictions divided by their sum and clipped to [eps, 1-eps].

    Args:
        y_true: one-hot or soft labels, same shape as ``y_pred``.
        y_pred: probabilities ``(..., classes)``, or logits with ``from_logits=True``.
        from_logits: use ``log_softmax(y_pred)``.
        label_smoothing: s moves the labels to ``y (1-s) + s/classes``.
        axis: the class axis.
    """
    y_true, y_pred = _smoothed_categorical(y_true, y_pred, label_smoothing)
    if from_logits:
        return -np.sum(y_true * _log_softmax(y_pred, axis), axis=axis)
    q, _ = _clip(y_pred / np.sum(y_pred, axis=axis, keepdims=True))
    return -np.sum(y_true * np.log(q), axis=axis)


def _class_indices(y_true, y_pred, ignore_class, axis):
    """Targets as int indices without the class axis, and which of them count (all if None)."""
    y_pred = np.asarray(y_pred)
    if y_pred.dtype.kind != "f":
        y_pred = y_pred.astype(floatx())
    y_true = np.asarray(y_true)
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = np.squeeze(y_true, axis=axis)
    expected = list(y_pred.shape)
    del expected[axis]
    if y_true.shape != tuple(expected):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last dimension: "
            f"target.shape={y_true.shape}, output.shape={y_pred.shape}"
        )
    valid = None if ignore_class is None else y_true != ignore_class
    indices = (y_true if valid is None else np.where(valid, y_true, 0)).astype(np.int64)
    classes = y_pred.shape[axis]
    if indices.size and not (0 <= indices.min() and indices.max() < classes):
        wrong = indices.min() if indices.min() < 0 else indices.max()
        raise ValueError(
            f"Received a label value of {wrong} which is outside the valid range of [0, {classes}). "
            f"The prediction has {classes} classes (shape {y_pred.shape}): labels must be 0 to {classes - 1}."
        )
    return indices, valid, y_pred


def _d_sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    indices, valid, y_pred = _class_indices(y_true, y_pred, ignore_class, axis)
    one_hot = np.zeros_like(y_pred)
    np.put_along_axis(one_hot, np.expand_dims(indices, axis), 1, axis)
    if from_logits:
        gradient = softmax(y_pred, axis) - one_hot
    else:
        gradient = _d_normalised_crossentropy(one_hot, y_pred, axis)
    return gradient if valid is None else np.where(np.expand_dims(valid, axis), gradient, 0)


@with_gradient(_d_sparse_categorical_crossentropy)
def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """`categorical_crossentropy` for integer labels of shape ``(...,)`` or ``(..., 1)``.

    Args:
        y_true: class indices from 0.
        y_pred: probabilities ``(..., classes)``, or logits with ``from_logits=True``.
        from_logits: use ``log_softmax(y_pred)``.
        ignore_class: a label whose entries cost 0 and are left out of the mean, for example -1.
        axis: the class axis.

    Raises:
        ValueError: for a label outside ``[0, classes)`` or shapes that do not match.

    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]]).round(4).tolist()
    [0.6931]
    """
    indices, valid, y_pred = _class_indices(y_true, y_pred, ignore_class, axis)
    if valid is not None:
        y_pred = np.where(np.expand_dims(valid, axis), y_pred, 1)  # ignored rows may hold anything
    if from_logits:
        log_probability = _log_softmax(y_pred, axis)
        values = -np.take_along_axis(log_probability, np.expand_dims(indices, axis), axis)
    else:
        share = y_pred / np.sum(y_pred, axis=axis, keepdims=True)
        values = -np.log(_clip(np.take_along_axis(share, np.expand_dims(indices, axis), axis))[0])
    values = np.squeeze(values, axis=axis)
    return values if valid is None else np.where(valid, values, 0)


def _d_kl_divergence(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    low = y_pred.dtype.type(epsilon())
    inside = (y_pred >= low) & (y_pred <= 1)
    return np.where(inside, -np.clip(y_true, low, 1) / np.clip(y_pred, low, 1), 0)


@with_gradient(_d_kl_divergence)
def kl_divergence(y_true, y_pred):
    """``sum(y log(y / p), axis=-1)``, both clipped to [epsilon, 1] (Kullback and Leibler, 1951)."""
    y_true, y_pred = align(y_true, y_pred)
    low = y_pred.dtype.type(epsilon())
    y_true, y_pred = np.clip(y_true, low, 1), np.clip(y_pred, low, 1)
    return np.sum(y_true * np.log(y_true / y_pred), axis=-1)


def _d_poisson(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    return mean_of(1 - y_true / (y_pred + y_pred.dtype.type(epsilon())))


@with_gradient(_d_poisson)
def poisson(y_true, y_pred):
    """``mean(p - y log(p + epsilon), axis=-1)``."""
    y_true, y_pred = align(y_true, y_pred)
    return np.mean(y_pred - y_true * np.log(y_pred + y_pred.dtype.type(epsilon())), axis=-1)


class KLDivergence(BuiltinLoss):
    """Kullback-Leibler divergence; see `kl_divergence`."""

    function = kl_divergence


class Poisson(BuiltinLoss):
    """Negative log-likelihood of counts; see `poisson`."""

    function = poisson


class BinaryCrossentropy(BuiltinLoss):
    """Cross-entropy of independent yes/no labels; see `binary_crossentropy`.

    >>> round(float(BinaryCrossentropy()([[0.0], [1.0]], [[0.5], [0.5]])), 4)
    0.6931
    """

    function = binary_crossentropy

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__(
            reduction, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis
        )


class CategoricalCrossentropy(BuiltinLoss):
    """Cross-entropy of one-hot labels; see `categorical_crossentropy`."""

    function = categorical_crossentropy

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__(
            reduction, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis
        )


class SparseCategoricalCrossentropy(BuiltinLoss):
    """Cross-entropy of integer labels; see `sparse_categorical_crossentropy`."""

    function = sparse_categorical_crossentropy

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction="sum_over_batch_size",
        axis=-1,
        name=None,
        dtype=None,
    ):
        super().__init__(
            reduction, name, dtype, from_logits=from_logits, ignore_class=ignore_class, axis=axis
        )

    def mask(self, y_true, y_pred):
        return _class_indices(y_true, y_pred, self.ignore_class, self.axis)[1]
