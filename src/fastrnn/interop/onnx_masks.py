"""Masks in ONNX graphs: how they are written, and how they are recognised when a file is read."""

import numpy as np

from .onnx_graph import Graph
from .onnx_values import formula


class Mask:
    """Which steps count, as a value of booleans (batch, timesteps), and what recurrent layers make of it.

    ONNX's recurrent operators know no masks but lengths. As a skipped step changes no state, they are run on the steps that count,
    moved to the front (`pack`); `unpack_*` move their outputs back.
    """

    def __init__(self, graph, name):
        self.graph, self.name = graph, name
        self.order = None

    def prepare(self):
        """The nodes that all recurrent layers under this mask share."""
        g = self.graph
        if self.order is not None:
            return
        ones = g.add("Cast", self.name, to=g.element_type(np.int64))
        self.upto = g.add("CumSum", ones, g.int(1))  # how many steps counted, this one included
        self.before = g.add("Sub", self.upto, ones)
        self.length = g.reduce("ReduceSum", ones, 1, keepdims=1)
        self.any = g.add("Greater", self.length, g.ints(0))
        # A runtime may refuse length 0: such a row runs one step, whose results nothing reads.
        lengths = g.add("Squeeze", g.add("Max", self.length, g.ints(1)), g.ints(1))
        self.lengths = g.add("Cast", lengths, to=g.element_type(np.int32))
        steps = g.add("Gather", g.add("Shape", self.name), g.ints(1))
        position = g.add("Range", g.int(0), g.add("Squeeze", steps, g.ints(0)), g.int(1))
        skipped = g.add("Mul", g.add("Sub", g.ints(1), ones), steps)
        key = g.add("Add", position, skipped)  # the steps that count in their order, then the others
        _, order = g.add("TopK", key, steps, axis=1, largest=0, sorted=1, outputs=2)
        self.order = g.add("Unsqueeze", order, g.ints(2))

    def pack(self, x):
        """x (batch, timesteps, features) with the steps that count at the front."""
        self.prepare()
        return self.graph.add("GatherND", x, self.order, batch_dims=1)

    def unpack(self, y, reverse):
        """Outputs of a packed run at their places: a skipped step repeats the output processed before it, or is 0 where there is none."""
        g = self.graph
        after_zero = g.add("Pad", y, g.ints(0, 1, 0, 0, 0, 0))
        return g.add("GatherND", after_zero, self.places(reverse), batch_dims=1)

    def places(self, reverse):
        """Which of the packed outputs each step gets, counted from 1; 0 is none."""
        g, place = self.graph, self.upto
        if reverse:
            left = g.add("Less", self.before, self.length)
            place = g.add("Where", left, g.add("Add", self.before, g.ints(1)), g.ints(0))
        return g.add("Unsqueeze", place, g.ints(2))

    def zero_skipped(self, y):
        """y (batch, timesteps, units) with 0 at the steps that are skipped."""
        return self._select(self.steps(), y)

    def steps(self):
        """The mask, as wide as features."""
        return self.graph.add("Unsqueeze", self.name, self.graph.ints(2))

    def weights(self):
        """1 at the steps that count, as wide as features, else 0."""
        return self.graph.add("Cast", self.steps(), to=self.graph.element_type())

    def count(self, keepdims):
        """How many steps count (batch, [1,] 1), as floating-point numbers."""
        return self.graph.reduce("ReduceSum", self.weights(), 1, keepdims=keepdims)

    def zero_if_none(self, state):
        """A final state (batch, units), 0 for sequences of which no step counts."""
        return self._select(self.any, state)

    def zero_if_skipped(self, output, step):
        """A last output (batch, units), 0 where that step is skipped."""
        return self._select(self.at(step), output)

    def at(self, step):
        """The mask of one time step (batch, 1)."""
        return self.graph.add("Gather", self.name, self.graph.ints(step), axis=1)

    def _select(self, condition, value):
        return self.graph.add("Where", condition, value, self.graph.floats(0.0))


def differs(g, x, value):
    """The mask of `Masking`: the steps of x (batch, timesteps, features) of which any feature differs from a value."""
    same = g.add("Cast", g.add("Equal", x, g.floats(value)), to=g.element_type())
    return g.add("Less", g.reduce("ReduceMin", same, 2), g.floats(0.5))


class FromMask:
    """What a graph that is being read computes from a mask.

    Attributes:
        owner: an object that stands for the mask.
        text: the formula of it, "m" for the mask itself and "e" for the comparison that a `Masking` begins with.
    """

    def __init__(self, owner, text):
        self.owner, self.text = owner, text


class Owner:
    """A mask in a graph that is being read: of an Embedding's ids, or of what a `Masking` compares with `value`."""

    def __init__(self, source, value=None):
        self.source, self.value = source, value


def text_of(op, inputs, attributes, output=0):
    """The formula of a node on texts and small constants."""
    texts = [str(a.tolist()) if isinstance(a, np.ndarray) else a for a in inputs]
    return formula(op, texts, attributes) + (f":{output}" if output else "")


def roles(onnx, opset):
    """{text: what it is for} of all that is computed from a mask: what the functions above write, read back."""
    g = Graph(onnx, opset)
    mask = Mask(g, "m")
    mask.prepare()
    names = {
        mask.order: "order", mask.lengths: "lengths", mask.any: "any", mask.steps(): "steps", mask.at(0): "first", mask.at(-1): "last",
        mask.places(False): "places", mask.places(True): "places backwards", differs(g, "x", 0.0): "mask",
        mask.weights(): "weights", mask.count(0): "count", mask.count(1): "count kept",
    }  # fmt: skip
    values = {"m": "m", "x": "x"} | {t.name: onnx.numpy_helper.to_array(t) for t in g.initializers}
    found = {}
    for node in g.nodes:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for k, name in enumerate(node.output):
            values[name] = "e" if node.op_type == "Equal" else text_of(node.op_type, [values[n] for n in node.input], attributes, k)
            if name in names:
                found[values[name]] = names[name]
    return found
