"""Layers that normalise what flows through a model, over the batch or over the elements of a sample."""

import math
import warnings

import numpy as np

from .. import constraints, initializers, regularizers
from ..config import epsilon as smallest
from ..plan import value_of
from .base import Layer
from .core import serialized_parts


def positive_axes(layer, axis, shape):
    """The axes of an argument `axis`, an int or several, as sorted positive numbers for an input of this shape, batch first.

    Raises:
        ValueError: for an axis that the input does not have, and for that of the batch.
    """
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    for one in axes:
        if isinstance(one, bool) or not isinstance(one, (int, np.integer)):
            raise ValueError(f"Argument `axis` of layer '{layer.name}' must be an int or a list of ints. Received: axis={axis}")
        if not -len(shape) <= one < len(shape):
            raise ValueError(f"Axis {one} is out of bounds for input shape {tuple(shape)}. Received: axis={axis}")
        if one % len(shape) == 0:
            raise ValueError(
                f"Argument `axis` of layer '{layer.name}' cannot name the axis of the batch: samples are independent of each other. "
                f"Received: axis={axis} for input shape {tuple(shape)}"
            )
    return sorted({int(one) % len(shape) for one in axes})


def rows_of_axes(shape, axes):
    """(order, size): what lies along some axes as rows of `size` elements; order tells where in a sample the elements of the rows lie, None
    if they lie side by side already."""
    kept = [d - 1 for d in range(1, len(shape)) if d not in axes]
    order = np.arange(math.prod(shape[1:]), dtype=np.int64).reshape(shape[1:]).transpose(*kept, *(d - 1 for d in axes)).reshape(-1)
    return _unless_identity(order), math.prod(shape[d] for d in axes)


def _unless_identity(order):
    return None if (np.diff(order) == 1).all() else np.ascontiguousarray(order)


class _Normalizing(Layer):
    """Base class: normalises along axes."""

    takes_ids = False
    _axes = ()  # positive, of the last input shape that was looked at
    _rank = 0

    @property
    def needs_sequence(self):
        return "it normalises over the time steps" if 1 in self._axes and self._rank > 2 else None

    def check_input(self, input_shape):
        self._axes, self._rank = positive_axes(self, self.axis, input_shape), len(input_shape)

    def _check_sizes(self, input_shape, ndim, sizes):
        """Raise ValueError unless the input has so many axes, and those in the dict `sizes` have these sizes."""
        if len(input_shape) != ndim:
            raise self.incompatible(f"ndim={ndim}", f"ndim={len(input_shape)}", input_shape)
        for axis, size in sizes.items():
            if input_shape[axis] not in (None, size):
                raise self.wrong_size(axis, size, input_shape)


class _Scaled(_Normalizing):
    """Base class: a normalisation that scales its result by weights `gamma` and adds weights `beta`."""

    def __init__(self, axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
                 beta_constraint, gamma_constraint, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = float(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma = self.beta = None

    def _add_weights(self, shape):
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, "gamma", regularizer=self.gamma_regularizer, constraint=self.gamma_constraint
            )
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, "beta", regularizer=self.beta_regularizer, constraint=self.beta_constraint
            )

    def _weights_for(self, plan):
        """The weights and their gradients, as an operation takes them."""
        return {
            "gamma": _flat(value_of(self.gamma)), "beta": _flat(value_of(self.beta)),
            "dgamma": _flat(plan.gradient_of(self.gamma)), "dbeta": _flat(plan.gradient_of(self.beta)),
        }

    def get_config(self):
        return {
            **super().get_config(), "axis": self.axis, "epsilon": self.epsilon, "center": self.center, "scale": self.scale,
            **serialized_parts(self, ("beta", "gamma")),
        }


def _flat(array):
    return None if array is None else array.reshape(-1)


