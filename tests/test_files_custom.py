"""The user's own classes and functions in files."""

import warnings

import numpy as np
import pytest

pytest.importorskip("h5py")

X, Y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)


@pytest.fixture
def own(K):
    """A class and functions, registered for the time of the test."""
    before = dict(K.saving.get_custom_objects())
    yield
    K.saving.get_custom_objects().clear()
    K.saving.get_custom_objects().update(before)


def make_dense(K):
    class MyDense(K.layers.Dense):
        def __init__(self, units, factor=2.0, **options):
            super().__init__(units, **options)
            self.factor = factor

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    return MyDense


def my_loss(y_true, y_pred):
    return ((y_true - y_pred) ** 2).mean(-1)


def my_metric(y_true, y_pred):
    return abs(y_true - y_pred).mean(-1)


class Small:
    """A constraint that halves."""

    def __call__(self, w):
        return w / 2

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls()


def saved(K, layer, path, loss="mse", metrics=None):
    model = K.Sequential([K.Input((3,)), layer])
    model.compile("sgd", loss, metrics=metrics)
    model.save(str(path))
    return model


@pytest.mark.parametrize("ending", ["keras", "h5", "npz"])
@pytest.mark.fastrnn_only
def test_custom_objects_and_scope(K, tmp_path, ending):
    MyDense = make_dense(K)
    path = str(tmp_path / f"m.{ending}")
    model = saved(K, MyDense(2, factor=5.0, kernel_constraint=Small()), path, my_loss, [my_metric])
    with pytest.raises(ValueError, match="custom_objects"):
        K.models.load_model(path)
    objects = {"MyDense": MyDense, "my_loss": my_loss, "my_metric": my_metric, "Small": Small}
    for name in objects:
        if name != "MyDense":
            with pytest.raises(ValueError, match=name):
                K.models.load_model(path, custom_objects={k: v for k, v in objects.items() if k != name})
    first = K.models.load_model(path, custom_objects=objects)
    with K.saving.custom_object_scope(objects):
        second = K.models.load_model(path)
    for again in (first, second):
        assert isinstance(again.layers[0], MyDense) and again.layers[0].factor == 5.0
        assert isinstance(again.layers[0].kernel_constraint, Small)
        assert again.loss is my_loss
        assert again.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0))
    with pytest.raises(ValueError):  # the scope has ended
        K.models.load_model(path)


def test_registered(K, tmp_path, own):
    """As in Keras, by `package>name`."""
    MyDense = make_dense(K)
    K.saving.register_keras_serializable("mine")(MyDense)
    K.saving.register_keras_serializable(package="mine", name="squares")(my_loss)
    assert K.saving.get_registered_name(MyDense) == "mine>MyDense"
    assert K.utils.get_registered_object("mine>squares") is my_loss
    assert K.saving.get_registered_object("nothing") is None
    path = tmp_path / "m.keras"
    saved(K, MyDense(2, factor=3.0), path, my_loss)
    again = K.models.load_model(str(path))
    assert type(again.layers[0]) is MyDense and again.layers[0].factor == 3.0
    config = K.saving.serialize_keras_object(MyDense(1))
    assert (config["class_name"], config["registered_name"]) == ("MyDense", "mine>MyDense")
    assert type(K.saving.deserialize_keras_object(config)) is MyDense
    with pytest.raises(ValueError, match="get_config"):
        K.saving.register_keras_serializable()(type("Nothing", (), {}))


@pytest.mark.fastrnn_only
def test_a_class_called_as_one_of_ours(K, tmp_path, own):
    """Is never taken for ours, nor ours for it."""

    class Dense(K.layers.Dense):
        pass

    K.saving.register_keras_serializable("mine")(Dense)
    path = tmp_path / "m.keras"
    saved(K, Dense(2), path)
    assert type(K.models.load_model(path).layers[0]) is Dense
    saved(K, K.layers.Dense(2), tmp_path / "n.keras")
    assert type(K.models.load_model(tmp_path / "n.keras").layers[0]) is K.layers.Dense
    K.saving.get_custom_objects().clear()
    with pytest.raises(ValueError, match="Unknown layer 'mine>Dense'"):
        K.models.load_model(path)


@pytest.mark.fastrnn_only
def test_scopes_nest_and_end(K):
    scope, get = K.saving.custom_object_scope, K.saving.get_registered_object
    with scope({"a": 1}):
        with scope({"b": 2}):
            assert (get("a"), get("b")) == (1, 2)
        assert (get("a"), get("b")) == (1, None)
    assert get("a") is None


