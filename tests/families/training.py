"""Families of trained models: weight changes of single steps, histories, evaluations."""

import numpy as np
from parity import TASKS, build, inputs, stack, targets

from . import Skip, family

# name: (learning rate, its own arguments)
OPTIMIZERS = {
    "SGD": (0.05, {"momentum": [0.0, 0.9, 0.5], "nesterov": [True, False]}),
    "RMSprop": (0.01, {"rho": [0.8, 0.99], "momentum": [0.5, 0.0], "centered": [True, False], "epsilon": [1e-7, 1e-3]}),
    "Adam": (0.01, {"beta_1": [0.8, 0.5], "beta_2": [0.9], "epsilon": [1e-3, 1e-8], "amsgrad": [True, False]}),
    "AdamW": (0.01, {"beta_1": [0.8], "amsgrad": [True], "weight_decay": [0.1, 0.004]}),
    "Adamax": (0.01, {"beta_1": [0.8], "beta_2": [0.9], "epsilon": [1e-3]}),
    "Nadam": (0.01, {"beta_1": [0.8], "beta_2": [0.9], "epsilon": [1e-3]}),
    "Adagrad": (0.05, {"initial_accumulator_value": [0.0, 0.5], "epsilon": [1e-3]}),
    "Adadelta": (1.0, {"rho": [0.5], "epsilon": [1e-3]}),
    "Lion": (0.003, {"beta_1": [0.5], "beta_2": [0.9]}),
    "Ftrl": (0.05, {"learning_rate_power": [-0.3, 0.0], "initial_accumulator_value": [0.5], "beta": [0.1],
                    "l1_regularization_strength": [0.001], "l2_regularization_strength": [0.01],
                    "l2_shrinkage_regularization_strength": [0.1]}),
    "Adafactor": (0.01, {"beta_2_decay": [-0.5], "epsilon_1": [1e-10], "epsilon_2": [1e-2], "clip_threshold": [0.5],
                         "relative_step": [True, False]}),
    "Muon": (0.01, {"adam_lr_ratio": [0.5], "momentum": [0.8], "nesterov": [False], "ns_steps": [3], "rms_rate": [None, 0.1],
                    "exclude_layers": [["kernel"]], "exclude_embeddings": [False], "adam_weight_decay": [0.1, None]}),
    "Lamb": (0.01, {"beta_1": [0.8], "beta_2": [0.9], "epsilon": [1e-3]}),
}  # fmt: skip

SCHEDULES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}, {"staircase": [True, False]}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}, {"staircase": [True, False]}),
    ("PiecewiseConstantDecay", {"boundaries": [2, 5], "values": [0.1, 0.05, 0.01]}, {}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 4},
     {"end_learning_rate": [0.0, 0.05], "power": [0.5, 2.0], "cycle": [True, False]}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 5},
     {"alpha": [0.1], "warmup_target": [0.3], "warmup_steps": [0, 3]}),
    # of 2 steps, times 1.5: Keras's logarithm in float32 misses the restart at step 5, and the rate is 0 there
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 3},
     {"t_mul": [1.0, 2.0, 1.5], "m_mul": [0.5], "alpha": [0.1]}),
]  # fmt: skip


def schedule(case):
    """A schedule of either library."""
    name, required, choices = case.pick(SCHEDULES)
    options = {**required, **case.options(**choices)}
    case.note(name, options)
    return getattr(case.L.optimizers.schedules, name)(**options)


def optimizer(case, names=tuple(OPTIMIZERS)):
    """An optimizer with any of its options."""
    name = case.pick(names)
    rate, own = OPTIMIZERS[name]
    options = {"learning_rate": rate, **case.options(0.4, **own)}
    if case.chance(0.3):
        options[case.pick(["clipnorm", "clipvalue", "global_clipnorm"])] = case.pick([0.01, 0.5])
    if case.chance(0.2):
        options["weight_decay"] = case.pick([0.01, 0.2])
    if case.chance(0.2):
        options.update(use_ema=True, ema_momentum=case.pick([0.9, 0.5]), **case.options(ema_overwrite_frequency=[1, 2, 3]))
    if case.chance(0.2):
        options["gradient_accumulation_steps"] = case.pick([2, 3])
    if case.chance(0.1):
        options["loss_scale_factor"] = 8.0
    case.note(name, options)
    if case.chance(0.15):
        options["learning_rate"] = schedule(case)
    if name == "Adafactor":  # with the default, gradients of 0 underflow in Keras's float32 to NaN
        options.setdefault("epsilon_1", 1e-20)
    made = getattr(case.L.optimizers, name)(**options)
    if options.get("weight_decay") and case.chance(0.4):
        case.note("biases do not decay")
        made.exclude_from_weight_decay(var_names=["bias"])
    return made


