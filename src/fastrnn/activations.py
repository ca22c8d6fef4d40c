"""Activation functions by Keras's names, on NumPy arrays.

Every function has an attribute `native`, the name by which the kernels know it; those of layers run inside the layer's own
kernel. Definitions: https://keras.io/api/layers/activations/
"""

import numpy as np

from . import _identifiers, _native
from .config import floatx


def _make(name, formula, source=""):
    def function(x):
        x = np.asarray(x)
        if x.dtype not in (np.float32, np.float64):
            x = x.astype(floatx())
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        _native.activate(name, x, y)
        return y

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{formula}{source}\n\n    x: array of any shape; the result has its shape."
    function.native = name
    return function


linear = _make("linear", "x")
tanh = _make("tanh", "tanh(x)")
sigmoid = _make("sigmoid", "1 / (1 + exp(-x))")
relu = _make("relu", "max(x, 0)")
hard_sigmoid = _make("hard_sigmoid", "clip((x + 3) / 6, 0, 1)")
leaky_relu = _make("leaky_relu", "x where x >= 0, else 0.2 x", " (Maas et al., 2013)")
relu6 = _make("relu6", "clip(x, 0, 6)")
elu = _make("elu", "x where x >= 0, else exp(x) - 1", " (Clevert et al., 2015)")
selu = _make("selu", "1.0507 x where x >= 0, else 1.7581 (exp(x) - 1)", " (Klambauer et al., 2017)")
celu = _make("celu", "x where x >= 0, else exp(x) - 1", " (Barron, 2017)")
exponential = _make("exponential", "exp(x)")
softplus = _make("softplus", "log(1 + exp(x))")
softsign = _make("softsign", "x / (1 + |x|)")
log_sigmoid = _make("log_sigmoid", "-log(1 + exp(-x))")
hard_tanh = _make("hard_tanh", "clip(x, -1, 1)")
sparse_sigmoid = _make("sparse_sigmoid", "clip((x + 1) / 2, 0, 1)")
silu = _make("silu", "x / (1 + exp(-x))", " (Ramachandran et al., 2017)")
hard_silu = _make("hard_silu", "x clip((x + 3) / 6, 0, 1)")
gelu = _make("gelu", "x (1 + erf(x / sqrt(2))) / 2", " (Hendrycks and Gimpel, 2016)")
mish = _make("mish", "x tanh(log(1 + exp(x)))", " (Misra, 2019)")
tanh_shrink = _make("tanh_shrink", "x - tanh(x)")
soft_shrink = _make("soft_shrink", "x - clip(x, -1/2, 1/2)")
hard_shrink = _make("hard_shrink", "x where |x| > 1/2, else 0")
squareplus = _make("squareplus", "(x + sqrt(x^2 + 4)) / 2", " (Barron, 2021)")
sparse_plus = _make("sparse_plus", "0 below -1, (x + 1)^2 / 4 up to 1, x above")
softmax = _make("softmax", "exp(x) / sum(exp(x)) along the last axis")
log_softmax = _make("log_softmax", "log(softmax(x)) along the last axis")
swish = silu

_TABLE = {name: globals()[name] for name in (*_native.ACTIVATIONS, "swish")}
_TABLE |= {"hard_swish": hard_silu}


def get(identifier):
    """An activation from its name, a function of this module, or None (linear).

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.

    >>> get("relu")(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    if isinstance(identifier, dict):
        identifier = identifier.get("config") or identifier.get("class_name")
    return _identifiers.lookup("activation", identifier, _TABLE)


def deserialize(config, custom_objects=None):
    """Like `get`, with a dict of further functions by name."""
    return (custom_objects or {}).get(config) or get(config)


def serialize(activation):
    """The name that `get` turns back into the function."""
    return activation.__name__


def native_name(activation, argument="activation"):
    """What the kernels call it.

    Raises:
        ValueError: for a Python function that no kernel knows.
    """
    name = getattr(activation, "native", None)
    if name is None:
        raise ValueError(
            f"Argument `{argument}` must be the name of an activation or a function of `fastrnn.activations`: "
            f"layers run natively and cannot call back into Python. Received: {activation}. "
            f"Available: {', '.join(_TABLE)}."
        )
    return name
