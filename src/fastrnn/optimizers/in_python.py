"""Rules that look at a weight as a whole, its shape, its norm or its name: in NumPy, weight by weight, without a kernel."""

import math

import numpy as np

from .base import Optimizer
from .rules import Adam


class Adafactor(Optimizer):
    """Adam's second moment from its row and column means (Shazeer and Stern, 2018); the default `weight_decay` is None.

    With t the step, rho = min(lr, 1/sqrt(t)), b = 1 - t^beta_2_decay and s = g^2 + epsilon_1:

        r = b r + (1-b) mean of s over the last axis;  c = b c + (1-b) mean over the one before;  v = r c / mean(r)
        u = g / sqrt(v);   w -= max(epsilon_2, rms(w)) rho u / max(1, rms(u) / clip_threshold)

    Weights with one axis keep v itself: v = b v + (1-b) s.

    Args:
        learning_rate: default 0.001.
        beta_2_decay: see above.
        epsilon_1: added to squared gradients.
        epsilon_2: the least scale of a weight.
        clip_threshold: the largest root mean square of u.
        relative_step: lr is at most 1/sqrt(t), unless it comes from a schedule.
        **kwargs: see `Optimizer`.
    """

    _arguments = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    def __init__(
        self, learning_rate=0.001, beta_2_decay=-0.8, epsilon_1=1e-30, epsilon_2=1e-3, clip_threshold=1.0, relative_step=True, **kwargs
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    @property
    def slots(self):
        # each mean stands in all places that it is the mean of, so that state arrays are like weights everywhere
        return (("row", 0.0), ("column", 0.0))

    saved_slots = ("row", "column", "velocity")

    def to_saved(self, slots):
        r, c = slots["row"], slots["column"]
        if r.ndim < 2:
            return {"row": np.zeros((), r.dtype), "column": np.zeros((), r.dtype), "velocity": r}
        mean = r.mean(axis=-2, keepdims=True)
        velocity = np.divide(r, mean, out=np.zeros_like(r), where=mean != 0) * c  # Keras keeps it, and never reads it
        return {"row": r[..., 0], "column": c[..., 0, :], "velocity": velocity}

    def from_saved(self, saved):
        r, c, v = saved["row"], saved["column"], saved["velocity"]
        if v.ndim < 2:
            return {"row": v, "column": np.zeros_like(v)}
        return {"row": np.broadcast_to(r[..., None], v.shape), "column": np.broadcast_to(c[..., None, :], v.shape)}

    def scalars(self, step):
        lr, root = self._current_learning_rate(step), 1 / math.sqrt(step + 1)
        # with or without `relative_step`, which only bounds a learning rate that the next line bounds by the same
        return {"lr": lr, "rho": min(lr, root), "beta_2": 1 - (step + 1) ** self.beta_2_decay}

    def update(self, w, g, slots, scalars):
        b, square = scalars["beta_2"], g * g + w.dtype.type(self.epsilon_1)
        r, c = slots
        if w.ndim < 2:
            v = r
            v[...] = b * v + (1 - b) * square
        else:
            r[...] = b * r + (1 - b) * square.mean(axis=-1, keepdims=True)
            c[...] = b * c + (1 - b) * square.mean(axis=-2, keepdims=True)
            v = r / r.mean(axis=-2, keepdims=True) * c
        u = g / np.sqrt(v)
        w -= max(self.epsilon_2, _rms(w)) * scalars["rho"] * u / max(1.0, _rms(u) / self.clip_threshold)


class Lamb(Adam):
    """Adam's step, scaled for each weight to the norm of the weight (You et al., 2019):

        u = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps);   w -= lr u |w| / |u|

    Args:
        learning_rate: default 0.001.
        beta_1: decay b1 of the first moment.
        beta_2: decay b2 of the second moment.
        epsilon: added to the root.
        **kwargs: see `Optimizer`.
    """

    kind = None
    _arguments = ("beta_1", "beta_2", "epsilon")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)

    def scalars(self, step):
        t = step + 1
        return {"lr": self._current_learning_rate(step), "first": 1 - self.beta_1**t, "second": 1 - self.beta_2**t}

    def update(self, w, g, slots, scalars):
        m, v = slots
        m += (g - m) * (1 - self.beta_1)
        v += (g * g - v) * (1 - self.beta_2)
        u = m / scalars["first"] / (np.sqrt(v / scalars["second"]) + self.epsilon)
        w_norm, u_norm = np.sqrt(np.sum(w * w)), np.sqrt(np.sum(u * u))
        w -= (w_norm / u_norm if w_norm > 0 and u_norm > 0 else 1.0) * scalars["lr"] * u