def see_change(case, model, before, name="change of weights"):
    """Weights after training, as the way that they went: float32 has rounding that grows on the way."""
    after = model.get_weights()
    if case.float64:
        case.see(name, [a - b for a, b in zip(after, before)], 1e-5)
    else:
        # the largest change of a weight array decides; its rounding is that of the weights themselves
        case.see(name, [a - b for a, b in zip(after, before)], 5e-3)


def task(case, tasks=tuple(TASKS)):
    """(loss, metrics, model configuration, x, y) of a random small problem."""
    loss = case.pick(tasks)
    last, kind, metrics = TASKS[loss]
    columns = case.integer(2, 5)
    configuration = stack(case.rng, columns, last, max_steps=5)
    count = case.integer(5, 24)
    x, y = inputs(case.rng, configuration, count), targets(case.rng, kind, count, columns)
    case.note(loss, configuration, f"{count} samples")
    return loss, metrics, configuration, x, y


@family
def one_step(case):
    """Weights after single steps: any loss, any optimizer with any option, any stack."""
    case.use_float64(case.chance(0.7))
    loss, _, configuration, x, y = task(case)
    made = optimizer(case)
    model = case.irregular(build(case.L, configuration))
    if case.chance(0.3):
        frozen = case.integer(0, len(model.layers))
        model.layers[frozen].trainable = len(model.layers) == 1
        case.note("frozen layer", frozen)
    model.compile(optimizer=made, loss=loss)
    before = model.get_weights()
    weights = {"sample_weight": case.rng.uniform(0, 2, len(x))} if case.chance(0.2) else {}
    for k in range(case.integer(1, 4)):
        case.see(f"loss {k}", model.train_on_batch(x, y, **weights), 1e-7 if case.float64 else 1e-4)
    see_change(case, model, before)
    case.see("iterations", int(made.iterations))
    case.see("learning rate", float(made.learning_rate), 1e-6)


@family
def one_step_of_loss_object(case):
    """Single steps with the losses that have arguments, weights and reductions."""
    case.use_float64(case.chance(0.7))
    L = case.L
    columns, steps = case.integer(2, 4), case.integer(1, 4)
    name, last, kind, options = case.pick([
        ("Huber", None, "real", case.options(delta=[0.1, 2.0])),
        ("BinaryCrossentropy", None, "binary", {"from_logits": True, **case.options(label_smoothing=[0.1, 0.3])}),
        ("BinaryCrossentropy", "sigmoid", "binary", case.options(label_smoothing=[0.1, 0.3])),
        ("CategoricalCrossentropy", None, "one-hot", {"from_logits": True, **case.options(label_smoothing=[0.1])}),
        ("CategoricalCrossentropy", "softmax", "one-hot", case.options(label_smoothing=[0.1])),
        ("SparseCategoricalCrossentropy", None, "class", {"from_logits": True, **case.options(ignore_class=[0])}),
        ("SparseCategoricalCrossentropy", "softmax", "class", case.options(ignore_class=[0, 1])),
        ("BinaryFocalCrossentropy", "sigmoid", "binary",
         case.options(apply_class_balancing=[True], alpha=[0.4], gamma=[1.0, 3.0], label_smoothing=[0.1])),
        ("BinaryFocalCrossentropy", None, "binary", {"from_logits": True, **case.options(apply_class_balancing=[True])}),
        ("CategoricalFocalCrossentropy", "softmax", "one-hot", case.options(alpha=[0.4], gamma=[1.0], label_smoothing=[0.1])),
        ("CategoricalFocalCrossentropy", None, "one-hot", {"from_logits": True}),
        ("Dice", "sigmoid", "binary", case.options(axis=[-1, 1])),
        ("Tversky", "sigmoid", "binary", case.options(alpha=[0.3], beta=[0.8], axis=[-1])),
        ("CategoricalGeneralizedCrossEntropy", "softmax", "class", case.options(q=[0.3, 0.7])),
        ("CosineSimilarity", None, "real", {}),
        ("Circle", None, "class", case.options(gamma=[10.0], margin=[0.2])),
        ("CategoricalHinge", None, "one-hot", {}),
        ("LogCosh", None, "real", {}),
    ])  # fmt: skip
    options.update(case.options(0.4, reduction=["sum", "mean", "mean_with_sample_weight", "sum_over_batch_size"]))
    sequences = case.chance(0.4) and name not in ("Circle", "Dice", "Tversky")
    case.note(name, options, "sequences" if sequences else "", (columns, steps))
    model = L.Sequential([L.Input((steps, 2)), L.layers.GRU(3, return_sequences=sequences), L.layers.Dense(columns, activation=last)])
    case.irregular(model)
    model.compile(optimizer=L.optimizers.SGD(0.5), loss=getattr(L.losses, name)(**options))
    count = case.integer(2, 9)
    x = case.normal(count, steps, 2)
    y = targets(case.rng, kind, count * steps if sequences else count, columns)
    if sequences:
        y = y.reshape(count, steps, *y.shape[1:])
    weights = {}
    if case.chance(0.5) and name not in ("Dice", "Tversky"):
        # Keras refuses weights (batch,) against values (batch, steps), or broadcasts them along the steps
        shape = (count, steps) if sequences else (count,)
        weights = {"sample_weight": case.rng.uniform(0, 2, shape).astype(np.float32)}
        case.note("weights", shape)
    before = model.get_weights()
    for k in range(2):
        case.see(f"loss {k}", model.train_on_batch(x, y, **weights), 1e-7 if case.float64 else 1e-4)
    see_change(case, model, before)
    case.see("evaluate", model.evaluate(x, y, verbose=0, batch_size=4, **weights), 1e-6 if case.float64 else 1e-4)


