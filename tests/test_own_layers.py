"""Layers written in Python: a user's own classes, Lambda and activity regularizers, in the same training loop as native layers."""

import gc
import threading

import numpy as np
import pytest

from fastrnn import Input, Sequential, losses, utils
from fastrnn.layers import GRU, LSTM, ActivityRegularization, BatchNormalization, Dense, Embedding, Flatten, Lambda, Layer, Masking, TimeDistributed
from fastrnn.regularizers import L2


class OwnDense(Layer):
    """y = x W + b, as `Dense` has it."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    def forward(self, x):
        return x @ self.kernel.value + self.bias.value

    def backward(self, x, y, dy):
        axes = tuple(range(x.ndim - 1))
        self.kernel.add_gradient(np.tensordot(x, dy, (axes, axes)))
        self.bias.add_gradient(dy.sum(axis=axes))
        return dy @ self.kernel.value.T


def data(rng, n=21, steps=5, features=3):
    x = rng.standard_normal((n, steps, features)).astype(np.float32)
    return x, x.sum((1, 2))[:, None]


def pairs(own, native):
    """Two models with the same weights, one with a layer of its own where the other has a native one."""
    a = Sequential([Input((5, 3)), LSTM(4, return_sequences=True), own, GRU(3), Dense(1)])
    b = Sequential([Input((5, 3)), LSTM(4, return_sequences=True), native, GRU(3), Dense(1)])
    a.set_weights(b.get_weights())
    return a, b


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_own_layer_trains_as_the_native_one(batch):
    x, y = data(np.random.default_rng(0))
    own, native = pairs(OwnDense(6), Dense(6))
    for model in (own, native):
        model.compile("adam", "mse", metrics=["mae"])
    histories = [m.fit(x, y, batch_size=batch, epochs=3, shuffle=False, verbose=0, validation_split=0.2).history for m in (own, native)]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-4, err_msg=name)
    for a, b in zip(own.get_weights(), native.get_weights()):
        np.testing.assert_allclose(a, b, atol=2e-5)
    np.testing.assert_allclose(own.predict(x, verbose=0), native.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("place", ["first", "last", "alone"])
def test_own_layer_at_every_place(place):
    """Inputs and outputs are read and written where a Python layer finds them, not where a native one would."""
    x, _ = data(np.random.default_rng(1), n=40)
    layers = {"first": [OwnDense(2), LSTM(3)], "last": [LSTM(3), OwnDense(2)], "alone": [OwnDense(2)]}[place]
    model = Sequential([Input((5, 3)), *layers])
    for rows in (40, 7, 33):
        h = x[:rows]
        for layer in layers:
            h = layer(h)
        np.testing.assert_allclose(model.predict(x[:rows], verbose=0), h, atol=1e-6)
    target = np.zeros(model.predict(x, verbose=0).shape)
    model.compile("sgd", "mse")
    first, *_, last = model.fit(x, target, epochs=4, batch_size=16, verbose=0).history["loss"]
    assert last < first


def test_gradient_of_own_layer_reaches_the_layers_below_only_if_it_is_right():
    class Wrong(OwnDense):
        def backward(self, x, y, dy):
            return 2 * super().backward(x, y, dy)

    x = np.random.default_rng(2).standard_normal((3, 4))
    utils.check_gradients(OwnDense(2), x)
    with pytest.raises(ValueError, match="gradient of x is wrong"):
        utils.check_gradients(Wrong(2), x)

    class WrongWeight(OwnDense):
        def backward(self, x, y, dy):
            self.bias.add_gradient(dy.sum(axis=0))
            return super().backward(x, y, dy)

    layer = WrongWeight(2)
    with pytest.raises(ValueError, match="weight 'bias' is wrong"):
        utils.check_gradients(layer, x)
    assert layer.bias.gradient is None and layer.bias.dtype == "float32"  # the check leaves the layer as it was


def test_frozen_weights_of_own_layers_stay():
    x, y = data(np.random.default_rng(3))
    own = OwnDense(2)
    model = Sequential([Input((5, 3)), own, LSTM(2), Dense(1)])
    own.trainable = False
    before = own.get_weights()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    assert all((a == b).all() for a, b in zip(own.get_weights(), before))


def test_training_and_mask_are_passed_to_a_forward_that_takes_them():
    seen = []

    class Curious(Layer):
        def forward(self, x, training=False, mask=None):
            if mask is not None:  # there is none in the trial that finds out the shape
                seen.append((training, mask.tolist()))
            return x

        def backward(self, x, y, dy):
            return dy

    model = Sequential([Input((2, 1)), Masking(), Curious(), LSTM(1)])
    model.compile("sgd", "mse")
    x = np.array([[[1.0], [0.0]]])
    model.predict(x, verbose=0)
    model.fit(x, np.ones((1, 1)), verbose=0)
    assert seen == [(False, [[True, False]]), (True, [[True, False]])]


def test_ids_reach_an_own_layer_as_whole_numbers():
    class OneHot(Layer):
        takes_ids = True

        def forward(self, x):
            return np.eye(4)[x]

    assert Sequential([Input((3,)), OneHot(), LSTM(2)]).predict(np.array([[0, 1, 3]]), verbose=0).shape == (1, 2)


def test_errors_inside_an_own_layer_come_out_and_leave_the_model_usable():
    class Broken(OwnDense):
        fails = None

        def forward(self, x):
            if self.fails == "forward":
                raise KeyError("in forward")
            return super().forward(x)

        def backward(self, x, y, dy):
            if self.fails == "backward":
                raise KeyboardInterrupt
            return super().backward(x, y, dy)

    x, y = data(np.random.default_rng(4))
    layer = Broken(2)
    model = Sequential([Input((5, 3)), LSTM(2), layer, Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    layer.fails = "forward"
    for call in (lambda: model.predict(x, verbose=0), lambda: model.fit(x, y, verbose=0), lambda: model.evaluate(x, y, verbose=0)):
        with pytest.raises(KeyError, match="in forward"):
            call()
    layer.fails = "backward"
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0)
    assert all((a == b).all() for a, b in zip(model.get_weights(), before))
    layer.fails = None
    model.fit(x, y, verbose=0)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_a_layer_sees_every_step_in_its_turn():
    """What it reads, and what it asks for."""

    class Looks(OwnDense):
        model, seen = None, ()

        def forward(self, x):
            if self.model is not None and len(x) == 1:  # not what finds out the shape of the output
                self.seen += (self.model.optimizer.iterations,)
                self.model.stop_training = len(self.seen) == 7
            return super().forward(x)

    x, y = data(np.random.default_rng(4))
    layer = Looks(2)
    model = Sequential([Input((5, 3)), LSTM(2), layer, Dense(1)])
    model.compile("sgd", "mse")
    layer.model = model
    model.fit(x, y, batch_size=1, verbose=0)
    assert layer.seen == tuple(range(7))


def test_steps_before_an_error_count():
    """Those of the epoch that went well have moved the weights: the optimizer goes on from there."""

    class Breaks(OwnDense):
        left = 5

        def backward(self, x, y, dy):
            self.left -= 1
            if self.left < 0:
                raise KeyError("after five")
            return super().backward(x, y, dy)

    x, y = data(np.random.default_rng(4))
    models = [Sequential([Input((5, 3)), LSTM(2, seed=1), cls(2), Dense(1)]) for cls in (Breaks, OwnDense)]
    models[1].set_weights(models[0].get_weights())
    for model in models:
        model.compile("adam", "mse")
    with pytest.raises(KeyError, match="after five"):
        models[0].fit(x, y, batch_size=1, shuffle=False, verbose=0)
    models[1].fit(x[:5], y[:5], batch_size=1, shuffle=False, verbose=0)
    assert models[0].optimizer.iterations == models[1].optimizer.iterations == 5
    for a, b in zip(models[0].get_weights(), models[1].get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "forward, backward, message",
    [
        (lambda self, x: x[:1], None, "one row per sample"),
        (lambda self, x: x @ np.ones((9, 9)), None, "zeros of shape"),
        (lambda self, x: 2 * x, lambda self, x, y, dy: None, "`backward` must return an array of shape .* Received: None"),
        (lambda self, x: 2 * x, lambda self, x, y, dy: dy[:, :1], "`backward` must return an array of shape"),
        (lambda self, x: x.__imul__(2), None, "read-only|output array"),
        (lambda self, x: 2 * x, None, "does not have a `backward\\(\\)`"),
    ],
)
def test_mistakes_in_own_layers(forward, backward, message):
    methods = {"forward": forward} | ({"backward": backward} if backward else {})
    cls = type("Mistaken", (Layer,), methods)
    x, _ = data(np.random.default_rng(5))
    with pytest.raises((ValueError, NotImplementedError), match=message):
        model = Sequential([Input((5, 3)), LSTM(3), cls(), Dense(1)])
        model.compile("sgd", "mse")
        if "read-only" in message:
            model.predict(x, verbose=0)
        model.fit(x, np.ones((len(x), 1)), verbose=0)


def test_a_layer_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r"`forward\(\)` method"):
        Sequential([Input((2,)), type("Empty", (Layer,), {})()]).predict(np.ones((1, 2)), verbose=0)


def test_programs_with_python_layers_are_freed():
    class Marker(Layer):
        alive = 0

        def __init__(self):
            super().__init__()
            Marker.alive += 1

        def __del__(self):
            Marker.alive -= 1

        def forward(self, x):
            return x + 1

    for _ in range(3):
        Sequential([Input((2,)), Marker(), Dense(1)]).predict(np.ones((1, 2)), verbose=0)
    gc.collect()
    assert Marker.alive == 0


def test_two_threads_run_python_layers_at_once():
    x, _ = data(np.random.default_rng(6), n=64)
    models = [Sequential([Input((5, 3)), OwnDense(4), LSTM(8), OwnDense(2)]) for _ in range(2)]
    expected = [m.predict(x, verbose=0) for m in models]
    wrong = []

    def work(k):
        for _ in range(20):
            if not np.array_equal(models[k].predict(x, verbose=0), expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not wrong and not any(t.is_alive() for t in threads)


# -- Lambda ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", ["elementwise", lambda x, y, dy: dy * (1 - y * y)])
def test_lambda_trains_as_the_activation(gradient):
    from fastrnn.layers import Activation

    x, y = data(np.random.default_rng(7))
    own, native = pairs(Lambda(np.tanh, gradient=gradient), Activation("tanh"))
    for model in (own, native):
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(own.get_weights(), native.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_lambda_needs_a_gradient_only_above_weights():
    x, y = data(np.random.default_rng(8))
    model = Sequential([Input((5, 3)), Lambda(lambda x: x[:, ::-1] * 2, name="reverse"), LSTM(2), Dense(1)])
    model.compile("sgd", "mse")
    assert model.fit(x, y, verbose=0).history["loss"]
    model = Sequential([Input((5, 3)), LSTM(2), Lambda(lambda x: x * 2, name="twice"), Dense(1)])
    model.compile("sgd", "mse")
    assert model.predict(x, verbose=0).shape == (21, 1)
    with pytest.raises(ValueError, match="'twice' has no gradient"):
        model.fit(x, y, verbose=0)


def test_lambda_shapes_arguments_and_masks():
    x = np.arange(12.0).reshape(2, 3, 2)
    assert Lambda(lambda x, power: x**power, arguments={"power": 2})(x)[1, 2, 1] == 121
    assert Sequential([Input((None, 2)), Lambda(lambda x: x[:, -1])]).output_shape == (None, 2)
    assert Lambda(lambda x: x.sum(axis=-1), output_shape=lambda s: s[:-1]).compute_output_shape((None, 3, 2)) == (None, 3)
    dropped = Sequential([Input((None, 2)), Masking(), Lambda(lambda x: x), LSTM(2)])
    kept = Sequential([Input((None, 2)), Masking(), Lambda(lambda x: x, mask=lambda x, mask: mask), LSTM(2)])
    plain = Sequential([Input((None, 2)), LSTM(2)])
    for model in (dropped, kept):
        model.set_weights(plain.get_weights())
    x = np.concatenate([x, np.zeros((2, 1, 2))], axis=1)[:, 1:]
    np.testing.assert_array_equal(dropped.predict(x, verbose=0), plain.predict(x, verbose=0))
    np.testing.assert_allclose(kept.predict(x, verbose=0), plain.predict(x[:, :2], verbose=0), atol=1e-7)


def double(x):
    return 2 * x


def test_lambda_configuration_names_the_function():
    layer = Lambda(double, gradient="elementwise")
    config = layer.get_config()
    copy = Lambda.from_config(config, custom_objects={"double": double})
    assert copy.function is double and copy.gradient == "elementwise"
    with pytest.raises(ValueError, match="custom_objects"):
        Lambda.from_config(config)
    nameless = Lambda(lambda x: x).get_config()
    with pytest.raises(ValueError, match="safe_mode=False"):
        Lambda.from_config(nameless)


@pytest.mark.parametrize("arguments", [{"function": 3}, {"function": double, "gradient": 1}])
def test_lambda_checks_its_arguments(arguments):
    with pytest.raises(ValueError, match="Argument `(function|gradient)`"):
        Lambda(**arguments)


# -- activity regularizers -------------------------------------------------------------------------------------------------------


def test_activity_regularizer_is_part_of_loss_and_gradient():
    """Against the same penalty as a loss on the layer's own output."""

    class Penalty(losses.Loss):
        def call(self, y_true, y_pred):
            return 0.25 * (y_pred**2).sum(axis=-1)

        def gradient(self, y_true, y_pred):
            return 0.5 * y_pred

    x = np.random.default_rng(9).standard_normal((6, 4))
    layer = Dense(3, "tanh", activity_regularizer=L2(0.25), dtype="float64")
    above = Dense(1, kernel_initializer="zeros", trainable=False, dtype="float64")  # no other loss reaches the layer
    regularized, other = Sequential([Input((4,)), layer, above]), Sequential([Input((4,)), Dense(3, "tanh", dtype="float64")])
    other.set_weights(layer.get_weights())
    regularized.compile("sgd", "mse")
    other.compile("sgd", Penalty(dtype="float64"))
    before = layer.get_weights()
    given = [regularized.train_on_batch(x, np.zeros((6, 1))) for _ in range(2)]
    assert given == pytest.approx([other.train_on_batch(x, np.zeros((6, 3))) for _ in range(2)])
    for old, new, expected in zip(before, layer.get_weights(), other.get_weights()):
        np.testing.assert_allclose(new, expected, rtol=1e-12)
        assert not np.array_equal(new, old)
    assert regularized.evaluate(x, np.zeros((6, 1)), verbose=0) == pytest.approx(0.25 * (layer(x) ** 2).sum() / 6)


