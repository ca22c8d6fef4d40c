"""The formats of Keras 3: `.keras`, a zip archive of configuration and weights, and `.weights.h5`, the weights alone."""

import io
import os

from . import h5
from .atomic import write_atomically
from .configs import (
    MAX_CONFIG,
    compile_model,
    from_json,
    model_config,
    model_from_config,
    to_json,
)
from .legacy_configs import from_keras_2
from .optimizer_state import keras_variables, optimizer_state, restore_keras_variables
from .tree import groups

_KERAS_VERSION = "3.15.1"  # whose layout this is
_MAX_SMALL = 16 << 20  # bytes that a member of an archive may expand to in any case
_MAX_EXPANSION = 100  # and how many times its own size beyond
_WEIGHTS = "model.weights.h5"


# -- writing ---------------------------------------------------------------------------------------------------------------------


def save_model(model, path, overwrite=True):
    """Write a `.keras` file."""
    import time
    import zipfile

    metadata = {"keras_version": _KERAS_VERSION, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S")}
    members = {
        "metadata.json": to_json(metadata).encode(),
        "config.json": to_json(model_config(model)).encode(),
        _WEIGHTS: h5.to_bytes(lambda file: _write_weights(file, model)),
    }

    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    write_atomically(path, write, overwrite)


def save_weights(model, path, overwrite=True, note=None):
    """Write a `.weights.h5` file. `note` (a text) goes with it, for `load_training`."""

    def write(file):
        _write_weights(file, model)
        if note is not None:
            file.attrs["fastrnn_note"] = note

    data = h5.to_bytes(write)
    write_atomically(path, lambda file: file.write(data), overwrite)


def _write_weights(file, model):
    for path, name, variables in groups(model):
        _write_group(file, path, name, [v.value for v in variables])
    if model._compiled:
        _write_group(file, "optimizer", model.optimizer.name, [array for _, array in keras_variables(model)])


def _write_group(file, path, name, arrays):
    group = file.create_group(f"{path}/vars" if path else "vars")
    group.attrs["name"] = name
    for i, array in enumerate(arrays):
        group[str(i)] = array


# -- reading ---------------------------------------------------------------------------------------------------------------------


def load_model(path, custom_objects=None, compile=True, safe_mode=True):
    """Read a `.keras` file."""
    with _Archive(path) as archive:
        config = from_json(archive.read("config.json", MAX_CONFIG), archive.broken)
        if archive.version.startswith("2."):  # the last versions of Keras 2 wrote this format too
            config, _ = from_keras_2(config, archive.version)
        weights = archive.weights()
        size = 4 * len(weights.getbuffer()) + (1 << 20)  # float16 in the file may be float64 here
        model = model_from_config(config, size, archive.broken, custom_objects, safe_mode)
        with h5.Reader(weights, archive.name) as file:
            if model.built:
                _read_weights(file, model)
            if compile and config.get("compile_config"):
                compile_model(model, config["compile_config"], custom_objects, safe_mode)
                if model.built:
                    _read_optimizer(file, model)
    return model


def load_weights(model, path, skip_mismatch=False):
    """Read the weights of a `.weights.h5` or `.keras` file; and the optimizer's state, if the model has been trained before."""
    if os.fspath(path).endswith(".keras"):
        with _Archive(path) as archive, h5.Reader(archive.weights(), archive.name) as file:
            _load_weights(file, model, skip_mismatch)
    else:
        with h5.Reader(path, os.fspath(path)) as file:
            _load_weights(file, model, skip_mismatch)


def _load_weights(file, model, skip_mismatch):
    _read_weights(file, model, skip_mismatch)
    if model._compiled and optimizer_state(model) is not None:
        _read_optimizer(file, model)


def load_training(model, path):
    """Read weights and optimizer state into a compiled model; returns the note of `save_weights`, or None."""
    with h5.Reader(path, os.fspath(path)) as file:
        _read_weights(file, model)
        _read_optimizer(file, model)
        return file.text(file.file, "fastrnn_note")


class _Archive:
    """A `.keras` file; nothing of it is ever written to the disk."""

    def __init__(self, path):
        import zipfile

        self.name = os.fspath(path)
        if not os.path.exists(path):
            raise ValueError(f"File not found: filepath={path}. Please ensure the file is an accessible `.keras` zip file.")
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
            raise self.broken(error) from None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.zip.close()

    def broken(self, why):
        """The error for a file that cannot be what it should be."""
        return ValueError(f"{self.name} is not a Keras model file, or is damaged: {why}")

    @property
    def version(self):
        """Of the Keras that wrote it, or "" if it does not say."""
        if "metadata.json" not in self.zip.namelist():
            return ""
        return str(from_json(self.read("metadata.json", MAX_CONFIG), self.broken).get("keras_version", ""))

    def read(self, name, limit=None):
        """The bytes of a member, at most `limit` of them."""
        import zipfile
        import zlib

        try:
            info = self.zip.getinfo(name)
        except KeyError:
            raise self.broken(f"it has no {name!r}") from None
        if limit is None:
            limit = max(_MAX_SMALL, _MAX_EXPANSION * info.compress_size)
        if info.file_size > limit:
            raise self.broken(f"{name!r} claims {info.file_size} bytes, of which {info.compress_size} are stored")
        damaged = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError, OSError)
        try:
            with self.zip.open(info) as member:
                return member.read(info.file_size)
        except damaged as error:
            raise self.broken(f"{name!r}: {error}") from None

    def weights(self):
        """The file of the weights, in memory."""
        if _WEIGHTS not in self.zip.namelist() and "model.weights.npz" in self.zip.namelist():
            raise self.broken("its weights are in Keras's .npz format, which is not supported")
        return io.BytesIO(self.read(_WEIGHTS))


