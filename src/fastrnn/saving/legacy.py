"""The `.h5` files of Keras 2 and of `tf.keras`, which Keras 3 still writes.

Attributes `model_config` and `training_config` (JSON) and `keras_version`; a group `model_weights` (in a file of weights alone: the file
itself) with the attribute `layer_names`, and a group for each layer, whose attribute `weight_names` has the paths of its arrays in order.
What these paths look like differs from version to version and says nothing.
"""

import os

import numpy as np

from . import h5
from .atomic import write_atomically
from .configs import compile_model, from_json, model_config, model_from_config, to_json
from .legacy_configs import from_keras_2
from .legacy_cudnn import converted
from .optimizer_state import (
    keras_variables,
    new_state,
    restore_keras_variables,
    restore_optimizer_state,
)

_VERSION = "3.15.1"  # whose layout is written
_MAX_ATTRIBUTE = 64_000  # bytes; HDF5 has no longer ones in a group's header


# -- writing ---------------------------------------------------------------------------------------------------------------------


def save_model(model, path, overwrite=True, include_optimizer=True):
    """Write a whole model; the optimizer and its state only if `include_optimizer`."""
    config = model_config(model)
    training = config.pop("compile_config", None)

    def write(file):
        file.attrs["keras_version"], file.attrs["backend"] = _VERSION, "fastrnn"
        file.attrs["model_config"] = to_json({"class_name": config["class_name"], "config": config["config"]}).encode()
        _write_layers(file.create_group("model_weights"), model)
        if training is not None and include_optimizer:
            training["optimizer_config"] = training.pop("optimizer")
            file.attrs["training_config"] = to_json(training).encode()
            variables = [(f"{model.optimizer.name}/{name}", array) for name, array in keras_variables(model)]
            _write_arrays(file.create_group("optimizer_weights"), variables)

    data = h5.to_bytes(write)
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    write_atomically(path, lambda file: file.write(data), overwrite)


def _write_layers(group, model):
    group.attrs["keras_version"], group.attrs["backend"] = _VERSION, "fastrnn"
    _write_names(group, "layer_names", [layer.name for layer in _layers(model)])
    for layer in sorted(_layers(model), key=lambda layer: layer.name):
        _write_arrays(group.create_group(layer.name), [(f"{model.name}/{v.path}", v.value) for v in _variables(layer)])
    _write_arrays(group.create_group("top_level_model_weights"), [])


def _write_arrays(group, named):
    names, taken = [], set()
    for i, (name, array) in enumerate(named):
        name = f"{name}_{i}" if name in taken else name
        taken.add(name)
        names.append(name)
        group[name] = array
    _write_names(group, "weight_names", names)


