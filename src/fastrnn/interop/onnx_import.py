"""ONNX to Sequential: the graph is run on symbolic values; the layers that they went through, from the output back, are the model."""

import os

import numpy as np

from .. import layers
from ..models import Sequential
from . import onnx_constants, onnx_masks
from .gates import CELLS
from .onnx_masks import FromMask, text_of
from .onnx_operators import OPERATORS, both_ways
from .onnx_package import load_onnx
from .onnx_values import (
    BATCH,
    DIRECTION,
    FEATURES,
    TIME,
    Step,
    TimeMajor,
    Unsupported,
    Value,
    canonical,
    in_order,
    plain,
)

_OLDEST_OPSET = 13
_ACTIVATED = (layers.Dense, layers.Conv1D, layers.Conv2D)  # with an argument `activation`


def import_onnx(filepath):
    """The Sequential that computes what an ONNX file computes.

    For graphs that are one chain of layers: all that `export_onnx` writes, masks included, and of what PyTorch's exporter writes LSTM,
        GRU and RNN, dense layers, convolutions, pooling, normalisation, a look-up of rows (Embedding), activations and reshaping.

    Args:
        filepath: of the file.

    Returns:
        A Sequential with the weights of the file. It takes (batch, timesteps, features), also if the file takes (timesteps, batch,
        features); then there is a warning.

    Raises:
        ValueError: if the file is no ONNX model, or has a node that no layer stands for; it names the node and its operator.
        ImportError: if the package `onnx` is not installed.

    >>> model = import_onnx("model.onnx")  # doctest: +SKIP
    """
    onnx = load_onnx("import_onnx")
    path = os.fspath(filepath)
    proto = _load(onnx, path)
    try:
        try:
            return _Reader(onnx, proto, time_major=False).model()
        except TimeMajor:
            model = _Reader(onnx, proto, time_major=True).model()
    except TimeMajor:
        raise ValueError(f"{path} cannot be imported: its recurrent operators run over different axes.") from None
    except Unsupported as error:
        raise ValueError(f"{path} cannot be imported: {error}") from None
    import warnings

    warnings.warn(f"{path} takes (timesteps, batch, features); the imported model takes (batch, timesteps, features).", stacklevel=2)
    return model


def _load(onnx, path):
    """The checked content of a file."""
    with open(path, "rb"):
        pass  # no such file, no permission: as of any other file
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf and the checker have exceptions of their own
        raise ValueError(f"{path} is not an ONNX model, or is damaged: {error}") from None
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise ValueError(
            f"{path} is of ONNX opset {opset}; {_OLDEST_OPSET} and later can be read. `onnx.version_converter.convert_version` updates it."
        )
    return proto


