"""What each ONNX operator does to the Values that flow through it: one small function per operator, a table of them below."""

import math
import re

import numpy as np

from .. import layers
from .gates import CELLS
from .onnx_formulas import layer_of, short
from .onnx_masks import FromMask, Owner
from .onnx_recurrent_nodes import KINDS, recurrent
from .onnx_values import (
    BATCH,
    DIRECTION,
    FEATURES,
    KNOWN,
    TIME,
    Step,
    Unsupported,
    Value,
    canonical,
    combine,
    formula,
    in_order,
    need_merged,
    plain,
)
from .onnx_window_nodes import WINDOWS, global_pooling, made, zero_padding

# A function gets the reader (see onnx_import), the node, its inputs (Value, array, or None) and its attributes (dict).


def _identity(reader, node, inputs, attributes):
    return inputs[0]


def _cast(reader, node, inputs, attributes):
    kind = reader.onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]).kind
    if kind == "b" and inputs[0] is reader.input:  # which ids are not 0
        reader.ids_mask = reader.ids_mask or Owner(reader.input)
        return FromMask(reader.ids_mask, "m")
    if kind != "f" and inputs[0] is not reader.input:
        raise Unsupported("it turns computed values into whole numbers")
    return inputs[0]


def _shape(reader, node, inputs, attributes):
    shape = inputs[0].shape()
    return shape[attributes.get("start", 0) : attributes.get("end", len(shape))]


def _transpose(reader, node, inputs, attributes):
    x = inputs[0]
    return x.permuted(attributes.get("perm", range(len(x.axes))[::-1]))


def _squeeze(reader, node, inputs, attributes):
    x, axes = (*inputs, None)[:2]
    if axes is None:
        raise Unsupported("it names no axes")
    dropped = {int(k) % len(x.axes) for k in axes}
    if any(x.sizes[k] != 1 or x.axes[k] in (BATCH, TIME) for k in dropped):
        raise Unsupported(f"it removes axes {sorted(dropped)} of {x.axes} with lengths {x.sizes}")
    if all(x.axes[k] == DIRECTION for k in dropped):
        return x.without(*dropped)
    return _to_shape(reader, node, x, [n for k, n in enumerate(x.shape()) if k not in dropped])


def _unsqueeze(reader, node, inputs, attributes):
    x, axes = inputs
    shape = list(x.shape())
    for k in sorted(int(k) % (len(shape) + len(axes)) for k in axes):
        shape.insert(k, 1)
    return _to_shape(reader, node, x, shape)


def _reshape(reader, node, inputs, attributes):
    x, shape = inputs[0], list(inputs[1])
    if 0 in shape and attributes.get("allowzero"):
        raise Unsupported("its shape has a 0")
    if any(n == 0 and k >= len(x.axes) for k, n in enumerate(shape)):
        raise Unsupported(f"it copies an axis that its input with axes {x.axes} has not")
    shape = [x.shape()[k] if n == 0 else n for k, n in enumerate(shape)]
    if DIRECTION in x.axes:
        return _merge_directions(x, shape)
    if x.step is None and len(shape) == 3 and len(x.formulas) == 1:
        base, text = x.formulas[0]
        repeated = re.fullmatch(r"Expand\(x, times=(\d+)\)", text)
        if repeated and shape == [base.shape()[0], -1, base.sizes[2]]:
            return made(reader, node, base, layers.UpSampling1D, {"size": int(repeated[1])})
    return _to_shape(reader, node, x, shape)


def _merge_directions(x, shape):
    """A reshape that makes one axis of directions and features."""
    if x.axes[-2:] != (DIRECTION, FEATURES):
        raise Unsupported(f"it reshapes axes {x.axes} of a recurrent operator")
    merged = x.but(
        axes=(*x.axes[:-2], FEATURES), sizes=(*x.sizes[:-2], x.sizes[-1] * x.sizes[-2]), merge="concat" if x.sizes[-2] == 2 else None
    )
    if len(shape) != len(merged.axes) or any(n not in (-1, m) for n, m in zip(shape, merged.shape())) or shape.count(-1) > 1:
        raise Unsupported(f"it reshapes axes {x.axes} of a recurrent operator to {shape}")
    return merged


