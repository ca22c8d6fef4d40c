"""Layers, by Keras's names."""

from .. import _identifiers
from .base import Layer
from .convolutional import Conv2D
from .core import Activation, Dense, Dropout, Embedding, Flatten, Input, InputLayer, Masking, Reshape
from .recurrent import GRU, LSTM, SimpleRNN
from .wrappers import Bidirectional

Convolution2D = Conv2D

__all__ = [
    "GRU", "LSTM", "Activation", "Bidirectional", "Conv2D", "Dense", "Dropout", "Embedding", "Flatten", "Input",
    "InputLayer", "Layer", "Masking", "Reshape", "SimpleRNN", "deserialize", "serialize",
]

_TABLE = {
    cls.__name__: cls
    for cls in (
        Activation, Bidirectional, Conv2D, Dense, Dropout, Embedding, Flatten, GRU, InputLayer, LSTM, Masking, Reshape, SimpleRNN
    )
}


def serialize(layer):
    """The dict of class name and config that `deserialize` turns back into an equal layer, without its weights."""
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def deserialize(config, custom_objects=None):
    """A layer from `serialize`'s dict."""
    cls = _identifiers.lookup("layer", config["class_name"], {**_TABLE, **(custom_objects or {})})
    return cls.from_config(config["config"])
