"""Normalisation, noise and activation layers: values against NumPy in float64, gradients against finite differences, memory and errors."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from conftest import API_NAME, assert_close, to_numpy

fastrnn_only = pytest.mark.fastrnn_only
DTYPES = ["float32", "float64"]
TOLERANCE = {"float32": 2e-6, "float64": 1e-13 if API_NAME == "fastrnn" else 1e-6}

# ------------------------------------------------------------------------------------ what the layers compute


def normalized(x, axes, epsilon, gamma=None, beta=None):
    """LayerNormalization; weights in the shape of the axes."""
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)
    shape = [n if d in axes else 1 for d, n in enumerate(x.shape)]
    return y * (1 if gamma is None else gamma.reshape(shape)) + (0 if beta is None else beta.reshape(shape))


def grouped(x, groups, epsilon, gamma, beta):
    """GroupNormalization along the last axis."""
    split = x.reshape(*x.shape[:-1], groups, -1)
    axes = (*range(1, x.ndim - 1), x.ndim)
    y = (split - split.mean(axes, keepdims=True)) / np.sqrt(split.var(axes, keepdims=True) + epsilon)
    return y.reshape(x.shape) * gamma + beta


def softmax(x, axes, keep=None):
    e = np.exp(x - x.max(axes, keepdims=True)) * (1 if keep is None else keep)
    total = e.sum(axes, keepdims=True)
    return np.where(total > 0, e / np.where(total > 0, total, 1), 0)


def rectified(x, max_value=np.inf, slope=0.0, threshold=0.0):
    return np.where(x > threshold, np.minimum(x, max_value), slope * (x - threshold))


# name, options, shape, function of the input and the weights
CASES = [
    ("LayerNormalization", {}, (3, 7), lambda x, g, b: normalized(x, (1,), 1e-3, g, b)),
    ("LayerNormalization", {"epsilon": 1e-5, "center": False}, (2, 5, 33), lambda x, g: normalized(x, (2,), 1e-5, g)),
    ("LayerNormalization", {"axis": [1, 2]}, (2, 5, 7), lambda x, g, b: normalized(x, (1, 2), 1e-3, g, b)),
    ("LayerNormalization", {"axis": 1, "scale": False}, (2, 5, 7), lambda x, b: normalized(x, (1,), 1e-3, None, b)),
    ("LayerNormalization", {"axis": (1, 3)}, (2, 3, 4, 5), lambda x, g, b: normalized(x, (1, 3), 1e-3, g, b)),
    ("RMSNormalization", {}, (2, 5, 17), lambda x, s: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * s),
    ("RMSNormalization", {"axis": [1], "epsilon": 0.1}, (2, 5, 3),
     lambda x, s: x / np.sqrt((x * x).mean(1, keepdims=True) + 0.1) * s[:, None]),
    ("UnitNormalization", {}, (4, 9), lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True))),
    ("UnitNormalization", {"axis": 1}, (4, 9, 3), lambda x: x / np.sqrt((x * x).sum(1, keepdims=True))),
    ("GroupNormalization", {"groups": 2}, (3, 6), lambda x, g, b: grouped(x, 2, 1e-3, g, b)),
    ("GroupNormalization", {"groups": 3, "epsilon": 0.1}, (2, 5, 6), lambda x, g, b: grouped(x, 3, 0.1, g, b)),
    ("GroupNormalization", {"groups": -1}, (2, 3, 4, 5), lambda x, g, b: grouped(x, 5, 1e-3, g, b)),
    ("GroupNormalization", {"groups": 2, "axis": 1}, (2, 4, 5),
     lambda x, g, b: grouped(x.swapaxes(1, 2), 2, 1e-3, g, b).swapaxes(1, 2)),
    ("BatchNormalization", {}, (5, 7), lambda x, g, b, m, v: (x - m) / np.sqrt(v + 1e-3) * g + b),
    ("BatchNormalization", {"axis": 1, "center": False}, (5, 7, 3),
     lambda x, g, m, v: (x - m[:, None]) / np.sqrt(v[:, None] + 1e-3) * g[:, None]),
    ("Softmax", {}, (3, 4, 17), lambda x: softmax(x, (2,))),
    ("Softmax", {"axis": 1}, (3, 4, 5), lambda x: softmax(x, (1,))),
    ("Softmax", {"axis": [1, 2]}, (3, 4, 5), lambda x: softmax(x, (1, 2))),
    ("ReLU", {}, (3, 40), rectified),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.25, "threshold": 0.5}, (3, 40), lambda x: rectified(x, 1.0, 0.25, 0.5)),
    ("LeakyReLU", {}, (3, 40), lambda x: rectified(x, slope=0.3)),
    ("ELU", {"alpha": 0.5}, (3, 40), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    ("PReLU", {}, (3, 4, 5), lambda x, a: np.where(x > 0, x, a * x)),
    ("PReLU", {"shared_axes": [1]}, (3, 4, 5), lambda x, a: np.where(x > 0, x, a * x)),
    ("PReLU", {"shared_axes": [1, 2]}, (3, 4, 5), lambda x, a: np.where(x > 0, x, a * x)),
    ("Rescaling", {"scale": 0.5, "offset": -1.0}, (3, 4, 5), lambda x: x * 0.5 - 1),
    ("Rescaling", {"scale": [1.0, 2.0, 3.0], "offset": [0.5, 0.0, -0.5]}, (2, 4, 3), lambda x: x * [1, 2, 3] + [0.5, 0, -0.5]),
    ("Normalization", {"mean": 2.0, "variance": 9.0}, (3, 4), lambda x: (x - 2) / 3),
    ("Normalization", {"mean": [1.0, 2.0], "variance": [4.0, 9.0], "invert": True}, (3, 5, 2), lambda x: x * [2, 3] + [1, 2]),
    ("Normalization", {}, (3, 5, 2), lambda x, m, v, count: (x - m) / np.sqrt(v)),
    ("Normalization", {"axis": None}, (3, 5), lambda x, m, v, count: (x - m) / np.sqrt(v)),
]  # fmt: skip
NAMES = [f"{name}-{k}" for k, (name, *_) in enumerate(CASES)]


def made(K, name, options, shape, rng):
    layer = getattr(K.layers, name)(**options)
    layer.build(shape)
    layer.set_weights([rng.random(w.shape) + 0.5 for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, options, shape, formula", CASES, ids=NAMES)
def test_values(K, name, options, shape, formula, dtype, rng):
    if API_NAME == "keras" and name in ("LayerNormalization", "RMSNormalization") and options.get("axis") in (1, [1]):
        pytest.skip("Keras on PyTorch normalises along the last axis instead")
    K.config.set_floatx(dtype)
    layer = made(K, name, options, shape, rng)
    x = rng.normal(0.5, 2, size=shape)
    expected = formula(x.astype(dtype).astype(np.float64), *(w.astype(np.float64) for w in layer.get_weights()))
    y = layer(x.astype(dtype))
    assert y.dtype == dtype if API_NAME == "fastrnn" else True
    assert_close(y, expected, TOLERANCE[dtype])
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *shape[1:])


@fastrnn_only
@pytest.mark.parametrize("name, options, shape, formula", CASES, ids=NAMES)
def test_a_smaller_batch_than_the_plan(K, name, options, shape, formula, rng):
    """Samples are normalised by themselves: any batch size, and the rest of a larger batch, give the same bits."""
    model = K.Sequential([K.Input(shape[1:]), getattr(K.layers, name)(**options)])
    model.set_weights([rng.random(w.shape) + 0.5 for w in model.get_weights()])
    x = rng.normal(size=(37, *shape[1:])).astype("float32")
    whole = model.predict(x, batch_size=37, verbose=0)
    np.testing.assert_array_equal(model.predict(x, batch_size=16, verbose=0), whole)
    np.testing.assert_array_equal(model.predict(x[:1], verbose=0), whole[:1])


# ------------------------------------------------------------------------------------ gradients


def train_once(model, x, y):
    """Loss of one batch of training; layers with a seed of their own start their stream anew."""
    for layer in model.layers:
        if getattr(layer, "seed", None) is not None:
            layer._state[1] = 0
    return model.fit(x, y, batch_size=len(x), epochs=1, shuffle=False, verbose=0).history["loss"][0]


def check_gradients(K, layers, x, rng, probes=5, tolerance=2e-6):
    """Entries of every trained weight below, in and above a layer, against central differences of the training loss."""
    model = K.Sequential([K.Input(x.shape[1:]), *layers])
    model.set_weights([w + rng.random(w.shape) * 0.5 for w in model.get_weights()])
    rate = 2.0**10
    model.compile(K.optimizers.SGD(rate), "mse")
    y = rng.normal(size=(len(x), *model.output_shape[1:]))
    before = model.get_weights()
    train_once(model, x, y)
    after = model.get_weights()
    checked = 0
    for k, variable in enumerate(model.weights):
        if not variable.trainable:
            continue
        gradient = (before[k] - after[k]) / rate
        for place in rng.choice(before[k].size, size=min(probes, before[k].size), replace=False):
            index, losses = np.unravel_index(place, before[k].shape), []
            for step in (1e-5, -1e-5):
                moved = [w.copy() for w in before]
                moved[k][index] += step
                model.set_weights(moved)
                losses.append(train_once(model, x, y))
            difference = (losses[0] - losses[1]) / 2e-5
            error = abs(gradient[index] - difference)
            assert error <= tolerance * max(1, abs(difference)), (variable.path, index, gradient[index], difference)
            checked += 1
    assert checked


GRADIENTS = [(n, o, s) for n, o, s, _ in CASES] + [
    ("BatchNormalization", {"momentum": 0.5}, (6, 5, 4)), ("BatchNormalization", {"scale": False, "axis": 1}, (6, 5, 3)),
    ("BatchNormalization", {"trainable": False}, (6, 4)), ("LayerNormalization", {"rms_scaling": True}, (3, 4, 6)),
    ("GroupNormalization", {"groups": 2, "center": False, "scale": False}, (3, 4, 6)),
    ("GaussianNoise", {"stddev": 0.5, "seed": 1}, (3, 4)), ("GaussianDropout", {"rate": 0.5, "seed": 1}, (3, 4)),
    ("AlphaDropout", {"rate": 0.5, "seed": 1}, (5, 4)), ("Dropout", {"rate": 0.5, "seed": 2, "noise_shape": (None, 1, None)}, (3, 4, 5)),
]  # fmt: skip


@fastrnn_only
@pytest.mark.filterwarnings("ignore:You passed `rms_scaling")
@pytest.mark.parametrize("name, options, shape", GRADIENTS, ids=[f"{n}-{k}" for k, (n, *_) in enumerate(GRADIENTS)])
def test_gradients(K, name, options, shape, rng, float64):
    L = K.layers
    layers = [L.Dense(shape[-1], activation="tanh"), getattr(L, name)(**options), L.Dense(2)]
    check_gradients(K, layers, rng.normal(size=shape), rng)


@fastrnn_only
def test_gradients_of_masked_batch_normalization(K, rng, float64):
    """Masked steps do not count for the moments, but are normalised and pass gradients on. The count has 1e-7 added, whose share of the
    gradient is left out."""
    L = K.layers
    layers = [L.Masking(), L.Dense(4), L.BatchNormalization(), L.Flatten(), L.Dense(2)]
    x = rng.normal(size=(7, 5, 3)) * (rng.random((7, 5, 1)) < 0.6)
    check_gradients(K, layers, x, rng, tolerance=1e-5)


# ------------------------------------------------------------------------------------ memory


def guarded(shape, dtype, rng=None):
    """(array, check): an array with sentinels before and after it."""
    size = int(np.prod(shape))
    whole = np.full(size + 128, 7.5, dtype)
    view = whole[64 : 64 + size].reshape(shape)
    if rng is not None:
        view[...] = rng.normal(size=shape)

    def check():
        assert (whole[:64] == 7.5).all() and (whole[64 + size :] == 7.5).all()

    return view, check


def add(program, kind, arrays, dtype, shape, rng):
    """One operation of each kind, with all that it can have."""
    x, y, dx, dy = arrays
    through = {"x": x, "y": y, "dx": dx, "dy": dy}
    size, n = shape[-1], int(np.prod(shape[1:]))
    extra = []

    def more(*tail, values=True):
        view, check = guarded(tail, dtype, rng if values else None)
        extra.append(check)
        return view

    if kind.startswith("normalize"):
        mode = kind.split("-")[1]
        weights = {} if mode in ("unit", "softmax") else {k: more(size) for k in ("gamma", "beta", "dgamma", "dbeta")}
        order = np.arange(n).reshape(shape[1:]).swapaxes(0, 1).reshape(-1).copy() if kind.endswith("order") else None
        if order is not None:
            weights = {k: more(shape[1]) for k in weights}
        keep = (rng.random((shape[0], n)) < 0.5).astype(np.uint8) if mode == "softmax" else None
        program.add_normalize(
            mode=mode, size=shape[1] if order is not None else size, epsilon=1e-3, order=order, keep=keep, **through, **weights
        )
    elif kind.startswith("batch_norm"):
        axis = 1 if kind.endswith("1") else len(shape) - 1
        weights = {k: more(shape[axis]) for k in ("gamma", "beta", "dgamma", "dbeta", "moving_mean", "moving_variance")}
        mask = (rng.random(shape[:-1]) < 0.7).astype(np.uint8) if kind.startswith("batch_norm-mask") else None
        program.add_batch_norm(axis=axis, epsilon=1e-3, momentum=0.9, mask=mask, mask_epsilon=1e-7, **through, **weights)
    elif kind == "affine":
        program.add_affine(mean=more(size), variance=np.abs(more(size)), index=np.tile(np.arange(size), n // size), epsilon=1e-7, **through)
    elif kind.startswith("rectifier"):
        index = np.tile(np.arange(size), n // size)
        own = {"alpha": more(size), "dalpha": more(size), "index": index} if kind.endswith("prelu") else {"slope": 0.3, "max_value": 1.0}
        program.add_rectifier(kind=kind.split("-")[1], **own, **through)
    else:
        index = np.tile(np.arange(size), n // size)
        program.add_noise(kind=kind.split("-")[1], rate=0.4, draws=size, index=index, **through)
    return extra


OPERATIONS = [
    *(f"normalize-{m}" for m in ("layer", "variance", "rms", "unit", "softmax")), "normalize-layer-order", "normalize-softmax-order",
    "batch_norm", "batch_norm-1", "batch_norm-mask", "batch_norm-mask1", "affine", "rectifier-relu", "rectifier-elu", "rectifier-prelu",
    *(f"noise-{k}" for k in ("dropout", "alpha_dropout", "gaussian_noise", "gaussian_dropout")),
]  # fmt: skip


@fastrnn_only
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", OPERATIONS)
def test_operations_stay_inside_their_memory(K, kind, dtype, rng):
    """Odd sizes and a batch smaller than the program's: nothing is written beyond the samples that run, or outside of any array."""
    from fastrnn._native import Program, Version

    for shape in [(5, 3, 1), (4, 2, 9), (3, 5, 17), (6, 4, 70)]:
        program = Program(dtype, shape[0], True, Version())
        arrays, checks = zip(*(guarded(shape, dtype, rng) for _ in range(4)))
        x, y, dx, dy = arrays
        checks = [*checks, *add(program, kind, arrays, dtype, shape, rng)]
        data = rng.normal(size=shape).astype(dtype)
        program.set_source(0, x, data)
        for n in (1, shape[0] - 1, shape[0]):
            dy[...] = rng.normal(size=shape)
            y[...] = dx[...] = 3.25
            program.forward(n, training=True)
            program.backward()
            assert (y[n:] == 3.25).all() and (dx[n:] == 3.25).all()
            assert np.isfinite(y[:n]).all() and np.isfinite(dx[:n]).all()
            assert (y[:n] != 3.25).any()
            for check in checks:
                check()


