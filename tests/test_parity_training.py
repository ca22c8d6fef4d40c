"""Short trainings against real Keras, from the same weights and without shuffling: same history, same final weights.

The seed is FASTRNN_PARITY_SEED, or a fixed one.
"""

import warnings

import numpy as np
import pytest
from conftest import assert_close
from parity import TASKS, generator, inputs, pair, stack, targets

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity

OPTIMIZERS = [  # name, arguments
    ("SGD", {"learning_rate": 0.05}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.1, "weight_decay": 0.01, "clipnorm": 0.2}),
    ("RMSprop", {"learning_rate": 0.01}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.5}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.01, "amsgrad": True, "global_clipnorm": 0.5}),
    ("Adam", {"learning_rate": 0.01, "clipvalue": 0.01, "beta_1": 0.8}),
    ("AdamW", {"learning_rate": 0.01}),
    ("Adamax", {"learning_rate": 0.01}),
    ("Nadam", {"learning_rate": 0.01}),
    ("Adagrad", {"learning_rate": 0.05}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Lion", {"learning_rate": 0.003}),
    ("Ftrl", {"learning_rate": 0.05, "l1_regularization_strength": 0.001}),
    ("Adam", {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.9}),
    ("Adam", {"learning_rate": 0.01, "gradient_accumulation_steps": 2}),
]


def check_history(ours, theirs, tolerance=2e-4):
    assert ours.epoch == theirs.epoch
    assert set(ours.history) == set(theirs.history)
    for key, expected in theirs.history.items():
        assert len(ours.history[key]) == len(expected), key
        np.testing.assert_allclose(ours.history[key], expected, rtol=tolerance, atol=tolerance / 10, err_msg=key)


def check_weights(ours, theirs, before, tolerance=2e-3):
    """The distance of the two results is small beside the way that training went."""
    for k, (a, e, b) in enumerate(zip(ours.get_weights(), theirs.get_weights(), before, strict=True)):
        distance, way = np.linalg.norm(a - e), np.linalg.norm(e - b)
        assert distance <= tolerance * way + 1e-5 * np.linalg.norm(b) + 1e-7, f"weight {k}: {distance} of {way}"


def train(K, config, rng, compile_options, x, y, tolerance=2e-3, **fit):
    """Compile and fit the same model in both; compare histories and weights; return the two models."""
    ours, theirs = pair(K, keras, config, rng)
    before = theirs.get_weights()
    histories = []
    for library, model in ((K, ours), (keras, theirs)):
        model.compile(**compile_options(library))
        options = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0, **fit}
        if "callbacks" in fit:
            options["callbacks"] = fit["callbacks"](library)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            histories.append(model.fit(x, y, **options))
    check_history(*histories)
    check_weights(ours, theirs, before, tolerance)
    return ours, theirs


@pytest.mark.parametrize("loss", TASKS)
@pytest.mark.parametrize("case", range(2))
def test_losses_and_metrics(K, loss, case):
    rng = generator(11, case, list(TASKS).index(loss))
    last, kind, metrics = TASKS[loss]
    outputs = int(rng.integers(2, 5))
    config = stack(rng, outputs, last)
    print(config)
    x = inputs(rng, config, 27)
    y = targets(rng, kind, 27, outputs)
    rate = 1e-4 if "percentage" in loss else 0.05
    ours, theirs = train(
        K, config, rng, lambda L: {"optimizer": L.optimizers.SGD(learning_rate=rate), "loss": loss, "metrics": metrics},
        x, y)  # fmt: skip
    np.testing.assert_allclose(sorted(ours.evaluate(x, y, verbose=0)), sorted(theirs.evaluate(x, y, verbose=0)),
                               rtol=1e-3, atol=1e-4)  # fmt: skip
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), 1e-3)


@pytest.mark.parametrize("number", range(len(OPTIMIZERS)))
def test_optimizers(K, number):
    rng = generator(12, number)
    name, options = OPTIMIZERS[number]
    config = (((5, 3), None), [("LSTM", {"units": 6, "return_sequences": True}), ("GRU", {"units": 5}),
                               ("Dense", {"units": 2})])  # fmt: skip
    x, y = rng.normal(size=(30, 5, 3)).astype(np.float32), rng.normal(size=(30, 2)).astype(np.float32)
    # Lion steps by the sign of the gradient: entries next to zero may go the other way
    train(K, config, rng, lambda L: {"optimizer": getattr(L.optimizers, name)(**options), "loss": "mse"}, x, y,
          tolerance=0.1 if name == "Lion" else 2e-3, epochs=4)  # fmt: skip


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "adamax", "nadam", "adagrad", "adadelta", "lion",
                                  "ftrl"])  # fmt: skip
