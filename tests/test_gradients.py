"""Gradients as training sees them: one step of SGD, `(weights before - weights after) / learning_rate`.

Two ways: every entry of every weight against the backward formulas of tests/reference.py (which are themselves held
against finite differences), and some entries of every layer's weights against finite differences of the loss.  The
gradient of a recurrent layer's input is that of an Embedding below it in which each entry has its own row.
"""

import numpy as np
import pytest
import reference
from conftest import API_NAME, assert_close
from test_layers_reference import CELLS, NAMES, UNBOUNDED

RATE = 1024.0  # a power of two, so that dividing is exact; large, so that float32 weights resolve a small gradient
TOLERANCE = {"float32": 1e-5, "float64": 1e-10 if API_NAME == "fastrnn" else 2e-6}


def gradient(model, x, y, **fit):
    """The gradient of every weight of a model compiled with SGD(RATE), which it leaves as it was."""
    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=len(x), shuffle=False, verbose=0, **fit)
    after = model.get_weights()
    model.set_weights(before)
    return [(b.astype(np.float64) - a) / RATE for b, a in zip(before, after)]


def compiled(K, model, loss="mse"):
    model.compile(optimizer=K.optimizers.SGD(learning_rate=RATE), loss=loss)
    return model


def randomise(model, rng, gain=1.0):
    model.set_weights([
        (rng.normal(size=w.shape) * gain / np.sqrt(w.shape[0] if w.ndim > 1 else 4)).astype(w.dtype)
        for w in model.get_weights()
    ])  # fmt: skip


# ------------------------------------------------------------------------------- against the reference


def check_cell(K, cell, rng, *, units, batch, steps, features, dtype="float64", sequences=True, mask=False, **options):
    """Embedding (its rows are the input's entries) -> cell -> mean squared error, or -> Flatten when masked."""
    cls, forward, _, _, extra = CELLS[cell]
    K.config.set_floatx(dtype)
    if cell == "simple_rnn":
        options.pop("recurrent_activation", None)
    ids = 1 + np.arange(batch * steps).reshape(batch, steps)
    keep = None
    if mask:
        keep = rng.random((batch, steps)) < 0.6
        ids = ids * keep
    layers = [
        K.Input((steps,)),
        K.layers.Embedding(batch * steps + 1, features, mask_zero=mask),
        getattr(K.layers, cls)(units, return_sequences=sequences, **extra, **options),
    ]
    if mask:
        layers.append(K.layers.Flatten())  # which drops the mask, so that the loss counts every entry
    model = compiled(K, K.Sequential(layers))
    randomise(model, rng, 1.0 if UNBOUNDED.isdisjoint(options.values()) else 0.3)
    weights = [w.astype(np.float64) for w in model.get_weights()]
    table, (kernel, recurrent, *bias) = weights[0], weights[1:]
    arguments = {k: v for k, v in options.items() if k != "use_bias"}
    sequence, last, _, cache = forward(table[ids], kernel, recurrent, *bias, mask=keep, **extra, **arguments)
    output = sequence if sequences else last
    y = rng.normal(size=output.shape).astype(dtype)
    d_output = 2 * (output - y) / output.size
    expected = reference.lstm_backward(cache, *((d_output, None) if sequences else (None, d_output)), None)
    table_gradient = reference.embedding_backward((ids, table), expected["x"])["embeddings"]
    actual = gradient(model, ids, y.reshape(batch, *model.output_shape[1:]))
    names = ["embeddings", "kernel", "recurrent_kernel", "bias"][: len(actual)]
    for name, g, e in zip(names, actual, [table_gradient, *(expected[n] for n in names[1:])], strict=True):
        assert_close(g, e, TOLERANCE[dtype], name, floor=1e-8 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cell", CELLS)
def test_cell_sampled(K, cell, dtype, seed):
    rng = np.random.default_rng(seed)
    sizes = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 70]
    draw = {"units": int(rng.choice([*sizes, 65, 96, 130])), "batch": int(rng.choice(sizes)),
            "steps": int(rng.integers(1, 10)), "features": int(rng.choice(sizes)), "mask": bool(rng.random() < 0.4),
            "sequences": bool(rng.random() < 0.6), "go_backwards": bool(rng.random() < 0.3),
            "use_bias": bool(rng.random() < 0.8)}  # fmt: skip
    print(f"seed {seed}: {draw}")
    check_cell(K, cell, rng, dtype=dtype, **draw)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_cell_with_every_activation(K, cell, name, rng):
    check_cell(K, cell, rng, units=11, batch=4, steps=3, features=3, activation=name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", [c for c in CELLS if c != "simple_rnn"])
def test_cell_with_every_recurrent_activation(K, cell, name, rng):
    check_cell(K, cell, rng, units=11, batch=4, steps=3, features=3, recurrent_activation=name)


@pytest.mark.parametrize("dtype, options", [
    ("float32", {"activation": "softmax"}), ("float32", {"activation": "log_softmax", "recurrent_activation": "softmax"}),
    ("float64", {"activation": "softmax", "recurrent_activation": "log_softmax"}),  # gates beyond 1: all grows at every step
], ids=str)  # fmt: skip
@pytest.mark.parametrize("cell", CELLS)
def test_cell_with_masks_and_activations_over_its_units(K, cell, dtype, options, rng):
    check_cell(K, cell, rng, units=37, batch=23, steps=3, features=4, dtype=dtype, mask=True, **options)


@pytest.mark.parametrize("name", NAMES)
def test_dense_with_every_activation(K, name, rng, float64):
    model = compiled(K, K.Sequential([K.Input((5,)), K.layers.Dense(7, activation=name)]))
    randomise(model, rng, 3.0)
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 7))
    output, cache = reference.dense_forward(x, *model.get_weights(), name)
    expected = reference.dense_backward(cache, 2 * (output - y) / output.size)
    for key, g in zip(("kernel", "bias"), gradient(model, x, y), strict=True):
        assert_close(g, expected[key], TOLERANCE["float64"], key)