def test_activity_regularization_layer_equals_the_argument():
    rng = np.random.default_rng(10)
    x, y = data(rng)
    a = Sequential([Input((5, 3)), LSTM(3, activity_regularizer="l1"), Dense(1)])
    b = Sequential([Input((5, 3)), LSTM(3), ActivityRegularization(l1=0.01), Dense(1)])
    b.set_weights(a.get_weights())
    for model in (a, b):
        model.compile("rmsprop", "mse")
        model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
    for v, w in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_array_equal(v, w)


# -- models as layers ----------------------------------------------------------------------------------------------------------------


def nested():
    inner = Sequential([LSTM(3, return_sequences=True), Sequential([Dense(2, name="deep")], name="innermost")], name="inner")
    return inner, Sequential([Input((5, 3)), inner, LSTM(2), Dense(1)])


def test_a_model_is_a_layer_of_another():
    x, y = data(np.random.default_rng(11))
    inner, outer = nested()
    flat = Sequential([Input((5, 3)), LSTM(3, return_sequences=True), Dense(2), LSTM(2), Dense(1)])
    flat.set_weights(outer.get_weights())
    for model in (outer, flat):
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(outer.get_weights(), flat.get_weights()):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(outer.predict(x, verbose=0), flat.predict(x, verbose=0))
    # the inner model sees what the outer one learned, and the other way round
    np.testing.assert_allclose(inner.predict(x, verbose=0), flat.layers[1](flat.layers[0](x)), atol=1e-6)
    inner.set_weights([0 * w for w in inner.get_weights()])
    assert (inner.predict(x, verbose=0) == 0).all()
    before = outer.predict(x, verbose=0)
    outer.fit(x, y, verbose=0)
    assert not np.array_equal(before, outer.predict(x, verbose=0))
    copy = Sequential.from_config(outer.get_config())
    assert [v.shape for v in copy.variables] == [v.shape for v in outer.variables]


