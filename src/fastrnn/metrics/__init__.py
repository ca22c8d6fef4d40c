"""Metrics by Keras's names: objects with `update_state`, `result` and `reset_state`, and their functions."""

from .. import _identifiers
from ..losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    binary_or_sparse,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from .accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .base import Mean, MeanMetricWrapper, Metric, Sum
from .confusion import (
    AUC,
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from .regression import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    R2Score,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    concordance_correlation,
    pearson_correlation,
)
from .scores import BinaryIoU, F1Score, FBetaScore, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU

_CLASSES = [
    value for value in list(globals().values()) if isinstance(value, type) and issubclass(value, Metric)
]

mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kl_divergence
bce = BCE = binary_crossentropy

_SHORT = {
    "bce": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "kld": KLDivergence,
}
_TABLE = {
    **{cls.__name__: cls for cls in _CLASSES},
    **{_identifiers.to_snake_case(cls.__name__): cls for cls in _CLASSES},
    **_SHORT,
    **{name.upper(): cls for name, cls in _SHORT.items()},
}


def get(identifier):
    """A metric from its name, class, config dict, or itself.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.

    >>> get("mse")
    <MeanSquaredError name=mean_squared_error>
    """
    return _identifiers.deserialize("metric", identifier, _TABLE)


def deserialize(config, custom_objects=None):
    """Like `get`, with a dict of further names."""
    return _identifiers.deserialize("metric", config, _TABLE, custom_objects)


def serialize(metric):
    """The dict (or name) that `get` turns back into ``metric``."""
    return _identifiers.serialize(metric)


def resolve_accuracy(name, y_true_shape, y_pred_shape):
    """The metric that "accuracy", "acc", "crossentropy" or "ce" means for these shapes, under the name given.

    Predictions with a last axis of 1 are binary; targets of a lower rank, or with a last axis of 1, are class
    indices; everything else is one-hot. The loss plays no part in it.

    >>> resolve_accuracy("acc", (32,), (32, 10))
    <SparseCategoricalAccuracy name=acc>
    """
    binary, sparse = binary_or_sparse(y_true_shape, y_pred_shape)
    choices = (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy)
    if name.lower() in ("crossentropy", "ce"):
        choices = (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy)
    return choices[0 if binary else 1 if sparse else 2](name=name)


def resolve(identifier, y_true_shape, y_pred_shape):
    """The `Metric` object for one entry of ``compile(metrics=[...])``; a string becomes its name."""
    if isinstance(identifier, Metric):
        return identifier
    if identifier is None:
        raise ValueError("Expected metric, received `None`")
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc", "crossentropy", "ce"):
        return resolve_accuracy(identifier, y_true_shape, y_pred_shape)
    metric = get(identifier)
    if not isinstance(metric, Metric):
        name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
        metric = MeanMetricWrapper(metric, name=name and _identifiers.to_snake_case(name))
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