@pytest.mark.parametrize("sequences", [False, True])
def test_masked_loss(K, sequences, rng, float64):
    """A mask that reaches the loss: sum of the valid entries' losses over the number of valid entries."""
    ids = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [0, 5, 0, 6], [7, 8, 9, 10]])
    model = compiled(K, K.Sequential([
        K.Input((4,)), K.layers.Embedding(11, 3, mask_zero=True),
        K.layers.LSTM(5, return_sequences=sequences)]))  # fmt: skip
    randomise(model, rng)
    table, *weights = model.get_weights()
    keep = ids != 0
    sequence, last, _, cache = reference.lstm_forward(table[ids], *weights, mask=keep)
    output = sequence if sequences else last
    y = rng.normal(size=output.shape)
    if sequences:
        d = 2 * (output - y) / 5 * keep[..., None] / keep.sum(), None
        loss = (((output - y) ** 2).mean(-1) * keep).sum() / keep.sum()
    else:
        d = None, 2 * (output - y) / output.size
        loss = ((output - y) ** 2).mean()
    assert_close(model.evaluate(ids, y, verbose=0), loss, 1e-6)
    expected = reference.lstm_backward(cache, *d, None)
    expected_table = reference.embedding_backward((ids, table), expected["x"])["embeddings"]
    actual = gradient(model, ids, y)
    for g, e in zip(actual, [expected_table, *(expected[k] for k in ("kernel", "recurrent_kernel", "bias"))],
                    strict=True):  # fmt: skip
        assert_close(g, e, TOLERANCE["float64"])
    assert not actual[0][0].any()  # row 0 is never trained through a mask


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel, strides", [((2, 2), (1, 1)), ((3, 2), (2, 1)), ((1, 3), (2, 2))])
def test_conv2d(K, kernel, strides, padding, rng, float64):
    """Two of them, so that the upper one's input gradient is seen too."""
    model = compiled(K, K.Sequential([
        K.Input((6, 5, 2)), K.layers.Conv2D(3, (2, 3), padding="same", activation="tanh"),
        K.layers.Conv2D(4, kernel, strides, padding, activation="relu")]))  # fmt: skip
    randomise(model, rng, 2.0)
    w = model.get_weights()
    x = rng.normal(size=(3, 6, 5, 2))
    middle, cache1 = reference.conv2d_forward(x, w[0], w[1], padding="same", activation="tanh")
    output, cache2 = reference.conv2d_forward(middle, w[2], w[3], strides, padding, activation="relu")
    y = rng.normal(size=output.shape)
    upper = reference.conv2d_backward(cache2, 2 * (output - y) / output.size)
    lower = reference.conv2d_backward(cache1, upper["x"])
    expected = [lower["kernel"], lower["bias"], upper["kernel"], upper["bias"]]
    for g, e in zip(gradient(model, x, y), expected, strict=True):
        assert_close(g, e, TOLERANCE["float64"])


