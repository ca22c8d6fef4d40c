"""Metrics of numbers and of probabilities: means of the loss functions, and what builds on them."""

import math

import numpy as np

from .. import losses
from ..config import epsilon
from ..losses.base import match_ranks
from .base import FunctionMean, Mean, Metric


class MeanSquaredError(FunctionMean):
    """Mean of squared differences."""

    function = losses.mean_squared_error
    direction = "down"


class MeanAbsoluteError(FunctionMean):
    """Mean of absolute differences."""

    function = losses.mean_absolute_error
    direction = "down"


class MeanAbsolutePercentageError(FunctionMean):
    """Mean of relative differences, in percent."""

    function = losses.mean_absolute_percentage_error
    direction = "down"


class MeanSquaredLogarithmicError(FunctionMean):
    """Mean of squared differences of logarithms."""

    function = losses.mean_squared_logarithmic_error
    direction = "down"


class RootMeanSquaredError(Mean):
    """Root of the mean of squared differences over all batches.

    >>> RootMeanSquaredError()([0.0, 0.0], [6.0, 8.0]).__round__(4)
    7.0711
    """

    direction = "down"
    native = ("mean_squared_error", {})

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = match_ranks(
            np.asarray(y_true, dtype=self.dtype), np.asarray(y_pred, dtype=self.dtype)
        )
        super().update_state(np.square(y_pred - y_true), sample_weight)

    def result(self):
        return math.sqrt(super().result())


class LogCoshError(FunctionMean):
    """Mean of ``log(cosh(error))``."""

    function = losses.log_cosh
    direction = "down"

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(name, dtype)


def cosine_similarity(y_true, y_pred, axis=-1):
    """Cosine of the angle between targets and predictions: 1 for equal directions (the loss negates it)."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


class CosineSimilarity(FunctionMean):
    """Mean cosine of the angle between targets and predictions."""

    function = cosine_similarity
    direction = "up"

    def __init__(self, name=None, dtype=None, axis=-1):
        super().__init__(name, dtype, axis=axis)

    @property
    def native(self):
        return ("cosine_similarity", {}) if self.axis == -1 else None

    def add(self, total, count):
        # the native kernel sums the loss, which is the negative
        super().add(-total, count)


class Hinge(FunctionMean):
    """Mean of the hinge loss."""

    function = losses.hinge
    direction = "down"


class SquaredHinge(FunctionMean):
    """Mean of the squared hinge loss."""

    function = losses.squared_hinge
    direction = "down"


class CategoricalHinge(FunctionMean):
    """Mean of the categorical hinge loss."""

    function = losses.categorical_hinge
    direction = "down"


class KLDivergence(FunctionMean):
    """Mean Kullback-Leibler divergence."""

    function = losses.kl_divergence
    direction = "down"


class Poisson(FunctionMean):
    """Mean of the Poisson loss."""

    function = losses.poisson
    direction = "down"


class BinaryCrossentropy(FunctionMean):
    """Mean binary cross-entropy."""

    function = losses.binary_crossentropy
    direction = "down"

    def __init__(self, name=None, dtype=None, from_logits=False, label_smoothing=0):
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(FunctionMean):
    """Mean cross-entropy of one-hot targets."""

    function = losses.categorical_crossentropy
    direction = "down"

    def __init__(self, name=None, dtype=None, from_logits=False, label_smoothing=0, axis=-1):
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(FunctionMean):
    """Mean cross-entropy of integer targets."""

    function = losses.sparse_categorical_crossentropy
    direction = "down"

    def __init__(self, name=None, dtype=None, from_logits=False, ignore_class=None, axis=-1):
        super().__init__(name, dtype, from_logits=from_logits, ignore_class=ignore_class, axis=axis)


def pearson_correlation(y_true, y_pred, axis=-1):
    """Pearson's correlation coefficient along ``axis``."""
    y_true, y_pred = losses.align(y_true, y_pred)
    y_true = y_true - y_true.mean(axis=axis, keepdims=True)
    y_pred = y_pred - y_pred.mean(axis=axis, keepdims=True)
    return np.mean(
        y_true / y_true.std(axis=axis, keepdims=True) * (y_pred / y_pred.std(axis=axis, keepdims=True)),
        axis=axis,
    )