@fastrnn_only
def test_long_rows_and_batches_keep_their_digits(K, rng):
    """Sums of a million float32 numbers far from zero."""
    x = (1000 + rng.normal(size=(1, 1 << 20))).astype("float32")
    y = K.layers.LayerNormalization(center=False, scale=False)(x)
    assert_close(y, normalized(x.astype(np.float64), (1,), 1e-3), 1e-4)
    layer = K.layers.BatchNormalization(momentum=0.0)
    layer(x.reshape(-1, 1), training=True)
    assert_close(layer.moving_mean.numpy(), [x.mean(dtype=np.float64)], 1e-7)
    assert_close(layer.moving_variance.numpy(), [x.var(dtype=np.float64)], 1e-6)


# ------------------------------------------------------------------------------------ batch normalisation in a model


def test_batch_normalization_in_training_and_inference(K, rng):
    model = K.Sequential([K.Input((3,)), K.layers.BatchNormalization(momentum=0.75)])
    model.compile("sgd", "mse")
    x = rng.normal(5, 3, size=(8, 3)).astype("float32")
    assert_close(model.predict(x, verbose=0), x / np.sqrt(1.001), 1e-6)
    model.fit(x, x, batch_size=8, epochs=1, verbose=0)
    _, _, mean, variance = model.get_weights()
    assert_close(mean, 0.25 * x.mean(0), 1e-5)
    assert_close(variance, 0.75 + 0.25 * x.var(0), 1e-5)
    for run in (lambda: model.evaluate(x, x, verbose=0), lambda: model.predict(x, verbose=0)):
        run()
        np.testing.assert_array_equal(model.get_weights()[2], mean)
    gamma, beta, mean, variance = model.get_weights()
    assert_close(model.predict(x, verbose=0), (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 1e-5)


@pytest.mark.parametrize("weights", [True, False])
def test_trainable_may_change_between_fits(K, weights, rng):
    layer = K.layers.BatchNormalization(center=weights, scale=weights)
    model = K.Sequential([K.Input((3,)), layer, K.layers.Dense(1)])
    x, y = rng.normal(5, 3, size=(8, 3)), rng.normal(size=(8, 1))
    for trainable in (True, False, True):
        layer.trainable = trainable
        model.compile("sgd", "mse")
        before = layer.get_weights()
        model.fit(x, y, epochs=1, verbose=0)
        moved = [bool((to_numpy(a) != to_numpy(b)).any()) for a, b in zip(before, layer.get_weights())]
        assert moved == [trainable] * len(moved)
        assert [w.trainable for w in layer.weights[-2:]] == [False, False]


@fastrnn_only
def test_statistics_survive_copies_and_files(K, rng, tmp_path):
    model = K.Sequential([K.Input((3,)), K.layers.BatchNormalization(), K.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = rng.normal(5, 3, size=(8, 3)), rng.normal(size=(8, 1))
    model.fit(x, y, epochs=2, verbose=0)
    expected = model.predict(x, verbose=0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)
    model.save(tmp_path / "model.npz")
    loaded = K.models.load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    assert [w.trainable for w in loaded.weights] == [True, True, False, False, True, True]


@fastrnn_only
@pytest.mark.parametrize("name, count", [("RMSNormalization", 1), ("LayerNormalization", 0)])
def test_one_warning_where_a_mask_is_lost(K, name, count):
    model = K.Sequential([K.Input((3, 2)), K.layers.Masking(), getattr(K.layers, name)()])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.predict(np.ones((2, 3, 2)), verbose=0)
    assert sum("destroy the mask information" in str(w.message) for w in told) == count


@fastrnn_only
def test_threads_change_no_bit(K):
    def make():
        K.utils.clear_session()
        K.utils.set_random_seed(5)
        L = K.layers
        model = K.Sequential([
            K.Input((40, 70)), L.GaussianNoise(0.1), L.BatchNormalization(), L.Dropout(0.3, noise_shape=(None, 1, None)),
            L.LayerNormalization(), L.GaussianDropout(0.2, seed=3), L.GroupNormalization(7), L.Softmax(axis=1), L.Dense(1)])  # fmt: skip
        model.compile("sgd", "mse")
        return model

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 40, 70)).astype("float32"), rng.normal(size=(64, 40, 1))
    before, results = K.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            K.set_num_threads(count)
            model = make()
            model.fit(x, y, batch_size=48, epochs=1, verbose=0)
            results.append(model.get_weights())
    finally:
        K.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@fastrnn_only
def test_streaming(K, rng):
    L = K.layers
    model = K.Sequential([
        K.Input((None, 4)), L.Rescaling(0.5), L.Normalization(mean=[0.0, 1, 2, 3], variance=[1.0, 2, 3, 4]), L.BatchNormalization(),
        L.LSTM(5, return_sequences=True), L.LayerNormalization(), L.PReLU(shared_axes=[1]), L.Dropout(0.5), L.GaussianNoise(0.5),
        L.GRU(3, return_sequences=True), L.RMSNormalization(), L.LeakyReLU(), L.UnitNormalization(), L.Softmax()])  # fmt: skip
    model.set_weights([w + rng.random(w.shape) * 0.3 for w in model.get_weights()])
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    expected, state = model.predict(x, verbose=0), model.initial_state(2)
    for t in range(6):
        y, state = model.step(x[:, t], state)
        assert_close(y, expected[:, t], 1e-5)
    for layer in (L.LayerNormalization(axis=1), L.BatchNormalization(axis=1), L.Softmax(axis=-2), L.GroupNormalization(2), L.PReLU(),
                  L.LayerNormalization(axis=[1, 2])):  # fmt: skip
        with pytest.raises(ValueError, match="cannot run one time step at a time"):
            K.Sequential([K.Input((6, 4)), layer, L.LSTM(2)]).initial_state()


@fastrnn_only
def test_inside_time_distributed(K, rng):
    x = rng.normal(size=(3, 5, 6)).astype("float32")
    for layer in (K.layers.LayerNormalization(), K.layers.GroupNormalization(2), K.layers.ReLU(), K.layers.Softmax(), K.layers.PReLU()):
        model = K.Sequential([K.Input((5, 6)), K.layers.TimeDistributed(layer)])
        expected = np.stack([np.asarray(layer(x[:, t])) for t in range(5)], axis=1)
        assert_close(model.predict(x, batch_size=2, verbose=0), expected, 1e-6)


# ------------------------------------------------------------------------------------ noise


def drawn(K, layer, shape=(200, 50), value=1.0):
    return to_numpy(layer(np.full(shape, value, "float32"), training=True))


@pytest.mark.parametrize("seed", [None, 7])
def test_statistics_of_noise(K, seed):
    n, L = 10_000, K.layers
    y = drawn(K, L.Dropout(0.3, seed=seed))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.7)} and abs((y == 0).mean() - 0.3) < 5 * np.sqrt(0.21 / n)
    y = drawn(K, L.GaussianNoise(0.5, seed=seed), value=2.0) - 2
    assert abs(y.mean()) < 5 * 0.5 / np.sqrt(n) and abs(y.std() - 0.5) < 0.03
    assert abs((y**3).mean()) < 0.05 and abs((y**4).mean() / 0.5**4 - 3) < 0.4 and np.abs(y).max() < 3.5
    assert abs(np.corrcoef(y[:, :-1].ravel(), y[:, 1:].ravel())[0, 1]) < 0.05
    y = drawn(K, L.GaussianDropout(0.2, seed=seed), value=2.0) / 2
    assert abs(y.mean() - 1) < 5 * 0.5 / np.sqrt(n) and abs(y.std() - 0.5) < 0.03
    x = np.random.default_rng(0).normal(size=(200, 50)).astype("float32")
    y = to_numpy(L.AlphaDropout(0.3, seed=seed)(x, training=True))
    assert abs(y.mean()) < 0.06 and abs(y.std() - 1) < 0.06
    values, counts = np.unique(y.round(5), return_counts=True)
    assert abs(counts.max() / n - 0.3) < 0.03  # the dropped ones have one value
    a = ((1 - 0.3) * (1 + 0.3 * 1.7580993408473766**2)) ** -0.5
    assert abs(values[counts.argmax()] - (-a * 1.7580993408473766 * (1 - 0.3))) < 1e-4