def _read_weights(file, model, skip_mismatch=False):
    """Set all weights, or none."""
    found, problems = [], []
    for path, name, variables in groups(model):
        datasets = file.datasets(f"{path}/vars" if path else "vars")
        if variables and not datasets:  # as Keras 2.12 calls the list of layers
            datasets = file.datasets(f"{path}/vars".replace("layers/", "_layer_checkpoint_dependencies/"))
        try:
            _check(datasets, variables, name)
            found += zip(variables, datasets)
        except ValueError as error:
            problems.append((name, error))
    if problems:
        message = (
            f"A total of {len(problems)} objects could not be loaded. Example error message for object {problems[0][0]}:\n\n"
            f"{problems[0][1]}\n\nList of objects that could not be loaded:\n{[name for name, _ in problems]}"
        )
        if not skip_mismatch:
            raise ValueError(message)
        import warnings

        warnings.warn(message, stacklevel=2)
    for variable, array in [(v, file.read(d)) for v, d in found]:
        variable.assign(array)


def _check(datasets, variables, name):
    if len(datasets) != len(variables):
        raise ValueError(
            f"Layer '{name}' expected {len(variables)} variables, but received {len(datasets)} variables during loading. "
            f"Expected: {[v.name for v in variables]}"
        )
    for dataset, v in zip(datasets, variables):
        if dataset.shape != v.shape:
            raise ValueError(
                f"The shape of the target variable and the shape of the target value in `variable.assign(value)` must match. "
                f"variable.shape={v.shape}, Received: value.shape={dataset.shape}. Target variable: {v.path}"
            )


def _read_optimizer(file, model):
    """The optimizer's state; where it does not fit, a warning, and a new beginning, as in Keras."""
    datasets = file.datasets("optimizer/vars")
    try:
        restore_keras_variables(model, datasets, file.read)
    except ValueError as error:
        import warnings

        if len(datasets) in (1, 2) and not any(d.shape for d in datasets):
            return  # compiled, but never trained
        warnings.warn(
            f"Skipping variable loading for optimizer '{model.optimizer.name}', because its saved variables are not those of the model: "
            f"{error}.", stacklevel=2,
        )
