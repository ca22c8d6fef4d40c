"""Round trips, checkpoints, backups, copies, and what a crash leaves behind."""

import builtins
import copy
import errno
import json
import multiprocessing
import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

pytest.importorskip("h5py")
pytestmark = pytest.mark.fastrnn_only

ENDINGS = ["keras", "h5", "npz"]
X = np.random.default_rng(3).normal(size=(12, 5, 3)).astype(np.float32)
Y = np.random.default_rng(4).normal(size=(12, 1)).astype(np.float32)


def small(K, optimizer="adam", layers=None, **options):
    L = K.layers
    model = K.Sequential([K.Input((5, 3)), *(layers or [L.GRU(4, return_sequences=True), L.LSTM(3), L.Dense(1)])])
    model.compile(optimizer, "mse", **options)
    return model


def fit(model, **options):
    return model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, **options)


def assert_goes_on_alike(one, two):
    """Both are trained on, with the same results to the last bit."""
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert fit(one, epochs=2).history == fit(two, epochs=2).history
    for a, b in zip(one.get_weights(), two.get_weights()):
        np.testing.assert_array_equal(a, b)


def through(way, model, K, tmp_path):
    """The model, sent through a file or a copy."""
    if way == "pickle":
        return pickle.loads(pickle.dumps(model))
    if way == "deepcopy":
        return copy.deepcopy(model)
    model.save(tmp_path / f"m.{way}")
    return K.models.load_model(tmp_path / f"m.{way}")


@pytest.mark.parametrize("way", [*ENDINGS, "pickle", "deepcopy"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("Nadam", {}), ("RMSprop", {"centered": True, "momentum": 0.3}),
     ("Adam", {"gradient_accumulation_steps": 4}), ("Adam", {"use_ema": True, "ema_overwrite_frequency": 3}),
     ("SGD", {"gradient_accumulation_steps": 2, "use_ema": True, "clipnorm": 0.1})],
    ids=str,
)  # fmt: skip
def test_training_goes_on(K, tmp_path, way, name, options):
    """In the middle of an accumulation too: three batches are no multiple of 4 or 2."""
    model = small(K, getattr(K.optimizers, name)(**options), metrics=["mae"])
    fit(model)
    if options.get("use_ema"):  # `fit` puts the averages in the place of the weights at its end
        model.train_on_batch(X[:4], Y[:4])
    assert_goes_on_alike(through(way, model, K, tmp_path), model)


@pytest.mark.parametrize("way", ENDINGS)
def test_changed_learning_rate_is_kept(K, tmp_path, way):
    model = small(K)
    fit(model)
    model.optimizer.learning_rate = 0.25
    assert through(way, model, K, tmp_path).optimizer.learning_rate == 0.25


@pytest.mark.parametrize("way", ENDINGS)
def test_float64(K, tmp_path, way, float64):
    model = small(K)
    fit(model)
    again = through(way, model, K, tmp_path)
    assert again.layers[0].dtype == "float64"
    assert_goes_on_alike(again, model)


@pytest.mark.parametrize("way", ENDINGS)
def test_compile_false(K, tmp_path, way):
    model = small(K)
    model.save(tmp_path / f"m.{way}")
    again = K.models.load_model(tmp_path / f"m.{way}", compile=False)
    assert not again.compiled and again.optimizer is None


@pytest.mark.parametrize("ending", ["weights.h5", "keras", "h5", "npz"])
def test_load_weights(K, tmp_path, ending):
    model, other = small(K), small(K)
    path = tmp_path / f"m.{ending}"
    (model.save_weights if ending in ("weights.h5", "npz") else model.save)(path)
    other.load_weights(path)
    for a, b in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert fit(other).history == fit(model).history


def test_a_trained_model_takes_the_optimizer_of_a_weights_file(K, tmp_path):
    """Its programs are made, and have to see the new state."""
    model, other = small(K), small(K)
    fit(model), fit(other, epochs=3)
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    assert_goes_on_alike(model, other)


def test_names_of_layers_play_no_part(K, tmp_path):
    L = K.layers
    one = K.Sequential([K.Input((5, 3)), L.GRU(2, name="a", return_sequences=True), L.GRU(2, name="b")])
    two = K.Sequential([K.Input((5, 3)), L.GRU(2, name="x", return_sequences=True), L.GRU(2, name="y")])
    one.save_weights(tmp_path / "w.weights.h5")
    two.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(one.predict(X, verbose=0), two.predict(X, verbose=0))


def test_overwriting(K, tmp_path):
    model = small(K)
    for ending in ENDINGS:
        path = tmp_path / f"m.{ending}"
        path.write_text("precious")
        with pytest.raises(FileExistsError, match="overwrite=False"):
            model.save(path, overwrite=False)
        assert path.read_text() == "precious"
        model.save(path)
        assert K.models.load_model(path).built