class _Reader:
    """One run through a graph.

    Attributes:
        time_major: whether the input of the graph is taken for (timesteps, batch, features).
        settled: whether a recurrent operator has confirmed that.
        roles: what things made of masks are for, by their formulas.
        ids_mask: the mask of an Embedding with mask_zero, None while there is none.
        constants: the arrays in formulas, by their places.
    """

    def __init__(self, onnx, proto, time_major):
        self.onnx, self.graph, self.time_major = onnx, proto.graph, time_major
        self.opset = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
        self.settled = False
        self.features = self.ids_mask = None
        self.constants = []
        self.roles = onnx_masks.roles(onnx, self.opset)
        if proto.functions or self.graph.sparse_initializer:
            raise Unsupported("it has functions or sparse weights of its own")
        self.values = {}
        for tensor in self.graph.initializer:
            self.values[tensor.name] = self._array(tensor, f"weights '{tensor.name}'")
        self.limit = 4 * sum(a.size for a in self.values.values()) + 2**16
        self.input = self._input()

    # -- what the functions of operators use -------------------------------------------------------------------------------------

    def step(self, node, layer, options=None, weights=(), source=None):
        """A new Step for a node."""
        scope = node.name.rpartition("/")[0].strip("/").replace("/", "_").replace(".", "_")
        return Step(layer, options, weights, source, self.describe(node), scope or None)

    @staticmethod
    def describe(node):
        """How messages call a node."""
        return f"node '{node.name or node.output[0]}' ({node.op_type})"

    def need_features(self, x, features):
        """Check the length of the last axis of what a weight is multiplied with."""
        if x.axes[-1] != FEATURES:
            raise Unsupported(f"it runs along the axis {x.axes[-1]}, not the last one, of its input {x.axes}")
        if x.sizes[-1] is None and x.step.layer is None:
            self.features = features
        elif x.sizes[-1] != features:
            raise Unsupported(f"its weights are for {features} features, and its input has {x.sizes[-1]}")

    def constant(self, array):
        """The text of a constant in a formula: its number, # for an array of several, and its place in `constants`."""
        self.constants.append(array)
        return f"{array.reshape(()):.6g}@{len(self.constants) - 1}" if array.size == 1 else f"#@{len(self.constants) - 1}"

    def defaults(self, node):
        """Attributes of a node's operator that have a default: name to value."""
        schema = self.onnx.defs.get_schema(node.op_type, self.opset)
        return {name: self._attribute(a.default_value) for name, a in schema.attributes.items() if a.default_value.type}

    # -- the run --------------------------------------------------------------------------------------------------------------------

    def _input(self):
        known = self.values
        inputs = [value for value in self.graph.input if value.name not in known]
        if len(inputs) != 1:
            raise Unsupported(f"it has {len(inputs)} inputs ({', '.join(v.name for v in inputs)}); a Sequential has one")
        tensor = inputs[0].type.tensor_type
        sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
        if len(sizes) < 2:
            raise Unsupported(f"its input '{inputs[0].name}' has {len(sizes)} axes; at least (batch, features) are needed")
        kind = self.onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).kind
        if kind not in "fiu":
            raise Unsupported(f"its input '{inputs[0].name}' holds no numbers")
        axes = [BATCH, *[f"axis_{k}" for k in range(1, len(sizes) - 1)], FEATURES]
        if len(sizes) == 3:
            axes = [BATCH, TIME, FEATURES]
        elif len(sizes) == 2 and kind != "f":
            axes = [BATCH, TIME]
        if self.time_major and TIME in axes:
            axes[:2] = TIME, BATCH
        self.input_name = inputs[0].name
        value = Value(Step(node=f"input '{self.input_name}'"), axes, sizes)
        self.values[self.input_name] = value
        return value

    def _array(self, tensor, what):
        try:
            array = self.onnx.numpy_helper.to_array(tensor)
        except Exception as error:
            raise Unsupported(f"{what}: {error}") from None
        return array.astype(np.float32) if array.dtype.kind not in "fiub" or array.dtype == np.float16 else array

    def _attribute(self, attribute):
        value = self.onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, self.onnx.TensorProto):
            return self._array(value, f"attribute '{attribute.name}'")
        if isinstance(value, (int, float)):
            return value
        return [v.decode() if isinstance(v, bytes) else v for v in value]

    def _run(self):
        for node in self.graph.node:
            try:
                result = self._output(node)
            except (Unsupported, onnx_constants.TooLarge) as error:
                raise Unsupported(f"{self.describe(node)}: {error}") from None
            except (ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError, OverflowError) as error:
                raise Unsupported(f"{self.describe(node)} has inputs or attributes that do not fit it: {error!r}") from None
            self.values.update(zip(node.output, result if isinstance(result, tuple) else (result,)))

    def _output(self, node):
        """The output of a node, or a tuple of several."""
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"its domain '{node.domain}' is not known")
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            raise Unsupported("it runs a graph inside the graph")
        attributes = {a.name: self._attribute(a) for a in node.attribute}
        if node.op_type == "Constant":
            (value,) = attributes.values()
            return np.asarray(value, None if isinstance(value, np.ndarray) else np.float32 if "float" in next(iter(attributes)) else None)
        inputs = []
        for name in node.input:
            if name and name not in self.values:
                raise Unsupported(f"its input '{name}' is an output that is not supported")
            inputs.append(self.values[name] if name else None)
        if any(isinstance(x, FromMask) for x in inputs) and not any(isinstance(x, (Value, list)) for x in inputs):
            return self._from_mask(node, inputs, attributes)
        if not any(isinstance(x, (Value, list)) for x in inputs):
            if not onnx_constants.knows(node.op_type):
                raise Unsupported("this operator is not supported on constants")
            if node.op_type == "Cast":
                attributes["to"] = self.onnx.helper.tensor_dtype_to_np_dtype(attributes["to"])
            return onnx_constants.compute(node.op_type, inputs, attributes, self.limit)
        if node.op_type not in OPERATORS or (node.op_type not in ("Gather", "Identity") and any(isinstance(x, list) for x in inputs)):
            raise Unsupported("there is no layer for this operator")
        return OPERATORS[node.op_type](self, node, inputs, attributes)

    def _from_mask(self, node, inputs, attributes):
        """What a node makes of a mask, as formulas."""
        (owner,) = {x.owner for x in inputs if isinstance(x, FromMask)}
        texts = [x.text if isinstance(x, FromMask) else x for x in inputs]
        if any(isinstance(x, np.ndarray) and x.size > 8 for x in inputs) or sum(len(t) for t in texts if isinstance(t, str)) > 5000:
            raise Unsupported("it computes from a mask what `export_onnx` does not")
        found = [text_of(node.op_type, texts, attributes, k) for k in range(len(node.output))]
        return tuple(FromMask(owner, "m" if self.roles.get(text) == "mask" else text) for text in found)

    # -- from the output back ----------------------------------------------------------------------------------------------------------

    def model(self):
        """The model."""
        self._run()
        outputs = [self.values.get(value.name) for value in self.graph.output]
        for v, described in zip(outputs, self.graph.output):
            if isinstance(v, list):
                raise Unsupported(
                    f"its output '{described.name}' joins the final states of several layers; let it have the last output alone"
                )
            if not isinstance(v, Value):
                raise Unsupported(f"its output '{described.name}' does not depend on the input")
        outputs = _of_both_ways(outputs)
        first = outputs[0]
        if len(outputs) == 1 and first.step and first.axes != canonical(len(first.axes)) and first.axes[0] == BATCH and not first.packed:
            first = in_order(self, self.graph.node[-1], first)
            outputs = [first]
        chain, start = _chain(first)
        if start.step is not self.input.step:
            raise Unsupported(f"{start.step.node}: it makes samples of time steps, and they stay samples")
        if not chain:
            raise Unsupported("no layer is between its input and its output")
        top = [name for name in (TIME, BATCH) if name in first.axes]
        if first.axes[0] != BATCH and not (self.time_major and top == [TIME, BATCH]):
            raise Unsupported(f"its output has the axes {first.axes}")
        several = _extra_outputs(chain[0][0], outputs)
        model = Sequential([self._input_layer(chain[-1][0])], name=self.graph.name or None)
        settings = [_settings(*entry, several if k == 0 else {}) for k, entry in enumerate(chain)][::-1]
        _check_masks(settings, self.ids_mask)
        _add_layers(model, settings)
        return model

    def _input_layer(self, first):
        sizes = [size for name, size in zip(self.input.axes, self.input.sizes) if name != BATCH]
        if first.layer is layers.Embedding:
            return layers.Input(sizes, dtype="int32", name=self.input_name)
        if sizes[-1] is None:
            sizes[-1] = self.features
        return layers.Input(sizes, name=self.input_name)


