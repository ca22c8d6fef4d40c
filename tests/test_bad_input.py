"""Bad input: a clear error that names the argument, what was expected and what was given; the model stays as it was."""

import os
import re
import signal
import threading

import numpy as np
import pytest
from conftest import API_NAME, to_numpy

ours = pytest.mark.fastrnn_only


def make(K):
    """A compiled classifier of sequences (5, 2) in 3 classes, trained for a step so that the optimizer has a state."""
    model = K.Sequential([K.Input((5, 2)), K.layers.LSTM(4), K.layers.Dense(3, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["acc"])
    model.fit(X, Y, epochs=1, verbose=0)
    return model


X = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])


def replaced(array, index, value):
    array = array.copy()
    array[index] = value
    return array


RAGGED = [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]]
RAGGED_OBJECT = np.array([np.zeros((2, 2)), np.zeros((3, 2))], dtype=object)

RANK = r"(?is)expected.*(ndim=3|\(None, 5, 2\)).*(found|received|incompatible)"
FEATURES = r"(?is)expected.*\b2\b.*(found|received|incompatible).*\b{}\b"

# name: (what to do with the model, exception, pattern of the message)
CASES = {
    "fit: rank 2": (lambda m: m.fit(X[:, 0], Y, verbose=0), ValueError, RANK),
    "predict: rank 1": (lambda m: m.predict(np.zeros(5), verbose=0), ValueError, RANK),
    "fit: rank 4": (lambda m: m.fit(X[:, None], Y, verbose=0), ValueError, RANK),
    "fit: lengths": (lambda m: m.fit(X, Y[:4], verbose=0), ValueError, r"(?s)cardinality.*\b6\b.*\b4\b"),
    "evaluate: lengths": (lambda m: m.evaluate(X[:3], Y, verbose=0), ValueError, r"(?s)cardinality.*\b3\b.*\b6\b"),
    "fit: sample_weight length": (lambda m: m.fit(X, Y, sample_weight=np.ones(4), verbose=0), ValueError,
                                  r"(?s)(cardinality|sample_weight).*\b6\b.*\b4\b|sample_weight.*\b4\b.*\b6\b"),
    "train_on_batch: lengths": (lambda m: m.train_on_batch(X, Y[:4]), (ValueError, IndexError), r"\b4\b"),
    "set_weights: too few": (lambda m: m.set_weights(m.get_weights()[:2]), ValueError, r"set_weights|weight"),
    "set_weights: shape": (lambda m: m.set_weights([w[:1] for w in m.get_weights()]), ValueError,
                           r"(?s)shape \(2, 16\).*\(1, 16\)|shape \(1, 16\).*\(2, 16\)"),
    "layer.set_weights: too few": (lambda m: m.layers[1].set_weights([np.zeros((4, 3))]), ValueError,
                                   r"list of length 1, but the layer was expecting 2 weights"),
    "layer.set_weights: shape": (lambda m: m.layers[1].set_weights([np.zeros((4, 2)), np.zeros(3)]), ValueError,
                                 r"(?s)\(4, 3\).*\(4, 2\)"),
    "compile: optimizer": (lambda m: m.compile("adamm", "mse"), ValueError, r"adamm"),
    "fit: validation_split 1": (lambda m: m.fit(X, Y, validation_split=1.0, verbose=0), ValueError,
                                r"validation_split"),
    "fit: sample_weight is one number": (lambda m: m.fit(X, Y, sample_weight=2.0, verbose=0), ValueError, r"sample_weight: expected an array.*2\.0"),
    "fit: both weights": (lambda m: m.fit(X, Y, class_weight={0: 1.0}, sample_weight=np.ones(6), verbose=0), ValueError,
                          r"class_weight.*sample_weight|sample_weight.*class_weight"),
    "add: rank": (lambda m: m.add(None), (ValueError, TypeError), r"Layer"),
}  # fmt: skip