def test_json(K):
    model = small(K)
    again = K.models.model_from_json(model.to_json())
    assert again.to_json() == model.to_json() and again.compiled
    json.loads(model.to_json(indent=2))
    for text in ("{", "[1]"):
        with pytest.raises(ValueError):
            K.models.model_from_json(text)


def test_clone_model(K):
    model = small(K)
    clone = K.models.clone_model(model)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert clone.name == model.name and clone.compiled
    assert clone.optimizer is not model.optimizer and clone.optimizer.get_config() == model.optimizer.get_config()
    assert not any(np.array_equal(a, b) for a, b in zip(clone.get_weights(), model.get_weights()) if a.ndim == 2 and a.any())
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), model.predict(X, verbose=0))

    def wider(layer):
        config = layer.get_config()
        return type(layer).from_config({**config, "units": 7} if type(layer) is K.layers.GRU else config)

    assert K.models.clone_model(model, clone_function=wider).layers[0].units == 7
    for arguments in ({"model": 3}, {"model": model, "clone_function": 3}, {"model": model, "input_tensors": [1]}):
        with pytest.raises(ValueError, match="Argument"):
            K.models.clone_model(**arguments)


def test_worker_processes(K):
    """A model goes to a fresh process, with the state of its training."""
    model = small(K)
    fit(model)
    predict, train = operator.methodcaller("predict", X, verbose=0), operator.methodcaller("train_on_batch", X, Y)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:  # which, unlike Pool, tells of a worker that dies
        predicted, trained = pool.submit(predict, model).result(), pool.submit(train, model).result()
    np.testing.assert_array_equal(predicted, predict(model))
    np.testing.assert_array_equal(trained, train(model))


# -- callbacks -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_checkpoints_of_models(K, tmp_path, ending):
    path = tmp_path / "deep" / ("m{epoch:02d}-{loss:.2f}." + ending)
    model = small(K)
    history = fit(model, epochs=3, callbacks=[K.callbacks.ModelCheckpoint(path)])
    expected = [f"m{e + 1:02d}-{loss:.2f}.{ending}" for e, loss in enumerate(history.history["loss"])]
    assert sorted(p.name for p in path.parent.iterdir()) == expected
    assert_goes_on_alike(K.models.load_model(path.parent / expected[-1]), model)


@pytest.mark.parametrize("ending", ["weights.h5", "npz"])
def test_checkpoints_of_weights(K, tmp_path, ending):
    path = tmp_path / f"best.{ending}"
    model = small(K)
    checkpoint = K.callbacks.ModelCheckpoint(path, save_weights_only=True, save_best_only=True, monitor="loss", save_freq=2)
    fit(model, epochs=3, callbacks=[checkpoint])
    small(K).load_weights(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda K, folder: K.callbacks.ModelCheckpoint(folder / "m.keras"),
        lambda K, folder: K.callbacks.ModelCheckpoint(folder / "m.h5"),
        lambda K, folder: K.callbacks.ModelCheckpoint(folder / "m.weights.h5", save_weights_only=True),
        lambda K, folder: K.callbacks.BackupAndRestore(folder),
        lambda K, folder: small(K).save(folder / "m.keras"),
        lambda K, folder: small(K).save_weights(folder / "m.weights.h5"),
        lambda K, folder: K.models.load_model(folder / "there.keras"),
    ],
    ids=range(7),
)
def test_without_h5py(K, tmp_path, monkeypatch, make):
    """Before training begins, and with the way out."""
    small(K).save(tmp_path / "there.keras")
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "h5py":
            raise ImportError("No module named 'h5py'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install h5py.*fastrnn.keras.*npz"):
        make(K, tmp_path)
    K.callbacks.ModelCheckpoint(tmp_path / "m.npz")
    small(K).save(tmp_path / "m.npz")


class Stop(Exception):
    pass


def interrupt_at(K, epoch, batch=None):
    def at_epoch(now, logs):
        if now == epoch:
            raise Stop

    def at_batch(now, logs):
        if now == batch:
            raise Stop

    return K.callbacks.LambdaCallback(**({"on_epoch_begin": at_epoch} if batch is None else {"on_train_batch_begin": at_batch}))


