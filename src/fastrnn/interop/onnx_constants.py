"""Nodes of an ONNX graph that depend on no data, only on weights and shapes: computed with NumPy while a file is read.

A shape may hold names of axes ("batch", "timesteps") for lengths that are not known; such an array has dtype object.
"""

import math

import numpy as np


class TooLarge(ValueError):
    """A constant would take much more memory than the file that asks for it."""


def _slice(a, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes.tolist()
    index = [slice(None)] * a.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), [1] * len(starts) if steps is None else steps.tolist()):
        if step < 0 and end < -a.shape[axis]:
            end = None  # past the beginning
        index[axis] = slice(start, end, step)
    return a[tuple(index)]


def _unsqueeze(a, axes):
    return np.expand_dims(a, tuple(axes.tolist()))


def _squeeze(a, axes=None):
    return np.squeeze(a, None if axes is None else tuple(axes.tolist()))


def _reshape(a, shape):
    return a.reshape([a.shape[k] if n == 0 else n for k, n in enumerate(shape.tolist())])


def _known(shape):
    """A shape with 1 in place of the lengths that are not known: enough to see what a constant is filled with."""
    return [1 if isinstance(n, str) else n for n in shape.tolist()]


def _concat(*arrays, axis):
    if any(a.dtype == object for a in arrays):
        arrays = [a.astype(object) for a in arrays]
    return np.concatenate(arrays, axis=axis)


# operator -> function of its inputs (None where one is left out) and attributes
_VIEWS = {
    "Identity": lambda a: a,
    "Slice": _slice,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": lambda a, perm=None: np.transpose(a, perm),
    "Expand": lambda a, shape: np.broadcast_to(a, np.broadcast_shapes(a.shape, tuple(_known(shape)))),
    "ConstantOfShape": lambda shape, value=None: np.broadcast_to(np.float32(0) if value is None else value.reshape(()), _known(shape)),
}
_COPIES = {
    "Reshape": lambda a, shape, allowzero=0: _reshape(a, shape),
    "Concat": _concat,
    "Gather": lambda a, indices, axis=0: np.take(a, indices, axis=axis),
    "Cast": lambda a, to, saturate=1: a if a.dtype == object else a.astype(to),
    "Mul": lambda a, b: a * b,
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Equal": lambda a, b: a == b,
    "Where": np.where,
}


def knows(op):
    """Whether a node of this operator can be computed."""
    return op in _VIEWS or op in _COPIES


def compute(op, inputs, attributes, limit):
    """The output of a node.

    Raises:
        TooLarge: for results of more than `limit` elements that are no mere views.
    """
    if op in _VIEWS:
        return _VIEWS[op](*inputs, **attributes)
    arrays = [a for a in inputs if a is not None]
    if op == "Concat":
        size = sum(a.size for a in arrays)
    elif op == "Gather":
        size = arrays[0].size * max(1, arrays[1].size)
    elif op in ("Reshape", "Cast"):
        size = arrays[0].size
    else:
        size = math.prod(np.broadcast_shapes(*(a.shape for a in arrays)))
    if size > limit:
        raise TooLarge(f"its result would have {size} elements")
    return _COPIES[op](*inputs, **attributes)