# ----------------------------------------------------------------------------- against finite differences


# Keras on torch rounds the loss to float32, whatever the dtype: there the differences only show that the tests work.
STEP, DIFFERENCE_TOLERANCE = (1e-5, 1e-7) if API_NAME == "fastrnn" else (2e-3, 3e-2)


def check_differences(model, loss_of, gradients, rng, entries=3):
    """Central differences of loss_of(weights) along some entries and two directions of every weight."""
    weights = model.get_weights()
    for k, (w, g) in enumerate(zip(weights, gradients, strict=True)):
        directions = [rng.normal(size=w.shape) for _ in range(2)]
        for index in rng.choice(w.size, size=min(entries, w.size), replace=False):
            one = np.zeros(w.size)
            one[index] = 1
            directions.append(one.reshape(w.shape))
        expected = []
        for direction in directions:
            ends = []
            for sign in (1, -1):
                moved = list(weights)
                moved[k] = w + sign * STEP * direction
                ends.append(loss_of(moved))
            expected.append((ends[0] - ends[1]) / (2 * STEP))
        actual = [(g * direction).sum() for direction in directions]
        scale = max(np.abs(expected).max(), np.abs(g).max(), 1e-3)
        assert np.abs(np.subtract(actual, expected)).max() <= DIFFERENCE_TOLERANCE * scale, (k, actual, expected)


def models(K):
    """name -> (input shape, layers): every layer that has weights, or passes a gradient on."""
    L = K.layers
    return {
        "dense": ((4,), [L.Dense(5, activation="tanh"), L.Dense(2)]),
        "dense 3-D": ((3, 4), [L.Dense(5, activation="softplus"), L.Dense(2, use_bias=False)]),
        "embedding": ("ids", [L.Embedding(9, 4), L.Dense(2)]),
        "simple_rnn": ((5, 3), [L.SimpleRNN(4, return_sequences=True), L.SimpleRNN(3)]),
        "lstm": ((5, 3), [L.LSTM(4, return_sequences=True), L.LSTM(3), L.Dense(2)]),
        "gru": ((5, 3), [L.GRU(4, return_sequences=True), L.GRU(3, reset_after=False), L.Dense(2)]),
        "backwards": ((5, 3), [L.LSTM(4, return_sequences=True, go_backwards=True), L.GRU(3, go_backwards=True)]),
        "mixed": ((4, 2), [L.LSTM(3, return_sequences=True, activation="softsign"),
                           L.SimpleRNN(4, return_sequences=True, activation="gelu"),
                           L.GRU(5, recurrent_activation="hard_silu")]),
        "bidirectional concat": ((4, 3), [L.Bidirectional(L.LSTM(3, return_sequences=True)), L.GRU(2)]),
        "bidirectional sum": ((4, 3), [L.Bidirectional(L.GRU(3), merge_mode="sum"), L.Dense(2)]),
        "bidirectional mul": ((4, 3), [L.Dense(3), L.Bidirectional(L.SimpleRNN(3, return_sequences=True),
                                                                  merge_mode="mul")]),
        "bidirectional ave": ((4, 3), [L.Dense(3), L.Bidirectional(L.LSTM(3), merge_mode="ave")]),
        "masked": ("ids", [L.Embedding(9, 4, mask_zero=True), L.LSTM(4, return_sequences=True), L.GRU(3)]),
        "masked bidirectional": ("ids", [L.Embedding(9, 4, mask_zero=True),
                                         L.Bidirectional(L.GRU(3, return_sequences=True)), L.SimpleRNN(3)]),
        "conv2d": ((4, 5, 2), [L.Conv2D(3, (2, 2), padding="same", activation="tanh"), L.Conv2D(2, (2, 3), (2, 1)),
                               L.Flatten(), L.Dense(2)]),
        "flatten": ((4, 3), [L.GRU(3, return_sequences=True), L.Flatten(), L.Dense(2)]),
    }  # fmt: skip


MODELS = ["dense", "dense 3-D", "embedding", "simple_rnn", "lstm", "gru", "backwards", "mixed", "bidirectional concat",
          "bidirectional sum", "bidirectional mul", "bidirectional ave", "masked", "masked bidirectional", "conv2d",
          "flatten"]  # fmt: skip


def data(rng, shape, batch=3):
    if shape == "ids":
        return rng.integers(0, 9, size=(batch, 5))
    return rng.normal(size=(batch, *shape))


