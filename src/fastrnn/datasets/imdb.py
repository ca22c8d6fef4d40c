"""50,000 film reviews from IMDB, half of them good and half bad (Maas et al. 2011)."""

from __future__ import annotations

import numpy as np

from . import _word_ids
from ._download import locate, read_word_index
from ._npz import as_object_array, load_npz


def load_data(
    path="imdb.npz",
    num_words=None,
    skip_top=0,
    maxlen=None,
    seed=113,
    start_char=1,
    oov_char=2,
    index_from=3,
):
    """Load the reviews as lists of word ids, in the order Keras has them.

    A word's id is its rank by frequency plus `index_from`; 0 is left for padding.

    Args:
        path: a local copy of Keras's `imdb.npz`; otherwise the name in the cache folder `~/.keras/datasets`,
            to which the file (17 MB) is downloaded once.
        num_words: int, ids from this one on become `oov_char`; when `None`, only the largest id does, as in
            Keras.
        skip_top: int, ids below this one become `oov_char`.
        maxlen: int, reviews of this many ids or more are left out.
        seed: int, of the order of the reviews.
        start_char: id that starts each review, or `None`.
        oov_char: id of words left out, or `None` to drop them.
        index_from: int, see above.

    Returns: `(x_train, y_train), (x_test, y_test)`: 1-D object arrays of lists (also where Keras makes a
        matrix of lists of equal length), and arrays of labels, 1 for good.

    Raises:
        ValueError: the file is damaged, or `maxlen` leaves no review.
        OSError: the file is not there and cannot be downloaded.

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10000)  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((25000,), (25000,))
    """
    path = locate(path, "imdb.npz", "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f")
    arrays = load_npz(path, sequences=("x_train", "x_test"), labels=("y_train", "y_test"))
    rng = np.random.RandomState(seed)
    parts = []
    for part in ("train", "test"):
        xs, labels = _word_ids.shuffled(arrays[f"x_{part}"], arrays[f"y_{part}"], rng)
        xs = _word_ids.shifted(xs, start_char, index_from)
        parts.append(_word_ids.shorter_than(maxlen, xs, labels))
    (x_train, y_train), (x_test, y_test) = parts

    # Together, because without `num_words` the limit comes from both.
    xs = _word_ids.limited(x_train + x_test, num_words, skip_top, oov_char)
    labels = np.concatenate([y_train, y_test])
    n = len(x_train)
    return (as_object_array(xs[:n]), labels[:n]), (as_object_array(xs[n:]), labels[n:])


def get_word_index(path="imdb_word_index.json") -> dict[str, int]:
    """Return the dict from words to their ranks; `load_data` adds `index_from` to a rank.

    Args:
        path: a local copy of Keras's file; otherwise the name in the cache folder, to which it is
            downloaded once.

    >>> get_word_index()["the"]  # doctest: +SKIP
    1
    """
    return read_word_index(locate(path, "imdb_word_index.json", "bfafd718b763782e994055a2d397834f"))
