"""Metrics from true and false positives and negatives at one or many thresholds.

A prediction is positive at threshold t when it is strictly greater than t
(https://keras.io/api/metrics/classification_metrics/).
"""

import numpy as np

from ..config import epsilon
from ..losses.base import match_ranks
from ..losses.probability import sigmoid
from .base import Metric

_NOTHING = -1e10  # below every prediction: what top_k leaves out


def _divide(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(np.shape(a), np.shape(b))), where=b != 0)


def _as_list(thresholds, default):
    thresholds = [default] if thresholds is None else thresholds
    thresholds = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    wrong = [t for t in thresholds if t is None or (t != default and not 0 <= t <= 1)]
    if wrong:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {wrong}")
    return thresholds


def confusion_counts(
    y_true,
    y_pred,
    thresholds,
    top_k=None,
    class_id=None,
    sample_weight=None,
    multi_label=False,
    label_weights=None,
    dtype="float32",
):
    """Weighted counts ``(tp, fp, tn, fn)``, each ``(thresholds,)``, ``(thresholds, labels)`` if multi_label.

    >>> [c.tolist() for c in confusion_counts([1, 0, 1], [0.9, 0.8, 0.2], [0.5])]
    [[1.0], [1.0], [0.0], [1.0]]
    """
    y_true, y_pred = match_ranks(np.asarray(y_true, dtype=dtype), np.asarray(y_pred, dtype=dtype))
    if top_k is not None:
        best = np.argsort(-y_pred, axis=-1, kind="stable")[..., :top_k]
        kept = np.full_like(y_pred, _NOTHING)
        np.put_along_axis(kept, best, np.take_along_axis(y_pred, best, -1), -1)
        y_pred = kept
    if class_id is not None:
        if y_pred.ndim == 1:
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape "
                f"(num_samples, num_classes), found shape: {y_pred.shape}"
            )
        y_true, y_pred = y_true[..., class_id, None], y_pred[..., class_id, None]
    y_true = np.broadcast_to(y_true != 0, y_pred.shape)
    weight = np.ones(y_pred.shape)
    if sample_weight is not None:
        given = np.asarray(sample_weight, dtype=dtype)
        while given.ndim > y_pred.ndim and given.shape[-1] == 1:
            given = given[..., 0]
        weight = weight * given.reshape(given.shape + (1,) * (y_pred.ndim - given.ndim))
    if label_weights is not None:
        weight = weight * label_weights
    columns = y_pred.shape[1] if multi_label else 1
    y_true, y_pred, weight = (a.reshape(-1, columns) for a in (y_true, y_pred, weight))
    counts = [_column_counts(y_true[:, c], y_pred[:, c], thresholds, weight[:, c]) for c in range(columns)]
    stacked = [np.stack(parts, axis=-1) for parts in zip(*counts)]
    return tuple(stacked if multi_label else (s[:, 0] for s in stacked))


def _column_counts(positive, y_pred, thresholds, weight):
    thresholds = np.asarray(thresholds, dtype=y_pred.dtype)
    order = np.argsort(thresholds, kind="stable")
    # how many thresholds lie below each prediction; one pass then serves all thresholds
    below = np.searchsorted(thresholds[order], y_pred, side="left")
    below[np.isnan(y_pred)] = 0

    def above(weights):
        per_rank = np.bincount(below, weights=weights, minlength=len(thresholds) + 1)
        sums = np.empty(len(thresholds))
        sums[order] = np.cumsum(per_rank[::-1])[::-1][1:]
        return sums

    tp, fp = above(weight * positive), above(weight * ~positive)
    return tp, fp, np.sum(weight * ~positive) - fp, np.sum(weight * positive) - tp


class _Confusion(Metric):
    """A metric of the four counts: keeps them in ``true_positives`` and so on, one per threshold."""

    def __init__(self, thresholds, name, dtype):
        super().__init__(dtype, name)
        self.thresholds = thresholds
        self.reset_state()

    def reset_state(self):
        self._set(*np.zeros((4, len(self.thresholds))))

    def _set(self, tp, fp, tn, fn):
        self.true_positives, self.false_positives = tp, fp
        self.true_negatives, self.false_negatives = tn, fn

    def _add(self, y_true, y_pred, sample_weight, **kwargs):
        tp, fp, tn, fn = confusion_counts(
            y_true, y_pred, self.thresholds, sample_weight=sample_weight, dtype=self.dtype, **kwargs
        )
        self._set(
            self.true_positives + tp,
            self.false_positives + fp,
            self.true_negatives + tn,
            self.false_negatives + fn,
        )

    def _recall(self):
        return _divide(self.true_positives, self.true_positives + self.false_negatives)

    def _precision(self):
        return _divide(self.true_positives, self.true_positives + self.false_positives)

    def _specificity(self):
        return _divide(self.true_negatives, self.true_negatives + self.false_positives)


