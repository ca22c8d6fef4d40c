"""What can be asked of layers, models and optimizers between two steps, against real Keras."""

import numpy as np
import pytest

import fastrnn
from fastrnn import Input, Sequential
from fastrnn.layers import LSTM, Dense

X = np.linspace(-1, 1, 5 * 4 * 3).reshape(5, 4, 3).astype("float32")
Y = np.linspace(0, 1, 5).reshape(5, 1).astype("float32")


def trained(library, optimizer):
    L, l2 = library.layers, library.regularizers.L2(0.1)
    model = library.Sequential([library.Input((4, 3)), L.LSTM(2, kernel_regularizer=l2), L.Dense(1, name="top", bias_regularizer=l2)])
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model.compile(optimizer(library), "mse", metrics=["mae"])
    model.fit(X, Y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    return model


OPTIMIZERS = {
    "adam": lambda K: K.optimizers.Adam(0.01),
    "sgd": lambda K: K.optimizers.SGD(0.01, momentum=0.5),
    "plain sgd": lambda K: K.optimizers.SGD(0.01),
    "average": lambda K: K.optimizers.RMSprop(0.01, use_ema=True),
    "schedule": lambda K: K.optimizers.Adagrad(K.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "nadam": lambda K: K.optimizers.Nadam(0.01),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_variables(name):
    keras = pytest.importorskip("keras")
    ours, theirs = (trained(library, OPTIMIZERS[name]).optimizer.variables for library in (fastrnn, keras))
    assert [v.shape for v in ours] == [tuple(v.shape) for v in theirs]
    assert ours[0].name == theirs[0].name == "iteration" and ours[0].path.endswith("/iteration")
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-4, atol=1e-6, err_msg=a.name)


@pytest.mark.parity
def test_optimizer_variables_before_the_first_step():
    keras = pytest.importorskip("keras")
    ours, theirs = fastrnn.optimizers.SGD(0.5), keras.optimizers.SGD(0.5)
    assert [(v.name, float(v.numpy())) for v in ours.variables] == [(v.name, float(v.numpy())) for v in theirs.variables]
    with pytest.raises(ValueError, match="read-only"):
        ours.variables[1].assign(0.25)  # it would change a copy


@pytest.mark.parity
def test_metrics_and_losses_of_a_model():
    keras = pytest.importorskip("keras")
    ours, theirs = (trained(library, OPTIMIZERS["adam"]) for library in (fastrnn, keras))
    for model in (ours, theirs):
        model.evaluate(X[:3], Y[:3], batch_size=2, verbose=0)
    expected = {name: float(value) for name, value in theirs.get_metrics_result().items()}
    assert ours.get_metrics_result() == pytest.approx(expected, rel=1e-4)
    assert ours.losses == pytest.approx([value.item() for value in theirs.losses], rel=1e-4)
    assert ours.layers[0].losses == ours.losses[:1]
    for model in (ours, theirs):
        model.reset_metrics()
    assert ours.get_metrics_result() == {name: float(value) for name, value in theirs.get_metrics_result().items()} == {"loss": 0, "mae": 0}


def test_metrics_can_be_reset_in_an_epoch():
    model = Sequential([Input((4, 3)), LSTM(2), Dense(1)])
    model.compile("sgd", "mse")

    class Reset(fastrnn.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.reset_metrics()

    losses = []
    history = model.fit(X, Y, batch_size=2, shuffle=False, verbose=0, callbacks=[
        Reset(), fastrnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])),
    ])  # fmt: skip
    assert len(losses) == 3 and history.history["loss"] == losses[-1:]
    assert Sequential([Dense(1)]).get_metrics_result() == {}


MASKING = [
    lambda L: L.LSTM(2), lambda L: L.GRU(2, return_sequences=True), lambda L: L.LSTM(2, return_sequences=True, return_state=True),
    lambda L: L.RNN([L.LSTMCell(2), L.GRUCell(2)], return_state=True), lambda L: L.Bidirectional(L.LSTM(2, return_sequences=True)),
    lambda L: L.Bidirectional(L.LSTM(2, return_sequences=True), merge_mode=None), lambda L: L.Dense(2), lambda L: L.Masking(X[0, 0, 0]),
    lambda L: L.TimeDistributed(L.Dense(2)), lambda L: L.GlobalAveragePooling1D(), lambda L: L.BatchNormalization(),
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("make", MASKING)
def test_compute_mask(make):
    keras = pytest.importorskip("keras")
    x, mask = X.copy(), np.arange(20).reshape(5, 4) % 3 > 0
    x[1, 2] = X[0, 0, 0]
    ours = make(fastrnn.layers).compute_mask(x, mask)
    theirs = make(keras.layers).compute_mask(keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(mask))
    several = isinstance(ours, list)
    assert several == isinstance(theirs, (list, tuple))
    for a, b in zip(*((ours, theirs) if several else ([ours], [theirs])), strict=True):
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a, keras.ops.convert_to_numpy(b))


@pytest.mark.parametrize("mask_zero", [True, False])
def test_compute_mask_of_ids(mask_zero):
    mask = fastrnn.layers.Embedding(4, 2, mask_zero=mask_zero).compute_mask(np.array([[1, 0, 3]]))
    assert mask.tolist() == [[True, False, True]] if mask_zero else mask is None


def test_names_that_scripts_ask_for():
    assert fastrnn.version() == fastrnn.__version__
    assert fastrnn.backend.backend() == fastrnn.config.backend() == "numpy"
    assert fastrnn.config.image_data_format() == "channels_last"