def concordance_correlation(y_true, y_pred, axis=-1):
    """Lin's concordance correlation coefficient along ``axis``: agreement, not only linear relation."""
    y_true, y_pred = losses.align(y_true, y_pred)
    true_mean, pred_mean = y_true.mean(axis=axis, keepdims=True), y_pred.mean(axis=axis, keepdims=True)
    spread = y_true.var(axis=axis, keepdims=True) + y_pred.var(axis=axis, keepdims=True)
    covariance = (y_true - pred_mean) * (y_pred - pred_mean)
    return np.mean(2 * covariance / (spread + np.square(true_mean - pred_mean) + epsilon()), axis=axis)


class PearsonCorrelation(FunctionMean):
    """Mean of Pearson's correlation coefficient of each sample."""

    function = pearson_correlation
    direction = "up"

    def __init__(self, name=None, dtype=None, axis=-1):
        super().__init__(name, dtype, axis=axis)


class ConcordanceCorrelation(FunctionMean):
    """Mean of Lin's concordance correlation coefficient of each sample."""

    function = concordance_correlation
    direction = "up"

    def __init__(self, name=None, dtype=None, axis=-1):
        super().__init__(name, dtype, axis=axis)


class R2Score(Metric):
    """Coefficient of determination, ``1 - residual sum of squares / total sum of squares``, of 2-D data.

    Args:
        class_aggregation: "uniform_average" or "variance_weighted_average" over the columns, or None: an
            array.
        num_regressors: number p of independent variables for the adjusted score; 0 for the plain one.
        name: the key in the logs.
        dtype: see `Metric`.
    """

    direction = "up"

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name="r2_score", dtype=None):
        super().__init__(dtype, name)
        allowed = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in allowed:
            raise ValueError(
                "Invalid value for argument `class_aggregation`. Expected "
                f"one of {allowed}. Received: class_aggregation={class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                "Invalid value for argument `num_regressors`. Expected a value >= 0. "
                f"Received: num_regressors={num_regressors}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.reset_state()

    def reset_state(self):
        self.num_samples = 0
        self.sum = self.squared_sum = self.residual = self.count = 0.0

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = match_ranks(
            np.asarray(y_true, dtype=self.dtype), np.asarray(y_pred, dtype=self.dtype)
        )
        check_two_dimensions("R2Score", y_true, y_pred)
        weight = np.asarray(1.0 if sample_weight is None else sample_weight, dtype=self.dtype)
        weight = np.broadcast_to(weight[:, None] if weight.ndim == 1 else weight, y_true.shape)
        self.sum = self.sum + np.sum(y_true * weight, axis=0, dtype=np.float64)
        self.squared_sum = self.squared_sum + np.sum(y_true * y_true * weight, axis=0, dtype=np.float64)
        self.residual = self.residual + np.sum((y_true - y_pred) ** 2 * weight, axis=0, dtype=np.float64)
        self.count = self.count + np.sum(weight, axis=0, dtype=np.float64)
        self.num_samples += y_true.size

    def result(self):
        if self.num_samples == 0:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self.squared_sum - self.sum * (self.sum / self.count)
            scores = 1 - self.residual / total
        scores = np.where(np.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = float(np.mean(scores))
        elif self.class_aggregation == "variance_weighted_average":
            scores = float(np.sum(total * scores) / np.sum(total))
        n, p = self.num_samples, self.num_regressors
        if p and n - p - 1 <= 0:
            import warnings

            warnings.warn(
                "Adjusted R2 score needs more data points than independent predictors. "
                "Falling back to standard R2 score.",
                stacklevel=2,
            )
        elif p:
            scores = 1 - (1 - scores) * (n - 1) / (n - p - 1)
        return scores

    def get_config(self):
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }


def check_two_dimensions(name, y_true, y_pred):
    if y_true.ndim != 2 or y_pred.ndim != 2:
        raise ValueError(
            f"{name} expects 2D inputs with shape (batch_size, output_dim). Received input "
            f"shapes: y_pred.shape={y_pred.shape} and y_true.shape={y_true.shape}."
        )
