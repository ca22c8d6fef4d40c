"""Streams: a model that is advanced by one time step per call, with its memory in an object of its own."""

import numpy as np

from .layers.base import as_input, positive_int
from .layers.recurrent import RNN
from .plan import Plan
from .variables import Changes


class StepPlan(Plan):
    """A program for one time step.

    Up to the first recurrent layer that returns its last output alone, every layer sees the one time step (batch, 1, ...). The layers
    after that one see no time axis of the stream any more, and run as they do in `predict`.

    Attributes:
        states: dict of layer name (numbered from the second place of the name on) to the arrays (batch, units) that the program reads and then writes.
        step_input, step_output: input and output without the time axis.
    """

    def __init__(self, layers, input_shape, batch, version, vocabulary):
        self.states = {}
        self.has_time = True
        super().__init__(layers, (1, *input_shape[2:]), batch, False, version)
        if isinstance(self.output, tuple):
            raise ValueError("A model whose last layer has several outputs (return_state=True, merge_mode=None) cannot be run step by step.")
        y = self.output.value
        self.step_input = self.input.reshape(batch, *self.input.shape[2:])
        self.step_output = y.reshape(batch, *y.shape[2:]) if self.has_time else y
        self.program.set_step(self.step_input, self.step_output, vocabulary)

    def lower(self, layer, x):
        if not self.has_time:
            if getattr(layer, "stateful", False):
                raise _cannot_stream(layer, "stateful=True below a layer with return_sequences=False keeps a state that no stream owns")
            return layer.lower(self, x)
        if layer.needs_sequence:
            raise _cannot_stream(layer, layer.needs_sequence)
        if not isinstance(layer, RNN):
            return layer.lower(self, x)
        name, count = layer.name, 0
        while name in self.states:  # a layer in two places of the model, or two models inside of it with a layer each
            count += 1
            name = f"{layer.name}_{count}"
        self.states[name] = layer.step_states(self)
        self.has_time = layer.return_sequences
        return layer.lower_step(self, x, self.states[name])


def _cannot_stream(layer, why):
    return ValueError(
        f"Layer '{layer.name}' ({type(layer).__name__}) cannot run one time step at a time: {why}. Use `predict` on whole sequences."
    )


