"""Convolutions, pooling and the layers that move numbers against real Keras: outputs, one training step, shapes, masks, configurations.

Each layer under test stands on a Dense or an Embedding, so that a training step shows the gradient of its input too.
"""

import warnings

import numpy as np
import pytest
from conftest import assert_close, to_numpy
from parity import ACTIVATIONS, generator, inputs, pair, pick

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity
TOLERANCE = 1e-5
RATE = 0.5


@pytest.fixture(autouse=True)
def names_start_anew():
    keras.utils.clear_session(free_memory=False)


def tuples(rng, rank, high, low=1):
    """An int, or a tuple of `rank` of them."""
    values = tuple(int(v) for v in rng.integers(low, high, size=rank))
    return values[0] if rng.random() < 0.4 else values


def ordered(rng, shape, options):
    """The shape (..., channels), in the order of a random `data_format`."""
    if rng.random() < 0.3:
        options["data_format"] = "channels_first"
        return (shape[-1], *shape[:-1])
    return shape


def convolution(rng, rank):
    """(input shape, configuration) of a random convolution."""
    groups = pick(rng, [1, 1, 2, 3])
    shape = (*(int(n) for n in rng.integers(5, 12, size=rank)), groups * int(rng.integers(2, 4)))
    options = {"filters": groups * int(rng.integers(1, 7)), "kernel_size": tuples(rng, rank, 4), "groups": groups,
               "padding": pick(rng, ["valid", "same", "causal"][: 2 + (rank == 1)]),
               "activation": pick(rng, [*ACTIVATIONS, "softmax", None]), "use_bias": bool(rng.random() < 0.7)}  # fmt: skip
    options[pick(rng, ["strides", "dilation_rate"])] = tuples(rng, rank, 3)
    return ordered(rng, shape, options), (f"Conv{rank}D", options)


