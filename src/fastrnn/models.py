"""Sequential: a stack of layers that trains and predicts."""

from copy import deepcopy

from . import layers as layers_module
from . import saving
from .config import unique_name
from .layers.base import Stackable
from .layers.core import InputLayer
from .plan import Plan
from .saving.optimizer_state import optimizer_state, restore_optimizer_state
from .streaming import StreamState
from .summary import as_ascii, summary
from .training import Trainer
from .variables import Changes, assign_all

_MAX_SHAPES = 64  # input shapes that are remembered to fit
_NOT_COPIED = ("_plans", "_lock", "_parameters_object", "_layers_of_parameters", "history")


class Model(Stackable, Trainer):
    """What can be compiled, trained and saved. The one kind of model here is `Sequential`.

    Raises:
        TypeError: when anything else is made of it.
    """

    def __init__(self, *args, **kwargs):
        if not isinstance(self, Sequential):
            raise TypeError(
                f"{type(self).__name__} cannot be made: every model of fastrnn is a stack of layers with one input and one output. Write "
                "`Sequential([Input(shape), LSTM(8), Dense(1)])` instead of `Model(inputs, outputs)`; a model can be a layer of another one."
            )
        super().__init__()


class Sequential(Model):
    """A plain stack of layers, each with one input and one output. A model can be a layer of another one.

    Args:
        layers: list of layers; the first may be an `Input`.
        name: default "sequential", "sequential_1", ...
        trainable: whether the weights are updated in training.

    With the shape of the input known (`Input`, or `input_shape=` of the first layer) weights are made as layers are added; else at
    the first data.

    >>> import numpy as np
    >>> from fastrnn.layers import LSTM, Dense, Input
    >>> model = Sequential([Input((5, 1)), LSTM(7), Dense(1)])
    >>> model.count_params()
    260
    >>> model.predict(np.ones((3, 5, 1)), verbose=0).shape
    (3, 1)
    """

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__()
        self.name = name or unique_name("sequential")
        self._layers = ()
        self._fitting = {}  # shapes of inputs that were found to fit these layers, and of the outputs that they give
        self._input_shape = None
        self._input_is_assumed = False  # nobody has said it: from the kind of the first layer, or from data
        self._input_layer = None
        self._output_shape = None
        self._trainable = True
        for layer in [] if layers is None else layers:
            self.add(layer)
        if not trainable:
            self.trainable = False

    # -- the stack -------------------------------------------------------------------------------------------------------

    @property
    def layers(self):
        """The layers, without the `Input`."""
        return list(self._layers)

    def add(self, layer, rebuild=True):
        """Put a layer on top.

        Raises:
            ValueError: if it is no layer, has a name that is taken, or does not fit on the layer below.
        """
        if not isinstance(layer, Stackable):
            hint = " Did you mean to create it, as in `Dense(1)`?" if isinstance(layer, type) else ""
            raise ValueError(f"Only instances of `fastrnn.layers.Layer` can be added to a Sequential model. Received: {layer}.{hint}")
        if isinstance(layer, InputLayer):
            if self._layers or self._input_layer:
                raise ValueError(f"Sequential model '{self.name}' has already been configured to use input shape {self._input_shape}. "
                                 f"You cannot add a different Input layer to it.")
            self._input_layer = layer
            self._input_shape = self._output_shape = layer.batch_shape
            return
        if layer is self:
            raise ValueError(f"Sequential model '{self.name}' cannot be a layer of itself.")
        if any(layer.name == other.name and layer is not other for other in self._layers):
            raise ValueError(
                f"All layers added to a Sequential model should have unique names. Name '{layer.name}' is already the name of a layer in "
                "this model. Update the `name` argument to pass a unique name."
            )
        shape = self._output_shape
        if not self._layers and shape is None:
            shape = layer.input_spec_shape or layer.implicit_input_shape
            self._input_is_assumed = layer.input_spec_shape is None
        if self._input_is_assumed and getattr(layer, "stateful", False):
            shape = self._input_shape = None  # it needs a batch size, which `build` will say
        out = None
        if shape is not None:
            if self._layers and isinstance(shape[0], tuple):
                raise ValueError(
                    f"All layers in a Sequential model should have a single output tensor, but layer '{self._layers[-1].name}' has several "
                    f"(return_state=True or merge_mode=None); layer '{layer.name}' cannot follow it."
                )
            layer.ensure_built(shape)
            out = layer.compute_output_shape(shape)
        if not self._layers and self._input_shape is None:
            self._input_shape = shape
        self._layers = (*self._layers, layer)
        self._output_shape = out
        if not self._trainable:
            layer.trainable = False
        self._forget_plans()
        self._fitting.clear()

    def pop(self, rebuild=True):
        """Remove and return the layer on top."""
        layer = self._layers[-1]
        self._layers = self._layers[:-1]
        self._output_shape = self._input_shape if self._layers or self._input_layer else None
        if not self._layers and self._input_layer is None:
            self._input_shape = None
        for other in self._layers:
            self._output_shape = None if self._output_shape is None else other.compute_output_shape(self._output_shape)
        self._forget_plans()
        self._fitting.clear()
        return layer

    def get_layer(self, name=None, index=None):
        """A layer by its name or index."""
        if index is not None:
            if not -len(self._layers) <= index < len(self._layers):
                raise ValueError(f"Was asked to retrieve layer at index {index} but model only has {len(self._layers)} layers.")
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in self._layers]}.")

    def build(self, input_shape=None):
        """Make the weights for an input shape (batch first, None where unknown).

        Raises:
            ValueError: if there is no layer, no shape, or another shape was given before.
        """
        if not self._layers and self._input_layer is None:
            raise ValueError(f"Sequential model '{self.name}' cannot be built because it has no layers. Call `model.add(layer)`.")
        if input_shape is None:
            if self._input_shape is None:
                raise ValueError(f"You must provide an `input_shape` argument to build model '{self.name}'.")
            return
        shape = tuple(input_shape)
        if self._input_shape is not None and not self._input_is_assumed and shape != self._input_shape:
            raise ValueError(f"Sequential model '{self.name}' has already been configured to use input shape {self._input_shape}. "
                             f"You cannot build it with input_shape {shape}")
        self._output_shape = self._output_shape_for(shape, build=True)
        self._input_shape, self._input_is_assumed = shape, False

    def _build_for(self, shape):
        """Make sure that the weights exist and fit data of this shape."""
        if not self._layers:
            raise ValueError(f"Sequential model '{self.name}' has no layers. Use `add(layer)` first.")
        out = self._output_shape_for((None, *shape[1:]), build=True)  # the number of samples is no batch size
        if self._input_shape is None:
            self._input_is_assumed = True
            self._input_shape = (None, *[None] * (len(shape) - 2), shape[-1]) if len(shape) > 2 else (None, *shape[1:])
        if self._output_shape is None:
            self._output_shape = (None, *out[1:]) if not isinstance(out[0], tuple) else tuple((None, *s[1:]) for s in out)
        if len(self._fitting) == _MAX_SHAPES:
            self._fitting.clear()
        self._fitting[shape] = out

    def _output_shape_for(self, shape, build=False):
        for layer in self._layers:
            if build:
                layer.ensure_built(shape)
            shape = layer.compute_output_shape(shape)
        return shape

    @property
    def built(self):
        """Whether the weights exist."""
        return bool(self._layers) and all(layer.built for layer in self._layers)

    @property
    def input_shape(self):
        """Shape of the input, batch first."""
        if self._input_shape is None:
            raise AttributeError(f"Sequential model '{self.name}' has no defined input shape yet.")
        return self._input_shape

    @property
    def output_shape(self):
        """Shape of the output, batch first."""
        if self._output_shape is None:
            raise AttributeError(f"Sequential model '{self.name}' has no defined output shape yet.")
        return self._output_shape

    def compute_output_shape(self, input_shape):
        """Shape of the output for inputs of this shape."""
        return self._output_shape_for(tuple(input_shape))

    def __call__(self, x, training=False):
        """Outputs for one batch, as a NumPy array."""
        if not training:
            return self.predict_on_batch(x)
        x = self._inputs(x)
        plan = Plan(self._layers, x.shape[1:], len(x), True, self._parameters().version)
        plan.program.set_source(0, plan.input, x)
        plan.program.forward(len(x), training=True)
        return tuple(t.value for t in plan.output) if isinstance(plan.output, tuple) else plan.output.value

    # -- as a layer of another model ------------------------------------------------------------------------------------------

    @property
    def takes_ids(self):
        return next((layer.takes_ids for layer in self._layers if layer.takes_ids is not None), None)

    @property
    def dtype(self):
        """The type of weights and values, "float32" or "float64"."""
        return next((layer.dtype for layer in self._layers), "float32")

    @property
    def keeps_mask(self):
        return all(layer.keeps_mask for layer in self._layers)

    @property
    def mixes_samples(self):
        return any(layer.mixes_samples for layer in self._layers)

    @property
    def state_batch(self):
        return next((layer.state_batch for layer in self._layers if layer.state_batch is not None), None)

    @property
    def input_spec_shape(self):
        return self._input_shape

    needs_sequence = None  # its layers say so

    def check_values(self, x):
        lookup = self._lookup_layer()
        if lookup is not None:
            lookup.check_values(x)

    def ensure_built(self, input_shape):
        """Make the weights, or check that they fit, for inputs of this shape."""
        self._build_for(tuple(input_shape))

    def lower(self, plan, x):
        """Add the operations of all layers to a plan; from the input Tensor return the output Tensor."""
        for layer in self._layers:
            x = plan.lower(layer, x)
        return x

    # -- streams ------------------------------------------------------------------------------------------------------------

    def initial_state(self, batch_size=1):
        """A new state of zeros for `step`.

        Args:
            batch_size: number of sequences that will advance side by side.

        Raises:
            ValueError: if the model is not built, or has a layer that needs whole sequences (Bidirectional, go_backwards=True, Flatten).
        """
        return StreamState(self, batch_size)

    def step(self, x, state, out=None):
        """Advance a stream by one time step.

        The outputs are those of `predict` on the whole sequence: at its step t, or on the steps so far where the model ends without a time
        axis (a last recurrent layer with return_sequences=False). They come from the weights as they are now; training between steps
        is fine. `stateful` and `return_state` of the layers mean nothing here: `state` holds all there is.

        Args:
            x: (batch, features), or (batch,) ids for a model that starts with an Embedding. A C-contiguous array of the model's type is
                read as it is, anything else is converted first.
            state: from `initial_state`. It is changed in place.
            out: array (batch, units) of the model's type for the output; then nothing is allocated.

        Returns:
            The output (batch, units), in `out` if that is given, and `state`.

        Raises:
            ValueError: if `x` or `out` does not fit, or `state` is that of another model; then the state is what it was.
            RuntimeError: if another thread is using this state.

        >>> from fastrnn.layers import LSTM, Dense, Input
        >>> import numpy as np
        >>> model = Sequential([Input((None, 2)), LSTM(7), Dense(1)])
        >>> x = np.random.default_rng(0).standard_normal((1, 50, 2)).astype("float32")
        >>> state = model.initial_state()
        >>> for t in range(50):
        ...     y, state = model.step(x[:, t], state)
        >>> bool(np.allclose(y, model.predict(x, verbose=0), atol=1e-6))
        True
        """
        if not isinstance(state, StreamState):
            raise ValueError(f"Argument `state` must be a state of model '{self.name}', from `initial_state()`. Received: state={state!r:.60}")
        if state.layers is not self._layers or state.version.retired or state.configuration != Changes.configuration:
            state.attach(self)
        try:
            return state.program.step(x, out), state
        except (TypeError, ValueError, BufferError):
            pass
        return state.step(x, out), state

    # -- weights ------------------------------------------------------------------------------------------------------------

    @property
    def trainable(self):
        """Whether the weights are updated in training; setting it sets all layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        Changes.trainability += 1
        for layer in self._layers:
            layer.trainable = value

    @property
    def variables(self):
        """All weights, layer by layer; one that several layers share, where it comes first."""
        return list(dict.fromkeys(v for layer in self._layers for v in layer.variables))

    def set_weights(self, weights):
        """Replace the values of all weights.

        Raises:
            ValueError: if the number of arrays or a shape differs; then nothing was changed.
        """
        hint = "" if self.built else " The model has no weights yet: give the first layer an input shape, or call `build(input_shape)`."
        with self._lock:
            assign_all(self.variables, weights, self.name, hint)

    def count_params(self):
        """Number of elements of all weights."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can build it manually via: "
                "`model.build(input_shape)`."
            )
        return sum(v.value.size for v in self.variables)

    def reset_states(self):
        """Set the states of all stateful layers to zero."""
        for layer in self._layers:
            if layer.state_batch is not None:
                layer.reset_states()

    # -- description ------------------------------------------------------------------------------------------------------------

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False, layer_range=None):
        """Print the layers, their output shapes and numbers of parameters.

        Args:
            line_length: characters in a line; default as wide as the terminal, at most 88.
            positions: ends of the columns as shares of the line, default [0.45, 0.80, 1.0].
            print_fn: function that gets the whole text instead of standard output.
            expand_nested: also the layers of nested models.
            show_trainable: a further column: Y, N, or - for layers without weights.
            layer_range: (name, name), which may be regular expressions: only the layers from one to the other.
        """
        text = summary(self, line_length, positions, expand_nested, show_trainable, layer_range)
        if print_fn is not None:
            print_fn(text)
            return
        try:
            print(text, end="")
        except UnicodeEncodeError:
            print(as_ascii(text), end="")

    def get_config(self):
        """Name and layers, as a dict; weights are not part of it."""
        layers = [layers_module.serialize(layer) for layer in self._layers]
        if self._input_layer is not None:
            layers.insert(0, layers_module.serialize(self._input_layer))
        elif self._input_shape is not None:  # Keras takes the input's shape from nowhere else
            layers.insert(0, layers_module.serialize(InputLayer(batch_shape=self._input_shape, name="input_layer")))
        config = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype, "layers": layers}
        if self._input_shape is not None:
            config["build_input_shape"] = self._input_shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        model = cls([layers_module.deserialize(layer, custom_objects) for layer in config["layers"]], name=config.get("name"))
        if not model.built and config.get("build_input_shape"):
            model.build(config["build_input_shape"])
        return model

    # -- files ------------------------------------------------------------------------------------------------------------------------

    def save(self, filepath, overwrite=True, include_optimizer=True, save_format=None):
        """Write configuration, weights and training state to a file, atomically.

        Args:
            filepath: ends in `.keras` (Keras 3), `.h5` (Keras 2), or `.npz` (this package's own format, without h5py).
            overwrite: False raises an error if the file exists.
            include_optimizer: False leaves the training state out of a `.h5` file.
            save_format: accepted for Keras 2's sake; the ending of the name decides.

        Raises:
            ValueError: for another ending.
            FileExistsError: if the file exists and overwrite=False.
            ImportError: if h5py is needed and missing.
        """
        saving.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath, overwrite=True):
        """Write the weights (and, in `.weights.h5`, the optimizer's state) to a `.weights.h5` or `.npz` file, atomically."""
        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath, skip_mismatch=False, by_name=False):
        """Read the weights from a file of `save` or `save_weights`, or of Keras.

        Args:
            filepath: ends in `.weights.h5`, `.keras`, `.h5` or `.npz`. A model that has been trained takes the optimizer's state of a
                `.weights.h5` or `.keras` file too.
            skip_mismatch: leave layers that do not fit as they are, with a warning.
            by_name: in `.h5` files, find layers by name instead of by place.

        Raises:
            ValueError: if the file is not one, or its weights do not fit; then nothing was changed.
        """
        saving.load_weights(self, filepath, skip_mismatch, by_name)

    def to_json(self, **kwargs):
        """The configuration as JSON text, for `fastrnn.models.model_from_json`; `kwargs` go to `json.dumps`."""
        from .saving.configs import model_config, to_json

        return to_json(model_config(self), **kwargs)

    def get_compile_config(self):
        """What `compile` was given, as a dict, which is empty before `compile`."""
        from .saving.compiling import compile_config

        return compile_config(self) if self.compiled else {}

    def compile_from_config(self, config):
        """`compile` with what `get_compile_config` gave."""
        from .saving.configs import compile_model

        compile_model(self, config)

    def export(self, filepath, format="onnx", verbose=None, input_signature=None, opset_version=None):
        """Write the model for other programs to run; see `fastrnn.interop.export_onnx`.

        Args:
            filepath: of the file.
            format: "onnx", the only one.
            verbose: whether to print where the file is; default True, as in Keras.
            input_signature: for Keras's sake; must be None, as the shape of the input is `input_shape`.
            opset_version: version of the ONNX operators.

        Raises:
            ValueError: for another format, a model that is not built, or a layer that ONNX cannot express.
            ImportError: if the package `onnx` is not installed.

        >>> from fastrnn.layers import LSTM, Input
        >>> model = Sequential([Input((None, 3)), LSTM(7)])
        >>> model.export("model.onnx", format="onnx")  # doctest: +SKIP
        Saved artifact at 'model.onnx'.
        """
        if format != "onnx":
            raise ValueError(f"Unrecognized format={format}. Supported formats are: ['onnx'].")
        if input_signature is not None:
            raise ValueError(
                "Argument `input_signature` must be None: the shape of the input is that of the model, "
                f"{self._input_shape}. Received: input_signature={input_signature!r:.80}"
            )
        from .interop import export_onnx

        export_onnx(self, filepath, opset_version)
        if verbose or verbose is None:
            print(f"Saved artifact at '{filepath}'.")

    # -- copies ------------------------------------------------------------------------------------------------------------------------

    def __getstate__(self):
        state = {k: v for k, v in self.__dict__.items() if k not in _NOT_COPIED}
        state["_optimizer_state"] = optimizer_state(self)
        return state

    def __setstate__(self, state):
        import threading

        optimizer = state.pop("_optimizer_state")
        self.__dict__.update(state)
        self._plans, self._lock, self._parameters_object, self.history = {}, threading.RLock(), None, None
        self._layers_of_parameters = None
        restore_optimizer_state(self, optimizer)

    def __repr__(self):
        return f"<Sequential name={self.name}, built={self.built}>"


