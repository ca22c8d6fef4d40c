"""Layers and models against real Keras: same weights in, same outputs out, over random configurations.

The seed is FASTRNN_PARITY_SEED, or a fixed one.
"""

import numpy as np
import pytest
from conftest import assert_close, to_numpy
from parity import ACTIVATIONS, build, generator, inputs, pair, pick, recurrent, stack

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity
TOLERANCE = 1e-5


@pytest.mark.parametrize("case", range(40))
def test_recurrent_layer(K, case):
    """One recurrent layer called on arrays: sequences, states, mask and initial state."""
    rng = generator(1, case)
    cls, options = recurrent(rng, sequences=bool(rng.random() < 0.6))
    options["return_state"] = True
    B, T, F = (int(v) for v in rng.integers(1, 12, size=3))
    print(cls, options, (B, T, F))
    theirs, ours = (getattr(library.layers, cls)(**options) for library in (keras, K))
    theirs.build((B, T, F))
    ours.build((B, T, F))
    ours.set_weights(theirs.get_weights())
    x = rng.normal(size=(B, T, F)).astype(np.float32)
    call = {}
    if rng.random() < 0.5:
        call["mask"] = rng.random((B, T)) < 0.7
    if rng.random() < 0.5:
        count = 2 if cls == "LSTM" else 1
        call["initial_state"] = [rng.normal(size=(B, options["units"])).astype(np.float32) for _ in range(count)]
    keras_call = {k: [keras.ops.convert_to_tensor(s) for s in v] if k == "initial_state" else v
                  for k, v in call.items()}  # fmt: skip
    for actual, expected in zip(to_numpy(ours(x, **call)), to_numpy(theirs(x, **keras_call)), strict=True):
        assert_close(actual, expected, TOLERANCE)


@pytest.mark.parametrize("case", range(40))
def test_model(K, case):
    rng = generator(2, case)
    config = stack(rng, outputs=int(rng.integers(1, 5)), last=pick(rng, [None, "softmax", "sigmoid"]), max_steps=11)
    print(config)
    ours, theirs = pair(K, keras, config, rng)
    x = inputs(rng, config, int(rng.integers(1, 50)))
    expected = theirs.predict(x, verbose=0)
    actual = ours.predict(x, verbose=0)
    assert actual.dtype == expected.dtype == np.float32
    assert_close(actual, expected, TOLERANCE, floor=0.01)
    assert_close(ours.predict(x, batch_size=7, verbose=0), expected, TOLERANCE, floor=0.01)
    assert_close(ours.predict_on_batch(x), expected, TOLERANCE, floor=0.01)
    assert_close(ours(x), expected, TOLERANCE, floor=0.01)


@pytest.mark.parametrize("case", range(12))
def test_bidirectional(K, case):
    rng = generator(3, case)
    inner = recurrent(rng, sequences=bool(rng.random() < 0.5))
    inner[1]["go_backwards"] = False
    inner[1]["return_state"] = case % 3 == 0
    merge_mode = pick(rng, ["concat", "sum", "mul", "ave", None])
    print(inner, merge_mode)
    layers = []
    for library in (K, keras):
        layer = library.layers.Bidirectional(getattr(library.layers, inner[0])(**inner[1]), merge_mode=merge_mode)
        layer.build((4, 6, 3))
        layers.append(layer)
    ours, theirs = layers
    ours.set_weights(theirs.get_weights())
    x = rng.normal(size=(4, 6, 3)).astype(np.float32)
    call = {"mask": rng.random((4, 6)) < 0.7} if rng.random() < 0.6 else {}
    actual, expected = to_numpy(ours(x, **call)), to_numpy(theirs(x, **call))
    if not isinstance(expected, list):
        actual, expected = [actual], [expected]
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, TOLERANCE)


