"""Losses: what a batch of predictions costs, and the derivative of that cost.

Every loss is a function ``f(y_true, y_pred) -> values`` with one value per sample (the mean over the last
axis, so a prediction ``(batch, timesteps, features)`` gives values ``(batch, timesteps)``) and, beside it,
its derivative ``f.gradient(y_true, y_pred) -> d values / d y_pred``. A `Loss` object adds the configuration
and the reduction to one number, by default ``sum(values * weights) / values.size``.

The names, defaults and formulas are those of https://keras.io/api/losses/. The functions compute in the
float type of ``y_pred``; they are the reference that the native kernels (`Loss.native`) are tested against.
"""

from .. import _identifiers
from .alignment import CTC, ctc
from .base import Loss, LossFunctionWrapper, align, reduce_weighted_values, with_gradient
from .probability import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from .regression import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    SquaredHinge,
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    squared_hinge,
)
from .similarity import Circle, circle
from .special import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    Dice,
    Tversky,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    dice,
    tversky,
)

mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
bce = BCE = binary_crossentropy
kld = KLD = kullback_leibler_divergence = kl_divergence
logcosh = log_cosh

_CLASSES = (
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Huber,
    LogCosh,
    CosineSimilarity,
    Hinge,
    SquaredHinge,
    CategoricalHinge,
    KLDivergence,
    Poisson,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    Dice,
    Tversky,
    CategoricalGeneralizedCrossEntropy,
    Circle,
    CTC,
)
CLASS_OF = {cls.function: cls for cls in _CLASSES}
_TABLE = {
    **{cls.__name__: cls for cls in _CLASSES},
    **{fn.__name__: fn for fn in CLASS_OF},
    **{name: globals()[name] for name in ("mse", "mae", "mape", "msle", "bce", "kld")},
    **{name: globals()[name] for name in ("MSE", "MAE", "MAPE", "MSLE", "BCE", "KLD")},
    **{"logcosh": log_cosh, "kullback_leibler_divergence": kl_divergence},
}


def get(identifier):
    """A loss from its name, class, config dict, or itself. Snake-case names give functions, as in Keras.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.

    >>> get("mse") is mean_squared_error, type(get("Huber")).__name__
    (True, 'Huber')
    """
    return _identifiers.deserialize("loss", identifier, _TABLE)


def deserialize(name, custom_objects=None):
    """Like `get`, with a dict of further names."""
    return _identifiers.deserialize("loss", name, _TABLE, custom_objects)


def serialize(loss):
    """The dict (or name) that `get` turns back into ``loss``."""
    return _identifiers.serialize(loss)


def as_loss(identifier, y_true_shape=None, y_pred_shape=None):
    """The `Loss` object for whatever `compile` was given; "crossentropy"/"ce" are resolved by the shapes."""
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        binary, sparse = binary_or_sparse(y_true_shape, y_pred_shape)
        cls = (
            BinaryCrossentropy
            if binary
            else SparseCategoricalCrossentropy
            if sparse
            else CategoricalCrossentropy
        )
        return cls()
    found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    if found in CLASS_OF:
        return CLASS_OF[found]()
    return LossFunctionWrapper(found, name=getattr(found, "__name__", None))


def binary_or_sparse(y_true_shape, y_pred_shape):
    """What "accuracy" and "crossentropy" mean for these shapes: (binary?, sparse categorical?)."""
    y_true_shape, y_pred_shape = tuple(y_true_shape), tuple(y_pred_shape)
    binary = y_pred_shape[-1] == 1
    return binary, len(y_true_shape) < len(y_pred_shape) or (y_true_shape[-1] == 1 and y_pred_shape[-1] > 1)
