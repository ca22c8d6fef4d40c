"""What an optimizer remembers, weight by weight, apart from how the training step lays it out; and in the order of Keras's files."""

import types

import numpy as np

from ..variables import Variable


def optimizer_state(model):
    """State of a compiled model's optimizer as a dict, or None before the first step.

    `batches` counts the steps (of which `gradient_accumulation_steps` make an update); `vectors` has a list with an array for each of the
    model's weights, by name: the optimizer's slots, and where they are used "average" and "gradient_accumulator".
    """
    optimizer = model.optimizer
    known = getattr(optimizer, "_flat_state", None)
    if known is None:
        return None
    parameters, slots = known
    flat = {name: slot for (name, _), slot in zip(optimizer.slots, slots)}
    flat |= {name: getattr(optimizer, attribute, None) for name, attribute in _EXTRA.items()}
    return {
        "batches": _batches(optimizer),
        "vectors": {name: _split(vector, parameters) for name, vector in flat.items() if vector is not None},
    }


_EXTRA = {"average": "_flat_average", "gradient_accumulator": "_accumulated"}


def _batches(optimizer):
    steps = optimizer.gradient_accumulation_steps
    return max(getattr(optimizer, "_batches", 0), optimizer.iterations * steps) if steps else optimizer.iterations


def _split(vector, parameters):
    return [vector[o : o + v.value.size].reshape(v.shape).copy() for v, o in zip(parameters.variables, parameters.offsets)]


def restore_optimizer_state(model, state):
    """The inverse of `optimizer_state`, on a compiled model with the same weights."""
    if state is None:
        return
    optimizer, parameters = model.optimizer, model._parameters()
    slots = [_join(state["vectors"][name], parameters) for name, _ in optimizer.slots]
    known = getattr(optimizer, "_flat_state", None)
    if known is not None and known[0] is parameters:  # programs may hold these arrays
        for old, new in zip(known[1], slots):
            old[...] = new
    else:
        optimizer._flat_state = (parameters, slots)
        model._forget_plans()
    for name, attribute in _EXTRA.items():
        arrays = state["vectors"].get(name)
        setattr(optimizer, attribute, None if arrays is None else _join(arrays, parameters))
    optimizer.iterations = state["batches"] // (optimizer.gradient_accumulation_steps or 1)
    optimizer._batches = state["batches"]  # within an accumulation there are more than whole steps


def _join(arrays, parameters):
    vector = np.zeros_like(parameters.flat)
    for array, v, o in zip(arrays, parameters.variables, parameters.offsets):
        vector[o : o + v.value.size] = array.reshape(-1)
    return vector


def new_state(model):
    """`optimizer_state` as it is before the first step."""
    optimizer, variables = model.optimizer, model.variables
    vectors = {name: [np.full_like(v.value, value) for v in variables] for name, value in optimizer.slots}
    used = {"average": optimizer.use_ema, "gradient_accumulator": optimizer.gradient_accumulation_steps}
    return {
        "batches": _batches(optimizer),
        "vectors": vectors | {name: [np.zeros_like(v.value) for v in variables] for name, is_used in used.items() if is_used},
    }


# -- the order of Keras's files ----------------------------------------------------------------------------------------------


def keras_order(model, state):
    """The slots of `state` as Keras numbers them: a list of (name, index of the weight).

    First come the moving averages and the accumulated gradients; then the optimizer's slots, those of a weight side by side, except for
    the ones that the optimizer keeps apart (`separate_slots`). Weights that are not trained have none.
    """
    trained = [i for i, v in enumerate(model.variables) if v.trainable]
    optimizer, order = model.optimizer, []
    for name in _EXTRA:
        if name in state["vectors"]:
            order += [(name, i) for i in trained]
    together = [name for name in optimizer.saved_slots if name not in optimizer.separate_slots]
    order += [(name, i) for i in trained for name in together if optimizer.saves(name, model.variables[i])]
    for name in optimizer.saved_slots:
        if name in optimizer.separate_slots:
            order += [(name, i) for i in trained]
    return order


def keras_variables(model):
    """[(name, array)] of the optimizer as Keras numbers them in files."""
    optimizer = model.optimizer
    state = _with_extra(model, optimizer_state(model) or new_state(model))
    variables = [("iteration", np.int32(state["batches"]))]
    if _has_rate(optimizer):
        rate = optimizer.learning_rate  # in single precision, unless that would change it
        variables.append(("learning_rate", np.float32(rate) if float(np.float32(rate)) == rate else np.float64(rate)))
    names, vectors = [v.path.replace("/", "_") for v in model.variables], _saved_vectors(model, state)
    variables += [(f"{names[i]}_{slot}", vectors[slot][i]) for slot, i in keras_order(model, state)]
    return variables + [(name, np.float32(value)) for name, value in optimizer.saved_scalars()]


def _saved_vectors(model, state):
    """The vectors of a state as Keras's files keep them."""
    return _each_weight(state["vectors"], [name for name, _ in model.optimizer.slots], model.optimizer.to_saved)


def _each_weight(vectors, names, convert):
    """`vectors` with the arrays of `names` replaced, weight by weight, by those that `convert` makes of them."""
    converted = [convert(dict(zip(names, arrays))) for arrays in zip(*(vectors[name] for name in names))]
    rest = {name: arrays for name, arrays in vectors.items() if name not in names}
    return rest | {name: [of_weight[name] for of_weight in converted] for name in (converted[0] if converted else names)}


def readable_variables(optimizer):
    """`keras_variables` of the weights that an optimizer has trained so far, as Variables that cannot be assigned to."""
    known = getattr(optimizer, "_flat_state", None)
    trained = types.SimpleNamespace(optimizer=optimizer, variables=known[0].variables if known else [])
    found = []
    for name, value in keras_variables(trained):
        array = np.array(value)
        array.flags.writeable = False
        found.append(Variable(array, name, trainable=False))
        found[-1].path = f"{optimizer.name}/{name}"
    return found


def _with_extra(model, state):
    """The state with averages and sums even where no step has needed them yet."""
    return {**state, "vectors": {**new_state(model)["vectors"], **state["vectors"]}}


def _has_rate(optimizer):
    """Whether the learning rate is a number that Keras keeps as a variable."""
    return not callable(optimizer._learning_rate)


def restore_keras_variables(model, saved, read):
    """The inverse of `keras_variables`, with what was saved alone: things with a `shape`, of which `read` makes arrays.

    Raises:
        ValueError: if they are not those of this optimizer and these weights; then nothing was changed, and nothing read.
    """
    optimizer = model.optimizer
    state = new_state(model)
    order, vectors = keras_order(model, state), _saved_vectors(model, state)
    head = 1 + _has_rate(optimizer)
    expected = head + len(order) + len(optimizer.saved_scalars())
    if len(saved) != expected:
        raise ValueError(f"{expected} variables expected, {len(saved)} found")
    if any(variable.shape for variable in saved[:head]):
        raise ValueError("the number of steps is not a number")
    for (name, i), variable in zip(order, saved[head:]):
        if variable.shape != vectors[name][i].shape:
            raise ValueError(f"{name} of {model.variables[i].path} has shape {variable.shape}, not {vectors[name][i].shape}")
    for (name, i), variable in zip(order, saved[head:]):
        vectors[name][i] = read(variable)
    state["vectors"] = _each_weight(vectors, optimizer.saved_slots, optimizer.from_saved)
    state["batches"] = int(read(saved[0]))
    restore_optimizer_state(model, state)
    if head == 2:
        optimizer.learning_rate = float(read(saved[1]))