def test_no_noise_in_inference_or_at_rate_zero(K, rng):
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    L = K.layers
    for layer in (L.Dropout(0.5), L.GaussianNoise(0.5), L.GaussianDropout(0.5), L.AlphaDropout(0.5), L.SpatialDropout1D(0.5)):
        np.testing.assert_array_equal(to_numpy(layer(x)), x)
    for layer in (L.Dropout(0), L.GaussianNoise(0), L.GaussianDropout(0.0), L.AlphaDropout(0), L.SpatialDropout1D(0)):
        np.testing.assert_array_equal(to_numpy(layer(x, training=True)), x)
    assert not to_numpy(L.Dropout(1)(x, training=True)).any()


@pytest.mark.parametrize("noise_shape, equal", [
    (None, ()), ((None, 1, None), (1,)), ((None, None, 1), (2,)), ((1, None, None), (0,)), ((8, 1, 9), (1,)), ((1, 1, 9), (0, 1)),
    ((6, 9), (0,)), ([8, 6, 1], (2,)), ((1,), (0, 1, 2)),
])  # fmt: skip
@pytest.mark.parametrize("cls", ["Dropout", "AlphaDropout"])
def test_noise_shape(K, cls, noise_shape, equal):
    y = drawn(K, getattr(K.layers, cls)(0.5, noise_shape=noise_shape, seed=2), (8, 6, 9))
    for axis in range(3):
        same = bool((y == y.take([0], axis)).all())
        assert same == (axis in equal), axis
    if len(equal) < 3:
        assert len(np.unique(y)) == 2


