"""ONNX's convolutions, pooling and other operators that are a layer by themselves, read as layers."""

import numpy as np

from .. import layers
from .onnx_formulas import batch_normalization, short
from .onnx_values import (
    BATCH,
    FEATURES,
    Unsupported,
    Value,
    canonical,
    in_order,
    need_merged,
)


def made(reader, node, x, cls, options=None, weights=()):
    """What a layer makes of a Value, whose axes are put in order."""
    x = in_order(reader, node, x)
    step = reader.step(node, cls, options, weights, x)
    shape = cls(**step.options).compute_output_shape((None, *x.sizes[1:]))
    return Value(step, canonical(len(shape)), (x.sizes[0], *shape[1:]))


def _window(reader, node, x, cls, options, weights=()):
    """A layer that moves windows, with the channels where they are in ONNX or, if the axes were moved for it, last."""
    rank = len(x.axes)
    if x.axes == (BATCH, FEATURES, *canonical(rank)[1:-1]):
        y = made(reader, node, x.permuted([0, *range(2, rank), 1]), cls, options, weights)
        return y.permuted([0, rank - 1, *range(1, rank - 1)])
    return made(reader, node, x, cls, {**options, "data_format": "channels_first"}, weights)


def _padding(reader, node, x, attributes, dilations, strides, causal=False):
    """(Value, `padding` of the layer): what no layer's own padding is becomes one of zeros below."""
    kernel = attributes["kernel_shape"]
    rank = len(kernel)
    auto, pads = attributes.get("auto_pad", "NOTSET"), list(attributes.get("pads", [0] * 2 * rank))
    if auto == "SAME_UPPER":
        return x, "same"
    if auto not in ("NOTSET", "VALID"):
        raise Unsupported(f"auto_pad={auto!r}")
    if auto == "VALID" or not any(pads):
        return x, "valid"
    reach = [(k - 1) * d for k, d in zip(kernel, dilations)]
    if set(strides) == {1} and pads == [r // 2 for r in reach] + [r - r // 2 for r in reach]:
        return x, "same"
    if not causal or min(pads) < 0:
        raise Unsupported(f"pads={pads}")
    channels_last = x.axes[1] == FEATURES
    if rank == 1 and channels_last and pads == [reach[0], 0]:
        return x, "causal"
    return _zeros(reader, node, x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:])]), "valid"


def _zeros(reader, node, x, widths):
    """Zeros around a Value; `widths` for each of its axes."""
    rank = len(x.axes)
    if rank not in (3, 4) or any(before < 0 or after < 0 for before, after in widths) or any(widths[0]):
        raise Unsupported(f"it pads the axes {x.axes} by {widths}")
    channels = x.axes.index(FEATURES) if not any(widths[x.axes.index(FEATURES)]) else 1
    order = [k for k in range(rank) if k != channels] + [channels]
    if any(widths[channels]):
        raise Unsupported(f"it pads the axes {x.axes} by {widths}")
    padding = [tuple(int(n) for n in widths[k]) for k in order[1:-1]]
    cls, padding = (layers.ZeroPadding1D, padding[0]) if rank == 3 else (layers.ZeroPadding2D, tuple(padding))
    y = made(reader, node, x.permuted(order), cls, {"padding": padding})
    return y.permuted([order.index(k) for k in range(rank)])


def zero_padding(reader, node, x, widths):
    half = len(widths) // 2
    return _zeros(reader, node, x, list(zip(widths[:half], widths[half:])))


def _data(inputs):
    x = inputs[0]
    if not isinstance(x, Value) or any(isinstance(other, Value) for other in inputs[1:]):
        raise Unsupported("its weights must be constants, and its first input data")
    need_merged(x)
    return x


def _ranked(x):
    if len(x.axes) not in (3, 4):
        raise Unsupported(f"its input has the axes {x.axes}; layers have windows of 1 or 2 axes")
    return len(x.axes) - 2


