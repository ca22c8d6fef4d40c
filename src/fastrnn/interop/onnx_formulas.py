"""Formulas of several ONNX nodes, read as layers: normalisation, scaling and rectifiers, as `onnx_normalization` writes them."""

import re

import numpy as np

from .. import layers

# In the patterns, # is a constant; AXES are the same axes wherever they stand.
_CONSTANT, _AXES = r"[^\s,()@]*@(?P<c{}>\d+)", r"axes=\[(?P<a{}>[\d, ]+)\]"
_CENTRED = "Sub(x, ReduceMean(x, AXES))"
_LINE = "Where(GreaterOrEqual(x, #), x, Mul(#, Sub(x, #)))"


def _root(y):
    return f"Sqrt(Add(#, ReduceMean(Mul({y}, {y}), AXES)))"


def _pattern(text):
    parts = re.split("(#|AXES)", text)
    return re.compile("".join(
        _CONSTANT.format(k) if part == "#" else _AXES.format(k) if part == "AXES" else re.escape(part) for k, part in enumerate(parts)
    ))  # fmt: skip


# Each function gets the Value x, the constants and axes of the pattern, and what the result is multiplied with (gamma) and added to (beta).
# It returns (class, options, weights), or None if no layer is that.


def _rescaling(x, constants, axes, gamma, beta):
    if gamma is None or beta is None:
        return None
    scale, offset = (float(a.reshape(())) if a.size == 1 else a.tolist() for a in (gamma, beta))
    return layers.Rescaling, {"scale": scale, "offset": offset}, []


def _batch_normalization(x, constants, axes, gamma, beta):
    arrays = [None if a is None else _wide(a, x) for a in (gamma, beta, *constants)]
    long = {k for a in arrays if a is not None for k, n in enumerate(a.shape) if n != 1} or {len(x.axes) - 1}
    if len(long) != 1 or not (constants[1] > 0).all():
        return None
    (axis,) = long
    length = x.sizes[axis] or max(a.size for a in arrays if a is not None)
    gamma, beta, mean, deviation = (None if a is None else np.broadcast_to(a.ravel(), (length,)) for a in arrays)
    variance = deviation.astype(np.float64) ** 2
    epsilon = 1e-3 if variance.min() >= 1e-3 else 0.0
    return batch_normalization(x, axis, epsilon, gamma, beta, mean, variance - epsilon)


def batch_normalization(x, axis, epsilon, gamma, beta, mean, variance):
    options = {"axis": -1 if axis == len(x.axes) - 1 else axis, "epsilon": epsilon, "scale": gamma is not None, "center": beta is not None}
    return layers.BatchNormalization, options, [a for a in (gamma, beta, mean, variance) if a is not None]


def _layer_normalization(x, constants, axes, gamma, beta):
    options = {"axis": _axis(x, axes), "epsilon": short(constants[0]), "scale": gamma is not None, "center": beta is not None}
    return layers.LayerNormalization, options, [_along(a, x, axes) for a in (gamma, beta) if a is not None]


def _rms_normalization(x, constants, axes, gamma, beta):
    if gamma is None or beta is not None:
        return None
    return layers.RMSNormalization, {"axis": _axis(x, axes), "epsilon": short(constants[0])}, [_along(gamma, x, axes)]


def _unit_normalization(x, constants, axes, gamma, beta):
    if gamma is not None or beta is not None or short(constants[0]) != 1e-12:
        return None
    return layers.UnitNormalization, {"axis": _axis(x, axes)}, []


def _relu(x, constants, axes, gamma, beta):
    threshold, slope, again, *largest = (short(c) if c.size == 1 else None for c in constants)
    if gamma is not None or beta is not None or threshold != again or None in (threshold, slope, *largest):
        return None
    return layers.ReLU, {"max_value": largest[0] if largest else None, "negative_slope": slope, "threshold": threshold}, []


_PATTERNS = [(_pattern(text), function) for text, function in (
    ("x", _rescaling),
    ("Div(Sub(x, #), #)", _batch_normalization),
    (f"Div({_CENTRED}, {_root(_CENTRED)})", _layer_normalization),
    (f"Div(x, {_root('x')})", _rms_normalization),
    ("Div(x, Sqrt(Max(ReduceSum(Mul(x, x), AXES), #)))", _unit_normalization),
    (_LINE, _relu),
    (f"Min({_LINE}, #)", _relu),
)]  # fmt: skip
_AFFINE = re.compile(r"(Add|Mul)\([^\s,()@]*@(\d+), (.*)\)")


def layer_of(text, x, constants):
    """(class, options, weights) of the layer that a formula of a Value x is, None if there is none."""
    gamma = beta = None
    for op in ("Add", "Mul", None):
        for pattern, function in _PATTERNS:
            found = pattern.fullmatch(text)
            if found and (made := _made(function, found.groupdict(), x, constants, gamma, beta)):
                return made
        affine = _AFFINE.fullmatch(text)
        if affine and affine[1] == op:
            array, text = constants[int(affine[2])], affine[3]
            beta, gamma = (array, gamma) if op == "Add" else (beta, array)
    return None


def _made(function, groups, x, constants, gamma, beta):
    axes = {value for name, value in groups.items() if name[0] == "a"}
    if len(axes) > 1:
        return None
    axes = [int(k) for value in axes for k in value.split(",")]
    arrays = [constants[int(value)] for name, value in groups.items() if name[0] == "c"]
    if not all(_fits(a, x) for a in (*arrays, gamma, beta) if a is not None):
        return None
    return function(x, arrays, axes, gamma, beta)


def _fits(array, x):
    """Whether an array broadcasts to a Value's shape, with the same numbers for all samples."""
    if array.ndim > len(x.axes):
        return False
    sizes = zip(_wide(array, x).shape, (1, *x.sizes[1:]))
    return all(n == 1 or size in (None, n) for n, size in sizes)


def short(number):
    """A float32 as the shortest number that is read as the same."""
    return float(str(np.float32(np.asarray(number).reshape(()))))


def _axis(x, axes):
    return axes if len(axes) > 1 else -1 if axes[0] == len(x.axes) - 1 else axes[0]


def _wide(array, x):
    """An array with as many axes as x."""
    return array.reshape((1,) * (len(x.axes) - array.ndim) + array.shape)


def _along(array, x, axes):
    array = _wide(array, x)
    return array.reshape([array.shape[k] for k in axes])
