"""Helpers around training, as `keras.utils`."""

from ..config import clear_session as clear_session
from ..preprocessing.sequence import pad_sequences as pad_sequences
from ..py_dataset import PyDataset as PyDataset
from ..windows import timeseries_dataset_from_array as timeseries_dataset_from_array
from .files import get_file as get_file
from .gradients import check_gradients as check_gradients
from .numerical import normalize as normalize, to_categorical as to_categorical
from .seeds import set_random_seed as set_random_seed
from .splitting import split_dataset as split_dataset

Sequence = PyDataset  # its older name
