"""Callbacks in real trainings against real Keras: the same calls in the same order with the same logs, and the same effects."""

import csv
import re

import numpy as np
import pytest
from parity import generator

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity


def data(*key, count=11):
    rng = generator(*key)
    return rng.normal(size=(count, 4, 3)).astype("float32"), rng.normal(size=(count, 1)).astype("float32")


def model(library, optimizer="adam", metrics=("mae",)):
    made = library.Sequential([library.Input((4, 3)), library.layers.LSTM(3), library.layers.Dense(1)])
    rng = np.random.default_rng(1)
    made.set_weights([rng.normal(0, 0.3, w.shape).astype("float32") for w in made.get_weights()])
    made.compile(optimizer, "mse", metrics=list(metrics))
    return made


def recorder(library, calls, name="a"):
    """A callback that notes each of its calls as (name, hook, positional arguments, names of the others, logs)."""

    class Recorder(library.callbacks.Callback):
        def set_params(self, params):
            super().set_params(params)
            calls.append((name, "set_params", dict(params)))

        def set_model(self, model):
            super().set_model(model)
            calls.append((name, "set_model", self.model is model))

    def note(hook):
        def noted(self, *args, **kwargs):
            *indices, logs = args if not kwargs else (*args, kwargs["logs"])
            shown = {key: round(value, 4) if isinstance(value, float) else tuple(value.shape) for key, value in logs.items()}
            calls.append((name, hook, indices, sorted(kwargs), list(shown.items()), self.model.stop_training))
            getattr(super(Recorder, self), hook)(*args, **kwargs)

        return noted

    for hook in dir(library.callbacks.Callback):
        if hook.startswith("on_"):
            setattr(Recorder, hook, note(hook))
    return Recorder()



CALLS = {
    "fit": lambda m, x, y, c: m.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0, callbacks=c),
    "fit with validation": lambda m, x, y, c: m.fit(
        x, y, epochs=3, batch_size=4, shuffle=False, verbose=0, callbacks=c, validation_split=0.3, validation_freq=2
    ),
    "fit of batches": lambda m, x, y, c: m.fit(
        ((x[i : i + 2], y[i : i + 2]) for i in (0, 2, 4, 6)), steps_per_epoch=2, epochs=2, verbose=0, callbacks=c
    ),
    "later epochs": lambda m, x, y, c: m.fit(x, y, epochs=3, initial_epoch=2, shuffle=False, verbose=0, callbacks=c),
    "no epochs": lambda m, x, y, c: m.fit(x, y, epochs=0, verbose=0, callbacks=c),
    "evaluate": lambda m, x, y, c: m.evaluate(x, y, batch_size=4, verbose=0, callbacks=c),
    "evaluate some": lambda m, x, y, c: m.evaluate(x, y, batch_size=4, steps=2, verbose=0, callbacks=c),
    "predict": lambda m, x, y, c: m.predict(x, batch_size=4, verbose=0, callbacks=c),
    "predict batches": lambda m, x, y, c: m.predict(((x[i : i + 2],) for i in (0, 2)), verbose=0, callbacks=c),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls_of_two_callbacks(K, case):
    seen = []
    for library in (keras, K):
        calls = []
        x, y = data(1)
        CALLS[case](model(library), x, y, [recorder(library, calls, "a"), recorder(library, calls, "b")])
        seen.append(calls)
    assert seen[1] == seen[0]


@pytest.mark.parametrize(
    "case,hook,flag",
    [
        ("fit with validation", "on_train_begin", "stop_training"),
        ("fit with validation", "on_epoch_begin", "stop_training"),
        ("fit with validation", "on_train_batch_begin", "stop_training"),
        ("fit with validation", "on_train_batch_end", "stop_training"),
        ("fit with validation", "on_test_end", "stop_training"),
        ("evaluate", "on_test_begin", "stop_evaluating"),
        ("evaluate", "on_test_batch_end", "stop_evaluating"),
        ("predict", "on_predict_begin", "stop_predicting"),
        ("predict", "on_predict_batch_end", "stop_predicting"),
        ("predict batches", "on_predict_batch_begin", "stop_predicting"),
    ],
)
def test_asking_for_the_end(K, case, hook, flag):
    seen = []
    for library in (keras, K):
        calls = []

        class Stop(library.callbacks.Callback):
            def stop(self, *args, **kwargs):
                setattr(self.model, flag, True)

        setattr(Stop, hook, Stop.stop)
        x, y = data(2)
        result = CALLS[case](model(library), x, y, [recorder(library, calls), Stop()])
        seen.append((calls, np.shape(result)))
    assert seen[1] == seen[0]


