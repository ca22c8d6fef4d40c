"""Where the files of a data set are: a local file, Keras's cache, or the internet."""

from __future__ import annotations

import os

from ..utils.files import get_file

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def locate(path, name: str, file_hash: str) -> str:
    """Return the path of a readable file for the data set file `name`.

    Args:
        path: a file of the user's, which is taken as it is; otherwise the name in the cache.
        name: name of the public file.
        file_hash: SHA-256 or MD5 of the public file, as Keras's source gives it.
    """
    path = os.fspath(path)
    if os.path.isfile(path):
        return path
    if os.path.basename(path) != path:
        raise FileNotFoundError(
            f"There is no file {path}. Leave `path` out to download {_ORIGIN}{name}, "
            "or give the path of a copy of that file."
        )
    try:
        return get_file(path, origin=_ORIGIN + name, file_hash=file_hash)
    except OSError as error:
        raise OSError(f"{error} Or give the place of your copy in the argument `path`.") from error


def read_word_index(path: str) -> dict[str, int]:
    """Read a JSON file that maps words to numbers.

    Raises:
        ValueError: it holds something else.
    """
    import json

    with open(path, encoding="utf-8") as file:
        try:
            index = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(index, dict) or not all(type(number) is int for number in index.values()):
        raise ValueError(f"Expected {path} to hold a JSON object that maps words to integers.")
    return index
