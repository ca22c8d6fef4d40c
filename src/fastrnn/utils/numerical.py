"""Small conversions of arrays."""

from __future__ import annotations

import numpy as np


def to_categorical(x, num_classes=None, dtype="float64") -> np.ndarray:
    """Turn class numbers into one-hot rows.

    Args:
        x: array-like of ints from 0 to `num_classes - 1`; a last axis of size 1 is dropped.
        num_classes: int; `max(x) + 1` when `None`.
        dtype: dtype of the result.

    Returns: array `(..., num_classes)`.

    Raises:
        ValueError: a class lies outside the range (Keras lets a negative class count from the end).

    >>> to_categorical([0, 2], 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    classes = np.array(x, dtype=np.int64)
    if classes.ndim > 1 and classes.shape[-1] == 1:
        classes = classes[..., 0]
    if not num_classes:
        if not classes.size:
            raise ValueError("`x` is empty: `num_classes` must be given, as there is no largest class.")
        num_classes = int(classes.max()) + 1
    if classes.size and not (0 <= classes.min() and classes.max() < num_classes):
        raise ValueError(
            f"Expected classes from 0 to {num_classes - 1} (`num_classes`={num_classes}). "
            f"Received: `x` from {classes.min()} to {classes.max()}."
        )
    one_hot = np.zeros((classes.size, num_classes), dtype)
    one_hot[np.arange(classes.size), classes.reshape(-1)] = 1
    return one_hot.reshape(*classes.shape, num_classes)


def normalize(x, axis=-1, order=2) -> np.ndarray:
    """Divide by the norm along an axis; what has norm 0 stays.

    Keras places the norms on the wrong axis when `axis=0`; here each column is divided by its own norm.

    Args:
        x: array-like.
        axis: int.
        order: order of the norm, as in `numpy.linalg.norm`.

    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    x = np.asarray(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm)
