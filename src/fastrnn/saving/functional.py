"""Functional models of Keras that are a plain chain of layers, as the Sequential that they could have been."""

# what Keras computes masks with, beside the chain; our layers pass masks on by themselves
_MASK_OPERATIONS = {"NotEqual", "Any"}


def as_sequential(config):
    """The configuration of a Sequential for that of a functional model.

    Raises:
        ValueError: if it has several inputs or outputs, or layers that branch or merge.
    """
    inner = config["config"]
    layers = {entry.get("name") or entry["config"]["name"]: entry for entry in inner["layers"]}
    name, chain = _only(inner["output_layers"], layers), []
    start = _only(inner["input_layers"], layers)
    while True:
        if name in chain:
            raise _no_chain("its layers form a circle")
        chain.append(name)
        if name == start:
            break
        name = _before(layers[name], layers)
    others = [entry["class_name"] for name, entry in layers.items() if name not in chain]
    if not _MASK_OPERATIONS.issuperset(others):
        raise _no_chain(f"there are other layers beside the chain from input to output: {others}")
    stack = [{key: value for key, value in layers[name].items() if key not in ("inbound_nodes", "name")} for name in reversed(chain)]
    inner = {"name": inner.get("name"), "layers": stack}
    return {**config, "module": "keras", "class_name": "Sequential", "registered_name": None, "config": inner}


def _no_chain(why):
    return ValueError(
        f"The file holds a functional model that is no plain stack of layers: {why}. fastrnn has Sequential models only; build the parts "
        "that are stacks as Sequential models, and load their weights."
    )


def _only(ends, layers):
    """The name in `input_layers` or `output_layers`: ["name", 0, 0] or a list with one of these."""
    while isinstance(ends, (list, tuple)) and len(ends) == 1:
        ends = ends[0]
    name = ends[0] if isinstance(ends, (list, tuple)) and ends else None
    if not isinstance(name, str) or name not in layers:
        raise _no_chain("it has several inputs or outputs")
    return name


def _before(entry, layers):
    """The name of the one layer whose output a layer takes."""
    nodes = entry["inbound_nodes"]
    if len(nodes) != 1:
        raise _no_chain(f"a layer '{entry.get('name')}' is called {len(nodes)} times")
    arguments = nodes[0]["args"] if isinstance(nodes[0], dict) else nodes[0]
    first = arguments[0] if len(arguments) == 1 else None
    if isinstance(first, dict) and first.get("class_name") == "__keras_tensor__":
        first = first["config"]["keras_history"]
    if not isinstance(first, list) or not isinstance(first[0], str) or first[0] not in layers:
        raise _no_chain(f"layer '{entry.get('name')}' takes several inputs")
    return first[0]
