"""Losses for unbalanced classes, overlaps and noisy labels: in NumPy, without native kernels."""

import numpy as np

from ..config import epsilon
from .base import BuiltinLoss, mean_of, with_gradient
from .probability import (
    _class_indices,
    _clip,
    _smoothed_binary,
    _smoothed_categorical,
    sigmoid,
    softmax,
)

# ---------------------------------------------------------------------------- focal losses (Lin et al., 2017)


def _binary_focal(y_true, y_pred, apply_class_balancing, alpha, from_logits, label_smoothing):
    """Class weight, 1 - p_t, cross-entropy, its derivative by p, labels, and p."""
    y_true, y_pred = _smoothed_binary(y_true, y_pred, label_smoothing)
    p = sigmoid(y_pred) if from_logits else y_pred
    clipped, inside = _clip(p)
    crossentropy = -(y_true * np.log(clipped) + (1 - y_true) * np.log1p(-clipped))
    slope = np.where(inside, (clipped - y_true) / (clipped * (1 - clipped)), 0)
    weight = y_true * alpha + (1 - y_true) * (1 - alpha) if apply_class_balancing else 1
    miss = 1 - (y_true * p + (1 - y_true) * (1 - p))
    return weight, miss, crossentropy, slope, y_true, p


def _d_binary_focal_crossentropy(
    y_true,
    y_pred,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
):
    weight, miss, crossentropy, slope, y_true, p = _binary_focal(
        y_true, y_pred, apply_class_balancing, alpha, from_logits, label_smoothing
    )
    # d miss / dp = 1 - 2 y
    gradient = weight * (gamma * miss ** (gamma - 1) * (1 - 2 * y_true) * crossentropy + miss**gamma * slope)
    return mean_of(gradient * p * (1 - p) if from_logits else gradient, axis)


@with_gradient(_d_binary_focal_crossentropy)
def binary_focal_crossentropy(
    y_true,
    y_pred,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
):
    """Binary cross-entropy times ``(1 - p_t)**gamma``, p_t being the probability given to the right answer.

    With ``apply_class_balancing`` positives weigh ``alpha`` and negatives ``1 - alpha``.
    """
    weight, miss, crossentropy, *_ = _binary_focal(
        y_true, y_pred, apply_class_balancing, alpha, from_logits, label_smoothing
    )
    return np.mean(weight * miss**gamma * crossentropy, axis=axis)


def _d_categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    y_true, y_pred = _smoothed_categorical(y_true, y_pred, label_smoothing)
    p = softmax(y_pred, axis) if from_logits else y_pred
    total = np.sum(p, axis=axis, keepdims=True)
    share = p / total
    q, inside = _clip(share)
    slope = alpha * y_true * (gamma * (1 - q) ** (gamma - 1) * np.log(q) - (1 - q) ** gamma / q)
    slope = np.where(inside, slope, 0)
    gradient = (slope - np.sum(slope * share, axis=axis, keepdims=True)) / total
    if from_logits:
        gradient = p * (gradient - np.sum(gradient * p, axis=axis, keepdims=True))
    return gradient


@with_gradient(_d_categorical_focal_crossentropy)
def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """``-sum(alpha (1 - q)**gamma y log q)``, q being the predictions divided by their sum and clipped."""
    y_true, y_pred = _smoothed_categorical(y_true, y_pred, label_smoothing)
    p = softmax(y_pred, axis) if from_logits else y_pred
    q, _ = _clip(p / np.sum(p, axis=axis, keepdims=True))
    return np.sum(-alpha * (1 - q) ** gamma * y_true * np.log(q), axis=axis)


# ---------------------------------------------------------------------------------------- overlap of two sets


def _overlap(y_true, y_pred, alpha, beta, axis):
    """Intersection and (weighted) union of targets and predictions, axes kept."""
    y_pred = np.asarray(y_pred)
    y_true = np.asarray(y_true, dtype=y_pred.dtype)
    both, only_true, only_pred = (
        np.sum(part, axis=axis, keepdims=True)
        for part in (y_true * y_pred, y_true * (1 - y_pred), y_pred * (1 - y_true))
    )
    return y_true, both, both + alpha * only_true + beta * only_pred + epsilon()


