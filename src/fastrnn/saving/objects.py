"""Configurations of single objects, of every kind."""

import numpy as np

from .. import _custom_objects, _identifiers, _lambdas

_KINDS = ("layers", "models", "losses", "metrics", "optimizers", "initializers", "regularizers", "constraints", "activations")


def serialize(obj):
    if isinstance(obj, (list, tuple)):
        return type(obj)(serialize(entry) for entry in obj)
    if isinstance(obj, dict):
        return {key: serialize(value) for key, value in obj.items()}
    if obj is None or isinstance(obj, (str, int, float, bool)):
        return obj
    if isinstance(obj, np.ndarray) and obj.ndim:
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": str(obj.dtype)}}
    if isinstance(obj, (np.ndarray, np.generic)):
        return obj.item()
    from ..layers import Layer
    from ..layers import serialize as serialize_layer

    if isinstance(obj, Layer):
        return serialize_layer(obj)
    if hasattr(obj, "_layers"):
        from .configs import model_config

        return model_config(obj)
    return _identifiers.serialize(obj)


def deserialize(config, custom_objects=None, safe_mode=True):
    with _custom_objects.CustomObjectScope(custom_objects), _lambdas.SafeMode(safe_mode):
        return _deserialize(config)


def _deserialize(config):
    from .compiling import compile_from
    from .configs import adapted, array_of

    if isinstance(config, (list, tuple)):
        return [_deserialize(entry) for entry in config]
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {key: _deserialize(value) for key, value in config.items()}
    if config["class_name"] == "__numpy__":
        return array_of(config["config"])
    config = adapted(config)
    found = _identifiers.deserialize("object", config, _table(config))
    shape = (config.get("build_config") or {}).get("input_shape")
    if shape is not None and hasattr(found, "build") and not found.built:
        found.build(tuple(shape))
    if config.get("compile_config"):
        compile_from(found, config["compile_config"])
    return found


def _table(config):
    """All classes and functions that a configuration may name, those of its own module last, so that they win."""
    import importlib

    from ..models import Sequential
    from ..optimizers import schedules

    module = str(config.get("module") or "").removeprefix("keras.").split(".")[0]
    table = {"Sequential": Sequential, **schedules._TABLE}
    for kind in sorted(_KINDS, key=lambda kind: kind == module):
        table |= getattr(importlib.import_module(f"fastrnn.{kind}"), "_TABLE", {})
    return {**table, **{cls.__name__: cls for cls in table.values()}}