def _convolution(reader, node, inputs, attributes):
    x, kernel, bias = (_data(inputs), *inputs[1:], None)[:3]
    rank, group = _ranked(x), attributes.get("group", 1)
    strides, dilations = (attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
    if kernel.ndim != rank + 2 or x.sizes[1] not in (None, kernel.shape[1] * group):
        raise Unsupported(f"its weights have shape {kernel.shape}, and its input has the axes {x.axes} with lengths {x.sizes}")
    if x.sizes[1] is None and x.axes[1] == FEATURES and x.step.layer is None:
        reader.features = kernel.shape[1] * group
        x = x.but(sizes=(x.sizes[0], reader.features, *x.sizes[2:]))
    x, padding = _padding(reader, node, x, {"kernel_shape": kernel.shape[2:], **attributes}, dilations, strides, causal=True)
    options = {
        "filters": kernel.shape[0], "kernel_size": tuple(kernel.shape[2:]), "strides": tuple(strides), "padding": padding,
        "dilation_rate": tuple(dilations), "groups": group, "use_bias": bias is not None,
    }  # fmt: skip
    weights = [np.moveaxis(kernel, (0, 1), (-1, -2)), *([] if bias is None else [bias])]
    return _window(reader, node, x, (layers.Conv1D, layers.Conv2D)[rank - 1], options, weights)


def _pooling(mode):
    def pooling(reader, node, inputs, attributes):
        x = _data(inputs)
        rank = _ranked(x)
        strides, dilations = (attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
        counts_zeros = attributes.get("count_include_pad") and any(attributes.get("pads", ()))
        if attributes.get("ceil_mode") or set(dilations) != {1} or counts_zeros:
            raise Unsupported("its attributes `ceil_mode`, `dilations` and `count_include_pad` have no counterpart")
        x, padding = _padding(reader, node, x, attributes, dilations, strides)
        options = {"pool_size": tuple(attributes["kernel_shape"]), "strides": tuple(strides), "padding": padding}
        return _window(reader, node, x, getattr(layers, f"{mode}Pooling{rank}D"), options)

    return pooling


def global_pooling(mode, reader, node, x, axes, keepdims):
    """A reduction over all steps or pixels, None if it is another one."""
    rank = len(x.axes)
    if rank not in (3, 4) or x.step is None or x.axes[0] != BATCH:
        return None
    x = in_order(reader, node, x)
    formats = {tuple(range(1, rank - 1)): "channels_last", tuple(range(2, rank)): "channels_first"}
    if tuple(axes) not in formats:
        return None
    options = {"data_format": formats[tuple(axes)], "keepdims": bool(keepdims)}
    return made(reader, node, x, getattr(layers, f"Global{mode}Pooling{rank - 2}D"), options)


def _global(mode):
    def whole(reader, node, inputs, attributes):
        x = _data(inputs)
        _ranked(x)
        return _window(reader, node, x, getattr(layers, f"Global{mode}Pooling{len(x.axes) - 2}D"), {"keepdims": True})

    return whole


def _batch_normalization(reader, node, inputs, attributes):
    x = _data(inputs)
    if attributes.get("training_mode"):
        raise Unsupported("training_mode=1")
    if any(a.shape != (x.sizes[1],) for a in inputs[1:5]):
        raise Unsupported(f"its weights have shapes {[a.shape for a in inputs[1:5]]}, and its input lengths {x.sizes}")
    # Its axis is the second one, which is the last one where the axes were moved for it.
    axis = canonical(len(x.axes)).index(x.axes[1])
    y = made(reader, node, _sorted(x), *batch_normalization(x, axis, short(attributes.get("epsilon", 1e-5)), *inputs[1:5]))
    return _as(y, x)


def _sorted(x):
    """A Value with its axes in the order of a layer's output, if they are the same ones."""
    order = canonical(len(x.axes))
    return x.permuted([x.axes.index(name) for name in order]) if sorted(order) == sorted(x.axes) else x


def _as(y, x):
    """A Value with its axes in the order of those of another."""
    return y.permuted([y.axes.index(name) for name in x.axes])


def _layer_normalization(reader, node, inputs, attributes):
    x = _data(inputs)
    axis, bias = attributes.get("axis", -1), (*inputs, None)[2]
    if axis not in (-1, len(x.axes) - 1) or inputs[1].shape != (x.sizes[-1],):
        raise Unsupported(f"axis={axis}, with weights of shape {inputs[1].shape} for an input with lengths {x.sizes}")
    weights = [a for a in (inputs[1], bias) if a is not None]
    options = {"epsilon": short(attributes.get("epsilon", 1e-5)), "center": bias is not None}
    return made(reader, node, x, layers.LayerNormalization, options, weights)


def _prelu(reader, node, inputs, attributes):
    x, slopes = _data(inputs), inputs[1]
    slopes = slopes.reshape((1,) * (len(x.axes) - 1 - slopes.ndim) + slopes.shape)
    if any(n not in (1, size) for n, size in zip(slopes.shape, x.sizes[1:])):
        raise Unsupported(f"its slopes have shape {slopes.shape}, and its input lengths {x.sizes}")
    shared = [k for k, n in enumerate(slopes.shape, 1) if n == 1]
    return made(reader, node, x, layers.PReLU, {"shared_axes": shared or None}, [slopes])


WINDOWS = {
    "AveragePool": _pooling("Average"), "BatchNormalization": _batch_normalization, "Conv": _convolution,
    "GlobalAveragePool": _global("Average"), "GlobalMaxPool": _global("Max"), "LayerNormalization": _layer_normalization,
    "MaxPool": _pooling("Max"), "PRelu": _prelu,
}  # fmt: skip