def _to_shape(reader, node, x, shape):
    """Another shape, batch first, as a Reshape layer."""
    need_merged(x)
    if x.axes[0] == BATCH and len(x.axes) > 2:
        x = in_order(reader, node, x)
    distributed = _samples(x, shape) or _steps_again(reader, node, x, shape)
    if distributed:
        return distributed
    if x.axes[0] != BATCH or not shape or shape[0] not in (x.shape()[0], -1):
        raise Unsupported(f"it must leave the batch where it is; axes {x.axes} become {shape}")
    tail = [-1 if isinstance(n, str) else int(n) for n in shape[1:]]
    if tail.count(-1) + (shape[0] == -1) > 1:
        raise Unsupported(f"more than one length of its shape is not known: {shape}")
    if not tail:
        raise Unsupported(f"axes {x.axes} become {shape}")
    if all(n is not None for n in x.sizes[1:]) and -1 in tail:
        rest = -math.prod(tail)
        tail[tail.index(-1)] = math.prod(x.sizes[1:]) // max(1, rest)
    axes = canonical(len(tail) + 1)
    sizes = (x.sizes[0], *[None if n == -1 else n for n in tail])
    if len(tail) == 1:
        return Value(reader.step(node, layers.Flatten, source=x), axes, sizes)
    return Value(reader.step(node, layers.Reshape, {"target_shape": tuple(tail)}, source=x), axes, sizes)


_SAMPLES = "samples"  # the length of the batch while time steps are samples


def _samples(x, shape):
    """A reshape that makes samples of time steps, for a layer that is run on each of them; None if it is another one."""
    if x.axes[0] != BATCH or len(x.axes) < 3 or x.sizes[1] == 1 or list(shape) != [-1, *x.sizes[2:]]:
        return None
    start = Step(node=x.step.node)
    start.outer = x
    return Value(start, canonical(len(shape)), (_SAMPLES, *x.sizes[2:]))


def _steps_again(reader, node, x, shape):
    """A reshape that makes time steps of these samples again, None if it is another one."""
    start = x
    while start.step and start.step.layer is not None:
        start = start.step.source
    outer = start.step and start.step.outer
    if not outer or start is x or list(shape) != [*outer.shape()[:2], *x.sizes[1:]]:
        return None
    step = reader.step(node, layers.TimeDistributed, {"layer": x}, source=outer)
    return Value(step, canonical(len(shape)), (*outer.sizes[:2], *x.sizes[1:]))


def _flatten(reader, node, inputs, attributes):
    if attributes.get("axis", 1) != 1:
        raise Unsupported(f"axis={attributes['axis']}")
    return _to_shape(reader, node, inputs[0], [inputs[0].shape()[0], -1])


def _gather(reader, node, inputs, attributes):
    x, indices = inputs
    axis = attributes.get("axis", 0)
    if isinstance(indices, Value):
        if not isinstance(x, np.ndarray) or x.ndim != 2 or axis != 0:
            raise Unsupported("it looks up rows of what is no table of weights")
        return _embedding(reader, node, x, indices)
    if isinstance(x, list):  # states of several layers, put together
        if axis != 0 or indices.size != 1:
            raise Unsupported("it picks more than one of the joined states")
        return x[int(indices.reshape(()))]
    if indices.size != 1:
        raise Unsupported(f"it picks {indices.size} elements")
    axis, k = axis % len(x.axes), int(indices.reshape(()))
    kept = indices.ndim  # an index with an axis of its own keeps the axis
    what = x.axes[axis]
    if what == DIRECTION and not kept:
        k = k % x.sizes[axis]
        return x.without(axis, direction=k if x.sizes[axis] == 2 else None)
    if what == TIME and not kept:
        return _pick_step(x, axis, k)
    raise Unsupported(f"it picks element {k} of the {what}")


# Layers that compute each time step by itself, from its last axis.
_EACH_STEP = (layers.Dense, layers.Activation, layers.LeakyReLU, layers.ELU, layers.LayerNormalization, layers.RMSNormalization)


def _pick_step(x, axis, k):
    """One time step: only the last one that a recurrent layer computed is what a layer can return."""
    below, flipped = x, x.flipped
    while below.step.layer in _EACH_STEP and below.step.options.get("axis", -1) == -1:
        below = below.step.source
        flipped ^= below.flipped
    if below.step.layer not in CELLS.values() and below.step.layer is not layers.Bidirectional:
        raise Unsupported("it picks a time step of what is not the output of a recurrent operator")
    if below.merge or below.step.layer is layers.Bidirectional:
        raise Unsupported(
            "it picks a time step of both directions, at which one of them has only begun. A Bidirectional layer returns the last "
            "outputs of both: use the final states (Y_h; h_n in PyTorch)"
        )
    first = below.step.options["go_backwards"] != flipped
    if k != (0 if first else -1):
        raise Unsupported(f"it picks time step {k}, not the last one that was processed")
    return x.without(axis, last=True, flipped=False)


