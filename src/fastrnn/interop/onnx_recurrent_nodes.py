"""ONNX's recurrent operators, read as layers."""

import numpy as np

from .. import layers
from .gates import CELLS, from_rows
from .onnx_activations import RECURRENT
from .onnx_masks import FromMask
from .onnx_values import (
    BATCH,
    DIRECTION,
    FEATURES,
    TIME,
    TimeMajor,
    Unsupported,
    Value,
    in_order,
    need_merged,
)

KINDS = {"RNN": "SimpleRNN", "LSTM": "LSTM", "GRU": "GRU"}
_DEFAULTS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
_ALPHA_BETA = {  # functions with parameters, and the parameters' defaults
    "Affine": (1.0, 0.0), "LeakyRelu": (0.01, None), "HardSigmoid": (0.2, 0.5), "Elu": (1.0, None), "ThresholdedRelu": (1.0, None),
    "ScaledTanh": (1.0, 1.0),
}
_NOTHING = ("initial_h", "initial_c", "P")  # inputs that must be absent or zeros


def recurrent(op):
    kind = KINDS[op]

    def read(reader, node, inputs, attributes):
        x, w, r, b, lengths, *rest = (*inputs, *[None] * 8)[:8]
        if not isinstance(x, Value) or not isinstance(w, np.ndarray) or not isinstance(r, np.ndarray) or isinstance(b, Value):
            raise Unsupported("its weights must be constants, and its input data")
        for name, array in zip(_NOTHING, rest):
            if array is None:
                continue
            if not isinstance(array, np.ndarray) or array.any():
                raise Unsupported(f"it has an input {name}; a layer starts from zeros")
        mask = x.packed
        masked = isinstance(lengths, FromMask) and lengths.owner is mask and reader.roles.get(lengths.text) == "lengths"
        if masked != (mask is not None) or (lengths is not None and not masked):
            raise Unsupported("its input sequence_lens is not made of a mask as `export_onnx` does; a layer runs over all time steps")
        if "clip" in attributes or attributes.get("input_forget"):
            raise Unsupported("its attributes `clip` and `input_forget` have no counterpart")
        x = x.but(packed=None)
        need_merged(x)
        batch_first = attributes.get("layout", 0)
        wanted = (BATCH, TIME, FEATURES) if batch_first else (TIME, BATCH, FEATURES)
        if x.axes != wanted:
            if FEATURES in x.axes and len(x.axes) == 3 and x.axes[wanted.index(BATCH)] == BATCH:
                front = x if batch_first else x.permuted([1, 0, 2])
                x = in_order(reader, node, front)
                x = x if batch_first else x.permuted([1, 0, 2])
            elif x.axes == (wanted[1], wanted[0], FEATURES) and not reader.time_major and not reader.settled:
                raise TimeMajor
            else:
                raise Unsupported(f"it runs over {wanted}, and its input has axes {x.axes}")
        reader.settled = True
        directions, units = r.shape[0], r.shape[-1]
        gates = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[kind]
        if r.shape != (directions, gates * units, units) or w.ndim != 3 or w.shape[:2] != r.shape[:2] or not 1 <= directions <= 2:
            raise Unsupported(f"its weights have shapes W {w.shape}, R {r.shape}")
        if b is not None and b.shape != (directions, 2 * gates * units):
            raise Unsupported(f"its bias has shape {b.shape}")
        if attributes.get("hidden_size", units) != units:
            raise Unsupported(f"hidden_size={attributes['hidden_size']}, and R has shape {r.shape}")
        reader.need_features(x, w.shape[2])
        way = attributes.get("direction", "forward")
        if way not in ("forward", "reverse", "bidirectional") or (way == "bidirectional") != (directions == 2):
            raise Unsupported(f"direction={way!r}, with weights for {directions} directions")
        options = {"units": units, "use_bias": b is not None, "go_backwards": way == "reverse", **_functions(op, attributes, directions)}
        reset_after = bool(attributes.get("linear_before_reset", 0))
        if kind == "GRU":
            options["reset_after"] = reset_after
        weights = []
        for d in range(directions):
            both = (None, None) if b is None else np.split(b[d], 2)
            weights += from_rows(kind, "onnx", w[d], r[d], *both, reset_after=reset_after)
        step = reader.step(node, CELLS[kind] if directions == 1 else layers.Bidirectional, options, weights, x)
        step.cell, step.mask = CELLS[kind], mask
        steps, batch = (x.sizes[k] for k in (wanted.index(TIME), wanted.index(BATCH)))
        sequence = ((TIME, DIRECTION, BATCH, FEATURES), (steps, directions, batch, units))
        state = ((DIRECTION, BATCH, FEATURES), (directions, batch, units))
        if mask and directions == 2:
            raise Unsupported("it runs over a mask in two directions")
        y = Value(step, *sequence, packed=mask)
        outputs = [y, *(Value(step, *state, part=part, packed=mask) for part in "hc")]
        if batch_first:
            outputs = [y.permuted([2, 0, 1, 3]), *(s.permuted([1, 0, 2]) for s in outputs[1:])]
        return tuple(outputs[: 3 if op == "LSTM" else 2])

    return read


def _functions(op, attributes, directions):
    """The activations of a recurrent operator, as arguments of a layer."""
    default = _DEFAULTS[op]
    names = attributes.get("activations", default * directions)
    if len(names) != len(default) * directions:
        raise Unsupported(f"activations={names}")
    known = {name.lower(): name for name, _, _ in RECURRENT.values()} | {name.lower(): name for name in _ALPHA_BETA}
    alphas, betas = (iter(attributes.get(f"activation_{which}", ())) for which in ("alpha", "beta"))
    found = []
    for name in names:
        name = known.get(name.lower(), name)
        alpha, beta = _ALPHA_BETA.get(name, (None, None))
        alpha, beta = (None if alpha is None else next(alphas, alpha)), (None if beta is None else next(betas, beta))
        ours = next(
            (
                ours for ours, (theirs, *values) in RECURRENT.items()
                if theirs == name and np.allclose([v or 0 for v in values], [alpha or 0, beta or 0])
            ),
            None,
        )
        if ours is None:
            settings = [f"{which}={value:.6g}" for which, value in (("alpha", alpha), ("beta", beta)) if value is not None]
            raise Unsupported(f"there is no activation {' '.join([name, *settings])}")
        found.append(ours)
    if found[: len(default)] != found[-len(default) :] or len(set(found[1 : len(default)])) > 1:
        raise Unsupported(f"its activations differ between directions, or between candidate and output: {found}")
    options = {"activation": found[len(default) - 1]}
    return options if op == "RNN" else {**options, "recurrent_activation": found[0]}
