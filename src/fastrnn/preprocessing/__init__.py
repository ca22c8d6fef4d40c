"""Preparation of data, as `keras.preprocessing`."""

from . import sequence as sequence