def _embedding(reader, node, table, ids):
    if len(ids.axes) != 2 or ids.step.layer is not None:
        raise Unsupported("it looks up rows by something else than the input (batch, timesteps)")
    axes = (TIME, BATCH) if reader.time_major else (BATCH, TIME)
    step = reader.step(node, layers.Embedding, {"input_dim": table.shape[0], "output_dim": table.shape[1]}, [table], ids)
    return Value(step, (*axes, FEATURES), (*ids.sizes, table.shape[1]))


def _slice(reader, node, inputs, attributes):
    x = inputs[0]
    parts = [None if p is None else [int(n) for n in p] for p in (*inputs[1:], None, None)[:4]]
    starts, ends, axes, steps = parts
    axes = list(range(len(starts))) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts)):
        what = x.axes[axis % len(x.axes)]
        if step == -1 and start == -1 and end < -(2**31) + 1 and what == TIME:
            x = x.but(flipped=not x.flipped, formulas=())
        elif what == TIME and x.axes == canonical(3) and step == 1 and start >= 0 and (end < 0 or end >= 2**31 - 1):
            if start or end < 0:
                x = made(reader, node, x, layers.Cropping1D, {"cropping": (start, max(0, -end))})
        elif (start, step) != (0, 1) or end < 2**31 - 1:
            raise Unsupported(f"it cuts a piece of the {what}")
    return x


def _concat(reader, node, inputs, attributes):
    axis = attributes["axis"]
    if not all(isinstance(x, Value) for x in inputs):
        raise Unsupported("it joins data with constants")
    axis %= len(inputs[0].axes)
    if inputs[0].axes[axis] == DIRECTION:  # final states of several layers: a list, from which a Gather picks
        if any(x.axes != inputs[0].axes for x in inputs):
            raise Unsupported("it joins what has different axes")
        return [x.without(axis, direction=k if x.sizes[axis] == 2 else None) for x in inputs for k in range(x.sizes[axis])]
    if inputs[0].axes[axis] != FEATURES:
        raise Unsupported(f"it joins the {inputs[0].axes[axis]}")
    return _merged(inputs, "concat")


def _merged(pair, mode):
    """One Value of two directions: of one recurrent operator, or of two that read the same."""
    one, two = pair
    order = [x.direction for x in pair]
    parts = [(x.axes, x.sizes, x.part, x.last, x.flipped, x.packed, x.zeroed) for x in pair]
    if one.step is two.step and order in ([[0, 1]] if mode == "concat" else [[0, 1], [1, 0]]):
        step = one.step
    else:
        step = order == [None, None] and both_ways(one.step, two.step)
    if not step or parts[0] != parts[1] or one.last or one.flipped or one.packed:
        raise Unsupported("it joins what are not the two directions of one recurrent operator, in their order")
    sizes = list(one.sizes)
    if mode == "concat":
        sizes[one.axes.index(FEATURES)] *= 2
    return one.but(step=step, direction=None, merge=mode, sizes=tuple(sizes), formulas=())


def both_ways(ahead, back):
    """The Step that joins two recurrent operators, None if they are no two ways of the same layer."""
    if not ahead or not back or ahead.layer is not back.layer or ahead.layer not in CELLS.values():
        return None
    one, two = ((x.step, x.part, x.merge, x.last, x.flipped, x.zeroed) for x in (ahead.source, back.source))
    if one != two or ahead.mask is not back.mask or ahead.options["go_backwards"] or ahead.options | {"go_backwards": True} != back.options:
        return None
    step = Step(layers.Bidirectional, ahead.options, [*ahead.weights, *back.weights], ahead.source, ahead.node, ahead.name)
    step.cell, step.mask, step.ways = ahead.layer, ahead.mask, (ahead, back)
    return step


