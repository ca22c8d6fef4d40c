"""Where batches come from, epoch after epoch: arrays, windows, generators, sequences of batches, loaders of other packages."""

import itertools
import types
import warnings

import numpy as np

from .array_dataset import ArrayDataset
from .data import unpack_batch
from .py_dataset import is_py_dataset, number_of_batches
from .random import generator


class ArrayFeed:
    """Batches of rows of arrays.

    Args:
        data: Arrays.
        size: rows per batch.
        order: function that gives the order of the rows for a pass, an int64 array; None leaves them as they are.
    """

    def __init__(self, data, size, order=None):
        self.rows = rows = len(data)
        self.data, self.size, self.order = data, size if size < rows else rows, order
        self.length = -(-rows // size)

    def __iter__(self):
        data, rows, size, order = self.data, self.rows, self.size, None if self.order is None else self.order()
        for start in range(0, rows, size):
            yield data, order, start, size if start + size <= rows else rows - start

    def whole_pass(self):
        """(Arrays, order, 0, number of rows): all batches of a pass at once."""
        return self.data, None if self.order is None else self.order(), 0, self.rows

    def epoch_begin(self):
        """Arrays need no word about epochs."""

    epoch_end = epoch_begin


class LengthFeed:
    """Sequences of unequal length in batches of equal length.

    Args:
        samples: list of arrays (length, ...).
        size: rows per batch.
        convert: from an array (samples, length, ...) to Arrays.

    Attributes:
        places: for each group of equal length, in the order in which they come, which of the samples it holds.
    """

    def __init__(self, samples, size, convert):
        groups = {}
        for place, sample in enumerate(samples):
            groups.setdefault(len(sample), []).append(place)
        self.places = [np.array(group) for group in groups.values()]
        self.feeds = [ArrayFeed(convert(np.stack([samples[k] for k in group])), size) for group in self.places]
        self.size = size
        self.length = sum(feed.length for feed in self.feeds)

    def __iter__(self):
        for feed in self.feeds:
            yield from feed

    def epoch_begin(self):
        """Nothing to do, as with arrays."""

    epoch_end = epoch_begin


class StreamFeed:
    """Batches that an object of the user's gives one by one.

    Args:
        source: a generator or other iterator, a `PyDataset`, or anything that can be iterated over again and again.
        convert: from a batch to Arrays.
        shuffle: whether the batches of a `PyDataset` come in a new order in each pass.
    """

    size = None  # each batch is an array of its own

    def __init__(self, source, convert, shuffle=False):
        self.source, self.convert, self.shuffle = source, convert, shuffle
        self.sequence = is_py_dataset(source)
        self.once = hasattr(source, "__next__")
        self.length = None if self.once else number_of_batches(source)
        if self.once:
            self._look_ahead()

    def _look_ahead(self):
        """Like Keras take the first two batches; every pass begins with them and then goes on with what is left."""
        self.first = list(itertools.islice(self.source, 2))
        if not self.first:
            raise ValueError(
                "When passing a Python generator to a Keras model, the generator must yield at least one batch. "
                "Received an empty generator. A generator gives its batches only once: make a new one for each call."
            )
        if isinstance(self.source, types.GeneratorType) and not isinstance(self.first[0], tuple):
            raise ValueError(
                "When passing a Python generator to a Keras model, the generator must return a tuple, either (input,) or "
                f"(inputs, targets) or (inputs, targets, sample_weights). Received: {self.first[0]!r:.300}"
            )

    def _batches(self):
        if self.once:
            return itertools.chain(self.first, self.source)
        if self.sequence or not hasattr(self.source, "__iter__"):
            return (self.source[number] for number in self._numbers())
        return iter(self.source)

    def _numbers(self):
        if self.length is None:
            return itertools.count()
        return generator().permutation(self.length).tolist() if self.shuffle and self.sequence else range(self.length)

    def __iter__(self):
        for batch in self._batches():
            if self.sequence:
                _check_item(batch)
            data = self.convert(*unpack_batch(batch))
            yield data, None, 0, len(data)

    def epoch_begin(self):
        """Tell the source that a pass begins."""
        if self.sequence and hasattr(self.source, "on_epoch_begin"):
            self.source.on_epoch_begin()

    def epoch_end(self):
        """Tell the source that a pass is over."""
        if self.sequence:
            self.source.on_epoch_end()


def _check_item(batch):
    if isinstance(batch, (dict, np.ndarray)) or (isinstance(batch, (tuple, list)) and 1 <= len(batch) <= 3):
        return
    raise ValueError(
        "PyDataset.__getitem__() must return a tuple or a dict. If a tuple, it must be ordered either (input,) or (inputs, targets) or "
        f"(inputs, targets, sample_weights). Received: {str(batch)[:100]}... of type {type(batch)}"
    )


class Epochs:
    """The batches of epoch after epoch, counted as Keras counts them. Iterating gives one epoch: (Arrays, order, first place, rows).

    With a number of steps an epoch goes on where the last one stopped; where the data ends within an epoch that one stays short, with a
    warning, and the next begins anew.

    Args:
        feed: one of the above.
        steps: batches per epoch; None for all there are.
    """

    def __init__(self, feed, steps=None):
        self.feed, self.steps = feed, steps
        self._as_they_are = steps is None and isinstance(feed, ArrayFeed)  # a pass over arrays ends where they end: nothing to count
        self._forget()

    def _forget(self):
        self._known, self._seen, self._pass = self.feed.length, 0, None

    @property
    def length(self):
        """Number of batches per epoch, None if unknown."""
        return self.steps or self.feed.length

    def reset(self):
        """Begin with a new pass."""
        self._forget()
        self.feed.epoch_end()

    def __iter__(self):
        return iter(self.feed) if self._as_they_are else self._counted()

    def runs(self):
        """The same in larger parts: (Arrays, order, start, stop), for batches of `feed.size` (None: one batch) of those rows."""
        if self._as_they_are:
            return iter((self.feed.whole_pass(),))
        return ((data, order, start, start + n) for data, order, start, n in self._counted())

    def _counted(self):
        feed = self.feed
        feed.epoch_begin()
        if self._pass is None or self.steps is None:
            self._pass, self._seen = iter(feed), 0
        limit, step = self.steps or self._known, 0
        while limit is None or step < limit:
            if self._known is not None and self._seen >= self._known:
                if self.steps is not None:
                    _warn_of_the_end()
                break
            item = next(self._pass, None)
            if item is None:  # before anyone knew
                self._known = self._seen + 1 if self._known is None else self._known
                self._pass = None
                if self.steps is not None or getattr(feed, "once", False):
                    _warn_of_the_end()
                break
            self._seen += 1
            step += 1
            yield item
        if self._known is not None and self._seen >= self._known:
            self._pass = None
        feed.epoch_end()


def _warn_of_the_end():
    warnings.warn(
        "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at least "
        "`steps_per_epoch * epochs` batches. You may need to use the `.repeat()` function when building your dataset.",
        stacklevel=4,
    )


def stream_feed(x, convert, shuffle=False):
    """The feed of an `x` that gives whole batches."""
    if isinstance(x, ArrayDataset) and x.batch_size is not None and len(x):
        return ArrayFeed(convert(*unpack_batch(x.arrays)), x.batch_size, x.order)
    return StreamFeed(x, convert, shuffle)


def shuffled(n, shuffle, size):
    """The `order` of an ArrayFeed for the argument `shuffle` of `fit`: True, False or "batch" (only within each batch)."""
    if shuffle == "batch":
        return lambda: np.concatenate([start + generator().permutation(min(size, n - start)) for start in range(0, n, size)])
    return (lambda: generator().permutation(n)) if shuffle else None


def check_alone(x, y=None, sample_weight=None, class_weight=None):
    """Raise for arguments that do not go together with an `x` that gives whole batches."""
    kind = _kind_of(x)
    for value, name, content in ((y, "y", "the targets"), (sample_weight, "sample_weights", "the sample weights")):
        if value is not None:
            raise ValueError(f"When providing `x` as a {kind}, `{name}` should not be passed. Instead, {content} should be included as "
                             f"part of the {kind}.")
    if class_weight is not None and kind in ("generator", "torch DataLoader"):
        inputs = "Python generator inputs" if kind == "generator" else "torch DataLoader inputs"
        raise ValueError(
            f"Argument `class_weight` is not supported for {inputs}. Received: class_weight={class_weight}. Let the batches be "
            "(inputs, targets, sample_weights) instead."
        )


def _kind_of(x):
    if is_py_dataset(x):
        return "PyDataset"
    if hasattr(x, "__next__"):
        return "generator"
    if any(c.__name__ == "DataLoader" and c.__module__.startswith("torch.utils.data") for c in type(x).__mro__):
        return "torch DataLoader"
    return "tf.data.Dataset" if any("tensorflow" in c.__module__ for c in type(x).__mro__) else "dataset"
