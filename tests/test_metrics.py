"""Metrics over several batches, with and without weights, against real Keras."""

import os
import warnings

import numpy as np
import pytest

from fastrnn import losses, metrics

os.environ.setdefault("KERAS_BACKEND", "torch")

CASES = [
    ("Accuracy", {}, "equal"),
    ("BinaryAccuracy", {}, "binary"),
    ("BinaryAccuracy", {"threshold": 0.3}, "binary"),
    ("CategoricalAccuracy", {}, "one_hot"),
    ("SparseCategoricalAccuracy", {}, "labels"),
    ("TopKCategoricalAccuracy", {"k": 2}, "one_hot"),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, "labels"),
    ("MeanSquaredError", {}, "real"),
    ("RootMeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"),
    ("MeanAbsolutePercentageError", {}, "real"),
    ("MeanSquaredLogarithmicError", {}, "binary"),
    ("LogCoshError", {}, "real"),
    ("CosineSimilarity", {}, "real"),
    ("Hinge", {}, "binary"),
    ("SquaredHinge", {}, "binary"),
    ("CategoricalHinge", {}, "one_hot"),
    ("KLDivergence", {}, "one_hot"),
    ("Poisson", {}, "binary"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one_hot"),
    ("SparseCategoricalCrossentropy", {}, "labels"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, "labels"),
    ("PearsonCorrelation", {}, "real"),
    ("ConcordanceCorrelation", {}, "real"),
    ("R2Score", {}, "real"),
    ("R2Score", {"class_aggregation": None, "num_regressors": 3}, "real"),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, "real"),
    ("TruePositives", {}, "binary"),
    ("FalsePositives", {"thresholds": 0.7}, "binary"),
    ("TrueNegatives", {"thresholds": [0.2, 0.9, 0.4]}, "binary"),
    ("FalseNegatives", {}, "binary"),
    ("Precision", {}, "binary"),
    ("Precision", {"thresholds": [0.1, 0.4, 0.45]}, "binary"),
    ("Precision", {"top_k": 2}, "one_hot"),
    ("Precision", {"class_id": 1}, "binary"),
    ("Precision", {"class_id": 1, "top_k": 2}, "one_hot"),
    ("Recall", {}, "binary"),
    ("Recall", {"top_k": 2, "thresholds": 0.5}, "one_hot"),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, "binary"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7, "num_thresholds": 50}, "binary"),
    ("PrecisionAtRecall", {"recall": 0.6}, "binary"),
    ("RecallAtPrecision", {"precision": 0.6, "class_id": 2}, "binary"),
    ("RecallAtPrecision", {"precision": 0.4, "num_thresholds": 1}, "binary"),
    ("AUC", {}, "binary"),
    ("AUC", {"num_thresholds": 17}, "binary"),
    ("AUC", {"curve": "PR"}, "binary"),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, "binary"),
    ("AUC", {"curve": "PRGAIN"}, "binary"),
    ("AUC", {"summation_method": "minoring"}, "binary"),
    ("AUC", {"thresholds": [0.1, 0.25, 0.7]}, "binary"),
    ("AUC", {"multi_label": True}, "binary"),
    ("AUC", {"multi_label": True, "num_labels": 6, "curve": "PR"}, "binary"),
    ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 0.0, 1.0, 1.0, 3.0]}, "binary"),
    ("AUC", {"from_logits": True}, "logits"),
    ("F1Score", {}, "one_hot"),
    ("F1Score", {"average": "micro", "threshold": 0.4}, "binary"),
    ("F1Score", {"average": "macro"}, "one_hot"),
    ("FBetaScore", {"average": "weighted", "beta": 0.5}, "one_hot"),
    ("IoU", {"num_classes": 6, "target_class_ids": [0, 3]}, "equal"),
    ("MeanIoU", {"num_classes": 6, "ignore_class": 1}, "equal"),
    ("BinaryIoU", {"threshold": 0.4}, "binary"),
    ("OneHotIoU", {"num_classes": 6, "target_class_ids": [0, 2]}, "one_hot"),
    ("OneHotMeanIoU", {"num_classes": 6}, "one_hot"),
]


