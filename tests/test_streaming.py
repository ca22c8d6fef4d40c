"""`Sequential.step`: the numbers of `predict`, one time step per call, from an explicit state."""

import copy
import doctest
import gc
import os
import pickle
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_close

pytestmark = pytest.mark.fastrnn_only
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
CELLS = {
    "simple_rnn": lambda L, units, **kw: L.SimpleRNN(units, **kw),
    "lstm": lambda L, units, **kw: L.LSTM(units, **kw),
    "gru": lambda L, units, **kw: L.GRU(units, **kw),
    "gru_reset_before": lambda L, units, **kw: L.GRU(units, reset_after=False, **kw),
}


@pytest.fixture(params=["float32", "float64"])
def dtype(request, K):
    K.config.set_floatx(request.param)
    return request.param


def randomize(model, rng):
    """Weights that are no special case: biases and initial weights of a new layer are."""
    model.set_weights([rng.normal(scale=0.4, size=w.shape) for w in model.get_weights()])


def stream(model, x, state=None):
    """(outputs of all steps (batch, timesteps, units), state)."""
    state = model.initial_state(batch_size=len(x)) if state is None else state
    outputs = []
    for t in range(x.shape[1]):
        y, after = model.step(np.ascontiguousarray(x[:, t]), state)
        assert after is state
        outputs.append(y)
    return np.stack(outputs, axis=1), state


def small(K, units=4, **kw):
    return K.Sequential([K.Input((None, 2)), K.layers.LSTM(units, name="memory", **kw), K.layers.Dense(3)])


X = np.ones((1, 2), np.float32)


# -- the numbers of predict --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("units, features, batch", [(5, 3, 1), (16, 1, 1), (33, 20, 3), (64, 64, 1), (7, 4, 40)])
def test_each_step_is_that_of_the_sequence(K, rng, dtype, cell, units, features, batch):
    model = K.Sequential([K.Input((None, features)), CELLS[cell](K.layers, units, return_sequences=True), K.layers.Dense(2)])
    randomize(model, rng)
    x = rng.normal(size=(batch, 12, features)).astype(dtype)
    y, _ = stream(model, x)
    assert y.dtype == dtype
    assert_close(y, model.predict(x, verbose=0), TOLERANCE[dtype])


@pytest.mark.parametrize("cell", CELLS)
def test_a_last_output_is_that_of_the_steps_so_far(K, rng, dtype, cell):
    model = K.Sequential([K.Input((None, 3)), CELLS[cell](K.layers, 9), K.layers.Dense(2)])
    randomize(model, rng)
    x = rng.normal(size=(2, 6, 3)).astype(dtype)
    y, _ = stream(model, x)
    for t in range(6):
        assert_close(y[:, t], model.predict(x[:, : t + 1], verbose=0), TOLERANCE[dtype])


@pytest.mark.parametrize("last", [True, False])
def test_stacked_with_layers_between(K, rng, dtype, last):
    L = K.layers
    model = K.Sequential([
        K.Input((None, 3)), L.Dense(6, activation="gelu"), L.LSTM(18, return_sequences=True, dropout=0.5, recurrent_dropout=0.5),
        L.Dropout(0.5), L.GRU(17, return_sequences=True, activation="softsign", recurrent_activation="hard_sigmoid"),
        L.Activation("softmax"), L.SimpleRNN(5, return_sequences=last), L.Dense(4), L.Activation("tanh")])  # fmt: skip
    randomize(model, rng)
    x = rng.normal(size=(3, 8, 3)).astype(dtype)
    y, _ = stream(model, x)
    expected = model.predict(x, verbose=0)
    assert_close(y if last else y[:, -1], expected, TOLERANCE[dtype])


def test_layers_above_the_last_output_may_be_any(K, rng):
    L = K.layers
    model = K.Sequential([K.Input((None, 3)), L.LSTM(8), L.Reshape((4, 2)), L.Bidirectional(L.GRU(3)), L.Flatten(), L.Dense(2)])
    randomize(model, rng)
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    assert_close(stream(model, x)[0][:, -1], model.predict(x, verbose=0), 1e-6)


