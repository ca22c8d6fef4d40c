"""Pictures of a training and of a model."""

from __future__ import annotations

import os


def plot_history(history, metrics=None, to_file=None):
    """Draw the curves of a training, one field for each metric, the validation beside the training.

    Args:
        history: what `fit` returned, or a dict of lists such as its ``history``.
        metrics: names of the metrics to draw; all when `None`.
        to_file: path of an image to write as well.

    Returns: the matplotlib figure.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is nothing to draw, or no metric of that name.

    >>> figure = plot_history({"loss": [3.0, 2.0, 1.5], "val_loss": [3.5, 2.5, 2.5]})  # doctest: +SKIP
    """
    pyplot = _matplotlib("plot_history", "pyplot")
    curves = getattr(history, "history", history)
    if not isinstance(curves, dict):
        raise ValueError(f"`history` must be what `fit` returned, or a dict of lists. Received: history={history!r:.60}")
    known = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if not known:
        raise ValueError("`history` is empty: no epoch has been trained.")
    names = known if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    if not names or not set(names) <= set(known):
        raise ValueError(f"`metrics` must be names out of {known}. Received: metrics={metrics!r}")

    count = max(map(len, curves.values()))
    epochs = getattr(history, "epoch", range(count))
    epochs = [epoch + 1 for epoch in (epochs if len(epochs) == count else range(count))]  # a History may have served several fits
    figure, fields = pyplot.subplots(1, len(names), figsize=(1 + 4 * len(names), 3.5), squeeze=False, layout="constrained")
    for field, name in zip(fields[0], names):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            values = curves.get(key, [])
            every = max(1, len(epochs) // max(1, len(values)))  # the validation may run every few epochs only
            field.plot(epochs[every - 1 :: every][: len(values)], values, "o-", markersize=3, label=label)
        field.set(title=name, xlabel="epoch")
        field.xaxis.get_major_locator().set_params(integer=True)
        field.legend()
    if to_file is not None:
        figure.savefig(to_file)
    return figure


def plot_model(model, to_file="model.png", show_shapes=False, show_dtype=False, show_layer_names=False, rankdir="TB",
               expand_nested=False, dpi=200, show_layer_activations=False, show_trainable=False):
    """Draw the layers of a model, one box each, and write the picture.

    Args:
        model: a model that is built.
        to_file: path of the picture. ``.png``, ``.pdf``, ``.svg`` and what else matplotlib writes, or ``.dot`` for the text that
            Graphviz draws.
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what the boxes say besides the class.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        expand_nested: draw the layers of nested models instead of one box.
        dpi: dots per inch of an image.

    Returns: the matplotlib figure; nothing for ``.dot``.

    Raises:
        ImportError: matplotlib is not installed (``.dot`` does not need it).
        ValueError: the model is not built, or an argument is wrong.

    >>> from fastrnn import Input, Sequential
    >>> from fastrnn.layers import LSTM
    >>> figure = plot_model(Sequential([Input((5, 2)), LSTM(7)]), "model.svg", show_shapes=True)  # doctest: +SKIP
    """
    options = {"show_shapes": show_shapes, "show_dtype": show_dtype, "show_layer_names": show_layer_names,
               "show_layer_activations": show_layer_activations, "show_trainable": show_trainable}
    if os.fspath(to_file).endswith(".dot"):
        with open(to_file, "w", encoding="utf-8") as file:
            file.write(model_to_dot(model, rankdir=rankdir, expand_nested=expand_nested, dpi=dpi, **options))
        return None
    labels = _labels(model, rankdir, expand_nested, **options)
    figure_class = _matplotlib("plot_model", "figure").Figure
    height = 0.5 + 0.25 * max(label.count("\n") for label in labels)
    width = 0.6 + 0.085 * max(len(line) for label in labels for line in label.split("\n"))
    across = rankdir == "LR"
    step = width + 0.4 if across else height + 0.35
    size = (step * len(labels), height + 0.2) if across else (width + 0.2, step * len(labels))
    figure = figure_class(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    before = None
    for k, label in enumerate(labels):
        along = step * (k + 0.5)
        place = (along, size[1] / 2) if across else (size[0] / 2, along)
        text = axes.text(*place, label, ha="center", va="center", family="monospace", fontsize=10,
                         bbox={"boxstyle": "round", "fc": "white"})
        if before is not None:
            start, box = before
            axes.annotate("", place, start, arrowprops={"arrowstyle": "->", "patchA": box, "patchB": text.get_bbox_patch()})
        before = place, text.get_bbox_patch()
    figure.savefig(to_file, dpi=dpi)
    return figure


def model_to_dot(model, show_shapes=False, show_dtype=False, show_layer_names=True, rankdir="TB", expand_nested=False, dpi=200,
                 show_layer_activations=False, show_trainable=False) -> str:
    """The text from which Graphviz draws a model. The arguments are those of `plot_model`.

    >>> from fastrnn import Input, Sequential
    >>> from fastrnn.layers import LSTM
    >>> print(model_to_dot(Sequential([Input((5, 2)), LSTM(7, name="memory")], name="small")))
    digraph "small" {
      graph [rankdir=TB, dpi=200];
      node [shape=box];
      0 [label="memory (LSTM)"];
    }
    """
    labels = _labels(model, rankdir, expand_nested, show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    quoted = [label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for label in labels]
    lines = [f'digraph "{model.name}" {{', f"  graph [rankdir={rankdir}, dpi={dpi}];", "  node [shape=box];"]
    lines += [f'  {k} [label="{label}"];' for k, label in enumerate(quoted)]
    lines += [f"  {k} -> {k + 1};" for k in range(len(labels) - 1)]
    return "\n".join([*lines, "}"])


def _labels(model, rankdir, expand_nested, show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable):
    """What stands in the box of each layer."""
    if rankdir not in ("TB", "LR"):
        raise ValueError(f"`rankdir` must be 'TB' or 'LR'. Received: rankdir={rankdir!r}")
    if not model.built:
        raise ValueError(
            "This model has not yet been built. Build the model first by calling `build()` or by calling the model on a batch of data."
        )
    labels = []
    for layer, before, after in _layers(model, model.input_shape, expand_nested):
        kind = type(layer).__name__
        lines = [f"{layer.name} ({kind})" if show_layer_names else kind]
        activation = layer.get_config().get("activation")
        if show_layer_activations and activation is not None:
            lines.append(f"Activation: {activation}")
        if show_shapes:
            lines.append(f"Input shape: {before}, Output shape: {after}")
        if show_dtype:
            lines.append(f"Output dtype: {layer.dtype}")
        if show_trainable and layer.weights:
            lines.append("Trainable" if layer.trainable else "Non-trainable")
        labels.append("\n".join(lines))
    return labels


def _layers(model, shape, expand_nested):
    """(layer, input shape, output shape) from the first to the last."""
    for layer in model.layers:
        after = layer.compute_output_shape(shape)
        if expand_nested and getattr(layer, "layers", None):
            yield from _layers(layer, shape, True)
        else:
            yield layer, shape, after
        shape = after


def _matplotlib(function, module):
    from importlib import import_module

    try:
        return import_module(f"matplotlib.{module}")
    except ImportError:
        raise ImportError(f"`{function}` draws with matplotlib, which is not installed: `pip install 'fastrnn[plot]'`.") from None