def make(kind, n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, n)
    probabilities = rng.dirichlet(np.ones(6), n).astype("float32")
    return {
        "real": lambda: (rng.normal(size=(n, 6)).astype("f"), rng.normal(size=(n, 6)).astype("f")),
        "binary": lambda: (rng.integers(0, 2, (n, 6)).astype("f"), rng.uniform(size=(n, 6)).astype("f")),
        "logits": lambda: (rng.integers(0, 2, (n, 6)).astype("f"), rng.normal(size=(n, 6)).astype("f")),
        "one_hot": lambda: (np.eye(6, dtype="f")[labels], probabilities),
        "labels": lambda: (labels, probabilities),
        "equal": lambda: (labels, np.where(rng.uniform(size=n) < 0.6, labels, rng.integers(0, 6, n))),
    }[kind]()


@pytest.mark.parity
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name,kwargs,kind", CASES, ids=lambda v: str(v))
def test_as_keras(name, kwargs, kind, weighted):
    keras = pytest.importorskip("keras")
    mine, theirs = getattr(metrics, name)(**kwargs), getattr(keras.metrics, name)(**kwargs)
    assert mine.direction == getattr(theirs, "_direction", None)
    rng = np.random.default_rng(0)
    for epoch in range(2):
        for batch, n in enumerate([16, 16, 5]):
            y_true, y_pred = make(kind, n, 10 * epoch + batch)
            weight = rng.uniform(size=n).astype("f") if weighted else None
            if weighted and "IoU" in name:
                weight = rng.integers(0, 3, n)
                if name == "BinaryIoU":
                    weight = np.repeat(weight, 6)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = theirs(y_true, y_pred, sample_weight=weight)
            got = mine(y_true, y_pred, sample_weight=weight)
            np.testing.assert_allclose(got, np.asarray(expected), rtol=2e-5, atol=1e-6)
            assert np.ndim(got) or type(got) is float
        mine.reset_state()
        theirs.reset_state()


@pytest.mark.parity
@pytest.mark.parametrize(
    "name",
    [
        "Accuracy",
        "BinaryAccuracy",
        "SparseCategoricalAccuracy",
        "CategoricalAccuracy",
        "MeanSquaredError",
        "RootMeanSquaredError",
        "TopKCategoricalAccuracy",
        "SparseTopKCategoricalAccuracy",
        "AUC",
        "Precision",
        "SparseCategoricalCrossentropy",
    ],
)
def test_sequences_with_weights_as_keras(name):
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(0)
    shape = (4, 5, 6)
    kind = {"CategoricalAccuracy": "one_hot", "TopKCategoricalAccuracy": "one_hot"}.get(name)
    labels = rng.integers(0, 6, shape[:2])
    for weight in [None, rng.uniform(size=(4, 5)).astype("f"), rng.uniform(size=(4, 1)).astype("f")]:
        if weight is not None and weight.shape == (4, 1) and name in ("AUC", "Precision"):
            continue
        mine, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
        for _ in range(2):
            y_pred = rng.dirichlet(np.ones(6), shape[:2]).astype("f")
            y_true = (
                np.eye(6)[labels]
                if kind
                else labels
                if name.startswith("Sparse")
                else rng.integers(0, 2, shape)
            )
            expected = float(theirs(y_true, y_pred, sample_weight=weight))
            assert mine(y_true, y_pred, sample_weight=weight) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parity
@pytest.mark.parametrize("weight", [None, 2.0, [1.0, 0.5, 0.0, 2.0], [[1.0], [2.0], [3.0], [0.0]]])
def test_mean_and_sum_as_keras(weight):
    keras = pytest.importorskip("keras")
    for values in [3.0, np.arange(4.0), np.arange(12.0).reshape(4, 3), np.arange(24.0).reshape(4, 3, 2)]:
        if weight is not None and np.ndim(weight) > np.ndim(values):
            continue
        for name in ("Mean", "Sum"):
            mine, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
            for _ in range(2):
                expected = float(theirs(values, sample_weight=weight))
                assert mine(values, sample_weight=weight) == pytest.approx(expected, rel=1e-6)


