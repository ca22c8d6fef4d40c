"""The table of `Sequential.summary`, line by line as Keras prints it."""

_HEADS = ("Layer (type)", "Output Shape", "Param #")
_ALIGN = {"Param #": str.rjust, "Trainable": str.center}
_ASCII = str.maketrans({"━": "-", "─": "-", "┃": "|", "│": "|", "└": "+", "…": "~"} | dict.fromkeys("┏┳┓┡╇┩├┼┤┴┘", "+"))


def summary(model, line_length=None, positions=None, expand_nested=False, show_trainable=False, layer_range=None):
    """The text of `Sequential.summary`, with a newline at its end.

    >>> from fastrnn import Input, Sequential
    >>> from fastrnn.layers import LSTM
    >>> print(summary(Sequential([Input((None, 2)), LSTM(7)], name="small"), line_length=60), end="")
    Model: "small"
    ┏━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┓
    ┃ Layer (type)             ┃ Output Shape      ┃   Param # ┃
    ┡━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━┩
    │ lstm (LSTM)              │ (None, 7)         │       280 │
    └──────────────────────────┴───────────────────┴───────────┘
     Total params: 280 (1.09 KB)
     Trainable params: 280 (1.09 KB)
     Non-trainable params: 0 (0.00 B)
    """
    heads = (*_HEADS, "Trainable") if show_trainable else _HEADS
    widths = _widths(line_length, positions or [0.45, 0.80, 1.0], show_trainable)
    rows = []
    start, stop = _bounds(model.layers, layer_range)
    for layer, shapes in list(zip(model.layers, _shapes(model.layers, model._input_shape)))[start:stop]:
        rows += _rows(layer, *shapes, expand_nested)
    lines = [f'Model: "{model.name}"', *_table(heads, [row[: len(heads)] for row in rows], widths)]
    return "\n".join(lines + _totals(model)) + "\n"


def as_ascii(text):
    """The same table in plain characters, for outputs that have no others."""
    return text.translate(_ASCII)


# -- what the rows say ---------------------------------------------------------------------------------------------------------


def _shapes(layers, shape):
    """(input shape, output shape) of each layer of a stack, None where unknown."""
    for layer in layers:
        before, shape = shape, None if shape is None else layer.compute_output_shape(shape)
        yield before, shape


def _rows(layer, before, after, expand_nested, level=0):
    """The cells of a layer, and with `expand_nested` of the layers in it."""
    name = f"{'   ' * level}└ {layer.name}" if level else layer.name
    count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
    trainable = "-" if not layer.weights else "Y" if layer.trainable else "N"
    rows = [(f"{name} ({type(layer).__name__})", _shape_text(after), count, trainable)]
    inner = getattr(layer, "layers", ()) if expand_nested else ()
    for inner_layer, shapes in zip(inner, _shapes(inner, _declared_shape(layer) or before)):
        rows += _rows(inner_layer, *shapes, True, level + 1)
    return rows


def _declared_shape(layer):
    """The input shape that a nested model was made with: its layers are shown for that one, as in Keras."""
    first = getattr(layer, "_input_layer", None)
    if first is not None:
        return first.batch_shape
    return layer.layers[0].input_spec_shape if getattr(layer, "layers", ()) else None


def _shape_text(shape):
    if shape is None:
        return "?"
    if isinstance(shape[0], tuple):
        return f"[{', '.join(map(_shape_text, shape))}]"
    return f"({', '.join(map(str, shape))})"


def _bounds(layers, layer_range):
    """First and last + 1 of the layers between two names, which may be regular expressions."""
    if layer_range is None:
        return 0, len(layers)
    if len(layer_range) != 2:
        raise ValueError(
            f"layer_range must be a list or tuple of length 2. Received: layer_range = {layer_range} of length {len(layer_range)}"
        )
    if not all(isinstance(name, str) for name in layer_range):
        raise ValueError(f"layer_range should contain string type only. Received: {layer_range}")
    import re

    first, last = ([k for k, layer in enumerate(layers) if re.match(name, layer.name)] for name in layer_range)
    if not first or not last:
        raise ValueError(f"Passed layer_names do not match the layer names in the model. Received: {layer_range}")
    if first[0] > last[-1]:
        first, last = last, first
    return first[0], last[-1] + 1


def _totals(model):
    def line(what, count, size):
        return f" {what} params: {count:,} ({_size_text(size)})"

    def measure(variables):
        return sum(v.value.size for v in variables), sum(v.value.nbytes for v in variables)

    trained, fixed, of_optimizer = measure(model.trainable_weights), measure(model.non_trainable_weights), _optimizer(model)
    total = [sum(parts) for parts in zip(trained, fixed, of_optimizer)]
    lines = [line("Total", *total), line("Trainable", *trained), line("Non-trainable", *fixed)]
    return lines + [line("Optimizer", *of_optimizer)] if of_optimizer[0] else lines


def _optimizer(model):
    """(numbers, bytes) that the optimizer keeps once it has been used: counters, learning rate, and vectors like the weights."""
    optimizer = getattr(model, "optimizer", None)
    if getattr(optimizer, "_flat_state", None) is None:
        return 0, 0
    trained = [v.value for v in model.trainable_weights]
    vectors = len(optimizer.slots) + bool(optimizer.use_ema) + bool(optimizer.gradient_accumulation_steps)
    single = 1 + (not callable(optimizer._learning_rate)) + (optimizer.kind == "nadam")
    return single + vectors * sum(v.size for v in trained), 4 * single + vectors * sum(v.nbytes for v in trained)


def _size_text(size):
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


# -- how they are drawn ----------------------------------------------------------------------------------------------------------


def _widths(line_length, positions, show_trainable):
    """Characters for the text of each column. `positions` are the ends of the columns as shares of the line."""
    import shutil

    if show_trainable:
        positions = [p * 0.9 for p in positions] + [1.0]
    line_length = line_length or min(100 if show_trainable else 88, shutil.get_terminal_size().columns - 4)
    ends = [int(p * line_length) for p in positions]
    widths = [end - start for start, end in zip([0, *ends], ends)]
    if min(widths) < 4:
        raise ValueError("Insufficient console width to print summary.")
    # each column has a space on both sides and a line before it, and there is a line at the end: narrow all alike for these
    widths = [width + 2 for width in widths]
    excess = sum(widths) + len(widths) + 1 - line_length
    for k in range(len(widths)):
        share = round(excess / (len(widths) - k))
        widths[k] -= share
        excess -= share
    return [width - 2 for width in widths]


def _table(heads, rows, widths):
    def rule(left, line, cross, right):
        return left + cross.join(line * (width + 2) for width in widths) + right

    def draw(cells, bar):
        columns = [_wrap(cell, width) for cell, width in zip(cells, widths)]
        for k in range(max(map(len, columns))):
            parts = [_ALIGN.get(head, str.ljust)(column[k] if k < len(column) else "", width)
                     for head, column, width in zip(heads, columns, widths)]
            yield f"{bar} {f' {bar} '.join(parts)} {bar}"

    lines = [rule("┏", "━", "┳", "┓"), *draw(heads, "┃"), rule("┡", "━", "╇", "┩")]
    for k, row in enumerate(rows):
        if k:
            lines.append(rule("├", "─", "┼", "┤"))
        lines += draw(row, "│")
    return [*lines, rule("└", "─", "┴", "┘")]


def _wrap(text, width):
    """Lines of at most `width` characters, broken between words; what is longer is cut."""
    import re

    lines = [""]
    for word in re.findall(r"\s*\S+\s*", text):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    lines = [line.rstrip() for line in lines]
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
