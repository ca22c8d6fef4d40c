"""Optimizers by Keras's names: `get("adam")`, `Adam(1e-3)`; schedules in `fastrnn.optimizers.schedules`."""

from .. import _identifiers
from . import schedules
from .base import Optimizer
from .in_python import Adafactor, Lamb, Muon
from .rules import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Ftrl, Lion, Nadam, RMSprop

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_TABLE = {
    cls.__name__.lower(): cls
    for cls in (SGD, RMSprop, Adam, AdamW, Adamax, Nadam, Adagrad, Adadelta, Lion, Ftrl, Adafactor, Lamb, Muon)
}


_TABLE |= {cls.__name__: cls for cls in _TABLE.values()}


def get(identifier):
    """An optimizer from its name (in any case), config dict, or itself.

    Raises:
        ValueError: for an unknown name (the message suggests the nearest one) or something else.

    >>> type(get("RMSprop")).__name__, get("adam").learning_rate
    ('RMSprop', 0.0010000000474974513)
    """
    return deserialize(identifier)


def deserialize(config, custom_objects=None):
    """Like `get`, with a dict of further classes by name."""
    if isinstance(config, Optimizer):
        return config
    if isinstance(config, str):
        config = _known_case(config)
    elif isinstance(config, dict) and "class_name" in config:
        config = {**config, "class_name": _known_case(config["class_name"])}
    elif config is not None:
        raise ValueError(f"Could not interpret optimizer identifier: {config}")
    return _identifiers.deserialize("optimizer", config, _TABLE, custom_objects)


def serialize(optimizer):
    """The dict of class name and config that `get` turns back into an equal optimizer."""
    return _identifiers.serialize(optimizer)


def _known_case(name):
    return name.lower() if name not in _TABLE and name.lower() in _TABLE else name
