"""Helpers around training, as `keras.utils`."""

from .._custom_objects import (
    CustomObjectScope as CustomObjectScope,
    custom_object_scope as custom_object_scope,
    get_custom_objects as get_custom_objects,
    get_registered_name as get_registered_name,
    get_registered_object as get_registered_object,
    register_keras_serializable as register_keras_serializable,
)
from ..config import clear_session as clear_session
from ..saving import deserialize_keras_object as deserialize_keras_object, serialize_keras_object as serialize_keras_object
from ..preprocessing.sequence import pad_sequences as pad_sequences
from ..py_dataset import PyDataset as PyDataset
from ..windows import timeseries_dataset_from_array as timeseries_dataset_from_array
from .files import get_file as get_file
from .gradients import check_gradients as check_gradients, check_loss_gradient as check_loss_gradient
from .numerical import normalize as normalize, to_categorical as to_categorical
from .plots import model_to_dot as model_to_dot, plot_history as plot_history, plot_model as plot_model
from .seeds import set_random_seed as set_random_seed
from .splitting import split_dataset as split_dataset

Sequence = PyDataset  # its older name
