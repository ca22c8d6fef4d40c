"""Convolutions, pooling and the layers that move numbers: the native operations between guard bands, and what the layers promise.

The operations are held against straightforward loops in float64, and their gradients against finite differences of those loops; the layers
against real Keras in test_parity_plain.py.
"""

import itertools

import numpy as np
import pytest
from conftest import assert_close, to_numpy
from test_kernels import SENTINEL, Arrays, uninitialised_memory_is_nan  # noqa: F401 (a fixture of every test)

native = pytest.importorskip("fastrnn._native")
pytestmark = pytest.mark.fastrnn_only
TOLERANCE = {"float32": (5e-6, 2e-5), "float64": (1e-12, 1e-7)}  # outputs; gradients, as far as differences go
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---------------------------------------------------------------------------------------------------- in loops


def cells(n, size, stride, before, count, dilation=1):
    """The places of each window along an axis, those outside left out: [(place in the window, place along the axis)]."""
    windows = []
    for k in range(count):
        places = [(i, k * stride - before + i * dilation) for i in range(size)]
        windows.append([(i, at) for i, at in places if 0 <= at < n])
    return windows


def pooled(x, mode, size, strides, padding, out):
    y = np.zeros((len(x), *out, x.shape[3]))
    rows, columns = (cells(x.shape[k + 1], size[k], strides[k], padding[k], out[k]) for k in (0, 1))
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        values = x[:, [at for _, at in row]][:, :, [at for _, at in column]].reshape(len(x), -1, x.shape[3])
        y[:, i, j] = values.max(1) if mode == "max" else values.mean(1)
    return y


def convolved(x, kernel, bias, strides, dilation, padding, out):
    filters = kernel.shape[3]
    groups = x.shape[3] // kernel.shape[2]
    y = np.zeros((len(x), *out, filters)) + bias
    rows, columns = (cells(x.shape[k + 1], kernel.shape[k], strides[k], padding[k], out[k], dilation[k]) for k in (0, 1))
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        for (a, h), (b, w), f in itertools.product(row, column, range(filters)):
            group = f // (filters // groups)
            share = slice(group * kernel.shape[2], (group + 1) * kernel.shape[2])
            y[:, i, j, f] += x[:, h, w, share] @ kernel[a, b, :, f]
    return y


def rearranged(x, axes, shape):
    """As `Program.add_rearrange` says: element by element."""
    y = np.zeros((len(x), *shape))
    for place in itertools.product(*map(range, shape)):
        source = [0] * (x.ndim - 1)
        for i, (axis, before, repeat) in zip(place, axes, strict=True):
            source[axis - 1] = (i - before) // repeat
        if all(0 <= s < n for s, n in zip(source, x.shape[1:])):
            y[(slice(None), *place)] = x[(slice(None), *source)]
    return y


def differences(f, array, dy, step=1e-5):
    """The gradient of sum(f(array) * dy) in each entry of the array."""
    gradient = np.zeros(array.shape)
    for place in np.ndindex(*array.shape):
        ends = []
        for sign in (1, -1):
            moved = array.astype(float)
            moved[place] += sign * step
            ends.append((f(moved) * dy).sum())
        gradient[place] = (ends[0] - ends[1]) / (2 * step)
    return gradient


