"""Bidirectional."""

from ..plan import Tensor
from .base import Layer
from .cell_in_python import output_size
from .cells import Holder, chain_of, flatten
from .recurrent import RNN

_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Holder):
    """Runs a recurrent layer forwards and a second one backwards, and merges their outputs (Schuster and Paliwal, 1997).

    Args:
        layer: a recurrent layer; the wrapper makes copies of it, with weights of their own.
        merge_mode: "concat", "sum", "mul", "ave" or None (two outputs).
        weights: initial values, first of the forward layer, then of the backward layer.
        backward_layer: another layer for the way back; it must have the other `go_backwards` and the same
            `return_sequences`, `return_state` and `stateful`.

    Shapes: input (batch, timesteps, features); output (batch, [timesteps,] 2 units) with "concat". Outputs of the way back are
    in the order of the input. With `return_sequences` they are 0 at skipped steps. Weights: forward (kernel, recurrent_kernel,
    bias), then backward.

    Called on an array it takes also `initial_state`, the states of the forward layer and then those of the backward layer, `mask` and
    `training`.

    >>> import numpy as np
    >>> from fastrnn.layers import LSTM
    >>> Bidirectional(LSTM(3))(np.ones((2, 5, 1))).shape
    (2, 6)
    """

    takes_ids = False
    needs_sequence = "its backward layer starts at the end of the sequence"

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        _check_recurrent(layer, "Please initialize `Bidirectional` layer with", "layer")
        if backward_layer is not None:
            _check_recurrent(backward_layer, "`backward_layer` need to be", "backward_layer")
        if merge_mode not in _MODES:
            raise ValueError(
                f'Invalid merge mode. Received: {merge_mode}. Merge mode should be one of {{"sum", "mul", "ave", "concat", None}}'
            )
        if layer.input_spec_shape is not None and not {"input_shape", "batch_input_shape", "batch_shape"} & kwargs.keys():
            kwargs["batch_input_shape"] = layer.input_spec_shape
        super().__init__(weights=weights, **kwargs)
        self.merge_mode = merge_mode
        self.forward_layer = _copy(layer, "forward", layer.go_backwards)
        self.backward_layer = _copy(layer, "backward", True) if backward_layer is None else backward_layer
        self._check_pair()
        self.return_sequences, self.return_state, self.stateful = layer.return_sequences, layer.return_state, layer.stateful
        for part in self.parts:
            part.zero_output_for_mask = part.return_sequences  # so that both halves are 0 at the same steps

    def _check_pair(self):
        ahead, back = self.parts
        if ahead.go_backwards == back.go_backwards:
            raise ValueError(
                "Forward layer and backward layer should have different `go_backwards` value. Received: forward_layer.go_backwards "
                f"{ahead.go_backwards}, backward_layer.go_backwards={back.go_backwards}"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            a, b = getattr(ahead, name), getattr(back, name)
            if a != b:
                raise ValueError(
                    f'Forward layer and backward layer are expected to have the same value for attribute "{name}", got "{a}" for forward '
                    f'layer and "{b}" for backward layer'
                )

    @property
    def parts(self):
        """The forward and the backward layer."""
        return [self.forward_layer, self.backward_layer]

    @property
    def keeps_mask(self):
        return self.return_sequences

    @property
    def states(self):
        """The states of the forward layer, then those of the backward layer, where they are stateful, else None."""
        if self.forward_layer.states and self.backward_layer.states:
            return (*self.forward_layer.states, *self.backward_layer.states)
        return None

    @property
    def state_batch(self):
        return self.forward_layer.state_batch

    def _input_rank(self):
        return 3

    def check_input(self, input_shape):
        for part in self.parts:
            part.check_input(input_shape)

    def build(self, input_shape):
        for part in self.parts:
            part.ensure_built(input_shape)
        self._prefix_paths()

    def compute_output_shape(self, input_shape):
        (one, *first), (two, *second) = (
            shape if part.return_state else (shape,)
            for part, shape in ((part, part.compute_output_shape(input_shape)) for part in self.parts)
        )
        if self.merge_mode is None:
            return (one, two, *first, *second)
        out = (*one[:-1], one[-1] + two[-1]) if self.merge_mode == "concat" else one
        return (out, *first, *second) if self.return_state else out

    def compute_mask(self, inputs, previous_mask=None):
        """The mask of the output, which `return_sequences` keeps; without `merge_mode` a list of those of both directions."""
        mask = super().compute_mask(inputs, previous_mask)
        return [mask, mask] if self.merge_mode is None else mask

    def reset_state(self):
        """Set the states of stateful layers to zero.

        Raises:
            AttributeError: if the layers are not stateful.
        """
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        for part in self.parts:
            part.reset_state()

    reset_states = reset_state

    def __call__(self, sequences, initial_state=None, mask=None, training=False):
        out = super().__call__(sequences, training, initial_state=initial_state, mask=mask)
        if not self.return_state:
            return out
        count = 2 if self.merge_mode is None else 1
        backwards = count + len(flatten(self.forward_layer.state_size))  # where the states of the backward layer begin
        states = self.forward_layer.pack_states(out[count:backwards]) + self.backward_layer.pack_states(out[backwards:])
        return (*out[:count], *states)

    def lower(self, plan, x, initial_state=None, mask=None):
        ahead, back = self.parts
        mask = ahead.mask_of(plan, x, mask)
        n, m = output_size(ahead.cell), output_size(back.cell)
        if self.merge_mode == "concat":  # each direction writes its half of the rows
            steps = (x.shape[1],) if self.return_sequences else ()
            y = plan.tensor(*steps, n + m)
            one, two = _columns(y, 0, n), _columns(y, n, n + m)
        else:
            one, two = ahead.output_tensor(plan, x), back.output_tensor(plan, x)
        first = second = None
        if initial_state is not None:
            backwards = len(ahead.state_size)
            first, second = initial_state[:backwards], initial_state[backwards:]
        # the backward pass runs from the end: `back` assigns dx, then `ahead` adds to it
        states = ahead.lower_into(plan, x, one, mask, first, add_dx=True)
        states += back.lower_into(plan, x, two, mask, second, reverse_output=self.return_sequences)
        for part, output in ((ahead, one), (back, two)):
            if part.activity_regularizer is not None:
                plan.penalize(part.activity_regularizer, output)
        if self.merge_mode not in ("concat", None):
            if n != m:
                raise ValueError(f"merge_mode={self.merge_mode!r} needs as many units forwards as backwards. Received: {n} and {m}")
            y = plan.tensor(*one.shape[1:])
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
        from . import serialize

        return super().get_config() | {
            "merge_mode": self.merge_mode, "layer": serialize(self.forward_layer), "backward_layer": serialize(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from . import deserialize

        config = dict(config)
        for key in ("layer", "backward_layer"):
            if config.get(key) is not None:
                config[key] = deserialize(config[key], custom_objects)
        return cls(**config)


def _check_recurrent(layer, needs, argument):
    if not isinstance(layer, RNN):
        kind = "a `fastrnn.layers.Layer` instance" if not isinstance(layer, Layer) else "a recurrent layer (RNN, LSTM, GRU, SimpleRNN)"
        raise ValueError(f"{needs} {kind}. Received: {argument}={layer!r}")


def _copy(layer, direction, go_backwards):
    """A layer of the same configuration, named after its direction."""
    from . import deserialize

    config = layer.get_config()
    config.pop("batch_input_shape", None)
    prefix = f"{direction}_"
    config |= {"name": prefix + layer.name.removeprefix(prefix), "go_backwards": go_backwards}
    classes = {type(part).__name__: type(part) for part in (layer, layer.cell, *getattr(layer.cell, "cells", ()))}
    copy = deserialize({"class_name": type(layer).__name__, "config": config}, classes)
    for given, new in zip(chain_of(layer.cell), chain_of(copy.cell)):
        for attribute in vars(given):  # keep objects such as initializers as they are
            if attribute.endswith(("_initializer", "_regularizer", "_constraint", "activation")):
                setattr(new, attribute, getattr(given, attribute))
    return copy


def _columns(t, start, stop):
    gradient = None if t.gradient is None else t.gradient[..., start:stop]
    return Tensor(t.value[..., start:stop], gradient, t.mask)


__all__ = ["Bidirectional"]
