"""Layers, by Keras's names."""

import inspect

from .. import _identifiers
from .base import Layer
from .cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .convolutional import Conv2D
from .core import Activation, Dense, Dropout, Embedding, Flatten, Input, InputLayer, Masking, Reshape
from .functional import ActivityRegularization, Lambda
from .recurrent import GRU, LSTM, RNN, SimpleRNN
from .time_distributed import TimeDistributed
from .wrappers import Bidirectional

Convolution2D = Conv2D

__all__ = [
    "GRU", "LSTM", "RNN", "Activation", "ActivityRegularization", "Bidirectional", "Conv2D", "Dense", "Dropout", "Embedding", "Flatten",
    "GRUCell", "Input", "InputLayer", "LSTMCell", "Lambda", "Layer", "Masking", "Reshape", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells",
    "TimeDistributed", "deserialize", "serialize",
]

_TABLE = {
    cls.__name__: cls
    for cls in (
        Activation, ActivityRegularization, Bidirectional, Conv2D, Dense, Dropout, Embedding, Flatten, GRU, GRUCell, InputLayer, LSTM, LSTMCell,
        Lambda, Masking, RNN, Reshape, SimpleRNN, SimpleRNNCell, StackedRNNCells, TimeDistributed,
    )
}


def serialize(layer):
    """The dict of class name and config that `deserialize` turns back into an equal layer, without its weights."""
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def deserialize(config, custom_objects=None):
    """A layer from `serialize`'s dict."""
    from ..models import Sequential

    custom_objects = custom_objects or {}
    cls = _identifiers.lookup("layer", config["class_name"], {**_TABLE, "Sequential": Sequential, **custom_objects})
    if "custom_objects" in inspect.signature(cls.from_config).parameters:
        return cls.from_config(config["config"], custom_objects=custom_objects)
    return cls.from_config(config["config"])
