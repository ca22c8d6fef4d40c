"""The programs of the documents in tests/documents/ run as they stand, and give what Keras gives.

A program is a sequence of cells (`# %% name`) run like a notebook: in one namespace, the value of a last expression is
echoed, and a cell that raises leaves the session usable.  A number in brackets, [25], is the item of the list of what
the documents use; every item is named beside the assertion that holds it.
"""

import ast
import contextlib
import io
import re
import sys
import types
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import API_NAME, to_numpy
from documents import stand_ins

PROGRAMS = Path(__file__).parent / "documents"
ours = pytest.mark.fastrnn_only


@dataclass
class Cell:
    out: str = ""
    value: object = None  # of the last expression, or None
    error: Exception | None = None
    names: dict = field(default_factory=dict)  # the namespace after the cell


def run_cells(program):
    """Run a program cell by cell; {name of the cell: Cell}."""
    source = (PROGRAMS / program).read_text(encoding="utf-8")
    if API_NAME != "fastrnn":
        source = source.replace("import fastrnn as tf", "import tensorflow_stand_in as tf")
        source = source.replace("fastrnn", API_NAME)
    namespace, cells = {"__name__": "__main__"}, {}
    for part in re.split(r"^# %% ", source, flags=re.MULTILINE)[1:]:
        name, code = part.split("\n", 1)
        body = ast.parse(code).body
        last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
        cell, out = Cell(), io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                exec(compile(ast.Module(body, []), program, "exec"), namespace)
                if last:
                    cell.value = eval(compile(last, program, "eval"), namespace)
            except Exception as error:
                cell.error = error
        cell.out, cell.names = out.getvalue(), dict(namespace)
        assert name not in cells
        cells[name] = cell
    expected_to_fail = {name for name in cells if name.endswith(": raises")}
    for name in cells.keys() - expected_to_fail:
        if cells[name].error:
            raise AssertionError(f"{program}, cell {name!r} failed") from cells[name].error
    assert all(cells[name].error for name in expected_to_fail)
    return cells


@pytest.fixture(scope="module")
def run(K, tmp_path_factory):
    """run(program) -> cells, each program once, in a fresh session, with the stand-ins in place."""
    folder = tmp_path_factory.mktemp("datasets")
    stand_ins.write_imdb(folder / "imdb.npz")
    stand_ins.write_reuters(folder / "reuters.npz")
    patch = pytest.MonkeyPatch()
    for name, module in stand_ins.modules().items():
        patch.setitem(sys.modules, name, module)
    tensorflow = types.ModuleType("tensorflow_stand_in")
    tensorflow.keras, tensorflow.random, tensorflow.__version__ = K, K.random, K.__version__
    patch.setitem(sys.modules, "tensorflow_stand_in", tensorflow)
    for name in ("imdb", "reuters"):  # [81] the programs download; here they find a local file
        dataset = getattr(K.datasets, name)
        path = str(folder / f"{name}.npz")
        if API_NAME == "fastrnn":
            patch.setattr(dataset, "load_data", partial(dataset.load_data, path=path))
        else:
            patch.setattr(sys.modules[dataset.load_data.__module__], "get_file", lambda path=path, **_: path)
    results = {}

    def run(program):
        if program not in results:
            K.utils.clear_session()
            K.utils.set_random_seed(7)
            results[program] = run_cells(program)
        return results[program]

    run.folder = folder
    yield run
    patch.undo()


# --------------------------------------------------------------------------------------- what is printed

ROW = re.compile(r"(\w+) \((\w+)\)?[\s│]+\((.*?)\)[\s│]+([\d,]+)")
TOTALS = re.compile(r"(Total|Trainable|Non-trainable) params: ([\d,]+)")


def summary(text):
    """(model name, [(layer, class, shape, count)], {total: count}) of a printed summary; header checked. [19] [20]"""
    assert "Layer (type)" in text and "Output Shape" in text and "Param #" in text
    (name,) = re.findall(r'Model: "(\w+)"', text)
    rows = [(n, c, f"({s})", int(p.replace(",", ""))) for n, c, s, p in ROW.findall(text)]
    totals = {k: int(v.replace(",", "")) for k, v in TOTALS.findall(text)}
    assert set(totals) == {"Total", "Trainable", "Non-trainable"}
    assert totals["Total"] == totals["Trainable"] + totals["Non-trainable"] == sum(r[3] for r in rows)
    return name, rows, totals