@pytest.mark.parametrize("optimizer", ["adam", "nadam"])
def test_backup_goes_on_where_it_stopped(K, tmp_path, optimizer):
    """Interrupted three times, by other objects each time, training ends as if it never was."""
    start = small(K, optimizer).get_weights()
    whole = small(K, optimizer)
    whole.set_weights(start)
    fit(whole, epochs=6)
    epochs = []
    for interrupt in (1, 3, 5, 99):
        model = small(K, optimizer)
        model.set_weights(start)
        callbacks = [K.callbacks.BackupAndRestore(tmp_path / "backup"), interrupt_at(K, interrupt)]
        try:
            epochs += fit(model, epochs=6, callbacks=callbacks).epoch
        except Stop:
            assert (tmp_path / "backup" / "latest.weights.h5").exists()
            epochs += model.history.epoch if isinstance(model.history, K.callbacks.History) else []
    assert epochs[-1] == 5
    assert not (tmp_path / "backup").exists()
    for a, b in zip(model.get_weights(), whole.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_backup_every_few_batches(K, tmp_path):
    model = small(K)
    backup = K.callbacks.BackupAndRestore(tmp_path / "b", save_freq=2)
    with pytest.raises(Stop):
        fit(model, epochs=2, callbacks=[backup, interrupt_at(K, 0, batch=2)])
    again = small(K)
    with pytest.raises(Stop):
        fit(again, epochs=2, callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b", save_freq=2), interrupt_at(K, 0, batch=0)])
    assert again.optimizer.iterations == 2
    assert json.loads((tmp_path / "b" / "training_metadata.json").read_text()) == {"epoch": 0, "batch": 1}


def test_backup_that_cannot_be_read(K, tmp_path):
    """With double_checkpoint the one before it is taken."""
    options = {"double_checkpoint": True, "delete_checkpoint": False}
    fit(small(K), epochs=3, callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b", **options)])
    (tmp_path / "b" / "latest.weights.h5").write_bytes(b"torn")
    assert fit(small(K), epochs=4, callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b", **options)]).epoch == [2, 3]
    for name in os.listdir(tmp_path / "b"):
        (tmp_path / "b" / name).write_bytes(b"torn")
    with pytest.raises(ValueError, match="damaged"):
        fit(small(K), callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b")])


def test_backup_leaves_later_fits_alone(K, tmp_path):
    model = small(K)
    with pytest.raises(Stop):
        fit(model, epochs=4, callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b"), interrupt_at(K, 2)])
    assert fit(model, epochs=4, callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b")]).epoch == [2, 3]
    assert fit(model, epochs=1).epoch == [0]


def test_backup_checks_its_arguments(K, tmp_path):
    for arguments in ({"backup_dir": ""}, {"backup_dir": tmp_path, "save_freq": "batch"}):
        with pytest.raises(ValueError, match="backup_dir|save_freq"):
            K.callbacks.BackupAndRestore(**arguments)
    model = K.Sequential([K.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 2))
    model.predict(x, verbose=0)
    model.fit(x, x[:, :1], verbose=0, callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b")])


# -- crashes -------------------------------------------------------------------------------------------------------------------

WRITER = """
import sys, numpy as np, fastrnn
from fastrnn.layers import Dense, Input
path = sys.argv[1]
model = fastrnn.Sequential([Input((64,)), Dense(512), Dense(1)])
model.compile("adam", "mse")
class Save(fastrnn.callbacks.ModelCheckpoint):
    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([np.full_like(w, epoch) for w in self.model.get_weights()])
        super().on_epoch_end(epoch, logs)
        print(epoch, flush=True)
model.fit(np.zeros((8, 64)), np.zeros((8, 1)), epochs=10**6, verbose=0, callbacks=[Save(path, save_weights_only="weights" in path)])
"""


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5", "npz"])
def test_killed_while_writing(K, tmp_path, ending, rng):
    """The file is whole after a SIGKILL at any moment: that of one epoch, or of the next."""
    path = tmp_path / f"m.{ending}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment)
        try:
            done = int(writer.stdout.readline())
            time.sleep(rng.uniform(0, 0.1))
        finally:
            writer.send_signal(signal.SIGKILL)
        done = max([done, *map(int, writer.stdout.read().split())])
        writer.wait()
        if "weights" in ending:
            model = K.Sequential([K.Input((64,)), K.layers.Dense(512), K.layers.Dense(1)])
            model.load_weights(path)
        else:
            model = K.models.load_model(path)
        values = {float(v) for w in model.get_weights() for v in (w.min(), w.max())}
        assert len(values) == 1
        assert values.pop() in (done, done + 1)


@pytest.mark.parametrize("ending", ["keras", "h5", "npz"])
def test_full_disk(K, tmp_path, monkeypatch, ending):
    """The old file stays, and no piece of the new one."""
    path = tmp_path / f"m.{ending}"
    small(K).save(path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        small(K).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a file system that is always full")
def test_disk_that_fills_up_while_writing(tmp_path, monkeypatch):
    from fastrnn.saving.atomic import write_atomically

    path = tmp_path / "f"
    path.write_text("old")

    def always_full(handle, mode):
        os.close(handle)
        return open("/dev/full", mode)

    monkeypatch.setattr(os, "fdopen", always_full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, lambda file: file.write(b"x" * 10**6))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_target_that_is_a_folder_or_in_none(K, tmp_path):
    (tmp_path / "m.keras").mkdir()
    with pytest.raises(IsADirectoryError):
        small(K).save(tmp_path / "m.keras")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        small(K).save(tmp_path / "nowhere" / "m.keras")
    with pytest.raises(OSError, match="Please specify a non-directory filepath for ModelCheckpoint"):
        fit(small(K), callbacks=[K.callbacks.ModelCheckpoint(tmp_path / "m.keras")])
