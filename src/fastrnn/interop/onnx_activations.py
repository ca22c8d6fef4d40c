"""Activations in ONNX: as nodes of a graph, and as the functions that its recurrent operators know."""

import math

# Functions of the recurrent operators (and, but for Affine, operators by the same name): (name, alpha, beta), None where there is none.
RECURRENT = {
    "linear": ("Affine", 1.0, 0.0),
    "tanh": ("Tanh", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "relu": ("Relu", None, None),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "sparse_sigmoid": ("HardSigmoid", 0.5, 0.5),
    "leaky_relu": ("LeakyRelu", 0.2, None),
    "elu": ("Elu", 1.0, None),
    "celu": ("Elu", 1.0, None),  # the same function for alpha=1
    "softsign": ("Softsign", None, None),
    "softplus": ("Softplus", None, None),
}

# Further activations that are one operator: its name and attributes.
OPERATORS = {
    **{name: (op, {k: v for k, v in (("alpha", alpha), ("beta", beta)) if v is not None})
       for name, (op, alpha, beta) in RECURRENT.items() if op != "Affine"},
    "selu": ("Selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "celu": ("Celu", {"alpha": 1.0}),
    "exponential": ("Exp", {}),
    "hard_silu": ("HardSwish", {}),
    "softmax": ("Softmax", {"axis": -1}),
    "log_softmax": ("LogSoftmax", {"axis": -1}),
    "soft_shrink": ("Shrink", {"lambd": 0.5, "bias": 0.5}),
    "hard_shrink": ("Shrink", {"lambd": 0.5, "bias": 0.0}),
}


def _log_sigmoid(g, x):
    return g.add("Neg", g.add("Softplus", g.add("Neg", x)))


def _gelu(g, x):
    half = g.add("Mul", x, g.floats(0.5))
    return g.add("Mul", half, g.add("Add", g.add("Erf", g.add("Mul", x, g.floats(math.sqrt(0.5)))), g.floats(1.0)))


def _squareplus(g, x):
    root = g.add("Sqrt", g.add("Add", g.add("Mul", x, x), g.floats(4.0)))
    return g.add("Mul", g.add("Add", x, root), g.floats(0.5))


def _sparse_plus(g, x):
    """(clip(x, -1, 1) + 1)^2 / 4, and what x is above 1."""
    root = g.add("Mul", g.add("Add", g.add("Clip", x, g.floats(-1.0), g.floats(1.0)), g.floats(1.0)), g.floats(0.5))
    return g.add("Add", g.add("Mul", root, root), g.add("Relu", g.add("Sub", x, g.floats(1.0))))


COMPOSED = {
    "linear": lambda g, x: x,
    "relu6": lambda g, x: g.add("Clip", x, g.floats(0.0), g.floats(6.0)),
    "hard_tanh": lambda g, x: g.add("Clip", x, g.floats(-1.0), g.floats(1.0)),
    "silu": lambda g, x: g.add("Mul", x, g.add("Sigmoid", x)),
    "mish": lambda g, x: g.add("Mul", x, g.add("Tanh", g.add("Softplus", x))),
    "tanh_shrink": lambda g, x: g.add("Sub", x, g.add("Tanh", x)),
    "log_sigmoid": _log_sigmoid,
    "gelu": _gelu,
    "squareplus": _squareplus,
    "sparse_plus": _sparse_plus,
}


def _name(layer, argument):
    """The name of an activation of ours; the function itself if it is the user's, whatever its name."""
    activation = getattr(layer, argument)
    return getattr(activation, "native", activation)


def add_activation(g, layer, x):
    """The nodes of a layer's `activation`; returns the name of their output."""
    name = _name(layer, "activation")
    if name in OPERATORS:
        op, attributes = OPERATORS[name]
        return g.add(op, x, **attributes)
    if name in COMPOSED:
        return COMPOSED[name](g, x)
    raise ValueError(f"Layer '{layer.name}' ({type(layer).__name__}) cannot be exported to ONNX: activation={name!r} is not known there.")


def recurrent_activation(layer, argument):
    """(name, alpha, beta) of an activation inside a recurrent layer."""
    name = _name(layer, argument)
    if name not in RECURRENT:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}) cannot be exported to ONNX: {argument}={name!r} is none of the functions "
            f"that ONNX's recurrent operators know: {', '.join(RECURRENT)}."
        )
    return RECURRENT[name]
