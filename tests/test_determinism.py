"""The same bits for any number of threads, for two models at once, after a fork, and for the same seed."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from fastrnn import _native as native

pytestmark = pytest.mark.fastrnn_only
CELLS = ["SimpleRNN", "LSTM", "GRU"]
THREADS = [1, 2, 3, 7]


@pytest.fixture(autouse=True)
def threads(K):
    """Leave the number of threads as it was."""
    before = K.get_num_threads()
    yield
    K.set_num_threads(before)


def train(K, make, x, y, **fit):
    """(history, weights, prediction) of a training from a fixed seed."""
    K.utils.clear_session()
    K.utils.set_random_seed(99)
    model = make(K)
    history = model.fit(x, y, verbose=0, **{"epochs": 2, "batch_size": 40, **fit}).history
    return history, model.get_weights(), model.predict(x, verbose=0)


def assert_same(first, second):
    assert first[0] == second[0], "history"
    for a, b in zip(first[1], second[1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first[2], second[2])


def masked_with_dropout(cell, units=37):
    def make(K):
        L = K.layers
        model = K.Sequential([
            K.Input((13,)), L.Embedding(50, 19, mask_zero=True),
            getattr(L, cell)(units, return_sequences=True, dropout=0.2, recurrent_dropout=0.3),
            L.Dropout(0.3), L.Bidirectional(getattr(L, cell)(11, dropout=0.1)),
            L.Dense(5, activation="softmax")])  # fmt: skip
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
        return model

    rng = np.random.default_rng(3)
    return make, rng.integers(0, 50, size=(110, 13)), rng.integers(0, 5, size=110)


def plain(cell, units, batch, steps, features):
    def make(K):
        model = K.Sequential([
            K.Input((steps, features)), getattr(K.layers, cell)(units, return_sequences=True),
            getattr(K.layers, cell)(units), K.layers.Dense(1)])  # fmt: skip
        model.compile("rmsprop", "mse", metrics=["mae"])
        return model

    rng = np.random.default_rng(4)
    return make, rng.normal(size=(batch, steps, features)).astype(np.float32), rng.normal(size=(batch, 1))


@pytest.mark.parametrize("cell", CELLS)
def test_threads_with_dropout_and_masks(K, cell):
    make, x, y = masked_with_dropout(cell, units=120)  # enough for training to use threads
    results = []
    for count in THREADS:
        K.set_num_threads(count)
        assert K.get_num_threads() == count
        results.append(train(K, make, x, y))
    for result in results[1:]:
        assert_same(results[0], result)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("units, batch", [(130, 3), (129, 70), (60, 71), (16, 70), (64, 1), (40, 610)])
def test_threads_over_batch_or_units(K, cell, units, batch):
    """Shapes where the work is divided by the batch, by the units, or not at all; and a batch whose gradients are summed up in blocks that do not end where
    those of the threads do."""
    make, x, y = plain(cell, units, batch, steps=80 if units == 129 else 20, features=33)
    results = []
    for count in THREADS:
        K.set_num_threads(count)
        results.append(train(K, make, x, y, batch_size=batch))
    for result in results[1:]:
        assert_same(results[0], result)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch, masked", [(1, False), (1, True), (3, True)])
def test_threads_over_the_units_of_a_few_rows(K, cell, batch, masked):
    """Batches too small to be divided: every thread has some of the units, and waits for the states of the others."""
    units, steps, features = 390, 24, 70
    rng = np.random.default_rng(6)
    x = rng.normal(size=(batch, steps, features)).astype(np.float32)
    x[-1, 15:] = 0
    K.utils.set_random_seed(5)
    layer = getattr(K.layers, cell)(units, return_sequences=True, go_backwards=True, stateful=True)
    model = K.Sequential([K.Input(batch_shape=(batch, steps, features)), *([K.layers.Masking()] if masked else []), layer])
    results = []
    for count in THREADS:
        K.set_num_threads(count)
        model.reset_states()
        results.append([model.predict(x, verbose=0) for _ in range(2)])
    assert np.abs(results[0][1] - results[0][0]).max() > 1e-3, "the state is carried on"
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("units", [5, 70])
@pytest.mark.parametrize("cell", CELLS)
def test_what_was_predicted_before_does_not_matter(K, cell, units):
    """One sample, a few and many may take other kernels each: not by what the model was last used for."""
    layer = getattr(K.layers, cell)(units, return_sequences=True)
    config, x = layer.get_config(), np.random.default_rng(6).normal(size=(9, 40, 7)).astype(np.float32)
    models = [K.Sequential([K.Input((40, 7)), getattr(K.layers, cell).from_config(config)]) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model, sizes in zip(models, ((1, 3, 9), (9, 3, 1))):
        model.results = {n: model.predict(x[:n], verbose=0) for n in sizes}
    for n in (1, 3, 9):
        np.testing.assert_array_equal(models[0].results[n], models[1].results[n])
        np.testing.assert_array_equal(models[0].predict_on_batch(x[:n]), models[1].results[n])


def test_threads_with_conv2d_and_wide_dense(K):
    def make(K):
        L = K.layers
        model = K.Sequential([K.Input((9, 8, 3)), L.Conv2D(20, (3, 3), padding="same", activation="relu"), L.Flatten(),
                              L.Dense(200, activation="tanh"), L.Dense(300), L.Dense(1)])  # fmt: skip
        model.compile("sgd", "mse")
        return model

    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(64, 9, 8, 3)), rng.normal(size=64)
    results = []
    for count in THREADS:
        K.set_num_threads(count)
        results.append(train(K, make, x, y))
    for result in results[1:]:
        assert_same(results[0], result)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_threads_over_the_pieces_of_a_loss(K, dtype, weighted):
    """A loss of a million elements is summed up in pieces: the sum and its gradient, with weights, are those of NumPy."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2000, 67, 3)), rng.normal(size=(2000, 67, 8))
    weight = rng.uniform(0.5, 2, 2000) if weighted else np.ones(2000)
    weight[[0, 1999]] = 0 if weighted else 1
    kernel = rng.normal(size=(3, 8)).astype(dtype)

    def make(K):
        model = K.Sequential([K.Input((67, 3)), K.layers.Dense(8, use_bias=False, dtype=dtype)])
        model.compile(K.optimizers.SGD(0.5), "mse", metrics=["mae"], weighted_metrics=["mse"])
        model.set_weights([kernel])
        return model

    results = []
    for count in THREADS:
        K.set_num_threads(count)
        results.append(train(K, make, x, y, batch_size=2000, epochs=1, sample_weight=weight if weighted else None))
    for result in results[1:]:
        assert_same(results[0], result)
    history, weights, _ = results[0]
    error, rtol = x @ kernel - y, 1e-9 if dtype == "float64" else 3e-5
    weighed = weight[:, None, None] * error
    gradient = 2 / error.size * np.einsum("btd,btn->dn", x, weighed)
    np.testing.assert_allclose(history["loss"], (weighed * error).mean(), rtol=rtol)
    np.testing.assert_allclose(history["mse"], (weighed * error).sum() / weight.sum() / (67 * 8), rtol=rtol)
    np.testing.assert_allclose(history["mae"], np.abs(error).mean(), rtol=rtol)
    np.testing.assert_allclose((kernel - weights[0]) / 0.5, gradient, rtol=0, atol=rtol * np.abs(gradient).max())


