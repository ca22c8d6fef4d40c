"""Callbacks: the same decisions as Keras's own on the same logs, with a model that only remembers."""

import os
import warnings

import numpy as np
import pytest

from fastrnn import callbacks, metrics

os.environ.setdefault("KERAS_BACKEND", "torch")

NAN = float("nan")


class Optimizer:
    """Keeps its learning rate in single precision, like the real ones."""

    def __init__(self, rate):
        self.learning_rate = rate

    def __setattr__(self, name, value):
        object.__setattr__(self, name, float(np.float32(value)))


class Model:
    """Its weights are the number of the epoch; it notes what callbacks do to it."""

    def __init__(self, rate=0.1):
        self.optimizer = Optimizer(rate)
        self.metrics = []
        self.stop_training = False
        self.weights = None
        self.events = []

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.events.append(("set_weights", weights))

    def save(self, path, overwrite=True):
        self.events.append(("save", path, self.weights))

    def save_weights(self, path, overwrite=True):
        self.events.append(("save_weights", path, self.weights))


def train(callback, logs_per_epoch, batches=0, model=None):
    """The calls of a fit; the events of the model, its learning rates and logs per epoch."""
    model = model or Model()
    callback.set_params({"verbose": 0, "epochs": len(logs_per_epoch), "steps": batches})
    callback.set_model(model)
    model.stop_training = False
    rates, seen = [], []
    callback.on_train_begin({})
    for epoch, logs in enumerate(logs_per_epoch):
        logs = dict(logs)
        model.weights = epoch
        callback.on_epoch_begin(epoch, {})
        rates.append(model.optimizer.learning_rate)
        for batch in range(batches):
            callback.on_train_batch_begin(batch, {})
            callback.on_train_batch_end(batch, dict(logs))
        callback.on_epoch_end(epoch, logs)
        rates.append(model.optimizer.learning_rate)
        seen.append(logs)
        if model.stop_training:
            break
    callback.on_train_end(logs)
    return model.events, rates, seen


def both(name, *args, logs, batches=0, capsys=None, **kwargs):
    """Run my callback and Keras's, compare everything, return what mine did."""
    mine = train(getattr(callbacks, name)(*args, **kwargs), logs, batches)
    out = capsys.readouterr().out if capsys else None
    keras = pytest.importorskip("keras")
    theirs = train(getattr(keras.callbacks, name)(*args, **kwargs), logs, batches)
    assert mine == theirs
    if capsys:
        assert out == capsys.readouterr().out
    return mine


def random_losses(seed, n=25):
    rng = np.random.default_rng(seed)
    return [
        {"loss": float(v), "val_acc": float(1 - v / 3)}
        for v in rng.uniform(0, 1, n) * np.linspace(1.5, 0.7, n)
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"patience": 3},
        {"patience": 4, "min_delta": 0.2},
        {"patience": 4, "min_delta": -0.2},
        {"patience": 2, "baseline": 0.3},
        {"patience": 2, "start_from_epoch": 5},
        {"patience": 3, "monitor": "val_acc", "mode": "max"},
        {"patience": 30},
    ],
    ids=str,
)
def test_early_stopping_as_keras(kwargs, restore, seed, capsys):
    kwargs = {"monitor": "loss", **kwargs}
    both(
        "EarlyStopping",
        restore_best_weights=restore,
        verbose=1,
        logs=random_losses(seed),
        capsys=capsys,
        **kwargs,
    )


def test_early_stopping_messages(capsys):
    losses = [{"loss": v} for v in (3.0, 1.0, 2.0, 2.0, 2.0, 2.0)]
    callback = callbacks.EarlyStopping(
        monitor="loss", mode="min", patience=2, restore_best_weights=True, verbose=1
    )
    events, _, seen = train(callback, losses)
    assert capsys.readouterr().out == (
        "Epoch 4: early stopping\nRestoring model weights from the end of the best epoch: 2.\n"
    )
    assert events == [("set_weights", 1)] and len(seen) == 4