def test_a_layer_added_to_an_inner_model_counts():
    x, _ = data(np.random.default_rng(12))
    inner = Sequential([Input((5, 3)), LSTM(4)])
    outer = Sequential([inner])
    before = outer.predict(x, verbose=0)
    inner.add(Lambda(lambda x: x + 1))
    np.testing.assert_allclose(outer.predict(x, verbose=0), before + 1, atol=1e-6)


def test_streams_and_ids_of_nested_models():
    x, _ = data(np.random.default_rng(13))
    _, outer = nested()
    state = outer.initial_state(len(x))
    for t in range(5):
        y, state = outer.step(x[:, t], state)
    np.testing.assert_allclose(y, outer.predict(x, verbose=0), atol=1e-6)
    words = Sequential([Sequential([Input((None,)), Embedding(7, 2, mask_zero=True)]), LSTM(2)])
    assert words.predict(np.array([[1, 6, 0]]), verbose=0).shape == (1, 2)
    with pytest.raises(ValueError, match=r"not in \[0, 7\)"):
        words.predict(np.array([[1, 7, 0]]), verbose=0)


def test_mistakes_with_nested_models():
    model = Sequential([Input((5, 3)), LSTM(2)])
    with pytest.raises(ValueError, match="cannot be a layer of itself"):
        model.add(model)
    with pytest.raises(ValueError, match="incompatible"):
        Sequential([Input((5, 4)), model])


