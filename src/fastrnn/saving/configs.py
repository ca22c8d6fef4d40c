"""A model's configuration as Keras writes it, and Keras's (of this version and older ones) as this package reads it."""

import json
import sys

import numpy as np

from .. import _custom_objects, _identifiers, _lambdas
from .._sharing import Sharing
from ..reading import Blank
from .compiling import compile_config, compile_from
from .functional import as_sequential

MAX_CONFIG = 16 << 20  # bytes of JSON
_MAX_OBJECTS = 20_000  # layers, initializers, ... in one configuration
_MAX_LAYERS = 2_000
_MAX_OF_METRICS = {"num_thresholds": 1_000_000, "num_classes": 10_000}
# what nonsense in a configuration leads to
_DAMAGED = (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError)


# -- writing ---------------------------------------------------------------------------------------------------------------------


def layout_config(model):
    """The class and the arguments of a model and of its layers."""
    with Sharing():
        return _identifiers.serialize(model)


def model_config(model):
    """The whole configuration of a model: `layout_config`, input shape, and what `compile` was given."""
    config = layout_config(model)
    if model._input_shape is not None:
        config["build_config"] = {"input_shape": model._input_shape}
    if model._compiled:
        config["compile_config"] = compile_config(model)
    return config


def to_json(value, **options):
    """JSON text of a configuration."""
    return json.dumps(value, default=_plain, **options)


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": value.tolist(), "dtype": str(value.dtype)}}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{value!r} cannot be written to a model file")


# -- reading ---------------------------------------------------------------------------------------------------------------------


def from_json(text, broken):
    """The dict of a JSON text. `broken(why)` makes the error if there is none."""
    if len(text) > MAX_CONFIG:
        raise broken(f"{len(text)} bytes of configuration")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise broken(f"its configuration is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise broken("its configuration is no dict")
    return value


def model_from_config(config, size, broken, custom_objects=None, safe_mode=True):
    """The model of a configuration, with blank weights that take at most `size` bytes; not compiled.

    Raises:
        ValueError: for everything that is wrong with it.
    """
    from ..models import Sequential

    with _custom_objects.CustomObjectScope(custom_objects), _lambdas.SafeMode(safe_mode), Sharing(), Blank(size):
        try:
            _check_counts(config, broken)
            if config.get("class_name") in ("Functional", "Model"):
                config = as_sequential(config)
            config = adapted(config)
            found = _identifiers.find("model", config, {"Sequential": Sequential})
            model = found.from_config(config["config"])
            shape = (config.get("build_config") or {}).get("input_shape")
            if not model.built and shape:
                model.build(shape)
        except _DAMAGED as error:
            raise broken(f"its configuration cannot be understood: {type(error).__name__}: {error}") from error
    return model


def compile_model(model, config, custom_objects=None, safe_mode=True):
    """`compile` as a configuration says.

    Raises:
        ValueError: if it is damaged, or has unknown optimizers, losses or metrics.
    """
    with _custom_objects.CustomObjectScope(custom_objects), _lambdas.SafeMode(safe_mode):
        try:
            compile_from(model, adapted(config))
        except (*_DAMAGED, ValueError) as error:
            raise ValueError(
                f"The file's training configuration cannot be used: {error} Pass `compile=False` to load the model without it."
            ) from error


def _check_counts(config, broken):
    """A small file must not make many objects."""
    count, todo = 0, [config]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            count += "class_name" in value
            for key, most in _MAX_OF_METRICS.items():
                if isinstance(value.get(key), (int, float)) and value[key] > most:
                    raise broken(f"{key}={value[key]}, at most {most} are read")
            layers = value.get("layers")
            if isinstance(layers, list) and len(layers) > _MAX_LAYERS:
                raise broken(f"{len(layers)} layers, at most {_MAX_LAYERS} are read")
            todo += value.values()
        elif isinstance(value, list):
            todo += value
        if count > _MAX_OBJECTS:
            raise broken(f"more than {_MAX_OBJECTS} objects")


def adapted(config):
    """A configuration in the words of this package, all the way down."""
    if isinstance(config, list):
        return [adapted(entry) for entry in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "__numpy__":
        return array_of(config["config"])
    result = {key: adapted(value) for key, value in config.items()}
    if "class_name" in result and isinstance(result.get("config"), dict):
        result["config"] = _without_policy(result["config"])
        result["config"] = _without_nothings(result["config"], _own_layer(result))
    return result


def array_of(config):
    """The array of numbers that `_plain` wrote."""
    dtype = np.dtype(config.get("dtype"))
    if dtype.kind not in "fiub":
        raise ValueError(f"An array of numbers was expected in the configuration, not of {dtype}")
    return np.array(config["value"], dtype)


def _without_policy(config):
    """`dtype` as a name. Mixed precision keeps its weights in float32, and that is what this package computes in."""
    dtype = config.get("dtype")
    name = dtype["config"].get("name") if isinstance(dtype, dict) and isinstance(dtype.get("config"), dict) else dtype
    if name in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16"):
        import warnings

        warnings.warn(f"The file's dtype policy {name!r} is not supported; the model computes in float32.", stacklevel=2)
        name = "float32"
    return config if name is dtype else {**config, "dtype": name}


def _own_layer(config):
    """The class of this package that a configuration names, or None."""
    layers = sys.modules["fastrnn.layers"]
    custom = _custom_objects.known()
    name = config["class_name"]
    if not isinstance(name, str) or name in custom or config.get("registered_name") in custom:
        return None
    found = getattr(layers, name, None)
    return found if isinstance(found, type) and issubclass(found, layers.Layer) else None


def _without_nothings(config, cls):
    """Without what only says that something is off which no layer here has; in a layer of this package, any such argument that it lacks."""
    known = {"batch_input_shape", "batch_shape", *cls._argument_names()} if cls else config.keys() - {"quantization_config", "lora_rank"}
    return {key: value for key, value in config.items() if key in known or (value is not None and value is not False)}
