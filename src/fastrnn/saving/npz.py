"""This package's own format: a `.npz` archive of plain arrays, and the configuration as JSON text in one of them. No pickle, no code.

Members: `format` (version), `config` (JSON), `weights/<i>` in the order of `get_weights()`, `optimizer/<slot>/<i>`.
"""

import os

import numpy as np

from .atomic import write_atomically
from .compiling import compile_config
from .configs import MAX_CONFIG, compile_model, from_json, layout_config, model_from_config, to_json
from .optimizer_state import new_state, optimizer_state, restore_optimizer_state

FORMAT = 2


def save_weights(model, path, overwrite=True):
    """See `Sequential.save_weights`."""
    arrays = {f"weights/{i}": w for i, w in enumerate(model.get_weights())}
    _write(path, arrays, {"kind": "weights"}, overwrite)


def save_model(model, path, overwrite=True):
    """See `Sequential.save`."""
    _require_built(model, "save")
    arrays = {f"weights/{i}": w for i, w in enumerate(model.get_weights())}
    config = {"kind": "model", "model": layout_config(model)}
    if model._compiled:
        config["compile"] = compile_config(model)
        state = optimizer_state(model)
        if state is not None:
            config["batches"] = state["batches"]
            for name, vector in state["vectors"].items():
                arrays |= {f"optimizer/{name}/{i}": a for i, a in enumerate(vector)}
    _write(path, arrays, config, overwrite)


def _require_built(model, method):
    if not model.built:
        raise ValueError(f"`{method}` needs weights, and model '{model.name}' has none yet: build it, or call it on data, first.")


def _write(path, arrays, config, overwrite):
    text = np.frombuffer(to_json(config).encode(), np.uint8)
    members = {"format": np.array(FORMAT), "config": text, **arrays}
    write_atomically(path, lambda file: np.savez(file, **members), overwrite)


# -- reading ---------------------------------------------------------------------------------------------------------------


class _Archive:
    """The members of a file, each read only after its declared size was found sensible."""

    def __init__(self, path):
        import zipfile

        self.path = path
        self.bad_zip = zipfile.BadZipFile
        try:
            self.zip = zipfile.ZipFile(path)
            self.sizes = {i.filename.removesuffix(".npy"): i.file_size for i in self.zip.infolist()}
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise self.broken(str(error)) from None
        version = self.read("format", 1024)
        if version.shape != () or version.dtype.kind != "i" or version > FORMAT:
            raise self.broken(f"format {version!r}; this fastrnn reads up to {FORMAT}")
        self.config = from_json(self.read("config", MAX_CONFIG).tobytes(), self.broken)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.zip.close()

    def broken(self, why):
        """The error for a file that cannot be what it should be."""
        return ValueError(f"{self.path} is not a fastrnn model file, or is damaged: {why}")

    def weights_size(self):
        """How many bytes the model's weights may take."""
        total = sum(size for name, size in self.sizes.items() if name.startswith("weights/"))
        if total > 2 * os.path.getsize(self.path) + 4096:
            raise self.broken("its arrays claim more than the file holds")
        return total

    def read(self, name, limit):
        """One array of at most `limit` bytes."""
        size = self.sizes.get(name)
        if size is None:
            raise self.broken(f"no member {name!r}")
        if size > limit + 4096:
            raise self.broken(f"member {name!r} claims {size} bytes, at most {limit} expected")
        import zlib

        damaged = (ValueError, EOFError, LookupError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError)
        try:
            with self.zip.open(f"{name}.npy") as file:
                data = file.read(limit + 4097)  # a lying header must not cost more than this
            return _array(data)
        except (*damaged, self.bad_zip, zlib.error) as error:
            raise self.broken(f"member {name!r}: {error}") from None

    def read_like(self, group, arrays):
        """`group/0`, `group/1`, ... with the shapes of `arrays`."""
        found = sum(name.startswith(f"{group}/") for name in self.sizes)
        if found != len(arrays):
            raise ValueError(f"{self.path} holds {found} arrays of {group}, the model has {len(arrays)}.")
        result = []
        for i, array in enumerate(arrays):
            value = self.read(f"{group}/{i}", array.size * 8)
            if value.shape != array.shape or value.dtype.kind != "f":
                raise ValueError(
                    f"{self.path}: array {i} of {group} has shape {value.shape} and dtype {value.dtype}, the model expects {array.shape}."
                )
            result.append(value)
        return result


def _array(data):
    """The array of a `.npy` member, whose header must not promise more than follows."""
    import io
    import math

    file, lib = io.BytesIO(data), np.lib.format
    version = lib.read_magic(file)
    shape, _, dtype = lib.read_array_header_1_0(file) if version == (1, 0) else lib.read_array_header_2_0(file)
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > len(data):
        raise ValueError(f"{len(data)} bytes for an array of shape {shape} and dtype {dtype}")
    file.seek(0)
    return lib.read_array(file, allow_pickle=False)


def load_weights(model, path):
    """See `Sequential.load_weights`."""
    with _Archive(path) as archive:
        model.set_weights(archive.read_like("weights", [v.value for v in model.variables]))


def load_model(path, custom_objects=None, compile=True, safe_mode=True):
    """See `fastrnn.saving.load_model`."""
    with _Archive(path) as archive:
        config = archive.config
        if config.get("kind") != "model":
            raise ValueError(f"{path} holds weights only; build the model and use `load_weights`.")
        if not isinstance(config.get("model"), dict):
            raise archive.broken("it has no model")
        layout = config["model"]
        if "class_name" not in layout:  # format 1
            layout = {"class_name": "Sequential", "config": layout}
        model = model_from_config(layout, archive.weights_size(), archive.broken, custom_objects, safe_mode)
        if not model.built:
            raise archive.broken("the shape of the model's input is missing")
        model.set_weights(archive.read_like("weights", [v.value for v in model.variables]))
        if compile and isinstance(config.get("compile"), dict):
            compile_model(model, config["compile"], custom_objects, safe_mode)
            _load_optimizer(model, archive)
    return model


def _load_optimizer(model, archive):
    optimizer, config = model.optimizer, archive.config
    steps = optimizer.gradient_accumulation_steps or 1
    state = new_state(model)
    state["batches"] = int(config.get("batches", int(config.get("iterations", 0)) * steps))  # format 1 counted updates
    names = [name for name in state["vectors"] if f"optimizer/{name}/0" in archive.sizes]
    for name in names:
        state["vectors"][name] = archive.read_like(f"optimizer/{name}", [v.value for v in model.variables])
    if state["batches"]:
        restore_optimizer_state(model, state)
