"""Weights: named arrays, which a model keeps side by side in one flat vector."""

import numpy as np

from ._native import Version


def aligned(size, dtype):
    """A flat array of zeros that starts at a cache line."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * dtype.itemsize].view(dtype)


class Changes:
    """How often anyone has set `trainable` of a weight or of a layer, and another argument of a layer that has its weights. A model that has seen the
    present counts need not look at all of its own again."""

    trainability = 0
    configuration = 0


class Variable:
    """One weight array of a layer. `numpy()` copies it, `assign()` replaces its values.

    Attributes:
        name: "kernel", "bias", ...
        value: the array itself, a view into the model's flat vector; after changing it in place call `changed()`.
        trainable: whether training updates it; never where it was made with False, as moving averages are.
        regularizer, constraint: as given to the layer, or None.
    """

    def __init__(self, value, name, trainable=True, regularizer=None, constraint=None):
        self.name = name
        self.path = name
        self.trainable = self.is_parameter = trainable
        self.regularizer = regularizer
        self.constraint = constraint
        self.value = value
        self.gradient = None  # view into the flat gradient of a model that trains
        self.version = Version()

    @property
    def trainable(self):
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = value
        Changes.trainability += 1

    @property
    def shape(self):
        return self.value.shape

    @property
    def dtype(self):
        return str(self.value.dtype)

    def numpy(self):
        return self.value.copy()

    def __array__(self, dtype=None, copy=None):
        return np.array(self.value, dtype=dtype)

    def assign(self, value):
        """Set all elements; the shape must be the same."""
        value = np.asarray(value)
        if value.shape != self.shape:
            raise ValueError(
                f"The shape of the target variable and the shape of the target value in `variable.assign(value)` "
                f"must match. variable.shape={self.shape}, Received: value.shape={value.shape}. Target variable: {self}"
            )
        self.value[...] = value
        self.changed()
        return self

    def assign_add(self, value):
        """Add to all elements."""
        return self.assign(self.value + value)

    def assign_sub(self, value):
        """Subtract from all elements."""
        return self.assign(self.value - value)

    def add_gradient(self, gradient):
        """Add to the gradient of the batch, in the backward pass of a layer written in Python; nothing where the weight is not trained."""
        if self.trainable and self.gradient is not None:
            self.gradient += gradient

    def changed(self):
        """Tell everything that holds a packed copy that it is stale."""
        self.version.value += 1

    def __repr__(self):
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.value}>"


class Parameters:
    """The weights of a model in one flat vector, and their gradients and optimizer state in others of its layout.

    Making it moves the variables' values into the vector; their `value` becomes a view of it, and the version that they had is retired.
    """

    def __init__(self, variables, dtype):
        self.variables = list(variables)
        self.version = Version()
        self.offsets = []
        size, step = 0, 64 // np.dtype(dtype).itemsize
        for v in self.variables:
            self.offsets.append(size)
            size += -(-v.value.size // step) * step  # each weight starts at a cache line
        self.flat = aligned(size, dtype)
        self.gradient = None
        for v, offset in zip(self.variables, self.offsets):
            view = self._view(self.flat, v, offset)
            view[...] = v.value
            v.version.retired = True
            v.value, v.version, v.gradient = view, self.version, None

    def _view(self, flat, variable, offset):
        return flat[offset : offset + variable.value.size].reshape(variable.value.shape)

    def parts_of(self, variable, vectors):
        """What stands for a variable in vectors of this layout, in its shape."""
        offset = self.offsets[next(i for i, v in enumerate(self.variables) if v is variable)]
        return [self._view(vector, variable, offset) for vector in vectors]

    def make_gradient(self):
        """Allocate the gradient, once, and show those variables that are trained now where theirs is."""
        if self.gradient is None:
            self.gradient = np.zeros_like(self.flat)
        for v, offset in zip(self.variables, self.offsets):
            v.gradient = self._view(self.gradient, v, offset) if v.trainable else None
        return self.gradient

    def owns(self, variables):
        """Whether these are the variables of this vector, in this order, and nobody has moved them since."""
        return (
            len(variables) == len(self.variables)
            and all(a is b for a, b in zip(variables, self.variables))
            and not self.version.retired
        )

    def segments(self, trained, optimizer):
        """(offset, size, decays) of each of the trained variables, for the fused update."""
        trained = set(trained)
        return [
            (offset, v.value.size, optimizer.uses_weight_decay(v.name, v))
            for v, offset in zip(self.variables, self.offsets)
            if v in trained
        ]


class HasWeights:
    """What layers and models offer beside their `variables`."""

    @property
    def weights(self):
        """All weights, in Keras's order."""
        return self.variables

    @property
    def trainable_weights(self):
        """The weights that training updates: none of a layer or model that is not trainable, whatever is said of what it holds."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self):
        """The weights that training leaves as they are."""
        return [v for v in self.variables if not v.trainable] if self.trainable else list(self.variables)

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def losses(self):
        """Penalties of the regularizers of the trainable weights that have one, as floats."""
        return [float(v.regularizer(v.value)) for v in self.trainable_weights if v.regularizer is not None]

    def get_weights(self):
        """Copies of all weights, a list of arrays."""
        return [v.numpy() for v in self.variables]


def assign_all(variables, weights, name, hint=""):
    """Set the values of several variables, or of none.

    Args:
        variables: the weights of the layer or model called `name`.
        weights: as many arrays, of the same shapes.
        hint: what to add to the message when the numbers differ.

    Raises:
        ValueError: if the number of arrays or a shape differs.
    """
    weights = [np.asarray(w) for w in weights]
    if len(weights) != len(variables):
        raise ValueError(
            f"You called `set_weights(weights)` on layer '{name}' with a weight list of length {len(weights)}, but the layer was "
            f"expecting {len(variables)} weights.{hint}"
        )
    for v, w in zip(variables, weights):
        if v.shape != w.shape:
            raise ValueError(f"Layer {name} weight shape {v.shape} is not compatible with provided weight shape {w.shape}.")
    for v, w in zip(variables, weights):
        v.assign(w)
