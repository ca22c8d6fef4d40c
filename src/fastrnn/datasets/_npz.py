"""Reading `.npz` files whose arrays of lists are pickled, without trusting the pickle.

Unpickling calls whatever functions the file names, so `numpy.load(allow_pickle=True)` runs the code of a
hostile file. Here the few names that a pickled object array contains stand for inert recorders: not even
NumPy's own functions get to see what the file says. What was recorded is then checked, and the array is made
from it. (A file can still be made to exhaust the memory.)
"""

from __future__ import annotations

import io
import pickle

import numpy as np

_LARGEST = 2**30  # bytes of an array; those of the public files have 20 million


class _Dtype:
    """What the file said of a dtype."""

    __slots__ = ("args",)

    def __init__(self, args: tuple):
        self.args = args

    def __setstate__(self, state):
        pass  # byte order and flags mean nothing for object arrays, the only ones accepted


class _Array:
    """What the file said of an array: `(version, shape, dtype, is_fortran, list of elements)`."""

    __slots__ = ("state",)

    def __init__(self):
        self.state = None

    def __setstate__(self, state):
        self.state = state


class _Name:
    """A global name of the pickle: it can be called if NumPy's own is, and nothing else."""

    __slots__ = ("_record",)

    def __init__(self, record):
        self._record = record

    def __call__(self, *args):
        return self._record(args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it tries to change a function")


def _not_called(args):
    raise pickle.UnpicklingError("it calls what is not to be called")


def _encode(args) -> bytes:
    """`_codecs.encode(text, "latin1")`, by which protocol 2 writes bytes."""
    text, encoding = args
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("its bytes are not encoded as latin1")
    return text.encode("latin-1")


_RECORDERS = {
    ("numpy", "ndarray"): _not_called,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): lambda args: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda args: _Array(),
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _Name(_RECORDERS[module, name])
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for `{module}.{name}`, which is refused; the file may be corrupted or malicious"
            ) from None


def load_npz(path: str, sequences: tuple[str, ...], labels: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read members of an `.npz` file.

    Args:
        path: the file.
        sequences: names of members that hold one list of ints for each sample.
        labels: names of members that hold one number for each sample; each goes with the name at the same
            place in `sequences`.

    Returns: dict of 1-D arrays: object arrays of lists, and arrays of numbers.

    Raises:
        ValueError: the file is damaged or holds something else.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            for name in sequences + labels:
                if f"{name}.npy" not in members:
                    raise ValueError(f"it has no {name}.npy, only {', '.join(members) or 'nothing'}")
            arrays = {name: _read(archive, name, _lists_of_ints) for name in sequences}
            arrays |= {name: _read(archive, name, _numbers) for name in labels}
        for x, y in zip(sequences, labels):
            if len(arrays[x]) != len(arrays[y]):
                raise ValueError(f"{x!r} has {len(arrays[x])} samples, {y!r} has {len(arrays[y])}")
    except (ValueError, zipfile.BadZipFile, NotImplementedError) as error:  # the last: unknown kinds of zip
        raise ValueError(f"Cannot read {path} as a data set: {error}.") from error
    return arrays


def _read(archive, name: str, convert) -> np.ndarray:
    """Read one member. Whatever is wrong is a `ValueError`: damaged pickles raise almost anything."""
    try:
        member = archive.getinfo(f"{name}.npy")
        if member.file_size > _LARGEST:
            raise ValueError(f"it claims {member.file_size} bytes")
        return convert(io.BytesIO(archive.read(member)))  # read whole, as only that checks the CRC
    except Exception as error:
        raise ValueError(f"its array {name!r} is damaged or not what was expected: {error}") from error


def _numbers(file) -> np.ndarray:
    values = np.lib.format.read_array(file, allow_pickle=False)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise ValueError(f"expected a 1-D array of numbers, got {values.dtype} of shape {values.shape}")
    return values


def _lists_of_ints(file) -> np.ndarray:
    shape, _, dtype = _read_header(file)
    if dtype != np.dtype(object) or len(shape) != 1:
        raise ValueError(f"expected a 1-D object array of lists, got {dtype} of shape {shape}")
    array = _Unpickler(file, encoding="latin1").load()
    if type(array) is not _Array or type(array.state) is not tuple or len(array.state) != 5:
        raise ValueError("expected a pickled array")
    _, pickled_shape, pickled_dtype, _, lists = array.state
    if type(pickled_dtype) is not _Dtype or pickled_dtype.args[:1] not in (("O8",), ("O4",), ("O",), ("|O",)):
        raise ValueError("expected a pickled object array")
    if pickled_shape != shape or type(lists) is not list or len(lists) != shape[0]:
        raise ValueError(f"expected {shape[0]} elements")
    for position, words in enumerate(lists):
        if type(words) is not list or not set(map(type, words)) <= {int}:
            raise ValueError(f"expected a list of ints at position {position}")
    return as_object_array(lists)


def _read_header(file):
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"unsupported .npy version {version}")


def as_object_array(lists: list) -> np.ndarray:
    """A 1-D array of lists, even where lists of equal length would make NumPy build a matrix."""
    return np.fromiter(lists, dtype=object, count=len(lists))
