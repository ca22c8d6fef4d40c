"""PyDataset: batches by their number, as `fit` reads them."""


class PyDataset:
    """Base class of data that is made batch by batch, as `keras.utils.PyDataset` (and `Sequence`, its older name).

    A subclass has `__getitem__(index)`, which returns a batch (inputs, targets[, sample weights]), and `__len__` (or the property
    `num_batches`, where None says that there is no end), the number of batches. `fit`, `evaluate` and `predict` take it as `x`; `fit`
    draws a new order of the batches in each epoch, unless `shuffle=False`.

    Args:
        workers, use_multiprocessing, max_queue_size: accepted for Keras's sake. Batches are made one after the other in the thread
            that trains.

    >>> import numpy as np
    >>> class Doubles(PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         x = np.full((2, 1), index, "float32")
    ...         return x, 2 * x
    >>> [y.sum().item() for x, y in Doubles()]
    [0.0, 4.0, 8.0]
    """

    workers, use_multiprocessing, max_queue_size = 1, False, 10

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index):
        """The batch of this number."""
        raise NotImplementedError(f"{type(self).__name__} must implement `__getitem__(index)`.")

    def __iter__(self):
        index, length = 0, number_of_batches(self)
        while length is None or index < length:
            yield self[index]
            index += 1

    @property
    def num_batches(self):
        """The number of batches; None where there is no end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(
            "You need to implement the `num_batches` property:\n\n@property\ndef num_batches(self):\n  return ..."
        )

    def on_epoch_begin(self):
        """Called before each epoch."""

    def on_epoch_end(self):
        """Called after each epoch, and by `fit` and `evaluate` once before the first."""


def is_py_dataset(x):
    """Whether x is a PyDataset, of this package or of Keras."""
    return hasattr(x, "__getitem__") and hasattr(x, "on_epoch_end")


def number_of_batches(x):
    """How many batches x gives in a pass; None if that is unknown, or there is no end."""
    try:
        return x.num_batches if is_py_dataset(x) and hasattr(type(x), "num_batches") else len(x)
    except (TypeError, NotImplementedError):
        return None
