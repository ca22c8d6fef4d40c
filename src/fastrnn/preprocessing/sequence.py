"""Sequences of unequal length as one array."""

from __future__ import annotations

import numpy as np


def pad_sequences(
    sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0
) -> np.ndarray:
    """Pad and cut sequences to the same length.

    Args:
        sequences: list, or object array, of sequences; each a list or an array `(length, ...)`.
        maxlen: int, the length of the result; that of the longest sequence when `None`.
        dtype: dtype of the result; `object` for strings of any length.
        padding: "pre" or "post", the end at which shorter sequences are filled.
        truncating: "pre" or "post", the end at which longer sequences are cut.
        value: what they are filled with.

    Returns: array `(len(sequences), maxlen, ...)`.

    Raises:
        ValueError: an argument is none of the above, or the sequences' elements differ in shape.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]])
    array([[0, 0, 1],
           [0, 2, 3],
           [4, 5, 6]], dtype=int32)
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2, padding="post", truncating="post", value=-1)
    array([[ 1, -1],
           [ 2,  3],
           [ 4,  5]], dtype=int32)
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError("`sequences` must be iterable.")
    if truncating not in ("pre", "post"):
        raise ValueError(f'Truncating type "{truncating}" not understood')
    if padding not in ("pre", "post"):
        raise ValueError(f'Padding type "{padding}" not understood')
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(
            f"`dtype` {dtype} is not compatible with `value`'s type: {type(value)}\n"
            "You should set `dtype=object` for variable length strings."
        )
    longest, element_shape = _longest_and_element_shape(sequences)
    if maxlen is None:
        if not len(sequences):
            raise ValueError("`sequences` is empty: `maxlen` must be given, as there is no longest sequence.")
        maxlen = longest

    padded = np.full((len(sequences), maxlen, *element_shape), value, dtype=dtype)
    for position, (row, steps) in enumerate(zip(padded, sequences)):
        length = len(steps)
        if not length:
            continue
        if length > maxlen:
            steps = steps[length - maxlen :] if truncating == "pre" else steps[:maxlen]
            length = maxlen
        steps = np.asarray(steps, dtype=dtype)
        if length and steps.shape[1:] != element_shape:
            raise ValueError(
                f"Shape of sample {steps.shape[1:]} of sequence at position {position} is different "
                f"from expected shape {element_shape}"
            )
        if padding == "pre":
            row[maxlen - length :] = steps
        else:
            row[:length] = steps
    return padded


def _longest_and_element_shape(sequences) -> tuple[int, tuple[int, ...]]:
    """Length of the longest sequence, and shape of one element of the first that is not empty."""
    longest = 0
    element_shape = None
    for steps in sequences:
        try:
            length = len(steps)
        except TypeError as error:
            raise ValueError(
                f"`sequences` must be a list of iterables. Found non-iterable: {steps}"
            ) from error
        if length and element_shape is None:
            element_shape = np.asarray(steps).shape[1:]
        longest = max(longest, length)
    return longest, element_shape or ()
