"""Normalisation, scaling, and rectifiers with numbers of their own, as ONNX nodes. All keep the shape."""

import numpy as np

from .onnx_graph import Flow


def _shaped(axes, rank, array):
    """An array with an entry for each index of some axes, in the shape that broadcasts to an input of this rank."""
    sizes = dict(zip(axes, array.shape))
    return array.reshape([sizes.get(axis, 1) for axis in range(rank)])


def _axes(layer, x):
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    return sorted(axis % len(x.shape) for axis in axes)


def _same(x, y):
    return Flow(y, x.shape, x.mask)


def _affine(g, y, axes, rank, **weights):
    """y * gamma + beta, as far as they exist."""
    for op, (name, variable) in zip(("Mul", "Add"), weights.items()):
        if variable is not None:
            y = g.add(op, y, g.weight(_shaped(axes, rank, variable.value), name))
    return y


def _batch_normalization(g, layer, x):
    axes, rank = _axes(layer, x), len(x.shape)
    y = g.add("Sub", x.name, g.weight(_shaped(axes, rank, layer.moving_mean.value), "moving_mean"))
    deviation = np.sqrt(layer.moving_variance.value + layer.epsilon)
    y = g.add("Div", y, g.weight(_shaped(axes, rank, deviation), "moving_deviation"))
    return _same(x, _affine(g, y, axes, rank, gamma=layer.gamma, beta=layer.beta))


def _layer_normalization(g, layer, x):
    if layer.rms_scaling:
        raise ValueError(f"Layer '{layer.name}' cannot be exported to ONNX with rms_scaling=True; RMSNormalization can.")
    axes, rank = _axes(layer, x), len(x.shape)
    y = g.add("Sub", x.name, g.reduce("ReduceMean", x.name, *axes, keepdims=1))
    y = g.add("Div", y, _root_of_mean_square(g, y, axes, layer.epsilon))
    return _same(x, _affine(g, y, axes, rank, gamma=layer.gamma, beta=layer.beta))


def _rms_normalization(g, layer, x):
    axes, rank = _axes(layer, x), len(x.shape)
    y = g.add("Div", x.name, _root_of_mean_square(g, x.name, axes, layer.epsilon))
    return _same(x, _affine(g, y, axes, rank, scale=layer.scale))


def _root_of_mean_square(g, y, axes, epsilon):
    return g.add("Sqrt", g.add("Add", g.reduce("ReduceMean", g.add("Mul", y, y), *axes, keepdims=1), g.floats(epsilon)))


def _unit_normalization(g, layer, x):
    length = g.reduce("ReduceSum", g.add("Mul", x.name, x.name), *_axes(layer, x), keepdims=1)
    return _same(x, g.add("Div", x.name, g.add("Sqrt", g.add("Max", length, g.floats(1e-12)))))


def _rescaling(g, layer, x):
    y = g.add("Mul", x.name, g.weight(np.asarray(layer.scale), "scale"))
    return _same(x, g.add("Add", y, g.weight(np.asarray(layer.offset), "offset")))


def _relu(g, layer, x):
    """x above the threshold, up to a largest value; below it a line."""
    threshold = g.floats(layer.threshold)
    y = g.add("Where", g.add("GreaterOrEqual", x.name, threshold), x.name, _line(g, x.name, threshold, layer.negative_slope))
    return _same(x, y if layer.max_value is None else g.add("Min", y, g.floats(layer.max_value)))


def _line(g, x, threshold, slope):
    return g.add("Mul", g.add("Sub", x, threshold), g.floats(slope))


def _leaky_relu(g, layer, x):
    return _same(x, g.add("LeakyRelu", x.name, alpha=float(layer.negative_slope)))


def _elu(g, layer, x):
    return _same(x, g.add("Elu", x.name, alpha=float(layer.alpha)))


def _prelu(g, layer, x):
    return _same(x, g.add("PRelu", x.name, g.weight(layer.alpha.value, "alpha")))


def _softmax(g, layer, x):
    axes = _axes(layer, x)
    if len(axes) > 1:
        raise ValueError(f"Layer '{layer.name}' cannot be exported to ONNX: it knows no softmax along several axes, axis={layer.axis}.")
    return _same(x, g.add("Softmax", x.name, axis=axes[0]))


CONVERTERS = {
    "BatchNormalization": _batch_normalization, "LayerNormalization": _layer_normalization, "RMSNormalization": _rms_normalization,
    "UnitNormalization": _unit_normalization, "Rescaling": _rescaling, "ReLU": _relu, "LeakyReLU": _leaky_relu, "ELU": _elu,
    "PReLU": _prelu, "Softmax": _softmax,
}  # fmt: skip
