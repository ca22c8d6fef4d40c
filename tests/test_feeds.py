"""What fit, evaluate and predict read: batches of generators, PyDatasets and loaders, windows, sequences of unequal length."""

import itertools
import tracemalloc
import warnings

import numpy as np
import pytest
from conftest import assert_close

STEPS, FEATURES = 5, 2


def some_data(count=23, seed=0, steps=STEPS):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, steps, FEATURES)).astype("float32"), rng.normal(size=(count, 1)).astype("float32")


def small_model(L, weights=None, steps=STEPS, last=None, loss="mse"):
    model = L.Sequential([L.Input((steps, FEATURES)), L.layers.GRU(4), L.layers.Dense(1, activation=last)])
    model.compile(L.optimizers.SGD(0.1), loss, metrics=["mae"])
    if weights is not None:
        model.set_weights(weights)
    return model


def chunks(x, y, size=4, weights=None):
    parts = [(x[k : k + size], y[k : k + size]) for k in range(0, len(x), size)]
    return parts if weights is None else [(*p, weights[k * size : k * size + size]) for k, p in enumerate(parts)]


def slices(L, **options):
    return L.utils.timeseries_dataset_from_array(X[:, 0], Y, STEPS, batch_size=3, **options)


def py_dataset(L, batches, log=None, endless=False):
    """A PyDataset of library L over a list of batches, which notes what it is asked for."""
    log = [] if log is None else log

    class Data(L.utils.PyDataset):
        if endless:
            num_batches = None
        else:

            def __len__(self):
                return len(batches)

        def __getitem__(self, index):
            log.append(index)
            return batches[index % len(batches)]

        def on_epoch_begin(self):
            log.append("begin")

        def on_epoch_end(self):
            log.append("end")

    return Data(workers=1, use_multiprocessing=False, max_queue_size=5)


