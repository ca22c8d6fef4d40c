"""The Layer contract: configuration, weights, shapes, and how it lowers itself to native operations."""

import numpy as np

from .. import _identifiers, constraints, initializers, reading, regularizers
from ..config import floatx, unique_name
from ..plan import Plan
from ..variables import Changes, HasWeights, Variable, assign_all
from . import in_python


class Stackable(HasWeights):
    """What a Sequential asks of its parts, which are layers or models.

    Beside these attributes a part has `name`, `dtype`, `built`, `trainable`, `variables`, `ensure_built`, `compute_output_shape`, `lower`
    and `get_config`.
    """

    takes_ids = None  # True: whole numbers; False: floats; None: passes on whatever comes
    keeps_mask = True  # the output has the mask of the input
    supports_masking = True  # a mask of the input is used or passed on; where it is lost instead, a warning says so
    input_spec_shape = None  # input shape given to the part itself, batch first
    implicit_input_shape = None  # input shape assumed where a model's first layer is given none
    activity_regularizer = None  # penalty on the outputs
    build_shape = None  # the input shape that the weights were made for
    mixes_samples = False  # in training the output for a sample depends on the others of the batch
    state_batch = None  # the number of samples that the states of a stateful layer were made for
    # why `Sequential.step` cannot run the layer; None in layers to which every time step stands for itself
    needs_sequence = "it may look at several time steps at once"

    def check_values(self, x):
        """Raise for input values that the part cannot take (Embedding: indices out of range)."""