class BatchNormalization(_Scaled):
    """Normalises each feature to mean 0 and variance 1, over the batch in training and by moving averages in inference; then gamma, beta
    (Ioffe and Szegedy, 2015).

    Args:
        axis: of the features, whose numbers are normalised each by itself.
        momentum: of the moving averages: new = momentum * old + (1 - momentum) * batch.
        epsilon: added to the variance.
        center, scale: whether there are weights beta and gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint: as in Keras.
        renorm: False; True is not supported.
        renorm_clipping, renorm_momentum, synchronized: accepted for Keras's sake.

    Call arguments: `mask`, (batch, ...) without the last axis: in training masked entries do not count for mean and variance.

    With `trainable=False` the layer runs as in inference in training too.

    Shapes: any with a batch and features; the output is as the input, and keeps its mask. Weights: gamma, beta, moving_mean,
    moving_variance, one number for each feature; the last two are not trained.

    Raises:
        ValueError: for an axis that the input does not have; for inputs of another size than the first.

    >>> layer = BatchNormalization(momentum=0.5)
    >>> layer([[1.0], [3.0]], training=True).round(2).tolist()
    [[-1.0], [1.0]]
    >>> layer.moving_mean.numpy().tolist()
    [1.0]
    """

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros", gamma_initializer="ones",
                 moving_mean_initializer="zeros", moving_variance_initializer="ones", beta_regularizer=None, gamma_regularizer=None,
                 beta_constraint=None, gamma_constraint=None, renorm=False, renorm_clipping=None, renorm_momentum=0.99,
                 synchronized=False, **kwargs):
        super().__init__(_one_axis(axis), epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
                         beta_constraint, gamma_constraint, **kwargs)  # fmt: skip
        if renorm:
            raise ValueError(f"Argument `renorm` must be False: batch renormalization is not supported. Received: renorm={renorm}")
        if synchronized:
            raise ValueError("Argument synchronized=True is only supported with the TensorFlow backend.")
        self.momentum = float(momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.renorm, self.renorm_clipping, self.renorm_momentum = renorm, renorm_clipping, renorm_momentum
        self.synchronized = synchronized
        self.moving_mean = self.moving_variance = None
        self._built_rank = 0

    @property
    def mixes_samples(self):
        return self.trainable

    def check_input(self, input_shape):
        if self.built:
            self._check_sizes(input_shape, self._built_rank, {self.axis: self.moving_mean.shape[0]})
        super().check_input(input_shape)

    def build(self, input_shape):
        shape = (input_shape[self.axis],)
        self._add_weights(shape)
        self.moving_mean = self.add_weight(shape, self.moving_mean_initializer, "moving_mean", trainable=False)
        self.moving_variance = self.add_weight(shape, self.moving_variance_initializer, "moving_variance", trainable=False)
        self._built_rank = len(input_shape)

    @property
    def needs_sequence(self):
        return "each time step has statistics of its own" if 1 in self._axes and self._rank > 2 else None

    def lower(self, plan, x, mask=None):
        y = plan.tensor(*x.shape[1:], mask=x.mask)
        plan.program.add_batch_norm(
            x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, axis=self.axis % len(x.shape), epsilon=self.epsilon,
            momentum=self.momentum, moving_mean=self.moving_mean.value, moving_variance=self.moving_variance.value,
            mask=self._mask(x, mask), mask_epsilon=smallest(), trains=self.trainable, **self._weights_for(plan),
        )
        return y

    def _mask(self, x, mask):
        mask = x.mask if mask is None else np.asarray(mask)
        if mask is None:
            return None
        if mask.ndim != len(x.shape) - 1:
            raise ValueError(
                "The mask provided should be one dimension less than the inputs. Received: "
                f"mask.shape={tuple(mask.shape)}, inputs.shape={tuple(x.shape)}"
            )
        return mask if mask is x.mask else np.ascontiguousarray(np.broadcast_to(mask.astype(bool), x.shape[:-1])).view(np.uint8)

    def get_config(self):
        return {
            **super().get_config(), "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer), "synchronized": self.synchronized,
            "renorm": self.renorm, "renorm_clipping": self.renorm_clipping, "renorm_momentum": self.renorm_momentum,
        }


class LayerNormalization(_Scaled):
    """Normalises each sample to mean 0 and variance 1 along axes; then gamma, beta (Ba et al., 2016).

    Args:
        axis: int, or several: these are normalised together.
        epsilon: added to the variance.
        center, scale: whether there are weights beta and gamma.
        beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: as in Keras.
        rms_scaling: as in Keras, deprecated: divides by the standard deviation without subtracting the mean, without beta.

    Shapes: any; the output is as the input, and keeps its mask. Weights: gamma, beta, in the shape of the normalised axes.

    Raises:
        TypeError: for an axis that is no int, list or tuple.
        ValueError: for an axis that the input does not have; for inputs of another size than the first.

    >>> LayerNormalization(epsilon=0.0)([[1.0, 3.0]]).round(3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros", gamma_initializer="ones",
                 beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None, **kwargs):
        rms_scaling = kwargs.pop("rms_scaling", False)
        if rms_scaling:
            warnings.warn(
                "You passed `rms_scaling=True`, which is deprecated: it scales the input by the variance, not by the root mean square. "
                "Use `fastrnn.layers.RMSNormalization` instead.",
                stacklevel=2,
            )
        super().__init__(_axis_argument(axis), epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                         gamma_regularizer, beta_constraint, gamma_constraint, **kwargs)  # fmt: skip
        self.rms_scaling = rms_scaling

    def check_input(self, input_shape):
        super().check_input(input_shape)
        if self.variables:
            _check_rows(self, input_shape, self.variables[0].shape)

    def build(self, input_shape):
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        shape = tuple(input_shape[d] for d in self.axis)
        if self.rms_scaling:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, "gamma", regularizer=self.gamma_regularizer, constraint=self.gamma_constraint
            )
        else:
            self._add_weights(shape)

    def lower(self, plan, x):
        return _lower_rows(self, plan, x, "variance" if self.rms_scaling else "layer", epsilon=self.epsilon, **self._weights_for(plan))

    def get_config(self):
        return {**super().get_config(), "rms_scaling": self.rms_scaling}


def _axis_argument(axis):
    if isinstance(axis, (list, tuple)):
        return list(axis)
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"Expected an int or a list/tuple of ints for the argument 'axis', but received: {axis!r}")
    return int(axis)


def _one_axis(axis):
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"Expected an int for the argument `axis`. Received: axis={axis!r}")
    return int(axis)


def _check_rows(layer, input_shape, shape):
    """Raise ValueError unless the axes of a built layer have the sizes of its weights."""
    for axis, size in zip(layer.axis, shape):
        if input_shape[axis] not in (None, size):
            raise layer.wrong_size(axis, size, input_shape)


def _lower_rows(layer, plan, x, mode, **options):
    """The operation that normalises each sample along the axes of a layer."""
    order, size = rows_of_axes(x.shape, positive_axes(layer, layer.axis, x.shape))
    y = plan.tensor(*x.shape[1:], mask=x.mask if layer.keeps_mask else None)
    plan.program.add_normalize(
        mode=mode, x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, size=size, order=order, **options
    )
    return y


class RMSNormalization(_Normalizing):
    """Divides by the root mean square along axes, then multiplies by the weights `scale` (Zhang and Sennrich, 2019).

    Args:
        axis: int, or several: these are normalised together.
        epsilon: added to the mean square.

    Shapes: any; the output is as the input. As in Keras, the mask is dropped. Weights: scale, in the shape of the normalised axes.

    Raises:
        ValueError: for an axis that the input does not have; for inputs of another size than the first.

    >>> RMSNormalization()([[1.0, 1.0]]).round(3).tolist()
    [[1.0, 1.0]]
    """

    keeps_mask = supports_masking = False

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.axis = _axis_argument(axis)
        self.epsilon = float(epsilon)
        self.scale = None

    def check_input(self, input_shape):
        super().check_input(input_shape)
        if self.scale is not None:
            _check_rows(self, input_shape, self.scale.shape)

    def build(self, input_shape):
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        self.scale = self.add_weight(tuple(input_shape[d] for d in self.axis), "ones", "scale")

    def lower(self, plan, x):
        weights = {"gamma": _flat(self.scale.value), "dgamma": _flat(plan.gradient_of(self.scale))}
        return _lower_rows(self, plan, x, "rms", epsilon=self.epsilon, **weights)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(_Normalizing):
    """Scales to Euclidean length 1 along axes.

    Args:
        axis: int, or several: these are normalised together.

    Shapes: any; the output is as the input, and keeps its mask.

    >>> UnitNormalization()([[0.0, 4.0]]).tolist()
    [[0.0, 1.0]]
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = _axis_argument(axis)

    def lower(self, plan, x):
        return _lower_rows(self, plan, x, "unit", epsilon=1e-12)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


class GroupNormalization(_Scaled):
    """Normalises groups of features of each sample to mean 0 and variance 1, over all other axes but the batch; then gamma, beta
    (Wu and He, 2018).

    Args:
        groups: their number, which divides that of the features; -1 for as many as there are features.
        axis: of the features.
        epsilon: added to the variance.
        center, scale: whether there are weights beta and gamma.
        beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: as in Keras.

    Shapes: any; the output is as the input, and keeps its mask. Weights: gamma, beta, one number for each feature.

    Raises:
        ValueError: for groups that do not divide the features; for inputs of another size than the first.

    >>> GroupNormalization(2, epsilon=0.0)([[1.0, 3.0, 10.0, 30.0]]).round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(self, groups=32, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros", gamma_initializer="ones",
                 beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None, **kwargs):
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ValueError(
                "Received an invalid value for argument `groups`, expected a positive integer (or `-1` for instance normalization). "
                f"Received: groups={groups}"
            )
        super().__init__(_one_axis(axis), epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
                         beta_constraint, gamma_constraint, **kwargs)  # fmt: skip
        self.groups = groups
        self._built_shape = None

    @property
    def needs_sequence(self):
        return "it normalises over the time steps" if self._rank > 2 else None

    def check_input(self, input_shape):
        super().check_input(input_shape)
        if self._built_shape is not None:
            self._check_sizes(input_shape, len(self._built_shape), {self.axis: self._built_shape[self.axis]})

    def build(self, input_shape):
        features = input_shape[self.axis]
        if features is None:
            raise ValueError(
                f"Axis {self.axis} of input tensor should have a defined dimension but the layer received an input with shape "
                f"{input_shape}."
            )
        if self.groups == -1:
            self.groups = features
        if features < self.groups:
            raise ValueError(f"Number of groups ({self.groups}) cannot be more than the number of channels ({features}).")
        if features % self.groups:
            raise ValueError(f"Number of groups ({self.groups}) must be a multiple of the number of channels ({features}).")
        self._add_weights((features,))
        self._built_shape = tuple(input_shape)

    def lower(self, plan, x):
        axis, sample = self.axis % len(x.shape) - 1, x.shape[1:]
        features, size = sample[axis], math.prod(sample)

        def by_group(values):  # elements of a sample, group after group
            split = values.reshape(*sample[:axis], self.groups, features // self.groups, *sample[axis + 1 :])
            return np.ascontiguousarray(np.moveaxis(split, axis, 0)).reshape(-1)

        feature_of = np.broadcast_to(np.arange(features, dtype=np.int64).reshape(-1, *[1] * (len(sample) - axis - 1)), sample)
        y = plan.tensor(*sample, mask=x.mask)
        plan.program.add_normalize(
            mode="layer", x=x.value, dx=x.gradient, y=y.value, dy=y.gradient, size=size // self.groups, epsilon=self.epsilon,
            order=_unless_identity(by_group(np.arange(size, dtype=np.int64))), weight=by_group(feature_of) if self.variables else None,
            **self._weights_for(plan),
        )
        return y

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