def check_epochs(text, epochs, steps, keys=("loss",)):
    """`Epoch i/N` lines, and for each a line `steps/steps ... 3ms/step - loss: 5.4923e-04`. [61] [63]"""
    assert [int(i) for i in re.findall(rf"Epoch (\d+)/{epochs}\b", text)] == list(range(1, epochs + 1))
    last = text.split(f"Epoch {epochs}/{epochs}")[1]
    assert f"{steps}/{steps}" in last and re.search(r"\d(s|ms|us|µs)/step", last), last
    for key in keys:
        assert re.search(rf"\b{key}: \d+\.\d+(e[+-]\d+)?", last), (key, last)


def one_line(text):
    """No terminal control in what was written to a file: at most one carriage return would be a redrawn bar."""
    return "\r" not in text and "\b" not in text and "\x1b" not in text


FIRST = [  # cell, model, first layers, dense names, total: the values of the document [13] [14] [25]
    ("simple_rnn", "sequential", [("simple_rnn", "SimpleRNN", "(None, 7)", 63)], ("dense", "dense_1"), 100),
    ("lstm", "sequential_1", [("lstm", "LSTM", "(None, 7)", 252)], ("dense_2", "dense_3"), 289),
    ("gru", "sequential_2", [("gru", "GRU", "(None, 7)", 210)], ("dense_4", "dense_5"), 247),
    ("bidirectional", "sequential_3", [("bidirectional", "Bidirectional", "(None, 14)", 504)],
     ("dense_6", "dense_7"), 569),
    ("stacked", "sequential_5", [("lstm_4", "LSTM", "(None, 5, 7)", 252), ("lstm_5", "LSTM", "(None, 8)", 512)],
     ("dense_8", "dense_9"), 805),
]  # fmt: skip


@pytest.mark.parametrize("what, model, layers, dense, total", FIRST, ids=[row[0] for row in FIRST])
def test_first_rnn(run, what, model, layers, dense, total):
    """[1] [2] [10] [11] [33] [34] [36] [43] [44] [48] and the numbers named below."""
    cells = run("first_rnn.py")
    name, rows, totals = summary(cells[f"{what} model"].out)
    dense_count = {7: 32, 8: 36, 14: 60}[int(layers[-1][2].rsplit(", ", 1)[1][:-1])]
    assert name == model
    assert rows == [*layers, (dense[0], "Dense", "(None, 4)", dense_count), (dense[1], "Dense", "(None, 1)", 5)]
    assert totals == {"Total": total, "Trainable": total, "Non-trainable": 0}

    fit = cells[f"{what} fit"]
    names = fit.names
    check_epochs(fit.out.split("(1, 5)\n")[0], 100, 3, ["loss", "mse"])  # [60] batch_size=1; [58] [59]
    history = names["model"].history
    assert set(history.history) == {"loss", "mse"} and history.epoch == list(range(100))  # [69]
    assert all(type(v) is float for v in history.history["loss"])
    np.testing.assert_allclose(history.history["loss"], history.history["mse"], rtol=1e-5)
    assert history.params["steps"] == 3 and history.params["epochs"] == 100

    assert names["x_train"].dtype.kind == names["y_train"].dtype.kind == "i"  # [64]
    answer = cells["simple_rnn predict" if what == "simple_rnn" else f"{what} fit"]
    prediction = answer.names["y_predict"]
    assert type(prediction) is np.ndarray and prediction.dtype == np.float32  # [73]
    assert prediction.shape == (1, 1)  # [76] a batch of 1 after batches of 1, from 3 samples
    assert f"예측값 :  {prediction}" in answer.out and "1/1" in answer.out  # [73] [75]
    assert 0 < prediction[0, 0] < 13  # [78] twenty seeds of Keras: 1.35 .. 11.4


def test_first_rnn_session(run):
    cells = run("first_rnn.py")
    assert re.search(r"History (object )?at 0x", repr(cells["simple_rnn fit"].value))  # [69]
    assert "(1, 5)\nx_predict reshape :  (1, 5, 1)\n" in cells["predict data"].out
    # [15] the layer cannot be added, [90] and the session goes on, [72] fit included
    error = cells["stacked without sequences: raises"].error
    assert type(error) is ValueError
    assert re.search(r"Input 0 .*of layer .?lstm_3.? is incompatible with the layer: expected ndim=3, found ndim=2. "
                     r"Full shape received: \(None, 7\)", str(error))  # fmt: skip
    if API_NAME == "fastrnn":  # Keras keeps the layer that does not fit
        assert len(cells["stacked without sequences: raises"].names["model"].layers) == 1
    lstm = cells["lstm fit"].names["model"].layers[0]
    assert lstm.activation.__name__ == "relu" and lstm.recurrent_activation.__name__ == "sigmoid"  # [33] [35]
    assert abs(float(cells["lstm fit"].names["model"].optimizer.learning_rate) - 0.001) < 1e-9  # [54]


