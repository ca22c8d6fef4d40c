"""Small replacements for what the documents' programs import besides Keras: no download, no extra package.

They hold just enough for those programs: a table with columns, a scaler, a `pyplot` that records what is plotted, and
files of the form of imdb.npz and reuters.npz with a few made-up reviews and news items.
"""

import types

import numpy as np


class Frame:
    """Named columns of equal length, as far as `frame[['Open']]`, `.to_numpy()`, `print` and NumPy need them."""

    def __init__(self, columns):
        self.columns = columns

    def __getitem__(self, names):
        return Frame({name: self.columns[name] for name in names})

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def to_numpy(self):
        return np.stack(list(self.columns.values()), axis=1)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.to_numpy(), dtype=dtype)

    def __repr__(self):
        return f"      {'  '.join(self.columns)}\n[{len(self)} rows x {len(self.columns)} columns]"


def prices(count):
    """Opening prices: the document's first eight, then a bounded walk around a wave, in steps of 100."""
    rng = np.random.default_rng(5930)
    t = np.arange(count)
    series = 55000 + 9000 * np.sin(t / 40) + rng.normal(0, 600, count).cumsum() * 0.3
    series[:8] = [55500, 56000, 54900, 55700, 56200, 58400, 58800, 59600]
    return (series // 100 * 100).astype(np.int64)


def finance_data_reader():
    module = types.ModuleType("FinanceDataReader")
    rows = {"2020": 291, "2016": 500}
    module.DataReader = lambda symbol, start: Frame(
        {"Open": prices(rows[start]), "Close": prices(rows[start])[::-1]}
    )
    return module


class MinMaxScaler:
    """Columns scaled linearly to feature_range."""

    def __init__(self, feature_range=(0, 1)):
        self.feature_range = feature_range

    def fit_transform(self, table):
        values = np.asarray(table, dtype=np.float64)
        low, high = self.feature_range
        span = values.max(axis=0) - values.min(axis=0)
        return (values - values.min(axis=0)) / span * (high - low) + low


class Pyplot(types.ModuleType):
    """Any function may be called; what is plotted is kept in `lines`, all calls in `calls`."""

    def __init__(self):
        super().__init__("matplotlib.pyplot")
        self.lines, self.calls = [], []
        self.style = types.SimpleNamespace(use=lambda name: self.calls.append(f"style {name}"))

    def plot(self, *args, **options):
        self.calls.append("plot")
        data = [np.asarray(list(a) if isinstance(a, range) else a) for a in args if not isinstance(a, str)]
        assert all(d.dtype.kind in "fi" for d in data)
        assert len({len(d) for d in data}) == 1, "x and y of different lengths"
        self.lines.append((options.get("label"), data[-1]))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: self.calls.append(name)


def modules():
    """name -> stand-in, for `sys.modules`."""
    pyplot = Pyplot()
    matplotlib = types.ModuleType("matplotlib")
    matplotlib.pyplot = pyplot
    sklearn, preprocessing = types.ModuleType("sklearn"), types.ModuleType("sklearn.preprocessing")
    sklearn.preprocessing, preprocessing.MinMaxScaler = preprocessing, MinMaxScaler
    return {
        "FinanceDataReader": finance_data_reader(),
        "pandas": types.ModuleType("pandas"),
        "matplotlib": matplotlib,
        "matplotlib.pyplot": pyplot,
        "sklearn": sklearn,
        "sklearn.preprocessing": preprocessing,
    }


def _texts(rng, count, longest):
    """Word lists as the files hold them; some are longer than the programs' maxlen, some words rarer than num_words."""
    array = np.empty(count, dtype=object)
    for i in range(count):
        length = rng.integers(5, longest)
        array[i] = [int(w) for w in np.minimum(rng.zipf(1.3, length), 20000)]
    return array


def write_imdb(path, train=160, test=40):
    """A file like imdb.npz: object arrays x_train, x_test of lists of word numbers, labels 0 and 1 in two runs."""
    rng = np.random.default_rng(25000)
    np.savez(
        path,
        x_train=_texts(rng, train, 700),
        y_train=np.arange(train) * 2 // train,
        x_test=_texts(rng, test, 700),
        y_test=np.arange(test) * 2 // test,
    )


def write_reuters(path, count=13):
    """A file like reuters.npz: one pair x, y; labels are among 46 topics."""
    rng = np.random.default_rng(46)
    np.savez(path, x=_texts(rng, count, 400), y=rng.integers(0, 46, count))