def test_asking_for_the_end_before_the_first_batch(K):
    """Nobody listens to batches: as in Keras one is trained all the same."""
    steps = []
    for library in (keras, K):

        class Stop(library.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.model.stop_training = epoch == 1

        x, y = data(2)
        made = model(library)
        before = int(made.optimizer.iterations)
        made.fit(x, y, epochs=5, batch_size=1, verbose=0, callbacks=[Stop()])
        steps.append(int(made.optimizer.iterations) - before)
    assert steps[0] == steps[1] == len(x) + 1


def test_logs_that_callbacks_add(K):
    """What a callback adds is seen by those after it and by the history, but in no later call."""
    seen = []
    for library in (keras, K):
        calls = []

        class Add(library.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                logs["added"] = 1.5

            def on_train_batch_end(self, batch, logs=None):
                logs["added"] = 2.5

            def on_test_end(self, logs=None):
                logs["added"] = 3.5

        x, y = data(3)
        made = model(library)
        halve = library.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        history = made.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0, validation_data=(x, y),
                           callbacks=[Add(), halve, recorder(library, calls)])
        seen.append((calls, list(history.history), history.params, history.epoch, made.history is history))
    assert seen[1] == seen[0]


@pytest.mark.parametrize("verbose", [1, 2])
def test_line_of_an_epoch_shows_what_callbacks_added(K, capsys, verbose):
    """Messages of callbacks come first, then the line, with what they added at its end."""
    seen = []
    for library in (keras, K):
        x, y = data(3)
        halve = library.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5)
        tell = library.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print("\nended", epoch))
        model(library).fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=verbose, validation_data=(x, y), callbacks=[halve, tell])
        printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        last = re.findall(r"(?:ended \d|[^\n\r\x08]* - val_loss)[^\n\r\x08]*", printed)
        seen.append([re.findall(r"ended \d|[a-z_]+(?=: )", line) for line in last])
    assert seen[1] == seen[0]
    assert [line[-1] for line in seen[1]] == ["ended 0", "learning_rate", "ended 1", "learning_rate"]


def test_own_callback_list(K):
    seen = []
    for library in (keras, K):
        calls = []
        x, y = data(4)
        made = model(library)
        callbacks = library.callbacks.CallbackList([recorder(library, calls)], add_history=True, model=made, epochs=7)
        history = made.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        bare = library.callbacks.CallbackList([library.callbacks.Callback()])
        seen.append((calls, history.params, [type(c).__name__ for c in bare.callbacks], bare.params))
    assert seen[1] == seen[0]


def test_one_history_serves_two_fits(K):
    seen = []
    for library in (keras, K):
        x, y = data(5)
        made, history = model(library), library.callbacks.History()
        for _ in range(2):
            assert made.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[history]) is history
        seen.append((history.epoch, {key: np.round(values, 4).tolist() for key, values in history.history.items()}))
    assert seen[1] == seen[0]


def test_lambda_callback_arguments(K):
    for library in (keras, K):
        calls = []
        callback = library.callbacks.LambdaCallback(
            lambda epoch, logs: calls.append(epoch),  # noqa: B023
            on_train_batch_end=lambda batch, logs: calls.append("batch"),  # noqa: B023
            on_test_begin=calls.append,
            note="kept",
        )
        x, y = data(6)
        model(library).fit(x, y, epochs=2, batch_size=8, verbose=0, callbacks=[callback], validation_data=(x, y))
        assert callback.note == "kept" and calls == [0, "batch", "batch", {}, 1, "batch", "batch", {}]


STOPPING = [
    {"monitor": "val_loss", "patience": 0},
    {"monitor": "val_loss", "patience": 2, "restore_best_weights": True},
    {"monitor": "loss", "patience": 1, "min_delta": 0.02, "restore_best_weights": True},
    {"monitor": "val_mae", "patience": 1, "start_from_epoch": 3, "restore_best_weights": True},
    {"monitor": "val_loss", "patience": 3, "baseline": 0.4},
    {"monitor": "val_mae", "patience": 1, "mode": "max", "restore_best_weights": True},
]


