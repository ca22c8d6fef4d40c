"""Data sets of batches that can be read again and again, and that the training loop reads as fast as arrays."""

from itertools import islice

import numpy as np


class Batches:
    """Batches that come anew each time they are iterated over.

    Args:
        begin: function that gives an iterator over the batches.
        length: their number.
    """

    def __init__(self, begin, length):
        self._begin, self._length = begin, length

    def __len__(self):
        return self._length

    def __iter__(self):
        return self._begin()

    def take(self, count):
        """The first batches only; all if `count` is -1."""
        count = len(self) if count < 0 else min(count, len(self))
        return Batches(lambda: islice(self, count), count)

    def map(self, function):
        """The batches, each changed by a function of NumPy arrays: `function(x)`, or `function(x, y)` where there are targets."""
        return Batches(lambda: (function(*batch) if isinstance(batch, tuple) else function(batch) for batch in self), len(self))


class ArrayDataset(Batches):
    """Samples of arrays, in batches of NumPy arrays.

    Iterating gives `x`, or tuples `(x, y)` or `(x, y, sample_weight)`. `fit`, `evaluate` and `predict` take it as their `x` and read the
    rows where they lie. `len()` is the number of batches.

    Args:
        arrays: a tuple of arrays (samples, ...). The rows of one may overlap in memory, as windows over a series do.
        batch_size: samples per batch; None if samples come one by one.
        order: None, or a function that draws the order of the samples for a pass.
    """

    def __init__(self, arrays, batch_size=None, order=None):
        self.arrays, self.batch_size, self.order = arrays, batch_size, order
        samples = len(arrays[0])
        super().__init__(self._pass, samples if batch_size is None else -(-samples // batch_size))

    def rows(self):
        """The numbers of the samples in the order of a pass."""
        return np.arange(len(self.arrays[0])) if self.order is None else self.order()

    def _pass(self):
        rows, size = self.rows(), self.batch_size
        for which in rows if size is None else [rows[start : start + size] for start in range(0, len(rows), size)]:
            parts = tuple(np.array(array[which]) for array in self.arrays)
            yield parts if len(parts) > 1 else parts[0]

    def batch(self, batch_size):
        """The same samples in batches of this size."""
        return ArrayDataset(self.arrays, batch_size, self.order)