def test_optimizers_by_name(K, name):
    rng = generator(13)
    config = (((4, 2), None), [("SimpleRNN", {"units": 6}), ("Dense", {"units": 1})])
    x, y = rng.normal(size=(20, 4, 2)).astype(np.float32), rng.normal(size=20).astype(np.float32)
    train(K, config, rng, lambda L: {"optimizer": name, "loss": "mse"}, x, y,
          tolerance=0.1 if name == "lion" else 2e-3)  # fmt: skip


SCHEDULES = [
    ("ExponentialDecay", (0.1, 4, 0.5)),
    ("PiecewiseConstantDecay", ([3, 6], [0.1, 0.05, 0.01])),
    ("PolynomialDecay", (0.1, 8)),
    ("InverseTimeDecay", (0.1, 3, 0.5)),
    ("CosineDecay", (0.1, 9)),
    ("CosineDecayRestarts", (0.1, 4)),
]


@pytest.mark.parametrize("name, arguments", SCHEDULES, ids=[s[0] for s in SCHEDULES])
def test_schedules(K, name, arguments):
    rng = generator(14)
    config = (((4, 2), None), [("GRU", {"units": 4}), ("Dense", {"units": 1})])
    x, y = rng.normal(size=(20, 4, 2)).astype(np.float32), rng.normal(size=20).astype(np.float32)
    train(K, config, rng, lambda L: {"optimizer": L.optimizers.SGD(getattr(L.optimizers.schedules, name)(*arguments)),
                                     "loss": "mse"}, x, y)  # fmt: skip


@pytest.mark.parametrize("case", range(4))
def test_weights_of_samples_and_classes(K, case):
    rng = generator(15, case)
    config = stack(rng, 3, "softmax")
    print(config)
    x = inputs(rng, config, 21)
    y = rng.integers(0, 3, size=21)
    fit = {"class_weight": {0: 2.0, 1: 0.5}} if case % 2 else {"sample_weight": rng.uniform(0, 2, size=21)}
    train(K, config, rng, lambda L: {"optimizer": L.optimizers.SGD(learning_rate=0.1), "metrics": ["acc"],
                                     "loss": "sparse_categorical_crossentropy", "weighted_metrics": ["accuracy"]},
          x, y, **fit)  # fmt: skip


@pytest.mark.parametrize("how", ["validation_split", "validation_data", "validation_freq"])
def test_validation(K, how):
    rng = generator(16)
    config = (((4, 2), None), [("GRU", {"units": 4}), ("Dense", {"units": 1, "activation": "sigmoid"})])
    x, y = rng.normal(size=(26, 4, 2)).astype(np.float32), rng.integers(0, 2, size=26)
    fit = {"validation_split": {"validation_split": 0.3},
           "validation_data": {"validation_data": (x[::2] + 1, y[::2])},
           "validation_freq": {"validation_split": 0.2, "validation_freq": 2}}[how]  # fmt: skip
    train(K, config, rng, lambda L: {"optimizer": "rmsprop", "loss": "binary_crossentropy", "metrics": ["acc", "mse"]},
          x, y, epochs=5, **fit)  # fmt: skip


@pytest.mark.parametrize("sequences", [False, True])
def test_masked_loss_and_metrics(K, sequences):
    rng = generator(17)
    config = (((6,), 9), [("Embedding", {"input_dim": 9, "output_dim": 3, "mask_zero": True}),
                          ("LSTM", {"units": 5, "return_sequences": sequences}),
                          ("Dense", {"units": 4, "activation": "softmax"})])  # fmt: skip
    x = inputs(rng, config, 21)
    y = rng.integers(0, 4, size=(21, 6) if sequences else 21)
    train(K, config, rng, lambda L: {"optimizer": L.optimizers.SGD(learning_rate=0.5), "metrics": ["acc"],
                                     "loss": "sparse_categorical_crossentropy"}, x, y)  # fmt: skip


@pytest.mark.parametrize("shape", ["(n,) to (n, 1)", "sequence"])
def test_shapes_of_targets(K, shape):
    rng = generator(18)
    config = (((4, 2), None), [("SimpleRNN", {"units": 1, "return_sequences": shape == "sequence"})])
    x = rng.normal(size=(10, 4, 2)).astype(np.float32)
    y = rng.normal(size=(10, 4, 1) if shape == "sequence" else 10)
    train(K, config, rng, lambda L: {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]}, x, y, batch_size=10)


