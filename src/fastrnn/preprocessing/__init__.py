"""Preparation of data, as `keras.preprocessing`."""

from ..windows import timeseries_dataset_from_array as timeseries_dataset_from_array
from . import sequence as sequence
from . import text as text
