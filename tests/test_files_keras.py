"""Files against real Keras: trained here, read there, trained on there; and the other way round."""

import warnings

import numpy as np
import pytest
from conftest import assert_close
from parity import build, generator, inputs, pick, stack

pytest.importorskip("h5py")
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity

OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.05}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("RMSprop", {"learning_rate": 0.01}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.5}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.01, "amsgrad": True}),
    ("AdamW", {"learning_rate": 0.01}),
    ("Adamax", {"learning_rate": 0.01}),
    ("Nadam", {"learning_rate": 0.01}),
    ("Adagrad", {"learning_rate": 0.05}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Lion", {"learning_rate": 0.003}),
    ("Ftrl", {"learning_rate": 0.05}),
    ("Adam", {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 2}),
    ("Adam", {"learning_rate": 0.01, "gradient_accumulation_steps": 3}),
    ("SGD", {"schedule": {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}}),
    ("Adafactor", {"learning_rate": 0.01}),
    ("Adafactor", {"learning_rate": 0.01, "use_ema": True}),
    ("Muon", {"learning_rate": 0.01}),
]


def optimizer(library, case):
    name, options = OPTIMIZERS[case]
    options = dict(options)
    if "schedule" in options:
        options["learning_rate"] = library.optimizers.schedules.ExponentialDecay(**options.pop("schedule"))
    return getattr(library.optimizers, name)(**options)


def steps(model, x, y):
    for start in (0, 4):
        model.train_on_batch(x[start : start + 4], y[start : start + 4])


def quietly(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def assert_same_weights(ours, theirs, tolerance=2e-4):
    assert len(ours.get_weights()) == len(theirs.get_weights())
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        assert_close(a, b, tolerance, floor=0.1)


FILES = [(case, ".keras") for case in range(len(OPTIMIZERS))] + [(case, ".weights.h5") for case in (1, 4, 5, 8, 14)]


@pytest.mark.parametrize("from_keras", [True, False], ids=["from-keras", "to-keras"])
@pytest.mark.parametrize(("case", "ending"), FILES)
def test_training_goes_on_in_the_other(K, tmp_path, case, from_keras, ending):
    rng = generator(77, case, from_keras)
    config = stack(rng, outputs=2)
    x, y = inputs(rng, config, 8), rng.normal(size=(8, 2)).astype(np.float32)
    writer, reader = (keras, K) if from_keras else (K, keras)
    loss, metrics = pick(rng, ["mse", "huber"]), ["mae"]

    first = build(writer, config)
    first.compile(optimizer(writer, case), loss=loss, metrics=metrics)
    quietly(steps, first, x, y)
    path = str(tmp_path / f"model{ending}")
    if ending == ".keras":
        quietly(first.save, path)
        second = quietly(reader.models.load_model, path)
    else:
        second = build(reader, config)
        second.compile(optimizer(reader, case), loss=loss, metrics=metrics)
        if reader is K:
            quietly(steps, second, x, y)  # an optimizer takes the state over once it has one of its own
        else:
            second.optimizer.build(second.trainable_variables)
        quietly(first.save_weights, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # "Skipping variable loading for optimizer"
            second.load_weights(path)
    ours, theirs = (second, first) if from_keras else (first, second)
    assert_same_weights(ours, theirs, 1e-12)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), 1e-5)
    for model in (ours, theirs):
        quietly(steps, model, x, y)
    assert_same_weights(ours, theirs)
    assert int(theirs.optimizer.iterations) == ours.optimizer.iterations
    assert_close(ours.optimizer.learning_rate, np.float64(theirs.optimizer.learning_rate), 1e-6)


@pytest.mark.parametrize("from_keras", [True, False], ids=["from-keras", "to-keras"])
@pytest.mark.parametrize("case", range(4))
def test_legacy_h5(K, tmp_path, case, from_keras):
    rng = generator(78, case)
    config = stack(rng, outputs=2)
    x, y = inputs(rng, config, 8), rng.normal(size=(8, 2)).astype(np.float32)
    writer, reader = (keras, K) if from_keras else (K, keras)
    first = build(writer, config)
    first.compile("adam", loss="mse")
    quietly(steps, first, x, y)
    path = str(tmp_path / "model.h5")
    quietly(first.save, path)
    second = quietly(reader.models.load_model, path, compile=from_keras)  # Keras cannot read its own compiled ones
    ours, theirs = (second, first) if from_keras else (first, second)
    assert_same_weights(ours, theirs, 1e-12)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), 1e-5)
    third = build(reader, config)
    third.load_weights(path)
    assert_same_weights(*((third, first) if from_keras else (first, third)), 1e-12)
    if from_keras:
        for model in (ours, theirs):
            quietly(steps, model, x, y)
        assert_same_weights(ours, theirs)