def _chain(value):
    """([(step, the Value of it that is used, whether only its last time step is), ...] from the end, the Value that they start from)."""
    chain, last = [], False
    while value.step is None or value.step.layer is not None:
        if value.step is None:
            raise Unsupported(f"{value.node} ends a formula, {plain(value.formulas[-1][1])}, that is no known activation")
        last = last or value.last
        chain.append((value.step, value, last))
        if _is_recurrent(value.step):
            last = False
        value = value.step.source
    if value.flipped:
        raise Unsupported("it reverses its input in time")
    return chain, value


def _is_recurrent(step):
    return step.layer in CELLS.values() or step.layer is layers.Bidirectional


def _of_both_ways(outputs):
    """Outputs of two directions that are nodes of their own, as outputs of one Bidirectional; others as they are."""
    steps = [v.step for v in outputs]
    step = steps[0]
    if step and step.layer in CELLS.values() and len(outputs) > 1:
        one, two = outputs[:2]
        if (one.part, one.zeroed, one.flipped, one.packed, one.last) == (two.part, two.zeroed, two.flipped, two.packed, two.last):
            step = both_ways(*steps[:2])
    if not step:
        return outputs
    return [v.but(step=step, direction=step.ways.index(v.step)) if v.step in step.ways else v for v in outputs]


