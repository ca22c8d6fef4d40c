"""Families of layers and models that are not trained: outputs, shapes, names, configurations."""

import json

import numpy as np
from parity import ACTIVATIONS, build, inputs, stack

from . import Skip, family

ANY_ACTIVATION = [*ACTIVATIONS, "softplus", "selu", "relu6", "leaky_relu", "exponential", "mish", "hard_silu", "celu",
                  "hard_tanh", "log_sigmoid", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", None]  # fmt: skip
# what a recurrent layer takes without growing from step to step until rounding is all that is left
STEADY = [name for name in ANY_ACTIVATION if name != "exponential"]
RECURRENT = ["SimpleRNN", "LSTM", "GRU"]


def recurrent_options(case, cls, **fixed):
    """Arguments of a recurrent layer, from the whole range of its options."""
    options = {"units": case.integer(1, 9), "activation": case.pick(STEADY if case.chance(0.4) else ["tanh"])}
    flags = case.options(
        0.35, use_bias=[True, False], return_sequences=[True], go_backwards=[True], return_state=[True],
        zero_output_for_mask=[True], unroll=[True, False], dropout=[0.0, 0.3], recurrent_dropout=[0.0], seed=[1],
        bias_initializer=["ones", "zeros"], recurrent_initializer=["orthogonal", "glorot_uniform"], trainable=[True, False],
        name=["mine"],
    )  # fmt: skip
    options.update(flags)
    if cls != "SimpleRNN":
        options["recurrent_activation"] = case.pick(["sigmoid", "sigmoid", "hard_sigmoid", "tanh", "relu", None])
        options.update(case.options(0.3, implementation=[1, 2]))
    if cls == "GRU":
        options.update(case.options(0.7, reset_after=[True, False]))
    if cls == "LSTM":
        options.update(case.options(0.3, unit_forget_bias=[True, False]))
    options.update(fixed)
    case.note(cls, options)
    return options


def see_layer(case, layer, shape):
    """What a built layer says about itself."""
    case.see("name", layer.name)
    case.see("weights", [list(w.shape) for w in layer.get_weights()])
    case.see("count_params", layer.count_params())
    case.see("trainable", [len(layer.trainable_weights), len(layer.non_trainable_weights), layer.trainable])
    case.see("output shape", layer.compute_output_shape((None, *shape[1:])))


@family
def recurrent_layer(case):
    """Any recurrent layer with any option, called with masks and initial states."""
    case.use_float64(case.chance(0.3))
    cls = case.pick(RECURRENT)
    layer = getattr(case.L.layers, cls)(**recurrent_options(case, cls))
    batch, steps, features = (case.integer(1, n) for n in (6, 8, 6))
    layer.build((batch, steps, features))
    see_layer(case, layer, (batch, steps, features))
    case.irregular(layer)
    call = {}
    if case.chance(0.5):
        call["mask"] = case.rng.random((batch, steps)) < 0.6
        if layer.unroll and layer.go_backwards:
            raise Skip("Keras on PyTorch cannot unroll backwards with a mask")
    if case.chance(0.4):
        call["initial_state"] = [case.array(case.normal(batch, layer.units)) for _ in range(2 if cls == "LSTM" else 1)]
    case.note((batch, steps, features), sorted(call))
    x = case.normal(batch, steps, features)
    case.see("output", layer(x, **call))
    if "mask" in call and not layer.return_state:
        mask = layer.compute_mask(x, call["mask"])
        case.see("mask", "none" if mask is None else mask.tolist())


@family
def stateful(case):
    """A stateful layer in a model: states are carried from call to call, and forgotten on demand."""
    cls = case.pick(RECURRENT)
    sequences = case.chance(0.5)
    options = {"units": case.integer(1, 6), "stateful": True, "return_sequences": sequences}
    case.note(cls, options)
    L, batch, steps, features = case.L, case.integer(1, 4), case.integer(1, 5), case.integer(1, 4)
    model = L.Sequential([L.Input(batch_shape=(batch, steps, features)), getattr(L.layers, cls)(**options), L.layers.Dense(2)])
    case.irregular(model)
    for k in range(3):
        x = case.normal(batch * case.integer(1, 3), steps, features)
        case.see(f"predict {k}", model.predict(x, batch_size=batch, verbose=0))
        if case.chance(0.4):
            case.note("reset after", k)
            model.layers[-2].reset_states() if case.chance(0.5) else model.layers[-2].reset_state()
    case.see("weights", len(model.get_weights()))
    case.attempt("other batch size", lambda: model.predict(case.normal(batch + 1, steps, features), batch_size=batch + 1, verbose=0))


@family
def bidirectional(case):
    """Bidirectional over any recurrent layer, with every way to merge."""
    case.use_float64(case.chance(0.3))
    cls = case.pick(RECURRENT)
    # an own backward layer must agree in what it returns; the copies that Keras makes always do
    options = recurrent_options(case, cls, trainable=True)
    outer = case.options(0.7, merge_mode=["concat", "sum", "mul", "ave", None], name=["both"])
    inner = getattr(case.L.layers, cls)(**options)
    if case.chance(0.2):
        other = {**options, "go_backwards": not options.get("go_backwards", False), "units": options["units"], "name": "back"}
        outer["backward_layer"] = getattr(case.L.layers, cls)(**other)
    layer = case.L.layers.Bidirectional(inner, **outer)
    batch, steps, features = (case.integer(1, n) for n in (5, 7, 5))
    layer.build((batch, steps, features))
    see_layer(case, layer, (batch, steps, features))
    case.see("names", [layer.forward_layer.name, layer.backward_layer.name])
    case.irregular(layer)
    call = {"mask": case.rng.random((batch, steps)) < 0.6} if case.chance(0.5) else {}
    if call and options.get("unroll"):
        raise Skip("Keras on PyTorch cannot unroll backwards with a mask")
    if case.chance(0.3):
        states = 2 * (2 if cls == "LSTM" else 1)
        call["initial_state"] = [case.array(case.normal(batch, options["units"])) for _ in range(states)]
    case.note((batch, steps, features), sorted(call))
    case.see("output", layer(case.normal(batch, steps, features), **call))


# class: (ranks of a sample, arguments that it needs, arguments that it may get)
PLAIN = {
    "Dense": ((1, 2, 3), {"units": [1, 4, 7]}, {"activation": [*ANY_ACTIVATION, "softmax"], "use_bias": [True, False]}),
    "Masking": ((2,), {}, {"mask_value": [0.0, -1.0, 2]}),
    "Activation": ((1, 2, 3), {"activation": [*ANY_ACTIVATION[:-1], "softmax", "log_softmax"]}, {}),
    "Flatten": ((1, 2, 3), {}, {}),
    "Permute": ((2,), {"dims": [(2, 1), (1, 2)]}, {}),
    "RepeatVector": ((1,), {"n": [1, 3]}, {}),
    "ZeroPadding1D": ((2,), {}, {"padding": [2, (1, 0), (0, 2)]}),
    "Cropping1D": ((2,), {}, {"cropping": [1, (0, 1), (0, 0)]}),
    "UpSampling1D": ((2,), {}, {"size": [1, 3]}),
    "Dropout": ((1, 2, 3), {"rate": [0.0, 0.5, 0.9]}, {"seed": [3]}),
    "SpatialDropout1D": ((2,), {"rate": [0.5]}, {}),
    "GaussianNoise": ((1, 2), {"stddev": [0.1, 1.0]}, {"seed": [3]}),
    "GaussianDropout": ((1, 2), {"rate": [0.5]}, {}),
    "AlphaDropout": ((1, 2), {"rate": [0.5]}, {}),
    "ReLU": ((1, 2), {}, {"max_value": [1.0], "negative_slope": [0.1], "threshold": [0.5]}),
    "LeakyReLU": ((1, 2), {}, {"negative_slope": [0.1]}),
    "ELU": ((1, 2), {}, {"alpha": [0.5]}),
    "PReLU": ((1, 2), {}, {"alpha_initializer": ["ones"]}),
    "Softmax": ((1, 2), {}, {"axis": [-1, 1]}),
    "LayerNormalization": ((1, 2), {}, {"epsilon": [0.1], "center": [False], "scale": [False]}),
    "BatchNormalization": ((1, 2), {}, {"epsilon": [0.1], "center": [False], "scale": [False], "momentum": [0.5]}),
    "UnitNormalization": ((1, 2), {}, {}),
    "RMSNormalization": ((1, 2), {}, {"epsilon": [0.1]}),
    "Rescaling": ((1, 2), {"scale": [0.5]}, {"offset": [1.0]}),
    "Conv1D": ((2,), {"filters": [1, 4], "kernel_size": [1, 2, 3]},
               {"strides": [2], "padding": ["same", "valid", "causal"], "activation": ANY_ACTIVATION, "use_bias": [False]}),
    "MaxPooling1D": ((2,), {}, {"pool_size": [1, 3], "strides": [1, 2], "padding": ["same", "valid"]}),
    "AveragePooling1D": ((2,), {"pool_size": [2]}, {"strides": [1, 2], "padding": ["same", "valid"]}),
    "GlobalMaxPooling1D": ((2,), {}, {"keepdims": [True]}),
    "GlobalAveragePooling1D": ((2,), {}, {"keepdims": [True]}),
    "Conv2D": ((3,), {"filters": [1, 4], "kernel_size": [1, 2, 3, (2, 3), [3, 1]]},
               {"strides": [1, 2, (1, 2)], "padding": ["same", "valid"], "activation": ANY_ACTIVATION}),
    "MaxPooling2D": ((3,), {}, {"pool_size": [1, (2, 1)], "strides": [1], "padding": ["same", "valid"]}),
    "GlobalAveragePooling2D": ((3,), {}, {}),
}  # fmt: skip


def plain_layer(case):
    """(class, arguments, sample of its input) of a layer without time."""
    rng, batch = case.rng, case.integer(1, 5)
    cls = case.pick([*PLAIN, "Embedding", "Reshape"])
    if cls == "Embedding":
        options = {"input_dim": case.integer(2, 9), "output_dim": case.integer(1, 5), **case.options(mask_zero=[True, False])}
        return cls, options, rng.integers(0, options["input_dim"], (batch, case.integer(1, 6)))
    if cls == "Reshape":
        target = [case.integer(1, 4), case.integer(1, 4)]
        shape = (target[0] * target[1],)
        if case.chance(0.5):
            target[case.integer(0, 2)] = -1
        return cls, {"target_shape": case.pick([tuple, list])(target)}, case.normal(batch, *shape)
    ranks, needed, choices = PLAIN[cls]
    # lengths of three or more hold every window; two channels or more: with one, torch 2.13 gets strided convolutions wrong
    shape = tuple(case.integer(3, 8) for _ in range(case.pick(ranks) - 1)) + (case.integer(2, 6),)
    options = {name: case.pick(values) for name, values in needed.items()} | case.options(**choices)
    if cls == "Conv1D" and options.get("padding") == "causal":
        options.pop("strides", None)
    whole = rng.integers(-1, 3, (batch, *shape)) if cls == "Masking" else rng.normal(size=(batch, *shape))
    return cls, options, whole.astype(case.dtype)


@family
def layer(case):
    """A layer without time: shapes, outputs and what it says about itself."""
    cls, options, x = plain_layer(case)
    case.note(cls, options, x.shape)
    layer = getattr(case.L.layers, cls)(**options)
    layer.build(x.shape)
    see_layer(case, layer, x.shape)
    if cls == "BatchNormalization":
        layer.set_weights([np.abs(w + case.rng.normal(0, 0.4, w.shape)).astype(w.dtype) for w in layer.get_weights()])
    else:
        case.irregular(layer)
    case.see("output", layer(x))


@family
def time_distributed(case):
    """TimeDistributed over any layer that takes vectors, with and without masks."""
    case.use_float64(case.chance(0.3))
    cls = case.pick(["Dense", "Activation", "LayerNormalization", "Flatten", "RepeatVector", "LeakyReLU", "Dropout"])
    _, needed, choices = PLAIN[cls]
    options = {name: case.pick(values) for name, values in needed.items()} | case.options(**choices)
    L, batch, steps, features = case.L, case.integer(1, 4), case.integer(1, 5), case.integer(1, 5)
    case.note(cls, options, (batch, steps, features))
    inner = getattr(L.layers, cls)(**options)
    model = L.Sequential([L.Input((steps, features)), L.layers.Masking(), L.layers.TimeDistributed(inner)])
    case.irregular(model)
    x = case.normal(batch, steps, features)
    x[case.rng.random((batch, steps)) < 0.3] = 0
    case.see("output", model.predict(x, verbose=0))
    case.see("shapes", [list(model.output_shape), model.count_params(), model.layers[-1].name])
    case.see("config", comparable(model.layers[-1].get_config()))


@family
def cells(case):
    """RNN over one cell or a stack of them, and the cells by themselves."""
    case.use_float64(case.chance(0.4))
    L = case.L

    def cell(cls):
        options = {"units": case.integer(1, 5), **case.options(0.3, use_bias=[False], activation=STEADY)}
        if cls == "GRUCell":
            options |= case.options(0.6, reset_after=[True, False])
        if cls != "SimpleRNNCell":
            options |= case.options(0.3, recurrent_activation=["hard_sigmoid", "tanh"])
        case.note(cls, options)
        return getattr(L.layers, cls)(**options)

    names = [case.pick(["SimpleRNNCell", "LSTMCell", "GRUCell"]) for _ in range(case.pick([1, 1, 2, 3]))]
    made = [cell(name) for name in names]
    whole = made[0] if len(made) == 1 else L.layers.StackedRNNCells(made)  # (Keras loses the states of a stack of one)
    options = case.options(0.35, return_sequences=[True], return_state=[True], go_backwards=[True], zero_output_for_mask=[True])
    layer = L.layers.RNN(whole, **options)
    batch, steps, features = (case.integer(1, n) for n in (5, 6, 5))
    layer.build((batch, steps, features))
    case.see("weights", [list(w.shape) for w in layer.get_weights()])
    case.see("count_params", layer.count_params())
    # Keras nests the states of stacks by cell, fastrnn does not
    case.see("output shape", flat(layer.compute_output_shape((None, steps, features))))
    case.irregular(layer)
    call = {"mask": case.rng.random((batch, steps)) < 0.6} if case.chance(0.4) else {}
    case.see("output", flat(layer(case.normal(batch, steps, features), **call)))
    case.see("config", comparable(layer.get_config()))


def flat(structure):
    """The leaves of nested lists and tuples, in order."""
    return [leaf for part in structure for leaf in flat(part)] if isinstance(structure, (list, tuple)) else [structure]


def comparable(config):
    """A configuration as Keras's files hold it, without what names the library."""
    if isinstance(config, dict):
        if "class_name" in config and "config" in config:
            inner = config["config"]
            # a policy for a dtype is Keras's way to write its name
            if config["class_name"] == "DTypePolicy":
                return inner["name"]
            return {"class_name": config["class_name"], "config": comparable(inner)}
        return {key: comparable(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [comparable(v) for v in config]
    return None if config is None else config if isinstance(config, (str, bool)) else float(config)


@family
def layer_config(case):
    """Keys and values of `get_config`, and the layer made again from it."""
    if case.chance(0.6):
        cls = case.pick(RECURRENT)
        options = recurrent_options(case, cls, **case.options(
            0.3, kernel_regularizer=["l2"], bias_constraint=["non_neg"], recurrent_constraint=["max_norm"],
            kernel_initializer=["he_normal", "zeros"], dropout=[0.25], recurrent_dropout=[0.5], stateful=[False]))  # fmt: skip
        if case.chance(0.3):
            options["dropout"] = case.pick([1.5, -0.1])
    else:
        cls, options, _ = plain_layer(case)
    case.note(cls, options)
    layer = getattr(case.L.layers, cls)(**options)
    config = layer.get_config()
    case.see("config", comparable(config))
    again = getattr(case.L.layers, cls).from_config(config)
    case.see("again", comparable(again.get_config()))


@family
def config_from_keras(case):
    """What Keras says of a model is understood by fastrnn, and gives the same model."""
    import keras

    configuration = stack(case.rng, outputs=2, last="softmax")
    case.note(configuration)
    keras.utils.clear_session(free_memory=False)
    described = build(keras, configuration).get_config()
    model = case.L.Sequential.from_config(json.loads(json.dumps(described)))
    case.irregular(model)
    case.see("layers", [type(layer).__name__ for layer in model.layers])
    case.see("names", [model.name, *(layer.name for layer in model.layers)])
    case.see("output", model.predict(inputs(case.rng, configuration, 5), verbose=0))


@family
def model_config(case):
    """`Sequential.get_config`, and the model made again from it."""
    configuration = stack(case.rng, outputs=2, last="softmax")
    case.note(configuration)
    model = build(case.L, configuration)
    config = model.get_config()
    case.see("config", {key: value for key, value in comparable(config).items() if key != "build_input_shape"})
    again = case.L.Sequential.from_config(config)
    case.see("names", [again.name, *(layer.name for layer in again.layers)])
    case.see("weights", [list(w.shape) for w in again.get_weights()])


@family
def stacked_model(case):
    """A stack of layers: outputs of every way to ask for them, names, shapes, counts."""
    configuration = stack(case.rng, outputs=case.integer(1, 5), last=case.pick([None, "softmax", "sigmoid"]), max_steps=9)
    case.note(configuration)
    model = case.irregular(build(case.L, configuration))
    x = inputs(case.rng, configuration, case.integer(1, 40))
    case.see("predict", model.predict(x, batch_size=case.integer(1, 50), verbose=0))
    case.see("call", model(x))
    case.see("predict_on_batch", model.predict_on_batch(x))
    case.see("names", [model.name, *(layer.name for layer in model.layers)])
    case.see("paths", [w.name for w in model.weights])
    case.see("shapes", [list(model.input_shape), list(model.output_shape), model.count_params()])
    text = []
    model.summary(print_fn=lambda line, **_: text.append(line))
    totals = [line for line in "\n".join(text).split("\n") if "params" in line]
    case.see("summary", [" ".join(line.split()).strip("│ ") for line in totals])


WRONG = [
    ("LSTM", {"units": 0}), ("LSTM", {"units": -1}), ("GRU", {"units": 2, "activation": "tan"}), ("SimpleRNN", {"units": 2, "implementation": 1}),
    ("Dense", {"units": 0}), ("Dense", {"units": 2, "unit": 3}), ("Dropout", {"rate": 1.5}), ("Dropout", {"rate": -0.1}),
    ("Dense", {"units": 2, "kernel_initializer": "glorot"}), ("LSTM", {"units": 2, "kernel_regularizer": "l3"}),
    ("GRU", {"units": 2, "kernel_constraint": "max"}), ("LSTM", {"units": 2, "dtype": "float99"}), ("Embedding", {"input_dim": 3}),
    ("Conv2D", {"filters": 0, "kernel_size": 3}), ("Conv2D", {"filters": 2, "kernel_size": 0}),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "padding": "full"}), ("Activation", {}), ("Reshape", {}), ("Dense", {}),
    ("LSTM", {"units": 2, "name": 3}), ("Dense", {"units": "2"}), ("Dense", {"units": 2.5}), ("Dense", {"units": 3, "name": "a/b"}),
]  # fmt: skip


@family
def wrong_arguments(case):
    """What Keras refuses, fastrnn refuses."""
    cls, options = case.pick(WRONG)
    case.note(cls, options)
    layer = getattr(case.L.layers, cls)(**options)
    layer.build((2, 3, 4))
    case.see("built", layer.built)


@family
def wrong_shapes(case):
    """Inputs of a wrong rank or size raise in both, while adding, calling or predicting."""
    L = case.L
    cls, shape = case.pick([("LSTM", (4,)), ("GRU", (3, 4, 2)), ("Conv2D", (5, 3)), ("SimpleRNN", (5, 3)), ("Dense", (5, 3)), ("Dense", ())])
    options = {"filters": 2, "kernel_size": 2} if cls == "Conv2D" else {"units": 2}
    given = case.pick([shape, (*shape, 1), shape[:-1], tuple(n + 1 for n in shape), (*shape[:-1], 1)])
    case.note(cls, shape, "given", given)
    model = L.Sequential([L.Input(shape), getattr(L.layers, cls)(**options)])
    case.irregular(model)
    x = case.normal(3, *given)
    case.attempt("predict", lambda: model.predict(x, verbose=0))
    case.attempt("call", lambda: model(x))
