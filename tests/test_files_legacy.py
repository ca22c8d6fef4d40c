"""`.h5` files as older Keras versions wrote them, made by hand with h5py; real Keras says what they mean where it can read them."""

import json

import numpy as np
import pytest
from conftest import assert_close

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.fastrnn_only


def dense(name="dense", units=1, **options):
    return {
        "class_name": "Dense",
        "config": {"name": name, "trainable": True, "dtype": "float32", "units": units, "activation": "linear", "use_bias": True,
                   "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
                   "bias_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": None, "bias_regularizer": None,
                   "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None, **options},
    }  # fmt: skip


def recurrent(cls, name, units, **options):
    config = {"name": name, "trainable": True, "dtype": "float32", "return_sequences": False, "return_state": False, "go_backwards": False,
              "stateful": False, "unroll": False, "units": units, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
              "kernel_initializer": {"class_name": "VarianceScaling",
                                     "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}},
              "recurrent_initializer": {"class_name": "Orthogonal", "config": {"gain": 1.0, "seed": None}},
              "bias_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": None, "recurrent_regularizer": None,
              "bias_regularizer": None, "activity_regularizer": None, "kernel_constraint": None, "recurrent_constraint": None,
              "bias_constraint": None, "dropout": 0.0, "recurrent_dropout": 0.0, "implementation": 2}  # fmt: skip
    return {"class_name": cls, "config": {**config, **options}}


def write_weights(group, layers, chunks=1):
    """`layers`: a dict of layer name to a dict of weight name to array."""

    def names(where, attribute, values):
        if chunks == 1 or not values:
            where.attrs[attribute] = np.array([v.encode() for v in values]) if values else np.zeros(0)
            return
        for i, part in enumerate(np.array_split([v.encode() for v in values], chunks)):
            where.attrs[f"{attribute}{i}"] = part

    names(group, "layer_names", list(layers))
    group.attrs["backend"] = b"tensorflow"
    for layer, weights in layers.items():
        inner = group.create_group(layer)
        names(inner, "weight_names", list(weights))
        for name, value in weights.items():
            inner[name] = value


@pytest.fixture
def weights(rng):
    """Of an LSTM of 3 units on 2 features, and a Dense of 1."""
    return [rng.normal(size=s).astype(np.float32) for s in [(2, 12), (3, 12), (12,), (3, 1), (1,)]]


def tf_keras(path, weights, loss="mse", **options):
    """As TensorFlow 2.9 wrote it: dtype policies, `:0` names, slots of Adam by kind, metrics in wrappers."""
    policy = options.pop("dtype", {"class_name": "Policy", "config": {"name": "float32"}})
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4, 2], "dtype": "float32", "sparse": False, "ragged": False,
                                                "name": "lstm_input"}},
        recurrent("LSTM", "lstm", 3, unit_forget_bias=True, dtype=policy, **options),
        {"class_name": "Dropout", "config": {"name": "dropout", "trainable": True, "dtype": policy, "rate": 0.2, "noise_shape": None,
                                             "seed": None}},
        dense(dtype=policy),
    ]  # fmt: skip
    metric = {"class_name": "MeanMetricWrapper", "config": {"name": "mae", "dtype": "float32", "fn": "mean_absolute_error"}}
    training = {
        "loss": loss, "metrics": [[metric]], "weighted_metrics": None, "loss_weights": None,
        "optimizer_config": {"class_name": "Adam", "config": {"name": "Adam", "learning_rate": 0.01, "decay": 0.0, "beta_1": 0.9,
                                                              "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": False}},
    }  # fmt: skip
    names = ["lstm/lstm_cell/kernel:0", "lstm/lstm_cell/recurrent_kernel:0", "lstm/lstm_cell/bias:0", "dense/kernel:0", "dense/bias:0"]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.9.0", b"tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}).encode()
        file.attrs["training_config"] = json.dumps(training).encode()
        saved = dict(zip(names, weights))
        write_weights(file.create_group("model_weights"), {
            "lstm": {n: w for n, w in saved.items() if n[0] == "l"}, "dropout": {},
            "dense": {n: w for n, w in saved.items() if n[0] == "d"},
        })  # fmt: skip
        group = file.create_group("optimizer_weights")
        slots = {"Adam/iterations:0": np.int64(7)}
        slots |= {f"Adam/{n[:-2]}/m:0": 0.01 * w for n, w in saved.items()} | {f"Adam/{n[:-2]}/v:0": w * w for n, w in saved.items()}
        group.attrs["weight_names"] = np.array([n.encode() for n in slots])
        for name, value in slots.items():
            group[name] = value