def test_spatial_dropout(K):
    y = drawn(K, K.layers.SpatialDropout1D(0.5, seed=1), (6, 5, 20))
    assert (y == y[:, :1]).all() and {*np.unique(y)} == {0, 2} and not (y == y[:1]).all()
    y = drawn(K, K.layers.SpatialDropout2D(0.5, seed=1), (6, 4, 5, 20))
    assert (y == y[:, :1, :1]).all() and {*np.unique(y)} == {0, 2} and not (y == y[:1]).all()
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        drawn(K, K.layers.SpatialDropout1D(0.5), (6, 5))


def test_a_seed_makes_a_stream_of_its_own(K):
    """Equal seeds draw the same, call after call; other calls, seeds and layers without a seed draw something else."""
    for make in (lambda seed: K.layers.Dropout(0.5, seed=seed), lambda seed: K.layers.GaussianNoise(0.5, seed=seed),
                 lambda seed: K.layers.AlphaDropout(0.5, noise_shape=(None, 50), seed=seed)):  # fmt: skip
        first, second, other, free = make(3), make(3), make(4), make(None)
        for _ in range(3):
            a = drawn(K, first)
            np.testing.assert_array_equal(a, drawn(K, second))
            assert (a != drawn(K, other)).any() and (a != drawn(K, free)).any()
        assert (a != drawn(K, first)).any()


