"""RNN, and SimpleRNN, LSTM and GRU, which are RNN with a cell of their own."""

import warnings

from .. import regularizers
from .._identifiers import to_snake_case
from .._sharing import belongs_to
from ..plan import Tensor
from ..variables import Variable
from .cell_in_python import PythonCell, initial_state, output_size
from .cells import GRUCell, Holder, LSTMCell, SimpleRNNCell, StackedRNNCells, chain_of, check_cell, flatten, state_arrays


class RNN(Holder):
    """Runs a cell over the time steps of a sequence.

    Args:
        cell: a SimpleRNNCell, LSTMCell, GRUCell, StackedRNNCells, a cell of your own, or a list of cells, which are stacked.
        return_sequences: return the output of every step, not of the last alone.
        return_state: return also the final states: (output, *states).
        go_backwards: process the sequence from its end; outputs come in the order of processing.
        stateful: start each batch from the final states of the batch before; the batch size must be fixed.
        unroll: accepted for Keras's sake; it changes no number.
        zero_output_for_mask: output 0 at skipped steps instead of repeating the last output.

    Shapes: input (batch, timesteps, features); output (batch, units) or (batch, timesteps, units). Weights: those of the cells.

    Called on an array it takes also `initial_state`, a list of arrays (batch, units) (of such lists for stacked cells), `mask` (batch,
    timesteps) and `training`.

    A cell of your own is a `Layer` with `state_size` (units of the state, or a list), `forward(x, states)` for one step, which returns the
    output and the list of new states, and, to train, `backward(x, states, y, dy, dstates)`: it returns the gradients of x and of the
    states from those of the output y and of the new states, and hands those of weights to `add_gradient`. All see NumPy arrays (batch,
    ...) that must not be changed.

    Attributes:
        cell: the cell.
        state_size: list of the units of each state.
        states: where `stateful`, a list of the states between two batches, else None.

    Raises:
        ValueError: if `cell` is no cell, for unknown arguments and inputs that do not fit.

    >>> import numpy as np
    >>> layer = RNN([LSTMCell(4), GRUCell(3)], return_sequences=True)
    >>> layer(np.ones((2, 5, 1))).shape
    (2, 5, 3)

    >>> from fastrnn.layers import Layer
    >>> class Sum(Layer):
    ...     state_size = 3
    ...     def forward(self, x, states):
    ...         return states[0] + x, [states[0] + x]
    ...     def backward(self, x, states, y, dy, dstates):
    ...         return dy + dstates[0], [dy + dstates[0]]
    >>> RNN(Sum())(np.ones((1, 5, 3))).tolist()
    [[5.0, 5.0, 5.0]]
    """

    takes_ids = False

    def __init__(self, cell, return_sequences=False, return_state=False, go_backwards=False, stateful=False, unroll=False,
                 zero_output_for_mask=False, **kwargs):
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        check_cell(
            cell, f"Argument `cell` should have a `call` method. Received: cell={cell}",
            "The RNN cell should have a `state_size` attribute (single integer or list of integers, one integer per RNN state). "
            f"Received: cell={cell}",
        )
        super().__init__(**kwargs)
        dtypes = [inner.dtype for inner in chain_of(cell)]
        if set(dtypes) != {self.dtype}:
            raise ValueError(f"Layer '{self.name}' and its cells must have the same dtype. Received: dtype={self.dtype!r} and cells with {dtypes}")
        self.cell = cell
        # truth values: return_sequences="True" is true, as in Keras
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.unroll = bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.states = self._features = None

    @property
    def keeps_mask(self):
        return self.return_sequences

    def compute_mask(self, inputs, previous_mask=None):
        mask = super().compute_mask(inputs, previous_mask)
        return [mask, *(None for _ in self.state_size)] if self.return_state else mask

    @property
    def needs_sequence(self):
        if any(isinstance(cell, PythonCell) for cell in chain_of(self.cell)):
            return "its cell is written in Python"
        return "go_backwards=True starts at the end of the sequence" if self.go_backwards else None

    def _input_rank(self):
        return 3

    # -- shapes, weights and states ------------------------------------------------------------------------------------------

    @property
    def state_size(self):
        """List of the units of each state; of lists, where a cell of a stack has several."""
        size = self.cell.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def check_input(self, input_shape):
        if len(input_shape) != 3:
            hint = ""
            if len(input_shape) == 2:
                hint = (
                    ". A recurrent layer takes (batch, timesteps, features): set return_sequences=True on the recurrent layer below, "
                    "or reshape the data with x.reshape(len(x), timesteps, features)"
                )
            raise self.incompatible("ndim=3", f"ndim={len(input_shape)}", input_shape, hint)
        batch, steps, features = input_shape
        if features is None and not self.built:
            raise ValueError(f"Layer '{self.name}' needs to know the number of features. Received: input_shape={tuple(input_shape)}")
        if features == 0 or steps == 0:
            what = "features" if features == 0 else "time steps"
            raise ValueError(f"Layer '{self.name}' cannot take sequences without {what}. Received: input_shape={tuple(input_shape)}")
        expected = self._features
        if expected not in (None, features):
            raise ValueError(
                f"Input 0 of layer '{self.name}' is incompatible with the layer: expected axis -1 of input shape to have value "
                f"{expected}, but received input with shape {tuple(input_shape)}"
            )
        if self.states is not None and batch not in (None, self.state_batch):
            raise ValueError(
                "If an RNN is stateful, the batch size of the input sequences must be the same as the batch size of the initial state "
                f"of layer '{self.name}'. \n- Expected batch size: {self.state_batch}\n- Received batch size: {batch}"
            )

    def build(self, input_shape):
        self.cell.ensure_built((input_shape[0], input_shape[-1]))
        self._features = input_shape[-1]
        self._prefix_paths()
        if self.stateful:
            batch = input_shape[0] if input_shape[0] is not None else (self.input_spec_shape or (None,))[0]
            if batch is None:
                raise ValueError(
                    "When using `stateful=True` in a RNN, the batch size must be static. Found dynamic batch size: "
                    f"sequence.shape={tuple(input_shape)}. Give it with `Input(batch_shape=(batch, timesteps, features))` or "
                    "`batch_input_shape=`."
                )
            self.states = _each(self._make_state, self.get_initial_state(batch))

    def _make_state(self, value):
        variable = Variable(value, "rnn_state", trainable=False)
        variable.path = f"{self.name}/rnn_state"
        return variable

    @property
    def parts(self):
        """The cell."""
        return [self.cell]

    @property
    def state_batch(self):
        """The batch size that the states of a stateful layer were made for, else None."""
        return None if self.states is None else flatten(self.states)[0].shape[0]

    def get_initial_state(self, batch_size):
        """The states before the first step, arrays of zeros (batch_size, units) in the structure of `state_size`."""
        return initial_state(self.cell, batch_size)

    def reset_state(self):
        """Set the states of a stateful layer to zero."""
        for state in flatten(self.states or []):
            state.value[...] = 0

    reset_states = reset_state

    def compute_output_shape(self, input_shape):
        batch, units = input_shape[0], output_size(self.cell)
        out = (batch, input_shape[1], units) if self.return_sequences else (batch, units)
        return (out, *[(batch, n) for n in flatten(self.state_size)]) if self.return_state else out

    # -- running -------------------------------------------------------------------------------------------------------------

    def __call__(self, sequences, initial_state=None, mask=None, training=False):
        out = super().__call__(sequences, training, initial_state=initial_state, mask=mask)
        return (out[0], *self.pack_states(out[1:])) if self.return_state else out

    def pack_states(self, arrays):
        """Copies of flat states in the structure of `get_initial_state`: a stateful layer goes on in its own arrays."""
        arrays = iter(arrays)
        return _each(lambda _: next(arrays).copy(), self.get_initial_state(0))

    def lower(self, plan, x, initial_state=None, mask=None):
        mask = self.mask_of(plan, x, mask)
        y = self.output_tensor(plan, x)
        states = self.lower_into(plan, x, y, mask, initial_state)
        if self.return_sequences:
            y.mask = mask
        return (y, *states) if self.return_state else y

    def output_tensor(self, plan, x):
        """A Tensor for the outputs."""
        steps = (x.shape[1],) if self.return_sequences else ()
        return plan.tensor(*steps, output_size(self.cell))

    def step_states(self, plan):
        """Arrays for the states of a stream."""
        return [plan.array(n) for n in flatten(self.state_size)]

    def lower_step(self, plan, x, state):
        """One step of a stream (see `streaming`): x is (batch, 1, features), `state` the arrays that are read and then written.

        The output is h of the last cell's state, which at a masked step is the last output, as in a whole sequence.
        """
        own_output = x.mask is not None and self.zero_output_for_mask
        if own_output:
            y = self.output_tensor(plan, x)
        else:
            steps = (1,) if self.return_sequences else ()
            y = Tensor(state[-self.cell.chain[-1].states].reshape(plan.batch, *steps, self.cell.output_size))
        self.lower_into(plan, x, y if own_output else None, x.mask, state, final_state=state)
        if self.return_sequences:
            y.mask = x.mask
        return y

    def lower_into(self, plan, x, y, mask, initial_state=None, *, final_state=None, reverse_output=False, add_dx=False):
        """The native operations, one for each cell; y is the whole sequence or the last output, or None.

        final_state: arrays for the final states, instead of the layer's own or new ones; reverse_output: write the outputs in reverse
        order; add_dx: x has another reader, processed before in the backward pass. Returns the final states as Tensors.
        """
        sizes, finals = flatten(self.state_size), final_state
        given = [] if initial_state is None else state_arrays(initial_state, sizes, plan, self)
        if finals is None and self.stateful:
            finals = [state.value for state in flatten(self.states)]
            given = given or finals
        elif finals is None:
            finals = [plan.array(n) for n in sizes] if self.return_state else []
        *below, top = chain_of(self.cell)
        at, common = 0, {"mask": mask, "reverse_x": self.go_backwards}
        for cell in below:  # their outputs lie in the order of the input, for the mask's sake
            sequence, end = plan.tensor(x.shape[1], cell.units), at + cell.states
            cell.lower_sequence(
                plan, x, sequence=sequence, state_in=given[at:end], state_out=finals[at:end], add_dx=add_dx,
                reverse_y=self.go_backwards, **common
            )
            x, at, add_dx = sequence, end, False
        top.lower_sequence(
            plan, x, **{"sequence" if self.return_sequences else "last": y}, state_in=given[at:], state_out=finals[at:], add_dx=add_dx,
            reverse_y=reverse_output, zero_output=self.zero_output_for_mask, **common
        )
        return [Tensor(array) for array in finals]

    # -- configuration -------------------------------------------------------------------------------------------------------

    def get_config(self):
        from . import serialize

        return {**self._loop_config(), "cell": serialize(self.cell)}

    def _loop_config(self):
        return super().get_config() | {
            "return_sequences": self.return_sequences, "return_state": self.return_state, "go_backwards": self.go_backwards,
            "stateful": self.stateful, "unroll": self.unroll, "zero_output_for_mask": self.zero_output_for_mask,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from . import deserialize

        return cls(**{**config, "cell": deserialize(config["cell"], custom_objects)})


def _each(function, structure):
    """The structure of lists with `function` of each leaf."""
    return [_each(function, part) for part in structure] if isinstance(structure, list) else function(structure)


_CELL_ARGUMENTS = (
    "kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "kernel_constraint", "recurrent_constraint", "bias_constraint",
    "dropout", "recurrent_dropout", "seed",
)


class Recurrent(RNN):
    """A layer that is known by its cell: arguments of both in one place."""

    cell_class = None
    cell_arguments = _CELL_ARGUMENTS

    def __init__(self, *args, **kwargs):
        """args: the cell's positional arguments; kwargs: arguments of the cell and of RNN."""
        for_cell = {name: kwargs.pop(name) for name in self.cell_arguments if name in kwargs}
        for_cell |= {name: kwargs[name] for name in ("dtype", "trainable") if name in kwargs}
        # the cell first, for the sake of the message if its arguments are wrong
        cell = self.cell_class(*args, name=to_snake_case(self.cell_class.__name__), **for_cell)
        super().__init__(cell, **kwargs)

    @classmethod
    def _argument_names(cls):
        return super()._argument_names() | cls.cell_class._argument_names()

    def get_config(self):
        belongs_to(self.cell, self)
        penalty = {"activity_regularizer": regularizers.serialize(self.activity_regularizer)}
        return {**self.cell.get_config(), **penalty, **self._loop_config()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _of_cell(name):
    return property(lambda self: getattr(self.cell, name), doc=f"`cell.{name}`")


for _name in (
    "units", "activation", "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer", *_CELL_ARGUMENTS,
    "kernel", "recurrent_kernel", "bias",
):
    setattr(Recurrent, _name, _of_cell(_name))


class SimpleRNN(Recurrent):
    """h_t = activation(x_t W + b + h_{t-1} U)   (Elman, 1990)

    Args:
        units: size of the state.
        activation: default "tanh".
        Others as in `LSTM`; there is no `recurrent_activation`.

    Weights: kernel (features, units), recurrent_kernel (units, units), bias (units,).

    >>> import numpy as np
    >>> SimpleRNN(4)(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    cell_class = SimpleRNNCell

    def __init__(self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", activity_regularizer=None, **kwargs):
        super().__init__(units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, **kwargs)
        if regularizers.get(activity_regularizer) is not None:
            warnings.warn(
                f"Layer '{self.name}': `activity_regularizer` has no effect on SimpleRNN, as in Keras 3. Put an ActivityRegularization layer "
                "behind it, or use RNN(SimpleRNNCell(...), activity_regularizer=...).",
                stacklevel=2,
            )

    def get_config(self):
        config = super().get_config()
        del config["seed"]  # as in Keras
        return config


class GatedRecurrent(Recurrent):
    """What LSTM and GRU have in common beyond SimpleRNN: arguments of Keras's that never change a number."""

    cell_arguments = (*_CELL_ARGUMENTS, "implementation")
    recurrent_activation = _of_cell("recurrent_activation")

    def __init__(self, *args, use_cudnn="auto", **kwargs):
        super().__init__(*args, **kwargs)
        if use_cudnn not in ("auto", True, False):
            raise ValueError(
                f"Invalid valid received for argument `use_cudnn`. Expected one of {{'auto', True, False}}. Received: use_cudnn={use_cudnn}"
            )
        self.use_cudnn = use_cudnn

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if not config.get("time_major", True):  # of Keras 2, where it could be True
            config = {key: value for key, value in config.items() if key != "time_major"}
        return super().from_config(config)


class LSTM(GatedRecurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

        i, f, o = recurrent_activation(x_t W + b + h_{t-1} U)
        c_t = f c_{t-1} + i activation(x_t W_c + b_c + h_{t-1} U_c)
        h_t = o activation(c_t)

    Args:
        units: size of the state.
        activation: default "tanh", of the candidate and of the output.
        recurrent_activation: default "sigmoid", of the gates.
        use_bias: whether there is a b.
        unit_forget_bias: start the bias of the forget gate at 1.
        kernel_initializer, recurrent_initializer, bias_initializer: default "glorot_uniform", "orthogonal", "zeros".
        kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint, bias_constraint:
            as in Keras.
        dropout, recurrent_dropout: share of the inputs and of the recurrent inputs to drop in training.
        return_sequences: return the output of every step, not of the last alone.
        return_state: return also the final states: (output, h, c).
        go_backwards: process the sequence from its end; outputs come in the order of processing.
        stateful: start each batch from the final states of the batch before; the batch size must be fixed.
        zero_output_for_mask: output 0 at skipped steps instead of repeating the last output.
        seed, unroll, implementation, use_cudnn: accepted for Keras's sake; they change no number.

    Shapes: input (batch, timesteps, features); output (batch, units) or (batch, timesteps, units). Weights: kernel
    (features, 4 units), recurrent_kernel (units, 4 units), bias (4 units,), gates in the order i, f, c, o.

    Called on an array it takes also `initial_state=[h, c]`, `mask` (batch, timesteps) and `training`.

    Raises:
        ValueError: units that are not a positive integer, unknown arguments or activations, inputs that do not fit.

    >>> import numpy as np
    >>> output, h, c = LSTM(4, return_state=True)(np.ones((2, 5, 3)))
    >>> output.shape, c.shape
    ((2, 4), (2, 4))
    """

    cell_class = LSTMCell
    unit_forget_bias = _of_cell("unit_forget_bias")

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True, **kwargs):
        super().__init__(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, **kwargs
        )


class GRU(GatedRecurrent):
    """Gated recurrent unit (Cho et al., 2014).

        z, r = recurrent_activation(x_t W + b + h_{t-1} U)
        n = activation(x_t W_h + b_h + r (h_{t-1} U_h + b'_h))     with reset_after
        n = activation(x_t W_h + b_h + (r h_{t-1}) U_h)            without
        h_t = z h_{t-1} + (1 - z) n

    Args:
        units: size of the state.
        reset_after: which of the two forms; default True, the form of cuDNN.
        Others as in `LSTM`.

    Weights: kernel (features, 3 units), recurrent_kernel (units, 3 units), gates in the order z, r, h; bias (2, 3 units) with
    `reset_after`, else (3 units,).

    >>> import numpy as np
    >>> GRU(4, return_sequences=True)(np.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    cell_class = GRUCell
    cell_arguments = (*GatedRecurrent.cell_arguments, "reset_after")
    reset_after = _of_cell("reset_after")

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", **kwargs):
        super().__init__(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, **kwargs
        )


__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]
