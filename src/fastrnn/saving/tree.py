"""Where Keras's files keep the weights: a group for each object, named after the attribute of its owner, or after its class in a list.

    layers/lstm/cell/vars/0            the first weight of the first LSTM
    layers/bidirectional/forward_layer/cell/vars/0
    layers/sequential/layers/dense_1/vars/0

Every object that has weights is written once, at the first path that leads to it. Names of layers play no part, so that two models of
the same classes have the same paths.
"""

from .._identifiers import to_snake_case
from ..variables import HasWeights


def groups(model):
    """(path, name, variables) of every object with weights, or that could have some, of a model.

    Raises:
        ValueError: if the model has weights that no attribute of a layer leads to.
    """
    variables = {id(v): v for v in model.variables}
    found = list(_walk(model, "", set(), variables))
    reached = {id(v) for _, _, own in found for v in own}
    lost = [v.path for key, v in variables.items() if key not in reached]
    if lost:
        raise ValueError(
            f"The weights {lost} cannot be written: no attribute of a layer leads to them. Layers inside of a layer must be attributes of "
            "it, or members of a list, tuple or dict that is one."
        )
    return found


def _walk(owner, path, seen, variables):
    """`variables`: those of the model by their id; others, such as those of the layer that a wrapper copied, are not its own."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    own = _in_order(v for v in getattr(owner, "_variables", ()) if id(v) in variables and id(v) not in seen)
    seen.update(id(v) for v in own)
    yield path, owner.name, own
    for attribute, value in _attributes(owner):
        if isinstance(value, HasWeights):
            if value.built:
                yield from _walk(value, _join(path, attribute), seen, variables)
        elif isinstance(value, (list, tuple, dict)):
            yield from _walk_container(value, _join(path, attribute), seen, variables)


def _walk_container(container, path, seen, variables):
    if id(container) in seen:
        return
    seen.add(id(container))
    counts = {}
    for member in container.values() if isinstance(container, dict) else container:
        if isinstance(member, HasWeights):
            name = to_snake_case(type(member).__name__)
        elif isinstance(member, (list, tuple, dict)):
            name = "container"
        else:
            continue
        count = counts[name] = counts.get(name, -1) + 1
        unique = f"{name}_{count}" if count else name
        walk = _walk if isinstance(member, HasWeights) else _walk_container
        yield from walk(member, _join(path, unique), seen, variables)


def _attributes(owner):
    """(name, value) in Keras's order: layers of a model first, private attributes last."""
    if isinstance(getattr(owner, "_layers", None), tuple):
        return [("layers", owner._layers)]
    return sorted(vars(owner).items(), key=lambda item: f"~{item[0]}" if item[0].startswith("_") else item[0])


def _in_order(variables):
    """As Keras numbers them: what can be trained first."""
    return sorted(variables, key=lambda v: not v.is_parameter)


def _join(path, name):
    return f"{path}/{name}" if path else name