def _reduce(op, mode, pooling=None):
    """A reduction: of two directions, of all steps, or inside a formula."""

    def reduce(reader, node, inputs, attributes):
        x, axes = (*inputs, None)[:2]
        axes, keepdims = attributes.get("axes") if axes is None else axes.tolist(), attributes.get("keepdims", 1)
        axes = sorted(k % len(x.axes) for k in axes or ())
        if len(axes) == 1 and mode and not keepdims and x.axes[axes[0]] == DIRECTION and x.sizes[axes[0]] == 2:
            return x.without(axes[0], merge=mode)
        if x.weighted and axes == [1] and op == "ReduceSum" and x.formulas[0][1] == "Weighted(x)":
            return x.but(formulas=[(x.formulas[0][0], _weighted_sum(keepdims))])
        if axes and BATCH not in [x.axes[k] for k in axes] and DIRECTION not in x.axes and x.axes == canonical(len(x.axes)):
            formulas = combine(op, [x], {"axes": axes}) if keepdims else []
            pooled = pooling and global_pooling(pooling, reader, node, x, axes, keepdims)
            if pooled:
                return pooled.but(formulas=formulas)
            if formulas:
                return x.but(step=None, formulas=formulas, node=reader.describe(node))
        raise Unsupported("it reduces something else than the two directions of a recurrent operator, or all steps")

    return reduce


def _matmul(reader, node, inputs, attributes):
    x, kernel = inputs
    if not isinstance(kernel, np.ndarray) or kernel.ndim != 2:
        raise Unsupported("it multiplies by something else than a matrix of weights")
    return _dense(reader, node, x, kernel, None)


def _gemm(reader, node, inputs, attributes):
    x, kernel, bias = (*inputs, None)[:3]
    if not isinstance(x, Value) or not isinstance(kernel, np.ndarray) or isinstance(bias, Value) or attributes.get("transA"):
        raise Unsupported("it multiplies by something else than a matrix of weights")
    kernel = (kernel.T if attributes.get("transB") else kernel) * kernel.dtype.type(attributes.get("alpha", 1.0))
    if bias is not None:
        bias = np.broadcast_to(bias * bias.dtype.type(attributes.get("beta", 1.0)), (1, kernel.shape[1]))[0]
    return _dense(reader, node, x, kernel, bias)


def _dense(reader, node, x, kernel, bias):
    need_merged(x)
    if x.axes[0] == BATCH and x.axes[-1] != FEATURES and len(x.axes) > 2:
        x = in_order(reader, node, x)
    reader.need_features(x, kernel.shape[0])
    weights = [kernel] if bias is None else [kernel, bias]
    step = reader.step(node, layers.Dense, {"units": kernel.shape[1], "use_bias": bias is not None}, weights, x)
    return x.but(
        step=step, sizes=(*x.sizes[:-1], kernel.shape[1]), formulas=(), merge=None, part="y", flipped=False, zeroed=False
    )


def _elementwise(op):
    def elementwise(reader, node, inputs, attributes):
        values = [x for x in inputs if isinstance(x, Value)]
        if any(isinstance(x, FromMask) for x in inputs):
            return _masked_mean(reader, node, op, *inputs)
        if op == "Add" and len(values) == 1:
            biased = _with_bias(reader, node, *sorted(inputs, key=lambda x: not isinstance(x, Value)))
            if biased is not None:
                return biased
        if len(values) == 2:
            square = values[0] is values[1]
            if op in ("Add", "Mul") and not square and all(x.step and x.step.cell in CELLS.values() for x in values):
                return _merged(values, "sum" if op == "Add" else "mul")
        elif op in ("Mul", "Div") and values[0].merge == "sum" and _number(inputs[1]) == (0.5 if op == "Mul" else 2.0):
            return values[0].but(merge="ave", formulas=())
        attributes = reader.defaults(node) | attributes
        if "axis" in attributes:  # of a softmax
            x = values[0]
            axis, last = attributes["axis"] % len(x.axes), len(x.axes) - 1
            if x.axes[axis] == FEATURES:
                attributes["axis"] = -1
            elif op == "Softmax":
                return made(reader, node, x, layers.Softmax, {"axis": -1 if axis == last else axis})
        arguments = [x if isinstance(x, Value) else "" if x is None else reader.constant(x) for x in inputs]
        formulas = combine(op, arguments, attributes)
        known = [(base, plain(text)) for base, text in formulas if plain(text) in KNOWN]
        x = values[0]
        if not known:
            for base, text in sorted(formulas, key=lambda entry: -len(entry[1])):
                found = layer_of(text, base, reader.constants)
                if found:
                    return made(reader, node, base, *found).but(formulas=formulas)
        if not known:
            if not formulas:
                raise Unsupported("it joins two different branches, or a formula that is no known activation")
            return x.but(step=None, formulas=formulas, node=reader.describe(node))
        base, text = max(known, key=lambda entry: len(entry[1]))
        need_merged(base)
        step = reader.step(node, layers.Activation, {"activation": KNOWN[text]}, source=base)
        return base.but(step=step, formulas=formulas, merge=None, part="y", flipped=False, zeroed=False)

    return elementwise


