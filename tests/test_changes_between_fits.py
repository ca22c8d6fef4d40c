"""What users change about a model that has run before: what is trained, arguments of layers, `compile`, and who else uses its weights."""

import numpy as np
import pytest

X = np.random.default_rng(1).normal(size=(8, 5, 3)).astype("float32")
Y = np.random.default_rng(2).normal(size=(8, 1)).astype("float32")


def small(K, *layers, compiled=True, **options):
    model = K.Sequential([K.Input((5, 3)), *(layers or [K.layers.LSTM(4)]), K.layers.Dense(1)])
    model.set_weights([np.sin(1.0 + np.arange(np.size(w)).reshape(np.shape(w))) / 2 for w in model.get_weights()])
    if compiled:
        model.compile(**{"optimizer": K.optimizers.SGD(0.1), "loss": "mse", **options})
    return model


def fit(model, **options):
    return model.fit(X, Y, **{"batch_size": 4, "shuffle": False, "verbose": 0, **options})


def moved(model, run=fit):
    """Whether each weight changes in a fit."""
    before = [np.array(w) for w in model.get_weights()]
    run(model)
    return [bool(np.any(np.asarray(w) != b)) for w, b in zip(model.get_weights(), before)]


# -- what is trained ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["layer", "model", "later"])
def test_a_frozen_layer_stays_frozen_in_time_distributed(K, kind, tmp_path):
    inner = K.layers.Dense(3, trainable=kind != "layer") if kind != "model" else K.Sequential([K.Input((3,)), K.layers.Dense(3)])
    if kind == "model":
        inner.trainable = False
    model = small(K, K.layers.TimeDistributed(inner), K.layers.LSTM(4))
    if kind == "later":
        model.layers[0].layer.trainable = False
    expected = [False] * 2 + [True] * 5
    assert moved(model) == expected
    assert len(inner.trainable_weights) == 0 and len(model.trainable_weights) == 5
    pytest.importorskip("h5py")
    model.save(tmp_path / "model.keras")
    assert moved(K.models.load_model(tmp_path / "model.keras")) == expected


def freeze_and_train_again(model):
    for trained in (True, False, True, True):
        model.layers[0].trainable = trained
        assert moved(model)[0] == trained


@pytest.mark.parametrize("regularizer", [None, "l2"])
@pytest.mark.parametrize("optimizer", ["sgd", "adafactor"])
def test_frozen_and_trained_again(K, regularizer, optimizer):
    freeze_and_train_again(small(K, K.layers.LSTM(4, kernel_regularizer=regularizer), optimizer=optimizer))