# -- TimeDistributed -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [4, 32])
def test_time_distributed_is_the_layer_on_every_step(batch):
    rng = np.random.default_rng(14)
    x = rng.standard_normal((10, 4, 6, 2)).astype(np.float32)
    layer = LSTM(3)
    model = Sequential([Input((4, 6, 2)), TimeDistributed(layer), GRU(3), Dense(1)])
    h = TimeDistributed(layer)(x)
    np.testing.assert_allclose(h, np.stack([layer(x[:, t]) for t in range(4)], axis=1), atol=1e-6)
    model.compile("sgd", "mse")
    history = model.fit(x, np.ones((10, 1)), batch_size=batch, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    np.testing.assert_allclose(model.predict(x, batch_size=3, verbose=0), model.predict(x, verbose=0), atol=1e-6)


def test_time_distributed_flatten_and_own_layers():
    x = np.random.default_rng(15).standard_normal((3, 4, 2, 2))
    np.testing.assert_allclose(TimeDistributed(Flatten())(x), x.reshape(3, 4, 4), rtol=1e-6)
    twice = Sequential([Input((4, 2, 2)), TimeDistributed(TimeDistributed(Lambda(lambda x: x[:, ::-1]))), TimeDistributed(Flatten())])
    np.testing.assert_allclose(twice.predict(x, verbose=0), x[..., ::-1].reshape(3, 4, 4), rtol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TimeDistributed(3), "Please initialize `TimeDistributed`"),
        (lambda: TimeDistributed(Dense(2))(np.ones((2, 3))), "at least 3 dimensions"),
        (lambda: TimeDistributed(LSTM(2, return_state=True))(np.ones((2, 3, 4, 5))), "several outputs"),
        (lambda: TimeDistributed(LSTM(2, stateful=True))(np.ones((2, 3, 4, 5))), "stateful"),
        (lambda: TimeDistributed(BatchNormalization())(np.ones((2, 3, 4)), training=True), "cannot be trained"),
    ],
)
def test_mistakes_with_time_distributed(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_functional_models_are_refused_with_the_way_out():
    from fastrnn.models import Model

    assert isinstance(Sequential(), Model)
    inputs = Input((3, 2))
    with pytest.raises(TypeError, match=r"write `Sequential\("):
        LSTM(2)(inputs)
    with pytest.raises(TypeError, match=r"Write `Sequential\("):
        Model(inputs, inputs)