def _power(reader, node, inputs, attributes):
    if not isinstance(inputs[1], np.ndarray) or _number(inputs[1]) != 2:
        raise Unsupported("it raises to another power than 2")
    return _elementwise("Mul")(reader, node, [inputs[0], inputs[0]], attributes)


def _rectifier(op, cls, argument):
    """An operator whose alpha an activation has for one value, and a layer for any."""

    def rectifier(reader, node, inputs, attributes):
        alpha = short((reader.defaults(node) | attributes)["alpha"])
        if formula(op, ["x"], {"alpha": alpha}) in KNOWN:
            return _elementwise(op)(reader, node, inputs, attributes)
        x = inputs[0]
        need_merged(x)
        step = reader.step(node, cls, {argument: alpha}, source=x)
        return x.but(step=step, formulas=(), merge=None, part="y", flipped=False, zeroed=False)

    return rectifier


def _expand(reader, node, inputs, attributes):
    """The vector or the steps that an Unsqueeze gave a new axis, repeated along that."""
    x, shape = inputs[0], inputs[1].tolist()
    if not isinstance(x, Value) or x.step is None or x.step.layer is not layers.Reshape or len(shape) != len(x.axes):
        raise Unsupported("it repeats something else than a vector or time steps")
    below = x.step.source
    if len(shape) == 3 and x.sizes[1] == 1 and len(below.axes) == 2 and [shape[0], shape[2]] == [1, 1]:
        return made(reader, node, below, layers.RepeatVector, {"n": shape[1]})
    if len(shape) == 4 and x.sizes[2] == 1 and len(below.axes) == 3 and [shape[0], shape[1], shape[3]] == [1, 1, 1]:
        return x.but(step=None, formulas=[(below, formula("Expand", ["x"], {"times": shape[2]}))], node=reader.describe(node))
    raise Unsupported(f"it repeats {shape} times along {x.axes}")


def _masked_mean(reader, node, op, x, mask):
    """The mean of the steps that count: zeros at the others, and the number of those that do."""
    if isinstance(x, Value) and isinstance(mask, FromMask):
        role, owner = _role(reader, [mask], mask.owner), mask.owner
        if op == "Mul" and role == "weights" and x.step and x.axes == canonical(3):
            return x.but(step=None, weighted=owner, formulas=[(x, "Weighted(x)")], node=reader.describe(node))
        keepdims = {"count": 0, "count kept": 1}.get(role)
        if op == "Div" and x.weighted is owner and [text for _, text in x.formulas] == [_weighted_sum(keepdims)]:
            y = made(reader, node, x.formulas[0][0], layers.GlobalAveragePooling1D, {"keepdims": bool(keepdims)})
            y.step.mask = owner
            return y
    raise Unsupported("it computes with a mask what `export_onnx` does not")


def _weighted_sum(keepdims):
    return formula("ReduceSum", ["Weighted(x)"], {"axes": [1], "keepdims": keepdims})


def _equal(reader, node, inputs, attributes):
    """The comparison that a Masking begins with."""
    x, value = inputs
    if not isinstance(x, Value) or x.axes != (BATCH, TIME, FEATURES) or _number(value) is None:
        raise Unsupported("it compares something else than features with a number")
    return FromMask(Owner(x, _number(value)), "e")


def _role(reader, inputs, owner):
    """What the mask of `owner` is used for, as `onnx_masks.roles` has it; None if it is not this mask."""
    found = [x for x in inputs if isinstance(x, FromMask)]
    return reader.roles.get(found[0].text) if len(found) == 1 and found[0].owner is owner else None


