"""SimpleRNN, LSTM and GRU. The equations are in csrc/cell_*.inc.h, and in float64 NumPy in tests/reference.py."""

import numpy as np

from .. import activations, constraints, initializers, regularizers
from ..plan import Tensor, value_of
from .base import Layer, positive_int
from .core import serialized_parts


class Recurrent(Layer):
    """What the three recurrent layers share; see `LSTM` for the arguments."""

    cell = None  # name of the native cell
    gates = None
    states = 1
    takes_ids = False

    def __init__(self, units, *, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
                 kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
                 kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0,
                 seed=None, return_sequences=False, return_state=False, go_backwards=False, stateful=False, unroll=False,
                 zero_output_for_mask=False, **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = positive_int(units, "units")
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        for argument in ("activation", "recurrent_activation"):
            activations.native_name(getattr(self, argument), argument)
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
        self.dropout = min(1.0, max(0.0, float(dropout)))  # clamped, as Keras does
        self.recurrent_dropout = min(1.0, max(0.0, float(recurrent_dropout)))
        self.seed = seed
        # truth values: return_sequences="True" is true, as in Keras
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.unroll = bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.kernel = self.recurrent_kernel = self.bias = None
        self._state = None

    @property
    def keeps_mask(self):
        return self.return_sequences

    @property
    def needs_sequence(self):
        return "go_backwards=True starts at the end of the sequence" if self.go_backwards else None

    def _input_rank(self):
        return 3

    # -- shapes and weights ------------------------------------------------------------------------------------------------

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
        if self.built and features != self.kernel.shape[0]:
            raise ValueError(
                f"Input 0 of layer '{self.name}' is incompatible with the layer: expected axis -1 of input shape to have value "
                f"{self.kernel.shape[0]}, but received input with shape {tuple(input_shape)}"
            )
        if self.stateful and self._state is not None and batch is not None and batch != self._state[0].shape[0]:
            raise ValueError(
                f"If an RNN is stateful, it needs to know its batch size: layer '{self.name}' - Expected batch size: "
                f"{self._state[0].shape[0]} - Received batch size: {batch}"
            )

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
        if self.stateful:
            batch = input_shape[0] if input_shape[0] is not None else (self.input_spec_shape or (None,))[0]
            if batch is None:
                raise ValueError(
                    "When using `stateful=True` in a RNN, the batch size must be static. Found dynamic batch size: "
                    f"sequence.shape={tuple(input_shape)}. Give it with `Input(batch_shape=(batch, timesteps, features))` or "
                    "`batch_input_shape=`."
                )
            self._make_state(batch)

    def _make_state(self, batch):
        self._state = [np.zeros((batch, self.units), self.dtype) for _ in range(self.states)]

    @property
    def state_batch(self):
        """The batch size that the states of a stateful layer were made for, else None."""
        return self._state[0].shape[0] if self._state else None

    def _bias_shape(self):
        return (self.gates * self.units,)

    def _initial_bias(self, shape, dtype=None):
        return self.bias_initializer(shape, dtype=dtype)

    def compute_output_shape(self, input_shape):
        out = (input_shape[0], self.units)
        if self.return_sequences:
            out = (input_shape[0], input_shape[1], self.units)
        return (out, *[(input_shape[0], self.units)] * self.states) if self.return_state else out

    def reset_states(self):
        """Set the state of a stateful layer to zero."""
        for state in self._state or ():
            state[...] = 0

    reset_state = reset_states

    # -- lowering --------------------------------------------------------------------------------------------------------------

    def lower(self, plan, x, initial_state=None, mask=None):
        mask = self._mask(plan, x, mask)
        y = plan.tensor(x.shape[1], self.units) if self.return_sequences else plan.tensor(self.units)
        states = self.lower_into(plan, x, y, mask, initial_state)
        if self.return_sequences:
            y.mask = mask
        return (y, *states) if self.return_state else y

    def lower_step(self, plan, x, state):
        """One step of a stream (see `streaming`): x is (batch, 1, features), `state` a list of the arrays that are read and then written.

        The output is h of the state, which at a masked step is the last output, as in a whole sequence.
        """
        steps = (1,) if self.return_sequences else ()
        own_output = x.mask is not None and self.zero_output_for_mask
        y = plan.tensor(*steps, self.units) if own_output else Tensor(state[0].reshape(plan.batch, *steps, self.units))
        self.lower_into(plan, x, y if own_output else None, x.mask, state, final_state=state)
        if self.return_sequences:
            y.mask = x.mask
        return y

    def _mask(self, plan, x, mask):
        if mask is None:
            return x.mask
        mask = np.asarray(mask)
        if mask.shape != x.shape[:2]:
            raise ValueError(f"Argument `mask` of layer '{self.name}' must have shape {x.shape[:2]}. Received: mask.shape={mask.shape}")
        return np.ascontiguousarray(mask.astype(bool)).view(np.uint8)

    def lower_into(self, plan, x, y, mask, initial_state=None, *, final_state=None, reverse_output=False, add_dx=False,
                   zero_output=None):
        """The native operation; y is the whole sequence or the last output, or None. Returns the final states as Tensors.

        final_state: arrays for the final states, instead of the layer's own or new ones; reverse_output: write the outputs in reverse
        order; add_dx: x has another reader, processed before in the backward pass.
        """
        nothing = Tensor(None)
        sequence, last = (y or nothing, nothing) if self.return_sequences else (nothing, y or nothing)
        state_in, states = self._initial_states(plan, initial_state), []
        if final_state is not None:
            states = [Tensor(s) for s in final_state]
        elif self.stateful:
            if initial_state is None:
                state_in = self._state
            states = [Tensor(s) for s in self._state]
        elif self.return_state:
            states = [Tensor(plan.array(self.units)) for _ in range(self.states)]
        inputs, dinputs, recurrent = self._lower_dropout(plan, x)
        plan.program.add_rnn(
            cell=self.cell, activation=activations.native_name(self.activation),
            recurrent_activation=activations.native_name(self.recurrent_activation),
            x=inputs, dx=dinputs, add_dx=add_dx and dinputs is x.gradient, mask=mask, recurrent_dropout=recurrent,
            y=sequence.value, dy=sequence.gradient, y_last=last.value, dy_last=last.gradient,
            kernel=self.kernel.value, recurrent_kernel=self.recurrent_kernel.value, bias=value_of(self.bias),
            dkernel=plan.gradient_of(self.kernel), drecurrent_kernel=plan.gradient_of(self.recurrent_kernel),
            dbias=plan.gradient_of(self.bias), state_in=state_in,
            state_out=[t.value for t in states],
            reverse_x=self.go_backwards, reverse_y=reverse_output,
            zero_output_for_mask=self.zero_output_for_mask if zero_output is None else zero_output,
        )
        return states

    def _initial_states(self, plan, initial_state):
        if initial_state is None:
            return ()
        given = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        if len(given) != self.states:
            raise ValueError(f"Argument `initial_state` of layer '{self.name}' must be a list of {self.states} arrays. Received {len(given)}.")
        arrays = []
        for state in given:
            array = np.ascontiguousarray(state, dtype=self.dtype)
            if array.shape != (plan.batch, self.units):
                raise ValueError(
                    f"Every `initial_state` of layer '{self.name}' must have shape {(plan.batch, self.units)}. Received: {array.shape}"
                )
            arrays.append(array)
        return arrays

    def _lower_dropout(self, plan, x):
        """Inputs with dropout applied, their gradient, and the masks of the recurrent inputs.

        Masks are drawn once per call and sample and shared by all steps. With recurrent dropout every gate has masks of its own
        (Keras's implementation 1), else one input mask serves all gates (Gal and Ghahramani, 2016).
        """
        steps, features = x.shape[1:]
        inputs, dinputs, recurrent = x.value, x.gradient, None
        if not plan.training:
            return inputs, dinputs, recurrent
        copies = self.gates if self.recurrent_dropout else 1
        if self.dropout:
            inputs = _copies(plan, copies, steps, features)
            dinputs = None if x.gradient is None else _copies(plan, copies, steps, features)
            noise = _copies(plan, copies, features)
            plan.program.add_dropout(rate=self.dropout, noise=noise, x=x.value, dx=x.gradient, y=inputs, dy=dinputs, repeat=steps)
            if copies == 1:
                inputs, dinputs = inputs[0], None if dinputs is None else dinputs[0]
        if self.recurrent_dropout:
            recurrent = _copies(plan, self.gates, self.units)
            plan.program.add_dropout(rate=self.recurrent_dropout, noise=recurrent)
        return inputs, dinputs, recurrent

    # -- configuration ------------------------------------------------------------------------------------------------------------

    def get_config(self):
        config = super().get_config()
        config |= {
            "units": self.units, "activation": activations.serialize(self.activation),
            "recurrent_activation": activations.serialize(self.recurrent_activation), "use_bias": self.use_bias,
            "dropout": self.dropout, "recurrent_dropout": self.recurrent_dropout, "seed": self.seed,
            "return_sequences": self.return_sequences, "return_state": self.return_state, "go_backwards": self.go_backwards,
            "stateful": self.stateful, "unroll": self.unroll, "zero_output_for_mask": self.zero_output_for_mask,
        }
        for kind in ("initializer", "regularizer", "constraint"):
            module = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}[kind]
            config[f"recurrent_{kind}"] = module.serialize(getattr(self, f"recurrent_{kind}"))
        return config | serialized_parts(self, ("kernel", "bias"))


