"""SimpleRNNCell, LSTMCell, GRUCell and StackedRNNCells: what `RNN` runs over a sequence.

The equations are in csrc/cell_*.inc.h, and in float64 NumPy in tests/reference.py.
"""

import numpy as np

from .. import activations, constraints, initializers, regularizers
from ..plan import Tensor, value_of
from ..variables import Changes
from .base import Layer, positive_int
from .cell_in_python import PythonCell, initial_state, output_size
from .core import serialized_parts


class Holder(Layer):
    """A layer whose weights are those of layers inside it. Subclasses give `parts`, the layers."""

    @property
    def parts(self):
        """The layers inside, in the order of their weights."""
        raise NotImplementedError

    @property
    def variables(self):
        return list(dict.fromkeys(v for part in self.parts for v in part.variables))

    @Layer.trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        Changes.trainability += 1
        for part in self.parts:
            part.trainable = value

    def _apply_trainable(self):
        """After `build`: parts that are frozen on their own stay so."""
        if not self._trainable:
            for v in self.variables:
                v.trainable = False

    def _prefix_paths(self):
        for v in self.variables:
            v.path = f"{self.name}/{v.path}"


class Cell(Layer):
    """What the three cells share: configuration, weights, and the native operation that runs them over a sequence."""

    native = None  # name of the native cell
    gates = 1
    states = 1
    takes_ids = False

    def __init__(self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", *, kernel_regularizer=None,
                 recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None, recurrent_constraint=None,
                 bias_constraint=None, dropout=0.0, recurrent_dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = positive_int(units, "units")
        self.activation = _native_activation(activation, "activation")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = _clamped_rate(dropout, "dropout")
        self.recurrent_dropout = _clamped_rate(recurrent_dropout, "recurrent_dropout")
        self.seed = seed
        self.kernel = self.recurrent_kernel = self.bias = None

    @property
    def chain(self):
        """The cells that follow each other within a step: this one."""
        return [self]

    @property
    def state_size(self):
        """Units of the state, or a list of them where the cell has several states."""
        return self.units

    @property
    def output_size(self):
        """Units of the output."""
        return self.units

    def get_initial_state(self, batch_size=None):
        """A list of zeros (batch_size, units), the states before the first step."""
        return [np.zeros((batch_size, self.units), self.dtype) for _ in range(self.states)]

    def check_input(self, input_shape):
        if len(input_shape) != 2:
            raise self.incompatible("ndim=2", f"ndim={len(input_shape)}", input_shape)
        if self.built and input_shape[-1] not in (None, self.kernel.shape[0]):
            raise self.incompatible(f"axis -1 of input shape to have value {self.kernel.shape[0]}", f"{input_shape[-1]}", input_shape)

    def build(self, input_shape):
        features, columns = input_shape[-1], self.gates * self.units
        self.kernel = self.add_weight(
            (features, columns), self.kernel_initializer, "kernel",
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            (self.units, columns), self.recurrent_initializer, "recurrent_kernel",
            regularizer=self.recurrent_regularizer, constraint=self.recurrent_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                self._bias_shape(), self._initial_bias, "bias", regularizer=self.bias_regularizer, constraint=self.bias_constraint
            )

    def _bias_shape(self):
        return (self.gates * self.units,)

    def _initial_bias(self, shape, dtype=None):
        return self.bias_initializer(shape, dtype=dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    # -- running -------------------------------------------------------------------------------------------------------------

    def __call__(self, inputs, states, training=False):
        """One step. inputs: (batch, features); states: as from `get_initial_state`. Returns the output and the new states."""
        several = isinstance(states, (list, tuple))
        y, *new = super().__call__(inputs, training, states=states if several else [states])
        return y, new if several else new[0]

    def lower(self, plan, x, states=None):
        if states is None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' is a cell: it runs one time step from states, and is no layer of a model. "
                "Wrap it, as in `RNN(cell)`."
            )
        y, new = plan.tensor(self.units), [plan.array(self.units) for _ in range(self.states)]
        given = state_arrays(states, [self.units] * self.states, plan, self)
        self.lower_sequence(plan, x.reshape(1, *x.shape[1:]), last=y, state_in=given, state_out=new)
        return (y, *[Tensor(array) for array in new])

    def lower_sequence(self, plan, x, *, sequence=None, last=None, mask=None, state_in=(), state_out=(), add_dx=False,
                       reverse_x=False, reverse_y=False, zero_output=False):
        """Add the native operation.

        Args:
            x: Tensor (batch, timesteps, features).
            sequence, last: Tensors for the outputs of all steps, and for the last one; either may be None.
            mask: (batch, timesteps) uint8, or None.
            state_in, state_out: arrays (batch, units) for the states before and after; nothing stands for zeros, and for nowhere.
            add_dx: x has another reader, processed before in the backward pass.
            reverse_x, reverse_y: read the inputs, write the outputs in reverse order.
            zero_output: output 0 at skipped steps.
        """
        nothing = Tensor(None)
        sequence, last = sequence or nothing, last or nothing
        inputs, dinputs, recurrent = self._lower_dropout(plan, x, add_dx)
        dkernel, drecurrent, dbias = plan.gradients_of(self.kernel, self.recurrent_kernel, self.bias)
        plan.program.add_rnn(
            cell=self.native, activation=activations.native_name(self.activation),
            recurrent_activation=activations.native_name(getattr(self, "recurrent_activation", activations.linear)),
            x=inputs, dx=dinputs, add_dx=add_dx and dinputs is x.gradient, mask=mask, recurrent_dropout=recurrent,
            y=sequence.value, dy=sequence.gradient, y_last=last.value, dy_last=last.gradient,
            kernel=self.kernel.value, recurrent_kernel=self.recurrent_kernel.value, bias=value_of(self.bias),
            dkernel=dkernel, drecurrent_kernel=drecurrent, dbias=dbias, state_in=state_in, state_out=state_out,
            reverse_x=reverse_x, reverse_y=reverse_y, zero_output_for_mask=zero_output,
        )

    def _lower_dropout(self, plan, x, add_dx):
        """Inputs with dropout applied, their gradient, and the masks of the recurrent inputs.

        Masks are drawn once per call and sample and shared by all steps. In Keras's implementation 1, which recurrent dropout makes
        obligatory, every gate has masks of its own; else one input mask serves all gates (Gal and Ghahramani, 2016).
        """
        steps, features = x.shape[1:]
        inputs, dinputs, recurrent = x.value, x.gradient, None
        if not plan.training:
            return inputs, dinputs, recurrent
        copies = self.gates if self._masks_by_gate() else 1
        if self.dropout:
            inputs = _copies(plan, copies, steps, features)
            dinputs = None if x.gradient is None else _copies(plan, copies, steps, features)
            noise = _copies(plan, copies, features)
            plan.program.add_dropout(
                rate=self.dropout, noise=noise, x=x.value, dx=x.gradient, y=inputs, dy=dinputs, repeat=steps, add_dx=add_dx
            )
            if copies == 1:
                inputs, dinputs = inputs[0], None if dinputs is None else dinputs[0]
        if self.recurrent_dropout:
            recurrent = _copies(plan, self.gates, self.units)
            plan.program.add_dropout(rate=self.recurrent_dropout, noise=recurrent)
        return inputs, dinputs, recurrent

    def _masks_by_gate(self):
        return False

    # -- configuration -------------------------------------------------------------------------------------------------------

    def get_config(self):
        config = super().get_config()
        config |= {
            "units": self.units, "activation": activations.serialize(self.activation), "use_bias": self.use_bias,
            "dropout": self.dropout, "recurrent_dropout": self.recurrent_dropout, "seed": self.seed,
        }
        return config | serialized_parts(self, ("kernel", "recurrent", "bias"))


class GatedCell(Cell):
    """What LSTMCell and GRUCell have beyond SimpleRNNCell: gates with an activation of their own, and Keras's `implementation`."""

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", *args, implementation=2, **kwargs):
        super().__init__(units, activation, *args, **kwargs)
        self.recurrent_activation = _native_activation(recurrent_activation, "recurrent_activation")
        self.implementation = 1 if self.recurrent_dropout else implementation

    def _masks_by_gate(self):
        return self.implementation == 1

    def get_config(self):
        return {**super().get_config(), "recurrent_activation": activations.serialize(self.recurrent_activation)}


class SimpleRNNCell(Cell):
    """One step of `SimpleRNN`.

    Args:
        units: size of the state.
        activation: default "tanh".
        Others as in `LSTMCell`; there is no `recurrent_activation`.

    Called on arrays, `cell(x, states)` takes x (batch, features) and states `[h]`, and returns `(output, [h])`, all (batch, units).

    >>> cell = SimpleRNNCell(4)
    >>> y, states = cell(np.ones((2, 3)), cell.get_initial_state(2))
    >>> y.shape, len(states)
    ((2, 4), 1)
    """

    native = "simple_rnn"


class LSTMCell(GatedCell):
    """One step of `LSTM`, for `RNN(LSTMCell(...))` and `StackedRNNCells`.

    Args:
        units: size of the state.
        activation: default "tanh", of the candidate and of the output.
        recurrent_activation: default "sigmoid", of the gates.
        use_bias, unit_forget_bias, kernel_initializer, recurrent_initializer, bias_initializer, kernel_regularizer,
            recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint, bias_constraint, dropout,
            recurrent_dropout, seed, implementation: as in `LSTM`.

    Called on arrays, `cell(x, states)` takes x (batch, features) and states `[h, c]`, and returns `(output, [h, c])`, all
    (batch, units). Weights as in `LSTM`.

    Raises:
        ValueError: units that are not a positive integer, unknown arguments or activations, inputs that do not fit.

    >>> cell = LSTMCell(4)
    >>> y, (h, c) = cell(np.ones((2, 3)), cell.get_initial_state(2))
    >>> y.shape, c.shape, cell.state_size
    ((2, 4), (2, 4), [4, 4])
    """

    native, gates, states = "lstm", 4, 2

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True, **kwargs):
        super().__init__(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, **kwargs
        )
        self.unit_forget_bias = bool(unit_forget_bias)

    @property
    def state_size(self):
        """Units of h and of c."""
        return [self.units, self.units]

    def _initial_bias(self, shape, dtype=None):
        bias = super()._initial_bias(shape, dtype)
        if self.unit_forget_bias:
            bias[self.units : 2 * self.units] = 1
        return bias

    def get_config(self):
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}