def test_same_members_and_paths(K, tmp_path):
    """The names in a file are those that Keras gives them."""
    import io
    import json
    import zipfile

    import h5py

    names = {}
    for library in (K, keras):
        library.utils.clear_session()
        L = library.layers
        model = library.Sequential(
            [
                library.Input((5, 3)),
                L.Masking(name="skip"),
                L.Bidirectional(L.LSTM(4, return_sequences=True, dropout=0.2)),
                L.GRU(3, return_sequences=True, recurrent_dropout=0.1),
                L.Dropout(0.5),
                L.GRU(2, name="other"),
                L.Dense(3),
                L.Activation("relu"),
                L.Dense(1, name="last"),
            ]
        )
        model.compile("adam", "mse", metrics=["mae"])
        model.train_on_batch(np.ones((2, 5, 3)), np.ones((2, 1)))
        path = str(tmp_path / f"{library.__name__}.keras")
        quietly(model.save, path)
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            found = [archive.namelist(), config.keys(), config["config"].keys() - {"trainable", "dtype"}, config["compile_config"].keys()]
            layers = [(c["module"], c["class_name"], c["registered_name"], c.get("build_config")) for c in config["config"]["layers"]]
            with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                tree = {}
                file.visititems(lambda name, item: tree.update({name: getattr(item, "shape", item.attrs.get("name"))}))  # noqa: B023
        names[library.__name__] = found, layers, tree
    assert names["fastrnn"][2] == names["keras"][2]
    assert names["fastrnn"][1] == names["keras"][1]
    assert names["fastrnn"][0] == names["keras"][0]


PARTS = [
    ("Dense", {"units": 3, "kernel_initializer": "he_normal", "kernel_regularizer": "l2", "bias_constraint": "non_neg"}),
    ("LSTM", {"units": 2, "unit_forget_bias": False, "recurrent_initializer": "glorot_normal", "recurrent_constraint": "max_norm"}),
    ("GRU", {"units": 2, "reset_after": False, "kernel_regularizer": "l1", "dropout": 0.1, "recurrent_dropout": 0.2, "seed": 3}),
    ("SimpleRNN", {"units": 2, "activation": "relu", "bias_initializer": "random_normal", "stateful": False}),
    ("Masking", {"mask_value": 2.0}),
    ("Dropout", {"rate": 0.3, "seed": 4}),
    ("Activation", {"activation": "softplus"}),
    ("Flatten", {}),
    ("Reshape", {"target_shape": (-1, 2)}),
    ("Embedding", {"input_dim": 4, "output_dim": 3, "mask_zero": True}),
]


@pytest.mark.parametrize(("name", "options"), PARTS, ids=[name for name, _ in PARTS])
def test_configurations_of_layers(K, name, options):
    """What Keras writes about a layer makes the same layer here, and what is written here makes the same there."""
    theirs = getattr(keras.layers, name)(**options)
    ours = K.saving.deserialize_keras_object(keras.saving.serialize_keras_object(theirs))
    again = keras.saving.deserialize_keras_object(K.saving.serialize_keras_object(ours))
    assert again.get_config() == theirs.get_config()


