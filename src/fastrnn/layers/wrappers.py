"""Bidirectional."""

from ..plan import Tensor
from .base import Layer
from .recurrent import Recurrent

_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Layer):
    """Runs a recurrent layer forwards and a second one backwards, and merges their outputs (Schuster and Paliwal, 1997).

    Args:
        layer: a recurrent layer; the wrapper makes copies of it, with weights of their own.
        merge_mode: "concat", "sum", "mul", "ave" or None (two outputs).
        backward_layer: another layer for the way back; it must have the other `go_backwards` and the same
            `return_sequences`, `return_state` and `stateful`.

    Shapes: input (batch, timesteps, features); output (batch, [timesteps,] 2 units) with "concat". Outputs of the way back are
    in the order of the input. Weights: forward (kernel, recurrent_kernel, bias), then backward.

    >>> import numpy as np
    >>> from fastrnn.layers import LSTM
    >>> Bidirectional(LSTM(3))(np.ones((2, 5, 1))).shape
    (2, 6)
    """

    takes_ids = False
    needs_sequence = "its backward layer starts at the end of the sequence"

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        if not isinstance(layer, Recurrent):
            raise ValueError(
                f"Please initialize `Bidirectional` layer with a recurrent layer (LSTM, GRU, SimpleRNN). Received: layer={layer!r}"
            )
        if merge_mode not in _MODES:
            raise ValueError(f"Invalid merge mode. Received: merge_mode={merge_mode}. Merge mode should be one of {set(_MODES)}")
        if layer.input_spec_shape is not None and not {"input_shape", "batch_input_shape", "batch_shape"} & kwargs.keys():
            kwargs["batch_input_shape"] = layer.input_spec_shape
        super().__init__(weights=weights, **kwargs)
        self.merge_mode = merge_mode
        self.layer = layer
        self.forward_layer = _copy(layer, f"forward_{layer.name}", layer.go_backwards)
        self._given_backward = backward_layer
        if backward_layer is None:
            self.backward_layer = _copy(layer, f"backward_{layer.name}", not layer.go_backwards)
        else:
            self._check_backward(backward_layer)
            self.backward_layer = backward_layer
            self.backward_layer.name = backward_layer.name
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state
        self.stateful = layer.stateful

    def _check_backward(self, layer):
        if not isinstance(layer, Recurrent):
            raise ValueError(f"`backward_layer` must be a recurrent layer. Received: {layer!r}")
        if layer.go_backwards == self.forward_layer.go_backwards:
            raise ValueError(
                "Forward layer and backward layer should have different `go_backwards` value. Received: "
                f"forward_layer.go_backwards={self.forward_layer.go_backwards}, backward_layer.go_backwards={layer.go_backwards}"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            a, b = getattr(self.forward_layer, name), getattr(layer, name)
            if a != b:
                raise ValueError(
                    f"Forward layer and backward layer are expected to have the same value for attribute `{name}`, got {a} and {b}."
                )

    @property
    def keeps_mask(self):
        return self.return_sequences

    @property
    def variables(self):
        return self.forward_layer.variables + self.backward_layer.variables

    @property
    def state_batch(self):
        return self.forward_layer.state_batch

    def _input_rank(self):
        return 3

    def check_input(self, input_shape):
        if len(input_shape) != 3:
            raise self.incompatible("ndim=3", f"ndim={len(input_shape)}", input_shape)
        self.forward_layer.check_input(input_shape)

    def build(self, input_shape):
        self.forward_layer.ensure_built(input_shape)
        self.backward_layer.ensure_built(input_shape)
        for v in self.variables:
            v.path = f"{self.name}/{v.path}"

    def compute_output_shape(self, input_shape):
        one = self.forward_layer.compute_output_shape(input_shape)
        two = self.backward_layer.compute_output_shape(input_shape)
        out, states = (one[0], [*one[1:], *two[1:]]) if self.return_state else (one, [])
        back = two[0] if self.return_state else two
        if self.merge_mode is None:
            return (out, back, *states)
        if self.merge_mode == "concat":
            out = (*out[:-1], out[-1] + back[-1])
        return (out, *states) if states else out

    def reset_states(self):
        """Set the states of stateful layers to zero."""
        self.forward_layer.reset_states()
        self.backward_layer.reset_states()

    reset_state = reset_states

    def lower(self, plan, x, initial_state=None, mask=None):
        mask = self.forward_layer._mask(plan, x, mask)
        ahead, back = self.forward_layer, self.backward_layer
        steps = (x.shape[1],) if self.return_sequences else ()
        n, m = ahead.units, back.units
        if self.merge_mode == "concat":  # each direction writes its half of the rows
            y = plan.tensor(*steps, n + m)
            one, two = _columns(y, 0, n), _columns(y, n, n + m)
        else:
            one, two = plan.tensor(*steps, n), plan.tensor(*steps, m)
        first = second = None
        if initial_state is not None:
            half = len(initial_state) // 2
            first, second = initial_state[:half], initial_state[half:]
        # the backward pass runs from the end: `back` assigns dx, then `ahead` adds to it
        zero = self.return_sequences or ahead.zero_output_for_mask
        states = ahead.lower_into(plan, x, one, mask, first, add_dx=True, zero_output=zero)
        states += back.lower_into(plan, x, two, mask, second, reverse_output=self.return_sequences, zero_output=zero)
        for layer, output in ((ahead, one), (back, two)):
            if layer.activity_regularizer is not None:
                plan.penalize(layer.activity_regularizer, output)
        if self.merge_mode not in ("concat", None):
            if n != m:
                raise ValueError(f"merge_mode={self.merge_mode!r} needs as many units forwards as backwards. Received: {n} and {m}")
            y = plan.tensor(*steps, n)
            plan.program.add_merge(
                mode=self.merge_mode, a=one.value, b=two.value, y=y.value, da=one.gradient, db=two.gradient, dy=y.gradient
            )
        outputs = (one, two) if self.merge_mode is None else (y,)
        if self.return_sequences:
            for t in outputs:
                t.mask = mask
        if self.return_state:
            return (*outputs, *states)
        return outputs if len(outputs) > 1 else outputs[0]

    def get_config(self):
        config = super().get_config() | {"merge_mode": self.merge_mode, "layer": _serialize(self.layer)}
        if self._given_backward is not None:
            config["backward_layer"] = _serialize(self._given_backward)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from . import deserialize

        config = dict(config)
        for key in ("layer", "backward_layer"):
            if config.get(key) is not None:
                config[key] = deserialize(config[key], custom_objects)
        return cls(**config)


def _serialize(layer):
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def _copy(layer, name, go_backwards):
    config = layer.get_config()
    config.pop("batch_input_shape", None)
    config |= {"name": name, "go_backwards": go_backwards}
    copy = type(layer).from_config(config)
    for attribute in vars(layer):  # keep objects such as initializers as they are
        if attribute.endswith(("_initializer", "_regularizer", "_constraint", "activation")):
            setattr(copy, attribute, getattr(layer, attribute))
    return copy


def _columns(t, start, stop):
    gradient = None if t.gradient is None else t.gradient[..., start:stop]
    return Tensor(t.value[..., start:stop], gradient, t.mask)


__all__ = ["Bidirectional"]