@pytest.mark.parametrize("case", range(15))
def test_conv2d_flatten_dense(K, case):
    rng = generator(4, case)
    # two channels or more: with one, torch 2.13 gets strided convolutions of channels-last data wrong
    shape = tuple(int(v) for v in rng.integers(3, 9, size=2)) + (int(rng.integers(2, 5)),)
    options = {"filters": int(rng.integers(1, 9)), "kernel_size": tuple(int(v) for v in rng.integers(1, 4, size=2)),
               "strides": tuple(int(v) for v in rng.integers(1, 3, size=2)), "padding": pick(rng, ["same", "valid"]),
               "activation": pick(rng, ACTIVATIONS), "use_bias": bool(rng.random() < 0.7)}  # fmt: skip
    config = ((shape, None), [("Conv2D", options), ("Flatten", {}), ("Dense", {"units": 3}),
                              ("Dropout", {"rate": 0.3})])  # fmt: skip
    print(config)
    ours, theirs = pair(K, keras, config, rng)
    x = rng.normal(size=(5, *shape)).astype(np.float32)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), TOLERANCE, floor=0.01)


def test_initial_weights_have_the_same_distribution(K):
    """Fresh weights: zeros, ones and orthogonal rows as in Keras, the random ones with Keras's bounds and spread."""
    layers = [("LSTM", {"units": 30}), ("GRU", {"units": 30}), ("SimpleRNN", {"units": 30}),
              ("GRU", {"units": 30, "reset_after": False}), ("LSTM", {"units": 30, "unit_forget_bias": False}),
              ("Dense", {"units": 30})]  # fmt: skip
    for name, options in layers:
        weights = []
        for library in (K, keras):
            layer = getattr(library.layers, name)(**options)
            layer.build((None, 5, 20))
            weights.append(layer.get_weights())
        for k, (ours, theirs) in enumerate(zip(*weights, strict=True)):
            assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
            if k == 1 and name != "Dense":
                np.testing.assert_allclose(ours @ ours.T, np.eye(30), atol=1e-5)
            elif len(np.unique(theirs)) <= 2:
                np.testing.assert_array_equal(ours, theirs)
            else:
                limit = np.sqrt(6 / (20 + theirs.shape[1]))
                assert 0.97 * limit < np.abs(ours).max() <= limit and abs(ours.std() / theirs.std() - 1) < 0.1
    ours, theirs = (library.layers.Embedding(200, 50) for library in (K, keras))
    ours.build((None, None))
    theirs.build((None, None))
    assert np.abs(ours.get_weights()[0]).max() <= 0.05 and abs(ours.get_weights()[0].std() - 0.05 / np.sqrt(3)) < 1e-3


@pytest.mark.parametrize("case", range(6))
def test_config_builds_the_same_layer_in_keras(K, case):
    """What `get_config` says is understood by Keras, and the other way round."""
    rng = generator(5, case)
    cls, options = recurrent(rng, sequences=True)
    options["name"] = "named"
    ours, theirs = (getattr(library.layers, cls)(**options) for library in (K, keras))
    known = theirs.get_config()
    mine = ours.get_config()
    assert set(mine) <= set(known) | {"zero_output_for_mask", "implementation", "seed"}
    for key in set(mine) & set(known) - {"dtype"}:
        if isinstance(known[key], dict) and "class_name" in known[key]:
            assert mine[key]["class_name"] == known[key]["class_name"], key
        else:
            assert mine[key] == known[key], key
    again = type(theirs).from_config({**known, **{k: mine[k] for k in options}})
    again.build((None, None, 3))
    other = type(ours).from_config(known)
    other.build((None, None, 3))
    other.set_weights(again.get_weights())
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    assert_close(to_numpy(other(x)), to_numpy(again(x)), TOLERANCE)


def test_embedding_and_mask_of_numbers(K):
    rng = generator(6)
    config = (((9,), 12), [("Embedding", {"input_dim": 12, "output_dim": 4, "mask_zero": True}),
                           ("LSTM", {"units": 5, "return_sequences": True}), ("GRU", {"units": 3})])  # fmt: skip
    ours, theirs = pair(K, keras, config, rng)
    x = rng.integers(0, 12, size=(20, 9))
    x[3] = 0
    for kind in (np.int64, np.int32, np.float32, np.float64):
        assert_close(ours.predict(x.astype(kind), verbose=0), theirs.predict(x.astype(kind), verbose=0), TOLERANCE)


