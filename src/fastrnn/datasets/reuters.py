"""11,228 Reuters newswires of 46 topics (after the collection Reuters-21578)."""

from __future__ import annotations

import numpy as np

from . import _word_ids
from ._download import locate, read_word_index
from ._npz import as_object_array, load_npz


def load_data(
    path="reuters.npz",
    num_words=None,
    skip_top=0,
    maxlen=None,
    test_split=0.2,
    seed=113,
    start_char=1,
    oov_char=2,
    index_from=3,
):
    """Load the newswires as lists of word ids, in the order Keras has them.

    Args:
        path: a local copy of Keras's `reuters.npz`; otherwise the name in the cache folder
            `~/.keras/datasets`, to which the file (2 MB) is downloaded once.
        num_words, skip_top, maxlen: as in `fastrnn.datasets.imdb.load_data`.
        test_split: float from 0 to 1, the share of the newswires, taken from the end, that is test data.
        seed, start_char, oov_char, index_from: as in `fastrnn.datasets.imdb.load_data`.

    Returns: `(x_train, y_train), (x_test, y_test)`: 1-D object arrays of lists (also where Keras makes a
        matrix of lists of equal length), and arrays of topics, 0 to 45.

    Raises:
        ValueError: the file is damaged, `test_split` is out of range, or `maxlen` leaves no newswire.
        OSError: the file is not there and cannot be downloaded.

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10000)  # doctest: +SKIP
    >>> x_train.shape, x_test.shape  # doctest: +SKIP
    ((8982,), (2246,))
    """
    if not 0 <= test_split <= 1:
        raise ValueError(f"`test_split` must be a float from 0 to 1. Received: test_split={test_split}")
    path = locate(path, "reuters.npz", "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916")
    arrays = load_npz(path, sequences=("x",), labels=("y",))
    xs, labels = _word_ids.shuffled(arrays["x"], arrays["y"], np.random.RandomState(seed))
    xs = _word_ids.shifted(xs, start_char, index_from)
    xs, labels = _word_ids.shorter_than(maxlen, xs, labels)
    xs = _word_ids.limited(xs, num_words, skip_top, oov_char)
    n = int(len(xs) * (1 - test_split))
    return (as_object_array(xs[:n]), labels[:n]), (as_object_array(xs[n:]), labels[n:])


def get_word_index(path="reuters_word_index.json") -> dict[str, int]:
    """Return the dict from words to their ranks; `load_data` adds `index_from` to a rank.

    Args:
        path: a local copy of Keras's file; otherwise the name in the cache folder, to which it is
            downloaded once.

    >>> get_word_index()["the"]  # doctest: +SKIP
    1
    """
    return read_word_index(locate(path, "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921"))


def get_label_names() -> tuple[str, ...]:
    """Return the names of the 46 topics, in the order of the labels.

    >>> get_label_names()[3]
    'earn'
    """
    return _LABEL_NAMES


_LABEL_NAMES = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply",
    "coffee", "sugar", "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi",
    "money-fx", "interest", "gnp", "meal-feed", "alum", "oilseed", "gold", "tin", "strategic-metal",
    "livestock", "retail", "ipi", "iron-steel", "rubber", "heat", "jobs", "lei", "bop", "zinc",
    "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)