def _copies(plan, copies, *tail):
    """A buffer (copies, batch, *tail)."""
    return plan.array(copies, *tail).reshape(copies, plan.batch, *tail)


class SimpleRNN(Recurrent):
    """h_t = activation(x_t W + b + h_{t-1} U)   (Elman, 1990)

    Args:
        units: size of the state.
        activation: default "tanh".
        Others as in `LSTM`; there is no `recurrent_activation`.

    Weights: kernel (features, units), recurrent_kernel (units, units), bias (units,).

    >>> SimpleRNN(4)(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    cell, gates = "simple_rnn", 1

    def __init__(self, units, activation="tanh", use_bias=True, **kwargs):
        if "recurrent_activation" in kwargs:
            raise ValueError("Unrecognized keyword arguments passed to SimpleRNN: recurrent_activation")
        super().__init__(units, activation=activation, use_bias=use_bias, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["recurrent_activation"]
        return config


class LSTM(Recurrent):
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

    >>> output, h, c = LSTM(4, return_state=True)(np.ones((2, 5, 3)))
    >>> output.shape, c.shape
    ((2, 4), (2, 4))
    """

    cell, gates, states = "lstm", 4, 2

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, unit_forget_bias=True, **kwargs):
        _drop_unused(kwargs)
        super().__init__(units, activation=activation, recurrent_activation=recurrent_activation, use_bias=use_bias, **kwargs)
        self.unit_forget_bias = bool(unit_forget_bias)

    def _initial_bias(self, shape, dtype=None):
        bias = super()._initial_bias(shape, dtype)
        if self.unit_forget_bias:
            bias[self.units : 2 * self.units] = 1
        return bias

    def get_config(self):
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}


class GRU(Recurrent):
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

    >>> GRU(4, return_sequences=True)(np.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    gates = 3

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, reset_after=True, **kwargs):
        _drop_unused(kwargs)
        super().__init__(units, activation=activation, recurrent_activation=recurrent_activation, use_bias=use_bias, **kwargs)
        self.reset_after = bool(reset_after)

    @property
    def cell(self):
        return "gru" if self.reset_after else "gru_reset_before"

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}


def _drop_unused(kwargs):
    """Arguments of Keras's LSTM and GRU that never change a number."""
    for name in ("implementation", "use_cudnn", "time_major"):
        kwargs.pop(name, None)