@pytest.mark.parametrize("options", STOPPING, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_early_stopping(K, options, seed):
    """Random targets are learnt by heart, so that the validation soon gets worse."""
    seen = []
    for library in (keras, K):
        x, y = data(7, seed, count=24)
        made = model(library, library.optimizers.Adam(0.03))
        callback = library.callbacks.EarlyStopping(**options)
        history = made.fit(x, y, epochs=12, batch_size=6, shuffle=False, verbose=0, validation_split=0.5, callbacks=[callback])
        seen.append((history, callback, made))
    (theirs, their_callback, their_model), (ours, our_callback, our_model) = seen
    assert ours.epoch == theirs.epoch
    for attribute in ("stopped_epoch", "best_epoch", "wait"):
        assert getattr(our_callback, attribute) == getattr(their_callback, attribute)
    assert our_callback.best == pytest.approx(float(their_callback.best), rel=1e-4)
    for a, b in zip(our_model.get_weights(), their_model.get_weights()):
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize("options", [{"patience": 1, "factor": 0.5}, {"patience": 1, "factor": 0.2, "cooldown": 2, "min_lr": 0.002},
                                     {"patience": 2, "min_delta": 0.3, "monitor": "loss"}], ids=str)
def test_reduced_rates(K, options):
    rates = []
    for library in (keras, K):
        x, y = data(8, count=24)
        made = model(library, library.optimizers.Adam(0.05))
        history = made.fit(x, y, epochs=14, batch_size=6, shuffle=False, verbose=0, validation_split=0.5,
                           callbacks=[library.callbacks.ReduceLROnPlateau(**options)])
        rates.append(history.history["learning_rate"])
    assert rates[1] == pytest.approx(rates[0], rel=1e-6) and len(set(rates[1])) > 1


def test_reducing_a_schedule(K):
    for library in (keras, K):
        x, y = data(9)
        made = model(library, library.optimizers.SGD(library.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)))
        with pytest.raises(TypeError):
            made.fit(x, y, verbose=0, callbacks=[library.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)])


def test_csv_of_a_training(K, tmp_path):
    files = []
    for library in (keras, K):
        x, y = data(10)
        path = tmp_path / f"{library.__name__}.csv"
        made = model(library, metrics=["mse", "accuracy"])
        made.fit(x, y, epochs=4, shuffle=False, verbose=0, validation_data=(x, y), validation_freq=2, callbacks=[
            library.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)), library.callbacks.CSVLogger(path, separator=";")])
        assert path.read_bytes().endswith(b"\r\n")
        files.append(list(csv.reader(path.open(newline=""), delimiter=";")))
    theirs, ours = files
    assert ours[0] == theirs[0] and len(ours) == len(theirs)
    for ours_row, theirs_row in zip(ours[1:], theirs[1:]):
        for a, b in zip(ours_row, theirs_row, strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=1e-4)


def test_nan_ends_the_training(K, capsys):
    seen = []
    for library in (keras, K):
        x, y = data(11)
        x[5] = np.nan
        calls = []
        capsys.readouterr()
        model(library).fit(x, y, epochs=3, batch_size=3, shuffle=False, verbose=0,
                           callbacks=[library.callbacks.TerminateOnNaN(), library.callbacks.LambdaCallback(
                               on_train_batch_end=lambda batch, logs: calls.append(batch))])  # noqa: B023
        seen.append((calls, capsys.readouterr().out))
    assert seen[1] == seen[0] == ([0, 1], "Batch 1: Invalid loss, terminating training\n")


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("frequency", [None, 2])
def test_swap_ema_weights(K, swap_on_epoch, validate, frequency):
    """The weights at every hook of two fits, the validation losses, and the weights at the end."""
    seen = []
    for library in (keras, K):
        x, y = data(12)
        sums = []
        note = library.callbacks.Callback()
        for hook in ("on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end", "on_train_end"):
            setattr(note, hook, lambda *args: sums.append([float(np.abs(w).sum()) for w in note.model.get_weights()]))  # noqa: B023
        made = model(library, library.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=frequency))
        for _ in range(2):
            history = made.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0, validation_data=(x, y) if validate else None,
                               callbacks=[library.callbacks.SwapEMAWeights(swap_on_epoch), note])
            sums.append([values[-1] for values in history.history.values()])
        values = made.evaluate(x, y, verbose=0, callbacks=[library.callbacks.SwapEMAWeights()])
        seen.append((sums, values, made.get_weights()))
    (their_sums, their_values, their_weights), (our_sums, our_values, our_weights) = seen
    assert len(our_sums) == len(their_sums)
    for ours, theirs in [*zip(our_sums, their_sums), (our_values, their_values), *zip(our_weights, their_weights)]:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_swap_needs_averages(K):
    for library in (keras, K):
        x, y = data(13)
        with pytest.raises(ValueError, match="SwapEMAWeights must be used when `use_ema=True` is set on the optimizer"):
            model(library, "sgd").fit(x, y, verbose=0, validation_data=(x, y), callbacks=[library.callbacks.SwapEMAWeights()])


def test_direction_of_every_metric(K):
    """What mode="auto" of the monitoring callbacks goes by."""
    compared = 0
    for name in dir(K.metrics):
        ours, theirs = getattr(K.metrics, name), getattr(keras.metrics, name, None)
        if isinstance(ours, type) and issubclass(ours, K.metrics.Metric) and isinstance(theirs, type):
            for arguments in ((), (2,), (0.5,), (2, [0])):
                try:
                    expected = getattr(theirs(*arguments), "_direction", None)
                except (TypeError, ValueError):
                    continue
                assert getattr(ours(*arguments), "direction", None) == expected, name
                compared += 1
                break
    assert compared > 30