def test_the_float_type_does_not_wear_out():
    metric = metrics.Mean()
    metric.add(2.0**25, 2.0**25)
    for _ in range(10):
        metric.add(0.0, 1.0)
    assert metric.count == 2.0**25 + 10


def test_native_sums_equal_update_state():
    """`add` with the sum and the number of the values of the kernel named by `native` does the same."""
    for name, kwargs, kind in CASES:
        metric, other = getattr(metrics, name)(**kwargs), getattr(metrics, name)(**kwargs)
        if metric.native is None:
            continue
        kernel, params = metric.native
        assert all(type(v) is float for v in params.values())
        y_true, y_pred = make(kind, 12, 3)
        function = getattr(losses, kernel, None) or getattr(metrics.accuracy, kernel)
        params = {k: int(v) if k in ("k", "from_logits") else v for k, v in params.items()}
        values = function(y_true, y_pred, **params)
        metric.add(float(values.sum()), values.size)
        assert metric.result() == pytest.approx(other(y_true, y_pred), rel=1e-6), name


def test_which_metrics_are_native():
    native = {name for name, kwargs, _ in CASES if getattr(metrics, name)(**kwargs).native}
    assert {"Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy"} <= native
    assert not {"AUC", "Precision", "R2Score", "F1Score", "PearsonCorrelation", "MeanIoU"} & native
    assert metrics.BinaryAccuracy(threshold=0.25).native == ("binary_accuracy", {"threshold": 0.25})
    assert metrics.TopKCategoricalAccuracy(k=3).native == ("top_k_categorical_accuracy", {"k": 3.0})
    assert metrics.SparseTopKCategoricalAccuracy(from_sorted_ids=True).native is None
    assert metrics.MeanMetricWrapper(losses.huber, delta=0.5).native == ("huber", {"delta": 0.5})
    assert metrics.MeanMetricWrapper(losses.binary_focal_crossentropy).native is None


@pytest.mark.parametrize(
    "name,y_true,y_pred,cls",
    [
        ("accuracy", (8, 1), (8, 1), "BinaryAccuracy"),
        ("acc", (8,), (8, 1), "BinaryAccuracy"),
        ("acc", (8,), (8, 3), "SparseCategoricalAccuracy"),
        ("accuracy", (8, 1), (8, 3), "SparseCategoricalAccuracy"),
        ("accuracy", (8, 5), (8, 5, 3), "SparseCategoricalAccuracy"),
        ("Accuracy", (8, 3), (8, 3), "CategoricalAccuracy"),
        ("ce", (8, 1), (8, 1), "BinaryCrossentropy"),
        ("crossentropy", (8, 3), (8, 3), "CategoricalCrossentropy"),
    ],
)
def test_accuracy_is_resolved_by_shape(name, y_true, y_pred, cls):
    metric = metrics.resolve(name, y_true, y_pred)
    assert type(metric).__name__ == cls and metric.name == name
    assert type(metrics.resolve_accuracy(name, y_true, y_pred)).__name__ == cls
    if name.lower().startswith("acc"):
        pytest.importorskip("keras")
        from keras.src.trainers.compile_utils import get_metric

        theirs = get_metric(name, np.zeros(y_true), np.zeros(y_pred))
        assert type(theirs).__name__ == cls and theirs.name == name