EMPTY = r"(?i)empty|at least one sample|0 samples|no data"
STRICTER = {  # what Keras lets through, or reports in torch's words
    "predict: features": (lambda m: m.predict(np.zeros((4, 5, 3)), verbose=0), ValueError, FEATURES.format(3)),
    "fit: features": (lambda m: m.fit(np.zeros((6, 5, 3)), Y, verbose=0), ValueError, FEATURES.format(3)),
    "evaluate: zero features": (lambda m: m.evaluate(X[:, :, :0], Y, verbose=0), ValueError, FEATURES.format(0)),
    "call: features": (lambda m: m(np.zeros((4, 5, 3), np.float32)), ValueError, FEATURES.format(3)),
    "fit: no y": (lambda m: m.fit(X, verbose=0), (ValueError, TypeError), r"\by\b|target|y_true"),
    "fit: empty": (lambda m: m.fit(X[:0], Y[:0], verbose=0), ValueError, EMPTY),
    "predict: empty": (lambda m: m.predict(X[:0], verbose=0), ValueError, EMPTY),
    "fit: strings": (lambda m: m.fit(np.full((6, 5, 2), "a"), Y, verbose=0), (ValueError, TypeError),
                     r"\bx\b.*(str|<U1)"),
    "fit: string labels": (lambda m: m.fit(X, np.array(list("abcabc")), verbose=0), (ValueError, TypeError),
                           r"\by\b.*(str|<U1)"),
    "fit: ragged list": (lambda m: m.fit(RAGGED, Y[:2], verbose=0), (ValueError, TypeError),
                         r"(?i)\bx\b.*(ragged|same length|inhomogeneous|pad_sequences)"),
    "fit: ragged objects": (lambda m: m.fit(RAGGED_OBJECT, Y[:2], verbose=0), (ValueError, TypeError),
                            r"(?is)\bx\b.*(object|ragged|same length|inhomogeneous|pad_sequences)"),
    "predict: objects": (lambda m: m.predict(np.full((2, 5, 2), {}, dtype=object), verbose=0), (ValueError, TypeError),
                         r"(?s)\bx\b.*(object|dict|\{\})"),
    "fit: batch_size NaN": (lambda m: m.fit(X, Y, batch_size=float("nan"), verbose=0), (ValueError, TypeError),
                            r"batch_size.*nan"),
    "fit: batch_size 0": (lambda m: m.fit(X, Y, batch_size=0, verbose=0), ValueError, r"batch_size.*\b0\b"),
    "fit: batch_size -3": (lambda m: m.fit(X, Y, batch_size=-3, verbose=0), ValueError, r"batch_size.*-3"),
    "fit: batch_size 2.5": (lambda m: m.fit(X, Y, batch_size=2.5, verbose=0), (ValueError, TypeError),
                            r"batch_size.*2\.5"),
    "fit: batch_size text": (lambda m: m.fit(X, Y, batch_size="8", verbose=0), (ValueError, TypeError),
                             r"batch_size.*'8'"),
    "predict: batch_size NaN": (lambda m: m.predict(X, batch_size=float("nan"), verbose=0), (ValueError, TypeError),
                                r"batch_size.*nan"),
    "fit: label above": (lambda m: m.fit(X, replaced(Y, 3, 3), verbose=0), ValueError, r"\b3\b.*\[0, 3\)"),
    "fit: label below": (lambda m: m.fit(X, replaced(Y, 3, -1), verbose=0), ValueError, r"-1"),
    "evaluate: label above": (lambda m: m.evaluate(X, replaced(Y, 0, 7), verbose=0), ValueError, r"\b7\b"),
    "compile: optimizer suggestion": (lambda m: m.compile("adamm", "mse"), ValueError, r"adamm.*[Dd]id you mean 'adam"),
    "fit: shape of y": (lambda m: m.fit(X, np.zeros((6, 5, 7)), verbose=0), ValueError, r"(?s)\by\b|shape"),
    "fit: epochs text": (lambda m: m.fit(X, Y, epochs="3", verbose=0), (ValueError, TypeError), r"epochs.*'3'"),
    "fit: validation features": (lambda m: m.fit(X, Y, validation_data=(X[..., :1], Y), verbose=0), ValueError,
                                 r"(?s)expected.*\b2\b.*(found|received).*\b1\b"),
}  # fmt: skip


def check_unharmed(K, model, action, error, pattern):
    before = [w.copy() for w in model.get_weights()]
    expected = model.predict(X, verbose=0)
    steps = int(model.optimizer.iterations)
    layers = list(model.layers)
    with pytest.raises(error, match=pattern) as caught:
        action(model)
    assert str(caught.value).strip()
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == steps and list(model.layers) == layers
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)
    model.fit(X, Y, epochs=1, verbose=0)  # and it can be trained on
    assert int(model.optimizer.iterations) == steps + 1


@pytest.mark.parametrize("case", CASES)
def test_bad_input(K, case):
    check_unharmed(K, make(K), *CASES[case])


@ours
@pytest.mark.parametrize("case", STRICTER)
def test_bad_input_that_keras_does_not_explain(K, case):
    check_unharmed(K, make(K), *STRICTER[case])