@fastrnn_only
@pytest.mark.parametrize("shapes_change", [False, True])
def test_models_with_the_same_seeds_train_alike(K, shapes_change, rng):
    x, y = rng.normal(size=(32, 6, 3)), rng.normal(size=(32, 1))
    results = []
    for global_seed in (1, 2):
        L = K.layers
        model = K.Sequential([K.Input((None, 3)), L.Dropout(0.4, seed=11), L.GaussianNoise(0.3, seed=12), L.LSTM(4), L.Dense(1)])
        model.set_weights([np.full(w.shape, 0.1) for w in model.get_weights()])
        K.utils.set_random_seed(global_seed)
        model.compile("sgd", "mse")
        losses = []
        for epoch in range(4):
            steps = 5 if shapes_change and epoch % 2 else 6  # another program, but the same stream
            losses += model.fit(x[:, :steps], y, batch_size=10, epochs=1, shuffle=False, verbose=0).history["loss"]
        results.append((losses, model.get_weights()))
    assert results[0][0] == results[1][0] and len(set(results[0][0])) == 4
    for a, b in zip(results[0][1], results[1][1]):
        np.testing.assert_array_equal(a, b)


def test_negative_and_large_seeds(K):
    if API_NAME == "fastrnn":
        a, b = drawn(K, K.layers.Dropout(0.5, seed=-1)), drawn(K, K.layers.Dropout(0.5, seed=2**70 + 1))
        assert (a != b).any()