def _write_names(group, attribute, names):
    array = np.array([name.encode() for name in names]) if names else np.zeros(0, "S1")
    parts = np.array_split(array, -(-array.nbytes // _MAX_ATTRIBUTE) or 1)
    for i, part in enumerate(parts):
        group.attrs[attribute if len(parts) == 1 else f"{attribute}{i}"] = part


def _layers(model):
    """Each once, wherever it is used again."""
    return list(dict.fromkeys(model.layers))


def _variables(layer):
    """The weights in the order of these files: first what is trained."""
    return layer.trainable_weights + layer.non_trainable_weights


# -- reading ---------------------------------------------------------------------------------------------------------------------


def load_model(path, custom_objects=None, compile=True, safe_mode=True):
    """Read a whole model."""
    with h5.Reader(path, os.fspath(path)) as file:
        text = file.text(file.file, "model_config")
        if text is None:
            raise ValueError(f"No model config found in the file at {path}.")
        version = file.text(file.file, "keras_version") or "1"
        config, cudnn = from_keras_2(from_json(text, file.broken), version)
        size = 4 * os.path.getsize(path) + (1 << 20)
        model = model_from_config(config, size, file.broken, custom_objects, safe_mode)
        group = file.group("model_weights")
        if group is None:
            raise file.broken("it has no weights")
        _read_layers(file, group, model, cudnn=cudnn)
        training = file.text(file.file, "training_config")
        if compile and training is not None:
            training = from_json(training, file.broken)
            if "optimizer_config" in training:
                training["optimizer"] = training.pop("optimizer_config")
                compile_model(model, training, custom_objects, safe_mode)
                _read_optimizer(file, model)
    return model


def load_weights(model, path, skip_mismatch=False, by_name=False):
    """Read the weights of a whole model, or of a file with weights alone."""
    with h5.Reader(path, os.fspath(path)) as file:
        group = file.file
        if not file.names(group, "layer_names"):
            group = file.group("model_weights")
        if group is None:
            raise file.broken("it has no weights")
        _read_layers(file, group, model, skip_mismatch, by_name)


def _read_layers(file, group, model, skip_mismatch=False, by_name=False, cudnn=()):
    """Set all weights, or none. Without `by_name`, layers with weights are taken in order."""
    saved = {}
    for name in file.names(group, "layer_names"):
        layer_group = file.group(name, group)
        if layer_group is None:
            raise file.broken(f"there are no weights of layer {name!r}")
        datasets = [(weight, file.dataset(layer_group, weight)) for weight in file.names(layer_group, "weight_names")]
        missing = [weight for weight, dataset in datasets if dataset is None]
        if missing:
            raise file.broken(f"there is no {missing[0]!r} of layer {name!r}")
        saved[name] = [dataset for _, dataset in datasets]
    if by_name:
        pairs = [(layer, layer.name, saved[layer.name]) for layer in _layers(model) if layer.name in saved]
    else:
        layers = [layer for layer in _layers(model) if _variables(layer)]
        filled = {name: datasets for name, datasets in saved.items() if datasets}
        if len(layers) != len(filled):
            raise ValueError(
                f"Layer count mismatch when loading weights from file. Model expected {len(layers)} layers, found {len(filled)} saved "
                "layers."
            )
        pairs = [(layer, name, datasets) for layer, (name, datasets) in zip(layers, filled.items())]
    values = []
    for k, (layer, name, datasets) in enumerate(pairs):
        try:
            values += _fitting(file, k, layer, name, datasets, name in cudnn)
        except ValueError as error:
            if not skip_mismatch:
                raise
            import warnings

            warnings.warn(f"Skipping loading weights: {error}", stacklevel=2)
    for variable, array in values:
        variable.assign(array)


def _fitting(file, k, layer, name, datasets, from_cudnn):
    variables = _variables(layer)
    if len(datasets) != len(variables):
        raise ValueError(
            f"Weight count mismatch for layer #{k} (named {layer.name} in the current model, {name} in the save file). "
            f"Layer expects {len(variables)} weight(s). Received {len(datasets)} saved weight(s)"
        )
    size = 2 * sum(v.value.nbytes for v in variables) + 4096
    if any(dataset.nbytes > 2 * size for dataset in datasets):
        raise ValueError(f"Shape mismatch in layer #{k} (named {layer.name}): the saved weights are larger than its own")
    arrays = [file.read(dataset) for dataset in datasets]
    if from_cudnn:
        arrays = converted(layer, arrays)
    for v, array in zip(variables, arrays):
        if v.shape != array.shape:
            raise ValueError(
                f"Shape mismatch in layer #{k} (named {layer.name}) for weight {v.path}. Weight expects shape {v.shape}. "
                f"Received saved weight with shape {array.shape}"
            )
    return list(zip(variables, arrays))


# -- the optimizer ---------------------------------------------------------------------------------------------------------------

# what Keras 2 calls the slots, at the end or the beginning of a name
_SLOTS = {"m": "momentum", "v": "velocity", "vhat": "velocity_hat", "momentum": "momentum", "rms": "velocity", "mg": "average_gradient",
          "velocity": "velocity", "accumulator": "accumulator", "linear": "linear"}


def _read_optimizer(file, model):
    """The optimizer's state as Keras 3 writes it, or as Keras 2 does where its names tell; else a warning, and a new beginning."""
    group = file.group("optimizer_weights")
    if group is None:
        return
    names = file.names(group, "weight_names")
    datasets = [file.dataset(group, name) for name in names]
    if None in datasets:
        raise file.broken("a part of its optimizer's state is missing")
    try:
        if names and names[0].endswith("iterations:0"):
            _restore_keras_2(model, names, datasets, file.read)
        else:
            restore_keras_variables(model, datasets, file.read)
    except ValueError as error:
        import warnings

        if len(datasets) > 2:
            warnings.warn(
                f"Error in loading the saved optimizer state ({error}). As a result, your model is starting with a freshly initialized "
                "optimizer.", stacklevel=2,
            )


def _restore_keras_2(model, names, datasets, read):
    """State as lists of slots; each kind of slot comes for the trained weights in order."""
    state, trained = new_state(model), [i for i, v in enumerate(model.variables) if v.trainable]
    by_kind = {}
    for name, dataset in zip(names[1:], datasets[1:]):
        by_kind.setdefault(_SLOTS.get(name.split(":")[0].split("/")[-1]), []).append(dataset)
    shapes = [model.variables[i].shape for i in trained]
    for kind, _ in model.optimizer.slots:
        found = by_kind.get(kind, [])
        if datasets[0].shape or [dataset.shape for dataset in found] != shapes:
            raise ValueError(f"there is no {kind!r} for each weight")
        for i, dataset in zip(trained, found):
            state["vectors"][kind][i] = read(dataset)
    state["batches"] = int(read(datasets[0])) * (model.optimizer.gradient_accumulation_steps or 1)
    restore_optimizer_state(model, state)