# Predictions after the documents' 100 epochs, of Keras 3.15 (torch) with set_random_seed(0 .. 19): the quartiles.
KERAS_FORECASTS = {
    "simple_rnn": (9.34, 9.87),
    "lstm": (9.23, 10.94),
    "gru": (8.79, 9.39),
    "bidirectional": (8.89, 10.44),
    "stacked": (7.06, 7.56),
}


@ours
@pytest.mark.parametrize("what", KERAS_FORECASTS)
def test_forecasts_are_those_of_keras(K, what):
    """[78] The median of eleven seeds lies between Keras's quartiles, or not further outside than their distance."""
    L = K.layers
    first = {
        "simple_rnn": lambda: [L.SimpleRNN(7, input_shape=(5, 1), activation="relu")],
        "lstm": lambda: [L.LSTM(7, input_shape=(5, 1), activation="relu")],
        "gru": lambda: [L.GRU(7, input_shape=(5, 1), activation="relu")],
        "bidirectional": lambda: [L.Bidirectional(L.LSTM(7, activation="relu"), input_shape=(5, 1))],
        "stacked": lambda: [L.LSTM(7, input_shape=(5, 1), activation="relu", return_sequences=True), L.LSTM(8)],
    }[what]
    x = np.arange(1, 4)[:, None, None] + np.arange(5)[:, None]
    forecasts = []
    for seed in range(11):
        K.utils.set_random_seed(seed)
        model = K.Sequential([*first(), L.Dense(4), L.Dense(1)])
        model.compile(optimizer="adam", loss="mse", metrics=["mse"])
        model.fit(x, np.array([[6], [7], [8]]), epochs=100, batch_size=1, verbose=0)
        forecasts.append(model.predict(x[:1] + 3, verbose=0)[0, 0])
    low, high = KERAS_FORECASTS[what]
    assert low - (high - low) < np.median(forecasts) < high + (high - low), forecasts


# ------------------------------------------------------------------------------------------- chapter_10.py


def test_chapter_10_stock_samples(run):
    cells = run("chapter_10.py")
    names = cells["stock samples"].names  # [86] [87]
    assert names["X"].shape == (284, 7, 1) and names["y"].shape == (284, 1)
    assert (names["X"][0].ravel() == [55500, 56000, 54900, 55700, 56200, 58400, 58800]).all()
    assert "(284, 7, 1) (284, 1)" in cells["stock samples"].out


def test_chapter_10_example_2(run):
    cell = run("chapter_10.py")["example 2"]
    name, rows, totals = summary(cell.out.split("\nEpoch 1/200")[0])
    assert [r[1:] for r in rows] == [("SimpleRNN", "(None, 50)", 2600), ("Dense", "(None, 1)", 51)]  # [26]
    assert totals["Total"] == 2651
    lines = re.findall(r"^1/1 - \d+m?s.* loss: \S+.*$", cell.out, re.MULTILINE)  # [62] one line an epoch, 200 times
    assert len(lines) == 200 and all("accuracy: " in line for line in lines)
    history = cell.names["model"].history.history
    assert history["accuracy"] == [0.0] * 200  # [58] of a regression
    prediction = cell.names["model"].predict(cell.names["X"], verbose=0)
    # [78] 200 epochs of Keras with seeds 0 .. 19 give at most 0.03 from the document's own values, here 0.04
    document = [0.37884986, 0.5052986, 0.62007874, 0.72003114, 0.8036888, 0.87106013]
    np.testing.assert_allclose(prediction[:, 0], document, atol=0.04)
    test = cell.names["model"].predict(cell.names["X_test"], verbose=0)
    assert test.shape == (1, 1) and 0.95 < test[0, 0] < 1.2  # Keras, seeds 0 .. 19: 1.02 .. 1.155; document 0.989
    assert str(test) in cell.out  # [75] printed by print()
    assert history["loss"][-1] < 1e-3  # Keras, seeds 0 .. 19: below 3e-4