@ours
@pytest.mark.parametrize("what, name, meant", [
    ("loss", "binarycrossentropy", "binary_crossentropy"),
    ("loss", "mean_squarederror", "mean_squared_error"),
    ("metrics", "acuracy", "accuracy"),
    ("metrics", "binary_acc", "binary_accuracy"),
])  # fmt: skip
def test_unknown_loss_or_metric(K, what, name, meant):
    """It is named, with the nearest that exists; a loss in the first fit, for compile takes any string, as in Keras."""
    model = make(K)
    before = model.get_weights()
    pattern = f"{name}.*[Dd]id you mean.*'{meant}'"
    if what == "loss":
        model.compile(optimizer="adam", loss=name)
        with pytest.raises(ValueError, match=pattern):
            model.fit(X, Y, verbose=0)
    else:
        with pytest.raises(ValueError, match=pattern):
            model.compile(optimizer="adam", loss="mse", metrics=[name])
            model.fit(X, Y, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["acc"])
    model.fit(X, Y, epochs=1, verbose=0)


@pytest.mark.parametrize("make_layer, pattern", [
    (lambda L: L.Dense(3, activation="tanhh"), "tanhh"),
    (lambda L: L.LSTM(3, recurrent_activation="sigmoidd"), "sigmoidd"),
    (lambda L: L.GRU(3, kernel_initializer="glorot"), "glorot"),
    (lambda L: L.LSTM(0), r"units.*0"),
    (lambda L: L.LSTM(-4), r"units.*-4"),
    (lambda L: L.GRU(-4), r"units.*-4"),
    (lambda L: L.SimpleRNN(-4), r"units.*-4"),
    (lambda L: L.Dense(-4), r"units.*-4"),
    (lambda L: L.Dropout(1.5), r"1\.5"),
    (lambda L: L.Dropout(-0.1), r"-0\.1"),
    (lambda L: L.SimpleRNN(3, implementation=2), r"(?i)unrecognized keyword.*implementation"),
    (lambda L: L.LSTM(3, colour="red"), r"(?i)unrecognized keyword.*colour"),
    (lambda L: L.Bidirectional(L.LSTM(3), merge_mode="average"), "(?i)merge"),
    (lambda L: L.Conv2D(3, (2, 2), padding="reflect"), "padding"),
])  # fmt: skip
def test_layer_arguments(K, make_layer, pattern):
    with pytest.raises(ValueError, match=pattern):
        make_layer(K.layers)


@ours
@pytest.mark.parametrize("make_layer, pattern", [
    (lambda L: L.Dense(3, activation="tanhh"), "tanhh.*[Dd]id you mean 'tanh'"),
    (lambda L: L.LSTM(3, recurrent_activation="sigmoidd"), "sigmoidd.*[Dd]id you mean 'sigmoid'"),
    (lambda L: L.GRU(3, kernel_initializer="glorot_unifrm"), "glorot_unifrm.*[Dd]id you mean.*glorot_uniform"),
    (lambda L: L.LSTM("three"), r"units.*three"),
    (lambda L: L.LSTM(2.5), r"units.*2\.5"),
    (lambda L: L.LSTM(None), r"units.*None"),
    (lambda L: L.Embedding(0, 4), r"input_dim.*0"),
    (lambda L: L.Embedding(4, -1), r"output_dim.*-1"),
])  # fmt: skip
def test_layer_arguments_that_keras_does_not_explain(K, make_layer, pattern):
    with pytest.raises((ValueError, TypeError), match=pattern):
        make_layer(K.layers)


@ours
def test_zero_features(K):
    for make_one in (lambda: K.Sequential([K.Input((5, 0)), K.layers.LSTM(3)]),
                     lambda: K.layers.LSTM(3)(np.zeros((2, 5, 0), np.float32)),
                     lambda: K.layers.Dense(3)(np.zeros((2, 0), np.float32))):  # fmt: skip
        with pytest.raises(ValueError, match=r"\b0\b"):
            make_one()


def test_undefined_features(K):
    with pytest.raises(ValueError, match=r"None|feature|last dimension"):
        K.Sequential([K.Input((5, None)), K.layers.Dense(3)])


@ours
def test_length_zero_sequence(K):
    model = make(K)
    with pytest.raises(ValueError, match=r"\b0\b"):
        K.layers.LSTM(3)(np.zeros((2, 0, 4), np.float32))
    with pytest.raises(ValueError, match=r"\b0\b"):
        model.predict(np.zeros((2, 0, 2), np.float32), verbose=0)