def fit_options(case, x, y, loss):
    """Arguments of fit."""
    options = {"epochs": case.integer(2, 4), "batch_size": case.pick([3, 8, 32, None]), "shuffle": False, "verbose": 0}
    classes = loss in ("sparse_categorical_crossentropy", "categorical_crossentropy")
    if classes and case.chance(0.4):
        options["class_weight"] = {0: 2.0, 1: 0.5}
    elif case.chance(0.4):
        options["sample_weight"] = case.rng.uniform(0, 2, len(x)).astype(np.float32)
    if case.chance(0.3):
        options["validation_split"] = case.pick([0.2, 0.5])
    elif case.chance(0.4):
        rows = case.rng.permutation(len(x))[: case.integer(2, len(x))]
        options["validation_data"] = (x[rows], y[rows])
        if case.chance(0.3):
            options["validation_data"] += (case.rng.uniform(0, 2, len(rows)).astype(np.float32),)
    options.update(case.options(0.2, validation_freq=[2], validation_batch_size=[2], initial_epoch=[1], steps_per_epoch=[1]))
    case.note({k: v if k not in ("sample_weight", "validation_data") else "..." for k, v in options.items()})
    return options


@family
def short_training(case):
    """fit with everything that it takes: the whole history, the weights after, evaluate and predict after."""
    case.use_float64(case.chance(0.4))
    loss, metrics, configuration, x, y = task(case)
    if not case.float64:
        metrics = [name for name in metrics if name != "AUC"]  # jumps where rounding takes a prediction over a threshold
    made = optimizer(case, ["SGD", "RMSprop", "Adam", "AdamW", "Nadam", "Adagrad"])
    model = case.irregular(build(case.L, configuration))
    compiled = {"metrics": metrics} if case.chance(0.7) else {}
    if case.chance(0.4):
        # class numbers against probabilities are broadcast in other ways
        others = [["mae"], ["mse", *metrics]] if loss != "sparse_categorical_crossentropy" else []
        compiled["weighted_metrics"] = case.pick([metrics, *others])
    if case.chance(0.2):
        compiled["loss_weights"] = case.pick([0.5, [2.0]])
    case.note(compiled)
    model.compile(optimizer=made, loss=loss, **compiled)
    before = model.get_weights()
    history = model.fit(x, y, **fit_options(case, x, y, loss))
    tolerance = 1e-6 if case.float64 else 5e-3
    case.see("epochs", history.epoch)
    case.see("history", history.history, tolerance)
    see_change(case, model, before)
    case.see("evaluate", model.evaluate(x, y, verbose=0, return_dict=True, batch_size=case.pick([3, 32])), tolerance)
    case.see("predict", model.predict(x, verbose=0), tolerance)


