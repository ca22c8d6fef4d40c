"""Convolutions, pooling, and layers that move numbers, as ONNX nodes. ONNX has the channels first."""

import numpy as np

from .onnx_activations import add_activation
from .onnx_graph import Flow

_TO_THE_END = np.iinfo(np.int64).max


def _first(layer):
    """Whether the channels come first in the layer's input."""
    return getattr(layer, "data_format", None) == "channels_first"


def _windows(g, layer, x, op, *weights, **attributes):
    """An operator that moves a window over steps or pixels, from and to the layer's order of axes."""
    rank = len(x.shape)
    y = x.name if _first(layer) else g.add("Transpose", x.name, perm=[0, rank - 1, *range(1, rank - 1)])
    if layer.padding == "same":
        attributes["auto_pad"] = "SAME_UPPER"
    y = g.add(op, y, *weights, strides=layer.strides, **attributes)
    return y if _first(layer) else g.add("Transpose", y, perm=[0, *range(2, rank), 1])


def _convolution(g, layer, x):
    kernel = layer.kernel.value
    weights = [g.weight(np.moveaxis(kernel, (-1, -2), (0, 1)), "kernel")]
    if layer.use_bias:
        weights.append(g.weight(layer.bias.value, "bias"))
    channels = x.shape[1 if _first(layer) else -1]
    attributes = {"dilations": layer.dilation_rate, "group": channels // kernel.shape[-2], "kernel_shape": kernel.shape[:-2]}
    if layer.padding == "causal":
        attributes["pads"] = [(kernel.shape[0] - 1) * layer.dilation_rate[0], 0]
    y = _windows(g, layer, x, "Conv", *weights, **attributes)
    return Flow(add_activation(g, layer, y), layer.compute_output_shape(x.shape))


def _pooling(g, layer, x):
    attributes = {"kernel_shape": layer.pool_size}
    op = "MaxPool" if layer.mode == "max" else "AveragePool"
    return Flow(_windows(g, layer, x, op, **attributes), layer.compute_output_shape(x.shape))


def _global_pooling(g, layer, x):
    rank = len(x.shape)
    axes, keep = range(2, rank) if _first(layer) else range(1, rank - 1), int(bool(layer.keepdims))
    if layer.mode == "average" and x.mask is not None and layer.keeps_mask is False and rank == 3:
        total = g.reduce("ReduceSum", g.add("Mul", x.name, x.mask.weights()), 1, keepdims=keep)
        y = g.add("Div", total, x.mask.count(keep))
    else:
        y = g.reduce("ReduceMax" if layer.mode == "max" else "ReduceMean", x.name, *axes, keepdims=keep)
    return Flow(y, layer.compute_output_shape(x.shape))


def _flatten(g, layer, x):
    y, rank = x.name, len(x.shape)
    if _first(layer) and rank > 2:
        y = g.add("Transpose", y, perm=[0, *range(2, rank), 1])
    return Flow(g.add("Flatten", y, axis=1), layer.compute_output_shape(x.shape))


def _reshape(g, layer, x):
    return Flow(g.add("Reshape", x.name, g.ints(0, *layer.target_shape)), layer.compute_output_shape(x.shape))


def _permute(g, layer, x):
    return Flow(g.add("Transpose", x.name, perm=[0, *layer.dims]), layer.compute_output_shape(x.shape))


def _repeat_vector(g, layer, x):
    y = g.add("Expand", g.add("Unsqueeze", x.name, g.ints(1)), g.ints(1, layer.n, 1))
    return Flow(y, layer.compute_output_shape(x.shape))


def _up_sampling(g, layer, x):
    y = g.add("Expand", g.add("Unsqueeze", x.name, g.ints(2)), g.ints(1, 1, layer.size, 1))
    return Flow(g.add("Reshape", y, g.ints(0, -1, x.shape[2])), layer.compute_output_shape(x.shape))


def _cropping(g, layer, x):
    start, end = layer.cropping
    y = g.add("Slice", x.name, g.ints(start), g.ints(-end or _TO_THE_END), g.ints(1))
    return Flow(y, layer.compute_output_shape(x.shape))


def _zero_padding(g, layer, x):
    padding = [layer.padding] if len(x.shape) == 3 else layer.padding
    padding = [(0, 0), (0, 0), *padding] if _first(layer) else [(0, 0), *padding, (0, 0)]
    y = g.add("Pad", x.name, g.ints(*[before for before, _ in padding], *[after for _, after in padding]))
    return Flow(y, layer.compute_output_shape(x.shape))


CONVERTERS = {
    "Conv1D": _convolution, "Conv2D": _convolution,
    "AveragePooling1D": _pooling, "AveragePooling2D": _pooling, "MaxPooling1D": _pooling, "MaxPooling2D": _pooling,
    "GlobalAveragePooling1D": _global_pooling, "GlobalAveragePooling2D": _global_pooling,
    "GlobalMaxPooling1D": _global_pooling, "GlobalMaxPooling2D": _global_pooling,
    "Cropping1D": _cropping, "Flatten": _flatten, "Permute": _permute, "RepeatVector": _repeat_vector, "Reshape": _reshape,
    "UpSampling1D": _up_sampling, "ZeroPadding1D": _zero_padding, "ZeroPadding2D": _zero_padding,
}  # fmt: skip