def test_chapter_10_layers_called_on_arrays(run):
    cells = run("chapter_10.py")
    names = cells["layer call"].names  # [7] [40]
    assert tuple(names["output"].shape) == (32, 4)
    layer, x = names["simple_rnn"], names["inputs"]
    kernel, recurrent, bias = layer.get_weights()
    h = np.zeros((32, 4))
    for t in range(10):  # [45]
        h = np.tanh(x[:, t] @ kernel + h @ recurrent + bias)
    np.testing.assert_allclose(to_numpy(names["output"]), h, atol=3e-6)
    names = cells["layer call with sequences and state"].names  # [38]
    sequence, state = to_numpy(names["whole_sequence_output"]), to_numpy(names["final_state"])
    assert sequence.shape == (32, 10, 4) and state.shape == (32, 4)
    np.testing.assert_array_equal(sequence[:, -1], state)
    cell = cells["lstm call"]  # [8] [41]
    assert "32, 4" in cell.out.splitlines()[0]
    assert len(cell.out) > 200 and tuple(cell.names["inputs"].shape) == (32, 10, 8)
    inputs = to_numpy(cell.names["inputs"])
    assert inputs.dtype == np.float32 and abs(inputs.mean()) < 0.1 and abs(inputs.std() - 1) < 0.1


def test_chapter_10_sine(run):
    cells = run("chapter_10.py")
    cell = cells["sine 1"]
    check_epochs(cell.out, 100, 31)  # [60] batch_size 32; [68] 990 / 32, the last batch has 30 samples
    history = cell.names["history"]
    assert history.params["steps"] == 31 and history.epoch == list(range(100))
    assert set(history.history) == {"loss"}
    # [78] document 5.5e-4; Keras with seeds 0 .. 5: 5.2e-4 .. 1.4e-3
    assert 1e-4 < history.history["loss"][-1] < 3e-3
    assert history.history["loss"][0] > 10 * history.history["loss"][-1]
    cell = cells["sine 2"]
    assert cell.out == ""  # [74] verbose=0 is silent
    prediction = cell.names["y_pred"]
    assert prediction.shape == (990, 1) and prediction.dtype == np.float32
    assert np.abs(prediction - cell.names["y"]).max() < 0.15  # Keras, seeds 0 .. 5: 0.046 .. 0.071
    assert cell.names["y"].shape == (990, 1) and cell.names["y"].dtype == np.float64  # [64]
    plt = cell.names["plt"]  # [84]
    assert plt.lines[1][0] == "loss" and len(plt.lines[1][1]) == 100


def test_chapter_10_stock_forecast(run):
    cell = run("chapter_10.py")["stock forecast"]
    names = cell.names
    assert names["X_train"].shape == (270, 30, 1) and names["pred"].shape == (170, 1)  # [31] [86]
    check_epochs(cell.out, 100, 17)  # [60] batch_size 16: 270 / 16
    model = names["model"]
    assert model.layers[0].get_config()["return_sequences"] is False
    assert model.history.history["loss"][-1] < model.history.history["loss"][0] / 5
    # better than forecasting the mean of what it was trained on
    error = np.sqrt(np.mean((names["pred"] - names["y_test"]) ** 2))
    assert error < 0.5 * np.sqrt(np.mean((names["y_train"].mean() - names["y_test"]) ** 2))


# -------------------------------------------------------------------------------------------- simple_rnn.py


def test_simple_rnn_notebook(run):
    cells = run("simple_rnn.py")
    assert re.match(r"\d+\.\d+.*\n\d+\.\d+", cells["versions"].out)  # [6]
    model = cells["list constructor"].names["model"]  # [7] [12] [30] [31]
    assert model.output_shape == (None, 1) and model.count_params() == 131
    name, rows, totals = summary(cells["return_sequences true"].out)
    assert rows[0][1:] == ("SimpleRNN", "(None, 5, 10)", 120) and totals["Total"] == 120  # [16] [27]
    before = summary(cells["return_sequences false"].out)
    assert before[1][0][1:] == ("SimpleRNN", "(None, 10)", 120)
    assert summary(cells["compile"].out) == before  # [21]
    number = [int(c["model"].name.partition("_")[2] or 0) for c in (
        cells["list constructor"].names, cells["return_sequences true"].names, cells["return_sequences false"].names)]
    assert number == [0, 1, 2]  # [13]
    names = [r[0][0] for r in (rows, before[1])]
    assert names == ["simple_rnn_1", "simple_rnn_2"]  # [14]