def _gather_nd(reader, node, inputs, attributes):
    """Steps that count moved to the front, or outputs moved back to their places."""
    x, where = inputs
    if isinstance(x, Value) and isinstance(where, FromMask) and attributes.get("batch_dims") == 1:
        role = _role(reader, inputs, where.owner)
        if role == "order" and x.axes == (BATCH, TIME, FEATURES) and not x.packed:
            return x.but(packed=where.owner, formulas=())
        if x.packed is where.owner and x.padded and role == ("places backwards" if x.step.options["go_backwards"] else "places"):
            return x.but(packed=None, padded=False)
    raise Unsupported("it picks elements, other than a mask does")


def _pad(reader, node, inputs, attributes):
    x, widths = inputs[:2]
    if isinstance(x, Value) and not x.packed and attributes.get("mode", "constant") == "constant":
        if len(inputs) > 3 and inputs[3] is not None or (len(inputs) > 2 and inputs[2] is not None and _number(inputs[2]) != 0):
            raise Unsupported("it pads with something else than zeros, or some axes")
        need_merged(x)
        return zero_padding(reader, node, x, widths.tolist())
    if not isinstance(x, Value) or not x.packed or widths.tolist() != [0, 1, 0, 0, 0, 0] or len(inputs) > 2 or attributes:
        raise Unsupported("it pads, other than a mask does")
    return x.but(padded=True)


def _where(reader, node, inputs, attributes):
    """Zeros at the steps that a mask skips."""
    condition, x, other = inputs
    if isinstance(condition, Value):
        return _elementwise("Where")(reader, node, inputs, attributes)
    if isinstance(condition, FromMask) and isinstance(x, Value) and isinstance(other, np.ndarray) and not other.any():
        owner = condition.owner
        role, recurrent_step = _role(reader, inputs, owner), x.step and x.step.mask is owner
        if role == "steps" and x is owner.source and owner.value is not None:
            step = reader.step(node, layers.Masking, {"mask_value": owner.value}, source=x)
            step.mask = owner
            return x.but(step=step, formulas=())
        if role == "steps" and recurrent_step and x.part == "y" and not x.packed and not x.flipped:
            return x.but(zeroed=True)
        if role == "any" and recurrent_step and x.part != "y":
            return x.but(packed=None)
        if recurrent_step and x.part == "h" and not x.packed and role == ("first" if x.step.options["go_backwards"] else "last"):
            return x.but(zeroed=True)
    raise Unsupported("it chooses between values, other than a mask does")


def _number(x):
    """A constant as a number, None if it is an array of several."""
    return float(x.reshape(())) if x.size == 1 and x.dtype != object else None


def _with_bias(reader, node, x, bias):
    """The Dense below with a bias; None if there is none below, or it has one."""
    below = x.step
    if not below or below.layer is not layers.Dense or below.options["use_bias"] or bias is None:
        return None
    units = below.options["units"]
    if bias.size != units or (bias.ndim and bias.shape[-1] != units):
        return None
    weights = [*below.weights, bias.reshape(units)]
    step = Step(layers.Dense, {"units": units, "use_bias": True}, weights, below.source, below.node, below.name)
    return x.but(step=step, formulas=())


OPERATORS = {
    "Cast": _cast, "Concat": _concat, "Dropout": _identity, "Equal": _equal, "Flatten": _flatten, "Gather": _gather,
    "GatherND": _gather_nd, "Gemm": _gemm, "Pad": _pad, "Pow": _power, "Where": _where,
    "Identity": _identity, "MatMul": _matmul, "ReduceMax": _reduce("ReduceMax", None, "Max"),
    "ReduceMean": _reduce("ReduceMean", "ave", "Average"), "ReduceProd": _reduce("ReduceProd", "mul"),
    "ReduceSum": _reduce("ReduceSum", "sum"), "Expand": _expand,
    "Reshape": _reshape, "Shape": _shape, "Slice": _slice, "Squeeze": _squeeze, "Transpose": _transpose, "Unsqueeze": _unsqueeze,
    **{op: recurrent(op) for op in KINDS},
    **{op: _elementwise(op) for op in sorted({text.partition("(")[0] for text in KNOWN} | {
        "Abs", "Add", "Clip", "Div", "Erf", "GreaterOrEqual", "Max", "Min", "Mul", "Neg", "Sqrt", "Sub", "Tanh",
    })},
    "Elu": _rectifier("Elu", layers.ELU, "alpha"), "LeakyRelu": _rectifier("LeakyRelu", layers.LeakyReLU, "negative_slope"),
    **WINDOWS,
}