def nested(library, case):
    L, S = library.layers, library.Sequential
    return [
        [L.TimeDistributed(L.Dense(4, activation="relu")), L.LSTM(3)],
        [S([L.Dense(4), L.GRU(3, return_sequences=True)]), S([L.LSTM(2)], name="inner"), L.Dense(1)],
        [S([library.Input((5, 3)), L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum")]),
         L.TimeDistributed(S([L.Dense(2)]))],
        [L.Bidirectional(L.LSTM(3, return_sequences=True), backward_layer=L.GRU(3, return_sequences=True, go_backwards=True)), L.LSTM(1)],
        [L.Reshape((5, 3, 1)), L.Conv2D(2, 2, strides=2), L.Reshape((-1, 2)), L.ActivityRegularization(l2=0.1), L.GRU(2)],
        [L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True), L.RNN(L.SimpleRNNCell(2))],
        [L.Conv1D(4, 2), L.BatchNormalization(), L.PReLU(), L.LayerNormalization(), L.MaxPooling1D(2), L.GRU(2)],
    ][case]


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("case", range(7))
def test_layers_of_many_kinds(K, tmp_path, case, ending):
    x = np.random.default_rng(5).normal(size=(8, 5, 3)).astype(np.float32)
    for writer, reader in ((keras, K), (K, keras)):
        model = writer.Sequential([writer.Input((5, 3)), *nested(writer, case)])
        model.compile(writer.optimizers.SGD(0.1, momentum=0.9), "mse")
        y = np.zeros_like(model.predict(x, verbose=0))
        quietly(steps, model, x, y)
        path = str(tmp_path / f"{writer.__name__}.{ending}")
        quietly(model.save, path)
        other = quietly(reader.models.load_model, path, compile=ending == "keras" or reader is K)
        ours, theirs = (model, other) if writer is K else (other, model)
        assert_same_weights(ours, theirs, 1e-12)
        assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), 1e-5, floor=0.1)
        if other.compiled:
            quietly(steps, ours, x, y), quietly(steps, theirs, x, y)
            assert_same_weights(ours, theirs)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_functional_models_that_are_stacks(K, tmp_path, ending):
    L = keras.layers
    inputs = L.Input((5, 3))
    hidden = L.Bidirectional(L.LSTM(3, return_sequences=True))(L.Masking()(inputs))
    model = keras.Model(inputs, L.Dense(1)(L.GRU(2)(hidden)), name="chain")
    model.compile("adam", "mse")
    x, y = np.random.default_rng(5).normal(size=(8, 5, 3)).astype(np.float32), np.zeros((8, 1), np.float32)
    x[:, 3:] = 0
    quietly(steps, model, x, y)
    path = str(tmp_path / f"m.{ending}")
    quietly(model.save, path)
    ours = K.models.load_model(path)
    assert ours.name == "chain"
    assert_close(ours.predict(x, verbose=0), model.predict(x, verbose=0), 1e-5)
    for each in (ours, model):
        quietly(steps, each, x, y)
    assert_same_weights(ours, model)
    two = keras.Model(inputs, L.Add()([L.Dense(2)(inputs), L.Dense(2)(inputs)]))
    several = keras.Model(inputs, [L.Dense(2)(inputs), L.Dense(2)(inputs)])
    for model in (two, several):
        quietly(model.save, path)
        with pytest.raises(ValueError, match="no plain stack of layers"):
            K.models.load_model(path)


def test_trainable_flags_and_frozen_layers(K, tmp_path):
    for writer, reader in ((keras, K), (K, keras)):
        L = writer.layers
        model = writer.Sequential([writer.Input((4, 2)), L.LSTM(3), L.Dense(2, trainable=False), L.Dense(1)])
        model.compile("adam", "mse")
        quietly(steps, model, np.ones((8, 4, 2)), np.ones((8, 1)))
        path = str(tmp_path / f"{writer.__name__}.keras")
        quietly(model.save, path)
        other = quietly(reader.models.load_model, path)
        assert [layer.trainable for layer in other.layers] == [True, False, True]
        for each in (model, other):
            quietly(steps, each, np.ones((8, 4, 2)), np.ones((8, 1)))
        assert_same_weights(*((model, other) if writer is K else (other, model)))


def test_losses_and_metrics_as_objects(K, tmp_path):
    for writer, reader in ((keras, K), (K, keras)):
        model = writer.Sequential([writer.Input((3,)), writer.layers.Dense(1, activation="sigmoid")])
        model.compile(
            writer.optimizers.SGD(0.1),
            loss=writer.losses.BinaryCrossentropy(label_smoothing=0.1),
            metrics=["acc", writer.metrics.AUC(name="area"), writer.metrics.MeanSquaredError()],
            weighted_metrics=[writer.losses.mean_absolute_error],
        )
        x, y = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), np.array([[0.0], [1], [1], [0]], np.float32)
        quietly(model.train_on_batch, x, y)
        path = str(tmp_path / f"{writer.__name__}.keras")
        quietly(model.save, path)
        other = quietly(reader.models.load_model, path)
        one, two = (quietly(m.evaluate, x, y, verbose=0, return_dict=True) for m in (model, other))
        assert one.keys() == two.keys()
        assert_close(np.array([*one.values()]), np.array([two[name] for name in one]), 1e-5)