def lstm_model(K, weights):
    model = K.Sequential([K.Input((4, 2)), K.layers.LSTM(3), K.layers.Dropout(0.2), K.layers.Dense(1)])
    model.set_weights(weights)
    return model


def test_tf_keras_file(K, tmp_path, rng, weights):
    tf_keras(tmp_path / "m.h5", weights, time_major=False, batch_input_shape=[None, 4, 2])  # on which Keras 3 itself stumbles
    model = K.models.load_model(tmp_path / "m.h5")
    x = rng.normal(size=(5, 4, 2)).astype(np.float32)
    assert [layer.name for layer in model.layers] == ["lstm", "dropout", "dense"]
    assert_close(model.predict(x, verbose=0), lstm_model(K, weights).predict(x, verbose=0), 1e-6)
    assert type(model.optimizer).__name__ == "Adam" and model.optimizer.learning_rate == pytest.approx(0.01)
    assert model.optimizer.iterations == 7
    assert set(model.evaluate(x, np.zeros((5, 1)), verbose=0, return_dict=True)) == {"loss", "mae"}


def test_state_of_an_optimizer_of_keras_2_goes_on(K, tmp_path, weights):
    """The first step after loading is Adam's with the file's moments."""
    tf_keras(tmp_path / "m.h5", weights)
    model = K.models.load_model(tmp_path / "m.h5")
    model.layers[1].rate = 0.0
    other = lstm_model(K, weights)
    other.layers[1].rate = 0.0
    x, y = np.ones((2, 4, 2), np.float32), np.ones((2, 1), np.float32)
    other.compile(K.optimizers.SGD(1.0), "mse")
    other.train_on_batch(x, y)
    gradients = [before - after for before, after in zip(weights, other.get_weights())]
    model.train_on_batch(x, y)
    for before, g, after in zip(weights, gradients, model.get_weights()):
        m, v = 0.9 * 0.01 * before.astype(np.float64) + 0.1 * g, 0.999 * np.square(before, dtype=np.float64) + 0.001 * g * g
        rate = 0.01 * np.sqrt(1 - 0.999**8) / (1 - 0.9**8)
        assert_close(after, before - rate * m / (np.sqrt(v) + 1e-7), 1e-5)


def test_losses_of_keras_2(K, tmp_path, weights):
    x, y = np.ones((3, 4, 2), np.float32), np.zeros((3, 1))
    found = []
    inner = {"reduction": "auto", "name": "mean_squared_error", "fn": "mean_squared_error"}
    for loss in ("mse", {"dense": "mse"}, ["mean_squared_error"], {"class_name": "MeanSquaredError", "config": inner}):
        tf_keras(tmp_path / "m.h5", weights, loss)
        found.append(K.models.load_model(tmp_path / "m.h5").evaluate(x, y, verbose=0)[0])
    assert found == [found[0]] * 4
    tf_keras(tmp_path / "m.h5", weights, "my_loss")
    with pytest.raises(ValueError, match="my_loss"):
        K.models.load_model(tmp_path / "m.h5").evaluate(x, y, verbose=0)
    tf_keras(tmp_path / "m.h5", weights, {"class_name": "MyLoss", "config": {}})
    with pytest.raises(ValueError, match="MyLoss.*compile=False"):
        K.models.load_model(tmp_path / "m.h5")
    assert K.models.load_model(tmp_path / "m.h5", compile=False).built


@pytest.mark.parity
def test_real_keras_reads_the_same_from_it(K, tmp_path, rng, weights):
    keras = pytest.importorskip("keras")
    tf_keras(tmp_path / "m.h5", weights, dtype="float32")
    x = rng.normal(size=(5, 4, 2)).astype(np.float32)
    theirs = keras.models.load_model(tmp_path / "m.h5", compile=False)
    assert_close(K.models.load_model(tmp_path / "m.h5").predict(x, verbose=0), theirs.predict(x, verbose=0), 1e-5)