def _one_or_all(values):
    return float(values[0]) if len(values) == 1 else values


class _Count(_Confusion):
    which = None

    def __init__(self, thresholds=None, name=None, dtype=None):
        self.init_thresholds = thresholds
        super().__init__(_as_list(thresholds, 0.5), name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._add(y_true, y_pred, sample_weight)

    def result(self):
        return _one_or_all(getattr(self, self.which))

    def get_config(self):
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """Number of positives predicted positive.

    >>> TruePositives()([0, 1, 1, 1], [1, 0, 1, 1])
    2.0
    """

    which = "true_positives"


class FalsePositives(_Count):
    """Number of negatives predicted positive."""

    which = "false_positives"


class TrueNegatives(_Count):
    """Number of negatives predicted negative."""

    which = "true_negatives"


class FalseNegatives(_Count):
    """Number of positives predicted negative."""

    which = "false_negatives"


class Precision(_Confusion):
    """Share of the predicted positives that are positive.

    Args:
        thresholds: a float or several in [0, 1]; default 0.5 (with ``top_k``: none).
        top_k: only the k largest predictions of a sample can be positive.
        class_id: consider only this class.
        name: the key in the logs.
        dtype: see `Metric`.

    >>> Precision()([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """

    direction = "up"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        super().__init__(_as_list(thresholds, 0.5 if top_k is None else _NOTHING), name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._add(y_true, y_pred, sample_weight, top_k=self.top_k, class_id=self.class_id)

    def result(self):
        return _one_or_all(self._precision())

    def get_config(self):
        config = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **config}


class Recall(Precision):
    """Share of the positives that are predicted positive; arguments as of `Precision`."""

    def result(self):
        return _one_or_all(self._recall())


class _Constrained(_Confusion):
    """The best value of one rate among the thresholds where another rate is at least the given one."""

    direction = "up"
    argument = None

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        if not 0 <= value <= 1:
            raise ValueError(
                f"Argument `{self.argument}` must be in the range [0, 1]. Received: {self.argument}={value}"
            )
        if num_thresholds <= 0:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 0. Received: num_thresholds={num_thresholds}"
            )
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        super().__init__([0.5] if num_thresholds == 1 else np.linspace(0, 1, num_thresholds), name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._add(y_true, y_pred, sample_weight, class_id=self.class_id)

    def _best(self, rate, under):
        return float(np.max(np.where(under >= self.value, rate, 0.0), initial=0.0))

    def get_config(self):
        config = {"num_thresholds": self.num_thresholds, self.argument: self.value, "class_id": self.class_id}
        return {**super().get_config(), **config}


class SensitivityAtSpecificity(_Constrained):
    """The best sensitivity (recall) where the specificity is at least ``specificity``."""

    argument = "specificity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self):
        return self._best(self._recall(), under=self._specificity())


class SpecificityAtSensitivity(_Constrained):
    """The best specificity where the sensitivity (recall) is at least ``sensitivity``."""

    argument = "sensitivity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self):
        return self._best(self._specificity(), under=self._recall())


class PrecisionAtRecall(_Constrained):
    """The best precision where the recall is at least ``recall``."""

    argument = "recall"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self):
        return self._best(self._precision(), under=self._recall())


class RecallAtPrecision(_Constrained):
    """The best recall where the precision is at least ``precision``."""

    argument = "precision"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self):
        return self._best(self._recall(), under=self._precision())