@pytest.mark.parametrize("from_keras", [False, True])
def test_layers_in_several_places(K, tmp_path, from_keras):
    """Both ways they are one layer again."""
    writer, reader = (keras, K) if from_keras else (K, keras)
    dense, lstm = writer.layers.Dense(4), writer.layers.LSTM(4, return_sequences=True)
    model = writer.Sequential([writer.Input((5, 4)), dense, lstm, writer.layers.TimeDistributed(dense), writer.Sequential([lstm])])
    quietly(model.save, tmp_path / "model.keras")
    again = reader.models.load_model(tmp_path / "model.keras")
    x = generator(1, from_keras).normal(size=(3, 5, 4)).astype("float32")
    assert len(again.weights) == len(model.weights) == 5
    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), 1e-5, floor=0.1)


def test_models_without_an_input_layer(K, tmp_path):
    for writer, reader in ((keras, K), (K, keras)):
        model = writer.Sequential([writer.layers.GRU(2), writer.layers.Dense(1)])
        x = np.ones((2, 3, 4), np.float32)
        model.predict(x, verbose=0)
        path = str(tmp_path / f"{writer.__name__}.keras")
        quietly(model.save, path)
        other = quietly(reader.models.load_model, path)
        assert_close(other.predict(x, verbose=0), model.predict(x, verbose=0), 1e-6)
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]


def test_not_built(K, tmp_path):
    """Saved with a warning and without weights."""
    for writer, reader in ((keras, K), (K, keras)):
        model = writer.Sequential([writer.layers.Dense(1)])
        path = str(tmp_path / f"{writer.__name__}.keras")
        with pytest.warns(UserWarning, match="You are saving a model that has not yet been built"):
            model.save(path)
        assert not reader.models.load_model(path).built
        with pytest.raises(ValueError, match="You are saving a model that has not yet been built"):
            model.save_weights(str(tmp_path / "w.weights.h5"))


def test_backups_of_keras_are_taken_up(K, tmp_path):
    def interrupt(epoch, logs):
        if epoch == 2:
            raise RuntimeError

    x, y = np.ones((8, 3), np.float32), np.ones((8, 1), np.float32)
    fitted = {}
    for library in (keras, K):
        model = library.Sequential([library.Input((3,)), library.layers.Dense(1, kernel_initializer="ones")])
        model.compile("adam", "mse")
        callbacks = library.callbacks
        if library is keras:
            with pytest.raises(RuntimeError):
                model.fit(
                    x, y, epochs=4, verbose=0,
                    callbacks=[callbacks.BackupAndRestore(str(tmp_path / "b"), delete_checkpoint=False),
                               callbacks.LambdaCallback(on_epoch_begin=interrupt)],
                )  # fmt: skip
        backup = callbacks.BackupAndRestore(str(tmp_path / "b"), delete_checkpoint=library is K)
        if library is keras:
            import shutil

            shutil.copytree(tmp_path / "b", tmp_path / "copy")
        history = model.fit(x, y, epochs=4, verbose=0, callbacks=[backup])
        fitted[library.__name__] = model.get_weights(), history.epoch
        if library is keras:
            shutil.rmtree(tmp_path / "b")
            shutil.copytree(tmp_path / "copy", tmp_path / "b")
    assert fitted["fastrnn"][1] == fitted["keras"][1] == [2, 3]
    for a, b in zip(fitted["fastrnn"][0], fitted["keras"][0]):
        assert_close(a, b, 1e-5)
    assert not (tmp_path / "b").exists()


def test_same_errors(K, tmp_path):
    """Kinds of errors, and the beginnings of their texts."""
    for path in ("missing.keras", "model.txt"):
        texts = []
        for library in (K, keras):
            with pytest.raises(ValueError) as error:
                library.models.load_model(str(tmp_path / path))
            texts.append(str(error.value).split(".")[0])
        assert texts[0] == texts[1]
    for library in (K, keras):
        model = library.Sequential([library.Input((3,)), library.layers.Dense(1)])
        with pytest.raises(ValueError, match="Invalid filepath extension for saving"):
            model.save(str(tmp_path / "model.txt"))
        with pytest.raises(ValueError, match=r"The filename must end in `.weights.h5`"):
            model.save_weights(str(tmp_path / "w.keras"))
        path = str(tmp_path / f"{library.__name__}.weights.h5")
        model.save_weights(path)
        other = library.Sequential([library.Input((3,)), library.layers.Dense(2)])
        with pytest.raises(ValueError, match="A total of 1 objects could not be loaded"):
            other.load_weights(path)
        with pytest.warns(UserWarning, match="A total of 1 objects could not be loaded"):
            other.load_weights(path, skip_mismatch=True)
