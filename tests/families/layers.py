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


def plain_layer(case):
    """(class, arguments, sample of its input) of a layer without time."""
    rng, batch = case.rng, case.integer(1, 5)
    cls = case.pick(["Dense", "Embedding", "Masking", "Dropout", "Activation", "Flatten", "Reshape", "Conv2D"])
    shape = tuple(case.integer(1, 6) for _ in range(case.integer(1, 4)))
    if cls == "Dense":
        options = {"units": case.integer(1, 7), **case.options(activation=ANY_ACTIVATION + ["softmax"], use_bias=[True, False])}
    elif cls == "Embedding":
        options = {"input_dim": case.integer(2, 9), "output_dim": case.integer(1, 5), **case.options(mask_zero=[True, False])}
        return cls, options, rng.integers(0, options["input_dim"], (batch, *shape[:2]))
    elif cls == "Masking":
        options, shape = case.options(mask_value=[0.0, -1.0, 2]), (case.integer(1, 5), case.integer(1, 3))
        return cls, options, rng.integers(-1, 3, (batch, *shape)).astype(np.float32)
    elif cls == "Dropout":
        options = {"rate": case.pick([0.0, 0.5, 0.9]), **case.options(seed=[3])}
    elif cls == "Activation":
        options = {"activation": case.pick(ANY_ACTIVATION[:-1] + ["softmax", "log_softmax"])}
    elif cls == "Flatten":
        options = {}
    elif cls == "Reshape":
        target = [case.integer(1, 4), case.integer(1, 4)]
        shape = (target[0] * target[1],)
        if case.chance(0.5):
            target[case.integer(0, 2)] = -1
        options = {"target_shape": case.pick([tuple, list])(target)}
    else:
        # two channels or more: with one, torch 2.13 gets strided convolutions of channels-last data wrong
        shape = (case.integer(3, 8), case.integer(3, 8), case.integer(2, 4))
        options = {"filters": case.integer(1, 5), "kernel_size": case.pick([1, 2, 3, (2, 3), [3, 1]]),
                   **case.options(strides=[1, 2, (1, 2)], padding=["same", "valid"], activation=ANY_ACTIVATION)}  # fmt: skip
    return cls, options, rng.normal(size=(batch, *shape)).astype(np.float32)


@family
def layer(case):
    """A layer without time: shapes, outputs and what it says about itself."""
    cls, options, x = plain_layer(case)
    case.note(cls, options, x.shape)
    layer = getattr(case.L.layers, cls)(**options)
    layer.build(x.shape)
    see_layer(case, layer, x.shape)
    case.irregular(layer)
    case.see("output", layer(x))


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
