"""Dense, Embedding and friends."""

import numpy as np

from .. import activations, constraints, initializers, regularizers
from ..plan import value_of
from .base import Layer, _as_tuple, as_input, positive_int


class InputLayer(Layer):
    """Names the shape of a model's input.

    Args:
        shape: without the batch: `(timesteps, features)`; None where it may vary.
        batch_size: fixed number of samples, for stateful layers.
        dtype: of the data.
        batch_shape: the whole shape, instead of the two.
        name: default "input_layer".
    """

    needs_sequence = None

    def __init__(self, shape=None, batch_size=None, dtype=None, batch_shape=None, name=None, input_shape=None, **kwargs):
        shape = shape if shape is not None else input_shape
        if shape is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `shape` and `batch_shape` at the same time.")
        if batch_shape is None and shape is None:
            raise ValueError("You must pass a `shape` argument.")
        if batch_shape is None:
            batch_shape = (batch_size, *_as_tuple(shape, "shape"))
        for unused in ("sparse", "ragged", "optional", "tensor"):
            kwargs.pop(unused, None)
        super().__init__(name=name, batch_input_shape=tuple(batch_shape), **kwargs)
        self.batch_shape = tuple(batch_shape)
        self.input_dtype = dtype

    def lower(self, plan, x):
        return x

    def get_config(self):
        unused = {"sparse": False, "ragged": False, "optional": False}
        return {"batch_shape": self.batch_shape, "dtype": self.input_dtype or "float32", **unused, "name": self.name}


def Input(shape=None, batch_size=None, dtype=None, batch_shape=None, name=None, **kwargs):
    """The input of a Sequential: `Sequential([Input((5, 1)), LSTM(7), Dense(1)])`. Arguments as `InputLayer`."""
    return InputLayer(shape, batch_size, dtype, batch_shape, name, **kwargs)


class Dense(Layer):
    """y = activation(x W + b) along the last axis.

    Args:
        units: size of the output.
        activation: name or function of `fastrnn.activations`; None is linear.
        use_bias: whether there is a b.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint: as in Keras.

    Shapes: input (batch, ..., features), output (batch, ..., units); weights (features, units), (units,).

    Raises:
        ValueError: units that are not a positive integer, an unknown activation.

    >>> Dense(2, kernel_initializer="ones")([[1.0, 2.0]]).tolist()
    [[3.0, 3.0]]
    """

    takes_ids = False
    needs_sequence = None

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, quantization_config=None, **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        _no_quantization(quantization_config)
        self.units = positive_int(units, "units")
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel = self.bias = None
        activations.native_name(self.activation)

    def check_input(self, input_shape):
        if len(input_shape) < 2:
            raise self.incompatible("min_ndim=2", f"ndim={len(input_shape)}", input_shape)
        if input_shape[-1] is None and not self.built:
            raise ValueError(
                f"The last dimension of the inputs to layer '{self.name}' (Dense) must be known. Received: input_shape={input_shape}"
            )
        if self.built and input_shape[-1] != self.kernel.shape[0]:
            raise self.wrong_size(-1, self.kernel.shape[0], input_shape)
        if input_shape[-1] == 0:
            raise ValueError(f"Layer '{self.name}' cannot take inputs without features. Received: input_shape={input_shape}")

    def build(self, input_shape):
        features = input_shape[-1]
        self.kernel = self.add_weight(
            (features, self.units), self.kernel_initializer, "kernel",
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, "bias", regularizer=self.bias_regularizer, constraint=self.bias_constraint
            )

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def lower(self, plan, x):
        y = plan.tensor(*x.shape[1:-1], self.units, mask=x.mask)
        dkernel, dbias = plan.gradients_of(self.kernel, self.bias)
        plan.program.add_dense(
            activation=activations.native_name(self.activation), x=x.value, dx=x.gradient, y=y.value, dy=y.gradient,
            kernel=self.kernel.value, dkernel=dkernel, bias=value_of(self.bias), dbias=dbias,
        )
        return y

    def get_config(self):
        return {
            **super().get_config(), "units": self.units, "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias, **serialized_parts(self, ("kernel", "bias")), "quantization_config": None,
        }


def _no_quantization(value):
    """The argument stands in every configuration that Keras writes of layers that it can quantize."""
    if value is not None:
        raise ValueError(f"Argument `quantization_config` must be None: layers compute in their own type. Received: {value!r}")


def serialized_parts(layer, weights):
    """Initializers, regularizers and constraints of a layer's weights, as dicts."""
    config = {}
    for weight in weights:
        for module, kind in ((initializers, "initializer"), (regularizers, "regularizer"), (constraints, "constraint")):
            config[f"{weight}_{kind}"] = module.serialize(getattr(layer, f"{weight}_{kind}"))
    return config


