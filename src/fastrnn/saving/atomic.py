"""Writing a file so that there is the old one or the new one at any moment, whole."""

import os


def write_atomically(path, write, overwrite=True):
    """Call `write(file)` on a temporary file and give it the name `path` once it is on the disk."""
    import tempfile

    path = os.fspath(path)
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{path} exists, and overwrite=False.")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"Cannot write {path}: there is no folder {folder}.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"Cannot write {path}: it is a folder.")
    handle, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + ".", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