@pytest.mark.parametrize("loss, labels", [("hinge", "last"), ("squared_hinge", "last"), ("sparse_categorical_crossentropy", "classes")])
def test_pieces_of_a_loss_with_labels(K, loss, labels):
    """Whether labels are 0/1 or -1/1 is for all of them to say, and one label stands for all columns of a row."""
    rng = np.random.default_rng(9)
    rows, columns = 150_000, 8
    p = rng.dirichlet(np.ones(columns), rows)
    y = rng.integers(0, columns, rows) if labels == "classes" else rng.integers(0, 2, (rows, columns)).astype(float)
    if labels == "last":
        y[-1, -1] = -1
        expected = np.maximum(1 - y * p, 0)
        expected = (expected**2 if loss == "squared_hinge" else expected).mean()
    else:
        expected = -np.log(np.clip(p[np.arange(rows), y], 1e-7, 1 - 1e-7)).mean()
    model = K.Sequential([K.Input((columns,)), K.layers.Dense(columns, use_bias=False, dtype="float64")])
    model.compile("sgd", loss)
    model.set_weights([np.eye(columns)])
    results = []
    for count in THREADS:
        K.set_num_threads(count)
        results.append(model.evaluate(p, y, batch_size=rows, verbose=0))
    assert results == results[:1] * len(results)
    np.testing.assert_allclose(results[0], expected, rtol=1e-9)


@pytest.mark.parametrize("shuffle", [True, False])
def test_same_seed_same_training_other_seed_another(K, shuffle):
    make, x, y = masked_with_dropout("GRU")
    first = train(K, make, x, y, shuffle=shuffle)
    assert_same(first, train(K, make, x, y, shuffle=shuffle))
    K.utils.set_random_seed(100)
    other = make(K)
    assert any((a != b).any() for a, b in zip(other.get_weights(), train(K, make, x, y, epochs=1)[1]))