def test_ranks_that_the_first_layer_repairs(K):
    """Input((T, 1)) takes (N, T), and Input((T,)) takes (N, T, 1)."""
    rng = generator(7)
    for shape, given, layers in (((5, 1), (4, 5), [("LSTM", {"units": 3})]),
                                 ((5,), (4, 5, 1), [("Dense", {"units": 3})])):  # fmt: skip
        ours, theirs = pair(K, keras, ((shape, None), layers), rng)
        x = rng.normal(size=given).astype(np.float32)
        assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), TOLERANCE, floor=0.01)


def test_stateful_layers_behind_an_embedding(K):
    """The batch size comes with `build`, and another one with a copy of the weights in a second model."""
    outputs = []
    weights = None
    for library in (keras, K):
        L = library.layers
        trained, one = (library.Sequential([L.Embedding(9, 4), L.GRU(3, stateful=True, return_sequences=True), L.Dense(9)]) for _ in range(2))
        trained.build((2, None))
        one.build((1, None))
        weights = weights or trained.get_weights()
        one.set_weights(weights)
        assert (trained.input_shape, one.output_shape) == ((2, None), (1, None, 9))
        outputs.append([to_numpy(one(np.array([ids]))) for ids in ([1, 2, 3], [4], [5])])
    for a, b in zip(*outputs, strict=True):
        assert_close(b, a, TOLERANCE, floor=0.01)


def test_any_number_of_steps(K):
    """The number of steps that an Input names holds only where a layer depends on it."""
    rng = generator(25)
    config = (((6, 2), None), [("LSTM", {"units": 3}), ("Dense", {"units": 1})])
    ours, theirs = pair(K, keras, config, rng)
    x = rng.normal(size=(5, 4, 2)).astype(np.float32)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), TOLERANCE, floor=0.01)
    flat = K.Sequential([K.Input((6, 2)), K.layers.LSTM(3, return_sequences=True), K.layers.Flatten(), K.layers.Dense(1)])
    for model, wrong in ((flat, x), (flat, x[:, :, :1]), (ours, x[:, :, :1])):
        with pytest.raises(ValueError, match="incompatible with the layer: expected axis -1"):
            model.predict(wrong, verbose=0)


@pytest.mark.parametrize("first", ["LSTM", "Embedding"])
def test_build_says_the_shapes(K, first):
    """Before any data, and once: another shape is refused, and so is one that an Input contradicts."""
    for library in (keras, K):
        layers = [library.layers.LSTM(3, return_sequences=True)]
        shape = (None, 6, 2)
        if first == "Embedding":
            layers.insert(0, library.layers.Embedding(9, 4))
            shape = (None, 6)
        model = library.Sequential(layers)
        model.build(shape)
        assert (model.input_shape, model.output_shape) == (shape, (None, 6, 3))
        model.build(shape)
        assert library.models.clone_model(model).input_shape == shape
        with pytest.raises(ValueError, match=r"has already been configured to use input shape \(None, 6.*You cannot build it with"):
            model.build((None, 7, *shape[2:]))
        model.add(library.layers.Dense(5))
        assert model.output_shape == (None, 6, 5)
        with pytest.raises(ValueError, match="already been configured"):
            library.Sequential([library.Input((4,)), library.layers.Dense(2)]).build((None, 5))
        with pytest.raises(ValueError, match="cannot be built because it has no layers"):
            library.Sequential().build((None, 5))


def test_build_is_what_the_configuration_says(K):
    config = stack(generator(8), last="softmax")
    for library in (K, keras):
        model = build(library, config)
        assert [type(layer).__name__ for layer in model.layers] == [entry[0] for entry in config[1]]
