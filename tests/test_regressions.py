"""Faults that were found once: memory of smaller batches, arrays that overlap, stateful models, batches of iterables."""

import numpy as np
import pytest

GUARD = 1 << 18


@pytest.fixture
def guards(monkeypatch):
    """Guard bytes behind every piece of the programs' memory; the check returns how many of them were overwritten."""
    real, pieces = np.empty, []

    def empty(n, dtype=float, *args, **kwargs):
        if dtype is not np.uint8 or not isinstance(n, int):
            return real(n, dtype, *args, **kwargs)
        raw = real(n + GUARD, np.uint8)
        raw[n:] = 0xAB
        pieces.append(raw[n:])
        return raw[:n]

    monkeypatch.setattr(np, "empty", empty)

    def overwritten():
        assert pieces
        return sum(int((piece != 0xAB).sum()) for piece in pieces)

    return overwritten


@pytest.mark.parametrize(
    ("cell", "options", "batch", "steps", "rest"),
    [
        ("GRU", {"units": 256}, 32, 130, 1),
        ("GRU", {"units": 64}, 128, 500, 1),
        ("GRU", {"units": 64, "recurrent_dropout": 0.2}, 241, 8, 120),
        ("GRU", {"units": 64, "reset_after": False}, 241, 8, 120),
        ("LSTM", {"units": 200, "recurrent_dropout": 0.2}, 32, 20, 16),
        ("LSTM", {"units": 256}, 32, 130, 1),
        ("GRU", {"units": 200, "reset_after": False}, 10, 40, 9),
        ("GRU", {"units": 256, "reset_after": False}, 128, 20, 127),
        ("LSTM", {"units": 144}, 128, 9, 127),
        ("SimpleRNN", {"units": 256}, 32, 600, 3),
    ],
)
def test_a_smaller_batch_stays_inside_the_buffers(K, guards, rng, cell, options, batch, steps, rest):
    model = K.Sequential([K.Input((steps, 1)), getattr(K.layers, cell)(**options), K.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = rng.normal(size=(batch + rest, steps, 1)).astype("float32")
    expected = model.predict(x[batch:], batch_size=rest, verbose=0)
    y = model.predict(x, batch_size=batch, verbose=0)[batch:]
    if rest < 8:  # programs for less may take other kernels
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(y, expected)
    model.fit(x, x[:, 0], batch_size=batch, verbose=0)
    assert guards() == 0


@pytest.mark.parametrize("shift", [1, 32])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_targets_that_are_the_inputs_shifted(K, rng, shift, batch_size):
    series = rng.normal(size=200).astype("float32")
    x, y = series[:-shift].reshape(-1, 1), series[shift:].reshape(-1, 1)
    results = []
    for a, b in ((x, y), (x.copy(), y.copy())):
        K.utils.set_random_seed(3)
        model = K.Sequential([K.Input((1,)), K.layers.Dense(1)])
        model.compile("sgd", "mse")
        before = model.evaluate(a, b, batch_size=batch_size, verbose=0)
        losses = [model.train_on_batch(a[i : i + 1], b[i : i + 1]) for i in range(5)]
        model.fit(a, b, batch_size=batch_size, shuffle=False, verbose=0, validation_data=(a, b))
        results.append([before, *losses, model.evaluate(a, b, batch_size=batch_size, verbose=0)])
    assert results[0] == results[1]


def test_stateful_model_over_several_batches(K, rng):
    x = rng.normal(size=(20, 6, 3)).astype("float32")
    model = K.Sequential([K.Input(batch_shape=(4, 6, 3)), K.layers.LSTM(4, stateful=True), K.layers.Dense(1)])
    model.compile("sgd", "mse")
    whole = model.predict(x, batch_size=4, verbose=0)
    model.reset_states()
    parts = [model.predict_on_batch(x[i : i + 4]) for i in range(0, 20, 4)]
    assert np.array_equal(whole, np.concatenate(parts))
    model.fit(x, x[:, 0, :1], batch_size=4, verbose=0, shuffle=False)
    model.evaluate(x, x[:, 0, :1], batch_size=4, verbose=0)
    with pytest.raises(ValueError, match="Expected batch size: 4 - Received batch size: 5"):
        model.predict(x, batch_size=5, verbose=0)
    with pytest.raises(ValueError, match="Expected batch size: 4 - Received batch size: 2"):
        model.predict(x[:18], batch_size=4, verbose=0)


def test_steps_per_epoch_goes_on_through_the_data(K, rng):
    x, y = rng.normal(size=(12, 1)).astype("float32"), rng.normal(size=(12, 1)).astype("float32")
    histories = []
    for kwargs in ({"epochs": 3, "steps_per_epoch": 2}, {"epochs": 1}):
        K.utils.set_random_seed(1)
        model = K.Sequential([K.Input((1,)), K.layers.Dense(1)])
        model.compile("sgd", "mse")
        histories.append(model.fit(x, y, batch_size=2, shuffle=False, verbose=0, **kwargs).history["loss"])
    assert np.mean(histories[0]) == pytest.approx(histories[1][0], rel=1e-6)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        model.fit(x, y, steps_per_epoch=-1, verbose=0)
    with pytest.raises(ValueError, match="validation_freq"):
        model.fit(x, y, validation_data=(x, y), validation_freq=0, verbose=0)
    assert len(model.fit(x, y, validation_data=(x, y), validation_freq=[1, 3], epochs=3, verbose=0).history["val_loss"]) == 2


def test_items_with_a_length_and_no_iterator(K, rng):
    x = rng.normal(size=(6, 4, 3)).astype("float32")

    class Batches:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return x[2 * (i % 3) : 2 * (i % 3) + 2], x[2 * (i % 3) : 2 * (i % 3) + 2, 0, :1]

    model = K.Sequential([K.Input((4, 3)), K.layers.GRU(4), K.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert len(model.fit(Batches(), epochs=2, verbose=0).history["loss"]) == 2
    assert np.array_equal(model.predict([x], verbose=0), model.predict(x, verbose=0))


def test_ids_that_do_not_fit_32_bits(K):
    layer = K.layers.Embedding(5, 2)
    with pytest.raises(ValueError, match="ids"):
        layer(np.array([[2**32 + 1]]))
    with pytest.raises(ValueError, match="ids"):
        layer(np.array([[np.nan]]))


def test_one_optimizer_object_for_two_models(K, rng):
    x = rng.normal(size=(4, 2)).astype("float32")
    optimizer = K.optimizers.Adam()
    models = [K.Sequential([K.Input((2,)), K.layers.Dense(1)]) for _ in range(2)]
    for model in models:
        model.compile(optimizer, "mse")
    models[0].fit(x, x[:, :1], verbose=0)
    with pytest.raises(ValueError, match="optimizer"):
        models[1].fit(x, x[:, :1], verbose=0)


# -- metrics of one-hot targets that have one column -------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("metric", ["categorical_accuracy", "top_k_categorical_accuracy"])
def test_targets_with_fewer_columns_than_a_metric_reads(K, metric):
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(0)
    x, y, weights = rng.normal(size=(9, 4)), rng.integers(0, 7, (9, 1)), [rng.normal(size=(4, 7)), rng.normal(size=7)]
    results = []
    for library in (K, keras):
        model = library.Sequential([library.Input((4,)), library.layers.Dense(7, "softmax")])
        model.set_weights(weights)
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
        results.append(model.evaluate(x, y, verbose=0))
    assert results[0] == pytest.approx(results[1], rel=1e-5)


@pytest.mark.parametrize("metric", ["categorical_crossentropy", "categorical_accuracy", "top_k_categorical_accuracy"])
def test_kernels_that_need_all_columns(metric):
    from fastrnn._native import Program, Version

    program = Program("float32", 3, False, Version())
    program.set_targets(y_true=np.zeros((3, 1), "float32"), y_pred=np.zeros((3, 5), "float32"))
    with pytest.raises(ValueError, match="a column for each of 5 classes, got 1"):
        program.add_metric(metric, {})


@pytest.mark.parametrize("label", [-1, -3, 5, 1e30, np.nan])
def test_labels_that_name_no_class(K, label):
    """A loss refuses them; a metric of targets that another loss takes shows them."""
    model = K.Sequential([K.Input((2,)), K.layers.Dense(5)])
    model.compile("sgd", "mse", metrics=["sparse_categorical_crossentropy", "sparse_top_k_categorical_accuracy"])
    _, entropy, hits = model.evaluate(np.ones((3, 2)), np.full((3, 1), label), verbose=0)
    assert np.isnan(entropy) and hits == 0


# -- arrays that do not start at an element, sizes of zero -----------------------------------------------------------------------------


def unaligned(array):
    """The same numbers one byte further."""
    moved = np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)
    assert not moved.flags.aligned
    return moved


def test_arrays_that_are_not_aligned(K):
    x, y = np.linspace(-1, 1, 24, dtype="float32").reshape(2, 4, 3), np.ones((2, 2), "float32")
    model = K.Sequential([K.Input((4, 3)), K.layers.LSTM(2)])
    model.compile("sgd", "mse")
    np.testing.assert_array_equal(model.predict(unaligned(x), verbose=0), model.predict(x, verbose=0))
    expected = model.evaluate(x, y, sample_weight=y[:, 0], verbose=0)
    assert model.evaluate(unaligned(x), unaligned(y), sample_weight=unaligned(y[:, 0]), verbose=0) == expected
    layer = model.layers[0]
    np.testing.assert_array_equal(layer(unaligned(x), initial_state=[unaligned(y)] * 2), layer(x, initial_state=[y] * 2))
    ids = np.array([[1, 2], [0, 1]], "int32")
    embedding = K.layers.Embedding(3, 2)
    np.testing.assert_array_equal(embedding(unaligned(ids)), embedding(ids))


def test_sizes_of_zero(K):
    with pytest.raises(ValueError, match="without time steps"):
        K.layers.TimeDistributed(K.layers.Dense(2))(np.ones((2, 0, 3)))
    with pytest.raises(ValueError, match="without channels"):
        K.layers.Conv1D(2, 2)(np.ones((2, 4, 0)))


# -- layers in places that they were not made for ------------------------------------------------------------------------------------------


def test_ids_after_floats(K):
    L = K.layers
    for below in ([L.Dense(3)], [L.TimeDistributed(L.Dense(3))], [K.Sequential([L.Dense(3)])]):
        shape = (4,) if not isinstance(below[0], L.TimeDistributed) else (2, 4)
        model = K.Sequential([K.Input(shape), *below, L.Embedding(5, 2, name="words")])
        with pytest.raises(ValueError, match=r"Layer 'words' .* takes ids, whole numbers, and the layer below it makes floats"):
            model.predict(np.ones((2, *shape)), verbose=0)


@pytest.mark.parametrize("merge_mode", ["concat", None])
@pytest.mark.parametrize(("one", "two"), [("LSTM", "GRU"), ("GRU", "LSTM"), ("SimpleRNN", "LSTM")])
def test_bidirectional_with_different_numbers_of_states(K, one, two, merge_mode, rng):
    L, x = K.layers, rng.normal(size=(2, 5, 3)).astype("float32")
    ahead, back = getattr(L, one)(4, return_state=True), getattr(L, two)(4, return_state=True, go_backwards=True)
    layer = L.Bidirectional(ahead, merge_mode=merge_mode, backward_layer=back)
    out = layer(x)
    parts = [part(x) for part in (layer.forward_layer, layer.backward_layer)]
    expected = [parts[0][0], parts[1][0], *parts[0][1:], *parts[1][1:]]
    if merge_mode == "concat":
        expected[:2] = [np.concatenate(expected[:2], axis=-1)]
    for a, e in zip(out, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-6)
    states = [rng.normal(size=state.shape).astype("float32") for state in expected[2 if merge_mode is None else 1 :]]
    given = layer(x, initial_state=states)
    n = len(parts[0]) - 1
    np.testing.assert_allclose(given[-1], layer.backward_layer(x, initial_state=states[n:])[-1], rtol=1e-6)


# -- what callbacks change between epochs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["layer", "weight", "model"])
def test_frozen_and_thawed_between_epochs(K, what, rng):
    L = K.layers
    model = K.Sequential([K.Input((3, 2)), L.LSTM(5), L.Dense(3), L.Dense(1)])
    model.compile("adam", "mse")
    frozen = {"layer": model.layers[1], "weight": model.layers[1].variables[0], "model": model}[what]
    moved = []

    class Switch(K.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            frozen.trainable = epoch not in (1, 2)
            self.before = model.get_weights()

        def on_epoch_end(self, epoch, logs=None):
            moved.append([not np.array_equal(a, b) for a, b in zip(self.before, model.get_weights(), strict=True)])

    if what == "model":  # all of the inner model is frozen, the added Dense still trains
        model.add(L.Dense(1))
        frozen = K.Sequential(model.layers[:3])
    x, y = rng.normal(size=(4, 3, 2)).astype("float32"), rng.normal(size=(4, 1)).astype("float32")
    model.fit(x, y, batch_size=1, epochs=4, verbose=0, callbacks=[Switch()])
    still = {"layer": [3, 4], "weight": [3], "model": [0, 1, 2, 3, 4, 5, 6]}[what]
    for epoch, weights in enumerate(moved):
        assert weights == [not (epoch in (1, 2) and k in still) for k in range(len(weights))], epoch


def test_a_layer_added_between_epochs(K, rng):
    model = K.Sequential([K.Input((2,)), K.layers.Dense(1)])
    model.compile("sgd", "mse")

    class Add(K.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                model.add(K.layers.Dense(1, kernel_initializer="ones", name="late"))

    x, y = rng.normal(size=(4, 2)).astype("float32"), rng.normal(size=(4, 1)).astype("float32")
    model.fit(x, y, batch_size=1, epochs=4, verbose=0, callbacks=[Add()])
    assert not np.array_equal(model.get_layer("late").get_weights()[0], [[1.0]])


def test_a_program_that_cannot_be_made(K, rng, monkeypatch):
    """The one before it, which was to make room, is made again: metrics are those of the batch."""
    from fastrnn import steps

    model = K.Sequential([K.Input((2,)), K.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(64, 2)).astype("float32"), rng.normal(size=(64, 1)).astype("float32")
    model.train_on_batch(x[:32], y[:32])
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(steps, "Plan", lambda *args, **kwargs: (_ for _ in ()).throw(MemoryError))
        model.train_on_batch(x, y)
    loss = model.train_on_batch(x[:32], y[:32])
    assert model.get_metrics_result() == {"loss": loss}


def test_wrong_verbose_is_found_before_callbacks_hear_of_a_training(K):
    heard = []
    model = K.Sequential([K.Input((2,)), K.layers.Dense(1)])
    model.compile("sgd", "mse")
    listener = K.callbacks.LambdaCallback(on_train_begin=lambda logs: heard.append(logs))
    with pytest.raises(ValueError, match="`verbose` must be"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=7, callbacks=[listener])
    assert not heard
