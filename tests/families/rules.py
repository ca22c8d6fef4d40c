"""Families of the rules of training by themselves: activations, losses, metrics, optimizers, schedules, initializers, and so on."""

import numpy as np

from . import Skip, family, plain
from .layers import comparable
from .training import optimizer, schedule

# what Keras's `get_config` leaves out, so that its `from_config` makes something else; fastrnn's has it
FORGOTTEN = {"Huber": ["delta"], "CosineSimilarity": ["axis"], "SparseCategoricalCrossentropy": ["axis"], "Identity": ["gain"]}

# ------------------------------------------------------------------------------------------------------------ activations

ACTIVATION_ARGUMENTS = {
    "relu": {"negative_slope": [0.1, 0.5], "max_value": [1.0, 6], "threshold": [0.5, -0.5]}, "leaky_relu": {"negative_slope": [0.1]},
    "elu": {"alpha": [0.5, 2.0]}, "celu": {"alpha": [0.5, 2.0]}, "gelu": {"approximate": [True, False]}, "softmax": {"axis": [0, -1, 1]},
    "log_softmax": {"axis": [0, -1]}, "squareplus": {"b": [1, 4]}, "soft_shrink": {"threshold": [0.1]}, "hard_shrink": {"threshold": [0.1]},
    "threshold": {"threshold": [0.3], "default_value": [-1.0]}, "glu": {"axis": [-1]},
}  # fmt: skip
ACTIVATIONS = ["relu", "leaky_relu", "relu6", "softmax", "celu", "elu", "selu", "softplus", "softsign", "squareplus", "soft_shrink",
               "sparse_plus", "silu", "swish", "gelu", "glu", "tanh", "tanh_shrink", "threshold", "sigmoid", "sparse_sigmoid", "exponential",
               "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "linear", "mish", "log_softmax", "log_sigmoid"]  # fmt: skip


@family
def activation(case):
    """Every activation function with its arguments."""
    case.use_float64(case.chance(0.4))
    name = case.pick(ACTIVATIONS)
    share = 1.0 if name == "threshold" else 0.6
    options = case.options(share, **ACTIVATION_ARGUMENTS.get(name, {}))
    x = case.normal(case.integer(1, 4), 2 * case.integer(1, 5)) * case.dtype_of(case.pick([1.0, 5.0, 0.1]))
    case.note(name, x.shape)
    case.see("value", getattr(case.L.activations, name)(case.array(x), **options), 1e-12 if case.float64 else 2e-6)
    case.attempt("by name", lambda: case.L.activations.get(name)(case.array(x)))
    case.attempt("serialized", lambda: case.L.activations.serialize(getattr(case.L.activations, name)))
    case.attempt("again", lambda: case.L.activations.serialize(case.L.activations.get(name)))


# ----------------------------------------------------------------------------------------------------------- identifiers

WORDS = {
    "activations": [*ACTIVATIONS, None, "Relu", "relu_", "leakyrelu", "LeakyReLU", "tanh ", 3],
    "losses": ["mse", "MSE", "mae", "MAPE", "msle", "bce", "BCE", "kld", "KLD", "log_cosh", "LogCosh", "huber", "Huber", "circle",
               "Circle", "ctc", "CTC", "dice", "Tversky", "mean_squared_error", "MeanSquaredError", "KLDivergence",
               "kl_divergence", "crossentropy", "binary_crossentropy", "BinaryCrossentropy", "categorical_focal_crossentropy", "hinge",
               "sparse_categorical_crossentropy", "cosine_similarity",
               "mean_square_error", "Mse", "poisson", None, 3, {"class_name": "Huber", "config": {"delta": 2.0}}, {"class_name": "Hubert"}],
    "metrics": ["mse", "MSE", "mae", "mape", "MSLE", "bce", "auc", "AUC", "precision", "Precision", "recall", "F1Score", "f1_score",
                "fbeta_score", "FBetaScore", "binary_accuracy", "accuracy", "Accuracy", "top_k_categorical_accuracy", "mean", "Mean", "Sum",
                "RootMeanSquaredError", "root_mean_squared_error", "rmse", "log_cosh_error", "logcosh", "r2_score", "R2Score", "kl_divergence",
                "true_positives", "concordance_correlation", "one_hot_mean_io_u", "mean_io_u", "binary_io_u", "cosine_similarity",
                "sparse_top_k_categorical_accuracy", "mean_metric_wrapper", None, 3, "poisson", "hinge", "categorical_crossentropy",
                {"class_name": "BinaryAccuracy", "config": {"threshold": 0.3}}],
    "optimizers": ["sgd", "SGD", "Adam", "ADAM", "rmsprop", "RMSProp", "adamw", "nadam", "lion", "ftrl", "adadelta", "adagrad", "adamax", "adafactor",
                   "muon", "momentum", "adam ", None, 3, {"class_name": "Adam", "config": {"learning_rate": 0.5}},
                   {"class_name": "SGD", "config": {}}, "optimizer"],
    "initializers": ["zeros", "Zeros", "ones", "glorot_uniform", "GlorotUniform", "he_normal", "HeNormal", "lecun_uniform", "orthogonal", "Orthogonal",
                     "random_normal", "uniform", "normal", "truncated_normal", "identity", "Identity", "variance_scaling",
                     "VarianceScaling", "zero", "one", "xavier", "orthogonal_initializer", "IdentityInitializer", "random_uniform", None, 3,
                     "OrthogonalInitializer", {"class_name": "Constant", "config": {"value": 2.0}}],
    "regularizers": ["l1", "l2", "l1l2", "L1", "L2", "L1L2", "l1_l2", "orthogonal_regularizer", "OrthogonalRegularizer", "l3", None, 3,
                     {"class_name": "L2", "config": {"l2": 0.5}}],
    "constraints": ["max_norm", "MaxNorm", "non_neg", "NonNeg", "nonneg", "unit_norm", "UnitNorm", "min_max_norm", "MinMaxNorm", "maxnorm", None, 3,
                    {"class_name": "MaxNorm", "config": {"max_value": 1.0}}],
}  # fmt: skip


@family
def identifiers(case):
    """What `get` makes of names, and which it refuses."""
    module = case.pick(WORDS)
    word = case.pick(WORDS[module])
    case.note(module, repr(word))
    found = getattr(case.L, module).get(dict(word) if isinstance(word, dict) else word)
    case.see("what", getattr(found, "__name__", type(found).__name__))
    if hasattr(found, "get_config"):
        config = comparable(found.get_config())
        case.see("config", {key: value for key, value in config.items() if key not in FORGOTTEN.get(type(found).__name__, ())})


# ----------------------------------------------------------------------------------------------------------------- losses

LOSSES = {  # class: (function, kind of predictions, kind of targets, arguments of both)
    "MeanSquaredError": ("mean_squared_error", "real", "real", {}),
    "MeanAbsoluteError": ("mean_absolute_error", "real", "real", {}),
    "MeanAbsolutePercentageError": ("mean_absolute_percentage_error", "real", "real", {}),
    "MeanSquaredLogarithmicError": ("mean_squared_logarithmic_error", "real", "real", {}),
    "CosineSimilarity": ("cosine_similarity", "real", "real", {"axis": [-1, 0, 1]}),
    "Huber": ("huber", "real", "real", {"delta": [0.3, 2.0]}),
    "LogCosh": ("log_cosh", "real", "real", {}),
    "Hinge": ("hinge", "real", "sign", {}),
    "SquaredHinge": ("squared_hinge", "real", "binary", {}),
    "CategoricalHinge": ("categorical_hinge", "real", "one-hot", {}),
    "KLDivergence": ("kl_divergence", "distribution", "distribution", {}),
    "Poisson": ("poisson", "positive", "positive", {}),
    "BinaryCrossentropy": ("binary_crossentropy", "probability", "binary", {"label_smoothing": [0.2], "from_logits": [True, False], "axis": [-1, 0]}),
    "CategoricalCrossentropy": ("categorical_crossentropy", "distribution", "one-hot",
                                {"label_smoothing": [0.2], "from_logits": [True, False], "axis": [-1, 1]}),
    "SparseCategoricalCrossentropy": ("sparse_categorical_crossentropy", "distribution", "class",
                                      {"ignore_class": [0, -1], "from_logits": [True, False]}),
    "BinaryFocalCrossentropy": ("binary_focal_crossentropy", "probability", "binary",
                                {"apply_class_balancing": [True], "alpha": [0.4], "gamma": [1.5], "label_smoothing": [0.1], "from_logits": [True]}),
    "CategoricalFocalCrossentropy": ("categorical_focal_crossentropy", "distribution", "one-hot",
                                     {"alpha": [0.4], "gamma": [1.5], "label_smoothing": [0.1], "from_logits": [True]}),
    "Dice": ("dice", "probability", "binary", {"axis": [None, -1, 1, (0, 1)]}),
    "Tversky": ("tversky", "probability", "binary", {"alpha": [0.2], "beta": [0.7], "axis": [None, -1, (0, 1)]}),
    "Circle": ("circle", "unit", "class", {"gamma": [10.0], "margin": [0.2], "remove_diagonal": [True, False]}),
    "CategoricalGeneralizedCrossEntropy": ("categorical_generalized_cross_entropy", "distribution", "class", {"q": [0.3, 0.8]}),
}  # fmt: skip


def numbers(case, kind, rows, columns):
    """Targets or predictions of a kind, (rows..., columns)."""
    rng, shape = case.rng, (*rows, columns)
    classes = rng.integers(0, columns, rows)
    logits = rng.normal(size=shape)
    return {
        "real": lambda: logits, "sign": lambda: rng.choice([-1.0, 1.0], shape), "binary": lambda: rng.integers(0, 2, shape).astype(float),
        "one-hot": lambda: np.eye(columns)[classes], "class": lambda: classes, "positive": lambda: rng.uniform(0.01, 3, shape),
        "probability": lambda: np.where(rng.random(shape) < 0.1, np.round(rng.random(shape)), rng.random(shape)),
        "distribution": lambda: np.exp(logits) / np.exp(logits).sum(-1, keepdims=True),
        "unit": lambda: logits / np.linalg.norm(logits, axis=-1, keepdims=True),
    }[kind]().astype("int64" if kind == "class" else case.dtype)  # fmt: skip


def loss_data(case, kinds, may_be_deep=True):
    rows = (case.integer(2, 6),) + ((case.integer(1, 4),) if may_be_deep and case.chance(0.3) else ())
    columns = case.pick([1, 2, 3, 4]) if kinds[1] in ("real", "binary", "sign", "positive") else case.integer(2, 5)
    y_pred, y_true = (numbers(case, kind, rows, columns) for kind in kinds)
    case.note(y_true.shape, y_pred.shape)
    return y_true, y_pred, rows


@family
def loss_function(case):
    """Losses as functions: values per sample."""
    case.use_float64(case.chance(0.4))
    name = case.pick(LOSSES)
    function, of_predictions, of_targets, arguments = LOSSES[name]
    case.note(function)
    options = case.options(**arguments)
    if name == "CategoricalGeneralizedCrossEntropy":
        options.setdefault("q", 0.4)  # has a default in the class only
    y_true, y_pred, _ = loss_data(case, (of_predictions, of_targets), name != "Circle")
    if name == "Circle":
        labels = y_true
        options.update(ref_labels=case.array(labels), ref_embeddings=case.array(y_pred))
    case.see("value", getattr(case.L.losses, function)(case.array(y_true), case.array(y_pred), **options))


@family
def loss_object(case):
    """Losses as objects: weights, masks of ranks, reductions, gradients, configurations."""
    case.use_float64(case.chance(0.4))
    name = case.pick(LOSSES)
    _, of_predictions, of_targets, arguments = LOSSES[name]
    case.note(name)
    options = case.options(**arguments)
    options.update(case.options(0.4, reduction=["sum", "none", None, "mean", "mean_with_sample_weight", "sum_over_batch_size"]))
    options.update(case.options(0.2, name=["mine"]))
    loss = getattr(case.L.losses, name)(**options)
    case.see("name", [loss.name, loss.reduction])
    def config():
        return {key: value for key, value in comparable(loss.get_config()).items() if key not in FORGOTTEN.get(name, ())}

    case.attempt("config", config)
    loss = type(loss).from_config(loss.get_config()) if name not in FORGOTTEN else loss
    case.attempt("again", config)
    y_true, y_pred, rows = loss_data(case, (of_predictions, of_targets), name not in ("Circle", "Dice", "Tversky"))
    # (Keras's generalized cross-entropy takes labels (batch, 1) for a batch of batches)
    if of_targets == "class" and name != "CategoricalGeneralizedCrossEntropy" and case.chance(0.3):
        y_true = y_true[..., None]
    weights = {}
    if case.chance(0.4) and name != "CosineSimilarity" and options.get("axis", -1) == -1:
        # (Keras on PyTorch multiplies weights in place by the mask of `ignore_class`, so they must have its shape)
        weights["sample_weight"] = case.rng.uniform(0, 2, rows if case.chance(0.5) or "ignore_class" in options else rows[:1])
        if weights["sample_weight"].ndim == 1 < len(rows):
            weights["sample_weight"] = weights["sample_weight"][:, None]  # (batch,) against (batch, steps): Keras raises
        case.note("weights", weights["sample_weight"].shape)
    case.see("value", loss(y_true, y_pred, **weights))
    if options.get("reduction", "mean") in (None, "none"):
        return
    if case.is_keras:
        import torch

        tensor = torch.tensor(y_pred, requires_grad=True)
        loss(y_true, tensor, **weights).sum().backward()
        gradient = tensor.grad
    else:
        gradient = loss.value_and_gradient(y_true, y_pred, **weights)[1]
    case.see("gradient", gradient, 1e-8 if case.float64 else 1e-3)


@family
def ctc(case):
    """CTC by itself: labels of any length, values and gradients."""
    case.use_float64(case.chance(0.5))
    batch, classes, length = case.integer(1, 4), case.integer(2, 6), case.integer(1, 5)
    steps = case.integer(length, 9)
    y_true = case.rng.integers(1, classes, (batch, length))
    for row in y_true:
        row[case.integer(0, length + 1) :] = 0
    y_pred = case.normal(batch, steps, classes)
    case.note(y_true.tolist(), y_pred.shape)
    loss = case.L.losses.CTC(reduction=case.pick(["sum", "mean"]))
    case.see("value", loss(y_true, y_pred))
    case.see("config", comparable(loss.get_config()))
    if not case.is_keras:
        gradient = loss.value_and_gradient(y_true, y_pred)[1]
    else:
        import torch

        tensor = torch.tensor(y_pred, requires_grad=True)
        loss(y_true, tensor).backward()
        gradient = tensor.grad
    if np.isfinite(plain(loss(y_true, y_pred))):  # a sequence too short for its labels has no gradient
        case.see("gradient", gradient, 1e-8 if case.float64 else 1e-4)


@family
def loss_shapes(case):
    """Targets and predictions whose ranks differ, and shapes that do not go together."""
    name = case.pick(["MeanSquaredError", "MeanAbsoluteError", "BinaryCrossentropy", "Huber", "Hinge", "LogCosh", "Poisson",
                      "CategoricalCrossentropy", "SparseCategoricalCrossentropy"])  # fmt: skip
    shapes = [((4,), (4, 1)), ((4, 1), (4,)), ((4, 2, 1), (4, 2)), ((4, 2), (4, 2, 1)), ((4, 3), (4, 3)), ((4, 1), (4, 3)), ((4,), (4,)),
              ((3,), (4, 3)), ((4, 2), (4, 3)), ((4,), (3,)), ((5, 2), (4, 2)), ((4,), (4, 3)), ((2, 3), (2, 3, 4))]  # fmt: skip
    true, pred = case.pick(shapes)
    case.note(name, true, pred)
    if name == "SparseCategoricalCrossentropy" and (true, pred) == ((4, 1), (4,)):
        raise Skip("Keras takes four predictions for the classes of one sample, and the labels for four of that sample")
    y_true = case.rng.integers(0, 2, true).astype(np.float32)
    y_pred = case.rng.uniform(0.1, 0.9, pred).astype(np.float32)
    case.see("value", getattr(case.L.losses, name)()(y_true, y_pred))


# ---------------------------------------------------------------------------------------------------------------- metrics

METRICS = {  # class: (kind of predictions, kind of targets, required, optional arguments)
    "Accuracy": ("class", "class", {}, {}), "BinaryAccuracy": ("probability", "binary", {}, {"threshold": [0.3, 0.8]}),
    "CategoricalAccuracy": ("distribution", "one-hot", {}, {}), "SparseCategoricalAccuracy": ("distribution", "class", {}, {}),
    "TopKCategoricalAccuracy": ("distribution", "one-hot", {"k": 2}, {}),
    "SparseTopKCategoricalAccuracy": ("distribution", "class", {"k": 2}, {}),
    "BinaryCrossentropy": ("probability", "binary", {}, {"label_smoothing": [0.2], "from_logits": [True]}),
    "CategoricalCrossentropy": ("distribution", "one-hot", {}, {"label_smoothing": [0.2], "from_logits": [True]}),
    "SparseCategoricalCrossentropy": ("distribution", "class", {}, {"ignore_class": [0], "from_logits": [True]}),
    "KLDivergence": ("distribution", "distribution", {}, {}), "Poisson": ("positive", "positive", {}, {}),
    "MeanSquaredError": ("real", "real", {}, {}), "RootMeanSquaredError": ("real", "real", {}, {}), "MeanAbsoluteError": ("real", "real", {}, {}),
    "MeanAbsolutePercentageError": ("real", "real", {}, {}), "MeanSquaredLogarithmicError": ("positive", "positive", {}, {}),
    "CosineSimilarity": ("real", "real", {}, {"axis": [-1]}), "LogCoshError": ("real", "real", {}, {}),
    "R2Score": ("real", "real", {}, {"class_aggregation": ["uniform_average", "variance_weighted_average", None], "num_regressors": [0, 1]}),
    "PearsonCorrelation": ("real", "real", {}, {"axis": [-1]}), "ConcordanceCorrelation": ("real", "real", {}, {"axis": [-1]}),
    "Hinge": ("real", "sign", {}, {}), "SquaredHinge": ("real", "binary", {}, {}), "CategoricalHinge": ("real", "one-hot", {}, {}),
    "AUC": ("probability", "binary", {}, {"num_thresholds": [3, 50], "curve": ["ROC", "PR", "PRGAIN"], "multi_label": [True],
                                          "summation_method": ["interpolation", "minoring", "majoring"], "from_logits": [True],
                                          "thresholds": [[0.3, 0.7], [0.5]]}),
    "Precision": ("probability", "binary", {}, {"thresholds": [0.3, [0.2, 0.7]], "top_k": [1, 2], "class_id": [0, 1]}),
    "Recall": ("probability", "binary", {}, {"thresholds": [0.3, [0.2, 0.7]], "top_k": [1, 2], "class_id": [0, 1]}),
    "TruePositives": ("probability", "binary", {}, {"thresholds": [0.3, [0.2, 0.7]]}),
    "TrueNegatives": ("probability", "binary", {}, {"thresholds": [0.3, [0.2, 0.7]]}),
    "FalsePositives": ("probability", "binary", {}, {"thresholds": [0.3, [0.2, 0.7]]}),
    "FalseNegatives": ("probability", "binary", {}, {"thresholds": [0.3, [0.2, 0.7]]}),
    "PrecisionAtRecall": ("probability", "binary", {"recall": 0.5}, {"num_thresholds": [1, 5], "class_id": [1]}),
    "RecallAtPrecision": ("probability", "binary", {"precision": 0.6}, {"num_thresholds": [1, 5], "class_id": [1]}),
    "SensitivityAtSpecificity": ("probability", "binary", {"specificity": 0.5}, {"num_thresholds": [1, 5], "class_id": [1]}),
    "SpecificityAtSensitivity": ("probability", "binary", {"sensitivity": 0.5}, {"num_thresholds": [1, 5], "class_id": [1]}),
    "F1Score": ("probability", "one-hot", {}, {"average": ["micro", "macro", "weighted", None], "threshold": [0.4]}),
    "FBetaScore": ("probability", "binary", {}, {"average": ["micro", "macro", "weighted"], "threshold": [0.4], "beta": [0.5, 2.0]}),
    "IoU": ("class", "class", {"num_classes": 4, "target_class_ids": [0, 2]}, {"ignore_class": [1]}),
    "MeanIoU": ("class", "class", {"num_classes": 4}, {"ignore_class": [1]}),
    "BinaryIoU": ("probability", "binary", {}, {"target_class_ids": [[0], [1], [0, 1]], "threshold": [0.3]}),
    "OneHotIoU": ("distribution", "one-hot", {"num_classes": 4, "target_class_ids": [0, 2]}, {"ignore_class": [1], "sparse_y_pred": [False]}),
    "OneHotMeanIoU": ("distribution", "one-hot", {"num_classes": 4}, {"ignore_class": [1]}),
}  # fmt: skip


@family
def metric(case):
    """Metrics as objects: several batches, weights, resets, configurations, variables."""
    case.use_float64(case.chance(0.2))
    name = case.pick(METRICS)
    of_predictions, of_targets, required, optional = METRICS[name]
    case.note(name)
    options = {**required, **case.options(0.4, **optional), **case.options(0.2, name=["mine"])}
    made = getattr(case.L.metrics, name)(**options)
    case.see("name", made.name)
    if name not in ("F1Score", "FBetaScore", "R2Score") and not options.get("multi_label"):  # whose variables Keras makes with the first batch
        case.see("before", made.result(), 1e-6)
    if name != "CosineSimilarity":  # whose axis Keras forgets
        case.see("config", comparable(made.get_config()))
        made = type(made).from_config(made.get_config())
    columns = 4 if "num_classes" in required else case.integer(2, 5)
    deep = (case.integer(1, 4),) if case.chance(0.2) and name not in ("F1Score", "FBetaScore", "R2Score") else ()
    weighted = case.chance(0.4)
    tolerance = 1e-3 if name == "R2Score" else 3e-5  # a quotient of small differences
    for k in range(case.integer(1, 4)):
        rows = (case.integer(2, 8), *deep)
        y_pred, y_true = (numbers(case, kind, rows, columns) for kind in (of_predictions, of_targets))
        weights = {"sample_weight": case.rng.uniform(0, 2, rows)} if weighted else {}
        made.update_state(y_true, y_pred, **weights)
        case.see(f"after batch {k}", made.result(), tolerance)
        if case.chance(0.2):
            made.reset_state()
            if name != "R2Score":  # NaN
                case.see("after reset", made.result(), 1e-6)
    case.see("called", made(y_true, y_pred, **weights), tolerance)


@family
def mean_metrics(case):
    """Mean, Sum, MeanMetricWrapper of plain values."""
    L, shape = case.L, tuple(case.integer(1, 4) for _ in range(case.integer(0, 4)))
    name = case.pick(["Mean", "Sum", "MeanMetricWrapper"])
    options = case.options(0.3, name=["mine"], dtype=["float32"])
    case.note(name, shape)
    if name == "MeanMetricWrapper":
        made = L.metrics.MeanMetricWrapper(lambda a, b: (a - b) ** 2, **options)
    else:
        made = getattr(L.metrics, name)(**options)
    case.see("name", made.name)
    for k in range(2):
        values = [case.normal(*shape) for _ in range(2 if name == "MeanMetricWrapper" else 1)]
        weights = {}
        if case.chance(0.5):
            weights["sample_weight"] = case.rng.uniform(0, 2, shape[: case.integer(0, len(shape) + 1)]).astype(np.float32)
            case.note("weights", np.shape(weights["sample_weight"]))
        made.update_state(*(case.array(v) for v in values), **weights)
        case.see(f"result {k}", made.result(), 1e-5)


# -------------------------------------------------------------------------------------------- optimizers and schedules


@family
def learning_rate_schedule(case):
    """Schedules at many steps, their configurations, and wrong arguments."""
    made = schedule(case)
    case.see("values", [float(made(step)) for step in range(14)], 3e-6)
    case.see("config", comparable(made.get_config()))
    case.see("again", comparable(type(made).from_config(made.get_config()).get_config()))


@family
def optimizer_alone(case):
    """An optimizer on plain variables: values, learning rate, iterations, variables, configuration."""
    case.use_float64(case.chance(0.7))
    made = optimizer(case)
    shapes = [tuple(case.integer(1, 5) for _ in range(case.integer(1, 4))) for _ in range(case.integer(1, 4))]
    case.note(shapes)
    values = [case.normal(*shape) for shape in shapes]
    if case.is_keras:
        import keras

        variables = [keras.Variable(v, name=f"w{k}") for k, v in enumerate(values)]
    else:
        variables = [v.copy() for v in values]
    scale = case.pick([1.0, 0.01])
    for k in range(case.integer(1, 5)):
        gradients = [case.normal(*shape) * case.dtype_of(scale) for shape in shapes]
        if case.is_keras:
            made.apply([case.array(g) for g in gradients], variables)
        else:
            made.apply(gradients, variables)
    case.see("change", [np.asarray(a) - b for a, b in zip(plain_arrays(variables), values)], 1e-7 if case.float64 else 2e-3)
    case.see("iterations", int(made.iterations))
    case.see("learning rate", float(made.learning_rate), 1e-6)
    if not callable(made.get_config()["learning_rate"]) and not isinstance(made.get_config()["learning_rate"], dict):
        made.learning_rate = 0.25
        case.see("set", float(made.learning_rate))


def plain_arrays(variables):
    return [v.numpy() if hasattr(v, "numpy") else v for v in variables]


@family
def optimizer_config(case):
    """Configurations of optimizers, names, and what `optimizer.variables` holds after training."""
    made = optimizer(case)
    config = made.get_config()
    case.see("config", comparable(config))
    case.see("again", comparable(type(made).from_config(config).get_config()))
    case.see("name", made.name)


WRONG_OPTIMIZERS = [
    ("SGD", {"learning_rate": 1}), ("SGD", {"momentum": 1}), ("SGD", {"momentum": 1.5}), ("SGD", {"momentum": -0.1}),
    ("Adam", {"clipnorm": 1.0, "clipvalue": 1.0}), ("Adam", {"global_clipnorm": 1.0, "clipnorm": 1.0}), ("Adam", {"learning_rate": "0.1"}),
    ("Adam", {"decay": 0.1}), ("Adam", {"foo": 1}), ("AdamW", {"weight_decay": None}), ("Lion", {"beta_1": 0.0}), ("Lion", {"beta_1": 1.5}),
    ("Ftrl", {"initial_accumulator_value": -1.0}), ("Ftrl", {"learning_rate_power": 1.0}), ("Ftrl", {"l1_regularization_strength": -1.0}),
    ("Adam", {"use_ema": True, "ema_momentum": 1.5}), ("Adam", {"gradient_accumulation_steps": 1}), ("Adam", {"gradient_accumulation_steps": 0}),
    ("Adam", {"use_ema": True, "ema_overwrite_frequency": 0}), ("Adam", {"use_ema": True, "ema_overwrite_frequency": 1.5}),
    ("Adam", {"learning_rate": None}), ("RMSprop", {"rho": 2.0}), ("Adam", {"weight_decay": -1.0}), ("Adam", {"clipnorm": -1.0}), ("Adam", {"name": "a"}),
    ("Adam", {"learning_rate": np.float32(0.1)}), ("Adam", {"learning_rate": np.float64(0.1)}), ("Adam", {"learning_rate": True}),
]  # fmt: skip


@family
def wrong_optimizers(case):
    """Arguments of optimizers that Keras refuses, and some that it takes."""
    name, options = case.pick(WRONG_OPTIMIZERS)
    case.note(name, options)
    made = getattr(case.L.optimizers, name)(**options)
    case.see("learning rate", float(made.learning_rate))


WRONG_RULES = [
    ("losses", "MeanSquaredError", {"reduction": "average"}), ("losses", "MeanSquaredError", {"reduction": "auto"}),
    ("losses", "CategoricalGeneralizedCrossEntropy", {"q": 1.0}), ("losses", "Huber", {"delta": -1.0}), ("losses", "Circle", {"gamma": -1}),
    ("metrics", "AUC", {"curve": "roc"}), ("metrics", "AUC", {"curve": "x"}), ("metrics", "AUC", {"num_thresholds": 1}), ("metrics", "AUC", {"num_labels": 2}),
    ("metrics", "AUC", {"summation_method": "x"}), ("metrics", "AUC", {"thresholds": [2.0]}), ("metrics", "Precision", {"thresholds": 2.0}),
    ("metrics", "Precision", {"thresholds": [-0.1]}), ("metrics", "F1Score", {"average": "x"}), ("metrics", "FBetaScore", {"beta": 1}),
    ("metrics", "FBetaScore", {"beta": -1.0}), ("metrics", "F1Score", {"threshold": 1}), ("metrics", "F1Score", {"threshold": 0.0}),
    ("metrics", "R2Score", {"class_aggregation": "x"}), ("metrics", "R2Score", {"num_regressors": -1}), ("metrics", "PrecisionAtRecall", {"recall": 2}),
    ("metrics", "PrecisionAtRecall", {"recall": 0.5, "num_thresholds": 0}), ("metrics", "IoU", {"num_classes": 2, "target_class_ids": [2]}),
    ("metrics", "BinaryAccuracy", {"threshold": None}), ("metrics", "BinaryAccuracy", {"threshold": 2.0}), ("metrics", "Mean", {"foo": 1}),
    ("regularizers", "L2", {"l2": -1.0}), ("regularizers", "L1", {"l1": None}), ("regularizers", "L1", {"l1": "a"}), ("regularizers", "L1", {"l1": float("nan")}),
    ("regularizers", "OrthogonalRegularizer", {"mode": "x"}), ("regularizers", "OrthogonalRegularizer", {"factor": -1.0}),
    ("initializers", "VarianceScaling", {"scale": -1.0}), ("initializers", "VarianceScaling", {"mode": "x"}),
    ("initializers", "VarianceScaling", {"distribution": "x"}), ("initializers", "GlorotUniform", {"seed": 1.5}),
    ("initializers", "RandomNormal", {"std": 1.0}), ("initializers", "Constant", {}),
    ("optimizers.schedules", "ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 0, "decay_rate": 0.5}),
    ("optimizers.schedules", "PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": -1}),
    ("optimizers.schedules", "CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 0}),
    ("optimizers.schedules", "CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 0}),
    ("optimizers.schedules", "InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 0, "decay_rate": 0.5}),
    ("optimizers.schedules", "PiecewiseConstantDecay", {"boundaries": [1], "values": [0.1]}),
    ("constraints", "MaxNorm", {"max_value": -1}), ("constraints", "MaxNorm", {"max": 1}),
]  # fmt: skip


@family
def wrong_rules(case):
    """Arguments that the rules refuse."""
    module, name, options = case.pick(WRONG_RULES)
    case.note(module, name, options)
    holder = case.L
    for part in module.split("."):
        holder = getattr(holder, part)
    case.see("made", type(getattr(holder, name)(**options)).__name__)


# ---------------------------------------------------------------------------- initializers, regularizers, constraints


@family
def initializer(case):
    """Values where they are certain; else shape, type, spread, and that a seed repeats them."""
    name, required, choices = case.pick([
        ("Zeros", {}, {}), ("Ones", {}, {}), ("Constant", {"value": 0.3}, {}), ("Identity", {}, {"gain": [2.0]}),
        ("RandomNormal", {}, {"mean": [1.0], "stddev": [0.5]}), ("RandomUniform", {}, {"minval": [-1.0], "maxval": [2.0]}),
        ("TruncatedNormal", {}, {"mean": [1.0], "stddev": [0.5]}), ("GlorotUniform", {}, {}), ("GlorotNormal", {}, {}), ("HeNormal", {}, {}),
        ("HeUniform", {}, {}), ("LecunNormal", {}, {}), ("LecunUniform", {}, {}), ("Orthogonal", {}, {"gain": [1.5]}),
        ("VarianceScaling", {}, {"scale": [2.0], "mode": ["fan_in", "fan_out", "fan_avg"], "distribution": ["normal", "uniform", "untruncated_normal"]}),
    ])  # fmt: skip
    options = {**required, **case.options(0.5, **choices)}
    certain = name in ("Zeros", "Ones", "Constant", "Identity")
    if not certain:
        options["seed"] = case.integer(0, 1000)
    shape = case.pick([(60, 70), (70, 60), (3, 20, 70)] if not certain else [(3, 3), (3, 5), (5, 3)])
    if name == "Orthogonal" and len(shape) == 3:
        shape = (60, 70)
    case.note(name, options, shape)
    made = getattr(case.L.initializers, name)(**options)
    values = made(shape)
    if name != "Identity":  # whose `gain` Keras's `get_config` leaves out
        case.see("config", comparable(made.get_config()))
    made = type(made).from_config(made.get_config()) if name != "Identity" else made
    values = plain(values)
    case.see("type", [list(values.shape), str(values.dtype)])
    case.see("repeats", bool(np.array_equal(values, plain(made(shape)))))
    if certain:
        case.see("values", values)
    else:
        # 4200 draws: 5 standard errors of each library's own draw
        spread = float(values.std())
        case.see("spread", spread, 0.09)
        if "niform" in name:  # which have a largest value; Keras's truncated ones on PyTorch exceed theirs at times
            case.see("largest", float(np.abs(values - values.mean()).max()), 0.09)
        case.see("mean", np.array([float(values.mean()) / spread, 1.0]), 0.12)
    if name == "Orthogonal":
        case.see("gram", values @ values.T if shape[0] < shape[1] else values.T @ values, 1e-4)


@family
def regularizer(case):
    """Penalties, their derivatives, and configurations."""
    case.use_float64(case.chance(0.5))
    name, choices = case.pick([("L1", {"l1": [0.1, 0.0]}), ("L2", {"l2": [0.1]}), ("L1L2", {"l1": [0.1], "l2": [0.2]}),
                               ("OrthogonalRegularizer", {"factor": [0.1], "mode": ["rows", "columns"]})])  # fmt: skip
    options = case.options(**choices)
    w = case.normal(case.integer(2, 5), case.integer(2, 5))
    case.note(name, w.shape)
    made = getattr(case.L.regularizers, name)(**options)
    case.see("config", comparable(made.get_config()))
    if case.is_keras:
        import torch

        tensor = torch.tensor(w, requires_grad=True)
        value = made(tensor)
        case.see("value", value)
        if value.requires_grad:
            value.backward()
        gradient = tensor.grad if tensor.grad is not None else np.zeros_like(w)
    else:
        case.see("value", made(w))
        gradient = made.gradient(w)
    case.see("gradient", gradient, 1e-8 if case.float64 else 1e-4)


@family
def constraint(case):
    """Projections and configurations."""
    case.use_float64(case.chance(0.5))
    w = case.normal(*(case.integer(1, 5) for _ in range(case.integer(1, 4))))
    axes = [0, -1, [0]] + ([[0, 1]] if w.ndim > 1 else [])
    name, choices = case.pick([
        ("MaxNorm", {"max_value": [0.5, 1], "axis": axes}), ("NonNeg", {}), ("UnitNorm", {"axis": axes}),
        ("MinMaxNorm", {"min_value": [0.2], "max_value": [0.8], "rate": [0.5], "axis": axes}),
    ])  # fmt: skip
    options = case.options(**choices)
    case.note(name, w.shape)
    made = getattr(case.L.constraints, name)(**options)
    case.see("value", made(case.array(w)))
    case.see("config", comparable(made.get_config()))


# ----------------------------------------------------------------------------------------------------------- preparation


@family
def preparation(case):
    """pad_sequences, to_categorical, normalize."""
    rng, L = case.rng, case.L
    what = case.pick(["pad_sequences", "to_categorical", "normalize"])
    case.note(what)
    if what == "pad_sequences":
        sequences = [list(rng.integers(1, 9, int(rng.integers(0, 6)))) for _ in range(case.integer(1, 5))]
        options = case.options(maxlen=[1, 3, 8], dtype=["int32", "float32"], padding=["pre", "post"], truncating=["pre", "post"], value=[0.0, -1])
        case.see("value", L.preprocessing.sequence.pad_sequences(sequences, **options))
        case.see("in utils", L.utils.pad_sequences(sequences, **options))
    elif what == "to_categorical":
        shape = tuple(case.integer(1, 4) for _ in range(case.integer(1, 3)))
        case.see("value", L.utils.to_categorical(rng.integers(0, 4, shape), **case.options(num_classes=[4, 6, 2])))
    else:
        shape = tuple(case.integer(1, 4) for _ in range(case.integer(2, 4)))  # (of a vector Keras makes a row)
        # (with axis 0 Keras divides along another axis than the one that it takes the norms of)
        case.see("value", L.utils.normalize(case.normal(*shape), **case.options(axis=[-1], order=[1, 2])))