def test_early_stopping_serves_several_fits():
    callback = callbacks.EarlyStopping(monitor="loss", patience=1)
    for _ in range(2):
        assert len(train(callback, [{"loss": v} for v in (1.0, 2.0, 3.0)])[2]) == 2


@pytest.mark.parity
@pytest.mark.parametrize("losses", [(NAN, NAN, NAN, NAN), (NAN, 1.0, 0.5, 0.7), (1.0, NAN, 0.5, NAN, NAN, NAN)], ids=str)
def test_nan_as_keras(losses, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logs = [{"loss": value} for value in losses]
    for name, arguments in (
        ("EarlyStopping", {"patience": 2, "restore_best_weights": True}),
        ("ModelCheckpoint", {"filepath": "m{epoch}.keras", "save_best_only": True}),
    ):
        seen = []
        for module in (callbacks, pytest.importorskip("keras").callbacks):
            events, _, logged = train(getattr(module, name)(monitor="loss", verbose=1, **arguments), logs)
            seen.append((events, len(logged), capsys.readouterr().out))
        assert seen[0] == seen[1]


def test_missing_monitor_warns():
    for name in ("EarlyStopping", "ReduceLROnPlateau"):
        callback = getattr(callbacks, name)(monitor="val_loss")
        with pytest.warns(UserWarning, match="`val_loss` which is not available"):
            train(callback, [{"loss": 1.0}])


@pytest.mark.parametrize("monitor,direction", [("val_auc", "up"), ("mse", "down"), ("val_loss", "down")])
def test_mode_auto_follows_the_metric(monitor, direction):
    model = Model()
    model.metrics = [metrics.AUC(name="auc"), metrics.MeanSquaredError(name="mse")]
    callback = callbacks.EarlyStopping(monitor=monitor, patience=2)
    train(callback, [{monitor: v} for v in (1.0, 2.0, 0.5)], model=model)
    assert callback.best == (2.0 if direction == "up" else 0.5)


def test_mode_auto_with_an_unknown_metric():
    with pytest.raises(ValueError, match="Pass `mode='max'`"):
        train(callbacks.EarlyStopping(monitor="strange"), [{"strange": 1.0}])
    with pytest.warns(UserWarning, match="mode 'best' is unknown"):
        assert callbacks.EarlyStopping(mode="best").mode == "auto"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "kwargs",
    [
        {"patience": 2},
        {"patience": 1, "factor": 0.5, "min_delta": 0.1},
        {"patience": 1, "cooldown": 3},
        {"patience": 1, "cooldown": 2, "min_lr": 0.003},
        {"patience": 2, "monitor": "val_acc", "mode": "max", "factor": 0.3},
    ],
    ids=str,
)
def test_reduce_lr_as_keras(kwargs, seed, capsys):
    both(
        "ReduceLROnPlateau",
        logs=random_losses(seed),
        verbose=1,
        capsys=capsys,
        **{"monitor": "loss", **kwargs},
    )


def test_reduce_lr_stops_at_the_bound(capsys):
    callback = callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_lr=0.01, verbose=1)
    _, rates, _ = train(callback, [{"loss": 1.0}] * 8)
    assert rates[-1] == float(np.float32(0.01)) and capsys.readouterr().out.count("reducing") == 1
    with pytest.raises(ValueError, match="factor >= 1.0. Received factor=1.5"):
        callbacks.ReduceLROnPlateau(factor=1.5)


@pytest.mark.parametrize(
    "args,kwargs",
    [
        (("m{epoch:02d}-{loss:.2f}.keras",), {}),
        (("m.keras",), {"save_best_only": True, "monitor": "loss"}),
        (("m{epoch}.h5",), {"save_best_only": True, "monitor": "val_acc", "mode": "max"}),
        (("m{epoch}.weights.h5",), {"save_weights_only": True}),
        (("m{epoch}-{batch}.keras",), {"save_freq": 3}),
        (("m{epoch}-{batch}.keras",), {"save_freq": 7}),
        (("m.keras",), {"save_best_only": True, "monitor": "loss", "initial_value_threshold": 0.5}),
    ],
    ids=str,
)
def test_model_checkpoint_as_keras(args, kwargs, capsys, tmp_path, monkeypatch):
    pytest.importorskip("h5py")  # which these files need
    monkeypatch.chdir(tmp_path)
    events, _, _ = both(
        "ModelCheckpoint", *args, logs=random_losses(1), batches=5, verbose=1, capsys=capsys, **kwargs
    )
    assert events


