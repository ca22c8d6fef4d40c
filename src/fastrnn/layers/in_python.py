"""Layers whose computation is Python: the `forward` and `backward` of a user's own class, as one operation of a native program."""

import inspect

import numpy as np

from ..plan import Tensor

_TRIAL_LENGTHS = (2, 3)  # for dimensions that are not known: what differs between two trials is not known either


def shape_on_trial(layer, input_shape):
    """Shape of the output of `layer.forward`, found out on zeros, once for each shape of the input."""
    known = layer.__dict__.setdefault("_shapes_on_trial", {})
    if input_shape not in known:
        known[input_shape] = _try(layer, input_shape)
    return known[input_shape]


def _try(layer, input_shape):
    dtype = "int32" if layer.takes_ids else layer.dtype
    shapes = []
    for length in _TRIAL_LENGTHS:
        x = np.zeros([length if i == 0 or n is None else n for i, n in enumerate(input_shape)], dtype)
        try:
            shapes.append(np.shape(layer.forward(x, **options(layer, True, None))))
        except Exception as error:
            raise ValueError(
                f"Layer '{layer.name}': the shape of its output could not be found out, as `forward` on zeros of shape {x.shape} raised "
                f"{type(error).__name__}: {error}. Correct it, or define `compute_output_shape(input_shape)`."
            ) from error
    one, two = shapes
    if len(one) != len(two) or one[:1] != _TRIAL_LENGTHS[:1]:
        raise ValueError(f"Layer '{layer.name}': `forward` must return one row per sample. Received for 2 samples an array of shape {one}")
    return (input_shape[0], *(n if n == m else None for n, m in zip(one[1:], two[1:])))


def lower(layer, plan, x):
    """The layer's `forward` and `backward` as an operation of the plan."""
    shape = layer.compute_output_shape(x.shape)
    learns = x.gradient is not None or any(v.trainable for v in layer.variables)
    if plan.training and learns:
        layer.check_differentiable()
    y = Tensor(plan.array(*shape[1:]), plan.array(*shape[1:]) if plan.training and learns else None, layer.output_mask(plan, x))

    def forward(n, training):
        seen = None if x.mask is None else x.mask[:n].view(bool)
        value = layer.forward(unwritable(x.value[:n]), **options(layer, training, seen))
        assign(y.value[:n], value, layer, "forward", "compute_output_shape(input_shape)")

    def backward(n):
        if y.gradient is None:
            return
        gradient = layer.backward(unwritable(x.value[:n]), unwritable(y.value[:n]), unwritable(y.gradient[:n]))
        if x.gradient is not None:
            assign(x.gradient[:n], gradient, layer, "backward", "the shape of x")

    plan.call(forward, backward, x.value, y.value)
    return y


def options(layer, training, mask):
    """The arguments beside x that this layer's `forward` takes."""
    known = taken(layer)
    return {name: value for name, value in (("training", training), ("mask", mask)) if name in known}


def taken(layer):
    """The names of the parameters of its `forward`, found once: it takes longer than many a layer."""
    known = layer.__dict__.get("_forward_takes")
    if known is None:
        known = layer._forward_takes = frozenset(inspect.signature(layer.forward).parameters)
    return known


def unwritable(array):
    """A view that a user's method cannot change."""
    view = array.view()
    view.flags.writeable = False
    return view


def assign(target, value, layer, method, source):
    """Copy what a user's method returned; `source` says where its shape comes from."""
    if np.shape(value) != target.shape:
        raise ValueError(
            f"Layer '{layer.name}': `{method}` must return an array of shape {target.shape}, as {source} has it. Received: "
            + ("None" if value is None else f"shape {np.shape(value)}")
        )
    target[...] = value