class Run:
    """One operation on n samples in buffers for more, whose other rows are NaN, between guard bands."""

    def __init__(self, dtype, rng, n, capacity):
        self.dtype, self.rng, self.n, self.capacity = dtype, rng, n, capacity
        self.arrays, self.program = Arrays(dtype), native.Program(dtype, capacity, True, native.Version())

    def given(self, *tail, value=None):
        """An array to read: the n samples, and the buffer."""
        value = (self.rng.normal(size=(self.n, *tail)) if value is None else value).astype(self.dtype)
        buffer = np.full((self.capacity, *tail), np.nan, self.dtype)
        buffer[: self.n] = value
        return value.astype(float), self.arrays.make(buffer.shape, buffer)

    def wanted(self, *tail):
        return self.arrays.make((self.capacity, *tail))

    def weight(self, *shape):
        """A weight, and where its gradient is added to zeros."""
        value = self.rng.normal(size=shape).astype(self.dtype)
        gradient = self.arrays.make(shape)
        gradient[...] = 0
        return value.astype(float), self.arrays.make(shape, value), gradient

    def check(self, y, dx, expected, gradient):
        """y and dx are buffers; `gradient` compares further ones."""
        output, tolerance = TOLERANCE[self.dtype]
        self.program.set_gradient(np.zeros(1, self.dtype))
        for _ in range(2):  # the second time in memory that is not fresh
            self.program.forward(self.n, training=True)
            assert_close(y[: self.n], expected, output, "y")
        self.program.backward()
        for what, (actual, wanted) in gradient.items():
            assert_close(actual, wanted, tolerance, what)
        for array in (y, dx):
            assert (array[self.n :] == SENTINEL).all(), "rows beyond the batch were written"
        self.arrays.check()


def sizes(rng):
    """(samples, largest batch) and other numbers of a random case."""
    n = int(rng.integers(1, 4))
    return n, n + int(rng.integers(0, 3))


def axis_of_windows(rng, dilation=1, size=4):
    """(length, window, stride, padding before, number of windows) with no window outside."""
    while True:
        n, size, stride = int(rng.integers(1, 8)), int(rng.integers(1, size + 1)), int(rng.integers(1, 4))
        before = int(rng.integers(0, size)) if rng.random() < 0.6 else 0
        count = int(rng.integers(1, 6))
        if (count - 1) * stride - before < n:
            return n, size, stride, before, count


@DTYPES
@pytest.mark.parametrize("mode", ["max", "average"])
@pytest.mark.parametrize("seed", range(8))
def test_pool(dtype, mode, seed):
    rng = np.random.default_rng(seed)
    run = Run(dtype, rng, *sizes(rng))
    (H, KH, SH, PH, OH), (W, KW, SW, PW, OW), C = axis_of_windows(rng), axis_of_windows(rng), int(rng.choice([1, 3, 8, 17]))
    x, x_ = run.given(H, W, C)
    dy, dy_ = run.given(OH, OW, C)
    dx_, y_ = run.wanted(H, W, C), run.wanted(OH, OW, C)
    run.program.add_pool(mode=mode, x=x_, dx=dx_, y=y_, dy=dy_, pool_size=(KH, KW), strides=(SH, SW), padding=(PH, PW))

    def forward(x):
        return pooled(x, mode, (KH, KW), (SH, SW), (PH, PW), (OH, OW))

    run.check(y_, dx_, forward(x), {"dx": (dx_[: run.n], differences(forward, x, dy))})


@DTYPES
@pytest.mark.parametrize("mode", ["max", "average", "masked"])
@pytest.mark.parametrize("T, C", [(1, 1), (5, 3), (9, 64), (4, 130)])
def test_global_pool(dtype, mode, T, C, rng):
    run = Run(dtype, rng, 2, 3)
    x, x_ = run.given(T, C)
    dy, dy_ = run.given(C)
    dx_, y_ = run.wanted(T, C), run.wanted(C)
    keep, mask = np.ones((run.n, T), bool), None
    if mode == "masked":
        keep = rng.random((run.n, T)) < 0.6
        keep[:, 0] = True
        mask = np.full((run.capacity, T), 255, np.uint8)
        mask[: run.n] = keep
        x_[: run.n][~keep] = np.nan  # which nobody may see
    run.program.add_global_pool(mode="max" if mode == "max" else "average", x=x_, dx=dx_, y=y_, dy=dy_, mask=mask)

    def forward(x):
        if mode == "max":
            return x.max(1)
        return np.where(keep[..., None], x, 0).sum(1) / keep.sum(1)[:, None]

    run.check(y_, dx_, forward(x), {"dx": (dx_[: run.n], differences(forward, x, dy))})


