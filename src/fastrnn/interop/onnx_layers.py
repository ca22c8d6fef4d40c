"""How each layer becomes ONNX nodes: one small function per layer, from the Flow of its input to that of its output."""

from .. import layers
from ..models import Sequential
from . import onnx_normalization, onnx_spatial
from .onnx_activations import add_activation
from .onnx_graph import Flow
from .onnx_masks import Mask, differs
from .onnx_recurrent import bidirectional, recurrent


def _identity(g, layer, x):
    return x


def _activation(g, layer, x):
    return Flow(add_activation(g, layer, x.name), x.shape, x.mask)


def _dense(g, layer, x):
    y = g.add("MatMul", x.name, g.weight(layer.kernel.value, "kernel"))
    if layer.use_bias:
        y = g.add("Add", y, g.weight(layer.bias.value, "bias"))
    return Flow(add_activation(g, layer, y), (*x.shape[:-1], layer.units), x.mask)


def _embedding(g, layer, x):
    y = g.add("Gather", g.weight(layer.embeddings.value, "embeddings"), x.name)
    mask = None
    if layer.mask_zero:
        mask = Mask(g, g.add("Cast", x.name, to=g.element_type(bool)))
    return Flow(y, (*x.shape, layer.output_dim), mask)


def _masking(g, layer, x):
    mask = Mask(g, differs(g, x.name, layer.mask_value))
    return Flow(mask.zero_skipped(x.name), x.shape, mask)


def _sequential(g, model, x):
    for layer in model.layers:
        x = convert(g, layer, x)
    return x


def _time_distributed(g, layer, x):
    """The steps become samples, and become steps again."""
    _, steps, *tail = x.shape
    if None in tail:
        raise ValueError(f"Layer '{layer.name}' cannot be exported to ONNX: the shape of a step must be known. Received: {tuple(x.shape)}")
    samples = Flow(g.add("Reshape", x.name, g.ints(-1, *tail)), (None, *tail))
    y = convert(g, layer.layer, samples)
    lengths = g.add("Slice", g.add("Shape", x.name), g.ints(0), g.ints(2))
    shape = g.add("Concat", lengths, g.ints(*y.shape[1:]), axis=0)
    return Flow(g.add("Reshape", y.name, shape), (x.shape[0], steps, *y.shape[1:]), x.mask)


# By the names of the classes in `fastrnn.layers`; a user's subclass is not what it inherits from.
CONVERTERS = {
    **{name: _identity for name in (
        "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D"
    )},
    "Activation": _activation, "Dense": _dense, "Embedding": _embedding, "Masking": _masking, "Sequential": _sequential,
    "TimeDistributed": _time_distributed,
    "Bidirectional": bidirectional, "GRU": recurrent, "LSTM": recurrent, "SimpleRNN": recurrent,
    **onnx_normalization.CONVERTERS, **onnx_spatial.CONVERTERS,
}  # fmt: skip


def _knows(cls):
    return cls.__name__ in CONVERTERS and (cls is Sequential or getattr(layers, cls.__name__, None) is cls)


def convert(g, layer, x):
    """Add a layer's nodes; returns the Flow of its output, or several.

    Raises:
        ValueError: for a layer that has no converter, or a setting that ONNX cannot express.
    """
    if not _knows(type(layer)):
        known = ", ".join(sorted(name for name in CONVERTERS if hasattr(layers, name)))
        raise ValueError(f"Layer '{layer.name}' ({type(layer).__name__}) cannot be exported to ONNX. These can: {known}.")
    outside, g.scope = g.scope, f"{g.scope}/{layer.name}" if g.scope else layer.name
    y = CONVERTERS[type(layer).__name__](g, layer, x)
    g.scope = outside
    if not isinstance(y, tuple) and y.mask is x.mask and not layer.keeps_mask:
        y = Flow(y.name, y.shape)
    return y