def test_keras_1_and_early_2(K, tmp_path, rng):
    """A Sequential as a list of layers, no InputLayer, texts as text, a GRU from before `reset_after`, names in several attributes."""
    arrays = [rng.normal(size=s).astype(np.float32) for s in [(2, 9), (3, 9), (9,), (3, 1), (1,)]]
    gru = recurrent("GRU", "gru_1", 3, batch_input_shape=[None, None, 2], recurrent_activation="hard_sigmoid")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["keras_version"] = "2.0.8"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [gru, dense("dense_1")]})
        layers = {
            "gru_1": dict(zip(["gru_1/kernel:0", "gru_1/recurrent_kernel:0", "gru_1/bias:0"], arrays)),
            "dense_1": dict(zip(["dense_1/kernel:0", "dense_1/bias:0"], arrays[3:])),
        }
        write_weights(file.create_group("model_weights"), layers, chunks=2)
    with pytest.warns(UserWarning, match="hard_sigmoid of Keras 2"):
        model = K.models.load_model(str(tmp_path / "m.h5"))
    assert not model.layers[0].reset_after
    assert all((a == b).all() for a, b in zip(model.get_weights(), arrays))
    assert not model.compiled


def test_cudnn_layers(K, tmp_path, rng):
    """cuDNN takes transposed kernels gate by gate and has two biases; its layers compute what LSTM and GRU do."""
    lstm = [rng.normal(size=s).astype(np.float32) for s in [(2, 12), (3, 12), (12,)]]
    gru = [rng.normal(size=s).astype(np.float32) for s in [(3, 15), (5, 15), (2, 15)]]

    def for_cudnn(kernel, recurrent, bias, gates):
        return [
            np.hstack([np.ascontiguousarray(g.T).reshape(g.shape) for g in np.hsplit(kernel, gates)]),
            np.hstack([g.T for g in np.hsplit(recurrent, gates)]),
            bias.reshape(-1) if bias.ndim == 2 else np.concatenate([bias - 1, np.ones_like(bias)]),
        ]

    sequences = {"return_sequences": True}
    layers = [
        recurrent("CuDNNLSTM", "cu_dnnlstm", 3, batch_input_shape=[None, 4, 2], unit_forget_bias=True, **sequences),
        recurrent("CuDNNGRU", "cu_dnngru", 5),
    ]
    for layer in layers:
        for key in ("activation", "recurrent_activation", "use_bias", "dropout", "recurrent_dropout", "implementation", "unroll"):
            del layer["config"][key]
    names = ["kernel:0", "recurrent_kernel:0", "bias:0"]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["keras_version"] = b"2.2.4-tf"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
        write_weights(file.create_group("model_weights"), {
            "cu_dnnlstm": {f"cu_dnnlstm/{n}": w for n, w in zip(names, for_cudnn(*lstm, 4))},
            "cu_dnngru": {f"cu_dnngru/{n}": w for n, w in zip(names, for_cudnn(*gru, 3))},
        })  # fmt: skip
    model = K.models.load_model(tmp_path / "m.h5")
    assert [type(layer).__name__ for layer in model.layers] == ["LSTM", "GRU"]
    for found, expected in zip(model.get_weights(), [*lstm, *gru]):
        assert_close(found, expected, 1e-6)


def test_weights_alone_by_place_and_by_name(K, tmp_path, weights):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_weights(file, {
            "lstm": dict(zip(["lstm/kernel:0", "lstm/recurrent_kernel:0", "lstm/bias:0"], weights)), "dropout": {},
            "dense": dict(zip(["dense/kernel:0", "dense/bias:0"], weights[3:])),
        })  # fmt: skip
    model = lstm_model(K, [np.zeros_like(w) for w in weights])
    model.load_weights(tmp_path / "w.h5")
    assert all((a == b).all() for a, b in zip(model.get_weights(), weights))
    other = K.Sequential([K.Input((4, 2)), K.layers.LSTM(3, name="lstm"), K.layers.Dense(3, name="new"), K.layers.Dense(1, name="dense")])
    other.load_weights(tmp_path / "w.h5", by_name=True)
    assert all((a == b).all() for a, b in zip(other.get_weights(), [*weights[:3], *other.layers[1].get_weights(), *weights[3:]]))
    with pytest.raises(ValueError, match="Layer count mismatch when loading weights from file. Model expected 3 layers, found 2"):
        other.load_weights(tmp_path / "w.h5")
    wider = K.Sequential([K.Input((4, 2)), K.layers.LSTM(4), K.layers.Dense(1)])
    before = wider.get_weights()
    with pytest.raises(ValueError, match="Shape mismatch in layer #0"):
        wider.load_weights(tmp_path / "w.h5")
    assert all((a == b).all() for a, b in zip(wider.get_weights(), before))
    with pytest.warns(UserWarning, match="Skipping"):
        wider.load_weights(tmp_path / "w.h5", skip_mismatch=True)


