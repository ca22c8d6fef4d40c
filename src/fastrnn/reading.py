"""While a model is built from a file, its weights are not drawn but left blank, and may take no more memory than the file explains."""

from contextvars import ContextVar

import numpy as np

_allowance = ContextVar("allowance", default=None)


class Blank:
    """`with Blank(size):` makes weights of zeros, of `size` bytes in all.

    Raises:
        ValueError: inside, when a weight would exceed the size.
    """

    def __init__(self, size):
        self.left = size

    def __enter__(self):
        self._before = _allowance.set(self)
        return self

    def __exit__(self, *exception):
        _allowance.reset(self._before)


def blank_weight(shape, dtype):
    """An array of zeros for a weight while a file is being read, else None."""
    allowance = _allowance.get()
    if allowance is None:
        return None
    size = np.dtype(dtype).itemsize
    for n in shape:
        size *= int(n)
    allowance.left -= size
    if allowance.left < 0:
        raise ValueError(f"The configuration asks for a weight of shape {tuple(shape)}, for which the file is too small.")
    return np.zeros(shape, dtype)
