"""Normalisation, noise and activation layers against real Keras, over random configurations. The seed is FASTRNN_PARITY_SEED."""

import warnings

import numpy as np
import pytest
from conftest import assert_close, to_numpy
from parity import build, generator, pick

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity
TOLERANCE = 2e-5
WEIGHTED = ["BatchNormalization", "LayerNormalization", "GroupNormalization"]


def weight_options(rng, name, weights):
    """Random initializers, regularizers and constraints."""
    options = {}
    for weight in weights:
        if rng.random() < 0.2:
            options[f"{weight}_regularizer"] = pick(rng, ["l1", "l2"])
        if rng.random() < 0.1:
            options[f"{weight}_constraint"] = pick(rng, ["non_neg", "max_norm"])
    return options


def layer(rng, shape):
    """(class, arguments) of a random layer that keeps the shape (batch, ...) of its input."""
    name = pick(rng, [*WEIGHTED, "BatchNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization", "ReLU", "LeakyReLU",
                      "ELU", "PReLU", "Softmax", "Rescaling", "Normalization"])  # fmt: skip
    rank, features = len(shape), shape[-1]
    o = {}
    if name in WEIGHTED:
        o = {"epsilon": pick(rng, [1e-3, 1e-2, 1e-5]), "center": bool(rng.random() < 0.8), "scale": bool(rng.random() < 0.8)}
        o |= weight_options(rng, name, ["beta", "gamma"])
    if name == "BatchNormalization":
        o |= {"momentum": pick(rng, [0.99, 0.5, 0.9, 0.0, 1.0]), "axis": pick(rng, [-1, -1, -1, int(rng.integers(1, rank))])}
        if rng.random() < 0.2:
            o |= {"moving_mean_initializer": "ones", "gamma_initializer": "random_uniform"}
    elif name == "LayerNormalization":
        o["axis"] = pick(rng, [-1, -1, [-1], rank - 1, list(range(1, rank)), [-1, 1] if rank == 3 else -1])
    elif name == "GroupNormalization":
        o |= {"groups": pick(rng, [n for n in range(1, features + 1) if features % n == 0] + [-1])}
    elif name == "RMSNormalization":
        o = {"axis": pick(rng, [-1, [-1]]), "epsilon": pick(rng, [1e-6, 1e-2])}
    elif name == "UnitNormalization":
        o = {"axis": pick(rng, [-1, int(rng.integers(1, rank)), list(range(1, rank))])}
    elif name == "ReLU":
        o = {"max_value": pick(rng, [None, 1.0, 6.0]), "negative_slope": pick(rng, [0.0, 0.3]), "threshold": pick(rng, [0.0, 0.5])}
    elif name == "LeakyReLU":
        o = pick(rng, [{}, {"negative_slope": 0.1}])
    elif name == "ELU":
        o = pick(rng, [{}, {"alpha": 0.5}])
    elif name == "PReLU":
        o = {"alpha_initializer": "random_uniform", "shared_axes": pick(rng, [None, [1], list(range(1, rank))])}
        o |= weight_options(rng, name, ["alpha"])
    elif name == "Softmax":
        o = {"axis": pick(rng, [-1, int(rng.integers(1, rank)), list(range(1, rank))])}
    elif name == "Rescaling":
        o = {"scale": pick(rng, [2.0, 1 / 255, [float(v) for v in rng.normal(size=features)]]), "offset": pick(rng, [0.0, -1.5])}
    elif name == "Normalization":
        values = [float(v) for v in rng.random(features) + 0.5]
        o = {"mean": pick(rng, [0.5, values]), "invert": bool(rng.random() < 0.3)}
        o["variance"] = 2.0 if o["mean"] == 0.5 else values
    return name, o


def shape_of(rng, batch=True):
    shape = tuple(int(v) for v in rng.integers(2, 7, size=int(rng.integers(1, 4))))
    return (int(rng.integers(2, 9)), *shape) if batch else shape


