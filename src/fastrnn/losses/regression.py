"""Losses of numbers and of margins. Each function stands below its derivative; the classes are at the end."""

import numpy as np

from ..config import epsilon
from .base import BuiltinLoss, align, mean_of, with_gradient


def _d_mean_squared_error(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    return mean_of(2 * (y_pred - y_true))


@with_gradient(_d_mean_squared_error)
def mean_squared_error(y_true, y_pred):
    """``mean((y_true - y_pred)**2, axis=-1)``.

    >>> mean_squared_error([[0.0, 1.0]], [[1.0, 1.0]]).tolist()
    [0.5]
    """
    y_true, y_pred = align(y_true, y_pred)
    return np.mean(np.square(y_true - y_pred), axis=-1)


def _d_mean_absolute_error(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    return mean_of(np.sign(y_pred - y_true))


@with_gradient(_d_mean_absolute_error)
def mean_absolute_error(y_true, y_pred):
    """``mean(abs(y_true - y_pred), axis=-1)``."""
    y_true, y_pred = align(y_true, y_pred)
    return np.mean(np.abs(y_true - y_pred), axis=-1)


def _d_mean_absolute_percentage_error(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    scale = 100 / np.maximum(np.abs(y_true), epsilon())
    return mean_of(np.sign(y_pred - y_true) * scale)


@with_gradient(_d_mean_absolute_percentage_error)
def mean_absolute_percentage_error(y_true, y_pred):
    """``100 * mean(abs((y_true - y_pred) / max(abs(y_true), epsilon)), axis=-1)``."""
    y_true, y_pred = align(y_true, y_pred)
    return 100 * np.mean(np.abs((y_true - y_pred) / np.maximum(np.abs(y_true), epsilon())), axis=-1)


def _d_mean_squared_logarithmic_error(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    difference = np.log(np.maximum(y_pred, epsilon()) + 1) - np.log(np.maximum(y_true, epsilon()) + 1)
    return mean_of(np.where(y_pred > epsilon(), 2 * difference / (np.maximum(y_pred, epsilon()) + 1), 0))


@with_gradient(_d_mean_squared_logarithmic_error)
def mean_squared_logarithmic_error(y_true, y_pred):
    """``mean((log(y_true + 1) - log(y_pred + 1))**2, axis=-1)``; both are at least epsilon."""
    y_true, y_pred = align(y_true, y_pred)
    difference = np.log(np.maximum(y_pred, epsilon()) + 1) - np.log(np.maximum(y_true, epsilon()) + 1)
    return np.mean(np.square(difference), axis=-1)


def _d_huber(y_true, y_pred, delta=1.0):
    y_true, y_pred = align(y_true, y_pred)
    return mean_of(np.clip(y_pred - y_true, -delta, delta))


@with_gradient(_d_huber)
def huber(y_true, y_pred, delta=1.0):
    """Mean of ``e**2/2`` where ``|e| <= delta`` and of ``delta*|e| - delta**2/2`` elsewhere (Huber, 1964)."""
    y_true, y_pred = align(y_true, y_pred)
    error = np.abs(y_pred - y_true)
    return np.mean(
        np.where(error <= delta, 0.5 * error * error, delta * error - 0.5 * delta * delta), axis=-1
    )


def _d_log_cosh(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    return mean_of(np.tanh(y_pred - y_true))


@with_gradient(_d_log_cosh)
def log_cosh(y_true, y_pred):
    """``mean(log(cosh(y_pred - y_true)), axis=-1)``, computed as ``x + softplus(-2x) - log 2``."""
    y_true, y_pred = align(y_true, y_pred)
    x = y_pred - y_true
    return np.mean(x + softplus(-2 * x) - np.log(2).astype(x.dtype), axis=-1)


def _unit(x, axis):
    """``x`` scaled to L2 norm 1 along ``axis``, and the factor; the factor is at most 1/epsilon."""
    with np.errstate(divide="ignore"):
        inverse = np.minimum(1 / np.sqrt(np.sum(np.square(x), axis=axis, keepdims=True)), 1 / epsilon())
    return x * inverse.astype(x.dtype), inverse.astype(x.dtype)


def _d_cosine_similarity(y_true, y_pred, axis=-1):
    y_true, y_pred = align(y_true, y_pred)
    unit_true, _ = _unit(y_true, axis)
    unit_pred, inverse = _unit(y_pred, axis)
    along = np.sum(unit_true * unit_pred, axis=axis, keepdims=True)
    # d(p/|p|) = (I - u u^T)/|p|; below the smallest norm the factor is constant and the second term vanishes
    along = np.where(inverse < 1 / epsilon(), along, 0).astype(y_pred.dtype)
    return -inverse * (unit_true - along * unit_pred)


@with_gradient(_d_cosine_similarity)
def cosine_similarity(y_true, y_pred, axis=-1):
    """``-sum(l2_normalize(y_true) * l2_normalize(y_pred))``: -1 for equal directions, 1 for opposite ones."""
    y_true, y_pred = align(y_true, y_pred)
    return -np.sum(_unit(y_true, axis)[0] * _unit(y_pred, axis)[0], axis=axis)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _signed(y_true):
    """Labels 0/1 become -1/1, but only if all labels of the batch are 0 or 1."""
    return 2 * y_true - 1 if np.all((y_true == 0) | (y_true == 1)) else y_true


def _d_hinge(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    y_true = _signed(y_true)
    return mean_of(np.where(1 - y_true * y_pred > 0, -y_true, 0).astype(y_pred.dtype))


@with_gradient(_d_hinge)
def hinge(y_true, y_pred):
    """``mean(max(1 - y_true * y_pred, 0), axis=-1)``, labels -1/1 (or all of them 0/1)."""
    y_true, y_pred = align(y_true, y_pred)
    return np.mean(np.maximum(1 - _signed(y_true) * y_pred, 0), axis=-1)


def _d_squared_hinge(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    y_true = _signed(y_true)
    return mean_of(-2 * y_true * np.maximum(1 - y_true * y_pred, 0))


@with_gradient(_d_squared_hinge)
def squared_hinge(y_true, y_pred):
    """``mean(max(1 - y_true * y_pred, 0)**2, axis=-1)``, labels -1/1 (or all of them 0/1)."""
    y_true, y_pred = align(y_true, y_pred)
    return np.mean(np.square(np.maximum(1 - _signed(y_true) * y_pred, 0)), axis=-1)


def _d_categorical_hinge(y_true, y_pred):
    y_true, y_pred = align(y_true, y_pred)
    negative = (1 - y_true) * y_pred
    worst = np.expand_dims(np.argmax(negative, axis=-1), -1)
    gradient = -np.broadcast_to(y_true, negative.shape)
    np.put_along_axis(
        gradient,
        worst,
        np.take_along_axis(gradient, worst, -1) + 1 - np.take_along_axis(y_true + 0 * y_pred, worst, -1),
        -1,
    )
    active = negative.max(axis=-1) - np.sum(y_true * y_pred, axis=-1) + 1 > 0
    return np.where(active[..., None], gradient, 0).astype(y_pred.dtype)


@with_gradient(_d_categorical_hinge)
def categorical_hinge(y_true, y_pred):
    """``max(max((1 - y_true) * y_pred) - sum(y_true * y_pred) + 1, 0)``, labels one-hot in the last axis."""
    y_true, y_pred = align(y_true, y_pred)
    positive = np.sum(y_true * y_pred, axis=-1)
    negative = np.max((1 - y_true) * y_pred, axis=-1)
    return np.maximum(negative - positive + 1, 0)


class MeanSquaredError(BuiltinLoss):
    """Mean of squared differences; see `mean_squared_error`.

    >>> float(MeanSquaredError()([[0.0], [0.0]], [[1.0], [3.0]]))
    5.0
    """

    function = mean_squared_error


class MeanAbsoluteError(BuiltinLoss):
    """Mean of absolute differences; see `mean_absolute_error`."""

    function = mean_absolute_error


class MeanAbsolutePercentageError(BuiltinLoss):
    """Mean of relative differences in percent; see `mean_absolute_percentage_error`."""

    function = mean_absolute_percentage_error


class MeanSquaredLogarithmicError(BuiltinLoss):
    """Mean of squared differences of logarithms; see `mean_squared_logarithmic_error`."""

    function = mean_squared_logarithmic_error


class Huber(BuiltinLoss):
    """Quadratic near zero, linear beyond ``delta``; see `huber`."""

    function = huber

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name=None, dtype=None):
        super().__init__(reduction, name or "huber_loss", dtype, delta=delta)


class LogCosh(BuiltinLoss):
    """Logarithm of the hyperbolic cosine of the error; see `log_cosh`."""

    function = log_cosh


class CosineSimilarity(BuiltinLoss):
    """Negative cosine of the angle between targets and predictions; see `cosine_similarity`."""

    function = cosine_similarity

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name=None, dtype=None):
        super().__init__(reduction, name, dtype, axis=axis)


class Hinge(BuiltinLoss):
    """Maximum-margin loss; see `hinge`."""

    function = hinge


class SquaredHinge(BuiltinLoss):
    """Squared maximum-margin loss; see `squared_hinge`."""

    function = squared_hinge


class CategoricalHinge(BuiltinLoss):
    """Maximum-margin loss of one-hot labels; see `categorical_hinge`."""

    function = categorical_hinge