def _axes(axis):
    return tuple(axis) if isinstance(axis, list) else axis


def _d_tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    y_true, both, union = _overlap(y_true, y_pred, alpha, beta, _axes(axis))
    return -(y_true * union - both * ((1 - alpha) * y_true + beta * (1 - y_true))) / union**2


@with_gradient(_d_tversky)
def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """``1 - both / (both + alpha only_true + beta only_pred)`` over ``axis`` (Salehi et al., 2017)."""
    axis = _axes(axis)
    _, both, union = _overlap(y_true, y_pred, alpha, beta, axis)
    return np.squeeze(1 - both / union, axis=axis)


def _d_dice(y_true, y_pred, axis=None):
    y_pred = np.asarray(y_pred)
    y_true = np.asarray(y_true, dtype=y_pred.dtype)
    both = np.sum(y_true * y_pred, axis=_axes(axis), keepdims=True)
    size = np.sum(y_true + y_pred, axis=_axes(axis), keepdims=True) + epsilon()
    return -2 * (y_true * size - both) / size**2


@with_gradient(_d_dice)
def dice(y_true, y_pred, axis=None):
    """``1 - 2 sum(y p) / (sum(y) + sum(p) + epsilon)`` over ``axis``, by default over everything."""
    axis = _axes(axis)
    y_pred = np.asarray(y_pred)
    y_true = np.asarray(y_true, dtype=y_pred.dtype)
    return 1 - 2 * np.sum(y_true * y_pred, axis=axis) / (
        np.sum(y_true, axis=axis) + np.sum(y_pred, axis=axis) + epsilon()
    )


# --------------------------------------------------------------------- noisy labels (Zhang and Sabuncu, 2018)


def _d_categorical_generalized_cross_entropy(y_true, y_pred, q=0.5):
    indices, _, y_pred = _class_indices(y_true, y_pred, None, -1)
    gradient = np.zeros_like(y_pred)
    p = np.take_along_axis(y_pred, indices[..., None], -1)
    np.put_along_axis(gradient, indices[..., None], -(p ** (q - 1)), -1)
    return gradient


@with_gradient(_d_categorical_generalized_cross_entropy)
def categorical_generalized_cross_entropy(y_true, y_pred, q=0.5):
    """``(1 - p**q) / q``, p being the probability of the class that the integer target names."""
    indices, _, y_pred = _class_indices(y_true, y_pred, None, -1)
    p = np.take_along_axis(y_pred, indices[..., None], -1)[..., 0]
    return (1 - p**q) / q


# ------------------------------------------------------------------------------------------------ the classes


class BinaryFocalCrossentropy(BuiltinLoss):
    """Binary cross-entropy that counts hard examples more; see `binary_focal_crossentropy`."""

    function = binary_focal_crossentropy
    has_kernel = False

    def __init__(
        self,
        apply_class_balancing=False,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__(
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(BuiltinLoss):
    """Categorical cross-entropy that counts hard examples more; see `categorical_focal_crossentropy`."""

    function = categorical_focal_crossentropy
    has_kernel = False

    def __init__(
        self,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__(
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class Dice(BuiltinLoss):
    """One minus the Dice coefficient; see `dice`."""

    function = dice
    has_kernel = False

    def __init__(self, reduction="sum_over_batch_size", name=None, axis=None, dtype=None):
        super().__init__(reduction, name, dtype, axis=axis)


class Tversky(BuiltinLoss):
    """One minus the Tversky index; see `tversky`."""

    function = tversky
    has_kernel = False

    def __init__(
        self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name=None, axis=None, dtype=None
    ):
        super().__init__(reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class CategoricalGeneralizedCrossEntropy(BuiltinLoss):
    """Cross-entropy that noisy labels harm less; see `categorical_generalized_cross_entropy`."""

    function = categorical_generalized_cross_entropy
    has_kernel = False

    def __init__(self, q=0.5, reduction="sum_over_batch_size", name=None, dtype=None):
        if not 0 < q < 1:
            raise ValueError("q must be in the interval (0, 1)")
        super().__init__(reduction, name, dtype, q=q)