def test_dropout_differs_between_steps_and_epochs(K):
    make, x, y = masked_with_dropout("LSTM")
    model = make(K)
    model.optimizer.learning_rate = 0.0
    history = model.fit(x, y, epochs=3, batch_size=110, shuffle=False, verbose=0)
    assert len(set(history.history["loss"])) == 3


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Ftrl"])
def test_steps_of_an_epoch_in_one_call_or_one_by_one(K, optimizer, shuffle):
    """Someone who listens to batches gets them one by one; a schedule gives each its own learning rate."""

    def with_rate(rate):
        def make(K):
            model = masked_with_dropout("LSTM", 5)[0](K)
            model.compile(getattr(K.optimizers, optimizer)(rate, clipnorm=0.5), "sparse_categorical_crossentropy", metrics=["acc"])
            return model

        return make

    _, x, y = masked_with_dropout("LSTM", 5)
    constant = K.optimizers.schedules.PiecewiseConstantDecay([1000], [0.015625, 0.5])
    options = {"batch_size": 4, "shuffle": shuffle, "sample_weight": np.linspace(0.5, 2, len(x))}
    together = train(K, with_rate(0.015625), x, y, **options)
    seen = []
    listener = K.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    assert_same(together, train(K, with_rate(0.015625), x, y, callbacks=[listener], **options))
    assert seen == 2 * list(range(28))
    assert_same(together, train(K, with_rate(constant), x, y, **options))


def test_two_python_threads_at_once(K):
    """Two models fit and predict at the same time; each gives what it gives alone."""
    jobs = [plain("LSTM", 33, 64, 30, 17), plain("GRU", 48, 64, 30, 17)]
    results = {}

    def prepare(number):
        K.utils.set_random_seed(7 + number)
        make, x, y = jobs[number]
        return make(K), x, y

    def work(model, x, y, number):
        history = model.fit(x, y, epochs=8, batch_size=16, shuffle=False, verbose=0).history
        results[number] = history, model.get_weights(), model.predict(x, verbose=0)

    alone = []
    for number in range(2):
        work(*prepare(number), number)
        alone.append(results.pop(number))
    workers = []
    for number in range(2):
        model, x, y = prepare(number)
        workers.append(threading.Thread(target=work, args=(model, x, y, number)))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number in range(2):
        assert_same(alone[number], results[number])


def test_one_layer_called_by_two_python_threads(K):
    """Calls of one layer do not disturb each other's buffers."""
    rng = np.random.default_rng(8)
    layer = K.layers.LSTM(40, return_sequences=True)
    inputs = [rng.normal(size=(20, 15, 8)).astype(np.float32) for _ in range(2)]
    expected = [np.array(layer(x)) for x in inputs]
    failures = []

    def work(number):
        for _ in range(50):
            if not np.array_equal(np.array(layer(inputs[number])), expected[number]):
                failures.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def _in_child(model, x, y, queue):
    queue.put((model.predict(x, verbose=0), model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.parametrize("count", [1, 2])
def test_fork_after_use(K, count):
    """A child made by fork after parallel regions computes, and does not hang; so does the parent afterwards."""
    K.set_num_threads(count)
    make, x, y = plain("LSTM", 64, 64, 20, 16)
    model = make(K)
    model.fit(x, y, epochs=1, verbose=0)
    expected = model.predict(x, verbose=0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_in_child, args=(model, x, y, queue), daemon=True) for _ in range(2)]
    for child in children:
        child.start()
    try:
        results = [queue.get(timeout=60) for _ in children]
        for child in children:
            child.join(timeout=60)
            assert child.exitcode == 0
    finally:
        for child in children:
            if child.is_alive():
                child.kill()
    losses = model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]
    for prediction, child_losses in results:
        np.testing.assert_array_equal(prediction, expected)
        assert child_losses == losses


@pytest.mark.parametrize("value", [0, -1, 1.5, "two"])
def test_number_of_threads_is_checked(K, value):
    before = K.get_num_threads()
    with pytest.raises((ValueError, TypeError)):
        K.set_num_threads(value)
    assert K.get_num_threads() == before


@pytest.mark.skipif(not native.openmp_version(), reason="built without OpenMP")
def test_number_of_threads_of_the_environment_is_limited():
    """As that of `set_num_threads` is: with very many more a step would end the process."""
    code = "import fastrnn; print(fastrnn.get_num_threads())"
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "100000"}, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1024"