class StreamState:
    """What a model remembers of a stream: the state arrays of its recurrent layers, and a program that works on them.

    `Sequential.initial_state` makes it, `Sequential.step` advances it in place. Separate states can be used from several threads at
    once; one state cannot. Pickling and `copy.deepcopy` take the arrays alone: such a state joins the first model whose `step` gets it.

    Attributes:
        batch_size: number of sequences that advance side by side.

    >>> from fastrnn import Input, Sequential
    >>> from fastrnn.layers import LSTM
    >>> model = Sequential([Input((None, 3)), LSTM(4, name="memory")])
    >>> state = model.initial_state()
    >>> y, state = model.step(np.ones((1, 3), "float32"), state)
    >>> h, c = state.get()["memory"]
    >>> bool((h == y).all()), h.shape
    (True, (1, 4))
    """

    __slots__ = ("_arrays", "_model", "_plan", "batch_size", "configuration", "layers", "program", "version")

    def __init__(self, model, batch_size=1):
        self.__setstate__((positive_int(batch_size, "batch_size"), None))
        self.attach(model)

    def attach(self, model):
        """Make the program for a model: at first, after pickling, and when layers of the model came, went, changed or share their weights anew.

        Raises:
            ValueError: if the model cannot be run step by step, or if this is the state of another model.
        """
        if self._model is not None and self._model is not model:
            raise ValueError(
                f"Argument `state` must be a state of model '{model.name}', from its `initial_state()`. Received: a state of model "
                f"'{self._model.name}' ({self})"
            )
        shape = model._input_shape
        if not model.built or shape is None:
            raise ValueError(
                f"Model '{model.name}' has not been built: the shape of a time step is not known yet. Give it an `Input`, call "
                "`build(input_shape)`, or run it on data first."
            )
        lookup = model._lookup_layer()
        if len(shape) < (2 if lookup else 3) or None in shape[2:]:
            raise ValueError(
                f"Model '{model.name}' cannot run one time step at a time: its input must have shape (batch, timesteps, features), or (batch, "
                f"timesteps) before an Embedding. Received: input_shape={tuple(shape)}"
            )
        with model._lock:
            version = model._parameters().version
            plan = StepPlan(model._layers, shape, self.batch_size, version, lookup.input_dim if lookup else 0)
            if self._arrays is not None:
                _assign(plan.states, self._arrays)
            self._model, self._plan, self._arrays = model, plan, plan.states
            self.layers, self.version, self.configuration, self.program = model._layers, version, Changes.configuration, plan.program

    def step(self, x, out):
        """What `Sequential.step` does with what is no array of the right type and shape: converts it, or says what is wrong."""
        expected, wanted = self._plan.step_input, self._plan.step_output
        x = as_input(x, expected.dtype, "x")
        if x.shape != expected.shape:
            names = "(batch, features)" if x.dtype.kind == "f" else "(batch,)"
            hint = ""
            if x.ndim == expected.ndim and x.shape[1:] == expected.shape[1:]:
                hint = f" The state is one of {self.batch_size} sequences; for others make one with `initial_state(batch_size={len(x)})`."
            elif x.ndim == expected.ndim + 1:
                hint = " Give one time step at a time, as in `step(x[:, t], state)`."
            raise ValueError(f"Argument `x` must be one time step {names} of shape {expected.shape}. Received: x.shape={x.shape}.{hint}")
        lookup = self._model._lookup_layer()
        if lookup:
            lookup.check_values(x)
        if out is not None and not (
            isinstance(out, np.ndarray) and out.dtype == wanted.dtype and out.shape == wanted.shape
            and out.flags.c_contiguous and out.flags.writeable
        ):
            got = f"dtype {out.dtype}, shape {out.shape}" if isinstance(out, np.ndarray) else f"{out!r:.60}"
            raise ValueError(
                f"Argument `out` must be a writable, C-contiguous array of dtype {wanted.dtype} and shape {wanted.shape}. Received: out={got}"
            )
        return self.program.step(x, out)

    def reset(self):
        """Set all arrays to zero, the state before the first step."""
        for states in self._arrays.values():
            for array in states:
                array[...] = 0

    def get(self):
        """Copies of the arrays: a dict of layer name to [h] or, for an LSTM, [h, c], each (batch, units)."""
        return {name: [array.copy() for array in states] for name, states in self._arrays.items()}

    def set(self, arrays):
        """Set the arrays from a dict as `get` returns it.

        Raises:
            ValueError: if layers, numbers of arrays or shapes differ; then nothing was changed.
        """
        _assign(self._arrays, arrays)

    def copy(self):
        """A state of the same model that goes on from here on its own."""
        copy = StreamState.__new__(StreamState)
        copy.__setstate__(self.__getstate__())
        if self._model is not None:
            copy.attach(self._model)
        return copy

    __copy__ = copy

    def __getstate__(self):
        return self.batch_size, self.get()

    def __setstate__(self, state):
        self.batch_size, self._arrays = state
        self._model = self._plan = self.layers = self.version = self.configuration = self.program = None

    def __repr__(self):
        return f"<StreamState batch_size={self.batch_size}, layers={[*self._arrays]}>"


def _assign(arrays, given):
    """Copy `given`, a dict of layer name to arrays, into `arrays`, after checking all of it."""
    if not isinstance(given, dict) or given.keys() != arrays.keys():
        got = [*given] if isinstance(given, dict) else f"{given!r:.60}"
        raise ValueError(f"A stream's state must be a dict of arrays for the layers {[*arrays]}. Received: {got}")
    new = {}
    for name, targets in arrays.items():
        new[name] = [as_input(value, targets[0].dtype, f"state of layer '{name}'") for value in given[name]]
        expected, shapes = [t.shape for t in targets], [a.shape for a in new[name]]
        if shapes != expected:
            raise ValueError(f"The state of layer '{name}' must be arrays of shapes {expected}. Received: shapes {shapes}")
    for name, targets in arrays.items():
        for target, value in zip(targets, new[name]):
            target[...] = value
