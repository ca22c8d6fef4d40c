"""HDF5 files that may come from anyone: what is read is checked first. Nothing else of the package imports h5py."""

import math
import os

import numpy as np

_MAX_TEXT = 16 << 20  # bytes of an attribute
_MAX_ENTRIES = 100_000  # names in an attribute


def require_h5py(what):
    """The module h5py.

    Raises:
        ImportError: if it is not installed; the message says what needed it and how to install it.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError(
            f"{what} requires the h5py package, which is not installed. Install it with `pip install h5py` (or `pip install "
            "'fastrnn[keras]'`), or use a file name that ends in `.npz`."
        ) from None
    return h5py


def to_bytes(write):
    """What `write(h5py.File)` makes, as a buffer."""
    import io

    h5py = require_h5py("Writing `.keras` and `.h5` files")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getbuffer()


def _checked(read):
    """Around what reads: errors of the HDF5 library say which file is damaged."""

    def checked(self, *arguments):
        try:
            return read(self, *arguments)
        except (OSError, RuntimeError, KeyError, TypeError, UnicodeError, OverflowError, MemoryError) as error:
            raise self.broken(error) from None

    checked.__doc__ = read.__doc__
    return checked


class Reader:
    """An open HDF5 file.

    Args:
        source: a path, or a file object.
        name: how messages call it.

    Raises:
        ValueError: if it is not HDF5, or cut off.
        FileNotFoundError, IsADirectoryError: as `open`.
    """

    def __init__(self, source, name):
        self.h5py = require_h5py("Reading `.keras` and `.h5` files")
        self.name = name
        if isinstance(source, (str, os.PathLike)):
            open(source, "rb").close()  # a missing file, or one without permission, has its usual error
        try:
            self.file = self.h5py.File(source, "r")
        except (OSError, RuntimeError, ValueError) as error:
            raise self.broken(error) from None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def broken(self, why):
        """The error for a file that cannot be what it should be."""
        return ValueError(f"{self.name} is not a model file, or is damaged: {why}")

    @_checked
    def group(self, path, parent=None):
        """The group of a path, or None; only by links within the file."""
        current = self.file if parent is None else parent
        for part in path.split("/") if path else ():
            current = self._member(current, part, self.h5py.Group)
            if current is None:
                return None
        return current

    @_checked
    def dataset(self, group, path):
        """The dataset of a path below a group, or None, found harmless: stored in this file, of plain numbers."""
        folder, _, name = path.rpartition("/")
        group = self.group(folder, group)
        found = None if group is None else self._member(group, name, self.h5py.Dataset)
        if found is None:
            return None
        if found.external or found.is_virtual:
            raise self.broken(f"the data of {path!r} lie outside of the file")
        if found.dtype.kind not in "fiub":
            raise self.broken(f"{path!r} holds no numbers, but {found.dtype}")
        if found.chunks and math.prod(found.chunks) * found.dtype.itemsize > max(1 << 20, 4 * found.nbytes):
            raise self.broken(f"{path!r} has pieces of {math.prod(found.chunks)} numbers for an array of {found.size}")
        return found

    @_checked
    def datasets(self, path):
        """The datasets 0, 1, ... of the group of a path; none if there is no such group."""
        group = self.group(path)
        found = [] if group is None else [self.dataset(group, str(i)) for i in range(len(group))]
        if None in found:
            raise self.broken(f"the variables of {path!r} are not numbered")
        return found

    @_checked
    def read(self, dataset):
        """The array of a dataset, whose shape the caller found right."""
        return np.asarray(dataset[()])

    @_checked
    def text(self, group, name):
        """A text in an attribute, or None."""
        value = self._attribute(group, name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        return value.decode() if isinstance(value, bytes) else value if value is None else str(value)

    @_checked
    def names(self, group, name):
        """A list of texts in an attribute; Keras spreads long ones over `name0`, `name1`, ..."""
        parts = [self._attribute(group, name)]
        if parts[0] is None:
            parts = []
            while (part := self._attribute(group, f"{name}{len(parts)}")) is not None:
                parts.append(part)
        found = [n for part in parts for n in np.atleast_1d(part).reshape(-1)]
        if len(found) > _MAX_ENTRIES:
            raise self.broken(f"{len(found)} entries in {name!r}")
        return [n.decode() if isinstance(n, bytes) else str(n) for n in found]

    def _member(self, group, name, kind):
        link = group.get(name, getclass=True, getlink=True)
        if link is None:
            return None
        if link is not self.h5py.HardLink:
            raise self.broken(f"{name!r} is a link to somewhere else ({link.__name__})")
        member = group[name]
        if not isinstance(member, kind):
            raise self.broken(f"{name!r} should be a {kind.__name__.lower()}")
        return member

    def _attribute(self, group, name):
        if name not in group.attrs:
            return None
        at = group.attrs.get_id(name)
        size = math.prod(at.shape) * at.dtype.itemsize
        if size > _MAX_TEXT:
            raise self.broken(f"the attribute {name!r} claims {size} bytes")
        return group.attrs[name]