@family
def masked_training(case):
    """Losses and metrics of outputs that carry a mask."""
    case.use_float64(case.chance(0.6))
    L, steps, columns = case.L, case.integer(2, 6), case.integer(2, 4)
    sequences, ids = case.chance(0.7), case.chance(0.5)
    first = [L.Input((steps,)), L.layers.Embedding(7, 3, mask_zero=True)] if ids else [L.Input((steps, 2)), L.layers.Masking(0.0)]
    cls = case.pick(["SimpleRNN", "LSTM", "GRU"])
    recurrent = getattr(L.layers, cls)(3, return_sequences=sequences)
    if case.chance(0.3):
        recurrent = L.layers.Bidirectional(recurrent)
    loss, last, kind, metrics = case.pick([
        ("sparse_categorical_crossentropy", "softmax", "class", ["acc"]), ("mse", None, "real", ["mae", "mse"]),
        ("categorical_crossentropy", "softmax", "one-hot", ["accuracy", "kl_divergence"]),
        ("binary_crossentropy", "sigmoid", "binary", ["AUC", "Precision"]),
        ("huber", None, "real", ["cosine_similarity", "RootMeanSquaredError"]),
    ])  # fmt: skip
    case.note(cls, loss, (steps, columns), "sequences" if sequences else "last", "ids" if ids else "numbers")
    model = case.irregular(L.Sequential([*first, recurrent, L.layers.Dense(columns, activation=last)]))
    count = case.integer(3, 12)
    x = case.rng.integers(0, 7, (count, steps)) if ids else case.normal(count, steps, 2)
    if not ids:
        x[case.rng.random((count, steps)) < 0.4] = 0
    elif case.chance(0.5):
        x[:, 0] = np.maximum(x[:, 0], 1)
    y = targets(case.rng, kind, count * steps if sequences else count, columns)
    y = y.reshape(count, steps, *y.shape[1:]) if sequences else y
    fit = {}
    if case.chance(0.4):
        shape = (count, steps) if sequences else (count,)
        fit["sample_weight"] = case.rng.uniform(0, 2, shape).astype(np.float32)
        case.note("weights", shape)
    weighted = {"weighted_metrics": case.pick([metrics, ["mse"]])} if case.chance(0.5) else {}
    if kind == "class" and "mse" in weighted.get("weighted_metrics", []):
        raise Skip("Keras broadcasts class numbers along the rows of the predictions, or raises")
    case.note(weighted)
    # on PyTorch Keras's loss changes the weights in place, by the mask, before the metrics see them
    if fit and set(weighted.get("weighted_metrics", [])) & {"AUC", "RootMeanSquaredError"}:
        raise Skip("these metrics should not know the mask")
    size = count if fit and weighted else 4
    model.compile(optimizer=L.optimizers.SGD(0.2), loss=loss, metrics=metrics, **weighted)
    before = model.get_weights()
    tolerance = 1e-7 if case.float64 else 2e-4
    case.see("history", model.fit(x, y, batch_size=size, epochs=2, shuffle=False, verbose=0, **fit).history, tolerance)
    see_change(case, model, before)
    case.see("evaluate", model.evaluate(x, y, verbose=0, return_dict=True, **fit), tolerance)