class AUC(_Confusion):
    """Area under the ROC or the precision-recall curve, from the counts at ``num_thresholds`` thresholds.

    Args:
        num_thresholds: number of thresholds, spread evenly over [0, 1].
        curve: "ROC", "PR" or "PRGAIN".
        summation_method: "interpolation", "minoring" or "majoring" (of the rectangles under the curve).
        name: the key in the logs.
        dtype: see `Metric`.
        thresholds: own thresholds in (0, 1) in the place of ``num_thresholds``.
        multi_label: one curve per column of the predictions, averaged.
        num_labels: number of columns, if known.
        label_weights: weights of the columns.
        from_logits: apply a sigmoid to the predictions first.

    >>> AUC()([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
    0.75
    """

    direction = "up"

    def __init__(
        self,
        num_thresholds=200,
        curve="ROC",
        summation_method="interpolation",
        name=None,
        dtype=None,
        thresholds=None,
        multi_label=False,
        num_labels=None,
        label_weights=None,
        from_logits=False,
    ):
        self.curve = _choice(curve, ("PR", "ROC", "PRGAIN"), str.upper, "AUC curve")
        self.summation_method = _choice(
            summation_method, ("interpolation", "majoring", "minoring"), str.lower, "AUC summation method"
        )
        if thresholds is None and num_thresholds <= 1:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 1. Received: num_thresholds={num_thresholds}"
            )
        if num_labels and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self.init_thresholds = None if thresholds is None else sorted(thresholds)
        inner = np.linspace(0, 1, num_thresholds)[1:-1] if thresholds is None else self.init_thresholds
        self.num_thresholds = len(inner) + 2
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights, dtype=float)
        self.from_logits = from_logits
        # the ends lie outside [0, 1]: every prediction is above the first and none above the last
        super().__init__(np.array([-epsilon(), *inner, 1 + epsilon()]), name, dtype)

    def reset_state(self):
        shape = (self.num_thresholds, self.num_labels) if self.num_labels else (self.num_thresholds,)
        # without `num_labels` the first batch settles the number of columns by broadcasting
        shape = (self.num_thresholds, 1) if self.multi_label and not self.num_labels else shape
        self._set(*np.zeros((4, *shape)))

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.multi_label and np.ndim(y_pred) != 2:
            raise ValueError(
                "`y_pred` must have rank 2 when `multi_label=True`. "
                f"Found rank {np.ndim(y_pred)}. Full shape received for `y_pred`: {np.shape(y_pred)}"
            )
        if self.from_logits:
            y_pred = sigmoid(np.asarray(y_pred, dtype=self.dtype))
        self._add(
            y_true,
            np.clip(np.asarray(y_pred, dtype=self.dtype), 0, 1),
            sample_weight,
            multi_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
        )

    def result(self):
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._interpolated_precision_recall()
        else:
            x, y = self._curve()
            heights = {
                "interpolation": lambda: (y[:-1] + y[1:]) / 2,
                "minoring": lambda: np.minimum(y[:-1], y[1:]),
                "majoring": lambda: np.maximum(y[:-1], y[1:]),
            }[self.summation_method]()
            areas = (x[:-1] - x[1:]) * heights
        if not self.multi_label:
            return float(areas.sum())
        by_label = areas.sum(axis=0)
        if self.label_weights is None:
            return float(by_label.mean())
        return float(_divide(np.sum(by_label * self.label_weights), np.sum(self.label_weights)))

    def _curve(self):
        """The points (x, y) of the curve, from the lowest threshold to the highest."""
        if self.curve == "ROC":
            return _divide(self.false_positives, self.false_positives + self.true_negatives), self._recall()
        if self.curve == "PR":
            return self._recall(), self._precision()
        # precision-recall-gain (Flach and Kull, 2015); no true positives give recall gain 0, precision gain 1
        tp = self.true_positives
        ratio = _divide(tp + self.false_negatives, self.true_negatives + self.false_positives)
        recall_gain = np.where(tp == 0, 0.0, 1 - ratio * _divide(self.false_negatives, tp))
        precision_gain = np.where(tp == 0, 1.0, 1 - ratio * _divide(self.false_positives, tp))
        return np.maximum(recall_gain, 0.0), precision_gain

    def _interpolated_precision_recall(self):
        """Areas between thresholds with true positives linear in the positives (Davis and Goadrich, 2006)."""
        tp, p = self.true_positives, self.true_positives + self.false_positives
        slope = _divide(tp[:-1] - tp[1:], np.maximum(p[:-1] - p[1:], 0))
        intercept = tp[1:] - slope * p[1:]
        ratio = np.where((p[:-1] > 0) & (p[1:] > 0), _divide(p[:-1], np.maximum(p[1:], 0)), 1.0)
        increment = slope * (tp[:-1] - tp[1:] + intercept * np.log(ratio))
        return _divide(increment, np.maximum(tp[1:] + self.false_negatives[1:], 0))

    def get_config(self):
        config = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else self.label_weights.tolist(),
            "from_logits": self.from_logits,
        }
        if self.init_thresholds is not None:
            config["thresholds"] = self.init_thresholds
        return {**super().get_config(), **config}


def _choice(value, allowed, normalise, what):
    found = normalise(value) if isinstance(value, str) else value
    if found not in allowed:
        raise ValueError(f'Invalid {what} value: "{value}". Expected values are {list(allowed)}')
    return found