def quietly(function):
    """The result and whether there was Keras's warning that the data ran out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, sum("ran out of data" in str(w.message) for w in caught)


def check_same(results, tolerance=1e-4):
    """Histories (or values) of both libraries and the number of their warnings."""
    (ours, our_warnings), (theirs, their_warnings) = results
    if hasattr(theirs, "history"):
        assert set(ours.history) == set(theirs.history) and ours.epoch == theirs.epoch
        for key, values in theirs.history.items():
            np.testing.assert_allclose(ours.history[key], values, rtol=tolerance, atol=1e-6, err_msg=key)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-6)
    assert our_warnings == their_warnings


def loader(x, y, size=4):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return torch.utils.data.DataLoader(data, batch_size=size)


def tf_data(x, y, size=4):
    return pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices((x, y)).batch(size)


X, Y = some_data()
W = np.random.default_rng(3).uniform(0, 2, size=len(X)).astype("float32")
CASES = {
    "generator": lambda L: ({"x": (b for b in chunks(X, Y))}, {}),
    "generator, several epochs": lambda L: ({"x": (b for b in chunks(X, Y))}, {"epochs": 3}),
    "generator with weights": lambda L: ({"x": (b for b in chunks(X, Y, weights=W))}, {}),
    "endless generator": lambda L: ({"x": (b for b in itertools.cycle(chunks(X, Y)))}, {"steps_per_epoch": 4, "epochs": 4}),
    "generator that ends early": lambda L: ({"x": (b for b in chunks(X, Y))}, {"steps_per_epoch": 4, "epochs": 4}),
    "generator that ends in its first epoch": lambda L: ({"x": (b for b in chunks(X, Y))}, {"steps_per_epoch": 9, "epochs": 2}),
    "PyDataset": lambda L: ({"x": py_dataset(L, chunks(X, Y))}, {"epochs": 2}),
    "PyDataset of lists": lambda L: ({"x": py_dataset(L, [list(b) for b in chunks(X, Y)])}, {"epochs": 2}),
    "PyDataset with weights": lambda L: ({"x": py_dataset(L, chunks(X, Y, weights=W))}, {"epochs": 2}),
    "PyDataset with steps": lambda L: ({"x": py_dataset(L, chunks(X, Y))}, {"steps_per_epoch": 4, "epochs": 5}),
    "PyDataset with too many steps": lambda L: ({"x": py_dataset(L, chunks(X, Y))}, {"steps_per_epoch": 40, "epochs": 2}),
    "timeseries": lambda L: ({"x": slices(L)} if pytest.importorskip("tensorflow") else {}, {"epochs": 2}),
    "timeseries with steps": lambda L: ({"x": slices(L, sequence_stride=2)} if pytest.importorskip("tensorflow") else {}, {
        "steps_per_epoch": 2, "epochs": 3, "validation_data": slices(L), "validation_steps": 2}),
    "endless PyDataset": lambda L: ({"x": py_dataset(L, chunks(X, Y), endless=True)}, {"steps_per_epoch": 4, "epochs": 3}),
    "DataLoader": lambda L: ({"x": loader(X, Y)}, {"epochs": 2}),
    "DataLoader with steps": lambda L: ({"x": loader(X, Y)}, {"steps_per_epoch": 4, "epochs": 4}),
    "tf.data": lambda L: ({"x": tf_data(X, Y)}, {"epochs": 2, "validation_data": tf_data(X + 1, Y)}),
    "tf.data with steps": lambda L: ({"x": tf_data(X, Y)}, {"steps_per_epoch": 4, "epochs": 4}),
    "endless tf.data": lambda L: ({"x": tf_data(X, Y).repeat()}, {"steps_per_epoch": 4, "epochs": 4}),
    "arrays with steps": lambda L: ({"x": X, "y": Y}, {"batch_size": 4, "steps_per_epoch": 4, "epochs": 5}),
    "arrays with steps only": lambda L: ({"x": X, "y": Y}, {"steps_per_epoch": 5, "epochs": 2}),
    "arrays with too many steps": lambda L: ({"x": X, "y": Y}, {"batch_size": 4, "steps_per_epoch": 50, "epochs": 2}),
    "validation by generator": lambda L: ({"x": X, "y": Y}, {
        "validation_data": (b for b in itertools.cycle(chunks(X, Y, 3))), "validation_steps": 3, "epochs": 4}),
    "validation by generator that ends": lambda L: ({"x": X, "y": Y}, {
        "validation_data": (b for b in chunks(X, Y, 3)), "epochs": 3}),
    "validation by PyDataset": lambda L: ({"x": X, "y": Y}, {
        "validation_data": py_dataset(L, chunks(X + 1, Y)), "validation_steps": 2, "epochs": 3}),
    "validation by DataLoader": lambda L: ({"x": (b for b in itertools.cycle(chunks(X, Y)))}, {
        "steps_per_epoch": 3, "validation_data": loader(X + 1, Y), "epochs": 3}),
    "validation by arrays": lambda L: ({"x": py_dataset(L, chunks(X, Y))}, {
        "validation_data": (X + 1, Y, W), "validation_batch_size": 7, "epochs": 2}),
    "validation with steps": lambda L: ({"x": X, "y": Y}, {"validation_data": (X + 1, Y), "validation_steps": 2, "epochs": 3}),
    "validation with steps and size": lambda L: ({"x": X, "y": Y}, {
        "validation_data": (X + 1, Y), "validation_steps": 2, "validation_batch_size": 3, "epochs": 3}),
}  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_histories(K, name):
    keras = pytest.importorskip("keras")
    theirs = small_model(keras)
    ours = small_model(K, theirs.get_weights())
    results = []
    for L, model in ((K, ours), (keras, theirs)):
        data, options = CASES[name](L)
        results.append(quietly(lambda: model.fit(**data, **options, shuffle=False, verbose=0)))  # noqa: B023
    check_same(results)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("source", ["generator", "PyDataset", "DataLoader", "arrays"])
@pytest.mark.parametrize("steps", [None, 3, 40])
def test_evaluate_and_predict(K, source, steps):
    keras = pytest.importorskip("keras")
    theirs = small_model(keras)
    ours = small_model(K, theirs.get_weights())

    def data(L):
        return {"generator": lambda: (b for b in chunks(X, Y)), "PyDataset": lambda: py_dataset(L, chunks(X, Y)),
                "DataLoader": lambda: loader(X, Y), "arrays": lambda: X}[source]()  # fmt: skip

    y = {"y": Y} if source == "arrays" else {}
    size = {"batch_size": 4} if source == "arrays" and steps == 40 else {}
    pairs = ((K, ours), (keras, theirs))
    check_same([quietly(lambda: m.evaluate(data(L), **y, **size, steps=steps, verbose=0)) for L, m in pairs])  # noqa: B023
    outputs = [quietly(lambda: m.predict(data(L), **size, steps=steps, verbose=0)) for L, m in pairs]  # noqa: B023
    assert outputs[0][0].shape == outputs[1][0].shape
    check_same(outputs)


@pytest.mark.parity
def test_class_weight_of_batches_and_of_the_validation(K):
    keras = pytest.importorskip("keras")
    theirs = small_model(keras, last="sigmoid", loss="binary_crossentropy")
    ours = small_model(K, theirs.get_weights(), last="sigmoid", loss="binary_crossentropy")
    labels = (Y > 0).astype("float32")
    for data in (lambda L: {"x": py_dataset(L, chunks(X, labels)), "validation_data": (X, labels)},
                 lambda L: {"x": X, "y": labels, "validation_split": 0.3}):  # fmt: skip
        check_same([quietly(lambda: m.fit(**data(L), class_weight={0: 0.2, 1: 3.0}, shuffle=False, epochs=2, verbose=0))  # noqa: B023
                    for L, m in ((K, ours), (keras, theirs))])  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("steps", [None, 4])
def test_what_a_py_dataset_is_asked(K, method, steps):
    keras = pytest.importorskip("keras")
    logs = []
    for L in (K, keras):
        model = small_model(L)
        model.fit(X, Y, verbose=0)  # Keras looks at the first batch to build what is not built
        logs.append([])
        options = {"epochs": 3, "shuffle": False, "steps_per_epoch": steps} if method == "fit" else {"steps": steps}
        quietly(lambda: getattr(model, method)(py_dataset(L, chunks(X, Y), logs[-1]), verbose=0, **options))  # noqa: B023
    assert logs[0] == logs[1]


@pytest.mark.parity
def test_different_numbers_of_steps(K):
    keras = pytest.importorskip("keras")
    batches = [some_data(3, seed=k, steps=steps) for k, steps in enumerate((4, 7, 4, 1))]
    theirs = small_model(keras, steps=None)
    ours = small_model(K, theirs.get_weights(), steps=None)
    pairs = ((K, ours), (keras, theirs))
    check_same([quietly(lambda: m.fit(py_dataset(L, batches), epochs=3, shuffle=False, verbose=0)) for L, m in pairs])  # noqa: B023
    check_same([quietly(lambda: m.evaluate(py_dataset(L, batches), verbose=0)) for L, m in pairs])  # noqa: B023
    check_same([quietly(lambda: m.predict(py_dataset(L, batches), verbose=0)) for L, m in pairs])  # noqa: B023


HOOKS = [f"on_{kind}_{when}" for kind in ("train", "test", "predict", "epoch", "train_batch", "test_batch", "predict_batch")
         for when in ("begin", "end")]  # fmt: skip


def recorder(L, log):
    """A callback that notes the hooks with their numbers, and the names of the logs."""
    callback = L.callbacks.Callback()
    for hook in HOOKS:

        def note(*arguments, hook=hook, logs=None):
            numbers = [a for a in arguments if isinstance(a, int)]
            names = sorted((logs or next((a for a in arguments if isinstance(a, dict)), None) or {}).keys())
            log.append((hook, *numbers, *names, callback.params["steps"] if hook.endswith("begin") and not numbers else None))

        setattr(callback, hook, note)
    return callback


@pytest.mark.parity
@pytest.mark.parametrize("source", ["generator", "PyDataset"])
def test_what_callbacks_hear(K, source):
    keras = pytest.importorskip("keras")
    logs = []
    for L in (K, keras):
        model, log = small_model(L), []

        def data():
            return (b for b in chunks(X, Y)) if source == "generator" else py_dataset(L, chunks(X, Y))  # noqa: B023

        options = {"callbacks": [recorder(L, log)], "verbose": 0}
        quietly(lambda: model.fit(data(), epochs=2, validation_data=data(), validation_steps=2, **options))  # noqa: B023
        quietly(lambda: model.fit(data(), epochs=2, steps_per_epoch=4, **options))  # noqa: B023
        quietly(lambda: model.evaluate(data(), **options))  # noqa: B023
        quietly(lambda: model.predict(data(), **options))  # noqa: B023
        logs.append(log)
    for ours, theirs in zip(*logs, strict=True):
        assert ours == theirs


WRONG = {
    "y beside a generator": lambda L: (((b for b in chunks(X, Y)), Y), {}),
    "weights beside a generator": lambda L: (((b for b in chunks(X, Y)),), {"sample_weight": W}),
    "y beside a PyDataset": lambda L: ((py_dataset(L, chunks(X, Y)), Y), {}),
    "y beside a DataLoader": lambda L: ((loader(X, Y), Y), {}),
    "weights beside a DataLoader": lambda L: ((loader(X, Y),), {"sample_weight": W}),
    "empty generator": lambda L: (((b for b in []),), {}),
    "generator of arrays": lambda L: (((x for x, _ in chunks(X, Y)),), {}),
    "generator of lists": lambda L: ((([x, y] for x, y in chunks(X, Y)),), {}),
    "generator of four": lambda L: ((((x, y, y, y) for x, y in chunks(X, Y)),), {}),
    "PyDataset of four": lambda L: ((py_dataset(L, [(X, Y, Y, Y)]),), {}),
    "class_weight and a generator": lambda L: (((b for b in chunks(X, Y)),), {"class_weight": {0: 1.0}}),
    "class_weight and a DataLoader": lambda L: ((loader(X, Y),), {"class_weight": {0: 1.0}}),
    "class_weight and sample_weight": lambda L: ((X, Y), {"class_weight": {0: 1.0}, "sample_weight": W}),
    "class_weight and PyDataset with weights": lambda L: ((py_dataset(L, chunks(X, Y, weights=W)),), {"class_weight": {0: 1.0}}),
    "validation_split and a PyDataset": lambda L: ((py_dataset(L, chunks(X, Y)),), {"validation_split": 0.2}),
    "validation_split and a generator": lambda L: (((b for b in chunks(X, Y)),), {"validation_split": 0.2}),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", WRONG)
def test_errors(K, name):
    keras = pytest.importorskip("keras")
    messages = []
    for L in (K, keras):
        model = small_model(L)
        arguments, options = WRONG[name](L)
        with pytest.raises(ValueError) as error, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(*arguments, verbose=0, **options)
        messages.append("".join(str(error.value).split()).replace("specify", ""))
    assert messages[0][:60] == messages[1][:60]


@pytest.mark.fastrnn_only
class TestOtherSources:
    def test_any_iterable(self, K):
        """A list of batches behind an iterator of its own is read anew in each epoch; batches of a Keras-like object by number."""

        class Batches:
            def __iter__(self):
                return iter(chunks(X, Y))

        class Numbered:
            def __len__(self):
                return len(chunks(X, Y))

            def __getitem__(self, index):
                return chunks(X, Y)[index]

        weights = small_model(K).get_weights()
        expected = small_model(K, weights).fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        for source in (Batches(), Numbered()):
            history, warned = quietly(lambda: small_model(K, weights).fit(source, epochs=3, verbose=0))  # noqa: B023
            assert history.history == expected.history and not warned

    def test_iterators_of_lists(self, K):
        """Such as `itertools.cycle` of a DataLoader, whose batches are lists."""
        weights = small_model(K).get_weights()
        expected = small_model(K, weights).fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        batches = itertools.cycle([list(b) for b in chunks(X, Y)])
        history = small_model(K, weights).fit(batches, steps_per_epoch=6, epochs=2, verbose=0)
        assert history.history == expected.history

    def test_tensors_with_a_numpy_method(self, K):
        """What tf.data gives."""

        class Tensor:
            def __init__(self, value):
                self.value = value

            def numpy(self):
                return self.value

        model = small_model(K)
        batches = [(Tensor(x), Tensor(y)) for x, y in chunks(X, Y)]
        np.testing.assert_allclose(model.evaluate(iter(batches), verbose=0, steps=6), model.evaluate(X, Y, verbose=0), rtol=1e-5)

    def test_torch_tensors(self, K):
        torch = pytest.importorskip("torch")
        model = small_model(K)
        x, y = torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)
        assert model.evaluate(x, y, verbose=0) == model.evaluate(X, Y, verbose=0)
        assert (model.predict(x, verbose=0) == model.predict(X, verbose=0)).all()

    def test_pandas(self, K):
        pandas = pytest.importorskip("pandas")
        model = K.Sequential([K.Input((3,)), K.layers.Dense(1)])
        model.compile("sgd", "mse")
        frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [1, 2], "c": [True, False]})
        target = pandas.Series([1.0, 2.0], index=[5, 9])
        assert model.evaluate(frame, target, verbose=0) == model.evaluate(frame.to_numpy("float32"), target.to_numpy(), verbose=0)

    def test_shuffle(self, K):
        """Batches of a PyDataset come in another order each epoch, each once; "batch" shuffles within batches only."""
        log = []
        K.utils.set_random_seed(1)
        small_model(K).fit(py_dataset(K, chunks(X, Y), log), epochs=3, verbose=0)
        epochs = [log[1:][k * 8 + 1 : k * 8 + 7] for k in range(3)]
        assert all(sorted(e) == list(range(6)) for e in epochs) and len({tuple(e) for e in epochs}) == 3
        orders = [list(shuffled_order) for shuffled_order in orders_of(10, "batch", 4)]
        assert all(sorted(o[:4]) == [0, 1, 2, 3] and sorted(o[8:]) == [8, 9] for o in orders) and orders[0] != orders[1]

    @pytest.mark.parametrize(("x", "expected"), [(None, "x: expected an array of inputs, got None"), ({"a": X}, "one input")])
    def test_confusing_inputs(self, K, x, expected):
        model = small_model(K)
        for call in (lambda: model.predict(x, verbose=0), lambda: model.fit(x, Y, verbose=0)):
            with pytest.raises(ValueError, match=expected):
                call()
        with pytest.raises(ValueError, match=expected):
            model.predict_on_batch(x)
        with pytest.raises(ValueError, match="cannot be specified at the same time"):
            model.train_on_batch(X, Y, sample_weight=W, class_weight={0: 1.0})
        with pytest.raises(ValueError, match="y: expected an array of targets, got a dict"):
            model.fit(X, {"out": Y}, verbose=0)

    def test_input_by_its_name(self, K):
        model = K.Sequential([K.Input((STEPS, FEATURES), name="series"), K.layers.LSTM(2)])
        assert (model.predict({"series": X}, verbose=0) == model.predict(X, verbose=0)).all()

    def test_nothing(self, K):
        model = small_model(K)
        with pytest.raises(ValueError, match="gave no batch"):
            model.fit(py_dataset(K, []), verbose=0)
        with pytest.raises(ValueError, match="gave no batch"):
            model.predict(py_dataset(K, []), verbose=0)


def orders_of(*arguments):
    from fastrnn.feed import shuffled

    draw = shuffled(arguments[0], *arguments[1:])
    return draw(), draw()


def views(series, steps):
    """Windows over a (T, F) series by NumPy's view, in the shapes and strides that people make of it."""
    windows = np.lib.stride_tricks.sliding_window_view(series, steps, axis=0)
    return {
        "transposed": windows.swapaxes(1, 2), "backwards": windows.swapaxes(1, 2)[:, ::-1], "rate": windows.swapaxes(1, 2)[:, ::2],
        "stride": windows.swapaxes(1, 2)[::3], "features as steps": windows, "reversed samples": windows.swapaxes(1, 2)[::-1],
        "one feature": windows.swapaxes(1, 2)[..., 1:2], "repeated": np.broadcast_to(series[:steps], (20, steps, series.shape[1])),
    }  # fmt: skip


