"""TimeDistributed."""

from ..plan import Tensor
from .base import Stackable
from .cells import Holder


class TimeDistributed(Holder):
    """Runs a layer on every time step, as if the steps were samples.

    Args:
        layer: a layer or model that takes a single step.

    Shapes: input (batch, timesteps, ...), output (batch, timesteps, ...); the mask passes through. Weights are those of the layer.

    Raises:
        ValueError: for anything that is no layer, inputs without a time axis, a stateful layer, and on training with a layer that mixes samples.

    >>> import numpy as np
    >>> from fastrnn.layers import Conv2D
    >>> TimeDistributed(Conv2D(2, 3))(np.ones((1, 4, 5, 5, 1))).shape
    (1, 4, 3, 3, 2)
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, Stackable):
            raise ValueError(f"Please initialize `TimeDistributed` layer with a `fastrnn.layers.Layer` instance. Received: {layer}")
        super().__init__(**kwargs)
        self.layer = layer

    @property
    def takes_ids(self):
        return self.layer.takes_ids

    needs_sequence = None  # the layer sees one step at a time, whatever it does with it

    @property
    def parts(self):
        return [self.layer]

    def check_input(self, input_shape):
        if len(input_shape) < 3 and not self.takes_ids or len(input_shape) < 2:
            raise ValueError(
                "`TimeDistributed` Layer should be passed an `input_shape` with at least 3 dimensions, received: "
                f"{tuple(input_shape)}"
            )
        if input_shape[1] == 0:
            raise ValueError(f"Layer '{self.name}' cannot take sequences without time steps. Received: input_shape={tuple(input_shape)}")
        if input_shape[1] is None and any(v is None for v in input_shape[2:]):
            raise self.incompatible("known dimensions of a step", f"shape {input_shape[2:]}", input_shape)

    def check_values(self, x):
        self.layer.check_values(x)

    def build(self, input_shape):
        self.layer.ensure_built(_of_step(input_shape))
        self.compute_output_shape(input_shape)
        if self.layer.state_batch is not None:
            raise ValueError(f"Layer '{self.name}' cannot hold layer '{self.layer.name}': it is stateful, and steps are no batches.")
        self._prefix_paths()

    def compute_output_shape(self, input_shape):
        shape = self.layer.compute_output_shape(_of_step(input_shape))
        if isinstance(shape[0], tuple):
            raise ValueError(f"Layer '{self.name}' cannot hold layer '{self.layer.name}', which has several outputs.")
        return (shape[0], input_shape[1], *shape[1:])

    def lower(self, plan, x, mask=None):
        steps, mask = x.shape[1], self.mask_of(plan, x, mask)
        if plan.training and self.layer.mixes_samples:
            raise ValueError(
                f"Layer '{self.name}' cannot be trained with layer '{self.layer.name}', whose moments would be those of all steps together. "
                "Put it into the model directly: it takes sequences as they are."
            )
        step = Tensor(_steps_as_samples(x.value), _steps_as_samples(x.gradient))
        with plan.steps_as_samples(steps):
            y = self.layer.lower(plan, step)
        return Tensor(_samples_as_steps(y.value, steps), _samples_as_steps(y.gradient, steps), mask)

    def get_config(self):
        from . import serialize

        return {**super().get_config(), "layer": serialize(self.layer)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from . import deserialize

        return cls(**{**config, "layer": deserialize(config["layer"], custom_objects)})


def _of_step(input_shape):
    """The shape of one step, batch first."""
    return (input_shape[0], *input_shape[2:])


def _steps_as_samples(array):
    return None if array is None else array.reshape(-1, *array.shape[2:])


def _samples_as_steps(array, steps):
    return None if array is None else array.reshape(-1, steps, *array.shape[1:])