@pytest.mark.parametrize("ids", [np.int32, np.int64, np.float32, list])
def test_embedding(K, rng, ids):
    model = K.Sequential([K.layers.Embedding(10, 6), K.layers.GRU(7, return_sequences=True), K.layers.Dense(10, activation="softmax")])
    randomize(model, rng)
    x = rng.integers(0, 10, size=(2, 9))
    state = model.initial_state(2)
    y = [model.step(x[:, t].tolist() if ids is list else x[:, t].astype(ids), state)[0] for t in range(9)]
    assert_close(np.stack(y, axis=1), model.predict(x, verbose=0), 1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("zero_output", [False, True])
def test_masked_steps(K, rng, cell, zero_output):
    """A masked step leaves the state and gives the last output again, or zeros."""
    L = K.layers
    model = K.Sequential([
        L.Embedding(5, 6, mask_zero=True), CELLS[cell](L, 7, return_sequences=True, zero_output_for_mask=zero_output),
        CELLS[cell](L, 3, return_sequences=True), L.Dense(2)])  # fmt: skip
    randomize(model, rng)
    x = rng.integers(0, 3, size=(4, 11)).astype(np.int32)
    y, _ = stream(model, x)
    assert_close(y, model.predict(x, verbose=0), 1e-6)
    model = K.Sequential([K.Input((None, 2)), L.Masking(), CELLS[cell](L, 3)])
    x = rng.normal(size=(4, 9, 2)).astype(np.float32) * rng.integers(0, 2, size=(4, 9, 1)).astype(np.float32)
    assert_close(stream(model, x)[0][:, -1], model.predict(x, verbose=0), 1e-6)


@pytest.mark.parametrize("return_sequences", [True, False])
def test_stateful_and_return_state_mean_nothing(K, rng, return_sequences):
    options = {"return_sequences": return_sequences, "return_state": True, "stateful": True}
    model = K.Sequential([K.Input(batch_shape=(2, 5, 3)), K.layers.LSTM(4, **options)])
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    expected, h, c = model.predict(x, verbose=0)
    y, state = stream(model, x)  # from zeros, whatever the layer remembers
    assert_close(y if return_sequences else y[:, -1], expected, 1e-6)
    (states,) = state.get().values()
    assert_close(states[0], h, 1e-6)
    assert_close(states[1], c, 1e-6)
    model.reset_states()
    assert_close(model.predict(x, verbose=0)[0], expected, 1e-6)


def test_a_model_without_memory(K, rng):
    model = K.Sequential([K.Input((None, 3)), K.layers.Dense(2)])
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    y, state = stream(model, x)
    assert_close(y, model.predict(x, verbose=0), 1e-6)
    assert state.get() == {}


def test_model_built_by_its_first_data(K, rng):
    model = K.Sequential([K.layers.GRU(4), K.layers.Dense(1)])
    x = rng.normal(size=(1, 4, 3)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    assert_close(stream(model, x)[0][:, -1], expected, 1e-6)


# -- changing weights and models ---------------------------------------------------------------------------------------------


def test_training_between_steps_is_seen(K, rng):
    model = K.Sequential([K.Input((None, 2)), K.layers.LSTM(6, return_sequences=True), K.layers.Dense(1)])
    model.compile("adam", "mse")
    x, y = rng.normal(size=(1, 6, 2)).astype(np.float32), rng.normal(size=(1, 6, 1))
    state = model.initial_state()
    for t in range(6):
        before = state.get()
        output, _ = model.step(x[:, t], state)
        again = model.initial_state()
        again.set(before)
        assert_close(model.step(x[:, t], again)[0], output, 1e-7)
        kernel, recurrent, bias = model.layers[0].get_weights()
        h, c = next(iter(before.values()))
        a = x[:, t] @ kernel + h @ recurrent + bias
        i, f, g, o = np.split(a, 4, axis=-1)
        sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        dense, offset = model.layers[1].get_weights()
        assert_close(output, (sigmoid(o) * np.tanh(c)) @ dense + offset, 1e-5)
        if t % 2:
            model.fit(x, y, epochs=3, verbose=0)
        else:
            model.set_weights([w + 0.01 for w in model.get_weights()])


def test_layers_that_come_and_go(K, rng):
    """The memory goes on, and so it does when the weights move because another model uses the layers."""
    model = small(K)
    _, state = stream(model, rng.normal(size=(1, 3, 2)).astype(np.float32))
    before = state.get()
    model.add(K.layers.Dense(5))
    assert model.step(X, state)[0].shape == (1, 5)
    model.pop()
    model.pop()
    state.set(before)
    y, _ = model.step(X, state)
    np.testing.assert_array_equal(y, state.get()["memory"][0])
    other = K.Sequential([K.Input((None, 2)), *model.layers])
    other.compile("sgd", "mse")
    other.fit(np.ones((4, 3, 2)), np.ones((4, 4)), epochs=3, verbose=0)
    state.set(before)
    changed, _ = model.step(X, state)
    assert np.abs(changed - y).max() > 1e-6
    state = other.initial_state()
    state.set(before)
    np.testing.assert_array_equal(other.step(X, state)[0], changed)
    model.pop()
    model.add(K.layers.LSTM(4))
    with pytest.raises(ValueError, match=r"memory|lstm"):
        model.step(X, model_state := state.copy())
    assert model_state.get().keys() == {"memory"}


# -- the state object ----------------------------------------------------------------------------------------------------------


def test_reset_copy_get_set(K, rng):
    model = small(K)
    x = rng.normal(size=(1, 8, 2)).astype(np.float32)
    first, state = stream(model, x[:, :4])
    kept = state.get()
    assert [a.shape for a in kept["memory"]] == [(1, 4), (1, 4)]
    twin, shallow, deep = state.copy(), copy.copy(state), copy.deepcopy(state)
    rest, _ = stream(model, x[:, 4:], state)
    for other in (twin, shallow, deep):
        np.testing.assert_array_equal(stream(model, x[:, 4:], other)[0], rest)
    state.set(kept)
    np.testing.assert_array_equal(stream(model, x[:, 4:], state)[0], rest)
    state.set({"memory": [a.tolist() for a in kept["memory"]]})
    np.testing.assert_array_equal(stream(model, x[:, 4:], state)[0], rest)
    kept["memory"][0][:] = 7  # a copy: it changes nothing
    assert np.abs(state.get()["memory"][0]).max() < 1
    state.reset()
    assert not any(a.any() for a in state.get()["memory"])
    np.testing.assert_array_equal(stream(model, x[:, :4], state)[0], first)


@pytest.mark.parametrize("make_wrong, pattern", [
    (lambda good: None, "None"),
    (lambda good: {}, r"memory.*Received: \[\]"),
    (lambda good: {**good, "more": []}, "memory.*more"),
    (lambda good: {"memory": good["memory"][:1]}, r"memory.*\(1, 4\), \(1, 4\).*Received: shapes \[\(1, 4\)\]"),
    (lambda good: {"memory": [good["memory"][0], np.zeros((2, 4))]}, r"memory.*\(2, 4\)"),
    (lambda good: {"memory": [good["memory"][0], "text"]}, "memory.*text"),
])  # fmt: skip
def test_set_is_all_or_nothing(K, make_wrong, pattern):
    model = small(K)
    _, state = model.step(X, model.initial_state())
    before = state.get()
    wrong = make_wrong({"memory": [np.full((1, 4), 9.0), np.full((1, 4), 9.0)]})
    with pytest.raises(ValueError, match=pattern):
        state.set(wrong)
    for a, b in zip(before["memory"], state.get()["memory"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_pickle(K, rng):
    model = small(K)
    x = rng.normal(size=(2, 8, 2)).astype(np.float32)
    _, state = stream(model, x[:, :4])
    data = pickle.dumps(state)
    assert len(data) < 1000  # the arrays, not the model
    rest, _ = stream(model, x[:, 4:], state)
    back = pickle.loads(data)
    assert back.batch_size == 2 and back.get().keys() == {"memory"}
    np.testing.assert_array_equal(stream(model, x[:, 4:], back)[0], rest)
    model, back = pickle.loads(pickle.dumps((model, pickle.loads(data))))
    np.testing.assert_array_equal(stream(model, x[:, 4:], back)[0], rest)
    other = K.Sequential([K.Input((None, 2)), K.layers.LSTM(5, name="memory")])
    with pytest.raises(ValueError, match=r"memory.*\(2, 5\).*\(2, 4\)"):
        other.step(x[:, 0], pickle.loads(data))


# -- out=, memory, threads -----------------------------------------------------------------------------------------------------


def test_out_is_written_in_place(K):
    model = small(K)
    state, twin = model.initial_state(), model.initial_state()
    out = np.full((1, 3), np.nan, np.float32)
    for _ in range(3):
        y, _ = model.step(X, state, out=out)
        assert y is out
        np.testing.assert_array_equal(out, model.step(X, twin)[0])
    y, _ = model.step([[1, 1]], state, out)  # converted input, too
    assert y is out
    y, _ = model.step(X, state)
    assert y.flags.owndata and not np.shares_memory(y, out)


def test_steps_in_the_steady_state_allocate_nothing(K):
    model = small(K)
    state, out = model.initial_state(), np.empty((1, 3), np.float32)
    references = sys.getrefcount(X), sys.getrefcount(out)
    model.step(X, state, out)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(10):
            model.step(X, state, out)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(1000):
            model.step(X, state, out)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - before < 500
    assert peak - before < 1000
    for wrong in (X[:, :1], X.astype(np.float64)[:, ::-1], out):
        for target in (out, out[:, :2], X):
            try:
                model.step(wrong, state, target)
            except ValueError:
                pass
    del wrong, target
    assert (sys.getrefcount(X), sys.getrefcount(out)) == references


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
@pytest.mark.skipif("FASTRNN_SANITIZED" in os.environ, reason="a sanitizer keeps freed memory")
def test_memory_does_not_grow(K):
    def resident():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    model = small(K, units=40)

    def run():
        for _ in range(200):
            state = model.initial_state()
            for _ in range(50):
                model.step(X, state)
            state.copy().get()

    run()
    before = resident()
    for _ in range(3):
        run()
    assert resident() - before < 4 << 20


@pytest.mark.parametrize("units", [8, 130])
def test_threads_with_states_of_their_own(K, rng, units):
    L = K.layers
    model = K.Sequential([K.Input((None, 2)), L.LSTM(units, return_sequences=True), L.GRU(units), L.Dense(3)])
    inputs = rng.normal(size=(4, 1, 300, 2)).astype(np.float32)
    expected = [stream(model, x)[0] for x in inputs]
    results = [None] * 4

    def work(number):
        results[number] = stream(model, inputs[number])[0]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result, one in zip(results, expected):
        np.testing.assert_array_equal(result, one)


def test_one_state_in_two_threads_is_refused_or_takes_turns(K):
    model = small(K, units=300)
    state, others = model.initial_state(), []

    def work():
        for _ in range(200):
            try:
                y, _ = model.step(X, state)
                assert np.isfinite(y).all()
            except RuntimeError as error:
                assert "thread" in str(error)
            except Exception as error:
                others.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not others
    model.step(X, state)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_same_bits_for_any_number_of_threads(K, rng, count):
    model = K.Sequential([K.Input((None, 100)), K.layers.LSTM(260), K.layers.Dense(3)])
    x = rng.normal(size=(5, 4, 100)).astype(np.float32)
    before = K.get_num_threads()
    try:
        K.set_num_threads(1)
        expected, _ = stream(model, x)
        K.set_num_threads(count)
        np.testing.assert_array_equal(stream(model, x)[0], expected)
    finally:
        K.set_num_threads(before)


# -- bad input -----------------------------------------------------------------------------------------------------------------


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def test_inputs_that_work(K):
    model = small(K)
    x = np.array([[0.5, -1.0]], np.float32)
    expected, _ = model.step(x, model.initial_state())
    for same in (x.tolist(), read_only(x), x.astype(np.float64), np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2],
                 x.astype(object), x.astype(">f4"), x.astype(np.float16), memoryview(x)):  # fmt: skip
        np.testing.assert_array_equal(model.step(same, model.initial_state())[0], expected)
    for one in (np.ones((1, 2), bool), np.ones((1, 2), np.uint8), [[1, 1]]):
        np.testing.assert_array_equal(model.step(one, model.initial_state())[0], model.step(X, model.initial_state())[0])


OUT = np.zeros((1, 3), np.float32)


@pytest.mark.parametrize("x, out, pattern", [
    (np.ones(2, np.float32), None, r"`x`.*\(batch, features\).*\(1, 2\).*Received: x.shape=\(2,\)"),
    (np.ones((1, 3), np.float32), None, r"`x`.*\(1, 2\).*Received: x.shape=\(1, 3\)"),
    (np.ones((4, 2), np.float32), None, r"`x`.*\(1, 2\).*\(4, 2\).*initial_state\(batch_size=4\)"),
    (np.ones((1, 5, 2), np.float32), None, r"`x`.*\(1, 2\).*\(1, 5, 2\).*x\[:, t\]"),
    (np.ones((0, 2), np.float32), None, r"`x`.*\(1, 2\).*\(0, 2\)"),
    (3.0, None, r"`x`.*\(1, 2\).*\(\)"),
    ("text", None, "x: .*str"),
    (None, None, r"`x`.*\(1, 2\).*\(\)"),
    (X + 1j, None, "x: .*complex"),
    (X, np.zeros((1, 2), np.float32), r"`out`.*float32.*\(1, 3\).*Received: out=dtype float32, shape \(1, 2\)"),
    (X, OUT.astype(np.float64), r"`out`.*float32.*Received: out=dtype float64"),
    (X, np.zeros((2, 6), np.float32)[::2, ::2], r"`out`.*C-contiguous"),
    (X, read_only(OUT), r"`out`.*writable"),
    (X, [[0, 0, 0]], r"`out`.*\[\[0, 0, 0\]\]"),
])  # fmt: skip
def test_bad_arguments(K, x, out, pattern):
    model = small(K)
    _, state = model.step(X, model.initial_state())
    before = state.get()
    with pytest.raises(ValueError, match=f"(?s){pattern}") as caught:
        model.step(x, state, out=out)
    assert caught.value.__context__ is None
    for a, b in zip(before["memory"], state.get()["memory"], strict=True):
        np.testing.assert_array_equal(a, b)
    model.step(X, state)


@pytest.mark.parametrize("ids, value", [([7], 7), (np.array([-1], np.int32), -1), (np.array([5], np.int32), 5), ([2**31 - 1], 2**31 - 1)])
def test_ids_outside_of_the_vocabulary(K, ids, value):
    model = K.Sequential([K.layers.Embedding(5, 2), K.layers.LSTM(3)])
    with pytest.raises(ValueError, match=rf"{value} is not in \[0, 5\)"):
        model.step(ids, model.initial_state())
    with pytest.raises(ValueError, match=r"`x`.*\(batch,\).*\(1,\).*\(1, 1\)"):
        model.step([[1]], model.initial_state())


def test_state_of_another_model(K):
    model, other = small(K), small(K)
    with pytest.raises(ValueError, match=f"`state`.*'{model.name}'.*'{other.name}'"):
        model.step(X, other.initial_state())
    for wrong in (None, "state", {"memory": []}, small):
        with pytest.raises(ValueError, match=r"`state`.*initial_state\(\).*Received: state="):
            model.step(X, wrong)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "2", None, True])
def test_bad_batch_size(K, batch_size):
    with pytest.raises(ValueError, match=f"batch_size.*{batch_size}"):
        small(K).initial_state(batch_size)


def test_unbuilt_model(K):
    for model in (K.Sequential(), K.Sequential([K.layers.LSTM(3)]), K.Sequential([K.Input((None, 2))])):
        with pytest.raises(ValueError, match="(?i)built.*`build"):
            model.initial_state()


@pytest.mark.parametrize("make_layers, pattern", [
    (lambda L: [L.Bidirectional(L.LSTM(3), name="b")], "'b' .*Bidirectional.*backward layer"),
    (lambda L: [L.LSTM(3, go_backwards=True, name="b")], "'b' .*LSTM.*go_backwards=True"),
    (lambda L: [L.LSTM(3, return_sequences=True), L.Flatten(name="b")], "'b' .*Flatten.*joins the time steps"),
    (lambda L: [L.Reshape((4, 2), name="b"), L.LSTM(3)], "'b' .*Reshape.*several time steps"),
    (lambda L: [L.LSTM(4, name="a"), L.Reshape((2, 2)), L.Bidirectional(L.GRU(3), merge_mode=None)], "several outputs"),
])  # fmt: skip
def test_layers_that_need_the_sequence(K, make_layers, pattern):
    model = K.Sequential([K.Input((4, 2)), *make_layers(K.layers)])
    with pytest.raises(ValueError, match=pattern):
        model.initial_state()


def test_a_state_that_no_stream_owns(K):
    L = K.layers
    model = K.Sequential([K.Input(batch_shape=(1, 4, 2)), L.LSTM(4), L.Reshape((2, 2)), L.GRU(3, stateful=True, name="b")])
    with pytest.raises(ValueError, match="'b' .*stateful=True"):
        model.initial_state()


@pytest.mark.parametrize("shape", [(4,), (4, None, 2)])
def test_inputs_without_known_steps(K, shape):
    model = K.Sequential([K.Input(shape), K.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"timesteps.*Received: input_shape=\(None, 4"):
        model.initial_state()


def test_examples_of_the_docstrings(K):
    import fastrnn.models
    import fastrnn.streaming

    for module in (fastrnn.models, fastrnn.streaming):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed
