"""Two data sets of one."""

from __future__ import annotations

import numpy as np

from ..array_dataset import ArrayDataset


def split_dataset(dataset, left_size=None, right_size=None, shuffle=False, seed=None, preferred_backend=None):
    """Split samples in two: the first ones to the left, the last ones to the right.

    Args:
        dataset: what `timeseries_dataset_from_array` returns, an array (samples, ...), or a list or tuple of arrays of one length.
        left_size, right_size: a share of the samples (float), their number (int), or None for the rest.
        shuffle: whether to shuffle the samples before; the split parts keep their order from then on.
        seed: int that makes the shuffling repeat.
        preferred_backend: accepted for Keras's sake.

    Returns:
        Two data sets of NumPy arrays, in batches where `dataset` had them, sample by sample otherwise; `batch(size)` makes batches,
        which `fit` and the others take as their `x`.

    Raises:
        TypeError: for another type of data or size.
        ValueError: for sizes that do not fit, or arrays of different lengths.

    >>> left, right = split_dataset((np.arange(5), np.arange(5) * 10), left_size=0.6)
    >>> [(x.tolist(), y.tolist()) for x, y in left.batch(2)]
    [([0, 1], [0, 10]), ([2], [20])]
    >>> [(x.tolist(), y.tolist()) for x, y in right]
    [(3, 30), (4, 40)]
    """
    if isinstance(dataset, (list, tuple)) and dataset and all(isinstance(array, np.ndarray) for array in dataset):
        if len({len(array) for array in dataset}) > 1:
            raise ValueError("Received a list of NumPy arrays with different lengths. Please provide a list of NumPy arrays of the same "
                             f"length. Received: {[len(array) for array in dataset]}")
        dataset = ArrayDataset(tuple(dataset))
    elif isinstance(dataset, np.ndarray):
        dataset = ArrayDataset((dataset,))
    elif not isinstance(dataset, ArrayDataset):
        raise TypeError("The `dataset` argument must be either the result of `timeseries_dataset_from_array`, an array, or a list/tuple of "
                        f"arrays. Received: dataset={dataset!r:.100} of type {type(dataset)}")
    if left_size is None and right_size is None:
        raise ValueError("At least one of the `left_size` or `right_size` must be specified. Received: left_size=None and right_size=None")
    total = len(dataset.arrays[0])
    left, right = _number(left_size, "left_size", total), _number(right_size, "right_size", total)
    left = total - right if left is None else left
    right = total - left if right is None else right
    if left + right > total:
        raise ValueError(f"The sum of `left_size` and `right_size` should be smaller than the {total} samples. Received: "
                         f"left_size={left_size}, right_size={right_size}")
    for size, name in ((left, "left_size"), (right, "right_size")):
        if size == 0:
            raise ValueError(f"With `dataset` of length={total}, `left_size`={left_size} and `right_size`={right_size} the resulting part "
                             f"of `{name}` would be empty.")
    if not shuffle and dataset.order is None:
        parts = slice(left), slice(total - right, total)  # views
    else:
        rows = dataset.rows().tolist()
        if shuffle:
            _shuffle(rows, seed)
        parts = rows[:left], rows[total - right :]
    return tuple(ArrayDataset(tuple(array[part] for array in dataset.arrays), dataset.batch_size) for part in parts)


def _shuffle(rows, seed):
    """By Python's `random`, which gives Keras's order."""
    import random

    random.seed(random.randint(0, 1_000_000) if seed is None else seed)
    random.shuffle(rows)


def _number(size, name, total):
    """The number of samples for a size."""
    if size is None:
        return None
    if type(size) not in (int, float):
        raise TypeError(f"Invalid `{name}` Type. Expected: int or float or None, Received: type({name})={type(size)}.")
    if size <= 0 or size >= (total if isinstance(size, int) else 1):
        raise ValueError(f"`{name}` should be either a positive integer smaller than {total}, or a float within the range `[0, 1]`. "
                         f"Received: {name}={size}")
    return size if isinstance(size, int) else round(size * total)
