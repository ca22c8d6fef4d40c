"""Circle loss: samples of one class near each other, those of others far. In NumPy, without a native kernel."""

import numpy as np

from .base import BuiltinLoss
from .regression import softplus


def _distances(y_true, y_pred, ref_labels, ref_embeddings, remove_diagonal, gamma, margin):
    """Of each pair (sample, reference): distance, whether it may shrink, exponents of like and of unlike pairs with their slopes."""
    y_pred = np.asarray(y_pred)
    labels = np.asarray(y_true).astype(np.int64).reshape(-1)
    references = y_pred if ref_embeddings is None else np.asarray(ref_embeddings, dtype=y_pred.dtype)
    ref_labels = labels if ref_labels is None else np.asarray(ref_labels).astype(np.int64).reshape(-1)
    similarity = y_pred @ references.T
    distance = np.maximum(1 - similarity, 0)
    alike = labels[:, None] == ref_labels[None, :]
    unlike = ~alike
    if remove_diagonal:
        alike[np.arange(min(alike.shape)), np.arange(min(alike.shape))] = False
    weight = np.maximum(1 + margin - distance, 0)
    near = np.where(alike, gamma * (distance + margin) * (distance - margin), -np.inf)
    far = np.where(unlike, gamma * weight * (1 - margin - distance), -np.inf)
    slopes = 2 * gamma * distance, gamma * np.where(weight > 0, 2 * distance - 2, 0)
    return references, similarity < 1, (near, far), slopes


def _log_sum_exp(x):
    largest = np.max(x, axis=1, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore"):
        return (largest + np.log(np.sum(np.exp(x - largest), axis=1, keepdims=True)))[:, 0]


def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80, margin=0.4):
    """``log(1 + sum exp(gamma (d^2 - margin^2)) * sum exp(gamma (1 + margin - d)(1 - margin - d)))`` (Sun et al., 2020).

    The first sum goes over the references of the sample's class, the second over the others; ``d`` is 1 minus the product of the two
    embeddings.

    Args:
        y_true: class numbers (batch,).
        y_pred: embeddings (batch, size) of norm 1.
        ref_labels, ref_embeddings: the references; default is the batch itself.
        remove_diagonal: leave out the pair of each sample with the reference of its own number.
        gamma: scale.
        margin: relaxation.
    """
    _, _, (near, far), _ = _distances(y_true, y_pred, ref_labels, ref_embeddings, remove_diagonal, gamma, margin)
    return softplus(_log_sum_exp(near) + _log_sum_exp(far))


class Circle(BuiltinLoss):
    """Circle loss of embeddings of norm 1, see `circle`; samples that cost nothing do not count in the mean."""

    function = circle
    has_kernel = False
    fixed_shapes = False

    def __init__(self, gamma=80.0, margin=0.4, remove_diagonal=True, reduction="sum_over_batch_size", name=None, dtype=None):
        super().__init__(reduction, name, dtype, gamma=gamma, margin=margin, remove_diagonal=remove_diagonal)

    def call(self, y_true, y_pred):
        return circle(y_true, y_pred, **self._fn_kwargs)

    def mask(self, y_true, y_pred):
        return self.call(y_true, y_pred) > 0

    def pull_back(self, y_true, y_pred, dvalues):
        references, falls, (near, far), (near_slope, far_slope) = _distances(y_true, y_pred, None, None, **self._fn_kwargs)
        near_sum, far_sum = _log_sum_exp(near), _log_sum_exp(far)
        with np.errstate(invalid="ignore"):
            share = np.exp(near - near_sum[:, None]) * near_slope + np.exp(far - far_sum[:, None]) * far_slope
        # a sample without like or without unlike references costs nothing, whatever the others are
        outer = np.where(np.isfinite(near_sum + far_sum), dvalues * np.exp(-softplus(-(near_sum + far_sum))), 0)
        dsimilarity = -np.where(falls & (outer != 0)[:, None], share, 0) * outer[:, None]
        return (dsimilarity @ references + dsimilarity.T @ y_pred).astype(y_pred.dtype)
