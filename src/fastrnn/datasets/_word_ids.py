"""The steps that `imdb` and `reuters` share: from the word ranks of the file to the word ids a model sees."""

from __future__ import annotations

import numpy as np


def shuffled(xs: np.ndarray, labels: np.ndarray, rng: np.random.RandomState) -> tuple[list, np.ndarray]:
    """Samples and labels in a random order, which for the same state of the generator is that of Keras."""
    order = np.arange(len(xs))
    rng.shuffle(order)
    return xs[order].tolist(), labels[order]


def shifted(xs: list, start_char, index_from: int) -> list:
    """Each sample with `index_from` added to its words, after `start_char` unless that is `None`."""
    start = [] if start_char is None else [start_char]
    return [start + [word + index_from for word in x] for x in xs]


def shorter_than(maxlen, xs: list, labels: np.ndarray) -> tuple[list, np.ndarray]:
    """Only the samples with fewer than `maxlen` words; all when it is `None`.

    Raises:
        ValueError: there are none.
    """
    if not maxlen:
        return xs, labels
    kept = [position for position, x in enumerate(xs) if len(x) < maxlen]
    if not kept:
        raise ValueError(
            f"After filtering for sequences shorter than maxlen={maxlen}, no sequence was kept. "
            "Increase maxlen."
        )
    return [xs[position] for position in kept], labels[kept]


def limited(xs: list, num_words, skip_top: int, oov_char) -> list:
    """Each sample with the words outside `skip_top <= word < num_words` replaced by `oov_char`, or left out.

    As in Keras, without `num_words` the limit is the largest word, which itself lies outside.
    """
    if not num_words:
        num_words = max((max(x, default=0) for x in xs), default=0)
    if oov_char is None:
        return [[word for word in x if skip_top <= word < num_words] for x in xs]
    return [[word if skip_top <= word < num_words else oov_char for word in x] for x in xs]