def test_model_checkpoint_paths(tmp_path):
    path = tmp_path / "deep" / "er" / "m{epoch}.npz"
    for weights_only, call in ((False, "save"), (True, "save_weights")):
        events, _, _ = train(callbacks.ModelCheckpoint(path, save_weights_only=weights_only), [{"loss": 1.0}])
        assert events == [(call, str(tmp_path / "deep" / "er" / "m1.npz"), 0)]
    assert (tmp_path / "deep" / "er").is_dir()
    with pytest.raises(ValueError, match="must end in `.keras`"):
        callbacks.ModelCheckpoint("m.txt")
    with pytest.raises(ValueError, match="must end in `.weights.h5`"):
        callbacks.ModelCheckpoint("m.keras", save_weights_only=True)
    with pytest.raises(ValueError, match="Unrecognized save_freq: batch"):
        callbacks.ModelCheckpoint("m.npz", save_freq="batch")
    with pytest.raises(KeyError, match="Failed to format this callback filepath"):
        train(callbacks.ModelCheckpoint("m{val_x}.npz"), [{"loss": 1.0}])


@pytest.mark.parametrize("schedule", [lambda epoch, rate: rate * 0.5, lambda epoch: 0.1 / (epoch + 1)])
def test_learning_rate_scheduler_as_keras(schedule, capsys):
    _, rates, logs = both(
        "LearningRateScheduler", schedule, verbose=1, logs=[{"loss": 1.0}] * 4, capsys=capsys
    )
    assert logs[1]["learning_rate"] == rates[2] < 0.1


def test_learning_rate_scheduler_wants_a_float():
    with pytest.raises(ValueError, match="should be a float. Got: 1"):
        train(callbacks.LearningRateScheduler(lambda epoch, rate: 1), [{"loss": 1.0}])


@pytest.mark.parity
def test_terminate_on_nan(capsys):
    both("TerminateOnNaN", logs=[{"loss": 1.0}, {"loss": NAN}, {"loss": 1.0}], batches=2, capsys=capsys)
    assert len(train(callbacks.TerminateOnNaN(), [{"loss": float("inf")}] * 3, batches=1)[2]) == 1
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered at batch 0"):
        train(callbacks.TerminateOnNaN(raise_error=True), [{"loss": NAN}], batches=1)


