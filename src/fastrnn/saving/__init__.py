"""Files of models: a `.npz` archive of plain arrays, and the configuration as JSON text in one of them. No pickle, no code.

Members: `format` (version), `config` (JSON), `weights/<i>` in the order of `get_weights()`, `optimizer/<slot>/<i>`. Writing goes to a
temporary file beside the target, which then takes its name: a crash leaves the old file or the new one, whole.
"""

import json
import os

import numpy as np

FORMAT = 1
_MAX_CONFIG = 16 << 20  # bytes of JSON


def write_atomically(path, write, overwrite=True):
    """Call `write(file)` on a temporary file and give it the name `path` once it is on the disk."""
    import tempfile

    path = os.fspath(path)
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{path} exists, and overwrite=False.")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"Cannot write {path}: there is no folder {folder}.")
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


def _check_path(path, argument="filepath"):
    path = os.fspath(path)
    if not path.endswith(".npz"):
        raise ValueError(
            f"The file name must end in `.npz`, fastrnn's own format. Received: {argument}={path}"
        )
    return path


def save_weights(model, filepath, overwrite=True):
    """See `Sequential.save_weights`."""
    path = _check_path(filepath)
    _require_built(model, "save_weights")
    arrays = {f"weights/{i}": w for i, w in enumerate(model.get_weights())}
    _write(path, arrays, {"kind": "weights"}, overwrite)


def save_model(model, filepath, overwrite=True):
    """See `Sequential.save`."""
    path = _check_path(filepath)
    _require_built(model, "save")
    arrays = {f"weights/{i}": w for i, w in enumerate(model.get_weights())}
    config = {"kind": "model", "model": model.get_config()}
    if model._compiled:
        config["compile"] = _compile_config(model)
        state = optimizer_state(model)
        if state is not None:
            config["iterations"] = state["iterations"]
            for name, slot in state["slots"].items():
                arrays |= {f"optimizer/{name}/{i}": a for i, a in enumerate(slot)}
    _write(path, arrays, config, overwrite)


def _require_built(model, method):
    if not model.built:
        raise ValueError(f"`{method}` needs weights, and model '{model.name}' has none yet: build it, or call it on data, first.")


def _compile_config(model):
    from . import compiling

    return compiling.compile_config(model)


def _write(path, arrays, config, overwrite):
    text = np.frombuffer(json.dumps(config, default=_jsonable).encode(), np.uint8)
    members = {"format": np.array(FORMAT), "config": text, **arrays}
    write_atomically(path, lambda file: np.savez(file, **members), overwrite)


def _jsonable(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be written to a model file")


# -- reading ---------------------------------------------------------------------------------------------------------------


def _broken(path, why):
    return ValueError(f"{path} is not a fastrnn model file, or is damaged: {why}")


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
            raise _broken(path, str(error)) from None
        version = self.read("format", 1024)
        if version.shape != () or version.dtype.kind != "i" or version > FORMAT:
            raise _broken(path, f"format {version!r}; this fastrnn reads up to {FORMAT}")
        try:
            self.config = json.loads(self.read("config", _MAX_CONFIG).tobytes())
        except ValueError:
            raise _broken(path, "its configuration is not JSON") from None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.zip.close()

    def read(self, name, limit):
        """One array of at most `limit` bytes."""
        size = self.sizes.get(name)
        if size is None:
            raise _broken(self.path, f"no member {name!r}")
        if size > limit + 4096:
            raise _broken(self.path, f"member {name!r} claims {size} bytes, at most {limit} expected")
        import io

        damaged = (ValueError, EOFError, KeyError, OSError, self.bad_zip, NotImplementedError, RuntimeError)
        try:
            with self.zip.open(f"{name}.npy") as file:
                data = file.read(limit + 4097)  # a lying header must not cost more than this
            return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        except damaged as error:
            raise _broken(self.path, f"member {name!r}: {error}") from None

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


def load_weights(model, filepath):
    """See `Sequential.load_weights`."""
    path = _check_path(filepath)
    _require_built(model, "load_weights")
    with _Archive(path) as archive:
        model.set_weights(archive.read_like("weights", [v.value for v in model.variables]))


def load_model(cls, filepath, custom_objects=None, compile=True):
    """See `fastrnn.models.load_model`."""
    path = _check_path(filepath)
    with _Archive(path) as archive:
        config = archive.config
        if not isinstance(config, dict) or config.get("kind") != "model":
            raise ValueError(f"{path} holds weights only; build the model and use `load_weights`.")
        _check_size(archive, config)
        try:
            model = cls.from_config(config["model"], custom_objects)
        except (KeyError, TypeError, AttributeError) as error:
            raise _broken(path, f"its configuration: {error!r}") from None
        if not model.built:
            raise _broken(path, "the shape of the model's input is missing")
        model.set_weights(archive.read_like("weights", [v.value for v in model.variables]))
        if compile and "compile" in config:
            from . import compiling

            compiling.compile_from(model, config["compile"])
            _load_optimizer(model, archive, config)
    return model


def _check_size(archive, config):
    """Units and vocabulary in the text must not ask for more memory than the file's arrays take."""
    total = sum(size for name, size in archive.sizes.items() if name.startswith("weights/"))
    if total > 2 * os.path.getsize(archive.path) + 4096:
        raise _broken(archive.path, "its arrays claim more than the file holds")

    def numbers(value):
        if isinstance(value, dict):
            for key, item in value.items():
                if key in ("units", "input_dim", "output_dim", "filters") and isinstance(item, int) and item * 2 > total:
                    raise _broken(archive.path, f"{key}={item} does not fit its {total} bytes of weights")
                numbers(item)
        elif isinstance(value, list):
            for item in value:
                numbers(item)

    numbers(config.get("model"))


def _load_optimizer(model, archive, config):
    optimizer = model.optimizer
    values = [v.value for v in model.variables]
    if f"optimizer/{optimizer.slots[0][0]}/0" not in archive.sizes if optimizer.slots else True:
        optimizer.iterations = int(config.get("iterations", 0))
        return
    slots = {name: archive.read_like(f"optimizer/{name}", values) for name, _ in optimizer.slots}
    restore_optimizer_state(model, {"iterations": int(config.get("iterations", 0)), "slots": slots})


# -- optimizer state ---------------------------------------------------------------------------------------------------------


def optimizer_state(model):
    """{"iterations", "slots": {name: [array per weight]}} of a model that was trained, else None."""
    optimizer = model.optimizer
    state = getattr(optimizer, "_flat_state", None)
    if state is None:
        return None
    parameters, slots = state
    return {
        "iterations": optimizer.iterations,
        "slots": {
            name: [slot[o : o + v.value.size].reshape(v.shape).copy() for v, o in zip(parameters.variables, parameters.offsets)]
            for (name, _), slot in zip(optimizer.slots, slots)
        },
    }


def restore_optimizer_state(model, state):
    """The inverse of `optimizer_state`, on a compiled model with the same weights."""
    if state is None:
        return
    parameters = model._parameters()
    slots = []
    for name, _ in model.optimizer.slots:
        slot = np.zeros_like(parameters.flat)
        for array, v, o in zip(state["slots"][name], parameters.variables, parameters.offsets):
            slot[o : o + v.value.size] = array.reshape(-1)
        slots.append(slot)
    model.optimizer._flat_state = (parameters, slots)
    model.optimizer.iterations = state["iterations"]