def test_simple_rnn_notebook_training(run, K):
    cells = run("simple_rnn.py")
    fit = cells["fit"]
    check_epochs(fit.out, 50, 1)  # [61]
    loss = fit.value.history["loss"]
    assert len(loss) == 50
    assert 0.6 < loss[0] < 1.8 and 0.3 < loss[-1] < 1.4  # [78] Keras, seeds 0 .. 19: 0.76 .. 1.63, 0.46 .. 1.30
    # document: 1.0241 -> 0.7781; in Keras 3 not monotonic, as shuffling moves the targets against the units: see [66]
    assert 0.1 < np.mean(loss[:5]) - np.mean(loss[-5:]) < 0.6
    names = cells["predict"].names
    prediction = names["pred"]
    assert prediction.shape == (10, 10) and cells["predict"].value.shape == (10,)
    assert cells["predict"].value.dtype == np.float32
    # [17] [66] y (10,) against (10, 10): a target to each sample, as in Keras 2, or to each unit, as in Keras 3
    expected = [np.mean((prediction - y) ** 2) for y in (names["Y"][:, None], names["Y"])]
    loss = names["model"].evaluate(names["X"], names["Y"], verbose=0)
    assert min(abs(loss - e) for e in expected) < 1e-6 and abs(expected[0] - expected[1]) > 1e-3


# ------------------------------------------------------------------------------------------ imdb_reuters.py


def test_summaries_before_any_data(run):
    """[18] [22] [23] [28] [44] [46] [50]"""
    cells = run("imdb_reuters.py")
    model = cells["embedding"].names["model"]
    assert [layer.__class__.__name__ for layer in model.layers] == ["Embedding"]
    for name in ("embedding", "two layers", "four layers", "simple_rnn model", "lstm model", "gru model"):
        assert 'Model: "sequential' in cells[name].out


@ours
def test_summaries_before_any_data_show_shapes(run):
    cells = run("imdb_reuters.py")
    assert "320,000" in cells["embedding"].out  # [23]
    name, rows, totals = summary(cells["embedding"].out)
    assert rows == [("embedding", "Embedding", "(None, None, 32)", 320000)] and totals["Total"] == 320000  # [28]
    _, rows, _ = summary(cells["two layers"].out)
    assert [r[2:] for r in rows] == [("(None, None, 32)", 320000), ("(None, None, 32)", 2080), ("(None, 16)", 784)]
    _, rows, _ = summary(cells["four layers"].out)
    assert [r[2] for r in rows] == ["(None, None, 32)"] * 4 + ["(None, 32)"]
    _, rows, totals = summary(cells["lstm model"].out)
    assert [r[2:] for r in rows] == [("(None, None, 32)", 320000), ("(None, 32)", 8320), ("(None, 1)", 33)]
    _, rows, totals = summary(cells["gru model"].out)
    assert [r[2:] for r in rows] == [("(None, None, 256)", 2560000), ("(None, None, 256)", 394752),
                                     ("(None, 128)", 148224), ("(None, 46)", 5934)]  # fmt: skip


def expected_imdb(path, num_words=10000):
    """The reviews by Keras's rules: shuffled with seed 113, start_char 1, index_from 3, oov_char 2."""
    file = np.load(path, allow_pickle=True)
    rng, parts = np.random.RandomState(113), []
    for part in ("train", "test"):
        order = np.arange(len(file[f"x_{part}"]))
        rng.shuffle(order)
        reviews = [[1] + [w + 3 if w + 3 < num_words else 2 for w in file[f"x_{part}"][i]] for i in order]
        parts.append((reviews, file[f"y_{part}"][order]))
    return parts


def test_imdb_data(run):
    cells = run("imdb_reuters.py")
    names = cells["load imdb"].names
    (train, y_train), (test, y_test) = expected_imdb(run.folder / "imdb.npz")
    again = cells["load imdb again"].names
    assert type(again["x_train"]) is np.ndarray and again["x_train"].dtype == object  # [79]
    assert [list(r) for r in again["x_train"]] == train and [list(r) for r in again["x_test"]] == test
    assert (again["y_train"] == y_train).all() and (names["y_test"] == y_test).all()
    assert any(2 in r for r in train) and any(len(r) > 500 for r in train) and any(len(r) < 500 for r in train)
    padded = np.zeros((len(train), 500), np.int32)  # [82] pre-padding, pre-truncating, value 0, int32
    for row, review in zip(padded, train):
        row[max(0, 500 - len(review)) :] = review[-500:]
    assert names["input_train"].dtype == np.int32 and (names["input_train"] == padded).all()
    assert (again["pad_x_train"] == padded).all()  # [79] the same order the second time, [5] both ways to import
    assert cells["load imdb"].out.endswith("160\n40\n(160, 500)\n(40, 500)\n")  # [83]


