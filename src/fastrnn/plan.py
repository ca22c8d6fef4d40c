"""Lowering: from layers to one native program on fixed buffers, for one input shape and a largest batch size."""

import numpy as np

from ._native import Program
from .random import make_seed
from .variables import aligned


class Tensor:
    """What flows between layers in a plan: a value, its gradient (None where nobody needs it) and the mask of its steps.

    value, gradient: (batch, ...) arrays; mask: (batch, timesteps) uint8 or None.
    """

    __slots__ = ("gradient", "mask", "value")

    def __init__(self, value, gradient=None, mask=None):
        self.value = value
        self.gradient = gradient
        self.mask = mask

    @property
    def shape(self):
        return self.value.shape

    def reshape(self, *tail):
        """The same memory in another shape (batch, *tail), without the mask."""
        shape = (self.value.shape[0], *tail)
        gradient = self.gradient
        return Tensor(self.value.reshape(shape), None if gradient is None else gradient.reshape(shape))


class Plan:
    """A program for a chain of layers.

    Args:
        layers: built layers, in order.
        input_shape: without the batch.
        batch: the largest batch that will be run.
        training: whether gradients are wanted.
        options: keyword arguments for the `lower` of a single layer (`initial_state`, `mask`).
    """

    def __init__(self, layers, input_shape, batch, training, version, **options):
        first = next((layer for layer in layers if layer.takes_ids is not None), None)
        self.dtype = next((layer.dtype for layer in layers), "float32")
        self.batch = batch
        self.training = training
        self.program = Program(self.dtype, batch, training, version)
        self.program.set_seed(make_seed() >> 1)
        ids = first is not None and first.takes_ids
        self.input = self.array(*input_shape, dtype="int32" if ids else None)
        x = Tensor(self.input)
        for layer in layers:
            x = self.lower(layer, x, **options)
        self.output = x
        outputs = x if isinstance(x, tuple) else (x,)
        self.program.in_place_inputs = not any(np.shares_memory(t.value, self.input) for t in outputs)
        if not isinstance(x, tuple) and self.program.in_place_inputs and x.value.flags.c_contiguous:
            self.program.set_output(x.value)

    def lower(self, layer, x, **options):
        """Add a layer's operations; returns its output."""
        return layer.lower(self, x, **options)

    def array(self, *tail, dtype=None):
        """A buffer (batch, *tail)."""
        return np.ascontiguousarray(
            aligned(int(np.prod((self.batch, *tail))), dtype or self.dtype).reshape(self.batch, *tail)
        )

    def tensor(self, *tail, mask=None):
        """A new value (batch, *tail), with a gradient if this plan trains."""
        return Tensor(self.array(*tail), self.array(*tail) if self.training else None, mask)

    def gradient_of(self, variable):
        """Where a layer's native operation adds the gradient of a weight; None if it is not trained."""
        return variable.gradient if self.training and variable is not None else None


def value_of(variable):
    """The array of an optional weight."""
    return None if variable is None else variable.value
