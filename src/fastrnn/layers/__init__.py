"""Layers, by Keras's names."""

import inspect

from .. import _identifiers, _sharing
from .activation import ELU, LeakyReLU, PReLU, ReLU, Softmax
from .base import Layer
from .cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .convolutional import Conv1D, Conv2D
from .core import Activation, Dense, Embedding, Input, InputLayer, Masking
from .functional import ActivityRegularization, Lambda
from .noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from .normalization import BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, UnitNormalization
from .pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from .recurrent import GRU, LSTM, RNN, SimpleRNN
from .reshaping import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D, ZeroPadding2D
from .scaling import Normalization, Rescaling
from .text import TextVectorization
from .time_distributed import TimeDistributed
from .wrappers import Bidirectional

_TABLE = {name: cls for name, cls in globals().items() if isinstance(cls, type) and issubclass(cls, Layer) and cls is not Layer}

Convolution1D = Conv1D
Convolution2D = Conv2D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D

__all__ = ["Input", "Layer", "deserialize", "serialize", *_TABLE]


def serialize(layer):
    """The dict of class name and config that `deserialize` turns back into an equal layer, without its weights."""
    config = _identifiers.serialize(layer)
    if layer.build_shape is not None and layer.variables:
        config["build_config"] = {"input_shape": layer.build_shape}
    return _sharing.numbered(config, layer)


def deserialize(config, custom_objects=None):
    """A layer from `serialize`'s dict, or from Keras's.

    Raises:
        ValueError: for an unknown class.
    """
    from ..models import Sequential

    cls = _identifiers.find("layer", config, {**_TABLE, "Sequential": Sequential}, custom_objects)
    options = {"custom_objects": custom_objects} if "custom_objects" in inspect.signature(cls.from_config).parameters else {}
    return _sharing.made_once(config, lambda: cls.from_config(config["config"], **options))