def average_of_padding(shape, name, options):
    """Whether Keras's PyTorch backend averages over copies of the last cells here: it does where "same" pads one side more than the other."""
    if not name.startswith("Average") or options["padding"] == "valid":
        return False
    rank = int(name[-2])
    sizes, strides = (np.broadcast_to(options.get(k) or options["pool_size"], rank) for k in ("pool_size", "strides"))
    spatial = np.array(shape[1:] if "data_format" in options else shape[:-1])
    return bool((np.maximum(0, (-(-spatial // strides) - 1) * strides + sizes - spatial) % 2).any())


def pooling(rng, rank):
    while True:
        shape = (*(int(n) for n in rng.integers(4, 12, size=rank)), int(rng.integers(1, 6)))
        options = {"pool_size": tuples(rng, rank, 5), "padding": pick(rng, ["valid", "same"])}
        if rng.random() < 0.6:
            options["strides"] = tuples(rng, rank, 4)
        shape = ordered(rng, shape, options)
        name = pick(rng, ["MaxPooling", "AveragePooling"]) + f"{rank}D"
        if not average_of_padding(shape, name, options):
            return shape, (name, options)


def global_pooling(rng, rank):
    shape = (*(int(n) for n in rng.integers(1, 9, size=rank)), int(rng.integers(1, 90)))
    options = {"keepdims": bool(rng.random() < 0.4)}
    return ordered(rng, shape, options), (pick(rng, ["GlobalMaxPooling", "GlobalAveragePooling"]) + f"{rank}D", options)


def reshaping(rng, _):
    shape = tuple(int(n) for n in rng.integers(3, 7, size=2))
    name = pick(rng, ["Permute", "Permute", "RepeatVector", "UpSampling1D", "Cropping1D", "ZeroPadding1D", "ZeroPadding2D", "Flatten", "Reshape"])
    options = {}
    if name == "Permute":
        shape = tuple(int(n) for n in rng.integers(1, 5, size=int(rng.integers(1, 5))))
        options["dims"] = tuple(int(n) for n in 1 + rng.permutation(len(shape)))
    elif name == "RepeatVector":
        shape, options["n"] = shape[:1], int(rng.integers(1, 5))
    elif name == "UpSampling1D":
        options["size"] = int(rng.integers(1, 4))
    elif name == "Cropping1D":
        options["cropping"] = tuples(rng, 2, 2, 0)
    elif name == "ZeroPadding1D":
        options["padding"] = tuples(rng, 2, 4, 0)
        shape = ordered(rng, shape, options)
    elif name == "ZeroPadding2D":
        options["padding"] = pick(rng, [2, (0, 3), ((1, 0), (2, 3))])
        shape = ordered(rng, (*shape, 2), options)
    elif name == "Flatten":
        shape = ordered(rng, (*shape, 2), options)
    else:
        options["target_shape"] = pick(rng, [(-1,), (shape[1], -1), (1, *shape), (-1, 1, shape[1])])
    return shape, (name, options)


def one_step(model, library, x, y):
    """What one step of SGD changes in each weight."""
    before = model.get_weights()
    model.compile(library.optimizers.SGD(RATE), "mse")
    model.fit(x, y, batch_size=len(x), epochs=1, shuffle=False, verbose=0)
    return [after - b for after, b in zip(model.get_weights(), before, strict=True)]


@pytest.mark.parametrize("make, rank", [
    (make, rank) for make in (convolution, pooling, global_pooling) for rank in (1, 2)] + [(reshaping, 0)],
    ids=lambda v: getattr(v, "__name__", v))  # fmt: skip
@pytest.mark.parametrize("case", range(6))
def test_layer_in_a_model(K, make, rank, case):
    rng = generator(40, case, rank, len(make.__name__))
    shape, layer = make(rng, rank)
    below = ("Dense", {"units": shape[-1], "activation": "tanh"})
    above = [("Flatten", {}), ("Dense", {"units": 2})]
    config = ((shape, None), [below, layer, *above])
    print(config)
    ours, theirs = pair(K, keras, config, rng)
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        assert a.name == b.name
    x, y = inputs(rng, config, 6), rng.normal(size=(6, 2)).astype(np.float32)
    assert_close(ours.predict(x, batch_size=4, verbose=0), theirs.predict(x, verbose=0), TOLERANCE, floor=0.01)
    for a, b in zip(one_step(ours, K, x, y), one_step(theirs, keras, x, y), strict=True):
        assert_close(a, b, 5e-5, floor=1e-2)


@pytest.mark.parametrize("make, rank", [(convolution, 1), (convolution, 2), (pooling, 1), (global_pooling, 1), (reshaping, 0)],
                         ids=lambda v: getattr(v, "__name__", v))  # fmt: skip
@pytest.mark.parametrize("case", range(8))
def test_configuration_and_shapes(K, make, rank, case):
    rng = generator(41, case, rank, len(make.__name__))
    shape, (name, options) = make(rng, rank)
    print(shape, name, options)
    ours, theirs = (getattr(library.layers, name)(**options) for library in (K, keras))
    mine, known = ours.get_config(), theirs.get_config()
    assert set(known) - set(mine) <= {"activity_regularizer"}
    for key in set(known) & set(mine) - {"dtype"}:
        if not isinstance(known[key], dict):
            assert mine[key] == known[key], key
    again = type(ours).from_config(known)
    assert again.get_config() == {**mine, "name": again.name}
    assert type(theirs).from_config(mine).get_config()["name"] == ours.name
    for unknown in range(len(shape) + 1):
        partial = [None if k == unknown else n for k, n in enumerate((7, *shape))]
        try:
            expected = tuple(theirs.compute_output_shape(tuple(partial)))
        except (TypeError, ValueError):  # Keras's own limits: Reshape, Permute and convolutions of unknown channels
            continue
        assert ours.compute_output_shape(tuple(partial)) == expected, partial


@pytest.mark.parametrize("layer", [
    ("Conv1D", {"filters": 3, "kernel_size": 2}), ("MaxPooling1D", {}), ("AveragePooling1D", {"pool_size": 2}), ("Permute", {"dims": (2, 1)}),
    ("ZeroPadding1D", {}), ("Cropping1D", {}), ("UpSampling1D", {}), ("Reshape", {"target_shape": (4, 6)}), ("Permute", {"dims": (1, 2)}),
], ids=lambda v: v[0])  # fmt: skip
def test_mask_is_dropped(K, layer):
    """The recurrent layer above sees every step, and so does the loss; a warning says so, in the same words."""
    rng = generator(42)
    config = (((8,), 12), [("Embedding", {"input_dim": 12, "output_dim": 3, "mask_zero": True}), layer,
                           ("GRU", {"units": 3, "return_sequences": True})])  # fmt: skip
    ours, theirs = pair(K, keras, config, rng)
    x = rng.integers(0, 3, size=(9, 8))
    y = rng.normal(size=(9, *ours.output_shape[1:])).astype(np.float32)
    warned = []
    for model in (ours, theirs):
        with pytest.warns(UserWarning, match="destroy the mask") as caught:
            model.predict(x, verbose=0)
        warned.append({str(w.message) for w in caught if w.category is UserWarning})
        assert not model.layers[1].supports_masking
    assert warned[0] == warned[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), TOLERANCE)
        for a, b in zip(one_step(ours, K, x, y), one_step(theirs, keras, x, y), strict=True):
            assert_close(a, b, 5e-5, floor=1e-2)


@pytest.mark.parametrize("name", ["GlobalAveragePooling1D", "GlobalMaxPooling1D"])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.filterwarnings("ignore:.*destroy the mask")
def test_mask_in_global_pooling(K, name, keepdims):
    rng = generator(43)
    config = (((8,), 12), [("Embedding", {"input_dim": 12, "output_dim": 3, "mask_zero": True}), (name, {"keepdims": keepdims}),
                           ("Dense", {"units": 2})])  # fmt: skip
    ours, theirs = pair(K, keras, config, rng)
    x = rng.integers(0, 3, size=(9, 8))
    x[:, 3] = 1
    y = rng.normal(size=(9, *ours.output_shape[1:])).astype(np.float32)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), TOLERANCE)
    for a, b in zip(one_step(ours, K, x, y), one_step(theirs, keras, x, y), strict=True):
        assert_close(a, b, 5e-5, floor=1e-2)


@pytest.mark.parametrize("inner", [
    ("Conv1D", {"filters": 4, "kernel_size": 2, "groups": 2, "activation": "tanh"}), ("MaxPooling1D", {}), ("Permute", {"dims": (2, 1)}),
    ("GlobalAveragePooling1D", {}), ("GlobalMaxPooling1D", {}), ("ZeroPadding1D", {}), ("Flatten", {"data_format": "channels_first"}),
], ids=lambda v: v[0])  # fmt: skip
def test_time_distributed(K, inner):
    """Steps as samples, in a batch below the largest."""
    rng = generator(46)
    config = (((3, 5, 4), None), [("Dense", {"units": 4}), ("TimeDistributed", {}, inner), ("Flatten", {}), ("Dense", {"units": 2})])
    ours, theirs = pair(K, keras, config, rng)
    x, y = inputs(rng, config, 7), rng.normal(size=(7, 2)).astype(np.float32)
    assert_close(ours.predict(x, batch_size=4, verbose=0), theirs.predict(x, verbose=0), TOLERANCE)
    for a, b in zip(one_step(ours, K, x, y), one_step(theirs, keras, x, y), strict=True):
        assert_close(a, b, 5e-5, floor=1e-2)


def test_mask_given_to_global_average_pooling(K):
    rng = generator(44)
    x, mask = rng.normal(size=(5, 6, 3)).astype(np.float32), rng.random((5, 6)) < 0.5
    mask[:, 2] = True
    mask[0] = False  # 0 / 0
    for keepdims, order in ((False, None), (True, "channels_last"), (False, "channels_first"), (True, "channels_first")):
        given = x.transpose(0, 2, 1) if order == "channels_first" else x
        layers = [library.layers.GlobalAveragePooling1D(order, keepdims) for library in (K, keras)]
        ours, theirs = (to_numpy(layer(given, mask=mask)) for layer in layers)
        assert np.isnan(ours[0]).all() and np.isnan(theirs[0]).all()
        assert_close(ours[1:], theirs[1:], TOLERANCE)


@pytest.mark.parametrize("layer", [
    ("MaxPooling1D", {"pool_size": 3, "strides": 1}), ("MaxPooling1D", {"pool_size": 3, "strides": 2, "padding": "same"}),
    ("GlobalMaxPooling1D", {}),
], ids=str)  # fmt: skip
def test_gradient_of_equal_values(K, layer):
    """Whole numbers with many ties: the first of a window has the gradient, all of them share it in global pooling."""
    rng = generator(45)
    config = (((9,), 12), [("Embedding", {"input_dim": 12, "output_dim": 4}), layer, ("Flatten", {}), ("Dense", {"units": 2})])
    ours, theirs = pair(K, keras, config, rng)
    weights = theirs.get_weights()
    weights[0] = rng.integers(0, 2, size=weights[0].shape).astype(np.float32)
    ours.set_weights(weights)
    theirs.set_weights(weights)
    x, y = rng.integers(0, 12, size=(7, 9)), rng.normal(size=(7, 2)).astype(np.float32)
    for a, b in zip(one_step(ours, K, x, y), one_step(theirs, keras, x, y), strict=True):
        assert_close(a, b, 5e-5, floor=1e-2)


ERRORS = [
    ("Conv1D", {"filters": 0, "kernel_size": 2}, None),
    ("Conv1D", {"filters": 4, "kernel_size": 0}, None),
    ("Conv1D", {"filters": 4, "kernel_size": (2, 2)}, None),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "groups": 3}, None),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "groups": 0}, None),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "strides": 2, "dilation_rate": 2}, None),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "data_format": "last"}, None),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "groups": 2}, (None, 5, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 6}, (None, 5, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 2}, (None, 5)),
    ("Conv1D", {"filters": 4, "kernel_size": 2}, (None, 5, 3, 2)),
    ("Conv2D", {"filters": 4, "kernel_size": (2, 6)}, (None, 5, 5, 2)),
    ("MaxPooling1D", {"pool_size": -1}, None),
    ("MaxPooling1D", {"pool_size": 6}, (None, 5, 3)),
    ("MaxPooling1D", {}, (None, 5)),
    ("AveragePooling2D", {"pool_size": (2, 2, 2)}, None),
    ("GlobalMaxPooling1D", {}, (None, 5)),
    ("GlobalAveragePooling2D", {}, (None, 5, 3)),
    ("Permute", {"dims": (0, 1)}, None),
    ("Permute", {"dims": (2, 1)}, (None, 5)),
    ("RepeatVector", {"n": 0}, None),
    ("RepeatVector", {"n": 2.0}, None),
    ("RepeatVector", {"n": 2}, (None, 5, 3)),
    ("UpSampling1D", {"size": 0}, None),
    ("UpSampling1D", {"size": "2"}, None),
    ("Cropping1D", {"cropping": -1}, None),
    ("Cropping1D", {"cropping": (2, 3)}, (None, 5, 3)),
    ("ZeroPadding1D", {"padding": (1, 2, 3)}, None),
    ("ZeroPadding2D", {"padding": (1, 2, 3)}, None),
    ("ZeroPadding2D", {"padding": None}, None),
    ("Reshape", {"target_shape": (-2,)}, None),
    ("Reshape", {"target_shape": (-1, -1)}, None),
    ("Reshape", {"target_shape": (4,)}, (None, 5, 3)),
    ("Reshape", {"target_shape": (-1, 4)}, (None, 5, 3)),
    ("Flatten", {"data_format": "first"}, None),
]  # fmt: skip


@pytest.mark.parametrize("name, options, shape", ERRORS, ids=str)
def test_errors(K, name, options, shape):
    """The same kind of error, with Keras's words up to where it shows the values."""
    errors = []
    for library in (keras, K):
        library.utils.clear_session(free_memory=False)
        with pytest.raises((TypeError, ValueError)) as caught:
            layer = getattr(library.layers, name)(**options)
            assert shape is not None, "the constructor takes it"
            library.Sequential([library.Input(shape[1:]), layer])
        errors.append(caught.value)
    theirs, ours = errors
    print(theirs, ours, sep="\n")
    assert type(ours) is type(theirs)
    words = str(theirs).split("\x1b[1m")[-1].split("Received")[0].split("{")[0].replace("with name 'None' ", "").strip()
    assert len(words) > 20 and words[:60] in str(ours)