class Embedding(Layer):
    """Rows of a table by their number.

    Args:
        input_dim: size of the vocabulary; ids are 0 .. input_dim-1.
        output_dim: width of a row.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: as in Keras; default U(-0.05, 0.05).
        mask_zero: whether id 0 is padding, to be skipped by the layers above.
        input_length: accepted for Keras 2's sake.

    Shapes: input (batch, ...) whole numbers, output (batch, ..., output_dim); weights (input_dim, output_dim).

    Raises:
        ValueError: when ids outside of the table are looked up.

    >>> Embedding(3, 2, embeddings_initializer="ones")([[0, 2]]).shape
    (1, 2, 2)
    """

    takes_ids = True
    needs_sequence = None
    implicit_input_shape = (None, None)

    def __init__(self, input_dim, output_dim, embeddings_initializer="uniform", embeddings_regularizer=None,
                 embeddings_constraint=None, mask_zero=False, weights=None, input_length=None, quantization_config=None, **kwargs):
        if input_length is not None:
            kwargs.setdefault("input_shape", (input_length,))
        super().__init__(weights=weights, **kwargs)
        _no_quantization(quantization_config)
        self.input_dim = positive_int(input_dim, "input_dim")
        self.output_dim = positive_int(output_dim, "output_dim")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.embeddings = None

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim), self.embeddings_initializer, "embeddings",
            regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint,
        )

    def check_values(self, x):
        if x.size and (x.min() < 0 or x.max() >= self.input_dim):
            where = np.argwhere((x < 0) | (x >= self.input_dim))[0].tolist()
            raise ValueError(
                f"Layer '{self.name}': indices[{','.join(map(str, where))}] = {x[tuple(where)]} is not in [0, {self.input_dim}). "
                "Raise `input_dim`, or limit the ids (for example with `num_words`)."
            )

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def compute_mask(self, inputs, previous_mask=None):
        """Where ids are not 0, with `mask_zero`; else None."""
        return as_input(inputs, "int32", self.name) != 0 if self.mask_zero else None

    def lower(self, plan, x):
        ids = x.value
        mask = None
        if self.mask_zero:
            mask = plan.array(*ids.shape[1:], dtype="uint8")
            plan.program.add_mask(ids=ids, mask=mask)
        y = plan.tensor(*ids.shape[1:], self.output_dim, mask=mask)
        plan.program.add_embedding(
            ids=ids, table=self.embeddings.value, dtable=plan.gradient_of(self.embeddings), y=y.value, dy=y.gradient
        )
        return y

    def get_config(self):
        return {
            **super().get_config(), "input_dim": self.input_dim, "output_dim": self.output_dim, "mask_zero": self.mask_zero,
            "activity_regularizer": regularizers.serialize(self.activity_regularizer), "quantization_config": None,
            **serialized_parts(self, ("embeddings",)),
        }


class Masking(Layer):
    """Skips the time steps whose features all equal `mask_value`; it also zeroes them.

    Shapes: input and output (batch, timesteps, features).

    >>> Masking()([[[1.0], [0.0]]]).shape
    (1, 2, 1)
    """

    takes_ids = False
    needs_sequence = None

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = float(mask_value)

    def check_input(self, input_shape):
        if len(input_shape) != 3:
            raise self.incompatible("ndim=3", f"ndim={len(input_shape)}", input_shape)

    def compute_mask(self, inputs, previous_mask=None):
        """Which steps have a feature that is not `mask_value`."""
        return np.any(as_input(inputs, self.dtype, self.name) != self.mask_value, axis=-1)

    def lower(self, plan, x):
        y = plan.tensor(*x.shape[1:], mask=plan.array(x.shape[1], dtype="uint8"))
        if x.gradient is None:
            y.gradient = None
        plan.program.add_mask(mask=y.mask, x=x.value, y=y.value, dx=x.gradient, dy=y.gradient, value=self.mask_value)
        return y

    def get_config(self):
        return {**super().get_config(), "mask_value": self.mask_value}


class Activation(Layer):
    """An activation as a layer of its own.

    >>> Activation("relu")([[-1.0, 2.0]]).tolist()
    [[0.0, 2.0]]
    """

    takes_ids = False
    needs_sequence = None

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        activations.native_name(self.activation)

    def lower(self, plan, x):
        y = plan.like(x)
        plan.program.add_activation(
            activation=activations.native_name(self.activation), x=x.value, dx=x.gradient, y=y.value, dy=y.gradient
        )
        return y

    def get_config(self):
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


__all__ = ["Activation", "Dense", "Embedding", "Input", "InputLayer", "Masking"]