@pytest.mark.parametrize("what", ["simple_rnn", "lstm"])
def test_imdb_training(run, what):
    cells = run("imdb_reuters.py")
    # [56] compile accepts the misspelt loss, fit says what is wrong
    error = cells[f"{what} fit: raises"].error
    assert type(error) is ValueError and "binarycrossentropy" in str(error)
    if API_NAME == "fastrnn":
        assert "binary_crossentropy" in str(error)
    fit = cells[f"{what} fit"]  # [54] rmsprop, [57] [58]
    history = fit.names["history"]
    assert set(history.history) == {"loss", "acc", "val_loss", "val_acc"} and len(history.history["loss"]) == 10
    check_epochs(fit.out, 10, 1, ["loss", "acc", "val_loss", "val_acc"])  # 128 of 160 samples, batch_size 128
    assert history.params["steps"] == 1
    names = cells[f"{what} evaluate"].names
    model = names["model"]
    assert type(model.optimizer).__name__.lower() == "rmsprop"
    # [67] the validation samples are the last fifth
    data = names["input_train"][128:], fit.names["y_train"][128:]
    np.testing.assert_allclose(model.evaluate(*data, verbose=0),
                               [history.history[k][-1] for k in ("val_loss", "val_acc")], rtol=1e-5)  # fmt: skip
    result = cells[f"{what} evaluate"].value  # [77]
    assert isinstance(result, list) and len(result) == 2 and all(isinstance(v, float) for v in result)
    assert "2/2" in cells[f"{what} evaluate"].out  # 40 samples in batches of 32
    prediction = model.predict(names["input_test"], verbose=0)
    y = names["y_test"]
    loss = -np.mean(np.log(np.where(y == 1, prediction[:, 0], 1 - prediction[:, 0])))
    np.testing.assert_allclose(result, [loss, np.mean((prediction[:, 0] > 0.5) == y)], rtol=1e-4)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert abs(history.history["loss"][0] - np.log(2)) < 0.1
    plot = cells[f"{what} plot"].names["plt"]
    assert "style seaborn-white" in plot.calls  # [84] [85]


def test_reuters(run):
    cells = run("imdb_reuters.py")
    assert cells["load reuters"].out == "(10,)\n(10,)\n(3,)\n(3,)\n"  # [80] a fifth is for the test
    file = np.load(run.folder / "reuters.npz", allow_pickle=True)
    order = np.arange(13)
    np.random.RandomState(113).shuffle(order)
    names = cells["load reuters"].names
    assert (names["y_train"] == file["y"][order[:10]]).all() and names["y_train"].max() < 46
    assert list(names["x_test"][0]) == [1] + [w + 3 if w + 3 < 10000 else 2 for w in file["x"][order[10]]]
    assert names["x_train"].dtype == object
    assert cells["pad"].out == "300\n"
    sample = cells["one sample"].value  # [83]
    assert sample.shape == (300,) and (sample == cells["pad"].names["pad_x_train"][5]).all()
    fit = cells["gru fit"]
    check_epochs(fit.out, 20, 1, ["loss", "acc", "val_loss", "val_acc"])
    history = fit.names["history"].history
    assert abs(history["loss"][0] - np.log(46)) < 0.1 and history["loss"][-1] < history["loss"][0] / 2
    loss, acc = cells["gru evaluate"].value
    names = cells["gru evaluate"].names
    prediction = names["model"].predict(names["pad_x_test"], verbose=0)
    assert prediction.shape == (3, 46) and np.allclose(prediction.sum(axis=1), 1, atol=1e-5)
    y = names["y_test"]
    np.testing.assert_allclose(loss, -np.mean(np.log(prediction[range(3), y])), rtol=1e-4)
    assert abs(acc - np.mean(prediction.argmax(axis=1) == y)) < 1e-6
    gru = names["model"].layers[1]
    assert gru.get_config()["reset_after"] is True and gru.get_weights()[2].shape == (2, 768)  # [42]


# ------------------------------------------------------------------------------- calc_param.py and the rest


def test_calc_param(run):
    name, rows, totals = summary(run("calc_param.py")["all"].out)
    assert rows == [("gru", "GRU", "(None, 10)", 390), ("dense", "Dense", "(None, 1)", 11)]  # [29]
    names = run("calc_param.py")["all"].names
    assert totals["Total"] == 401 and names["model"].predict(names["x"], verbose=0).shape == (7, 1)
    with pytest.raises(ValueError, match="compile"):  # [18]
        names["model"].fit(names["x"], names["y"], verbose=0)