CALLBACKS = {
    "EarlyStopping": lambda L: [
        L.callbacks.EarlyStopping("loss", patience=1, min_delta=0.02, restore_best_weights=True)],
    "ReduceLROnPlateau": lambda L: [L.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05)],
    "LearningRateScheduler": lambda L: [L.callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.7)],
    "TerminateOnNaN": lambda L: [L.callbacks.TerminateOnNaN()],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks(K, name):
    rng = generator(19)
    config = (((4, 2), None), [("LSTM", {"units": 4}), ("Dense", {"units": 1})])
    x, y = rng.normal(size=(24, 4, 2)).astype(np.float32), rng.normal(size=24).astype(np.float32)
    train(K, config, rng, lambda L: {"optimizer": L.optimizers.SGD(learning_rate=0.05, momentum=0.8), "loss": "mse"},
          x, y, epochs=12, callbacks=CALLBACKS[name])  # fmt: skip


def test_regularizers_and_constraints(K):
    rng = generator(20)
    config = (((4, 2), None), [
        ("GRU", {"units": 4, "kernel_regularizer": "l2", "recurrent_regularizer": "l1",
                 "recurrent_constraint": "max_norm", "bias_constraint": "non_neg"}),
        ("Dense", {"units": 2, "kernel_constraint": "unit_norm", "bias_regularizer": "l2"})])  # fmt: skip
    x, y = rng.normal(size=(24, 4, 2)).astype(np.float32), rng.normal(size=(24, 2)).astype(np.float32)
    train(K, config, rng, lambda L: {"optimizer": L.optimizers.SGD(learning_rate=0.2), "loss": "mse",
                                     "metrics": ["mse"]}, x, y)  # fmt: skip


def test_single_steps(K):
    """train_on_batch and test_on_batch, one by one."""
    rng = generator(21)
    config = (((4, 2), None), [("LSTM", {"units": 4}), ("Dense", {"units": 3, "activation": "softmax"})])
    ours, theirs = pair(K, keras, config, rng)
    x, y = rng.normal(size=(9, 4, 2)).astype(np.float32), rng.integers(0, 3, size=9)
    results = []
    for model in (ours, theirs):
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
        results.append([model.train_on_batch(x, y), model.test_on_batch(x, y), model.train_on_batch(x[:4], y[:4])])
        dictionary = model.test_on_batch(x, y, return_dict=True)
        assert list(dictionary) == ["acc", "loss"]
        assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == ["acc", "loss"]
        model.reset_metrics()
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_compile_config(K):
    """What `compile` was given, read back from a dict by the other library too."""
    rng = generator(24)
    ours, theirs = pair(K, keras, (((4, 2), None), [("GRU", {"units": 4}), ("Dense", {"units": 1})]), rng)
    for library, model in ((K, ours), (keras, theirs)):
        assert library.Sequential().get_compile_config() == {}
        model.compile(library.optimizers.Adam(0.25, clipnorm=1.0), "mse", metrics=["mae"])
    config = ours.get_compile_config()
    assert config.keys() == theirs.get_compile_config().keys()
    for model in (ours, theirs):
        model.compile("sgd", "mae")
        model.compile_from_config(config)
        assert (model.loss, float(model.optimizer.learning_rate), model.optimizer.clipnorm) == ("mse", 0.25, 1.0)


def test_second_fit_continues(K):
    """Optimizer state is kept from one fit to the next; compile with a new optimizer starts afresh."""
    rng = generator(22)
    config = (((4, 2), None), [("GRU", {"units": 4}), ("Dense", {"units": 1})])
    ours, theirs = pair(K, keras, config, rng)
    x, y = rng.normal(size=(16, 4, 2)).astype(np.float32), rng.normal(size=16).astype(np.float32)
    before = theirs.get_weights()
    histories = []
    for model in (ours, theirs):
        model.compile("adam", "mse")
        histories.append([model.fit(x, y, epochs=2, shuffle=False, verbose=0) for _ in range(2)])
        model.compile("sgd", "mae")
        histories[-1].append(model.fit(x, y, epochs=4, initial_epoch=1, shuffle=False, verbose=0))
    for a, b in zip(*histories, strict=True):
        check_history(a, b)
    check_weights(ours, theirs, before)


def test_frozen_layer(K):
    rng = generator(23)
    config = (((4, 2), None), [("LSTM", {"units": 4, "trainable": False}), ("Dense", {"units": 1})])
    x, y = rng.normal(size=(16, 4, 2)).astype(np.float32), rng.normal(size=16).astype(np.float32)
    ours, theirs = train(K, config, rng, lambda L: {"optimizer": "adam", "loss": "mse"}, x, y)
    assert len(ours.trainable_weights) == len(theirs.trainable_weights) == 2
