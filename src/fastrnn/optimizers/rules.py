"""The update rules, by Keras's names and with Keras's conventions (https://keras.io/api/optimizers/).

In each class: ``w`` weights, ``g`` gradient, ``lr`` learning rate; t = step + 1 counts updates from 1. Mind
where epsilon stands: in RMSprop, Adagrad and Adadelta it is inside the root, in Adam it is added to the root
of the *uncorrected* second moment, in Nadam to the root of the corrected one.
"""

import math

import numpy as np

from .base import Optimizer


class SGD(Optimizer):
    """Gradient descent, with momentum mu:  m = mu m - lr g;  w += m  (nesterov: w += mu m - lr g).

    Args:
        learning_rate: default 0.01.
        momentum: float in [0, 1].
        nesterov: look ahead by one momentum step (Nesterov, 1983).
        **kwargs: see `Optimizer`.

    >>> SGD(momentum=0.9).slots
    (('momentum', 0.0),)
    """

    kind = "sgd"
    steady = True
    _arguments = ("momentum", "nesterov")

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        if not isinstance(momentum, float) or not 0 <= momentum <= 1:
            raise ValueError("`momentum` must be a float between [0, 1].")
        self.momentum = momentum
        self.nesterov = nesterov

    @property
    def slots(self):
        return (("momentum", 0.0),) if self.momentum else ()

    def scalars(self, step):
        return {**super().scalars(step), "momentum": self.momentum, "nesterov": float(self.nesterov)}

    def update(self, w, g, slots, scalars):
        lr, mu = scalars["lr"], scalars["momentum"]
        if not slots:
            w -= lr * g
            return
        (m,) = slots
        m[:] = mu * m - lr * g
        w += mu * m - lr * g if scalars["nesterov"] else m


class RMSprop(Optimizer):
    """v = rho v + (1-rho) g^2;  w -= lr g / sqrt(v + eps)  (Hinton, 2012).

    Args:
        learning_rate: default 0.001.
        rho: decay of the mean square.
        momentum: with mu > 0:  m = mu m + lr g / sqrt(...);  w -= m.
        epsilon: added under the root.
        centered: subtract the squared mean gradient a^2 from v, with a = rho a + (1-rho) g.
        **kwargs: see `Optimizer`.
    """

    kind = "rmsprop"
    steady = True
    separate_slots = ("momentum", "average_gradient")
    _arguments = ("rho", "momentum", "epsilon", "centered")

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    @property
    def slots(self):
        slots = [("velocity", 0.0)]
        if self.momentum > 0:
            slots.append(("momentum", 0.0))
        if self.centered:
            slots.append(("average_gradient", 0.0))
        return tuple(slots)

    def scalars(self, step):
        return {
            **super().scalars(step),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": float(self.centered),
        }

    def update(self, w, g, slots, scalars):
        lr, rho, mu, eps = (scalars[key] for key in ("lr", "rho", "momentum", "epsilon"))
        v = slots[0]
        v[:] = rho * v + (1 - rho) * g * g
        under_root = v + eps
        if scalars["centered"]:
            a = slots[-1]
            a[:] = rho * a + (1 - rho) * g
            under_root = v - a * a + eps
        increment = lr * g / np.sqrt(under_root)
        if mu > 0:
            m = slots[1]
            m[:] = mu * m + increment
            increment = m
        w -= increment


class Adam(Optimizer):
    """m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w -= alpha m / (sqrt(v) + eps)  (Kingma and Ba, 2014)
    with alpha = lr sqrt(1 - b2^t) / (1 - b1^t).

    Args:
        learning_rate: default 0.001.
        beta_1: decay b1 of the first moment.
        beta_2: decay b2 of the second moment.
        epsilon: added to the root.
        amsgrad: use the largest v so far (Reddi et al., 2018).
        **kwargs: see `Optimizer`.

    >>> w, optimizer = np.array([1.0]), Adam(0.25)
    >>> optimizer.apply([np.array([8.0])], [w]); w.round(6).tolist()
    [0.75]
    """

    kind = "adam"
    steady = True
    separate_slots = ("velocity_hat",)
    _arguments = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    @property
    def slots(self):
        slots = (("momentum", 0.0), ("velocity", 0.0))
        return (*slots, ("velocity_hat", 0.0)) if self.amsgrad else slots

    def scalars(self, step):
        return {
            **super().scalars(step),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": float(self.amsgrad),
        }

    def update(self, w, g, slots, scalars):
        m, v = slots[:2]
        b1, b2, t = scalars["beta_1"], scalars["beta_2"], scalars["t"]
        m += (g - m) * (1 - b1)
        v += (g * g - v) * (1 - b2)
        if scalars["amsgrad"]:
            v = np.maximum(slots[2], v, out=slots[2])
        alpha = scalars["lr"] * math.sqrt(1 - b2**t) / (1 - b1**t)
        w -= alpha * m / (np.sqrt(v) + scalars["epsilon"])