def random_weights(rng, shapes):
    return [(rng.random(s) + 0.3).astype(np.float32) for s in shapes]


@pytest.mark.parametrize("case", range(60))
def test_layer_on_arrays(K, case):
    """The same outputs, weights, configuration and names from one layer, in inference and in training."""
    rng = generator(41, case)
    shape = shape_of(rng)
    name, options = layer(rng, shape)
    print(name, options, shape)
    ours, theirs = (getattr(library.layers, name)(**options) for library in (K, keras))
    ours.build(shape)
    theirs.build(shape)
    weights = random_weights(rng, [w.shape for w in theirs.get_weights()])
    for one in (ours, theirs):
        one.set_weights(weights)
    known = theirs.get_config()
    assert {k: v for k, v in ours.get_config().items() if not isinstance(v, dict) and k not in ("name", "dtype")} == {
        k: v for k, v in known.items() if not isinstance(v, dict) and k not in ("name", "dtype")
    }
    assert set(ours.get_config()) == set(known)
    assert [(w.name, w.shape, w.trainable) for w in ours.weights] == [(w.name, w.shape, w.trainable) for w in theirs.weights]
    x = rng.normal(1, 2, size=shape).astype(np.float32)
    call = {}
    if name == "BatchNormalization" and rng.random() < 0.5:
        call["mask"] = rng.random(shape[:-1]) < 0.7
    elif name == "Softmax" and rng.random() < 0.5:
        call["mask"] = rng.random(shape) < 0.7
    assert_close(ours(x, **call), to_numpy(theirs(x, **call)), TOLERANCE)
    if name == "BatchNormalization":
        for _ in range(2):
            assert_close(ours(x, training=True, **call), to_numpy(theirs(x, training=True, **call)), 1e-4)
        for a, e in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            assert_close(a, e, TOLERANCE)
    again = type(ours).from_config(known)
    again.build(shape)
    again.set_weights(ours.get_weights())
    assert_close(again(x, **call), ours(x, **call), 1e-7)


def stack(rng):
    """((input shape, None), layers) of a model for sequences, whose masks may come from Masking."""
    shape = (int(rng.integers(2, 6)), int(rng.integers(2, 6)))
    masked = rng.random() < 0.5
    layers = [("Masking", {})] if masked else []
    if rng.random() < 0.7:
        layers.append(("Dense", {"units": shape[1], "activation": "tanh"}))
    for _ in range(int(rng.integers(1, 3))):
        one = layer(rng, (None, *shape))
        while masked and one[0] == "Softmax":  # which refuses the mask of steps
            one = layer(rng, (None, *shape))
        layers.append(one)
        if rng.random() < 0.5:
            layers.append((pick(rng, ["SimpleRNN", "GRU"]), {"units": shape[1], "return_sequences": True}))
    if rng.random() < 0.6:
        layers.append(("LSTM", {"units": 4}))
    layers.append(("Dense", {"units": 2}))
    return (shape, None), layers


@pytest.mark.parametrize("case", range(40))
def test_training(K, case):
    """Two epochs with a smaller last batch: losses, weights with moving statistics, and predictions."""
    rng = generator(42, case)
    config = stack(rng)
    print(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = build(K, config), build(keras, config)
        theirs.set_weights([w + (rng.random(w.shape) * 0.3).astype(w.dtype) for w in theirs.get_weights()])
        ours.set_weights(theirs.get_weights())
        x = rng.normal(size=(11, *config[0][0])).astype(np.float32)
        x[rng.random(x.shape[:2]) < 0.2] = 0
        x[:, 0] = 1
        y = rng.normal(size=(11, *theirs.output_shape[1:])).astype(np.float32)
        histories = []
        for model, library in ((ours, K), (theirs, keras)):
            model.compile(library.optimizers.SGD(0.05), "mse")
            histories.append(model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"])
        np.testing.assert_allclose(*histories, rtol=2e-4)
        for a, e, w in zip(ours.get_weights(), theirs.get_weights(), theirs.weights, strict=True):
            assert_close(a, e, 5e-4, w.path, floor=0.1)
        assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), 5e-4, floor=0.1)