@pytest.mark.parametrize("layer", ["SimpleRNN", "LSTM", "GRU"])
def test_layer_called_with_the_wrong_rank(K, layer):
    layer = getattr(K.layers, layer)(3)
    with pytest.raises(ValueError, match=r"Input 0 .*of layer .*is incompatible with the layer: expected ndim=3, "
                                         r"found ndim=2. Full shape received: \((2|None), 4\)"):  # fmt: skip
        layer(np.zeros((2, 4), np.float32))
    assert layer.get_weights() == [] and tuple(layer(np.zeros((2, 4, 1), np.float32)).shape) == (2, 3)
    if API_NAME == "fastrnn":  # Keras leaves it to the backend
        with pytest.raises(ValueError, match=r"(?s)expected.*\b1\b.*(received|found).*\b4\b"):
            layer(np.zeros((2, 4, 4), np.float32))


def test_dense_wants_two_dimensions(K):
    with pytest.raises(ValueError, match="expected min_ndim=2, found ndim=1"):
        K.layers.Dense(3)(np.zeros(4, np.float32))


def test_shapes_that_do_not_fit_are_refused_when_added(K):
    model = K.Sequential([K.Input((5, 2)), K.layers.LSTM(4)])
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        model.add(K.layers.LSTM(3))


@ours
def test_refused_layer_is_not_kept(K):
    model = K.Sequential([K.Input((5, 2)), K.layers.LSTM(4)])
    with pytest.raises(ValueError, match="expected ndim=3"):
        model.add(K.layers.LSTM(3))
    assert len(model.layers) == 1
    model.add(K.layers.Dense(2))
    assert model.predict(X, verbose=0).shape == (6, 2)


def test_before_compile(K):
    model = K.Sequential([K.Input((5, 2)), K.layers.LSTM(4), K.layers.Dense(3)])
    actions = [lambda: model.fit(X, Y, verbose=0)]
    if API_NAME == "fastrnn":  # Keras asks only in fit, and fails for want of an optimizer elsewhere
        actions += [lambda: model.evaluate(X, Y, verbose=0), lambda: model.train_on_batch(X, Y),
                    lambda: model.test_on_batch(X, Y)]  # fmt: skip
    for action in actions:
        with pytest.raises(ValueError, match=r"compile\(\)"):
            action()
    assert model.predict(X, verbose=0).shape == (6, 3)  # predict needs no compile


def test_unbuilt_model(K):
    model = K.Sequential([K.layers.LSTM(4)])
    assert model.get_weights() == []
    with pytest.raises(ValueError, match="(?i)built|build"):
        model.count_params()
    model.build((None, 5, 2))
    assert model.count_params() == 4 * 4 * (2 + 4 + 1)


def test_duplicate_names(K):
    with pytest.raises(ValueError, match="(?i)unique|same"):
        K.Sequential([K.Input((4,)), K.layers.Dense(3, name="a"), K.layers.Dense(3, name="a")])


@ours
@pytest.mark.parametrize("ids, value", [([[0, 1, 5]], 5), ([[0, -1, 2]], -1)])
def test_embedding_index(K, ids, value):
    layer = K.layers.Embedding(5, 3)
    model = K.Sequential([K.Input((3,)), layer, K.layers.LSTM(2)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    ids = np.array(ids)
    for action in (lambda: layer(ids), lambda: model.predict(ids, verbose=0),
                   lambda: model.fit(ids, np.zeros((1, 2)), verbose=0)):  # fmt: skip
        with pytest.raises((ValueError, IndexError), match=rf"(?s){value}\b.*5|5.*{value}\b"):
            action()
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@ours
def test_embedding_of_text(K):
    with pytest.raises((ValueError, TypeError), match="(?i)str|<U1|int"):
        K.layers.Embedding(5, 3)(np.array([["a", "b"]]))


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@ours
def test_arrays_that_work(K):
    """Lists, read-only, non-contiguous, reversed, float16, float64, object arrays of numbers, integers, booleans."""
    model = make(K)
    expected, loss = model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)
    same = [X.tolist(), read_only(X), np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X[::-1].copy()[::-1],
            X.astype(np.float64), X.astype(object), X.astype(">f4")]  # fmt: skip
    for x in same:
        np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    for y in (Y.tolist(), read_only(Y), Y[:, None], Y.astype(np.float32), Y.astype(np.int8), Y.astype(object),
              np.repeat(Y, 3)[::3]):  # fmt: skip
        assert model.evaluate(X, y, verbose=0) == loss
        model.fit(X, y, epochs=1, verbose=0)
        model = make_again(K, model)
    half = X.astype(np.float16)
    np.testing.assert_array_equal(model.predict(half, verbose=0), model.predict(half.astype(np.float32), verbose=0))
    for x in (np.ones((2, 5, 2), bool), np.ones((2, 5, 2), np.int8), np.ones((2, 5, 2), np.uint64)):
        np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(np.ones((2, 5, 2)), verbose=0))


