"""What users pass to fit, evaluate and predict, checked and brought into the arrays that programs read."""

import numpy as np

from .layers.base import as_input, as_numbers, positive_int


class Arrays:
    """Inputs, targets and sample weights of one length, of the program's types; C-contiguous, but for rows that overlap (`as_rows`)."""

    __slots__ = ("weights", "x", "y")

    def __init__(self, x, y=None, weights=None):
        self.x, self.y, self.weights = x, y, weights

    def __len__(self):
        return len(self.x)

    def take(self, start, stop):
        """Rows start..stop, as views."""
        return Arrays(self.x[start:stop], _rows(self.y, start, stop), _rows(self.weights, start, stop))


def _rows(array, start, stop):
    return None if array is None else array[start:stop]


_DTYPES = {name: np.dtype(name) for name in ("float32", "float64", "int32")}


def as_rows(x, dtype, name):
    """`as_input`, except that rows which share memory stay views of it, such as the windows of `sliding_window_view`.

    Only the memory behind them is converted, if it has another type: a million windows cost no more than the series.
    """
    if type(x) is np.ndarray and x.dtype is _DTYPES[dtype] and x.flags.carray and x.ndim:
        return x
    array = as_numbers(x, dtype, name)
    if array.flags.c_contiguous and array.ndim:
        return np.ascontiguousarray(array, dtype=dtype)
    extent = sum((n - 1) * abs(step) for n, step in zip(array.shape, array.strides)) + array.itemsize if array.size else 0
    if extent >= array.nbytes or any(step % array.itemsize for step in array.strides):
        return np.ascontiguousarray(array, dtype=dtype) if array.ndim else array.astype(dtype)
    if array.dtype == dtype:
        return array
    first = array[tuple(slice(None) if step >= 0 else slice(None, None, -1) for step in array.strides)]
    memory = np.lib.stride_tricks.as_strided(first, (extent // array.itemsize,), (array.itemsize,), writeable=False)
    with np.errstate(all="ignore"):  # there may be anything between the rows
        memory = memory.astype(dtype)
    steps = [step // array.itemsize * memory.itemsize for step in array.strides]
    start = sum((n - 1) * -step for n, step in zip(array.shape, steps) if step < 0) // memory.itemsize
    return np.lib.stride_tricks.as_strided(memory[start:], array.shape, steps, writeable=False)


def unequal_lengths(x):
    """The samples of a list (or an array of objects) whose lengths differ, as arrays; None for all else."""
    if not isinstance(x, (list, tuple)) and not (isinstance(x, np.ndarray) and x.dtype == object and x.ndim == 1):
        return None
    lengths = {len(sample) if hasattr(sample, "__len__") and not isinstance(sample, (str, bytes, dict)) else None for sample in x}
    if len(lengths) < 2 or None in lengths:
        return None
    return [np.asarray(sample) for sample in x]


def fit_rank(x, spec, name):
    """x in the rank of a model's input shape: a last axis of 1 is added or removed, as Keras does. The number of features must be right; other
    sizes are for the layers to judge, of which many take any number of steps."""
    if spec is None:
        return x
    if x.ndim == len(spec) - 1 and spec[-1] == 1:
        return x[..., None]
    if x.ndim == len(spec) + 1 and x.shape[-1] == 1:
        return x[..., 0]
    if x.ndim == len(spec) > 2 and spec[-1] not in (None, x.shape[-1]):
        raise ValueError(
            f"Input 0 of model '{name}' is incompatible with the layer: expected axis -1 of input shape to have value "
            f"{spec[-1]}, but received input with shape {x.shape}: expected shape={spec}, found shape={x.shape}"
        )
    return x


def batch_size_of(batch_size, samples=None, steps=None):
    """The batch size; by default that of so many steps, or 32."""
    if batch_size is None and steps is not None:
        return -(-samples // steps)
    return 32 if batch_size is None else positive_int(batch_size, "batch_size")


def check_cardinality(**arrays):
    """All arrays (those that are there) must have as many samples as the first."""
    sizes = {name: len(a) for name, a in arrays.items() if a is not None}
    if len(set(sizes.values())) > 1:
        listed = "\n".join(f"'{name}' sizes: {n}" for name, n in sizes.items())
        raise ValueError(f"Data cardinality is ambiguous. Make sure all arrays contain the same number of samples.\n{listed}")


_OF_CLASSES = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")  # which say what columns there may be


def as_targets(y, output_shape, loss, dtype):
    """y as (samples, ..., columns) for predictions of `output_shape` (batch first).

    Args:
        y: labels or values; a missing last axis of 1 is added.
        output_shape: of the model's output.
        loss: a Loss, whose kind says what columns are allowed; None if there is no loss.

    Raises:
        ValueError: if the shapes do not go together, or labels lie outside of the classes.
    """
    given = array = as_rows(y, dtype, "y")
    rank, tail = len(output_shape), tuple(output_shape[1:])
    if array.ndim != rank:
        array = _in_rank(array, rank, tail)
    kind = loss.native[0] if loss is not None and loss.native else None
    if array.shape[1:] == tail and kind not in _OF_CLASSES:
        return array
    fits = array.ndim == rank and all(n is None or m == n for m, n in zip(array.shape[1:-1], tail[:-1]))
    columns = array.shape[-1] if array.ndim else 0
    if kind in ("binary_crossentropy", "categorical_crossentropy"):
        if not fits or columns != tail[-1]:
            hint = ""
            if kind == "categorical_crossentropy" and columns == 1 and tail[-1] > 1:
                hint = " For class numbers use loss='sparse_categorical_crossentropy', or make y one-hot with `utils.to_categorical`."
            raise ValueError(
                "Arguments `target` and `output` must have the same shape. "
                f"Received: target.shape={_none_first(np.shape(y))}, output.shape={tuple(output_shape)}.{hint}"
            )
        return array
    if kind == "sparse_categorical_crossentropy":
        if not fits or columns != 1:
            raise ValueError(
                "Argument `output` must have rank (ndim) `target.ndim - 1`, with whole class numbers as targets. "
                f"Received: target.shape={_none_first(np.shape(y))}, output.shape={tuple(output_shape)}"
            )
        check_labels(array, tail[-1], getattr(loss, "ignore_class", None))
        return array
    if not fits or (columns != 1 and columns != tail[-1]):
        if loss is not None and not loss.fixed_shapes:
            return given if given.ndim > 1 else given[:, None]
        raise ValueError(
            f"y: expected targets for an output of shape {tuple(output_shape)}, got shape {_none_first(np.shape(y))}. "
            "Each sample needs one target, or one for each column of the output."
        )
    return array


def _in_rank(array, rank, tail):
    """Targets with an axis of 1 more or less, if that makes them of this rank."""
    if array.ndim == rank + 1 and array.shape[-1] == 1:
        return array[..., 0]
    if array.ndim == rank - 1:
        return array[..., None]
    return array[:, None, None] if array.ndim == rank - 2 and rank == 3 and tail[0] == 1 else array


def check_labels(labels, classes, ignored=None):
    """Class numbers must lie in [0, classes)."""
    bad = (labels < 0) | (labels >= classes) | (labels != np.floor(labels))
    if ignored is not None:
        bad &= labels != ignored
    if bad.any():
        value = labels[bad][0]
        shown = int(value) if value == np.floor(value) else value
        raise ValueError(
            f"Received a label value of {shown} which is outside the valid range of [0, {classes}). "
            f"The last layer has {classes} units, one for each class; labels are whole numbers from 0."
        )


def as_weights(sample_weight, x, y, output_shape, dtype):
    """Sample weights as (samples,) or (samples, timesteps)."""
    if sample_weight is None:
        return None
    array = as_input(sample_weight, dtype, "sample_weight")
    if array.ndim > 1 and array.shape[-1] == 1 and array.ndim >= len(output_shape):
        array = array[..., 0]
    if array.ndim == 2 and array.shape[1] == 1:
        array = np.ascontiguousarray(array[:, 0])
    if array.ndim not in (1, len(output_shape) - 1) or (array.ndim == 2 and array.shape[1] != y.shape[1]):
        raise ValueError(
            f"sample_weight: expected shape ({len(x)},) or one weight for each step, {y.shape[:-1]}; got shape {array.shape}."
        )
    return array


def class_weights(class_weight, y, dtype):
    """Sample weights from a dict of class number to weight: argmax of one-hot targets, else the rounded value."""
    try:
        table = {int(k): float(v) for k, v in class_weight.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"`class_weight` must be a dict of class number to weight. Received: class_weight={class_weight!r}") from None
    if y.ndim > 2:
        raise ValueError("`class_weight` is only supported for targets with one class per sample. Use `sample_weight`.")
    labels = y.argmax(axis=-1) if y.shape[-1] > 1 else np.rint(y[:, 0]).astype(np.int64)
    return np.array([table.get(int(k), 1.0) for k in labels], dtype)


def _none_first(shape):
    return (None, *shape[1:])


def is_iterable_of_batches(x):
    """Generators, data loaders, sequences of batches: anything that is not array-like."""
    if hasattr(x, "__array__") or isinstance(x, (list, tuple, int, float, str, bytes, dict)) or x is None:
        return False
    return hasattr(x, "__next__") or (hasattr(x, "__iter__") or hasattr(x, "__getitem__"))


def unpack_batch(batch):
    """(x, y, sample_weight) of one item of an iterable, or of `validation_data`."""
    if not isinstance(batch, (tuple, list)):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise ValueError(f"Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found: {batch!r:.300}")
    return (*batch, None, None)[:3]