class Muon(Adam):
    """Momentum whose singular values are brought near 1 (Jordan et al., 2024); Adam for what is no matrix.

        m = momentum m + g;   x = g + momentum m, or m without nesterov;   w -= lr rms_rate sqrt(max(rows, columns)) orthogonalized(x)

    Args:
        learning_rate: default 0.001.
        adam_beta_1, adam_beta_2, epsilon, adam_weight_decay: of Adam, and its weight decay.
        weight_decay: of the matrices.
        exclude_layers: list of regular expressions; weights with a path that has one of them go by Adam.
        exclude_embeddings: so do weights with "embedding" in their path.
        muon_a, muon_b, muon_c: coefficients of the iteration  x = a x + b (x x') x + c (x x')^2 x.
        adam_lr_ratio: Adam's share of the learning rate.
        momentum: see above.
        ns_steps: number of iterations.
        nesterov: see above.
        rms_rate: see above; None for no scaling by the size.
        **kwargs: see `Optimizer`.
    """

    kind = None
    _arguments = ("adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum",
                  "ns_steps", "nesterov", "exclude_embeddings", "adam_weight_decay", "rms_rate")  # fmt: skip

    def __init__(
        self,
        learning_rate=0.001,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        adam_weight_decay=0.004,
        epsilon=1e-7,
        weight_decay=0.004,
        exclude_layers=None,
        exclude_embeddings=True,
        muon_a=3.4445,
        muon_b=-4.7750,
        muon_c=2.0315,
        adam_lr_ratio=1,
        momentum=0.95,
        ns_steps=5,
        nesterov=True,
        rms_rate=0.2,
        **kwargs,
    ):
        super().__init__(learning_rate, adam_beta_1, adam_beta_2, epsilon, weight_decay=weight_decay, **kwargs)
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.exclude_layers = exclude_layers or []
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _by_adam(self, shape, path):
        import re

        excluded = (self.exclude_embeddings and "embedding" in path.lower()) or any(re.search(e, path) for e in self.exclude_layers)
        return len(shape) != 2 or excluded

    def saves(self, name, variable):
        return name == "momentum" or self._by_adam(variable.shape, variable.path)

    def decay_of(self, path, variable=None):
        if super().decay_of(path, variable) is None:
            return None
        return self.adam_weight_decay if self._by_adam(variable.shape, path) else self.weight_decay

    def update_at(self, path, w, g, slots, scalars):
        if self._by_adam(w.shape, path):
            self.update(w, g, slots, {**scalars, "lr": scalars["lr"] * self.adam_lr_ratio})
            return
        m = slots[0]
        m[...] = self.momentum * m + g
        x = g + self.momentum * m if self.nesterov else m
        scale = 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(w.shape))
        w -= scalars["lr"] * scale * self._orthogonalized(x)

    def _orthogonalized(self, x):
        if x.shape[0] > x.shape[1]:
            return self._orthogonalized(x.T).T
        x = x / (np.sqrt(np.sum(x * x)) + 1e-7)
        for _ in range(self.ns_steps):
            square = x @ x.T
            x = self.muon_a * x + (self.muon_b * square + self.muon_c * square @ square) @ x
        return x


def _rms(x):
    return float(np.sqrt(np.mean(x * x)))