def make_again(K, model):
    """A fresh one: same seed, same weights as `make` gives first."""
    K.utils.set_random_seed(1234)
    return make(K)


@ours
def test_complex_numbers(K):
    with pytest.raises((ValueError, TypeError), match="complex"):
        make(K).predict(X + 1j, verbose=0)


def test_nan_in_data_is_data(K):
    """NaN is carried to the loss, not an error (TerminateOnNaN is there to stop)."""
    model = make(K)
    x = replaced(X, (2, 3, 1), np.nan)
    prediction = model.predict(x, verbose=0)
    assert np.isnan(prediction[2]).all() and np.isfinite(np.delete(prediction, 2, axis=0)).all()
    history = model.fit(x, Y, epochs=2, verbose=0, callbacks=[K.callbacks.TerminateOnNaN()])
    assert len(history.history["loss"]) == 1 and np.isnan(history.history["loss"][0])


@ours
def test_initial_state_shapes(K):
    layer = K.layers.LSTM(3)
    x = np.zeros((2, 4, 1), np.float32)
    good = np.zeros((2, 3), np.float32)
    wide, short = np.zeros((2, 4), np.float32), np.zeros((1, 3), np.float32)
    for state in ([good], [good, good, good], [good, wide], [good, short]):
        with pytest.raises(ValueError, match="(?i)state"):
            layer(x, initial_state=state)
    assert to_numpy(layer(x, initial_state=[good, good])).shape == (2, 3)


@ours
@pytest.mark.parametrize("shape", [(2,), (3, 4), (2, 5), (2, 4, 1, 1)])
def test_mask_shape(K, shape):
    with pytest.raises(ValueError, match=rf"(?s)mask.*{re.escape(str(shape))}|{re.escape(str(shape))}.*mask"):
        K.layers.GRU(3)(np.zeros((2, 4, 1), np.float32), mask=np.ones(shape, bool))


def test_stateful_batch_size(K):
    model = K.Sequential([K.Input(batch_shape=(3, 4, 2)), K.layers.SimpleRNN(2, stateful=True)])
    assert model.predict(np.zeros((3, 4, 2)), batch_size=3, verbose=0).shape == (3, 2)
    with pytest.raises(ValueError, match=r"(?s)\b3\b.*\b5\b"):
        model.predict(np.zeros((5, 4, 2)), batch_size=5, verbose=0)
    with pytest.raises(ValueError, match="(?i)static|batch"):
        K.Sequential([K.Input((4, 2)), K.layers.SimpleRNN(2, stateful=True)])


@pytest.mark.parametrize("make_optimizer, error, pattern", [
    (lambda O: O.SGD(learning_rate=1), ValueError, "learning_rate"),
    (lambda O: O.SGD(momentum=1), ValueError, "momentum"),
    (lambda O: O.Adam(clipnorm=1.0, clipvalue=1.0), ValueError, "clipnorm|clipvalue|clip"),
])  # fmt: skip
def test_optimizer_arguments(K, make_optimizer, error, pattern):
    with pytest.raises(error, match=pattern):
        make_optimizer(K.optimizers)


@pytest.fixture
def interruptible():
    """Python's own answer to SIGINT, which a shell that starts the tests in the background has them ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@ours
def test_interrupt_leaves_a_usable_model(K, interruptible):
    """Ctrl-C in fit is raised as KeyboardInterrupt after the batch, and the model goes on."""
    class Interrupt(K.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    model = make(K)
    steps = int(model.optimizer.iterations)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=1, epochs=3, verbose=0, callbacks=[Interrupt()])
    assert 3 <= int(model.optimizer.iterations) - steps <= 4
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(model.fit(X, Y, epochs=1, verbose=0).history["loss"]).all()


@ours
def test_interrupt_in_the_middle_of_many_small_steps(K, interruptible):
    """Nobody listens to batches: steps run by the hundred between two looks at signals."""
    class Alarm(K.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
                self.timer.start()

    model, alarm = make(K), Alarm()
    with pytest.raises(KeyboardInterrupt):
        model.fit(np.repeat(X, 100, axis=0), np.repeat(Y, 100, axis=0), batch_size=1, epochs=100_000, verbose=0, callbacks=[alarm])
    alarm.timer.join()
    assert int(model.optimizer.iterations) > 0
    assert np.isfinite(model.fit(X, Y, epochs=1, verbose=0).history["loss"]).all()