@pytest.mark.fastrnn_only
def test_own_sequential_and_own_layer(K, tmp_path):
    class MyModel(K.Sequential):
        pass

    class Scale(K.layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight((input_shape[-1],), "ones", "factor")
            self.inner = K.layers.Dense(2)
            self.inner.build(input_shape)

        @property
        def variables(self):
            return [self.factor, *self.inner.variables]

        def forward(self, x):
            return x * self.factor.value

    for ending in ("keras", "h5", "npz"):
        model = MyModel([K.Input((3,)), Scale(), K.layers.Dense(2)])
        model.set_weights([w + 1 for w in model.get_weights()])
        path = tmp_path / f"m.{ending}"
        model.save(path)
        again = K.models.load_model(path, custom_objects={"MyModel": MyModel, "Scale": Scale})
        assert type(again) is MyModel
        np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
        for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.fastrnn_only
def test_weights_that_no_attribute_leads_to(K, tmp_path):
    """Would be lost silently: an error instead."""

    class Hidden(K.layers.Layer):
        def build(self, input_shape):
            inner = K.layers.Dense(2)
            inner.build(input_shape)
            self.get = lambda: inner

        @property
        def variables(self):
            return self.get().variables if self.built else []

        def forward(self, x):
            return x

    model = K.Sequential([K.Input((3,)), Hidden()])
    with pytest.raises(ValueError, match="no attribute of a layer leads to them"):
        model.save(tmp_path / "m.keras")


@pytest.mark.fastrnn_only
def test_lambdas_need_permission(K, tmp_path, monkeypatch):
    model = K.Sequential([K.Input((3,)), K.layers.Lambda(lambda x: 2 * x), K.layers.Dense(2)])
    for ending in ("keras", "h5", "npz"):
        path = tmp_path / f"m.{ending}"
        model.save(path)
        with pytest.raises(ValueError, match="potential risk of arbitrary code execution"):
            K.models.load_model(path)
        again = K.models.load_model(path, safe_mode=False)
        np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    monkeypatch.setattr(K.config, "_UNSAFE", False)
    K.config.enable_unsafe_deserialization()
    assert K.models.load_model(path).built


@pytest.mark.parity
def test_lambdas_and_named_functions_of_keras(K, tmp_path):
    keras = pytest.importorskip("keras")
    factor = 3.0
    for writer, reader in ((keras, K), (K, keras)):
        triple = writer.layers.Lambda(lambda x: x * factor, output_shape=(3,))
        model = writer.Sequential([writer.Input((3,)), triple, writer.layers.Dense(2)])
        path = str(tmp_path / f"{writer.__name__}.keras")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(path)
        with pytest.raises(ValueError, match="safe_mode=False"):
            reader.models.load_model(path)
        again = reader.models.load_model(path, safe_mode=False)
        np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-6)


@pytest.mark.parity
def test_registered_classes_go_to_keras_and_back(K, tmp_path, own):
    keras = pytest.importorskip("keras")
    classes = {}
    for library in (K, keras):
        classes[library] = make_dense(library)
        library.saving.register_keras_serializable("pair")(classes[library])
    for writer, reader in ((keras, K), (K, keras)):
        path = str(tmp_path / f"{writer.__name__}.keras")
        model = saved(writer, classes[writer](2, factor=7.0), path)
        again = reader.models.load_model(path)
        assert type(again.layers[0]) is classes[reader] and again.layers[0].factor == 7.0
        np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-6)


def test_objects_of_every_kind(K):
    """Serialized and back, they are equal."""
    for obj in [
        K.losses.Huber(name="h"), K.metrics.MeanSquaredError(), K.optimizers.SGD(0.5), K.initializers.RandomNormal(seed=3),
        K.regularizers.L2(0.3),
        K.constraints.MaxNorm(3.0), K.layers.LSTM(3), K.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5),
        K.Sequential([K.Input((2,)), K.layers.Dense(1)]),
    ]:  # fmt: skip
        config = K.saving.serialize_keras_object(obj)
        again = K.saving.deserialize_keras_object(config)
        assert type(again) is type(obj)
        assert again.get_config() == obj.get_config()
    value = {"a": [1, 2.5, None, "x"], "b": np.arange(3.0)}
    back = K.saving.deserialize_keras_object(K.saving.serialize_keras_object(value))
    assert back["a"] == [1, 2.5, None, "x"]
    np.testing.assert_array_equal(back["b"], [0, 1, 2])
