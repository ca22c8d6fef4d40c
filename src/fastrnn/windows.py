"""Sliding windows over a series, without copies of them."""

import numpy as np

from .array_dataset import ArrayDataset
from .random import generator


def timeseries_dataset_from_array(data, targets, sequence_length, sequence_stride=1, sampling_rate=1, batch_size=128, shuffle=False,
                                  seed=None, start_index=None, end_index=None, format="tf"):
    """Sliding windows over a series, in batches. The windows stay views of the series: a million of them cost no memory.

    Args:
        data: array-like (timesteps, ...).
        targets: array-like, of which entry i is the target of the window that starts at step i; None for inputs only.
        sequence_length: steps per window.
        sequence_stride: steps from one window to the next.
        sampling_rate: steps from one entry of a window to the next.
        batch_size: windows per batch; None to get them one by one.
        shuffle: whether the windows come in a new random order in each pass.
        seed: int that makes those orders repeat.
        start_index, end_index: only steps from `start_index` on and before `end_index` are used.
        format: "tf" or "grain", accepted for Keras's sake; the batches are NumPy arrays in any case.

    Returns:
        An `ArrayDataset`, which gives `x` (batch, sequence_length, ...) or `(x, y)`.

    Raises:
        ValueError: for an argument out of its range, as in Keras, and if `targets` is too short.

    >>> series = np.arange(10.0)
    >>> dataset = timeseries_dataset_from_array(series[:-3], series[3:], sequence_length=3, batch_size=2)
    >>> for x, y in dataset:
    ...     print(x.tolist(), y.tolist())
    [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]] [3.0, 4.0]
    [[2.0, 3.0, 4.0], [3.0, 4.0, 5.0]] [5.0, 6.0]
    [[4.0, 5.0, 6.0]] [7.0]
    """
    data = np.asarray(data)
    _check_range(len(data), start_index, end_index)
    for name, value in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if value <= 0:
            raise ValueError(f"`{name}` must be higher than 0. Received: {name}={value}")
        if value >= len(data):
            raise ValueError(
                f"`{name}` must be lower than the length of the data. Received: {name}={value}, for data of length {len(data)}"
            )
    if sequence_length <= 0:
        raise ValueError(f"`sequence_length` must be higher than 0. Received: sequence_length={sequence_length}")
    if format not in ("tf", "grain"):
        raise ValueError(f'`format` should be either "tf" or "grain". Received: format={format}')
    start, end = start_index or 0, len(data) if end_index is None else end_index
    reach = (sequence_length - 1) * sampling_rate + 1
    count = max(0, end - start - reach + 1)
    y = None
    if targets is not None:
        targets = np.asarray(targets)
        count = min(count, len(targets))
        y = targets[start:end][:count:sequence_stride]
    if count:
        windows = np.lib.stride_tricks.sliding_window_view(data[start:end], reach, axis=0)[:count:sequence_stride]
        x = np.moveaxis(windows, -1, 1)[:, ::sampling_rate]
    else:
        x = np.empty((0, sequence_length, *data.shape[1:]), data.dtype)
    if y is not None and len(y) < len(x):
        raise ValueError(
            f"`targets` has {len(targets)} entries, too few for windows that start at steps up to {start + count - 1}: entry i is the "
            "target of the window that starts at step i."
        )
    own = None if seed is None else np.random.default_rng(seed)
    return ArrayDataset((x,) if y is None else (x, y), batch_size, (lambda: (own or generator()).permutation(len(x))) if shuffle else None)


def _check_range(length, start_index, end_index):
    if start_index:
        if start_index < 0:
            raise ValueError(f"`start_index` must be 0 or greater. Received: start_index={start_index}")
        if start_index >= length:
            raise ValueError(
                "`start_index` must be lower than the length of the data. "
                f"Received: start_index={start_index}, for data of length {length}"
            )
    if end_index:
        if start_index and end_index <= start_index:
            raise ValueError(
                f"`end_index` must be higher than `start_index`. Received: start_index={start_index}, and end_index={end_index} "
            )
        if end_index >= length:
            raise ValueError(
                f"`end_index` must be lower than the length of the data. Received: end_index={end_index}, for data of length {length}"
            )
        if end_index <= 0:
            raise ValueError(f"`end_index` must be higher than 0. Received: end_index={end_index}")