@pytest.mark.fastrnn_only  # Keras's layers have no `backward`
def test_a_layer_in_python_frozen_and_trained_again(K):
    class Scale(K.layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight((shape[-1],), "ones", "factor")

        def forward(self, x):
            return x * self.factor.value

        def backward(self, x, y, dy):
            self.factor.add_gradient((dy * x).sum(axis=(0, 1)))
            return dy * self.factor.value

    freeze_and_train_again(small(K, Scale(), K.layers.LSTM(4)))


def test_a_model_that_is_not_trainable_trains_nothing(K):
    model = small(K)
    model.trainable = False
    model.layers[1].trainable = True
    assert moved(model) == [False] * 5 and model.trainable_weights == []
    model.trainable = True
    model.compile(optimizer="sgd", loss="mse")
    assert moved(model) == [True] * 5


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN", "Dense", "Conv1D"])
def test_single_weights_frozen(K, layer):
    """Whatever is frozen, the others get the gradients that they have when nothing is."""
    make = {"Dense": lambda: K.layers.Dense(4), "Conv1D": lambda: K.layers.Conv1D(4, 2)}.get(layer, lambda: getattr(K.layers, layer)(4, return_sequences=True))

    def change(frozen):
        model = small(K, make(), K.layers.GlobalAveragePooling1D())
        before = model.get_weights()
        for i in frozen:
            model.weights[i].trainable = False
        model.compile(optimizer=K.optimizers.SGD(0.1), loss="mse")
        model.train_on_batch(X, Y)
        return [after - b for after, b in zip(model.get_weights(), before)]

    free = change([])
    n = len(free) - 2  # of the layer
    for i in range(n):
        for frozen in ([i], [j for j in range(n) if j != i]):
            for j, (d, expected) in enumerate(zip(change(frozen), free)):
                np.testing.assert_allclose(d, 0 * expected if j in frozen else expected, rtol=1e-4, atol=1e-7)


def test_frozen_batch_normalization_in_time_distributed(K):
    inner = K.Sequential([K.Input((3,)), K.layers.Dense(4), K.layers.BatchNormalization()])
    inner.trainable = False
    model = small(K, K.layers.TimeDistributed(inner), K.layers.LSTM(4))
    assert sum(moved(model)) == 5  # those of LSTM and Dense


def test_weights_are_excluded_from_decay_by_their_own_names(K):
    def change(names):
        optimizer = K.optimizers.SGD(1e-9, weight_decay=1e6)
        optimizer.exclude_from_weight_decay(var_names=names)
        return moved(small(K, optimizer=optimizer))

    assert change(["lstm", "dense", "cell"]) == [True] * 5
    assert change(["^kernel"]) == [False, True, True, False, True]
    assert change(["bias", "recurrent"]) == [True, False, False, True, False]


# -- arguments, compile -----------------------------------------------------------------------------------------------------------------


def test_arguments_of_layers_count_from_when_they_are_set(K):
    model = small(K, K.layers.LSTM(4), K.layers.Dense(2, activation="tanh"))
    before = model.predict(X, verbose=0)
    model.layers[1].activation = K.activations.linear
    again = small(K, K.layers.LSTM(4), K.layers.Dense(2))
    model.compile(optimizer="sgd", loss="mse")  # Keras on other backends than PyTorch would not see it before
    np.testing.assert_allclose(model.predict(X, verbose=0), again.predict(X, verbose=0), rtol=1e-6)
    assert np.abs(model.predict(X, verbose=0) - before).max() > 1e-3


@pytest.mark.fastrnn_only
def test_arguments_need_no_compile(K):
    model = small(K, K.layers.LSTM(4), K.layers.Dropout(0.9999999))
    loss = fit(model, epochs=1).history["loss"]
    model.layers[1].rate = 0.0
    plain = small(K)
    plain.set_weights(model.get_weights())
    assert fit(model).history == fit(plain).history != {"loss": loss}


@pytest.mark.fastrnn_only
def test_streams_go_by_the_arguments_of_now(K):
    model = small(K, K.layers.LSTM(4, return_sequences=True), K.layers.Dense(2, activation="tanh"))
    state = model.initial_state(8)
    for t in range(5):
        if t == 2:
            model.layers[1].activation = K.activations.linear
        y, state = model.step(X[:, t], state)
    np.testing.assert_allclose(y, model.predict(X, verbose=0)[:, -1], rtol=1e-5, atol=1e-6)


def test_clipping_counts_from_when_it_is_set(K):
    model = small(K)
    model.train_on_batch(X, Y)
    before = model.get_weights()
    model.optimizer.clipvalue = 1e-6
    model.train_on_batch(X, Y)
    change = max(np.abs(after - b).max() for after, b in zip(model.get_weights(), before))
    assert 0 < change < 2e-7


def test_without_a_loss_there_is_nothing_to_train(K):
    for run in (fit, lambda model: model.evaluate(X, Y, verbose=0), lambda model: model.train_on_batch(X, Y)):
        with pytest.raises(ValueError, match="No loss to compute"):
            run(small(K, loss=None))
    penalty = small(K, K.layers.LSTM(4, kernel_regularizer="l2"), loss=None)
    assert moved(penalty)[0]


@pytest.mark.fastrnn_only  # Keras raises TypeError
@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_train_batch_begin", "on_train_batch_end"])
def test_compile_in_a_callback(K, moment):
    """Goes on as if the rest had been fitted by itself."""

    def compile(i, logs=None):
        if (i == 1) if moment == "on_epoch_begin" else (i == 0 and not done):
            done.append(i)
            model.compile(optimizer=K.optimizers.Adam(0.01), loss="mae")

    done = []
    model, split = small(K), small(K)
    fit(model, epochs=2 if moment == "on_epoch_begin" else 1, callbacks=[K.callbacks.LambdaCallback(**{moment: compile})])
    rest = 0
    if moment == "on_epoch_begin":
        fit(split)
    elif moment == "on_train_batch_end":
        split.train_on_batch(X[:4], Y[:4])
        rest = 4
    split.compile(optimizer=K.optimizers.Adam(0.01), loss="mae")
    split.fit(X[rest:], Y[rest:], batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), split.get_weights()):
        np.testing.assert_array_equal(a, b)


