"""Files of models, by the ending of their names; and the user's own classes and functions in them.

`.keras` and `.weights.h5` are those of Keras 3, `.h5` that of Keras 2; all three need the package h5py. `.npz` is this package's own: plain
arrays, for which NumPy suffices. All are written atomically: a crash leaves the old file or the new one, whole.

>>> import os, tempfile, numpy as np
>>> from fastrnn import Sequential
>>> from fastrnn.layers import LSTM, Dense, Input
>>> model = Sequential([Input((5, 1)), LSTM(7), Dense(1)])
>>> with tempfile.TemporaryDirectory() as folder:
...     model.save(os.path.join(folder, "model.keras"))
...     again = load_model(os.path.join(folder, "model.keras"))
>>> x = np.ones((2, 5, 1))
>>> bool((again.predict(x, verbose=0) == model.predict(x, verbose=0)).all())
True
"""

import os

from .._custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)

__all__ = [
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects", "get_registered_name",
    "get_registered_object", "load_model", "load_weights", "register_keras_serializable", "save_model", "save_weights",
    "serialize_keras_object",
]

_LEGACY = (".h5", ".hdf5")


def check_filepath(path, weights_only=False):
    """Raise what saving to this path would raise: for an unknown ending, or a missing package."""
    path = os.fspath(path)
    if path.endswith(".npz"):
        return
    if weights_only and not path.endswith(".weights.h5"):
        raise ValueError(f"The filename must end in `.weights.h5`. Received: filepath={path} (or in `.npz`, fastrnn's own format).")
    if not weights_only and not path.endswith((".keras", *_LEGACY)):
        raise ValueError(
            "Invalid filepath extension for saving. Please add either a `.keras` extension for the native Keras format (recommended) or a "
            f"`.h5` extension; `.npz` is fastrnn's own format, which needs no further package. Received: filepath={path}."
        )
    from .h5 import require_h5py

    require_h5py(f"Saving to {os.path.basename(path)!r}")


def save_model(model, filepath, overwrite=True, include_optimizer=True):
    """Write a model to a file; see `Sequential.save`."""
    path = os.fspath(filepath)
    check_filepath(path)
    if path.endswith(".npz"):
        from .npz import save_model as save
    elif path.endswith(".keras"):
        _warn_unbuilt(model)
        from .keras_file import save_model as save
    else:
        from .legacy import save_model

        return save_model(model, path, overwrite, include_optimizer)
    return save(model, path, overwrite)


def _warn_unbuilt(model):
    if not model.built:
        import warnings

        warnings.warn(
            "You are saving a model that has not yet been built. It might not contain any weights yet. Consider building the model first "
            "by calling it on some data.", stacklevel=3,
        )


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Read a model from a file of `Sequential.save`, or of Keras.

    Args:
        filepath: ends in `.keras`, `.h5`, `.hdf5` or `.npz`.
        custom_objects: dict of the user's own classes and functions that the model uses, by name.
        compile: whether to compile the model as it was, with the state of its optimizer: training goes on where it stopped.
        safe_mode: refuse lambdas, which are code in the file.

    Raises:
        ValueError: if the file is damaged, is none of these, or has layers, losses, ... that are unknown.
        ImportError: if h5py is needed and missing.
    """
    path = os.fspath(filepath)
    if path.endswith(".npz"):
        from .npz import load_model as load
    elif path.endswith(".keras"):
        from .keras_file import load_model as load
    elif path.endswith(_LEGACY):
        from .legacy import load_model as load
    else:
        raise ValueError(
            f"File format not supported: filepath={path}. Supported are the `.keras` files of Keras 3, legacy H5 format files (`.h5` "
            "extension), and `.npz` files of fastrnn. A TensorFlow SavedModel has to be converted by Keras."
        )
    return load(path, custom_objects, compile, safe_mode)


def save_weights(model, filepath, overwrite=True):
    """Write a model's weights to a file; see `Sequential.save_weights`."""
    path = os.fspath(filepath)
    check_filepath(path, weights_only=True)
    if not model.built:
        raise ValueError(
            "You are saving a model that has not yet been built. Try building the model first by calling it on some data or by using "
            "`build()`."
        )
    if path.endswith(".npz"):
        from .npz import save_weights as save
    else:
        from .keras_file import save_weights as save
    save(model, path, overwrite)


def load_weights(model, filepath, skip_mismatch=False, by_name=False):
    """Read a model's weights from a file; see `Sequential.load_weights`."""
    path = os.fspath(filepath)
    if not path.endswith((".npz", ".keras", *_LEGACY)):
        raise ValueError(
            f"File format not supported: filepath={path}. Supported are `.weights.h5`, `.keras` and legacy `.h5` files, and `.npz` files "
            "of fastrnn."
        )
    legacy = path.endswith(_LEGACY) and not path.endswith(".weights.h5")
    if by_name and not legacy:
        raise ValueError(f"`by_name` only supports loading legacy '.h5' or '.hdf5' files. Received: {path}")
    if not model.built:
        raise ValueError(
            "You are loading weights into a model that has not yet been built. Try building the model first by calling it on some data or "
            "by using `build()`."
        )
    if legacy:
        from .legacy import load_weights as load

        load(model, path, skip_mismatch, by_name)
    elif path.endswith(".npz"):
        from .npz import load_weights as load

        load(model, path)
    else:
        from .keras_file import load_weights as load

        load(model, path, skip_mismatch)


def serialize_keras_object(obj):
    """A configuration (dicts, lists, numbers and texts) of a layer, loss, function, array ..., or of a list or dict of them.

    >>> serialize_keras_object(None), serialize_keras_object((1, 2))
    (None, (1, 2))
    """
    from .objects import serialize

    return serialize(obj)


def deserialize_keras_object(config, custom_objects=None, safe_mode=True):
    """The inverse of `serialize_keras_object`.

    Raises:
        ValueError: for unknown classes, and for lambdas in safe mode.

    >>> from fastrnn.regularizers import L2
    >>> deserialize_keras_object(serialize_keras_object(L2(0.5))).get_config()
    {'l2': 0.5}
    """
    from .objects import deserialize

    return deserialize(config, custom_objects, safe_mode)