@DTYPES
@pytest.mark.parametrize("seed", range(10))
def test_convolution(dtype, seed):
    rng = np.random.default_rng(seed)
    run = Run(dtype, rng, *sizes(rng))
    (H, KH, SH, PH, OH), (W, KW, SW, PW, OW) = axis_of_windows(rng, size=2), axis_of_windows(rng, size=3)
    dilation = tuple(int(v) for v in rng.integers(1, 3, size=2))
    groups = 1 + seed % 3
    C, N = groups * int(rng.integers(1, 3)), groups * int(rng.choice([1, 2, 5, 17]))
    x, x_ = run.given(H, W, C)
    dy, dy_ = run.given(OH, OW, N)
    dx_, y_ = run.wanted(H, W, C), run.wanted(OH, OW, N)
    kernel, kernel_, dkernel_ = run.weight(KH, KW, C // groups, N)
    bias, bias_, dbias_ = run.weight(N)
    run.program.add_conv2d(
        activation="linear", x=x_, dx=dx_, y=y_, dy=dy_, kernel=kernel_, dkernel=dkernel_, bias=bias_, dbias=dbias_,
        strides=(SH, SW), dilation=dilation, padding=(PH, PW))  # fmt: skip

    def forward(x=x, kernel=kernel, bias=bias):
        return convolved(x, kernel, bias, (SH, SW), dilation, (PH, PW), (OH, OW))

    run.check(y_, dx_, forward(), {
        "dx": (dx_[: run.n], differences(forward, x, dy)),
        "dkernel": (dkernel_, differences(lambda kernel: forward(kernel=kernel), kernel, dy)),
        "dbias": (dbias_, differences(lambda bias: forward(bias=bias), bias, dy)),
    })  # fmt: skip


@DTYPES
@pytest.mark.parametrize("seed", range(16))
def test_rearrange(dtype, seed):
    rng = np.random.default_rng(seed)
    run = Run(dtype, rng, *sizes(rng))
    rank = int(rng.integers(1, 5))
    shape = tuple(int(v) for v in rng.integers(1, 4, size=rank))
    axes, out = [], []
    order = rng.permutation(rank) if seed % 2 else np.arange(rank)
    for axis in order:
        before, repeat = int(rng.integers(-2, 3)) * (rng.random() < 0.5), int(rng.integers(1, 4)) if rng.random() < 0.4 else 1
        axes.append((int(axis) + 1, before, repeat))
        out.append(max(1, shape[axis] * repeat + before + int(rng.integers(-1, 3)) * (rng.random() < 0.5)))
    x, x_ = run.given(*shape)
    dy, dy_ = run.given(*out)
    dx_, y_ = run.wanted(*shape), run.wanted(*out)
    run.program.add_rearrange(x=x_, dx=dx_, y=y_, dy=dy_, axes=axes)

    def forward(x):
        return rearranged(x, axes, out)

    run.check(y_, dx_, forward(x), {"dx": (dx_[: run.n], differences(forward, x, dy))})


def test_largest_of_nan():
    """NaN shows, wherever it is in a window."""
    for place in range(3):
        x, y, z = np.ones((1, 1, 3, 2)), np.zeros((1, 1, 1, 2)), np.zeros((1, 2))
        x[0, 0, place, 1] = np.nan
        program = native.Program("float64", 1, False, native.Version())
        program.add_pool(mode="max", x=x, y=y, pool_size=(1, 3), strides=(1, 1), padding=(0, 0))
        program.add_global_pool(mode="max", x=x, y=z)
        program.forward(1)
        assert np.isnan(y).tolist() == [[[[False, True]]]] and np.isnan(z).tolist() == [[False, True]]


@pytest.mark.parametrize("windows", [
    {"pool_size": (1, 0)}, {"strides": (1, 0)}, {"padding": (0, 2)}, {"padding": (-1, 0)}, {"strides": (1, 9)},
], ids=str)  # fmt: skip
def test_windows_outside_are_refused(windows):
    x, y = np.zeros((1, 1, 4, 2)), np.zeros((1, 1, 2, 2))
    program = native.Program("float64", 1, False, native.Version())
    with pytest.raises(ValueError, match="window"):
        program.add_pool(mode="max", x=x, y=y, **{"pool_size": (1, 2), "strides": (1, 1), "padding": (0, 0), **windows})


@pytest.mark.parametrize("axes", [[(1, 0, 1)], [(1, 0, 1), (1, 0, 1)], [(1, 0, 1), (3, 0, 1)], [(0, 0, 1), (1, 0, 1)], [(1, 0, 1), (2, 0, 0)]])
def test_axes_that_do_not_fit_are_refused(axes):
    program = native.Program("float64", 1, False, native.Version())
    with pytest.raises(ValueError, match="axes"):
        program.add_rearrange(x=np.zeros((1, 4, 2)), y=np.zeros((1, 4, 2)), axes=axes)


# ---------------------------------------------------------------------------------------------------- the layers


def test_causal_convolution_does_not_look_ahead(K, rng):
    layer = K.layers.Conv1D(3, 3, padding="causal", dilation_rate=2)
    x = rng.normal(size=(2, 9, 4)).astype(np.float32)
    y = layer(x)
    later = x.copy()
    later[:, 5:] += 1
    assert np.array_equal(layer(later)[:, :5], y[:, :5]) and not np.array_equal(layer(later)[:, 5], y[:, 5])
    kernel, bias = layer.get_weights()
    assert_close(y[:, 8], x[:, 4] @ kernel[0] + x[:, 6] @ kernel[1] + x[:, 8] @ kernel[2] + bias, 1e-6)


def test_groups_do_not_mix(K, rng):
    layer = K.layers.Conv1D(4, 2, groups=2, use_bias=False)
    x = rng.normal(size=(2, 5, 6)).astype(np.float32)
    y = layer(x)
    x[..., 3:] = 0
    assert np.array_equal(layer(x)[..., :2], y[..., :2]) and not layer(x)[..., 2:].any()
    assert layer.get_weights()[0].shape == (2, 3, 4)


def test_padding_is_no_part_of_an_average(K):
    x = np.arange(1.0, 5).reshape(1, 4, 1)
    assert K.layers.AveragePooling1D(3, 2, "same")(x).ravel().tolist() == [2.0, 3.5]
    assert K.layers.AveragePooling1D(3, 1, "same")(x).ravel().tolist() == [1.5, 2.0, 3.0, 3.5]


def test_largest_value_below_zero_is_not_that_of_padding(K):
    assert K.layers.MaxPooling1D(3, 1, "same")(-np.ones((1, 4, 1))).ravel().tolist() == [-1.0] * 4


@pytest.mark.parametrize("make, expected", [
    (lambda L: L.ZeroPadding1D((1, 2)), lambda x: np.pad(x, ((0, 0), (1, 2), (0, 0)))),
    (lambda L: L.ZeroPadding1D(1, data_format="channels_first"), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 1)))),
    (lambda L: L.Cropping1D((2, 1)), lambda x: x[:, 2:-1]),
    (lambda L: L.Cropping1D((2, 0)), lambda x: x[:, 2:]),
    (lambda L: L.UpSampling1D(3), lambda x: np.repeat(x, 3, axis=1)),
    (lambda L: L.Permute((2, 1)), lambda x: x.transpose(0, 2, 1)),
    (lambda L: L.Reshape((-1, 2, 5)), lambda x: x.reshape(-1, 3, 2, 5)),
    (lambda L: L.Flatten(), lambda x: x.reshape(-1, 30)),
    (lambda L: L.Flatten(data_format="channels_first"), lambda x: x.transpose(0, 2, 1).reshape(-1, 30)),
    (lambda L: L.GlobalAveragePooling1D(keepdims=True, data_format="channels_first"), lambda x: x.mean(2, keepdims=True)),
    (lambda L: L.GlobalMaxPooling1D(), lambda x: x.max(1)),
], ids=lambda v: "")  # fmt: skip
@DTYPES
def test_values(K, make, expected, dtype, rng):
    K.config.set_floatx(dtype)
    layer = make(K.layers)
    x = rng.normal(size=(4, 6, 5)).astype(dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert_close(y, expected(x), 1e-6)
    assert layer.compute_output_shape((None, 6, 5)) == (None, *y.shape[1:])
    model = K.Sequential([K.Input((6, 5)), layer])
    assert model.output_shape == (None, *y.shape[1:])
    for batch_size in (1, 3, 4):
        assert np.array_equal(model.predict(x, batch_size=batch_size, verbose=0), y)


def test_repeated_vector_feeds_a_decoder(K, rng):
    L = K.layers
    model = K.Sequential([K.Input((7, 2)), L.LSTM(4), L.RepeatVector(5), L.LSTM(3, return_sequences=True), L.Dense(2)])
    assert model.output_shape == (None, 5, 2)
    x, y = rng.normal(size=(8, 7, 2)), rng.normal(size=(8, 5, 2))
    model.compile("adam", "mse")
    losses = model.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_lengths_that_are_not_known(K, rng):
    L = K.layers
    model = K.Sequential([K.Input((None, 3)), L.Conv1D(4, 3, padding="causal"), L.MaxPooling1D(2), L.ZeroPadding1D(1), L.UpSampling1D(2),
                          L.Cropping1D(1), L.GlobalMaxPooling1D()])  # fmt: skip
    assert model.output_shape == (None, 4)
    for steps in (4, 9):
        assert model.predict(rng.normal(size=(2, steps, 3)), verbose=0).shape == (2, 4)
    with pytest.raises(ValueError, match="zero or negative"):
        model.predict(rng.normal(size=(2, 1, 3)), verbose=0)


def test_ids_below_an_embedding_may_be_moved(K):
    L = K.layers
    ids = np.arange(12).reshape(2, 2, 3)
    for dtype in ("float32", "float64"):
        K.config.set_floatx(dtype)
        model = K.Sequential([K.Input((2, 3)), L.ZeroPadding1D(1), L.Permute((2, 1)), L.Embedding(12, 1)])
        model.set_weights([np.arange(12.0).reshape(12, 1)])
        expected = np.pad(ids, ((0, 0), (1, 1), (0, 0))).transpose(0, 2, 1)
        assert np.array_equal(model.predict(ids, verbose=0)[..., 0], expected)


def test_same_bits_with_two_threads(K, rng):
    """Large enough to be shared among threads."""
    import fastrnn

    L = K.layers
    model = K.Sequential([K.Input((40, 40, 6)), L.Conv2D(8, 3, groups=2, data_format="channels_last"), L.MaxPooling2D(), L.ZeroPadding2D(2),
                          L.AveragePooling2D(2), L.Permute((3, 1, 2)), L.GlobalMaxPooling2D()])  # fmt: skip
    x, y = rng.normal(size=(20, 40, 40, 6)).astype(np.float32), rng.normal(size=(20, *model.output_shape[1:])).astype(np.float32)
    before, results = model.get_weights(), []
    threads = fastrnn.get_num_threads()
    try:
        for n in (1, 2):
            fastrnn.set_num_threads(n)
            model.set_weights(before)
            model.compile(K.optimizers.SGD(0.1), "mse")
            model.fit(x, y, batch_size=20, shuffle=False, verbose=0)
            results.append([*model.get_weights(), model.predict(x, verbose=0)])
    finally:
        fastrnn.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("make, reason", [
    (lambda L: L.Conv1D(2, 3, name="b"), "kernel covers"), (lambda L: L.MaxPooling1D(name="b"), "window"),
    (lambda L: L.GlobalAveragePooling1D(name="b"), "all time steps"), (lambda L: L.ZeroPadding1D(name="b"), "adds time steps"),
    (lambda L: L.Cropping1D(name="b"), "leaves out"), (lambda L: L.UpSampling1D(name="b"), "several time steps of one"),
    (lambda L: L.Permute((2, 1), name="b"), "exchanges"),
], ids=lambda v: v if isinstance(v, str) else "")  # fmt: skip
def test_layers_that_streams_refuse(K, make, reason):
    model = K.Sequential([K.Input((6, 3)), make(K.layers)])
    with pytest.raises(ValueError, match=f"'b' .*{reason}"):
        model.initial_state()


def test_streams_go_on_after_the_last_step(K, rng):
    """Above the last recurrent layer there are no time steps of the stream, and every layer runs as in `predict`."""
    L = K.layers
    model = K.Sequential([K.Input((4, 3)), L.GRU(6), L.RepeatVector(3), L.Conv1D(5, 2), L.MaxPooling1D(), L.Permute((2, 1)), L.Flatten()])
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    state = model.initial_state(2)
    for t in range(4):
        y, state = model.step(x[:, t], state)
    assert_close(y, model.predict(x, verbose=0), 1e-6)


@pytest.mark.parametrize("make, pattern", [
    (lambda L: L.Conv1D(4, 2, padding="full"), "padding.*full"), (lambda L: L.Conv2D(4, 2, padding="causal"), "padding.*causal"),
    (lambda L: L.Conv1D("4", 2), "filters.*4"), (lambda L: L.Conv1D(4, 2.5), "kernel_size.*2.5"),
    (lambda L: L.Conv1D(4, 2, groups=1.0), "groups.*1.0"), (lambda L: L.MaxPooling1D(2, strides=0), "strides.*0"),
    (lambda L: L.MaxPooling1D(2, padding="causal"), "padding.*causal"), (lambda L: L.Permute(2), "dims.*2"),
    (lambda L: L.Reshape((2, None)), "target_shape.*None"), (lambda L: L.ZeroPadding2D("ab"), "1st entry of padding.*a"),
], ids=lambda v: v if isinstance(v, str) else "")  # fmt: skip
def test_mistakes(K, make, pattern):
    with pytest.raises(ValueError, match=pattern):
        make(K.layers)


def test_mask_of_another_length(K):
    with pytest.raises(ValueError, match=r"mask.*\(2, 5\).*\(2, 4\)"):
        K.layers.GlobalAveragePooling1D()(np.ones((2, 5, 3)), mask=np.ones((2, 4)))


def test_other_channels_than_at_first(K):
    for order, shape in (("channels_last", (2, 5, 4)), ("channels_first", (2, 4, 5))):
        layer = K.layers.Conv1D(4, 2, data_format=order)
        layer.build((None, 3, 3))
        with pytest.raises(ValueError, match=r"expected axis (-1|1) of input shape to have value 3, but received input with shape"):
            layer(np.ones(shape))


def test_the_short_names(K):
    L = K.layers
    for short, name in [("MaxPool1D", "MaxPooling1D"), ("MaxPool2D", "MaxPooling2D"), ("AvgPool1D", "AveragePooling1D"),
                        ("AvgPool2D", "AveragePooling2D"), ("GlobalMaxPool1D", "GlobalMaxPooling1D"),
                        ("GlobalMaxPool2D", "GlobalMaxPooling2D"), ("GlobalAvgPool1D", "GlobalAveragePooling1D"),
                        ("GlobalAvgPool2D", "GlobalAveragePooling2D"), ("Convolution1D", "Conv1D"),
                        ("Convolution2D", "Conv2D")]:  # fmt: skip
        assert getattr(L, short) is getattr(L, name)


def test_saved_and_loaded(K, tmp_path, rng):
    L = K.layers
    model = K.Sequential([
        K.Input((8, 4)), L.Conv1D(6, 2, groups=2, padding="causal"), L.ZeroPadding1D((0, 1)), L.AveragePooling1D(2), L.UpSampling1D(), L.Cropping1D(1),
        L.Permute((2, 1)), L.Reshape((3, 2, -1)), L.ZeroPadding2D(), L.MaxPooling2D(2, 1), L.AveragePooling2D(2), L.GlobalMaxPooling2D(),
        L.RepeatVector(2), L.GlobalAveragePooling1D()])  # fmt: skip
    model.save(tmp_path / "model.npz")
    x = rng.normal(size=(3, 8, 4)).astype(np.float32)
    again = K.models.load_model(tmp_path / "model.npz")
    assert again.get_config() == model.get_config()
    assert np.array_equal(to_numpy(again.predict(x, verbose=0)), model.predict(x, verbose=0))