# -- weights of several models, and of several places ----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adafactor"])
@pytest.mark.parametrize("moment", ["on_train_batch_begin", "on_train_batch_end", "on_test_batch_begin", "on_test_batch_end"])
def test_another_model_may_run_on_the_same_weights_in_the_middle(K, moment, optimizer):
    results = []
    for disturbed in (False, True):
        encoder = K.Sequential([K.Input((5, 3)), K.layers.LSTM(4)])
        model = small(K, encoder, optimizer=optimizer)
        look = K.callbacks.LambdaCallback()
        setattr(look, moment, lambda batch, logs=None: encoder.predict(X, verbose=0))
        history = fit(model, epochs=3, validation_data=(X, Y), callbacks=[look] if disturbed else [])
        results.append([*model.get_weights(), history.history["loss"], history.history["val_loss"]])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def layer_twice(K):
    dense, dropout = K.layers.Dense(4, activation="tanh"), K.layers.Dropout(0.0)
    return small(K, K.layers.LSTM(4), dropout, dense, dense, dropout)


def test_a_layer_twice_in_one_stack(K):
    model = layer_twice(K)
    again, other = K.layers.Dense(4, activation="tanh"), K.layers.Dense(4, activation="tanh")
    apart = K.Sequential([K.Input((5, 3)), K.layers.LSTM(4), again, other, K.layers.Dense(1)])
    w = model.get_weights()
    apart.set_weights([*w[:5], *w[3:5], *w[5:]])
    assert len(model.weights) == 7 and model.count_params() == apart.count_params() - 20
    np.testing.assert_allclose(model.predict(X, verbose=0), apart.predict(X, verbose=0), rtol=1e-5)
    assert moved(model) == [True] * 7
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert str(model.count_params()) in "".join(lines)
    with pytest.raises(ValueError, match="unique names"):
        K.Sequential([K.layers.Dense(2, name="a"), K.layers.Dense(2, name="a")])


@pytest.mark.fastrnn_only  # Keras cannot read its own file
@pytest.mark.parametrize("ending", [".keras", ".h5", ".npz"])
def test_files_of_a_layer_twice_in_one_stack(K, tmp_path, ending):
    if ending != ".npz":
        pytest.importorskip("h5py")
    model = layer_twice(K)
    model.save(tmp_path / f"model{ending}")
    read = K.models.load_model(tmp_path / f"model{ending}")
    assert len(read.weights) == 7
    np.testing.assert_array_equal(read.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.fastrnn_only
@pytest.mark.parametrize("same", [True, False])
def test_streams_keep_a_state_for_each_place(K, same):
    """Of a layer in two places, or of two with the same name in two models."""
    first = K.layers.LSTM(3, return_sequences=True, name="rnn")
    second = first if same else K.layers.LSTM(3, return_sequences=True, name="rnn")
    model = K.Sequential([K.Input((None, 3)), first, K.Sequential([K.Input((None, 3)), second])])
    expected, state = model.predict(X, verbose=0), model.initial_state(8)
    for t in range(5):
        if t == 3:
            state = state.copy()
        y, state = model.step(X[:, t], state)
        np.testing.assert_allclose(y, expected[:, t], rtol=1e-5, atol=1e-6)
    assert len(state.get()) == 2