@pytest.mark.parametrize("layer, options, count", [
    ("SimpleRNN", {}, 120), ("LSTM", {}, 480), ("GRU", {}, 390), ("GRU", {"reset_after": False}, 360),
])  # fmt: skip
def test_parameter_counts_of_the_text(K, layer, options, count):
    """[27] [29] [30] [42]"""
    model = K.Sequential()
    model.add(getattr(K.layers, layer)(units=10, input_shape=(3, 1), **options))
    assert model.count_params() == count and model.output_shape == (None, 10)


@ours
@pytest.mark.parametrize("layer", ["SimpleRNN", "LSTM", "GRU"])
def test_input_length_and_input_dim(K, layer):
    """[32] The commented-out lines of the programs, in Keras 2's words."""
    model = K.Sequential()
    model.add(getattr(K.layers, layer)(units=64, input_length=3, input_dim=1))
    assert model.input_shape == (None, 3, 1) and model.output_shape == (None, 64)


def test_split_x(run):
    names = run("split_x.py")["all"].names
    name, rows, totals = summary(run("split_x.py")["all"].out)
    assert [r[1:] for r in rows] == [  # [24] [51]
        ("LSTM", "(None, 64)", 16896), ("Dense", "(None, 32)", 2080), ("Dropout", "(None, 32)", 0),
        ("Dense", "(None, 16)", 528), ("Dropout", "(None, 16)", 0), ("Dense", "(None, 16)", 272),
        ("Dense", "(None, 1)", 17)]  # fmt: skip
    assert [r[0] for r in rows if r[1] == "Dropout"] == ["dropout", "dropout_1"]
    model2, model3 = names["model2"], names["model3"]
    assert model2.input_shape == (None, 4) and model2.output_shape == (None, 1)  # [49]
    assert model2.count_params() == 160 + 528 + 272 + 68 + 5
    conv, flatten = model3.layers[:2]
    assert conv.compute_output_shape((None, 2, 2, 1)) == (None, 2, 2, 32)  # [52]
    assert flatten.compute_output_shape((None, 2, 2, 32)) == (None, 128)  # [53]
    assert model3.layers[0].count_params() == 160 and model3.output_shape == (None, 1)
    assert names["x"].shape == (6, 2, 2, 1)  # [88]


def test_split_x_models_train(run):
    """The program stops before it trains; the models it makes can: float and integer data, [65] y of shape (6,)."""
    names = run("split_x.py")["all"].names
    y = names["y"]
    for model, x in ((names["model1"], y[:, None, None] - 4 + np.arange(4)[:, None]),
                     (names["model2"], names["total_Data"][:, :-1]), (names["model3"], names["x"])):  # fmt: skip
        model.compile(optimizer="adam", loss="mse")
        before = model.evaluate(x, y, verbose=0)
        assert type(before) is float  # [77]
        np.testing.assert_allclose(before, np.mean((model.predict(x, verbose=0)[:, 0] - y) ** 2), rtol=1e-5)
        model.fit(x, y, epochs=40, verbose=0)
        assert model.evaluate(x, y, verbose=0) < before