class AdamW(Adam):
    """`Adam` with a weight decay of 0.004 apart from the gradient (Loshchilov and Hutter, 2017)."""

    steady = True

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        **kwargs,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)
        if weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")


class Adamax(Optimizer):
    """m = b1 m + (1-b1) g;  u = max(b2 u, |g|);  w -= lr m / ((1 - b1^t) (u + eps))  (Kingma and Ba, 2014).

    Args:
        learning_rate: default 0.001.
        beta_1: decay b1 of the first moment.
        beta_2: decay b2 of the infinity norm.
        epsilon: added to the norm.
        **kwargs: see `Optimizer`.
    """

    kind = "adamax"
    steady = True
    _arguments = ("beta_1", "beta_2", "epsilon")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    @property
    def slots(self):
        return (("momentum", 0.0), ("norm", 0.0))

    def scalars(self, step):
        return {
            **super().scalars(step),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def update(self, w, g, slots, scalars):
        m, u = slots
        m += (g - m) * (1 - scalars["beta_1"])
        np.maximum(scalars["beta_2"] * u, np.abs(g), out=u)
        w -= scalars["lr"] / (1 - scalars["beta_1"] ** scalars["t"]) * m / (u + scalars["epsilon"])


class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat, 2016). With  u_t = b1 (1 - 0.96^t / 2)  and  P = u_1 u_2 ... u_t:

        m_hat = u_{t+1} m / (1 - P u_{t+1}) + (1 - u_t) g / (1 - P)
        v_hat = v / (1 - b2^t);   w -= lr m_hat / (sqrt(v_hat) + eps)

    Args:
        learning_rate: default 0.001.
        beta_1: decay b1 of the first moment.
        beta_2: decay b2 of the second moment.
        epsilon: added to the root.
        **kwargs: see `Optimizer`.
    """

    kind = "nadam"
    _arguments = ("beta_1", "beta_2", "epsilon")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self._product = (0, 1.0)  # (t, u_1 ... u_t) of the last call

    @property
    def slots(self):
        return (("momentum", 0.0), ("velocity", 0.0))

    def _u(self, t):
        return self.beta_1 * (1 - 0.5 * 0.96**t)

    def _momentum_product(self, t):
        done, product = self._product if self._product[0] <= t else (0, 1.0)
        for k in range(done + 1, t + 1):
            product *= self._u(k)
        self._product = (t, product)
        return product

    def saved_scalars(self):
        return (("u_product", self._momentum_product(self.iterations)),)

    def scalars(self, step):
        t = step + 1
        product, u, u_next = self._momentum_product(t), self._u(t), self._u(t + 1)
        return {
            **super().scalars(step),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "m_factor": u_next / (1 - product * u_next),
            "g_factor": (1 - u) / (1 - product),
            "v_factor": 1 / (1 - self.beta_2**t),
        }

    def update(self, w, g, slots, scalars):
        m, v = slots
        m += (g - m) * (1 - scalars["beta_1"])
        v += (g * g - v) * (1 - scalars["beta_2"])
        m_hat = scalars["m_factor"] * m + scalars["g_factor"] * g
        w -= scalars["lr"] * m_hat / (np.sqrt(scalars["v_factor"] * v) + scalars["epsilon"])


class Adagrad(Optimizer):
    """a += g^2;  w -= lr g / sqrt(a + eps)  (Duchi et al., 2011).

    Args:
        learning_rate: default 0.001.
        initial_accumulator_value: where ``a`` starts.
        epsilon: added under the root.
        **kwargs: see `Optimizer`.
    """

    kind = "adagrad"
    steady = True
    _arguments = ("initial_accumulator_value", "epsilon")

    def __init__(self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    @property
    def slots(self):
        return (("accumulator", self.initial_accumulator_value),)

    def scalars(self, step):
        return {**super().scalars(step), "epsilon": self.epsilon}

    def update(self, w, g, slots, scalars):
        (a,) = slots
        a += g * g
        w -= scalars["lr"] * g / np.sqrt(a + scalars["epsilon"])


class Adadelta(Optimizer):
    """a = rho a + (1-rho) g^2;  d = -g sqrt(D + eps) / sqrt(a + eps);  D = rho D + (1-rho) d^2;  w += lr d
    (Zeiler, 2012).

    Args:
        learning_rate: default 0.001 (the paper has 1.0).
        rho: decay of both mean squares.
        epsilon: added under the roots.
        **kwargs: see `Optimizer`.
    """

    kind = "adadelta"
    steady = True
    _arguments = ("rho", "epsilon")

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    @property
    def slots(self):
        return (("accumulated_grad", 0.0), ("accumulated_delta_var", 0.0))

    def scalars(self, step):
        return {**super().scalars(step), "rho": self.rho, "epsilon": self.epsilon}

    def update(self, w, g, slots, scalars):
        a, d2 = slots
        rho, eps = scalars["rho"], scalars["epsilon"]
        a[:] = rho * a + (1 - rho) * g * g
        d = -g * np.sqrt(d2 + eps) / np.sqrt(a + eps)
        d2[:] = rho * d2 + (1 - rho) * d * d
        w += scalars["lr"] * d


class Lion(Optimizer):
    """w -= lr sign(b1 m + (1-b1) g);  m = b2 m + (1-b2) g  (Chen et al., 2023).

    Args:
        learning_rate: default 0.001.
        beta_1: in (0, 1], share of the momentum in the sign.
        beta_2: decay of the momentum.
        **kwargs: see `Optimizer`.
    """

    kind = "lion"
    steady = True
    _arguments = ("beta_1", "beta_2")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, **kwargs):
        super().__init__(learning_rate, **kwargs)
        if not 0 < beta_1 <= 1:
            raise ValueError(
                "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates "
                f"to SignSGD. Received: beta_1={beta_1}."
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    @property
    def slots(self):
        return (("momentum", 0.0),)

    def scalars(self, step):
        return {**super().scalars(step), "beta_1": self.beta_1, "beta_2": self.beta_2}

    def update(self, w, g, slots, scalars):
        (m,) = slots
        b1, b2 = scalars["beta_1"], scalars["beta_2"]
        w -= scalars["lr"] * np.sign(b1 * m + (1 - b1) * g)
        m[:] = b2 * m + (1 - b2) * g


class Ftrl(Optimizer):
    """Follow the regularised leader (McMahan et al., 2013). With p = -learning_rate_power:

        n_new = n + g^2;   z += g + 2 shrinkage w - (n_new^p - n^p) / lr * w
        w = (clip(z, -l1, l1) - z) / (n_new^p / lr + 2 (l2 + beta / (2 lr)));   n = n_new

    Args:
        learning_rate: default 0.001.
        learning_rate_power: <= 0.
        initial_accumulator_value: where ``n`` starts.
        l1_regularization_strength: l1 >= 0.
        l2_regularization_strength: l2 >= 0.
        l2_shrinkage_regularization_strength: shrinkage >= 0; enters z only, not n.
        beta: see the formula.
        **kwargs: see `Optimizer`.
    """

    kind = "ftrl"
    steady = True
    _arguments = (
        "learning_rate_power",
        "initial_accumulator_value",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "l2_shrinkage_regularization_strength",
        "beta",
    )

    def __init__(
        self,
        learning_rate=0.001,
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for name in self._arguments[1:-1]:
            if getattr(self, name) < 0:
                raise ValueError(
                    f"`{name}` needs to be positive or zero. Received: {name}={getattr(self, name)}."
                )
        if learning_rate_power > 0:
            raise ValueError(
                "`learning_rate_power` needs to be negative or zero. "
                f"Received: learning_rate_power={learning_rate_power}."
            )

    @property
    def slots(self):
        return (("accumulator", self.initial_accumulator_value), ("linear", 0.0))

    def scalars(self, step):
        shared = super().scalars(step)
        return {
            **shared,
            "power": -self.learning_rate_power,
            "l1": self.l1_regularization_strength,
            "l2": self.l2_regularization_strength + self.beta / (2 * shared["lr"]),
            "shrinkage": self.l2_shrinkage_regularization_strength,
        }

    def update(self, w, g, slots, scalars):
        n, z = slots
        lr, p, l1, l2, shrinkage = (scalars[key] for key in ("lr", "power", "l1", "l2", "shrinkage"))
        n_new = n + g * g
        z += g + 2 * shrinkage * w - (n_new**p - n**p) / lr * w
        w[:] = (np.clip(z, -l1, l1) - z) / (n_new**p / lr + 2 * l2)
        n[:] = n_new