@pytest.mark.fastrnn_only
class TestWindows:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
    @pytest.mark.parametrize("kind", views(np.zeros((9, 2)), 3))
    def test_views_are_read_as_their_copies(self, K, kind, dtype):
        series = (np.random.default_rng(0).normal(size=(40, 3)) * 10).astype(dtype)
        x = views(series, 6)[kind]
        y = np.lib.stride_tricks.sliding_window_view(series[:, 0], 2)[: len(x)] / 10
        y = y[: len(x)] if len(y) >= len(x) else np.broadcast_to(y[0], (len(x), 2))
        histories = []
        for a, b in ((x, y), (x.copy(), y.copy())):
            K.utils.set_random_seed(5)
            model = K.Sequential([K.Input(x.shape[1:]), K.layers.SimpleRNN(3), K.layers.Dense(2)])
            model.compile("sgd", "mse")
            assert (model.predict(a, verbose=0) == model.predict(x.copy(), verbose=0)).all()
            assert (model(a[:2]) == model(x[:2].copy())).all()
            histories.append(model.fit(a, b, epochs=2, validation_split=0.3, verbose=0, batch_size=7).history)
        assert histories[0] == histories[1]

    def test_ids(self, K):
        ids = np.random.default_rng(0).integers(0, 9, size=50)
        x = np.lib.stride_tricks.sliding_window_view(ids, 7)
        model = K.Sequential([K.Input((None,)), K.layers.Embedding(9, 4), K.layers.GRU(3)])
        assert (model.predict(x, verbose=0) == model.predict(x.copy(), verbose=0)).all()
        with pytest.raises(ValueError):
            model.predict(x + 3, verbose=0)

    @pytest.mark.parametrize("dataset", [False, True])
    def test_memory(self, K, dataset):
        """A million windows are not laid out: they would take 400 MB for each pass."""
        series = np.random.default_rng(0).normal(size=(1_000_000, 1))
        model = K.Sequential([K.Input((100, 1)), K.layers.Flatten(), K.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.predict(np.zeros((4096, 100, 1)), batch_size=4096, verbose=0)
        x = views(series, 100)["transposed"]
        y = series[-len(x) :]
        data = {"x": K.utils.timeseries_dataset_from_array(series, y, 100, batch_size=4096)} if dataset else {"x": x, "y": y}
        tracemalloc.start()
        try:
            model.fit(**data, **({} if dataset else {"batch_size": 4096}), steps_per_epoch=10, verbose=0)
            model.predict(data["x"], **({} if dataset else {"batch_size": 4096}), steps=10, verbose=0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 60e6


def windows_by_the_definition(data, targets, length, stride, rate, start, end):
    """Keras's documentation word for word: indices of every window."""
    start, end = start or 0, len(data) if end is None else end
    count = end - start - (length - 1) * rate
    if targets is not None:
        count = min(count, len(targets))
    starts = range(start, start + max(count, 0), stride)
    x = [[data[i + k * rate] for k in range(length)] for i in starts]
    return x, None if targets is None else [targets[i] for i in starts]


TIMESERIES = [
    {"sequence_length": 9}, {"sequence_length": 9, "sequence_stride": 3, "sampling_rate": 2, "batch_size": 5},
    {"sequence_length": 1, "batch_size": 7}, {"sequence_length": 4, "start_index": 10, "end_index": 30, "sequence_stride": 2},
    {"sequence_length": 4, "sampling_rate": 5, "start_index": 3}, {"sequence_length": 60}, {"sequence_length": 3, "batch_size": None},
]  # fmt: skip


class TestTimeseriesDataset:
    @pytest.mark.parametrize("options", TIMESERIES, ids=str)
    @pytest.mark.parametrize("with_targets", [False, True])
    @pytest.mark.parametrize("shape", [(50,), (50, 3)])
    @pytest.mark.fastrnn_only
    def test_elements(self, K, options, with_targets, shape):
        data = np.random.default_rng(0).normal(size=shape)
        targets = np.arange(50) if with_targets else None
        dataset = K.utils.timeseries_dataset_from_array(data, targets, **options)
        arguments = {"sequence_stride": 1, "sampling_rate": 1, "start_index": None, "end_index": None, **options}
        names = ("sequence_length", "sequence_stride", "sampling_rate", "start_index", "end_index")
        x, y = windows_by_the_definition(data, targets, *(arguments[name] for name in names))
        size = options.get("batch_size", 128)
        expected = [slice(k, k + size) for k in range(0, len(x), size)] if size else list(range(len(x)))
        assert len(dataset) == len(expected)
        for _ in range(2):
            found = list(dataset)
            assert len(found) == len(expected)
            for batch, where in zip(found, expected):
                inputs, outputs = batch if with_targets else (batch, None)
                assert np.array_equal(inputs, x[where]) and inputs.dtype == data.dtype
                assert outputs is None or np.array_equal(outputs, y[where])

    @pytest.mark.parity
    @pytest.mark.parametrize("options", TIMESERIES, ids=str)
    @pytest.mark.parametrize("format", ["tf", "grain"])
    def test_parity(self, K, options, format):
        keras = pytest.importorskip("keras")
        pytest.importorskip({"tf": "tensorflow", "grain": "grain"}[format])
        data, targets = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50)
        for y in (None, targets):
            found = list(K.utils.timeseries_dataset_from_array(data, y, format=format, **options))
            expected = list(keras.utils.timeseries_dataset_from_array(data, y, format=format, **options))
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                for left, right in zip(a, b) if y is not None else [(a, b)]:
                    right = np.asarray(right)
                    assert np.array_equal(left, right) and left.shape == right.shape and left.dtype == right.dtype

    @pytest.mark.parity
    @pytest.mark.parametrize("options", [
        {"start_index": -1}, {"start_index": 10}, {"start_index": 3, "end_index": 3}, {"end_index": 10}, {"end_index": -1},
        {"sampling_rate": 0}, {"sampling_rate": 10}, {"sequence_stride": 0}, {"sequence_stride": 10}, {"format": "np"},
    ], ids=str)  # fmt: skip
    def test_errors(self, K, options):
        keras = pytest.importorskip("keras")
        messages = []
        for L in (K, keras):
            with pytest.raises(ValueError) as error:
                L.utils.timeseries_dataset_from_array(np.arange(10), None, **{"sequence_length": 2, **options})
            messages.append(str(error.value))
        assert messages[0] == messages[1]

    @pytest.mark.fastrnn_only
    def test_targets_that_end_too_soon(self, K):
        with pytest.raises(ValueError, match="`targets` has 5 entries"):
            K.utils.timeseries_dataset_from_array(np.arange(20), np.arange(5), 3, start_index=2)

    @pytest.mark.fastrnn_only
    def test_shuffle(self, K):
        data = np.arange(30)
        make = lambda: K.utils.timeseries_dataset_from_array(data, data, 4, shuffle=True, seed=7, batch_size=6)
        one, other = make(), make()
        passes = [np.concatenate([y for _, y in one]) for _ in range(2)]
        assert all(sorted(p) == list(range(27)) for p in passes) and list(passes[0]) != list(passes[1])
        assert all(list(p) == list(np.concatenate([y for _, y in other])) for p in passes)
        assert all((x[:, 0] == y).all() for x, y in one)

    @pytest.mark.fastrnn_only
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_fit_reads_it_as_its_batches(self, K, shuffle):
        """fit on the dataset, which takes rows from the series, and on its batches one by one."""
        series = np.random.default_rng(0).normal(size=(60, FEATURES))
        make = lambda: K.utils.timeseries_dataset_from_array(
            series[:-5], series[5:, :1], STEPS, batch_size=8, shuffle=shuffle, seed=3, sequence_stride=2)
        weights = small_model(K).get_weights()
        batches = make()
        histories = [small_model(K, weights).fit(data, epochs=3, verbose=0, validation_data=make()).history
                     for data in (make(), type("Batches", (), {"__iter__": lambda self: iter(batches)})())]  # fmt: skip
        assert histories[0] == histories[1]
        model = small_model(K, weights)
        np.testing.assert_array_equal(model.predict(make(), verbose=0), np.concatenate([model.predict(x, verbose=0) for x, _ in make()]))

    @pytest.mark.fastrnn_only
    def test_take_and_map(self, K):
        """As `split_window` of TensorFlow's tutorial on series: inputs and targets are parts of one window."""
        series = np.random.default_rng(0).normal(size=(40, FEATURES))
        windows = K.utils.timeseries_dataset_from_array(series, None, STEPS + 1, batch_size=8)
        pairs = windows.map(lambda w: (w[:, :-1], w[:, -1, :1])).map(lambda x, y: (x, y * 2)).take(3)
        assert len(windows) == len(windows.map(len)) == 5 and len(pairs) == len(windows.take(3)) == 3 and len(windows.take(-1)) == 5
        weights = small_model(K).get_weights()
        x, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
        assert np.array_equal(x[9], series[9:14]) and np.array_equal(y[9], 2 * series[14, :1])
        expected = small_model(K, weights).fit(x, y, batch_size=8, shuffle=False, epochs=2, verbose=0).history
        got, warned = quietly(lambda: small_model(K, weights).fit(pairs, epochs=2, verbose=0).history)
        assert got == expected and not warned

    @pytest.mark.fastrnn_only
    def test_batches_are_the_users_own(self, K):
        data = np.arange(10.0)
        for batch in K.utils.timeseries_dataset_from_array(data, None, 3):
            batch += 1
        assert (data == np.arange(10)).all()


@pytest.mark.fastrnn_only
class TestUnequalLengths:
    LENGTHS = (3, 5, 3, 1, 5, 5, 8)

    def samples(self):
        rng = np.random.default_rng(0)
        return [rng.normal(size=(n, FEATURES)) for n in self.LENGTHS]

    @pytest.mark.parametrize("batch_size", [None, 2])
    def test_predict(self, K, batch_size):
        model, x = small_model(K, steps=None), self.samples()
        got = model.predict(x, batch_size=batch_size, verbose=0)
        assert got.shape == (7, 1)
        assert_close(got, np.concatenate([model.predict(s[None], verbose=0) for s in x]), 1e-6)
        as_objects = np.empty(len(x), object)
        as_objects[:] = x
        assert (model.predict(as_objects, batch_size=batch_size, verbose=0) == got).all()

    def test_sequences_as_outputs(self, K):
        model = K.Sequential([K.Input((None, FEATURES)), K.layers.LSTM(3, return_sequences=True)])
        got = model.predict(self.samples(), verbose=0)
        assert [g.shape for g in got] == [(n, 3) for n in self.LENGTHS]
        for g, s in zip(got, self.samples()):
            assert_close(g, model.predict(s[None], verbose=0)[0], 1e-6)

    def test_several_outputs(self, K):
        model = K.Sequential([K.Input((None, FEATURES)), K.layers.GRU(3, return_sequences=True, return_state=True)])
        sequences, states = model.predict(self.samples(), verbose=0)
        assert [s.shape for s in sequences] == [(n, 3) for n in self.LENGTHS] and states.shape == (7, 3)
        assert_close(np.stack([s[-1] for s in sequences]), states, 1e-6)

    def test_ids(self, K):
        model = K.Sequential([K.Input((None,)), K.layers.Embedding(9, 4), K.layers.GRU(3)])
        got = model.predict([[1, 2, 3], [4], [5, 6, 7], [8, 1]], verbose=0)
        assert_close(got[[0, 2]], model.predict([[1, 2, 3], [5, 6, 7]], verbose=0), 1e-6)
        assert_close(got[[1]], model.predict([[4]], verbose=0), 1e-6)

    def test_what_cannot_be(self, K):
        model = small_model(K, steps=None)
        with pytest.raises(ValueError, match="`steps` cannot be used"):
            model.predict(self.samples(), steps=1, verbose=0)
        with pytest.raises(ValueError, match="pad_sequences"):
            model.fit(self.samples(), np.zeros(7), verbose=0)
        with pytest.raises(ValueError, match="expected axis -1"):
            model.predict([np.zeros((2, FEATURES)), np.zeros((3, FEATURES + 1))], verbose=0)


class TestSplitDataset:
    SIZES = ({"left_size": 0.7}, {"right_size": 0.25}, {"left_size": 4}, {"right_size": 3}, {"left_size": 2, "right_size": 0.5},
             {"left_size": 0.5, "shuffle": True, "seed": 4})  # fmt: skip

    @pytest.mark.parity
    @pytest.mark.parametrize("options", SIZES, ids=str)
    def test_parity(self, K, options):
        keras = pytest.importorskip("keras")
        pytest.importorskip("tensorflow")
        for data in (X, (X, Y)):
            theirs = keras.utils.split_dataset(data, preferred_backend="tensorflow", **options)
            for left, right in zip(K.utils.split_dataset(data, **options), theirs, strict=True):
                assert len(left) == len(right)
                for a, b in zip(left, right, strict=True):
                    for u, v in zip(a, b, strict=True) if isinstance(data, tuple) else [(a, b)]:
                        assert np.array_equal(u, np.asarray(v))

    @pytest.mark.fastrnn_only
    def test_windows(self, K):
        dataset = K.utils.timeseries_dataset_from_array(X[:, 0], Y, STEPS, batch_size=4)
        left, right = K.utils.split_dataset(dataset, left_size=0.5)
        assert np.shares_memory(left.arrays[0], right.arrays[0])
        every = np.concatenate([x for x, _ in dataset])
        assert np.array_equal(np.concatenate([x for part in (left, right) for x, _ in part]), every)
        history = small_model(K).fit(left, validation_data=right, verbose=0).history
        assert np.isfinite(history["val_loss"]).all()

    @pytest.mark.fastrnn_only
    def test_fit(self, K):
        left, right = K.utils.split_dataset((X, Y), left_size=0.5, shuffle=True, seed=1)
        assert sorted(float(y[0]) for part in (left, right) for _, y in part) == sorted(Y[:, 0].tolist())
        small_model(K).fit(left.batch(4), validation_data=right.batch(8), verbose=0)

    @pytest.mark.fastrnn_only
    @pytest.mark.parametrize(("data", "options", "error", "message"), [
        (X, {}, ValueError, "At least one of"), (X, {"left_size": "a"}, TypeError, "Invalid `left_size` Type"),
        (X, {"left_size": 23}, ValueError, "positive integer smaller than 23"), (X, {"right_size": 1.5}, ValueError, "within the range"),
        (X, {"left_size": 0.9, "right_size": 0.9}, ValueError, "The sum of"), (X, {"left_size": 0.001}, ValueError, "would be empty"),
        ((X, Y[:5]), {"left_size": 2}, ValueError, "different lengths"), (iter(X), {"left_size": 2}, TypeError, "`dataset` argument"),
    ], ids=str)  # fmt: skip
    def test_errors(self, K, data, options, error, message):
        with pytest.raises(error, match=message):
            K.utils.split_dataset(data, **options)