def test_dropout_is_off_outside_fit(K, rng):
    """[51]"""
    L = K.layers
    model = K.Sequential([L.LSTM(16, input_shape=(4, 1)), L.Dropout(0.2), L.Dense(8), L.Dropout(0.1), L.Dense(1)])
    model.compile(K.optimizers.SGD(learning_rate=0.0), "mse")
    x, y = rng.normal(size=(9, 4, 1)), rng.normal(size=9)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))
    expected = np.mean((model.predict(x, verbose=0)[:, 0] - y) ** 2)
    assert abs(model.evaluate(x, y, verbose=0) - expected) < 1e-5
    assert len(set(model.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"])) == 3


def test_rnn_model(run, K):
    cell = run("rnn_model.py")["all"]
    name, rows, totals = summary(cell.out.split("\nEpoch 1/512")[0])
    assert [r[1:] for r in rows] == [  # [37] return_sequences='True' counts as true; [44] LSTM -> SimpleRNN
        ("LSTM", "(None, 3, 64)", 16896), ("SimpleRNN", "(None, 64)", 8256), ("Dense", "(None, 64)", 4160),
        ("Dropout", "(None, 64)", 0), ("Dense", "(None, 32)", 2080), ("Dropout", "(None, 32)", 0),
        ("Dense", "(None, 32)", 1056), ("Dense", "(None, 16)", 528), ("Dense", "(None, 1)", 17)]  # fmt: skip
    assert cell.names["ModelCheckpoint"] is K.callbacks.ModelCheckpoint  # [3] [9]
    losses = cell.names["model"].history.history["loss"]
    best = int(np.argmin(losses)) + 1
    # [70] [71]
    assert f"Restoring model weights from the end of the best epoch: {best}." in cell.out
    stop = re.search(r"^Epoch (\d+): early stopping", cell.out, re.MULTILINE)
    if len(losses) < 512:
        assert int(stop[1]) == len(losses) == best + 32
    else:
        assert not stop or int(stop[1]) == 512
    loss = cell.names["loss"]
    assert type(loss) is float and f"Loss:  {loss}" in cell.out  # [77]
    assert loss < 150  # [78] document 2.88; Keras, seeds 0 .. 5: 3.9 .. 36.7
    result = cell.names["result"]
    assert result.shape == (1, 1) and 40 < result[0, 0] < 100  # [78] document 80.2; Keras, seeds 0 .. 5: 55.8 .. 67.8
    assert f"Predict[50,60,70]:  {result}" in cell.out


def test_rnn_model_wants_sequences(K):
    """[15] [44] The commented-out lines of the program."""
    model = K.Sequential()
    model.add(K.layers.LSTM(units=64, input_shape=(3, 1)))
    with pytest.raises(ValueError, match=r"Input 0 .*of layer .gru. is incompatible with the layer: expected "
                                         r"ndim=3, found ndim=2. Full shape received: \(None, 64\)"):  # fmt: skip
        model.add(K.layers.GRU(units=64))
    model = K.Sequential([K.layers.LSTM(units=64, input_shape=(3, 1), return_sequences="True"),
                          K.layers.GRU(units=64)])  # fmt: skip
    assert model.output_shape == (None, 64)


def test_return_state_alone(K):
    """[39]"""
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    output, state = K.layers.SimpleRNN(5, return_state=True)(x)
    np.testing.assert_array_equal(to_numpy(output), to_numpy(state))
    output, h, c = K.layers.LSTM(5, return_state=True)(x)
    assert tuple(output.shape) == tuple(h.shape) == tuple(c.shape) == (3, 5)


def test_last_incomplete_batch(K):
    """[68] 1500 samples are 47 batches of 32."""
    model = K.Sequential([K.Input((1,)), K.layers.Dense(1)])
    model.compile("sgd", "mse")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        history = model.fit(np.ones((1500, 1)), np.ones(1500), epochs=1)
    assert "47/47" in out.getvalue() and history.params["steps"] == 47


def test_imported_names_exist(K):
    """[1] [2] [3] [4] [5] [6] [9]: each by `from x import y`, as the documents write it."""
    for module, names in {
        "models": "Sequential",
        "layers": "SimpleRNN LSTM GRU Bidirectional Dense Embedding Dropout Conv2D Flatten",
        "callbacks": "EarlyStopping ModelCheckpoint",
        "datasets": "imdb reuters",
        "preprocessing": "sequence",
        "preprocessing.sequence": "pad_sequences",
    }.items():
        for name in names.split():
            namespace = {}
            exec(f"from {API_NAME}.{module} import {name}", namespace)
            assert namespace[name] is not None
    assert isinstance(K.__version__, str)


def test_text_of_the_documents(K):
    """[47] Clipping against explosion, identity and zero initialisation, many-to-many, one-to-many, rows of MNIST."""
    L = K.layers
    irnn = L.SimpleRNN(6, activation="relu", recurrent_initializer="identity", bias_initializer="zeros")
    irnn.build((None, 28, 28))
    np.testing.assert_array_equal(irnn.get_weights()[1], np.eye(6))
    assert not irnn.get_weights()[2].any()
    many_to_many = K.Sequential([K.Input((28, 28)), L.SimpleRNN(6, return_sequences=True), L.Dense(3)])
    assert many_to_many.output_shape == (None, 28, 3)
    optimizer = K.optimizers.SGD(learning_rate=1.0, clipnorm=1e-3)
    model = K.Sequential([K.Input((28, 28)), L.SimpleRNN(6), L.Dense(10, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = model.get_weights()
    model.fit(np.full((4, 28, 28), 5.0), np.array([0, 1, 2, 3]), epochs=1, verbose=0)
    moved = [np.linalg.norm(a - b) for a, b in zip(before, model.get_weights())]
    assert max(moved) <= 1e-3 * 1.001 and max(moved) > 0.9e-3


@ours
def test_output_to_a_file_has_no_redrawn_bars(run):
    for program, cell in (("first_rnn.py", "simple_rnn fit"), ("chapter_10.py", "sine 1")):
        assert one_line(run(program)[cell].out)
