"""What `compile` was given, as JSON and back."""

from .. import losses, metrics, optimizers


def compile_config(model):
    """The arguments of `compile`, as Keras writes them."""
    groups = model._metric_arguments or ([], [])
    metric_configs, weighted = ([_written(m, metrics) for m in group] or None for group in groups)
    return {
        "optimizer": optimizers.serialize(model.optimizer),
        "loss": _written(model.loss, losses),
        "loss_weights": None if model._loss_weight == 1 else model._loss_weight,
        "metrics": metric_configs,
        "weighted_metrics": weighted,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def _written(argument, module):
    if isinstance(argument, (list, tuple)):
        return [_written(a, module) for a in argument]
    return argument if argument is None or isinstance(argument, (str, dict)) else module.serialize(argument)


def compile_from(model, config):
    """Call `compile` with the arguments of `compile_config`, or with those of a file of Keras."""
    weights = config.get("loss_weights")
    model.compile(
        optimizer=optimizers.deserialize(_optimizer(config["optimizer"])), loss=_loss(config.get("loss")),
        loss_weights=weights if isinstance(weights, (int, float)) else _one(weights),
        metrics=_metrics(config.get("metrics")), weighted_metrics=_metrics(config.get("weighted_metrics")),
    )


def _one(value):
    """The entry for the one output, where a file has a list or dict for several."""
    while isinstance(value, (list, tuple, dict)) and len(value) == 1 and not _is_config(value):
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value


def _is_config(value):
    return isinstance(value, dict) and "class_name" in value


def _loss(config):
    config = _one(config)
    if not _is_config(config):
        return config
    inner = config.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("fn"), str) and inner["fn"] != config["class_name"]:
        inner = {k: v for k, v in inner.items() if k != "fn"}  # Keras 2 wrote the function of its own losses too
    if isinstance(inner, dict) and inner.get("reduction") == "auto":
        inner = {**inner, "reduction": "sum_over_batch_size"}
    return losses.deserialize({**config, "config": inner})


def _metrics(config):
    if isinstance(config, dict) and not _is_config(config):
        config = _one(config)
    if config is None:
        return None
    entries = list(config) if isinstance(config, (list, tuple)) else [config]
    if len(entries) == 1 and isinstance(entries[0], (list, tuple)):
        entries = list(entries[0])
    return [_metric(entry) for entry in entries if entry is not None]


def _metric(config):
    if not _is_config(config):
        return config
    inner = config.get("config")
    if config["class_name"] == "MeanMetricWrapper" and isinstance(inner, dict):
        return inner.get("name")  # Keras 2: the wrapper of a function, called by the name that `compile` was given
    return metrics.deserialize(config)


_OF_KERAS_2 = ("decay", "is_legacy_optimizer", "jit_compile")


def _optimizer(config):
    """Without the arguments that an optimizer no longer has."""
    if not _is_config(config) or not isinstance(config.get("config"), dict):
        return config
    inner = {k: v for k, v in config["config"].items() if k not in _OF_KERAS_2 or (k == "decay" and v)}
    return {**config, "config": inner}