load_model = saving.load_model
save_model = saving.save_model


def model_from_json(json_string, custom_objects=None):
    """The model of `Sequential.to_json`, with new weights.

    Raises:
        ValueError: if the text is not JSON, holds no model, or has unknown classes.

    >>> from fastrnn.layers import Dense, Input
    >>> model_from_json(Sequential([Input((3,)), Dense(2)], name="small").to_json())
    <Sequential name=small, built=True>
    """
    import json

    model = saving.deserialize_keras_object(json.loads(json_string), custom_objects)
    if not isinstance(model, Model):
        raise ValueError(f"The text holds no model, but {type(model).__name__}: {json_string[:100]!r}")
    return model


def clone_model(model, input_tensors=None, clone_function=None, call_function=None, recursive=False):
    """A model of the same configuration with new layers and new weights; compiled with copies of what the model was compiled with, if it was.

    Args:
        model: a `Sequential`.
        clone_function: function from a layer to its copy; default: a new layer of the same configuration.
        input_tensors, call_function: for Keras's functional models, of which there are none here; must be None.
        recursive: clone models inside of the model by `clone_model` too.

    Raises:
        ValueError: if `model` is no `Sequential`, or `clone_function` no function.

    >>> from fastrnn.layers import Dense, Input
    >>> model = Sequential([Input((3,)), Dense(2)])
    >>> clone_model(model).layers[0] is model.layers[0]
    False
    """
    if not isinstance(model, Sequential):
        raise ValueError(f"Argument `model` must be a `Sequential`. Received: model={model!r}")
    if input_tensors is not None or call_function is not None:
        raise ValueError("Arguments `input_tensors` and `call_function` are for functional models and must be None for a `Sequential`.")
    if clone_function is not None and not callable(clone_function):
        raise ValueError(f"Argument `clone_function` must be a function. Received: clone_function={clone_function!r}")

    def clone(layer):
        if recursive and isinstance(layer, Sequential):
            return clone_model(layer, clone_function=clone_function, recursive=True)
        return clone_function(layer) if clone_function else type(layer).from_config(layer.get_config())

    layers = [clone(layer) for layer in model.layers]
    if model._input_layer is not None:
        layers.insert(0, type(model._input_layer).from_config(model._input_layer.get_config()))
    copy = type(model)(layers, name=model.name, trainable=model.trainable)
    if model._input_shape is not None and not (copy.built and model._input_is_assumed):
        copy.build(model._input_shape)
    if model.compiled:
        optimizer, (metrics, weighted) = model.optimizer, deepcopy(model._metric_arguments)
        copy.compile(type(optimizer).from_config(optimizer.get_config()), model.loss, model._loss_weight, metrics, weighted)
    return copy