def test_order_of_weights_and_counts(K):
    """The moving statistics lie beside gamma and beta, as in Keras, and are not trained."""
    models = []
    for library in (K, keras):
        library.utils.clear_session()
        L = library.layers
        models.append(library.Sequential([
            library.Input((5, 4)), L.BatchNormalization(), L.LSTM(3, return_sequences=True), L.BatchNormalization(center=False), L.PReLU(),
            L.LayerNormalization(axis=[1, 2]), L.RMSNormalization(), L.GroupNormalization(3), L.Normalization(), L.Dense(1)]))  # fmt: skip
    ours, theirs = models
    for attribute in ("weights", "trainable_weights", "non_trainable_weights"):
        mine, known = ([(w.path.rsplit("/", 2)[-2:], w.shape) for w in getattr(m, attribute)] for m in models)
        skip = [i for i, (path, _) in enumerate(known) if "lstm" in path[0]]  # paths within a recurrent layer have the cell in them
        assert [v for i, v in enumerate(mine) if i not in skip] == [v for i, v in enumerate(known) if i not in skip]
    assert ours.count_params() == theirs.count_params()
    for model in models:
        model.trainable = False
    assert len(ours.non_trainable_weights) == len(theirs.non_trainable_weights)
    for model in models:
        model.trainable = True
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)


@pytest.mark.parametrize("frozen", ["layer", "model"])
def test_frozen_batch_normalization(K, frozen):
    """trainable=False: inference statistics in training too, and they stay."""
    rng = generator(43)
    x, y = rng.normal(2, 3, size=(9, 4)).astype(np.float32), rng.normal(size=(9, 1)).astype(np.float32)
    models, weights = [], None
    for library in (keras, K):
        normalization = library.layers.BatchNormalization(trainable=frozen != "layer", moving_mean_initializer="ones")
        model = library.Sequential([library.Input((4,)), normalization, library.layers.Dense(1, trainable=frozen == "layer")])
        if frozen == "model":
            normalization.trainable = False
        weights = weights or model.get_weights()
        model.set_weights(weights)
        model.compile("sgd", "mse")
        models.append((model.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0).history["loss"], model.get_weights()))
    np.testing.assert_allclose(models[1][0], models[0][0], rtol=1e-5)
    for a, e in zip(models[1][1], models[0][1], strict=True):
        assert_close(a, e, TOLERANCE, floor=1e-3)
    np.testing.assert_array_equal(models[1][1][2], np.ones(4))


@pytest.mark.parametrize("case", range(12))
def test_adapt(K, case):
    """Mean and variance from arrays and from batches; Keras takes the latter only where TensorFlow is installed, and gets the whole."""
    rng = generator(44, case)
    shape = shape_of(rng)
    axis = pick(rng, [-1, None, len(shape) - 1, tuple(range(1, len(shape)))])
    data = rng.normal(3, 2, size=(12, *shape[1:])).astype(np.float32)
    given = data if case % 3 == 0 else [data[:5], data[5:8], data[8:]] if case % 3 == 1 else [(data[:7], None), (data[7:], None)]
    print(axis, shape)
    results = []
    for library in (K, keras):
        one = library.layers.Normalization(axis=axis, invert=case % 4 == 1)
        one.adapt(given if library is K else data)
        results.append((to_numpy(one(data)), [np.asarray(w) for w in one.get_weights()], to_numpy(one.mean), to_numpy(one.variance)))
    assert_close(results[0][0], results[1][0], 1e-5)
    for a, e in zip(results[0][1], results[1][1], strict=True):
        assert_close(a, e, 1e-5)
    assert results[0][2].shape == results[1][2].shape and results[0][3].shape == results[1][3].shape


