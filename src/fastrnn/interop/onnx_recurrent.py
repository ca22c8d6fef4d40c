"""SimpleRNN, LSTM, GRU and Bidirectional as ONNX nodes. The operators compute (timesteps, batch, features), all directions in one."""

import numpy as np

from .gates import kind_of, to_rows
from .onnx_activations import recurrent_activation
from .onnx_graph import Flow


def recurrent(g, layer, x):
    """A recurrent layer; several Flows with return_state."""
    zero = layer.zero_output_for_mask
    y, states = _direction(g, layer, x, layer.go_backwards, zero)
    shape = (x.shape[0], *([x.shape[1]] if layer.return_sequences else []), layer.units)
    out = Flow(y, shape, x.mask if layer.return_sequences else None)
    return (out, *_states(states, layer, x)) if layer.return_state else out


def bidirectional(g, layer, x):
    """Both directions: in one node where they are alike and no step is skipped, else in one for each."""
    ahead, back = layer.forward_layer, layer.backward_layer
    for each in (ahead, back):
        if not kind_of(each):
            raise ValueError(
                f"Layer '{layer.name}' of {type(each).__name__} cannot be exported to ONNX; one of LSTM, GRU or SimpleRNN can."
            )
    zero = layer.return_sequences or ahead.zero_output_for_mask
    if x.mask is None and not ahead.go_backwards and _settings(ahead) == _settings(back):
        sequence, hidden, *cell = _node(g, [ahead, back], x.name)
        one, two = ([_pick(g, part, k) for part in (hidden, *cell)] for k in (0, 1))
        whole = sequence if layer.return_sequences else g.add("Transpose", hidden, perm=[1, 0, 2])
        merged = _merge_axis(g, layer, whole)
        outputs = [_pick(g, whole, k, -2) for k in (0, 1)] if merged is None else [merged]
    else:
        # The way back delivers its outputs in the order of the input.
        outputs, (one, two) = zip(*(
            _direction(g, each, x, ahead.go_backwards and layer.return_sequences, zero) for each in (ahead, back)
        ))
        if layer.merge_mode is not None:
            outputs = [_merge_two(g, layer, *outputs)]
    steps = [x.shape[1]] if layer.return_sequences else []
    mask = x.mask if layer.return_sequences else None
    if layer.merge_mode is None:
        widths = [ahead.units, back.units]
    else:
        widths = [ahead.units + back.units if layer.merge_mode == "concat" else ahead.units]
    flows = [Flow(y, (x.shape[0], *steps, width), mask) for y, width in zip(outputs, widths)]
    if layer.return_state:
        flows += [*_states(one, ahead, x), *_states(two, back, x)]
    return tuple(flows) if len(flows) > 1 else flows[0]


def _states(names, layer, x):
    return [Flow(name, (x.shape[0], layer.units)) for name in names]


def _settings(layer):
    """What two directions must share to be one node."""
    return (
        kind_of(layer), layer.units, layer.use_bias, layer.activation, getattr(layer, "recurrent_activation", None),
        getattr(layer, "reset_after", None),
    )


def _merge_axis(g, layer, y):
    """Merge the directions, the last axis but one of y; None with merge_mode=None."""
    mode = layer.merge_mode
    if mode is None:
        return None
    if mode == "concat":
        return g.add("Reshape", y, g.ints(*([0, 0] if layer.return_sequences else [0]), 2 * layer.forward_layer.units))
    op = {"sum": "ReduceSum", "ave": "ReduceMean", "mul": "ReduceProd"}[mode]
    return g.reduce(op, y, 2 if layer.return_sequences else 1)


def _merge_two(g, layer, one, two):
    mode = layer.merge_mode
    if mode == "concat":
        return g.add("Concat", one, two, axis=-1)
    y = g.add("Mul" if mode == "mul" else "Add", one, two)
    return g.add("Mul", y, g.floats(0.5)) if mode == "ave" else y


def _pick(g, x, k, axis=0):
    return g.add("Gather", x, g.int(k), axis=axis)


def _direction(g, layer, x, flip, zero):
    """(output, states) of one direction: the whole sequence, reversed if `flip`, or the last output."""
    mask, reverse = x.mask, layer.go_backwards
    sequence, *states = _node(g, [layer], x.name if mask is None else mask.pack(x.name), None if mask is None else mask.lengths)
    states = [_pick(g, state, 0) for state in states]
    if mask is not None:
        states = [mask.zero_if_none(state) for state in states]
    if not layer.return_sequences:
        y = states[0]
        if mask is not None and zero:
            y = mask.zero_if_skipped(y, 0 if reverse else -1)
        return y, states
    y = g.add("Reshape", sequence, g.ints(0, 0, layer.units))
    if mask is not None:
        y = mask.unpack(y, reverse)
        y = mask.zero_skipped(y) if zero else y
    return (g.flip(y) if flip else y), states


def _node(g, layers, x, lengths=None):
    """The operator for one or two directions.

    Returns: outputs (batch, timesteps, directions, units) in the order of the input, then the final states (directions, batch, units).
    """
    first, kind = layers[0], kind_of(layers[0])
    if any(layer.stateful for layer in layers):
        raise ValueError(
            f"Layer '{first.name}' cannot be exported to ONNX: stateful=True keeps a state between calls, and an ONNX model has none. "
            "Put its weights into a layer with stateful=False."
        )
    rows = [to_rows(layer, "onnx") for layer in layers]
    inputs = [g.add("Transpose", x, perm=[1, 0, 2])]
    inputs += [g.weight(np.stack([r[k] for r in rows]), name) for k, name in ((0, "W"), (1, "R"))]
    bias = g.weight(np.stack([np.concatenate(r[2:]) for r in rows]), "B") if first.use_bias else ""
    inputs += [bias, lengths or ""]
    while not inputs[-1]:
        inputs.pop()
    used = [recurrent_activation(first, "activation")]
    if kind != "SimpleRNN":
        used.insert(0, recurrent_activation(first, "recurrent_activation"))
    used = (used + used[1:] if kind == "LSTM" else used) * len(layers)
    attributes = {"activations": [name for name, _, _ in used], "hidden_size": first.units}
    for k, name in ((1, "activation_alpha"), (2, "activation_beta")):
        if values := [entry[k] for entry in used if entry[k] is not None]:
            attributes[name] = values
    if kind == "GRU":
        attributes["linear_before_reset"] = int(first.reset_after)
    attributes["direction"] = "bidirectional" if len(layers) == 2 else "reverse" if first.go_backwards else "forward"
    op = "RNN" if kind == "SimpleRNN" else kind
    y, *states = g.add(op, *inputs, outputs=3 if kind == "LSTM" else 2, **attributes)
    return g.add("Transpose", y, perm=[2, 0, 1, 3]), *states
