"""Models from PyTorch modules and state dicts, and state dicts from layers.

nn.LSTM is `LSTM`, nn.GRU is `GRU(reset_after=True)`, nn.RNN is `SimpleRNN`, a stack of them is a layer each, and a bidirectional one
is `Bidirectional` with `merge_mode="concat"`. The two biases of nn.LSTM and nn.RNN are added; those of nn.GRU remain two.
"""

import numpy as np

from ..layers import (
    GRU,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
)
from ..models import Sequential
from .gates import CELLS, from_rows, kind_of, to_rows
from .torch_parts import NAMES, read


def from_torch(source, *, return_sequences=True, name=None):
    """The Sequential that computes what a PyTorch module computes.

    Layers come in the order in which the module registers them, which is taken for the order in which its `forward` calls them: compare
    an output. What `forward` does itself (an activation, the choice of the last time step) cannot be seen, and a state dict tells of
    layers with weights only. Inputs are always (batch, timesteps, features), also for a module with `batch_first=False`.

    Args:
        source: a torch.nn.Module, or its state dict of tensors or arrays.
        return_sequences: whether the last recurrent layer returns every time step, as nn.LSTM does, or its last output alone, which is
            `output[:, -1]`, and for a bidirectional one the two last states `h_n` side by side.
        name: of the model.

    Raises:
        ValueError: for modules and weights that no layer stands for; it names them.

    >>> rng = np.random.default_rng(0)
    >>> state = {"rnn.weight_ih_l0": rng.random((20, 3)), "rnn.weight_hh_l0": rng.random((20, 5)),
    ...          "fc.weight": rng.random((2, 5)), "fc.bias": np.zeros(2)}
    >>> model = from_torch(state, return_sequences=False)
    >>> model.predict(np.ones((4, 7, 3)), verbose=0).shape, [type(layer).__name__ for layer in model.layers]
    ((4, 2), ['LSTM', 'Dense'])
    """
    parts = read(source)
    recurrent = [p for p in parts if p.recurrent]
    _settle_first_matrix(parts)
    weighty = next((p for p in parts if p.arrays), None)
    if weighty is None:
        raise ValueError("The module has no weights to take over.")
    model = Sequential([_input(weighty, bool(recurrent))], name=name)
    for part in parts:
        layer = _layer(part, return_sequences or part is not recurrent[-1] if part.recurrent else None)
        model.add(layer)
        if part.axis not in (-1, len(model.output_shape) - 1):
            activation = part.options["activation"]
            raise ValueError(f"'{part.name}' runs along axis {part.axis}; the activation '{activation}' runs along the last one.")
        if part.arrays:
            layer.set_weights(_weights(part, layer))
    return model


def load_torch_weights(model, source):
    """Set the weights of a model, or of one layer, from those of a PyTorch module.

    Args:
        model: a built Sequential or layer; its layers with weights and those of `source` must be the same, in the same order.
        source: a torch.nn.Module, or its state dict of tensors or arrays.

    Raises:
        ValueError: if number, kind, direction or shapes of layers differ; then nothing was changed.

    >>> from fastrnn.layers import Input, SimpleRNN
    >>> model = Sequential([Input((None, 3)), SimpleRNN(2)])
    >>> load_torch_weights(model, {"weight_ih_l0": np.ones((2, 3)), "weight_hh_l0": np.zeros((2, 2)),
    ...                            "bias_ih_l0": np.ones(2), "bias_hh_l0": np.ones(2)})
    >>> model.get_weights()[2].tolist()
    [2.0, 2.0]
    """
    if not model.built:
        raise ValueError(f"`load_torch_weights` needs weights, and '{model.name}' has none yet: build it, or call it on data, first.")
    layers = [layer for layer in _layers(model) if layer.variables]
    parts = [p for p in read(source) if p.arrays]
    if len(parts) != len(layers):
        raise ValueError(
            f"The module has {len(parts)} layers with weights ({', '.join(p.name for p in parts)}), "
            f"'{model.name}' has {len(layers)} ({', '.join(layer.name for layer in layers)})."
        )
    weights = []
    for part, layer in zip(parts, layers):
        arrays = _weights(part, layer)
        for v, array in zip(layer.variables, arrays):
            if v.shape != array.shape:
                raise ValueError(
                    f"'{part.name}' of the module does not fit layer '{layer.name}': its {v.name} has shape {array.shape}, "
                    f"the layer expects {v.shape}."
                )
        weights += arrays
    model.set_weights(weights)