def test_resolve_other_entries():
    shapes = (8, 1), (8, 1)
    assert metrics.resolve("mse", *shapes).name == "mse"
    assert metrics.resolve("AUC", *shapes).name == "AUC"
    assert metrics.resolve(metrics.AUC(name="auc"), *shapes).name == "auc"
    assert metrics.resolve(metrics.mean_absolute_error, *shapes).native == ("mean_absolute_error", {})

    def myOwn(y_true, y_pred):
        return np.abs(np.subtract(y_true, y_pred)).mean(axis=-1)

    metric = metrics.resolve(myOwn, *shapes)
    assert metric.name == "my_own" and metric.direction is None and metric.native is None
    assert metric([[1.0], [2.0]], [[2.0], [5.0]]) == 2.0
    with pytest.raises(ValueError, match="received `None`"):
        metrics.resolve(None, *shapes)


def test_masked_values_do_not_count():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 5, 2))
    mask = np.arange(5) < np.array([[5], [2], [0]])
    metric = metrics.MeanSquaredError()
    metric.update_state(y_true, y_pred, mask=mask)
    assert metric.result() == pytest.approx(np.square(y_true - y_pred).mean(axis=-1)[mask].mean(), rel=1e-6)


@pytest.mark.parity
def test_every_keras_name_is_known():
    pytest.importorskip("keras")
    from keras.src.metrics import ALL_OBJECTS_DICT

    needs_arguments = (
        "IoU MeanIoU OneHotIoU OneHotMeanIoU Metric MeanMetricWrapper PrecisionAtRecall "
        "RecallAtPrecision SensitivityAtSpecificity SpecificityAtSensitivity"
    )
    for name, cls in ALL_OBJECTS_DICT.items():
        assert metrics._TABLE[name].__name__ == cls.__name__
        if cls.__name__ not in needs_arguments.split():
            assert type(metrics.get(name)).__name__ == cls.__name__
    with pytest.raises(ValueError, match="Unknown metric 'acuracy'. Did you mean 'accuracy'"):
        metrics.get("acuracy")


@pytest.mark.parametrize("name,kwargs,kind", CASES, ids=lambda v: str(v))
def test_config_and_names(name, kwargs, kind):
    mine = getattr(metrics, name)(**kwargs)
    again = metrics.get(metrics.serialize(mine))
    assert type(again) is type(mine) and again.get_config() == mine.get_config()
    y_true, y_pred = make(kind, 9, 0)
    np.testing.assert_array_equal(again(y_true, y_pred), mine(y_true, y_pred))
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.metrics, name)(**kwargs).get_config()
    config = mine.get_config()
    if not (name == "AUC" and kwargs.get("label_weights")):
        for key in theirs.keys() - {"name", "dtype", "thresholds"}:
            assert config[key] == theirs[key], key
    # objects without a default name are numbered per process
    assert config["name"].rstrip("_0123456789") == theirs["name"].rstrip("_0123456789")


@pytest.mark.parametrize(
    "build",
    [
        lambda m: m.Precision(thresholds=1.5),
        lambda m: m.AUC(num_thresholds=1),
        lambda m: m.AUC(curve="XYZ"),
        lambda m: m.AUC(summation_method="trapezoid"),
        lambda m: m.AUC(num_labels=3),
        lambda m: m.F1Score(average="mean"),
        lambda m: m.FBetaScore(beta=0.0),
        lambda m: m.F1Score(threshold=1.5),
        lambda m: m.PrecisionAtRecall(1.5),
        lambda m: m.RecallAtPrecision(0.5, num_thresholds=0),
        lambda m: m.IoU(2, [2]),
        lambda m: m.R2Score(class_aggregation="mean"),
        lambda m: m.R2Score(num_regressors=-1),
        lambda m: m.F1Score()(np.zeros(3), np.zeros(3)),
        lambda m: m.Precision(class_id=0)(np.zeros(3), np.zeros(3)),
    ],
)
def test_errors_as_keras(build):
    with pytest.raises(ValueError) as mine:
        build(metrics)
    keras = pytest.importorskip("keras")
    with pytest.raises(ValueError) as theirs:
        build(keras.metrics)
    assert str(mine.value)[:30] == str(theirs.value)[:30]


def test_nan_predictions_are_not_positive():
    assert metrics.TruePositives()([1, 1], [np.nan, 0.9]) == 1.0