class GRUCell(GatedCell):
    """One step of `GRU`.

    Args:
        units: size of the state.
        reset_after: which of the two forms of `GRU`.
        Others as in `LSTMCell`.

    Called on arrays, `cell(x, states)` takes x (batch, features) and states `[h]`, and returns `(output, [h])`, all (batch, units).

    >>> cell = GRUCell(4)
    >>> y, states = cell(np.ones((2, 3)), cell.get_initial_state(2))
    >>> bool((y == states[0]).all())
    True
    """

    gates = 3

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", *, reset_after=True, **kwargs):
        super().__init__(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, **kwargs
        )
        self.reset_after = bool(reset_after)

    @property
    def native(self):
        return "gru" if self.reset_after else "gru_reset_before"

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}


class StackedRNNCells(Holder):
    """Several cells as one: within a step, each takes the output of the one before.

    Args:
        cells: a list of cells.

    `RNN([cell, ...])` makes one. The states are a list with an entry for each cell.

    >>> cells = StackedRNNCells([LSTMCell(4), GRUCell(3)])
    >>> y, states = cells(np.ones((2, 5)), cells.get_initial_state(2))
    >>> y.shape, cells.state_size
    ((2, 3), [[4, 4], 3])
    """

    takes_ids = False

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        for cell in cells:
            check_cell(
                cell, f"All cells must have a `call` method. Received cell without a `call` method: {cell}",
                f"All cells must have a `state_size` attribute. Received cell without a `state_size`: {cell}",
            )
        self.cells = list(cells)

    @property
    def chain(self):
        """The cells that follow each other within a step."""
        return [inner for cell in self.cells for inner in chain_of(cell)]

    @property
    def state_size(self):
        """The `state_size` of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self):
        """Units of the last cell's output."""
        return output_size(self.cells[-1])

    @property
    def parts(self):
        """The cells."""
        return self.cells

    def get_initial_state(self, batch_size=None):
        """A list with the initial state of each cell."""
        return [initial_state(cell, batch_size) for cell in self.cells]

    def check_input(self, input_shape):
        self.cells[0].check_input(input_shape)

    def build(self, input_shape):
        for cell in self.cells:
            cell.ensure_built(input_shape)
            input_shape = (input_shape[0], output_size(cell))
        self._prefix_paths()

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_size)

    def __call__(self, inputs, states, training=False):
        """One step of all cells. Returns the output and the new states, of a single cell without the list around them."""
        new_states = []
        for cell, state in zip(self.cells, states):
            inputs, new = cell(inputs, state, training=training)
            new_states.append(new)
        return inputs, new_states[0] if len(new_states) == 1 else new_states

    def get_config(self):
        from . import serialize

        return {**super().get_config(), "cells": [serialize(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from . import deserialize

        return cls(**{**config, "cells": [deserialize(cell, custom_objects) for cell in config["cells"]]})


def chain_of(cell):
    """The cells that follow each other within a step of a cell, as things that can be lowered."""
    return cell.chain if isinstance(cell, (Cell, StackedRNNCells)) else [PythonCell(cell)]


def check_cell(cell, no_call, no_state_size):
    """Raise ValueError for what `RNN` cannot run; the messages are Keras's."""
    if isinstance(cell, (Cell, StackedRNNCells)):
        return
    if not hasattr(cell, "call") and not hasattr(cell, "forward"):
        raise ValueError(no_call)
    if not hasattr(cell, "state_size"):
        raise ValueError(no_state_size)
    if not isinstance(cell, Layer) or type(cell).forward is Layer.forward:
        raise ValueError(
            "A cell of your own must be a `fastrnn.layers.Layer` with a method `forward(x, states)`, NumPy in and out, and for training "
            f"`backward(x, states, y, dy, dstates)`. Received: cell={cell}"
        )


def flatten(structure):
    """The leaves of nested lists, in order."""
    return [leaf for part in structure for leaf in flatten(part)] if isinstance(structure, (list, tuple)) else [structure]


def state_arrays(states, sizes, plan, layer):
    """The user's states as contiguous arrays (batch, size).

    Raises:
        ValueError: if their number or shapes are others.
    """
    given = flatten(states)
    if len(given) != len(sizes):
        raise ValueError(f"The states of layer '{layer.name}' must be a list of {len(sizes)} arrays. Received: {len(given)} arrays")
    arrays = []
    for state, size in zip(given, sizes):
        array = np.require(state, layer.dtype, "CA")
        if array.shape != (plan.batch, size):
            raise ValueError(f"A state of layer '{layer.name}' must have shape {(plan.batch, size)}. Received: {array.shape}")
        arrays.append(array)
    return arrays


def _native_activation(identifier, argument):
    function = activations.get(identifier)
    activations.native_name(function, argument)
    return function


def _clamped_rate(value, argument):
    """A share between 0 and 1; what is outside of it is clamped, as Keras does."""
    if not isinstance(value, (int, float, np.number)):
        raise TypeError(f"Argument `{argument}` must be a number between 0 and 1. Received: {argument}={value!r}")
    return min(1.0, max(0.0, float(value)))


def _copies(plan, copies, *tail):
    """A buffer (copies, batch, *tail)."""
    return plan.array(copies, *tail).reshape(copies, plan.batch, *tail)


__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]