def to_torch_state_dict(layers, names=None):
    """The state dict that a PyTorch module with the same layers loads by `load_state_dict`.

    Recurrent layers that follow each other and are alike become one stacked nn.LSTM, nn.GRU or nn.RNN. Layers without weights and the
    activations of Dense layers have no place in a state dict: they are for the module's `forward` to compute.

    Args:
        layers: a layer, a list of layers or a Sequential, built.
        names: attribute names of the modules that they are loaded into. Default: none for a single one, as in
            `nn.LSTM(3, 5).load_state_dict(...)`, else the name of the (first) layer.

    Returns:
        dict of name to torch.Tensor, copies of the weights.

    Raises:
        ValueError: for layers that compute something else than PyTorch's; `names` of another length.
        ImportError: if PyTorch is not installed.

    >>> from fastrnn.layers import LSTM
    >>> layer = LSTM(5)
    >>> layer.build((None, None, 3))
    >>> state = to_torch_state_dict(layer)  # doctest: +SKIP
    >>> torch.nn.LSTM(3, 5, batch_first=True).load_state_dict(state)  # doctest: +SKIP
    <All keys matched successfully>
    """
    try:
        import torch
    except ImportError:
        raise ImportError("`to_torch_state_dict` makes tensors of PyTorch, which is not installed: `pip install torch`.") from None
    modules = _modules(_layers(layers))
    if names is None:
        names = [first.name for first, _ in modules] if len(modules) > 1 else [""] * len(modules)
    elif len(names := [names] if isinstance(names, str) else list(names)) != len(modules):
        found = ", ".join(first.name for first, _ in modules)
        raise ValueError(f"Argument `names` must have one entry for each of the {len(modules)} modules ({found}). Received: names={names}")
    return {
        f"{name}.{key}" if name else key: torch.tensor(np.ascontiguousarray(array))
        for name, (_, arrays) in zip(names, modules)
        for key, array in arrays.items()
    }


def _layers(source):
    """The layers of a Sequential, or of what is one or a list of them."""
    return list(getattr(source, "layers", None) or (source if isinstance(source, (list, tuple)) else [source]))


# -- parts to layers ----------------------------------------------------------------------------------------------------------------


def _settle_first_matrix(parts):
    """Decide what matrices without bias in a state dict are: of a Linear, or for the first, if only that fits, of an Embedding."""
    for part in parts:
        if part.kind is None:
            part.kind = "Dense"
            if part is not parts[0]:
                continue
            rows, columns = part.arrays[0].shape
            following = None if len(parts) == 1 else (parts[1].arrays[0][0] if parts[1].recurrent else parts[1].arrays[0]).shape[1]
            if rows == columns or following not in (rows, columns):
                raise ValueError(
                    f"'{part.name}.weight' of shape {(rows, columns)} may belong to an nn.Embedding or to an nn.Linear without bias: "
                    "give the module instead of its state dict, or make the model and use `load_torch_weights`."
                )
            if following == columns:
                part.kind = "Embedding"


def _input(part, sequence):
    if part.kind == "Embedding":
        return Input((None,), dtype="int32")
    features = (part.arrays[0][0] if part.recurrent else part.arrays[0]).shape[1]
    return Input((None, features) if sequence else (features,))


def _layer(part, return_sequences):
    """A new layer for a part."""
    weights = part.arrays[0] if part.recurrent else part.arrays
    common = {"name": part.name.replace(".", "_") or None}
    if part.arrays:
        common["dtype"] = str(weights[0].dtype)
    if part.recurrent:
        cell = CELLS[part.kind](
            weights[1].shape[1], use_bias=weights[2] is not None, return_sequences=return_sequences, **part.options, **common
        )
        return Bidirectional(cell, name=common["name"]) if len(part.arrays) == 2 else cell
    if part.kind == "Dense":
        return Dense(len(weights[0]), use_bias=weights[1] is not None, **common)
    if part.kind == "Embedding":
        return Embedding(*weights[0].shape, **common)
    return {"Dropout": Dropout, "Activation": Activation, "Flatten": Flatten}[part.kind](**part.options, **common)


