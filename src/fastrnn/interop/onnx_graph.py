"""A graph of ONNX nodes while it grows, and what flows through it."""

import numpy as np


class Flow:
    """The output of a layer in the graph: name of the value, its shape (batch first, None where it varies) and its mask,
    an `onnx_masks.Mask` or None."""

    def __init__(self, name, shape, mask=None):
        self.name, self.shape, self.mask = name, shape, mask


class Graph:
    """Nodes and initializers; `add` returns the name of a node's output, which is unique.

    Attributes:
        onnx: the package.
        opset: version of the operators.
        scope: what names of values start with: the layer at hand.
    """

    dtype = np.dtype("float32")  # of all floating-point numbers: no runtime has the recurrent operators in float64

    def __init__(self, onnx, opset):
        self.onnx, self.opset = onnx, opset
        self.nodes, self.initializers, self.scope = [], [], ""
        self._names, self._constants = set(), {}

    def unique(self, name):
        """`name`, with a number if it is taken."""
        base, k = name, 1
        while name in self._names:
            name, k = f"{base}_{k}", k + 1
        self._names.add(name)
        return name

    def add(self, op, *inputs, outputs=1, **attributes):
        """Add a node; returns the name of its output, or the names of several."""
        name = self.unique(f"{self.scope}/{op}")
        results = [name if k == 0 else self.unique(f"{name}:{k}") for k in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), results, name=name, **attributes))
        return results[0] if outputs == 1 else results

    def weight(self, array, name):
        """A weight of the layer at hand, in the type of the graph."""
        name = self.unique(f"{self.scope}/{name}")
        self.initializers.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array, self.dtype), name))
        return name

    def constant(self, array):
        """A small array that nodes share."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.unique("constant")
            self.initializers.append(self.onnx.numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def floats(self, *values):
        """A constant of the graph's type: a number, or a vector of several."""
        return self.constant(np.array(values[0] if len(values) == 1 else values, self.dtype))

    def ints(self, *values):
        """A vector of whole numbers."""
        return self.constant(np.array(values, np.int64))

    def int(self, value):
        """A whole number without axes."""
        return self.constant(np.array(value, np.int64))

    def reduce(self, op, x, *axes, keepdims=0):
        """A reduction; all but ReduceSum took their axes as an attribute before opset 18."""
        if self.opset < 18 and op != "ReduceSum":
            return self.add(op, x, axes=axes, keepdims=keepdims)
        return self.add(op, x, self.ints(*axes), keepdims=keepdims)

    def flip(self, x, axis=1):
        """Reverse an axis."""
        return self.add("Slice", x, self.ints(-1), self.ints(np.iinfo(np.int64).min), self.ints(axis), self.ints(-1))

    def element_type(self, dtype=None):
        """The number by which ONNX knows a NumPy type."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype or self.dtype))
