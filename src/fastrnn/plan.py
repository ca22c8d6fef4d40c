"""Lowering: from layers to one native program on fixed buffers, for one input shape and a largest batch size."""

import contextlib
import warnings

import numpy as np

from ._native import Program
from .random import make_seed
from .variables import Changes, aligned


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

    Attributes:
        penalties: of activity regularizers, for the last batch that was run.
        calls_python: whether some of the operations are functions in Python.
        redirects: whether `program.forward` can write its output straight into another array.
    """

    def __init__(self, layers, input_shape, batch, training, version, **options):
        first = next((layer for layer in layers if layer.takes_ids is not None), None)
        self.dtype = next((layer.dtype for layer in layers), "float32")
        self.batch = batch
        self.training = training
        self._version, self._configuration, self.forgotten = version, Changes.configuration, False
        self.program = Program(self.dtype, batch, training, version)
        self.program.set_seed(make_seed() >> 1)
        ids = first is not None and first.takes_ids
        self.penalties = []
        self.data = None  # the arrays that the program reads
        self.asked = None  # for what it was last used: see `Steps._plan`
        self._used_by_functions = []
        self.input = self.array(*input_shape, dtype="int32" if ids else None)
        x = Tensor(self.input)
        for layer in layers:
            x = self.lower(layer, x, **options)
        self.output = x
        outputs = [t.value for t in (x if isinstance(x, tuple) else (x,))]
        self.results = [(value.shape[1:], value.dtype) for value in outputs]  # what a sample makes of each
        self.program.in_place_inputs = not any(np.shares_memory(a, self.input) for a in outputs + self._used_by_functions)
        self.redirects = self.program.in_place_inputs and len(outputs) == 1 and outputs[0].flags.c_contiguous
        self.calls_python = bool(self._used_by_functions)
        self.redirects = self.redirects and not any(np.shares_memory(a, outputs[0]) for a in self._used_by_functions)
        if self.redirects:
            self.program.set_output(outputs[0])

    @property
    def outdated(self):
        """Whether the model has forgotten it, a layer was told something else, or another model has taken some of the weights, which have other arrays now."""
        return self.forgotten or self._configuration != Changes.configuration or self._version.retired

    def lower(self, layer, x, **options):
        """Add a layer's operations; returns its output."""
        if x.mask is not None and not layer.supports_masking:
            warnings.warn(
                f"Layer '{layer.name}' (of type {type(layer).__name__}) was passed an input with a mask attached to it. However, this layer "
                "does not support masking and will therefore destroy the mask information. Downstream layers will not see the mask.",
                stacklevel=2,
            )
        if layer.takes_ids and x.value.dtype.kind == "f":
            raise ValueError(
                f"Layer '{layer.name}' (of type {type(layer).__name__}) takes ids, whole numbers, and the layer below it makes floats, through "
                "which nothing could be trained. Put it first in the model, where it gets the ids themselves."
            )
        out = layer.lower(self, x, **options)
        if layer.activity_regularizer is not None:
            for tensor in out if isinstance(out, tuple) else (out,):
                self.penalize(layer.activity_regularizer, tensor)
        return out

    def penalize(self, regularizer, x):
        """Add `regularizer` of a value, divided by the number of samples, to the loss."""
        penalties, place = self.penalties, len(self.penalties)
        penalties.append(0.0)

        def forward(n, training):
            penalties[place] = float(regularizer(x.value[:n])) / n

        def backward(n):
            if x.gradient is not None:
                x.gradient[:n] += regularizer.gradient(x.value[:n]) / n

        self.call(forward, backward, x.value)

    def call(self, forward, backward, *arrays):
        """Call Python at this place of the passes: `forward(n, training)` and `backward(n)`, which use the first n rows of `arrays`."""
        self.program.add_function(forward, backward)
        self._used_by_functions += arrays

    @contextlib.contextmanager
    def steps_as_samples(self, steps):
        """Inside of it layers are lowered for samples that are single steps: a batch of `batch * steps`."""
        self.batch *= steps
        self.program.repeat *= steps
        try:
            yield
        finally:
            self.batch //= steps
            self.program.repeat //= steps

    def array(self, *tail, dtype=None):
        """A buffer (batch, *tail)."""
        return np.ascontiguousarray(
            aligned(int(np.prod((self.batch, *tail))), dtype or self.dtype).reshape(self.batch, *tail)
        )

    def tensor(self, *tail, mask=None):
        """A new value (batch, *tail), with a gradient if this plan trains."""
        return Tensor(self.array(*tail), self.array(*tail) if self.training else None, mask)

    def like(self, x):
        """A new value of the shape and with the mask of another, with a gradient if that has one."""
        return Tensor(self.array(*x.shape[1:]), None if x.gradient is None else self.array(*x.shape[1:]), x.mask)

    def gradient_of(self, variable):
        """Where a layer's native operation adds the gradient of a weight; None if it is not trained."""
        return variable.gradient if self.training and variable is not None else None

    def gradients_of(self, *variables):
        """The same for weights whose gradients an operation makes together: if it is to make any, those that are not wanted go nowhere."""
        gradients = [self.gradient_of(v) for v in variables]
        if all(g is None for g in gradients):
            return gradients
        return [np.zeros_like(v.value) if g is None and v is not None else g for g, v in zip(gradients, variables)]


def value_of(variable):
    """The array of an optional weight."""
    return None if variable is None else variable.value