# ------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize("name, options, shape", [(n, o, s) for n, o, s, _ in CASES] + [
    ("Dropout", {"rate": 0.5, "noise_shape": (None, 1, 3), "seed": 4}, (2, 3)), ("SpatialDropout1D", {"rate": 0.5, "seed": 4}, (2, 4, 3)),
    ("GaussianNoise", {"stddev": 0.5, "seed": 4}, (2, 3)), ("GaussianDropout", {"rate": 0.25, "seed": 1}, (2, 3)),
    ("AlphaDropout", {"rate": 0.25, "seed": 1, "noise_shape": None}, (2, 3)), ("SpatialDropout2D", {"rate": 0.5}, (2, 4, 4, 3)),
])  # fmt: skip
def test_config_round_trip(K, name, options, shape):
    layer = getattr(K.layers, name)(**options, name="given")
    config = layer.get_config()
    assert config["name"] == "given" and options.keys() <= config.keys()
    for built in (False, True):
        if built:
            layer.build(shape)
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        assert type(K.layers.deserialize(K.layers.serialize(layer))) is type(layer)


def test_rescaling_by_an_array(K):
    layer = K.layers.Rescaling(np.array([1.0, 2.0]), offset=np.float32(1))
    again = type(layer).from_config(layer.get_config())
    np.testing.assert_array_equal(to_numpy(again(np.ones((1, 2), "float32"))), [[2, 3]])


