"""What `compile` was given, as JSON and back."""

from .. import losses, metrics, optimizers


def _metric(argument):
    return argument if isinstance(argument, str) else metrics.serialize(argument)


def compile_config(model):
    config = {"optimizer": optimizers.serialize(model.optimizer)}
    loss = model.loss
    config["loss"] = loss if isinstance(loss, str) or loss is None else losses.serialize(loss)
    groups = model._metric_arguments or ([], [])
    config["metrics"], config["weighted_metrics"] = ([_metric(m) for m in group] for group in groups)
    return config


def compile_from(model, config):
    """Call `compile` with the arguments of `compile_config`."""
    model.compile(
        optimizer=optimizers.get(config["optimizer"]), loss=losses.get(config["loss"]) if config["loss"] is not None else None,
        metrics=[m if isinstance(m, str) else metrics.get(m) for m in config["metrics"]] or None,
        weighted_metrics=[m if isinstance(m, str) else metrics.get(m) for m in config["weighted_metrics"]] or None,
    )