@pytest.mark.parametrize("name", MODELS)
def test_layers_by_differences(K, name, rng, float64):
    shape, layers = models(K)[name]
    model = compiled(K, K.Sequential([K.Input((5,) if shape == "ids" else shape), *layers]))
    randomise(model, rng)
    x = data(rng, shape)
    y = rng.normal(size=model.predict(x, verbose=0).shape)

    def loss_of(weights):
        model.set_weights(weights)
        return np.mean((model.predict(x, verbose=0) - y) ** 2)

    weights = model.get_weights()
    gradients = gradient(model, x, y)
    assert all(np.abs(g).max() > 0 for g in gradients)
    check_differences(model, loss_of, gradients, rng)
    model.set_weights(weights)


LOSSES = {  # name: (activation of the last layer, targets)
    "mean_squared_error": (None, "real"),
    "mean_absolute_error": (None, "real"),
    "mean_absolute_percentage_error": (None, "real"),
    "mean_squared_logarithmic_error": ("softplus", "positive"),
    "huber": (None, "real"),
    "log_cosh": (None, "real"),
    "binary_crossentropy": ("sigmoid", "binary"),
    "categorical_crossentropy": ("softmax", "one-hot"),
    "sparse_categorical_crossentropy": ("softmax", "class"),
    "hinge": (None, "sign"),
    "squared_hinge": (None, "sign"),
    "categorical_hinge": (None, "one-hot"),
    "kl_divergence": ("softmax", "distribution"),
    "poisson": ("softplus", "positive"),
    "cosine_similarity": (None, "real"),
}


def targets(rng, kind, shape):
    """Targets of a kind for predictions of a shape."""
    classes = rng.integers(0, shape[-1], size=shape[:-1])
    return {
        "real": rng.normal(size=shape),
        "positive": rng.uniform(0.1, 3, size=shape),
        "binary": rng.integers(0, 2, size=shape).astype(float),
        "sign": rng.choice([-1.0, 1.0], size=shape),
        "one-hot": np.eye(shape[-1])[classes],
        "class": classes,
        "distribution": reference.softmax(rng.normal(size=shape)),
    }[kind]


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_differences(K, name, sequences, rng, float64):
    """The loss is what `evaluate` gives, and its gradient is what `fit` follows."""
    activation, kind = LOSSES[name]
    model = compiled(K, K.Sequential([
        K.Input((4, 3)), K.layers.GRU(5, return_sequences=sequences),
        K.layers.Dense(4, activation=activation)]), name)  # fmt: skip
    randomise(model, rng)
    x = rng.normal(size=(6, 4, 3))
    y = targets(rng, kind, model.predict(x, verbose=0).shape)
    weights = model.get_weights()

    def loss_of(weights):
        model.set_weights(weights)
        return model.evaluate(x, y, batch_size=6, verbose=0)

    check_differences(model, loss_of, gradient(model, x, y), rng, entries=2)
    model.set_weights(weights)


@pytest.mark.parametrize("loss", [
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, "one-hot"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "class"),
    ("Huber", {"delta": 0.4}, "real"),
    ("MeanSquaredError", {"reduction": "sum"}, "real"),
], ids=lambda v: v[0])  # fmt: skip
def test_loss_objects_by_differences(K, loss, rng, float64):
    name, options, kind = loss
    model = compiled(K, K.Sequential([K.Input((3,)), K.layers.Dense(4)]), getattr(K.losses, name)(**options))
    randomise(model, rng)
    x = rng.normal(size=(6, 3))
    y = targets(rng, kind, (6, 4))

    def loss_of(weights):
        model.set_weights(weights)
        return model.evaluate(x, y, batch_size=6, verbose=0)

    check_differences(model, loss_of, gradient(model, x, y), rng)


@pytest.mark.parametrize("how", ["sample_weight", "class_weight"])
def test_weighted_loss_by_differences(K, how, rng, float64):
    model = compiled(K, K.Sequential([K.Input((4, 3)), K.layers.LSTM(3), K.layers.Dense(4, activation="softmax")]),
                     "sparse_categorical_crossentropy")  # fmt: skip
    randomise(model, rng)
    x, y = rng.normal(size=(6, 4, 3)), rng.integers(0, 4, size=6)
    class_weight = {0: 2.0, 2: 0.5, 3: 3.0}
    w = rng.uniform(0, 2, size=6) if how == "sample_weight" else np.array([class_weight.get(c, 1.0) for c in y])

    def loss_of(weights):
        model.set_weights(weights)
        return np.mean(-np.log(model.predict(x, verbose=0)[range(6), y]) * w)

    fit = {"sample_weight": w} if how == "sample_weight" else {"class_weight": class_weight}
    check_differences(model, loss_of, gradient(model, x, y, **fit), rng)