@family
def regularized_training(case):
    """Regularizers and constraints of every layer, in training and in evaluation."""
    case.use_float64(case.chance(0.6))
    L = case.L
    penalties = [lambda: "l2", lambda: "l1", lambda: L.regularizers.L1L2(0.01, 0.02), lambda: L.regularizers.OrthogonalRegularizer(0.1)]
    rules = [lambda: "max_norm", lambda: "non_neg", lambda: "unit_norm", lambda: L.constraints.MaxNorm(0.5, axis=1),
             lambda: L.constraints.MinMaxNorm(0.2, 0.8, rate=0.5), lambda: L.constraints.UnitNorm(axis=0)]  # fmt: skip

    def parts(names):
        options = {}
        for name in names:
            vector = name == "bias"  # orthogonality and other axes need a matrix
            if case.chance(0.4):
                options[f"{name}_regularizer"] = case.pick(penalties[: 3 if vector else 4])()
            # (of a row of zeros, which a constraint may leave, the orthogonal penalty has no gradient in Keras)
            free = not isinstance(options.get(f"{name}_regularizer"), L.regularizers.OrthogonalRegularizer)
            if free and case.chance(0.4):
                options[f"{name}_constraint"] = case.pick([rules[0], rules[1], rules[2]] if vector else rules)()
        case.note({k: v if isinstance(v, str) else (type(v).__name__, v.get_config()) for k, v in options.items()})
        return options

    cls = case.pick(["SimpleRNN", "LSTM", "GRU"])
    outputs = case.options(0.3, activity_regularizer=["l1", "l2"])
    model = L.Sequential([
        L.Input((3, 2)), getattr(L.layers, cls)(3, **outputs, **parts(["kernel", "recurrent", "bias"])), L.layers.Dense(2, **parts(["kernel", "bias"])),
    ])  # fmt: skip
    case.irregular(model)
    model.compile(optimizer=L.optimizers.SGD(0.1), loss="mse", metrics=["mse"])
    x, y, before = case.normal(10, 3, 2), case.normal(10, 2), model.get_weights()
    tolerance = 1e-7 if case.float64 else 2e-4
    case.see("history", model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, validation_split=0.2).history, tolerance)
    see_change(case, model, before)
    case.see("evaluate", model.evaluate(x, y, verbose=0, return_dict=True), tolerance)


@family
def metric_names(case):
    """Keys of histories: names as given, objects, functions, duplicates, weighted twins."""
    L = case.L

    def function(y_true, y_pred):
        return (y_true - y_pred) ** 2

    def half(y_true, y_pred):
        return y_pred[:, 0] * 0.5

    choices = [lambda: "mse", lambda: "MSE", lambda: "mean_squared_error", lambda: "MeanSquaredError", lambda: "acc", lambda: "accuracy",
               lambda: "ACC", lambda: L.metrics.MeanSquaredError(), lambda: L.metrics.MeanSquaredError(name="mine"), lambda: "mae",
               lambda: L.metrics.AUC(), lambda: "AUC", lambda: "auc", lambda: L.metrics.mean_absolute_error, lambda: function,
               lambda: L.metrics.BinaryAccuracy(threshold=0.3), lambda: "Precision", lambda: L.metrics.Precision(), lambda: half,
               lambda: "binary_accuracy", lambda: "f1_score", lambda: "F1Score", lambda: L.metrics.RootMeanSquaredError(), lambda: "mape",
               lambda: L.losses.MeanSquaredError(), lambda: "log_cosh_error", lambda: "r2_score", lambda: L.metrics.Mean,
               lambda: L.metrics.MeanAbsoluteError, lambda: "poisson", lambda: "kl_divergence", lambda: "loss"]  # fmt: skip
    picked = [int(case.rng.integers(len(choices))) for _ in range(case.integer(1, 5))]
    weighted = [int(case.rng.integers(len(choices))) for _ in range(case.integer(0, 3))]
    case.note("metrics", picked, "weighted", weighted, "of metric_names.choices")
    model = case.irregular(L.Sequential([L.Input((3, 2)), L.layers.LSTM(2), L.layers.Dense(1, activation="sigmoid")]))
    model.compile("sgd", "mse", metrics=[choices[k]() for k in picked], weighted_metrics=[choices[k]() for k in weighted])
    x, y = case.normal(8, 3, 2), case.rng.integers(0, 2, (8, 1)).astype(np.float32)
    history = model.fit(x, y, sample_weight=case.rng.uniform(0, 2, 8), verbose=0, shuffle=False, validation_data=(x, y)).history
    case.see("history", history, 1e-4)
    case.see("evaluate", model.evaluate(x, y, verbose=0, return_dict=True), 1e-4)
    case.see("list", model.evaluate(x, y, verbose=0), 1e-4)


@family
def single_batches(case):
    """train_on_batch, test_on_batch, predict_on_batch, one after the other."""
    loss, metrics, configuration, x, y = task(case)
    model = case.irregular(build(case.L, configuration))
    model.compile("sgd", loss, metrics=metrics if case.chance(0.7) else None)
    for k in range(3):
        act = case.pick(["train", "test", "predict"])
        rows = slice(0, case.integer(1, len(x)))
        case.note(act, rows.stop)
        if act == "predict":
            case.see(act, model.predict_on_batch(x[rows]), 1e-4)
        else:
            call = model.train_on_batch if act == "train" else model.test_on_batch
            weights = case.rng.uniform(0, 2, rows.stop) if case.chance(0.3) else None
            case.see(act, call(x[rows], y[rows], sample_weight=weights, return_dict=True), 1e-4)


