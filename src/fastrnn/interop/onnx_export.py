"""Sequential to ONNX."""

from .. import __version__
from ..models import Sequential
from ..saving.atomic import write_atomically
from .onnx_graph import Flow, Graph
from .onnx_layers import convert
from .onnx_package import load_onnx

_OPSET, _IR = 17, 8  # of 2022: what every runtime in use reads


def export_onnx(model, filepath, opset_version=None):
    """Write a model to an ONNX file, for inference anywhere.

    Input and output are those of `predict`, batch first; axes that are None in `model.input_shape` may have any length. Masks
    (`Masking`, `mask_zero=True`) are part of the graph, wherever the skipped steps are. Dropout is left out.
    Numbers are float32, whatever the model's: no runtime has the recurrent operators in float64.

    Args:
        model: a built Sequential.
        filepath: of the file, written atomically.
        opset_version: version of the ONNX operators, 17 or later; default 17.

    Raises:
        ValueError: if the model is not built, or has a layer or an activation that ONNX cannot express; it names the layer.
        ImportError: if the package `onnx` is not installed.

    >>> from fastrnn import Sequential
    >>> from fastrnn.layers import LSTM, Dense, Input
    >>> model = Sequential([Input((None, 3)), LSTM(7), Dense(1)])
    >>> export_onnx(model, "model.onnx")  # doctest: +SKIP
    """
    onnx = load_onnx("export_onnx")
    newest = onnx.defs.onnx_opset_version()
    opset = _OPSET if opset_version is None else opset_version
    if isinstance(opset, bool) or not isinstance(opset, int) or not _OPSET <= opset <= newest:
        raise ValueError(
            f"Argument `opset_version` must be an integer from {_OPSET} to {newest}. Received: opset_version={opset_version!r}"
        )
    if not isinstance(model, Sequential):
        raise ValueError(f"Argument `model` must be a Sequential. Received: model={model!r:.80}")
    if not model.built or model._input_shape is None:
        raise ValueError(
            f"Model '{model.name}' has not been built: give it an `Input`, call `build(input_shape)`, or run it on data first."
        )
    graph, x, outputs = _graph(onnx, model, opset)
    made = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, model.name, [_value(graph, x, bool(model.takes_ids))], outputs, graph.initializers),
        producer_name="fastrnn", producer_version=__version__,
        ir_version=_IR if opset == _OPSET else onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
    )
    if made.ByteSize() >= 2**31:
        raise ValueError(f"Model '{model.name}' is too large for an ONNX file of one piece (2 GB).")
    onnx.checker.check_model(made)
    data = made.SerializeToString()
    write_atomically(filepath, lambda file: file.write(data))


def _graph(onnx, model, opset):
    """(graph, Flow of the input, descriptions of the outputs)."""
    graph = Graph(onnx, opset)
    source = model._input_layer
    x = flow = Flow(graph.unique(source.name if source else "input"), tuple(model._input_shape))
    for layer in model.layers:
        flow = convert(graph, layer, flow)
    outputs = []
    for k, out in enumerate(flow if isinstance(flow, tuple) else (flow,)):
        name = graph.unique(model.layers[-1].name if k == 0 else f"{model.layers[-1].name}_{k}")
        graph.nodes.append(onnx.helper.make_node("Identity", [out.name], [name], name=f"{name}/output"))
        outputs.append(_value(graph, Flow(name, out.shape)))
    return graph, x, outputs


def _value(graph, flow, ids=False):
    """The description of an input or output; axes of any length get a name."""
    shape = [
        ("batch" if k == 0 else "timesteps" if k == 1 else f"axis_{k}") if n is None else int(n) for k, n in enumerate(flow.shape)
    ]
    return graph.onnx.helper.make_tensor_value_info(flow.name, graph.element_type("int32" if ids else None), shape)
