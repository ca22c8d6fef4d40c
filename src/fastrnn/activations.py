"""Activation functions by Keras's names, on NumPy arrays.

Every function has an attribute `native`, the name by which the kernels know it; those of layers run inside the layer's own
kernel. Definitions: https://keras.io/api/layers/activations/
"""

import functools

import numpy as np

from . import _identifiers, _native
from .config import floatx


def _make(name, formula, source=""):
    def function(x):
        x = np.ascontiguousarray(_floats(x))
        y = np.empty_like(x)
        _native.activate(name, x, y)
        return y

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{formula}{source}\n\n    x: array of any shape; the result has its shape."
    function.native = name
    return function


def _with_arguments(formula):
    """Around a NumPy formula with arguments: with none of them given, the kernel of its name computes instead."""
    kernel = _make(formula.__name__, "")

    @functools.wraps(formula)
    def function(x, *arguments, **named):
        return formula(_floats(x), *arguments, **named) if arguments or named else kernel(x)

    function.native = kernel.native
    return function


def _floats(x):
    x = np.asarray(x)
    return x if x.dtype in (np.float32, np.float64) else x.astype(floatx())


linear = _make("linear", "x")
tanh = _make("tanh", "tanh(x)")
sigmoid = _make("sigmoid", "1 / (1 + exp(-x))")
hard_sigmoid = _make("hard_sigmoid", "clip((x + 3) / 6, 0, 1)")
relu6 = _make("relu6", "clip(x, 0, 6)")
selu = _make("selu", "1.0507 x where x >= 0, else 1.7581 (exp(x) - 1)", " (Klambauer et al., 2017)")
exponential = _make("exponential", "exp(x)")
softplus = _make("softplus", "log(1 + exp(x))")
softsign = _make("softsign", "x / (1 + |x|)")
log_sigmoid = _make("log_sigmoid", "-log(1 + exp(-x))")
hard_tanh = _make("hard_tanh", "clip(x, -1, 1)")
sparse_sigmoid = _make("sparse_sigmoid", "clip((x + 1) / 2, 0, 1)")
silu = _make("silu", "x / (1 + exp(-x))", " (Ramachandran et al., 2017)")
hard_silu = _make("hard_silu", "x clip((x + 3) / 6, 0, 1)")
mish = _make("mish", "x tanh(log(1 + exp(x)))", " (Misra, 2019)")
tanh_shrink = _make("tanh_shrink", "x - tanh(x)")
sparse_plus = _make("sparse_plus", "0 below -1, (x + 1)^2 / 4 up to 1, x above")
swish = silu
hard_swish = hard_silu


@_with_arguments
def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """x above `threshold`, at most `max_value`; below it `negative_slope * (x - threshold)`.

    >>> relu(np.array([-2.0, 0.5, 9.0]), negative_slope=0.5, max_value=6.0).tolist()
    [-1.0, 0.5, 6.0]
    """
    above = np.where(x > threshold, x, x.dtype.type(0))
    if max_value is not None:
        above = np.clip(above, 0, max_value)
    return above - negative_slope * np.maximum(threshold - x, 0) if negative_slope else above


@_with_arguments
def leaky_relu(x, negative_slope=0.2):
    """x where x >= 0, else `negative_slope * x` (Maas et al., 2013)."""
    return np.where(x >= 0, x, negative_slope * x)


@_with_arguments
def elu(x, alpha=1.0):
    """x where x >= 0, else `alpha * (exp(x) - 1)` (Clevert et al., 2015)."""
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))


@_with_arguments
def celu(x, alpha=1.0):
    """x where x >= 0, else `alpha * (exp(x / alpha) - 1)` (Barron, 2017)."""
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


@_with_arguments
def gelu(x, approximate=False):
    """x (1 + erf(x / sqrt(2))) / 2; `approximate` takes tanh(sqrt(2 / pi) (x + 0.044715 x^3)) for erf (Hendrycks and Gimpel, 2016)."""
    if not approximate:
        return gelu(x)
    return 0.5 * x * (1 + np.tanh(x.dtype.type(np.sqrt(2 / np.pi)) * (x + 0.044715 * x**3)))


@_with_arguments
def squareplus(x, b=4):
    """(x + sqrt(x^2 + b)) / 2 (Barron, 2021)."""
    return (x + np.sqrt(x * x + b)) / 2


@_with_arguments
def soft_shrink(x, threshold=0.5):
    """x moved by `threshold` towards 0, and 0 where it is nearer than that."""
    return x - np.clip(x, -threshold, threshold)


@_with_arguments
def hard_shrink(x, threshold=0.5):
    """x where |x| > `threshold`, else 0."""
    return np.where(np.abs(x) > threshold, x, x.dtype.type(0))


@_with_arguments
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`."""
    return np.exp(log_softmax(x, axis))


@_with_arguments
def log_softmax(x, axis=-1):
    """log(softmax(x)) along `axis`."""
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))


def threshold(x, threshold, default_value):
    """x where x > `threshold`, else `default_value`.

    >>> threshold(np.array([-1.0, 2.0]), 0.5, 0.0).tolist()
    [0.0, 2.0]
    """
    x = _floats(x)
    return np.where(x > threshold, x, x.dtype.type(default_value))


def glu(x, axis=-1):
    """The first half of x along `axis`, times the sigmoid of the second (Dauphin et al., 2016).

    Raises:
        ValueError: if the axis has an odd length.
    """
    x = _floats(x)
    if x.shape[axis] % 2:
        raise ValueError(f"axis size must be divisible by 2. Received: x.shape={x.shape} with axis={axis}")
    first, second = np.split(x, 2, axis)
    return first * sigmoid(second)


def sparsemax(x, axis=-1):
    """The distribution along `axis` that is nearest to x: max(x - t, 0), with t such that the sum is 1 (Martins and Astudillo, 2016).

    Keras 3.15 takes a larger t where more than one entry stays, so that its sum is less than 1.

    >>> sparsemax(np.array([1.0, 1.5, -1.0])).tolist()
    [0.25, 0.75, 0.0]
    """
    x = _floats(x)
    falling = -np.sort(-x, axis=axis)
    counts = np.expand_dims(np.arange(1, x.shape[axis] + 1, dtype=x.dtype), tuple(range(1, x.ndim - axis % x.ndim)))
    excess = np.cumsum(falling, axis=axis) - 1
    size = np.sum(falling * counts > excess, axis=axis, keepdims=True)
    return np.maximum(x - np.take_along_axis(excess, size - 1, axis) / size.astype(x.dtype), 0)


_TABLE = {name: globals()[name] for name in (*_native.ACTIVATIONS, "swish")}
_TABLE |= {"hard_swish": hard_silu, "threshold": threshold, "glu": glu, "sparsemax": sparsemax}


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
            f"layers run natively. Received: {activation}; as a layer of its own it can be `Lambda(function, gradient=...)`. "
            f"Available: {', '.join(name for name, f in _TABLE.items() if hasattr(f, 'native'))}."
        )
    return name