class Layer(Stackable):
    """Base class of all layers.

    A layer is configuration, weights and shapes. The layers of this package have no computation of their own: `lower` adds native operations
    to a plan, which a model (or a call on an array) then runs.

    A layer of your own gives `forward(x)`, NumPy in and out, and `backward(x, y, dy)`, which returns the gradient of `x` and hands those
    of weights to `add_gradient`: there is no tape that could find them. They see a batch as arrays that must not be changed. `forward` may
    take `training` and `mask` too. What the output's shape is, `compute_output_shape` says, or a trial on zeros. `takes_ids`,
    `keeps_mask` and `needs_sequence` are class attributes to set where they differ. `utils.check_gradients` compares the two methods.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((input_shape[-1],), "ones", "factor")
    ...     def forward(self, x):
    ...         return x * self.factor.value
    ...     def backward(self, x, y, dy):
    ...         self.factor.add_gradient((dy * x).sum(axis=0))
    ...         return dy * self.factor.value
    >>> Scale()(np.ones((2, 3))).shape
    (2, 3)

    Args:
        activity_regularizer: penalty on the outputs, divided by the number of samples.
        trainable: whether training updates the weights.
        name: default is the class's name in snake case with a number.
        dtype: "float32" or "float64"; default `config.floatx()`.
        input_shape, input_dim, input_length, batch_input_shape, batch_size: shape of the input of a model's first layer, as
            in Keras 2 and 3: `input_shape=(timesteps, features)`.
    """

    def __init__(self, *, activity_regularizer=None, trainable=True, name=None, dtype=None, input_shape=None, input_dim=None, input_length=None,
                 batch_input_shape=None, batch_shape=None, batch_size=None, weights=None, **kwargs):
        if kwargs:
            import difflib

            near = difflib.get_close_matches(next(iter(kwargs)), self._argument_names(), n=1)
            hint = f". Did you mean `{near[0]}`?" if near else ""
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}{hint}")
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"Argument `name` must be a string and cannot contain character `/`. Received: name={name} (of type {type(name)})")
        self.name = name or unique_name(_identifiers.to_snake_case(type(self).__name__))
        self.dtype = _float_type(dtype)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._trainable = bool(trainable)
        self.built = False
        self._variables = []
        self._initial_weights = weights
        shape = batch_input_shape or batch_shape
        if shape is not None:
            shape = tuple(shape)
        elif input_shape is not None:
            shape = (batch_size, *_as_tuple(input_shape, "input_shape"))
        elif input_dim is not None:
            shape = (batch_size, input_length, input_dim) if self._input_rank() == 3 else (batch_size, input_dim)
        if shape is not None:
            _check_shape(shape, self)
            self.input_spec_shape = shape

    def __setattr__(self, name, value):
        known = vars(self)
        if known.get("built") and name in known and not name.startswith("_") and known[name] is not value and type(self).forward is Layer.forward:
            Changes.configuration += 1  # what runs natively was told the old value
        super().__setattr__(name, value)

    @classmethod
    def _argument_names(cls):
        names = set()
        for c in cls.__mro__:
            code = getattr(c.__dict__.get("__init__"), "__code__", None)
            if code is not None:
                names.update(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
        return names

    def _input_rank(self):
        return None

    # -- weights -------------------------------------------------------------------------------------------------------

    def add_weight(self, shape=None, initializer="glorot_uniform", name=None, *, dtype=None, trainable=True,
                   regularizer=None, constraint=None):
        """Create a weight of this layer and return it."""
        shape, initialize = tuple(shape or ()), initializers.get(initializer)
        if None in shape:
            raise ValueError(
                "Shapes used to initialize variables must be fully-defined (no `None` dimensions). Received: "
                f"shape={shape} for variable path='{self.name}/{name}'"
            )
        value = reading.blank_weight(shape, dtype or self.dtype)
        if value is None:
            value = initialize(shape, dtype=dtype or self.dtype)
        variable = Variable(
            np.array(value, dtype=dtype or self.dtype, order="C"), name or "variable", trainable,
            regularizers.get(regularizer), constraints.get(constraint),
        )
        variable.path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _built_once(cls.build)

    def build(self, input_shape):
        """Create the weights for an input shape (batch first, None where unknown); only the first call does anything."""
        self.built = True

    def ensure_built(self, input_shape):
        """`build`, after checking the shape."""
        self.check_input(input_shape)
        if not self.built:
            self.build(tuple(input_shape))
            self.build_shape = tuple(input_shape)

    def check_input(self, input_shape):
        """Raise ValueError if inputs of this shape do not fit."""

    def incompatible(self, expected, found, shape, hint=""):
        """The error for an input of a wrong shape."""
        return ValueError(
            f"Input 0 of layer '{self.name}' is incompatible with the layer: expected {expected}, found {found}. "
            f"Full shape received: {_shape_text(shape)}{hint}"
        )

    def wrong_size(self, axis, size, shape):
        """The error for an input whose axis has another size than the weights were made for."""
        return ValueError(
            f"Input 0 of layer '{self.name}' is incompatible with the layer: expected axis {axis} of input shape to have value {size}, "
            f"but received input with shape {_shape_text(shape)}"
        )

    @property
    def trainable(self):
        """Whether training updates the weights."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        Changes.trainability += 1
        self._apply_trainable()

    def _apply_trainable(self):
        for variable in self.variables:
            variable.trainable = self._trainable and variable.is_parameter

    @property
    def variables(self):
        """All weights, in Keras's order."""
        return list(self._variables)

    def set_weights(self, weights):
        """Replace the values of all weights.

        Raises:
            ValueError: if the number of arrays or a shape differs; then nothing was changed.
        """
        hint = "" if self.built else " The layer has no weights yet: call it, or `build(input_shape)`, first."
        assign_all(self.variables, weights, self.name, hint)

    def count_params(self):
        """Number of elements of all weights."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. "
                "You can build it manually via: `layer.build(input_shape)`."
            )
        return sum(v.value.size for v in self.variables)

    # -- shapes and lowering -------------------------------------------------------------------------------------------------

    def compute_output_shape(self, input_shape):
        """Shape of the output (a tuple of them where there are several), batch first."""
        return tuple(input_shape) if type(self).forward is Layer.forward else in_python.shape_on_trial(self, tuple(input_shape))

    def lower(self, plan, x):
        """Add this layer's operations to a plan; from the input Tensor return the output Tensor."""
        return in_python.lower(self, plan, x)

    def forward(self, x):
        """In a layer of your own: the output for a batch, as an array."""
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `forward()` method implemented.")

    def backward(self, x, y, dy):
        """In a layer of your own: the gradient of `x` from input, output and the gradient of the output."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `backward()` method implemented, which training needs of layers that have weights, "
            "or stand above layers that have."
        )

    def check_differentiable(self):
        """Raise where training would need a gradient that the layer cannot give."""
        if type(self).backward is Layer.backward:
            self.backward(None, None, None)

    def compute_mask(self, inputs, previous_mask=None):
        """The mask of the output for an array and its mask, or None where the output has none."""
        return previous_mask if self.keeps_mask else None

    def output_mask(self, plan, x):
        """The mask of the output of `forward` in a plan, or None."""
        return x.mask if self.keeps_mask else None

    def __call__(self, x, training=False, **options):
        """Run the layer on an array, as inference unless `training`; returns NumPy arrays."""
        if isinstance(x, Stackable):
            raise TypeError(
                f"Layer '{self.name}' was called on a layer, {x.name}. Layers are called on arrays; to stack them write "
                "`Sequential([Input(shape), LSTM(8), Dense(1)])`."
            )
        x = as_input(x, "int32" if self.takes_ids else self.dtype, self.name)
        self.ensure_built(x.shape)
        if not x.shape[0]:
            raise ValueError(f"Layer '{self.name}' was called on an empty batch, shape {x.shape}.")
        self.check_values(x)
        plan = Plan([self], x.shape[1:], x.shape[0], bool(training), self._version(), **options)
        plan.program.set_source(0, plan.input, x)
        plan.program.forward(x.shape[0], training=bool(training))
        out = plan.output
        return tuple(t.value for t in out) if isinstance(out, tuple) else out.value

    def mask_of(self, plan, x, mask):
        """The mask of a call, (batch, timesteps): the given one, or that of the input."""
        if mask is None:
            return x.mask
        mask = np.asarray(mask)
        if mask.shape != x.shape[:2]:
            raise ValueError(f"Argument `mask` of layer '{self.name}' must have shape {x.shape[:2]}. Received: mask.shape={mask.shape}")
        return np.ascontiguousarray(mask.astype(bool)).view(np.uint8)

    def _version(self):
        from .._native import Version

        return self.variables[0].version if self.variables else Version()

    # -- configuration ---------------------------------------------------------------------------------------------------------

    def get_config(self):
        """The arguments of the constructor, as a dict."""
        config = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _built_once(build):
    """Around every subclass's `build`: weights are made once, then `trainable` and the user's initial weights apply."""

    def built_once(self, input_shape):
        if self.built:
            return
        build(self, tuple(input_shape))
        self.built, self.build_shape = True, tuple(input_shape)
        self._apply_trainable()
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)

    built_once.__doc__ = build.__doc__
    return built_once


def as_input(x, dtype, name):
    """x as a C-contiguous array of the layer's type."""
    array = as_numbers(x, dtype, name)
    return np.ascontiguousarray(array, dtype=dtype) if array.ndim else array.astype(dtype)


def as_numbers(x, dtype, name):
    """x as an array of numbers that `dtype` can hold, in the type and layout that it has."""
    try:
        array = np.asarray(from_tensor(x))
    except ValueError:
        array = None
    if array is None or array.dtype == object:
        try:
            array = np.asarray(x, dtype=dtype)
        except (ValueError, TypeError):
            raise ValueError(
                f"{name}: expected an array of numbers, got {_describe(x)}. Rows of unequal length can be padded with "
                "`fastrnn.utils.pad_sequences`."
            ) from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected an array of numbers, got dtype {array.dtype} ({_describe(x)}).")
    if dtype == "int32" and array.dtype != np.int32 and array.size:
        low, high = array.min(), array.max()
        if not (low > -(2**31) and high < 2**31):  # also for NaN
            raise ValueError(f"{name}: expected ids, whole numbers of 32 bits; got values from {low} to {high}.")
    return array if array.flags.aligned else array.copy()  # np.frombuffer can begin in the middle of an element


def from_tensor(x):
    """A tensor of another package as an array; all else as it is."""
    if type(x) is np.ndarray:
        return x
    if hasattr(x, "detach"):  # it may be part of a graph, or on another device
        x = x.detach().cpu()
    return x.numpy() if callable(getattr(x, "numpy", None)) else x


def _describe(x):
    text = repr(x)
    return f"{type(x).__name__} {text[:60]}{'...' if len(text) > 60 else ''}"


def _float_type(dtype):
    name = floatx() if dtype is None else getattr(dtype, "name", dtype)
    if isinstance(name, dict):
        name = (name.get("config") or {}).get("name")
    if name not in ("float32", "float64"):
        name = getattr(name, "__name__", str(name))
    if name not in ("float32", "float64"):
        raise ValueError(f"Argument `dtype` must be 'float32' or 'float64'. Received: dtype={dtype!r}")
    return str(name)


def _as_tuple(shape, argument):
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    try:
        return tuple(shape)
    except TypeError:
        raise ValueError(f"Argument `{argument}` must be a tuple. Received: {argument}={shape!r}") from None


def _check_shape(shape, layer):
    for n in shape:
        if n is not None and (isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0):
            raise ValueError(f"Every dimension of an input shape must be None or a non-negative integer. Received: {shape}")
    if len(shape) > 1 and 0 in shape[1:]:
        raise ValueError(f"Layer '{layer.name}' cannot have an input shape with a zero dimension. Received: {shape}")


def _shape_text(shape):
    return str(tuple(None if n is None else int(n) for n in shape))


def positive_int(value, argument, layer=None):
    """The value as an int, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value <= 0:
        where = f" of layer '{layer}'" if layer else ""
        raise ValueError(
            f"Received an invalid value for argument `{argument}`{where}, expected a positive integer. Received: {argument}={value!r}"
        )
    return int(value)