@pytest.mark.fastrnn_only  # needs the same dropout masks from the same seed, which Keras on torch draws from a counter
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rates", [(0.4, 0.0), (0.0, 0.4), (0.3, 0.3)])
@pytest.mark.parametrize("masked", [False, True])
def test_dropout_by_differences(K, cell, rates, masked, rng, float64):
    """Loss and gradient of one training step are of the same dropout masks: a fresh model with the same seed."""
    cls, _, _, _, extra = CELLS[cell]
    ids = rng.integers(0, 9, size=(5, 6))
    y = rng.normal(size=(5, 2))

    def make():
        K.utils.clear_session()
        K.utils.set_random_seed(42)
        return compiled(K, K.Sequential([
            K.Input((6,)), K.layers.Embedding(9, 4, mask_zero=masked), K.layers.Dropout(0.2),
            getattr(K.layers, cls)(5, dropout=rates[0], recurrent_dropout=rates[1], return_sequences=True, **extra),
            getattr(K.layers, cls)(3, dropout=rates[0], recurrent_dropout=rates[1], **extra),
            K.layers.Dropout(0.5), K.layers.Dense(2)]))  # fmt: skip

    model = make()
    randomise(model, rng)
    weights = model.get_weights()

    def loss_of(weights):
        model = make()
        model.set_weights(weights)
        return model.fit(ids, y, batch_size=5, epochs=1, shuffle=False, verbose=0).history["loss"][0]

    assert loss_of(weights) == loss_of(weights)
    plain = make()
    plain.set_weights(weights)
    assert abs(plain.evaluate(ids, y, verbose=0) - loss_of(weights)) > 1e-6  # there is dropout in training
    trained = make()
    trained.set_weights(weights)
    check_differences(model, loss_of, gradient(trained, ids, y), rng)


def test_regularizers_by_differences(K, rng, float64):
    """Penalties are part of the loss that `evaluate` reports and of the gradient."""
    L, R = K.layers, K.regularizers
    model = compiled(K, K.Sequential([
        K.Input((4, 3)),
        L.LSTM(3, kernel_regularizer=R.L2(0.1), recurrent_regularizer=R.L1(0.05), bias_regularizer="l2"),
        L.Dense(2, kernel_regularizer=R.L1L2(0.02, 0.03))]))  # fmt: skip
    randomise(model, rng)
    x, y = rng.normal(size=(5, 4, 3)), rng.normal(size=(5, 2))

    def loss_of(weights):
        model.set_weights(weights)
        return model.evaluate(x, y, batch_size=5, verbose=0)

    w = model.get_weights()
    penalty = (0.1 * (w[0] ** 2).sum() + 0.05 * np.abs(w[1]).sum() + 0.01 * (w[2] ** 2).sum()
               + 0.02 * np.abs(w[3]).sum() + 0.03 * (w[3] ** 2).sum())  # fmt: skip
    mse = np.mean((model.predict(x, verbose=0) - y) ** 2)
    assert_close(loss_of(w), mse + penalty, 1e-6)
    check_differences(model, loss_of, gradient(model, x, y), rng)


@pytest.mark.parametrize("clip", [{"clipnorm": 0.1}, {"clipvalue": 0.01}, {"global_clipnorm": 0.1}])
def test_clipping(K, clip, rng, float64):
    model = compiled(K, K.Sequential([K.Input((4, 3)), K.layers.LSTM(3), K.layers.Dense(2)]))
    randomise(model, rng)
    x, y = rng.normal(size=(5, 4, 3)), 5 + rng.normal(size=(5, 2))
    plain = gradient(model, x, y)
    model.compile(K.optimizers.SGD(learning_rate=RATE, **clip), "mse")
    clipped = gradient(model, x, y)
    (kind, limit), = clip.items()
    norms = [np.linalg.norm(g) for g in plain]
    total = np.sqrt(sum(n * n for n in norms))
    assert total > limit
    for g, n, actual in zip(plain, norms, clipped, strict=True):
        expected = {"clipnorm": g * min(1, limit / n), "clipvalue": np.clip(g, -limit, limit),
                    "global_clipnorm": g * limit / total}[kind]  # fmt: skip
        assert_close(actual, expected, 1e-6 if API_NAME == "fastrnn" else 1e-4)
