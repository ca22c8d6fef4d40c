"""What flows through an ONNX graph that is being read: outputs of layers to be, with the meaning of their axes."""

import re

import numpy as np

from .. import layers
from . import onnx_activations

BATCH, TIME, DIRECTION, FEATURES = "batch", "timesteps", "direction", "features"
_MAX_TEXT = 1000  # characters of a formula that may still become a layer


class Unsupported(ValueError):
    """A node that no layer stands for; the message says why."""


class TimeMajor(Exception):
    """The input of the graph turned out to be (timesteps, batch, ...)."""


class Step:
    """A layer to be.

    Attributes:
        layer: its class.
        options: arguments of the class.
        weights: for `set_weights`.
        source: the Value that it reads; None for the input of the graph.
        node: description of its node, for messages.
        name: for the layer.
        cell: class of a recurrent layer, also if `layer` is Bidirectional.
        ways: of a Bidirectional the Steps of its two directions, if they are nodes of their own; else ().
        outer: of the input of a layer that is run on every time step (TimeDistributed) the Value that has the time steps; else None.
        mask: of a recurrent layer the mask that it runs under, of a Masking the one that it makes (see `onnx_masks`); else None.
    """

    def __init__(self, layer=None, options=None, weights=(), source=None, node="", name=None):
        self.layer, self.options, self.weights, self.source = layer, options or {}, weights, source
        self.node, self.name = node, name
        self.cell, self.mask, self.outer, self.ways = layer, None, None, ()


class Value:
    """An output of a step, perhaps transposed or picked from.

    Attributes:
        step: the Step that makes it; None where it is an unfinished formula (`formulas` says of what).
        axes, sizes: meaning and length (None where not known) of each axis.
        part: "y", "h" or "c" of a recurrent step.
        direction: which of two directions, None for all.
        merge: how the directions were merged.
        last: whether the last time step was picked.
        flipped: whether the time axis is reversed.
        packed: the mask whose steps were moved to the front; None while all steps are at their places.
        padded: whether a step of zeros was put before the others.
        zeroed: whether the skipped steps were set to 0.
        weighted: the mask that it was multiplied with, for a mean; else None.
        formulas: [(Value x, text)]: this is the elementwise formula `text` of x.
    """

    part, direction, merge, packed, weighted, formulas = "y", None, None, None, None, ()
    last = flipped = padded = zeroed = False

    def __init__(self, step, axes, sizes, **more):
        self.step, self.axes, self.sizes = step, tuple(axes), tuple(sizes)
        self.__dict__.update(more)

    def but(self, **more):
        """A copy with other attributes."""
        if self.step is None and "step" not in more and not more.get("formulas", True):
            need_merged(self)
        return Value(**{**self.__dict__, **more})

    def permuted(self, order):
        """A copy with axes in another order."""
        return self.but(axes=[self.axes[k] for k in order], sizes=[self.sizes[k] for k in order], formulas=())

    def without(self, axis, **more):
        """A copy without an axis."""
        return self.permuted([k for k in range(len(self.axes)) if k != axis]).but(**more)

    def shape(self):
        """An array of lengths, with names where they are not known."""
        return np.array([name if n is None else n for name, n in zip(self.axes, self.sizes)], object)


def formula(op, arguments, attributes):
    """The text of an elementwise operation; Add and Mul have no order."""
    arguments = [f"{a:.6g}" if isinstance(a, float) else a for a in arguments]
    if op in ("Add", "Mul"):
        arguments.sort()
    settings = [f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in sorted(attributes.items())]
    return f"{op}({', '.join([*arguments, *settings])})"


class _Recorder:
    """Stands for a Graph, to see the formula of an activation."""

    floats = staticmethod(float)

    @staticmethod
    def add(op, *arguments, **attributes):
        return formula(op, arguments, attributes)


def _known_formulas():
    f, record = formula, _Recorder()
    known = {f(op, ["x"], attributes): name for name, (op, attributes) in onnx_activations.OPERATORS.items()}
    known |= {make(record, "x"): name for name, make in onnx_activations.COMPOSED.items() if name != "linear"}
    normal = f("Add", [f("Erf", [f("Div", ["x", 2**0.5], {})], {}), 1.0], {})
    return known | {  # other spellings, of PyTorch's exporter
        f("Gelu", ["x"], {"approximate": "none"}): "gelu",
        f("Mul", [f("Mul", ["x", normal], {}), 0.5], {}): "gelu",
        f("Mish", ["x"], {}): "mish",
        f("Log", [f("Sigmoid", ["x"], {})], {}): "log_sigmoid",
        f("Div", ["x", f("Add", [f("Abs", ["x"], {}), 1.0], {})], {}): "softsign",
        f("Mul", ["x", f("HardSigmoid", ["x"], {"alpha": 1 / 6, "beta": 0.5})], {}): "hard_silu",
    }


KNOWN = _known_formulas()


def combine(op, arguments, attributes):
    """[(Value, text)] of an elementwise operation on Values and numbers: one for each Value of which all arguments are formulas."""
    values = [a for a in arguments if isinstance(a, Value)]
    result = []
    for base, _ in _readings(values[0]):
        texts = []
        for a in arguments:
            if isinstance(a, Value):
                texts.append(next((text for b, text in _readings(a) if b is base), None))
            else:
                texts.append(a)
        if None not in texts:
            text = formula(op, texts, attributes)
            if len(text) <= _MAX_TEXT:
                result.append((base, text))
    return result


def plain(text):
    """A formula with its numbers alone, without the places of its constants in the reader's list."""
    return re.sub(r"@\d+", "", text)


def _readings(value):
    """All that a Value is a formula of: itself (if it is something by itself), and what it was computed from."""
    return ([(value, "x")] if value.step else []) + list(value.formulas)


def need_merged(x):
    if not x.step:
        raise Unsupported(f"what it reads, {plain(x.formulas[-1][1])}, is no known activation")
    if x.packed:
        raise Unsupported("what it reads has the steps of a mask moved to the front")
    if DIRECTION in x.axes or x.direction is not None:
        raise Unsupported("what it reads are the directions of a recurrent operator, not merged")


def canonical(rank):
    """The axes of a layer's output, in their order."""
    return {2: (BATCH, FEATURES), 3: (BATCH, TIME, FEATURES)}.get(rank) or (BATCH, *[f"axis_{k}" for k in range(1, rank - 1)], FEATURES)


def in_order(reader, node, x):
    """A Value with its axes as a layer would have them; if they were moved, a Permute does that."""
    need_merged(x)
    order = canonical(len(x.axes))
    if x.axes == order:
        return x
    if x.axes[0] != BATCH or sorted(x.axes) != sorted(order):
        raise Unsupported(f"its input has the axes {x.axes}")
    places = [order.index(name) for name in x.axes]
    below = x.permuted([x.axes.index(name) for name in order])
    return Value(reader.step(node, layers.Permute, {"dims": tuple(places[1:])}, source=below), order, x.sizes)