ERRORS = [
    lambda L: L.BatchNormalization(synchronized=True),
    lambda L: L.BatchNormalization(fused=True),
    lambda L: L.LayerNormalization(axis=None),
    lambda L: L.LayerNormalization(axis="a"),
    lambda L: L.GroupNormalization(0),
    lambda L: L.GroupNormalization(3).build((None, 4)),
    lambda L: L.GroupNormalization(8).build((None, 4)),
    lambda L: L.GroupNormalization(8).build((None, None)),
    lambda L: L.Dropout(1.5),
    lambda L: L.Dropout(0.5, seed="a"),
    lambda L: L.Dropout(0.5, noise_shape="a"),
    lambda L: L.Dropout(0.5, noise_shape=5),
    lambda L: L.Dropout(0.5, noise_shape=(None, 1.5)),
    lambda L: L.Dropout(0.5, noise_shape=(None, 0)),
    lambda L: L.GaussianNoise(1.5),
    lambda L: L.GaussianDropout(-0.5),
    lambda L: L.AlphaDropout(2),
    lambda L: L.ReLU(max_value=-1.0),
    lambda L: L.ReLU(negative_slope=None),
    lambda L: L.ReLU(threshold=-0.5),
    lambda L: L.LeakyReLU(-1.0),
    lambda L: L.PReLU().build((None, None, 3)),
    lambda L: L.Normalization(mean=1.0),
    lambda L: L.Normalization(mean=[1.0], variance=1.0),
    lambda L: L.Normalization(axis=None, mean=[1.0], variance=[1.0]),
    lambda L: L.Normalization(axis=3).build((None, 3)),
    lambda L: L.Normalization(axis=1).build((None, None)),
    lambda L: L.SpatialDropout1D(0.5, trainable=True),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors_of_arguments(K, number):
    """The same exception, with the same message but for names of modules."""
    with pytest.raises(Exception) as known:
        ERRORS[number](keras.layers)
    K.utils.clear_session()
    with pytest.raises(type(known.value)) as error:
        ERRORS[number](K.layers)
    mine, theirs = (" ".join(str(e.value).replace("keras", "").replace("fastrnn", "").split()) for e in (error, known))
    assert mine[:60].split(":")[0] == theirs[:60].split(":")[0], (mine, theirs)


def test_mask_of_steps(K):
    """Which layers pass a mask on to a recurrent layer above, and which drop it."""
    rng = generator(45)
    x = rng.normal(size=(3, 6, 4)).astype(np.float32)
    x[:, 4:] = 0
    for name, options in [("BatchNormalization", {}), ("LayerNormalization", {}), ("RMSNormalization", {}), ("UnitNormalization", {}),
                          ("GroupNormalization", {"groups": 2}), ("ReLU", {}), ("LeakyReLU", {}), ("ELU", {}), ("PReLU", {}),
                          ("Rescaling", {"scale": 2.0, "offset": 1.0}), ("Normalization", {"mean": 1.0, "variance": 2.0}),
                          ("GaussianNoise", {"stddev": 0.5}), ("SpatialDropout1D", {"rate": 0.5}), ("AlphaDropout", {"rate": 0.5}),
                          ("GaussianDropout", {"rate": 0.5}), ("Activation", {"activation": "softmax"})]:  # fmt: skip
        config = ((6, 4), None), [("Masking", {}), (name, options), ("GRU", {"units": 3})]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = build(K, config), build(keras, config)
            ours.set_weights(theirs.get_weights())
            assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), TOLERANCE, name)
    config = ((6, 4), None), [("Masking", {}), ("Softmax", {})]
    with pytest.raises(ValueError, match="The `mask` must be broadcastable to `inputs`"):
        build(keras, config).predict(x, verbose=0)
    with pytest.raises(ValueError, match="The `mask` must be broadcastable to `inputs`"):
        build(K, config).predict(x, verbose=0)
