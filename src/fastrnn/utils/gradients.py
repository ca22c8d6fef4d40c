"""Whether the derivatives that you wrote, of a layer or a loss of your own, fit what they are derivatives of."""

import numpy as np

from ..layers.base import Layer


def check_gradients(layer, x, tolerance=1e-4, seed=0):
    """Compare `layer.backward` with finite differences of `layer.forward`, in float64.

    Args:
        layer: a layer with the two methods; it is built for `x` if it was not.
        x: one batch of inputs. Where the function has a kink there, the check fails.
        tolerance: largest difference allowed, relative to the largest gradient.
        seed: of the random gradient of the output.

    Raises:
        ValueError: names the array (x or a weight) whose gradient is wrong, and shows both values where they differ most.

    >>> from fastrnn.layers import Lambda
    >>> check_gradients(Lambda(np.sin, gradient=lambda x, y, dy: dy * np.cos(x)), [[1.0, 2.0]])
    """
    if not isinstance(layer, Layer):
        raise ValueError(f"Argument `layer` must be a layer with `forward` and `backward`. Received: layer={layer!r}")
    x = np.array(x, np.float64)
    layer.ensure_built(x.shape)
    before = [(v, v.value, v.gradient, v.trainable) for v in layer.variables]
    try:
        for v in layer.variables:
            v.value, v.gradient = v.value.astype(np.float64), np.zeros(v.shape)
        y = np.asarray(layer.forward(x), np.float64)
        dy = np.random.default_rng(seed).standard_normal(y.shape)
        dx = layer.backward(x, y, dy)
        checks = [("x", x, np.asarray(dx, np.float64))]
        checks += [(f"weight '{v.name}'", v.value, v.gradient) for v in layer.variables if v.trainable]
        for name, array, gradient in checks:
            expected = _numeric(lambda: np.sum(layer.forward(x) * dy), array)
            _compare(f"Layer '{layer.name}'", name, ("backward", gradient), ("forward", expected), tolerance)
    finally:
        for v, value, gradient, trainable in before:
            v.value, v.gradient, v.trainable = value, gradient, trainable


def check_loss_gradient(loss, y_true, y_pred, tolerance=1e-4, seed=0):
    """Compare `gradient` of a loss with finite differences of its values, in float64.

    Args:
        loss: a loss object, or a function with a derivative (see `losses.with_gradient`).
        y_true, y_pred: one batch. Where the function has a kink there, the check fails.
        tolerance: largest difference allowed, relative to the largest gradient.
        seed: of the random weights of the values.

    Raises:
        ValueError: shows both gradients where they differ most, or says that the loss has none.

    >>> from fastrnn.losses import with_gradient
    >>> @with_gradient(lambda y_true, y_pred: 2 * (y_pred - y_true) / y_pred.shape[-1])
    ... def squares(y_true, y_pred):
    ...     return np.mean((y_pred - y_true) ** 2, axis=-1)
    >>> check_loss_gradient(squares, [[0.0, 1.0]], [[0.5, -0.5]])
    """
    from ..losses import as_loss

    y_true, y_pred = np.asarray(y_true, np.float64), np.array(y_pred, np.float64)
    loss = as_loss(loss, y_true.shape, y_pred.shape)
    dvalues = np.random.default_rng(seed).standard_normal(np.shape(loss.call(y_true, y_pred)))
    try:
        given = np.asarray(loss.pull_back(y_true, y_pred, dvalues), np.float64)
    except NotImplementedError as error:
        raise ValueError(str(error)) from None
    expected = _numeric(lambda: np.sum(loss.call(y_true, y_pred) * dvalues), y_pred)
    _compare(f"Loss '{loss.name}'", "y_pred", ("gradient", given), ("call", expected), tolerance)


def _numeric(function, array):
    """Central differences of `function()` by every element of an array, which it reads."""
    gradient = np.empty(array.shape)
    for i in np.ndindex(array.shape):
        kept = array[i]
        step = 1e-6 * max(1.0, abs(kept))
        array[i] = kept + step
        above = function()
        array[i] = kept - step
        gradient[i] = (above - function()) / (2 * step)
        array[i] = kept
    return gradient


def _compare(what, name, given, expected, tolerance):
    """Raise if two gradients, each with the method that it comes from, differ."""
    (method, given), (function, expected) = given, expected
    if given.shape != expected.shape:
        raise ValueError(f"{what}: the gradient of {name} must have shape {expected.shape}. Received: shape {given.shape}")
    error = np.abs(given - expected)
    if error.size and not error.max() <= tolerance * max(1.0, np.abs(expected).max()):  # also for NaN
        at = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
        raise ValueError(
            f"{what}: the gradient of {name} is wrong at {list(map(int, at))}: `{method}` gives {given[at]:.6g}, differences of "
            f"`{function}` give {expected[at]:.6g}."
        )