@family
def mixed_training(case):
    """Stacks with normalisation, convolutions, pooling and wrappers, trained for a few steps."""
    case.use_float64(case.chance(0.7))
    L, steps, features = case.L, case.integer(4, 8), case.integer(2, 5)
    layers = [L.Input((steps, features))]
    pieces = {
        "Conv1D": lambda: L.layers.Conv1D(4, 3, padding=case.pick(["same", "causal"]), activation=case.pick(["relu", "tanh"])),
        "BatchNormalization": lambda: L.layers.BatchNormalization(momentum=case.pick([0.5, 0.99]), trainable=case.chance(0.8)),
        "LayerNormalization": lambda: L.layers.LayerNormalization(),
        "RMSNormalization": lambda: L.layers.RMSNormalization(),
        "MaxPooling1D": lambda: L.layers.MaxPooling1D(2),
        "AveragePooling1D": lambda: L.layers.AveragePooling1D(2, padding="same"),
        "TimeDistributed": lambda: L.layers.TimeDistributed(L.layers.Dense(3, activation="tanh")),
        "GRU": lambda: L.layers.GRU(4, return_sequences=True),
        "RNN": lambda: L.layers.RNN([L.layers.LSTMCell(3), L.layers.GRUCell(4)], return_sequences=True),
        "LeakyReLU": lambda: L.layers.LeakyReLU(),
        "PReLU": lambda: L.layers.PReLU(),
        "Permute": lambda: L.layers.Permute((2, 1)),
        "ActivityRegularization": lambda: L.layers.ActivityRegularization(l1=0.01, l2=0.02),
        "Dense": lambda: L.layers.Dense(4, activity_regularizer="l2"),
    }
    chosen = [case.pick(pieces) for _ in range(case.integer(1, 4))]
    last = case.pick(["LSTM", "GlobalMaxPooling1D", "GlobalAveragePooling1D", "Flatten"])
    case.note(chosen, last, (steps, features))
    layers += [pieces[name]() for name in chosen]
    layers += [L.layers.LSTM(3) if last == "LSTM" else getattr(L.layers, last)(), L.layers.Dense(2)]
    model = L.Sequential(layers)
    model.set_weights([np.abs(w) if "variance" in v.name else w for v, w in zip(
        model.weights, [case.rng.normal(0, 0.4, w.shape).astype(w.dtype) for w in model.get_weights()])])  # fmt: skip
    model.compile(L.optimizers.SGD(0.05, momentum=0.5), "mse", metrics=["mae"])
    x, y, before = case.normal(10, steps, features), case.normal(10, 2), model.get_weights()
    tolerance = 1e-7 if case.float64 else 1e-3
    case.see("history", model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, validation_data=(x[:3], y[:3])).history, tolerance)
    see_change(case, model, before)
    case.see("evaluate", model.evaluate(x, y, verbose=0, return_dict=True), tolerance)
    case.see("counts", [len(model.trainable_weights), len(model.non_trainable_weights), model.count_params()])


@family
def files(case):
    """Files of Keras read by fastrnn and the other way round: the same outputs, and training that goes on."""
    import os
    import tempfile

    import keras

    import fastrnn

    loss, _, configuration, x, y = task(case, ("mse", "categorical_crossentropy", "huber"))
    ending = case.pick([".keras", ".weights.h5"])
    case.note(ending)
    reader, writer = case.L, fastrnn if case.is_keras else keras
    case.irregular(written := build(writer, configuration))
    written.compile(optimizer=case.pick(["adam", "rmsprop", "sgd", "adamw", "adamax", "nadam", "adagrad", "adadelta", "ftrl", "muon"]), loss=loss)
    written.fit(x, y, epochs=1, shuffle=False, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model" + ending)
        if ending == ".keras":
            written.save(path)
            read = reader.models.load_model(path)
        else:
            written.save_weights(path)
            read = build(reader, configuration)
            read.load_weights(path)
            read.compile("sgd", loss)
    case.see("output", read.predict(x, verbose=0), 1e-4)
    before = read.get_weights()
    case.see("goes on", read.fit(x, y, epochs=1, shuffle=False, verbose=0).history, 1e-3)
    see_change(case, read, before)