def test_deprecated_alpha_of_leaky_relu(K):
    with pytest.warns(UserWarning, match="`alpha` is deprecated"):
        layer = K.layers.LeakyReLU(alpha=0.1)
    assert layer.get_config()["negative_slope"] == 0.1


@fastrnn_only
@pytest.mark.parametrize("make, shape, message", [
    (lambda L: L.BatchNormalization(axis=3), (2, 3), "Axis 3 is out of bounds for input shape"),
    (lambda L: L.LayerNormalization(axis=0), (2, 3), "cannot name the axis of the batch"),
    (lambda L: L.LayerNormalization(axis=[-1, 5]), (2, 3), "Axis 5 is out of bounds"),
    (lambda L: L.UnitNormalization(axis=-2), (2, 3), "cannot name the axis of the batch"),
    (lambda L: L.Softmax(axis=None), (2, 3), "`axis` of layer 'softmax' must be an int"),
    (lambda L: L.Softmax(axis=9), (2, 3), "Axis 9 is out of bounds"),
    (lambda L: L.PReLU(shared_axes=[4]), (2, 3), "`shared_axes` of layer 'p_re_lu' names axis 4"),
    (lambda L: L.Rescaling([1.0, 2.0]), (2, 3), "`scale` of layer 'rescaling' must broadcast"),
    (lambda L: L.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0]), (2, 3), "must broadcast to the kept axes"),
    (lambda L: L.Normalization(axis=0), (2, 3), "a mean for each sample"),
    (lambda L: L.BatchNormalization(), (2, None), "must be fully-defined"),
    (lambda L: L.BatchNormalization(), (4,), "cannot name the axis of the batch"),
])  # fmt: skip
def test_errors_of_shapes(K, make, shape, message):
    layer = make(K.layers)
    with pytest.raises(ValueError, match=message):
        if None in shape:
            layer.build(shape)
        else:
            layer(np.ones(shape, "float32"))


