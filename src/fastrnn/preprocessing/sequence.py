"""Sequences as arrays: padding, windows over a series, pairs of neighbouring words."""

from __future__ import annotations

import numpy as np

from ..py_dataset import PyDataset


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


class TimeseriesGenerator(PyDataset):
    """Batches of windows over a series, each with the target at the step that follows it (Keras 2).

    `timeseries_dataset_from_array` is its successor; there a window's target belongs to the window's first step.

    Args:
        data: list or array (timesteps, ...).
        targets: list or array of the same length.
        length: how many steps before the target a window reaches back.
        sampling_rate: steps from one entry of a window to the next.
        stride: steps from one window to the next.
        start_index, end_index: first and last step that is used.
        shuffle: draw the windows at random (with `numpy.random`) instead of in their order.
        reverse: turn the steps of each window around.
        batch_size: windows per batch.
        **kwargs: of `PyDataset`.

    Raises:
        ValueError: if `data` and `targets` differ in length, or no window fits.

    >>> generator = TimeseriesGenerator(np.arange(6), np.arange(6) * 10, length=3, batch_size=2)
    >>> for x, y in generator:
    ...     print(x.tolist(), y.tolist())
    [[0, 1, 2], [1, 2, 3]] [30, 40]
    [[2, 3, 4]] [50]
    """

    def __init__(self, data, targets, length, sampling_rate=1, stride=1, start_index=0, end_index=None, shuffle=False, reverse=False,
                 batch_size=128, **kwargs):
        super().__init__(**kwargs)
        if len(data) != len(targets):
            raise ValueError(
                f"Data and targets have to be of same length. Data length is {len(data)} while target length is {len(targets)}"
            )
        self.data, self.targets, self.length, self.sampling_rate, self.stride = data, targets, length, sampling_rate, stride
        self.start_index = start_index + length
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle, self.reverse, self.batch_size = shuffle, reverse, batch_size
        if self.start_index > self.end_index:
            raise ValueError(
                f"`start_index+length={self.start_index} > end_index={self.end_index}` is disallowed, as no part of the sequence would be "
                "left to be used as current step."
            )

    def __len__(self):
        span = self.batch_size * self.stride
        return (self.end_index - self.start_index + span) // span

    def __getitem__(self, index):
        span = self.batch_size * self.stride
        if self.shuffle:
            rows = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + span * index
            rows = np.arange(first, min(first + span, self.end_index + 1), self.stride)
        x = np.array([self.data[row - self.length : row : self.sampling_rate] for row in rows])
        return x[:, ::-1] if self.reverse else x, np.array([self.targets[row] for row in rows])

    def get_config(self):
        """Arguments as a dict, `data` and `targets` as JSON; `start_index` is the step of the first target, as in Keras.

        Raises:
            TypeError: if `data` or `targets` holds what JSON cannot.
        """
        config = {name: _as_json(getattr(self, name), name) for name in ("data", "targets")}
        return config | {name: getattr(self, name) for name in ("length", "sampling_rate", "stride", "start_index", "end_index", "shuffle",
                                                                "reverse", "batch_size")}

    def to_json(self, **kwargs):
        """`get_config` and the name of the class as JSON.

        Args:
            **kwargs: for `json.dumps`.
        """
        import json

        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def _as_json(values, name):
    import json

    try:
        return json.dumps(values.tolist() if isinstance(values, (np.ndarray, np.generic)) else values)
    except TypeError as error:
        raise TypeError(f"{name.capitalize()} not JSON Serializable: {values}") from error


def make_sampling_table(size, sampling_factor=1e-5) -> np.ndarray:
    """Probability with which `skipgrams` takes a word, by its rank: words that are frequent after Zipf's law are taken less often.

    Args:
        size: number of ranks.
        sampling_factor: as in word2vec.

    Returns: float64 array (size,).

    >>> make_sampling_table(3).round(5)
    array([0.00315, 0.00315, 0.00548])
    """
    rank = np.maximum(np.arange(size), 1)
    inverse_frequency = rank * (np.log(rank) + 0.577) + 0.5 - 1 / (12 * rank)
    return np.minimum(1.0, np.sqrt(sampling_factor * inverse_frequency))


def skipgrams(sequence, vocabulary_size, window_size=4, negative_samples=1.0, shuffle=True, categorical=False, sampling_table=None,
              seed=None) -> tuple[list, list]:
    """Pairs of words: neighbours in a sequence, labelled 1, and words with random others, labelled 0.

    Args:
        sequence: list of word numbers; 0 is no word and is skipped.
        vocabulary_size: largest number + 1.
        window_size: how far neighbours may lie from each other.
        negative_samples: random pairs for each pair of neighbours.
        shuffle: whether to shuffle the pairs.
        categorical: labels [1, 0] and [0, 1] instead of 0 and 1.
        sampling_table: None, or for each word the probability that it is taken (`make_sampling_table`).
        seed: int for the shuffling; it seeds Python's `random`, which makes all draws here.

    Returns: a list of pairs and a list of labels.

    >>> skipgrams([1, 2, 3], 4, window_size=1, negative_samples=0, shuffle=False)
    ([[1, 2], [2, 1], [2, 3], [3, 2]], [1, 1, 1, 1])
    """
    import random

    couples = []
    for i, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        for j in range(max(0, i - window_size), min(len(sequence), i + window_size + 1)):
            if j != i and sequence[j]:
                couples.append([word, sequence[j]])
    labels = [[0, 1] if categorical else 1 for _ in couples]
    if negative_samples > 0 and couples:
        count = int(len(labels) * negative_samples)
        words = [word for word, _ in couples]
        random.shuffle(words)
        couples += [[words[k % len(words)], random.randint(1, vocabulary_size - 1)] for k in range(count)]
        labels += [[1, 0] if categorical else 0 for _ in range(count)]
    if shuffle:
        if seed is None:
            seed = random.randint(0, 10_000_000)
        for part in (couples, labels):
            random.seed(seed)
            random.shuffle(part)
    return couples, labels