@pytest.mark.parity
@pytest.mark.parametrize(
    "logs",
    [
        [{"loss": 1.0, "acc": 0.5}, {"loss": 0.5, "acc": 0.75, "val_loss": 3.0}],
        [{"loss": 1.0, "val_loss": 0.5}] * 2,
        [{"loss": 1.0, "f1": np.array([0.5, 1.0])}],
    ],
    ids=["later validation", "validation", "array"],
)
@pytest.mark.parametrize("sep", [",", ";"])
def test_csv_logger_as_keras(logs, sep, tmp_path):
    keras = pytest.importorskip("keras")
    for name, module in (("mine.csv", callbacks), ("theirs.csv", keras.callbacks)):
        train(module.CSVLogger(tmp_path / name, separator=sep), logs)
        train(module.CSVLogger(str(tmp_path / name), separator=sep, append=True), logs)
    assert (tmp_path / "mine.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def test_csv_logger_overwrites_or_appends(tmp_path):
    path = tmp_path / "log.csv"
    train(callbacks.CSVLogger(path), [{"loss": 1.0, "val_loss": 2.0}])
    train(callbacks.CSVLogger(path), [{"loss": 3.0, "val_loss": 4.0}])
    train(callbacks.CSVLogger(path, append=True), [{"loss": 5.0, "val_loss": 6.0}])
    assert path.read_text().split() == ["epoch,loss,val_loss", "0,3.0,4.0", "0,5.0,6.0"]


def test_history():
    history = callbacks.History()
    model = Model()
    train(history, [{"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}], model=model)
    assert history.history == {"loss": [2.0, 1.0], "val_loss": [3.0]} and history.epoch == [0, 1]
    assert model.history is history


def test_callbacks_run_in_order_and_share_one_dict_of_logs():
    order = []

    class Note(callbacks.Callback):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_epoch_end(self, epoch, logs=None):
            order.append((self.name, dict(logs)))
            logs[self.name] = epoch

    everything = callbacks.CallbackList([Note("a"), [Note("b")]], add_history=True, model=Model(), epochs=1, steps=1, verbose=0)
    everything.on_train_begin()
    everything.on_epoch_end(0, {"loss": 1.0})
    assert order == [("a", {"loss": 1.0}), ("b", {"loss": 1.0, "a": 0})]
    assert everything.history.history == {"loss": [1.0], "a": [0], "b": [0]}
    assert type(everything.callbacks[-1]) is callbacks.History
    assert everything.callbacks[0].params == {"epochs": 1, "steps": 1, "verbose": 0}
    mine = callbacks.History()
    assert callbacks.CallbackList([mine]).history is mine


@pytest.mark.parity
def test_every_hook_is_forwarded_as_in_keras():
    keras = pytest.importorskip("keras")
    hooks = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]
    assert set(hooks) == {name for name in dir(callbacks.Callback) if name.startswith("on_")}
    for hook in hooks:
        calls = []
        everything = callbacks.CallbackList(
            callbacks.LambdaCallback(**{hook: lambda *a, **k: calls.append(a)}), add_history=False
        )
        arguments = (3, {"x": 1}) if "batch" in hook or "epoch" in hook else ({"x": 1},)
        getattr(everything, hook)(*arguments)
        assert len(calls) == 1, hook
        getattr(everything, hook)(*arguments[:-1])  # logs may be left out


def test_the_loop_may_skip_hooks_that_nobody_overrides():
    class Batch(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            pass

    def wants(*given):
        found = callbacks.CallbackList(list(given))
        return found.wants_train_batches, found.wants_test_batches, found.wants_predict_batches

    assert wants() == (False, False, False)
    assert wants(callbacks.EarlyStopping(), callbacks.ModelCheckpoint("m.npz")) == (False, False, False)
    assert wants(callbacks.ModelCheckpoint("m.npz", save_freq=10)) == (True, False, False)
    assert wants(Batch()) == wants(callbacks.TerminateOnNaN()) == (True, False, False)
    assert wants(callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)) == (
        True,
        False,
        False,
    )
    assert wants(callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)) == (False, False, False)
    assert wants(callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: None)) == (False, True, False)
    assert wants(callbacks.LambdaCallback(on_predict_batch_begin=lambda batch, logs: None)) == (
        False,
        False,
        True,
    )


def test_what_is_no_callback():
    with pytest.raises(TypeError, match=r"Did you mean `EarlyStopping\(\)`"):
        callbacks.CallbackList([callbacks.EarlyStopping])
    with pytest.raises(TypeError, match="must be a list of Callback objects"):
        callbacks.CallbackList([print])


def test_progbar_logger(capsys):
    callback = callbacks.ProgbarLogger()
    everything = callbacks.CallbackList([callback])
    assert everything.has_progbar and not callbacks.CallbackList().has_progbar
    callback.set_params({"verbose": 1, "epochs": 2, "steps": 3})
    callback.set_model(Model())
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(3):
            callback.on_train_batch_end(batch, {"loss": 1.0})
        callback.on_test_begin()
        callback.on_test_end({"loss": 9.0})
        callback.on_epoch_end(epoch, {"loss": 0.5})
    callback.on_train_end()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0] == "Epoch 1/2" and lines[3].startswith("3/3 ━")
    assert lines[3].endswith("step - loss: 0.5000")


def test_no_warning_in_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(callbacks.EarlyStopping(monitor="loss", patience=2), [{"loss": 1.0}] * 3)