@fastrnn_only
@pytest.mark.parametrize("make, message", [
    (lambda L: L.BatchNormalization(renorm=True), "`renorm` must be False"),
    (lambda L: L.Rescaling("a"), "`scale` must be a number"),
    (lambda L: L.ELU("a"), "`alpha` must be a number"),
    (lambda L: L.ReLU("a"), "max_value of a ReLU layer"),
    (lambda L: L.Dropout("a"), "`rate`"),
    (lambda L: L.SpatialDropout2D(0.5, data_format="channels_first"), "`data_format`"),
    (lambda L: L.Dropout(0.5, noise_shape=(3, None))(np.ones((2, 4)), training=True), "`noise_shape` of layer 'dropout'"),
    (lambda L: L.Dropout(0.5, noise_shape=(None, 1, 1))(np.ones((2, 4)), training=True), "`noise_shape` of layer 'dropout'"),
    (lambda L: L.GaussianDropout(1.0)(np.ones((2, 4)), training=True), "`rate` of layer 'gaussian_dropout' .* must be below 1"),
    (lambda L: L.AlphaDropout(1)(np.ones((2, 4)), training=True), "must be below 1"),
    (lambda L: L.BatchNormalization()(np.ones((2, 4)), mask=np.ones((2, 4))), "one dimension less than the inputs"),
    (lambda L: L.Softmax()(np.ones((2, 4)), mask=np.ones((2, 3))), "must be broadcastable to `inputs`"),
    (lambda L: L.Softmax()(np.ones((2, 4)), mask=np.ones((1, 2, 4))), "must not have more dimensions"),
    (lambda L: L.Normalization().adapt([]), "empty iterable"),
    (lambda L: L.Normalization().adapt([np.ones((2, 3)), np.ones((2, 4))]), "incompatible shape"),
])  # fmt: skip
def test_errors_of_arguments(K, make, message):
    with pytest.raises(ValueError, match=message):
        make(K.layers)


@fastrnn_only
def test_adapt_takes_arrays_and_batches_only(K):
    for data in (3, "abc", {"x": 1}, [1.0, 2.0]):
        with pytest.raises(TypeError):
            K.layers.Normalization().adapt(data)


@pytest.mark.parametrize("cls", ["BatchNormalization", "GroupNormalization", "LayerNormalization", "UnitNormalization"])
@fastrnn_only
def test_axis_of_a_wrong_type(K, cls):
    for axis in ("a", None, 1.5, True):
        with pytest.raises(TypeError, match="axis"):
            getattr(K.layers, cls)(axis=axis)


def test_adapt_to_rows_serves_sequences_of_them(K, rng):
    x = rng.normal(4, 2, size=(50, 3)).astype("float32")
    layer = K.layers.Normalization()
    layer.adapt(x)
    assert_close(layer(x.reshape(10, 5, 3)), ((x - x.mean(0)) / x.std(0)).reshape(10, 5, 3), 1e-5)
    if API_NAME == "fastrnn":
        model = K.Sequential([K.Input((None, 3)), layer, K.layers.LSTM(2)])
        expected, state = model.predict(x.reshape(10, 5, 3), verbose=0), model.initial_state(10)
        for t in range(5):
            y, state = model.step(x.reshape(10, 5, 3)[:, t], state)
        assert_close(y, expected, 1e-5)


@fastrnn_only
def test_adapt_works_in_a_model_that_has_run(K, rng):
    """The numbers are read anew at each run."""
    layer = K.layers.Normalization()
    model = K.Sequential([K.Input((3,)), layer])
    x = rng.normal(4, 2, size=(50, 3)).astype("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    layer.adapt(batch for batch in np.split(x, 5))
    assert_close(model.predict(x, verbose=0), (x - x.mean(0)) / x.std(0), 1e-5)
    layer.adapt(2 * x)
    assert_close(model.predict(x, verbose=0), (x - 2 * x.mean(0)) / (2 * x.std(0)), 1e-5)
    model.set_weights([np.zeros(3), np.ones(3), 0])
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


@fastrnn_only
def test_inputs_of_another_size(K):
    L = K.layers
    for layer, shape, bad in [
        (L.BatchNormalization(), (2, 5, 4), [(2, 5, 3), (2, 4)]), (L.BatchNormalization(axis=1), (2, 5, 4), [(2, 4, 4)]),
        (L.LayerNormalization(), (2, 5, 4), [(2, 5, 3)]), (L.RMSNormalization(), (2, 5, 4), [(2, 5, 3)]),
        (L.GroupNormalization(2), (2, 5, 4), [(2, 5, 6), (2, 4)]), (L.PReLU(), (2, 5, 4), [(2, 6, 4), (2, 4)]),
        (L.PReLU(shared_axes=[1]), (2, 5, 4), [(2, 5, 3)]), (L.Normalization(), (2, 5, 4), [(2, 5, 3), (2, 4)]),
        (L.Normalization(axis=(1, 2)), (2, 5, 4), [(2, 4, 4)]),
    ]:  # fmt: skip
        layer(np.ones(shape, "float32"))
        for other in bad:
            with pytest.raises(ValueError, match="is incompatible with the layer"):
                layer(np.ones(other, "float32"))
    assert L.PReLU(shared_axes=[1])(np.ones((2, 5, 4))).shape == (2, 5, 4)
