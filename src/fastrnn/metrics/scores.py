"""F-scores and intersection over union (https://keras.io/api/metrics/)."""

import numpy as np

from ..config import epsilon
from .base import Metric
from .regression import check_two_dimensions


class FBetaScore(Metric):
    """Weighted harmonic mean of precision and recall, per column of 2-D one-hot or multi-label data.

    Args:
        average: None (an array, one score per class), "micro", "macro" or "weighted".
        beta: float > 0, the weight of the recall.
        threshold: float in (0, 1], or None: the largest prediction of a sample is its class.
        name: the key in the logs.
        dtype: see `Metric`.
    """

    direction = "up"

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(dtype, name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                "Invalid `average` argument value. Expected one of: "
                f"{{None, 'micro', 'macro', 'weighted'}}. Received: average={average}"
            )
        if not isinstance(beta, float):
            raise ValueError(
                "Invalid `beta` argument value. It should be a Python float. "
                f"Received: beta={beta} of type '{type(beta)}'"
            )
        if beta <= 0.0:
            raise ValueError(f"Invalid `beta` argument value. It should be > 0. Received: beta={beta}")
        if threshold is not None and not isinstance(threshold, float):
            raise ValueError(
                "Invalid `threshold` argument value. It should be a Python float. "
                f"Received: threshold={threshold} of type '{type(threshold)}'"
            )
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueError(
                "Invalid `threshold` argument value. It should verify 0 < threshold <= 1. "
                f"Received: threshold={threshold}"
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self.true_positives = np.zeros(())
        self.reset_state()

    def reset_state(self):
        self.true_positives = self.false_positives = self.false_negatives = self.weights = np.zeros(self.true_positives.shape)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = np.asarray(y_true, dtype=self.dtype), np.asarray(y_pred, dtype=self.dtype)
        check_two_dimensions("FBetaScore", y_true, y_pred)
        if self.threshold is None:
            # a row of zeros predicts nothing
            positive = (y_pred >= y_pred.max(axis=-1, keepdims=True)) & (np.abs(y_pred) > 1e-9)
        else:
            positive = y_pred > self.threshold
        weight = 1.0 if sample_weight is None else np.asarray(sample_weight, dtype=float)[:, None]
        axis = None if self.average == "micro" else 0
        self.true_positives = self.true_positives + np.sum(positive * y_true * weight, axis=axis)
        self.false_positives = self.false_positives + np.sum(positive * (1 - y_true) * weight, axis=axis)
        self.false_negatives = self.false_negatives + np.sum(~positive * y_true * weight, axis=axis)
        self.weights = self.weights + np.sum(y_true * weight, axis=axis)

    def result(self):
        tp, eps = self.true_positives, epsilon()
        precision = tp / (tp + self.false_positives + eps)
        recall = tp / (tp + self.false_negatives + eps)
        square = self.beta**2
        score = precision * recall / (square * precision + recall + eps) * (1 + square)
        if self.average == "weighted":
            return float(np.sum(score * self.weights / (np.sum(self.weights) + eps)))
        return score if self.average is None else float(np.mean(score))

    def get_config(self):
        config = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **config}


class F1Score(FBetaScore):
    """`FBetaScore` with beta 1: the harmonic mean of precision and recall.

    >>> F1Score(average="macro")([[1, 0], [0, 1]], [[0.6, 0.4], [0.7, 0.3]]).__round__(3)
    0.333
    """

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self):
        config = super().get_config()
        del config["beta"]
        return config


class IoU(Metric):
    """Intersection over union of the target classes, tp / (tp + fp + fn), averaged over those that occur.

    Args:
        num_classes: number of classes; labels outside are left out.
        target_class_ids: the classes to average over.
        name: the key in the logs.
        dtype: type of the weights. The default "int32" drops their fractions, as in Keras: pass "float32" for weights that have some.
        ignore_class: a label whose entries are left out.
        sparse_y_true: targets are class indices (False: scores, the largest counts).
        sparse_y_pred: the same for the predictions.
        axis: the class axis of scores.
    """

    direction = "up"

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(dtype or "int32", name)
        if max(target_class_ids) >= num_classes:
            raise ValueError(
                f"Target class id {max(target_class_ids)} is out of range, which is [0, {num_classes})."
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.reset_state()

    def reset_state(self):
        self.total_cm = np.zeros((self.num_classes, self.num_classes))

    def update_state(self, y_true, y_pred, sample_weight=None):
        if not self.sparse_y_true:
            y_true = np.argmax(y_true, axis=self.axis)
        if not self.sparse_y_pred:
            y_pred = np.argmax(y_pred, axis=self.axis)
        y_true, y_pred = (np.asarray(a).astype(np.int64).reshape(-1) for a in (y_true, y_pred))
        weight = np.asarray(1 if sample_weight is None else sample_weight).astype(self.dtype)
        weight = np.broadcast_to(weight.reshape(-1) if weight.ndim else weight, y_true.shape)
        n = self.num_classes
        valid = (y_true >= 0) & (y_true < n) & (y_pred >= 0) & (y_pred < n)
        if self.ignore_class is not None:
            valid &= y_true != self.ignore_class
        np.add.at(self.total_cm, (y_true[valid], y_pred[valid]), weight[valid])

    def result(self):
        hits = np.diag(self.total_cm)
        union = self.total_cm.sum(axis=0) + self.total_cm.sum(axis=1) - hits
        hits, union = hits[self.target_class_ids], union[self.target_class_ids]
        occurs = union > 1e-9
        return float(np.sum(np.where(occurs, hits / (union + epsilon()), 0.0)) / (occurs.sum() + epsilon()))

    def get_config(self):
        names = "num_classes target_class_ids ignore_class sparse_y_true sparse_y_pred axis".split()
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class BinaryIoU(IoU):
    """`IoU` of the two classes "prediction >= threshold" and not."""

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_true, np.asarray(y_pred, dtype=np.float32) >= self.threshold, sample_weight)

    def get_config(self):
        config = {"target_class_ids": self.target_class_ids, "threshold": self.threshold}
        return {**Metric.get_config(self), **config}


class MeanIoU(IoU):
    """`IoU` averaged over all classes."""

    def __init__(
        self,
        num_classes,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(
            num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )

    def get_config(self):
        config = super().get_config()
        del config["target_class_ids"]
        return config


class OneHotIoU(IoU):
    """`IoU` for one-hot targets and score predictions."""

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_pred=False,
        axis=-1,
    ):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        config = super().get_config()
        del config["sparse_y_true"]
        return config


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` for one-hot targets and score predictions."""

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        config = super().get_config()
        del config["sparse_y_true"]
        return config