def _weights(part, layer):
    """The arrays for `layer.set_weights`, after checking that the layer computes what the module does."""
    here = f"'{part.name}' of the module" if part.name else "The module"
    if isinstance(layer, Bidirectional) or kind_of(layer):
        cells, kind = _cells(layer)
        if part.kind != kind:
            raise ValueError(f"{here} has the weights of an nn.{NAMES.get(part.kind, 'Linear')}, layer '{layer.name}' is made of {kind}.")
        if len(part.arrays) != len(cells):
            raise ValueError(f"{here} has {len(part.arrays)} directions, layer '{layer.name}' ({type(layer).__name__}) has {len(cells)}.")
        activation = part.options.get("activation", cells[0].activation.__name__)
        if activation != cells[0].activation.__name__:
            raise ValueError(f"{here} has nonlinearity='{activation}', layer '{layer.name}' activation='{cells[0].activation.__name__}'.")
        arrays = []
        for cell, direction in zip(cells, part.arrays):
            if cell.use_bias != (direction[2] is not None):
                biases = "no biases" if direction[2] is None else "biases"
                raise ValueError(f"{here} has {biases}, layer '{layer.name}' has use_bias={cell.use_bias}.")
            arrays += from_rows(kind, "torch", *direction)
        return arrays
    if part.recurrent or not isinstance(layer, (Dense, Embedding)) or part.kind not in (None, type(layer).__name__):
        kind = NAMES.get(part.kind) or ("Linear" if part.kind == "Dense" else "Embedding")
        raise ValueError(f"{here} has the weights of an nn.{kind}, layer '{layer.name}' is {type(layer).__name__}.")
    weight, bias = part.arrays
    if isinstance(layer, Embedding):
        return [weight]
    if layer.use_bias != (bias is not None):
        raise ValueError(f"{here} has {'no bias' if bias is None else 'a bias'}, layer '{layer.name}' has use_bias={layer.use_bias}.")
    return [weight.T] if bias is None else [weight.T, bias]


# -- layers to modules --------------------------------------------------------------------------------------------------------------


def _modules(layers):
    """[(first layer, {key: array})] of the PyTorch modules that the layers become."""
    modules, stack, alike = [], None, None
    for layer in layers:
        if not layer.built:
            raise ValueError(f"Layer '{layer.name}' has no weights yet: build it, or call it on data, first.")
        if not layer.variables:
            alike = alike if isinstance(layer, Dropout) else None  # nn.LSTM has a dropout of its own between its layers
            continue
        if isinstance(layer, Bidirectional) or kind_of(layer):
            cells, _ = _cells(layer)
            mine = (len(cells), *_likeness(cells[0]))
            if mine != alike or cells[0].kernel.shape[0] != len(cells) * cells[0].units:
                stack = 0
                modules.append((layer, {}))
            for cell, suffix in zip(cells, ("", "_reverse")):
                rows = zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), to_rows(cell, "torch"))
                modules[-1][1].update({f"{key}_l{stack}{suffix}": array for key, array in rows if array is not None})
            alike, stack = (mine if cells[0].return_sequences else None), stack + 1
            continue
        alike = None
        if isinstance(layer, Embedding):
            modules.append((layer, {"weight": layer.embeddings.value}))
        elif isinstance(layer, Dense):
            bias = {"bias": layer.bias.value} if layer.use_bias else {}
            modules.append((layer, {"weight": layer.kernel.value.T, **bias}))
        else:
            raise ValueError(
                f"Layer '{layer.name}' ({type(layer).__name__}) has no counterpart here: recurrent layers, Bidirectional, Dense and "
                "Embedding can become PyTorch's."
            )
    return modules


def _likeness(cell):
    """What directions and stacked layers of one PyTorch module have in common."""
    kind = kind_of(cell)
    return (kind, cell.units, cell.use_bias, cell.activation) if kind else (type(cell),)


def _cells(layer):
    """([the layer of each direction], kind), after checking that PyTorch computes the same."""
    cells = [layer]
    if isinstance(layer, Bidirectional):
        cells = [layer.forward_layer, layer.backward_layer]
        if layer.merge_mode != "concat":
            raise ValueError(f"Layer '{layer.name}' has merge_mode={layer.merge_mode!r}; PyTorch knows 'concat' only.")
    kind = kind_of(cells[0])
    if not kind:
        raise ValueError(f"Layer '{layer.name}' runs {type(cells[0]).__name__}; PyTorch has LSTM, GRU and RNN.")
    if any(_likeness(cell) != _likeness(cells[0]) for cell in cells):
        raise ValueError(f"The two directions of layer '{layer.name}' differ; those of a PyTorch module cannot.")
    if cells[0].go_backwards:
        raise ValueError(f"Layer '{layer.name}' has go_backwards=True, which PyTorch does not know.")
    for cell in cells:
        allowed = {"activation": ["tanh", "relu"] if kind == "SimpleRNN" else ["tanh"]}
        if kind != "SimpleRNN":
            allowed["recurrent_activation"] = ["sigmoid"]
        if isinstance(cell, GRU):
            allowed["reset_after"] = [True]
        for argument, values in allowed.items():
            value = getattr(cell, argument)
            value = getattr(value, "native", value)
            if value not in values:
                theirs = " or ".join(map(repr, values))
                raise ValueError(f"Layer '{layer.name}' ({kind}) has {argument}={value!r}; nn.{NAMES[kind]} computes with {theirs} only.")
    return cells, kind


__all__ = ["from_torch", "load_torch_weights", "to_torch_state_dict"]