def test_time_major_is_refused(K, tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        layers = [recurrent("LSTM", "lstm", 3, time_major=True, batch_input_shape=[4, None, 2])]
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
        file.create_group("model_weights")
    with pytest.raises(ValueError, match="time_major=True"):
        K.models.load_model(tmp_path / "m.h5")


def test_mixed_precision_is_read_in_float32(K, tmp_path, weights):
    tf_keras(tmp_path / "m.h5", weights, dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}})
    with pytest.warns(UserWarning, match="mixed_float16"):
        model = K.models.load_model(tmp_path / "m.h5")
    assert model.layers[0].dtype == "float32"


def test_our_own_h5_round_trip(K, tmp_path):
    """Many layers, whose names fill more than one attribute."""
    L = K.layers
    names = ["layer_" + "x" * 1500 + str(i) for i in range(50)]
    model = K.Sequential([K.Input((3,)), *[L.Dense(2, name=name) for name in names], L.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    x, y = np.ones((4, 3)), np.ones((4, 1))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert "layer_names0" in file["model_weights"].attrs and "layer_names1" in file["model_weights"].attrs
    again = K.models.load_model(tmp_path / "m.h5")
    assert [model.fit(x, y, verbose=0).history] == [again.fit(x, y, verbose=0).history]
    model.save(tmp_path / "n.h5", include_optimizer=False)
    assert not K.models.load_model(tmp_path / "n.h5").compiled


def test_dot_keras_of_keras_2(K, tmp_path, rng, weights):
    """Version 2.12 wrote archives with the old arguments, and other names of groups."""
    import io
    import zipfile

    lstm = recurrent("LSTM", "lstm", 3, time_major=False, batch_input_shape=[None, 4, 2])
    first = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None,
             "config": {"batch_input_shape": [None, 4, 2], "dtype": "float32", "sparse": False, "name": "lstm_input"}}  # fmt: skip
    layers = [first, *({"module": "keras.layers", "registered_name": None, **entry} for entry in (lstm, dense()))]
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": layers}, "registered_name": "Sequential"}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for i, w in enumerate(weights):
            file[f"_layer_checkpoint_dependencies/{'lstm/cell' if i < 3 else 'dense'}/vars/{i % 3}"] = w
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.12.0"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", buffer.getvalue())
    x = rng.normal(size=(5, 4, 2)).astype(np.float32)
    expected = lstm_model(K, weights).predict(x, verbose=0)
    assert_close(K.models.load_model(tmp_path / "m.keras").predict(x, verbose=0), expected, 1e-6)


def test_lambda_of_keras_2(K, tmp_path):
    """Bytecode in a list, which needs permission."""
    import base64
    import marshal

    code = base64.b64encode(marshal.dumps((lambda x, n=3: n * x).__code__)).decode()
    config = {"name": "triple", "trainable": True, "dtype": "float32", "function": [code, [3], None], "function_type": "lambda",
              "module": "__main__", "output_shape": None, "output_shape_type": "raw", "output_shape_module": None,
              "arguments": {}}  # fmt: skip
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 2], "dtype": "float32", "name": "i"}}
    layers = [first, {"class_name": "Lambda", "config": config}]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["keras_version"] = "2.9.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
        write_weights(file.create_group("model_weights"), {"triple": {}})
    with pytest.raises(ValueError, match="safe_mode=False"):
        K.models.load_model(tmp_path / "m.h5")
    model = K.models.load_model(tmp_path / "m.h5", safe_mode=False)
    assert model.predict(np.ones((1, 2)), verbose=0).tolist() == [[3, 3]]