def _extra_outputs(step, outputs):
    """What a model with several outputs says about its last layer: return_state, or merge_mode=None."""
    found = [(v.part, v.direction) for v in outputs]
    if len(found) == 1:
        return {}
    if _is_recurrent(step) and all(v.step is step and (DIRECTION not in v.axes or v.sizes[v.axes.index(DIRECTION)] == 1) for v in outputs):
        parts = "hc" if step.cell is layers.LSTM else "h"
        if step.layer is not layers.Bidirectional:
            if found[1:] == [(part, None) for part in parts]:
                return {"return_state": True}
        else:
            both = [(part, k) for k in (0, 1) for part in parts]
            separate = [v.direction for v in outputs[:2]] == [0, 1] and outputs[0].part == outputs[1].part
            rest = found[2 if separate else 1 :]
            if rest in ([], both):
                return {"return_state": bool(rest), **({"merge_mode": None} if separate else {})}
    raise Unsupported("its outputs are not those of one layer (output and final states); let it have one output")


def _settings(step, value, last, several):
    """(step, arguments of its layer)."""
    options = dict(step.options)
    if _is_recurrent(step):
        if value.part == "c":
            raise Unsupported(f"{step.node}: its final cell state is used as an output")
        options["return_sequences"] = value.part == "y" and not last
        if options["return_sequences"] and value.flipped != options["go_backwards"]:
            raise Unsupported(
                f"{step.node}: its outputs are in the order of the input, those of a layer with go_backwards=True in the order of "
                "processing"
            )
        if value.packed:
            raise Unsupported(f"{step.node}: its output has the steps of a mask moved to the front")
        both_ways = step.layer is layers.Bidirectional
        if both_ways and options["return_sequences"] and step.mask and not value.zeroed:
            raise Unsupported(f"{step.node}: its outputs at skipped steps are not 0")
        if value.zeroed and not (both_ways and options["return_sequences"]):
            options["zero_output_for_mask"] = True
        if both_ways:
            options["merge_mode"] = value.merge
            if value.merge is None and "merge_mode" not in several:
                raise Unsupported(f"{step.node}: only one of its two directions is used, or they are not merged")
        return step, options | several
    if value.flipped:
        raise Unsupported(f"{step.node}: its output is reversed in time")
    return step, options


def _check_masks(settings, ids_mask):
    """Let an Embedding make the mask that the file has, and check that every layer gets the mask that it has in the file."""
    mask = None
    for step, options in settings:
        if step.layer is layers.Embedding and any(s.mask is ids_mask is not None for s, _ in settings):
            options["mask_zero"], mask = True, ids_mask
        elif step.layer is layers.Masking:
            mask = step.mask
        elif _is_recurrent(step) or step.layer is layers.GlobalAveragePooling1D:
            if step.mask is not mask:
                how = "under another mask" if step.mask else "over steps that are masked"
                raise Unsupported(f"{step.node}: it runs {how}, unlike a layer in its place")
            mask = mask if options.get("return_sequences") else None
        elif not step.layer.keeps_mask:
            mask = None


def _add_layers(model, settings):
    """Add the layers, an activation with the layer below where that can have one, and set their weights."""
    names = set()
    for k, (step, options) in enumerate(settings):
        above = settings[k + 1] if k + 1 < len(settings) else None
        if step.layer is layers.Activation and k and settings[k - 1][0].layer in _ACTIVATED:
            continue
        if step.layer in _ACTIVATED and above and above[0].layer is layers.Activation:
            options["activation"] = above[1]["activation"]
        name = None if step.name in names else step.name
        names.add(name)
        try:
            layer = _layer(step, options, name)
            model.add(layer)
            if step.weights:
                layer.set_weights(step.weights)
        except ValueError as error:
            raise Unsupported(f"{step.node}: {error}") from None


def _layer(step, options, name):
    if step.layer is layers.TimeDistributed:
        return layers.TimeDistributed(_inner(options["layer"]), name=name)
    if step.layer is not layers.Bidirectional:
        return step.layer(**options, name=name)
    options = {**options, "go_backwards": False}
    merge_mode = options.pop("merge_mode")
    return layers.Bidirectional(step.cell(**options), merge_mode=merge_mode, name=name)


def _inner(value):
    """The layer that is run on every time step, or a Sequential of several."""
    chain, start = _chain(value)
    settings = [_settings(*entry, {}) for entry in chain][::-1]
    _check_masks(settings, None)
    model = Sequential([layers.Input(start.step.outer.sizes[2:])])
    _add_layers(model, settings)
    return model if len(model.layers) > 1 else model.layers[0]
