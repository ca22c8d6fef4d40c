"""Learning-rate schedules: functions of the optimizer's step (0 for the first update), as in
https://keras.io/api/optimizers/learning_rate_schedules/.
"""

import math

from .. import _identifiers


class LearningRateSchedule:
    """Base class: override ``__call__(step) -> float`` and, to be serializable, ``get_config()``.

    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5**step
    >>> Halving()(2)
    0.025
    """

    def __call__(self, step):
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`."
        )

    def get_config(self):
        """The arguments of the constructor, as a dict."""
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `get_config()` in order to be "
            "serializable."
        )

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)


class _Decay(LearningRateSchedule):
    """A schedule whose arguments are kept under their own names."""

    _arguments = ()

    def _check_steps(self, argument="decay_steps"):
        if getattr(self, argument) <= 0:
            raise ValueError(
                f"Argument `{argument}` must be > 0. Received: {argument}={getattr(self, argument)}"
            )

    def get_config(self):
        return {name: getattr(self, name) for name in self._arguments}


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; ``staircase`` floors the exponent.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(10)
    0.05
    """

    _arguments = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay"
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        self._check_steps()

    def __call__(self, step):
        exponent = step / self.decay_steps
        if self.staircase:
            exponent = math.floor(exponent)
        return self.initial_learning_rate * self.decay_rate**exponent


class InverseTimeDecay(ExponentialDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``; ``staircase`` floors the quotient.

    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay"
    ):
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step):
        quotient = step / self.decay_steps
        if self.staircase:
            quotient = math.floor(quotient)
        return self.initial_learning_rate / (1 + self.decay_rate * quotient)


class PiecewiseConstantDecay(_Decay):
    """``values[i]`` for steps after ``boundaries[i-1]`` up to and including ``boundaries[i]``.

    >>> schedule = PiecewiseConstantDecay([2, 4], [1.0, 0.5, 0.1])
    >>> [schedule(step) for step in range(6)]
    [1.0, 1.0, 1.0, 0.5, 0.5, 0.1]
    """

    _arguments = ("boundaries", "values", "name")

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. "
                f"Received: boundaries={boundaries} of length {len(boundaries)}, "
                f"and values={values} of length {len(values)}."
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step):
        for boundary, value in zip(self.boundaries, self.values):
            if step <= boundary:
                return float(value)
        return float(self.values[-1])


class PolynomialDecay(_Decay):
    """From the initial to ``end_learning_rate`` as ``(1 - step/decay_steps) ** power``.

    With ``cycle`` the decay begins anew, each time over the next multiple of ``decay_steps``.

    >>> PolynomialDecay(1.0, decay_steps=10, end_learning_rate=0.0)(4)
    0.6
    """

    _arguments = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name")

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        end_learning_rate=0.0001,
        power=1.0,
        cycle=False,
        name="PolynomialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name
        self._check_steps()

    def __call__(self, step):
        decay_steps = self.decay_steps
        if self.cycle:
            decay_steps *= max(1, math.ceil(step / decay_steps))
        left = 1 - min(step, decay_steps) / decay_steps
        return (
            self.initial_learning_rate - self.end_learning_rate
        ) * left**self.power + self.end_learning_rate


class CosineDecay(_Decay):
    """Half a cosine from the initial learning rate to ``alpha`` times it (Loshchilov and Hutter, 2016).

    With ``warmup_target`` the rate first rises linearly to that value over ``warmup_steps`` and the cosine
    then starts from it.

    >>> CosineDecay(0.0, decay_steps=10, warmup_target=1.0, warmup_steps=4)(2)
    0.5
    """

    _arguments = ("initial_learning_rate", "decay_steps", "alpha", "name", "warmup_target", "warmup_steps")

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        alpha=0.0,
        name="CosineDecay",
        warmup_target=None,
        warmup_steps=0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps
        self._check_steps()

    def __call__(self, step):
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * (step / self.warmup_steps)
            start = self.warmup_target
            step = step - self.warmup_steps
        return start * _cosine(min(step, self.decay_steps) / self.decay_steps, self.alpha)


class CosineDecayRestarts(_Decay):
    """`CosineDecay` that restarts: periods grow by ``t_mul``, starting rates by ``m_mul`` (SGDR, 2016).

    A restart falls on its exact step, which Keras's logarithm in float32 can miss: after 2 steps and 3 more (``t_mul=1.5``) its rate is 0.

    >>> CosineDecayRestarts(1.0, first_decay_steps=10, m_mul=0.5)(10)
    0.5
    """

    _arguments = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha", "name")

    def __init__(
        self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay"
    ):
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name
        self._check_steps("first_decay_steps")

    def __call__(self, step):
        start, period, restarts = 0, self.first_decay_steps, 0
        if self.t_mul == 1:
            restarts = int(step // period)
            start = restarts * period
        else:
            # periods p, p t, p t^2, ...: walking over them is exact where a logarithm would round
            while step - start >= period > 0:
                start += period
                period *= self.t_mul
                restarts += 1
        return self.initial_learning_rate * _cosine((step - start) / period, self.alpha, self.m_mul**restarts)


def _cosine(fraction, alpha, height=1.0):
    return (1 - alpha) * 0.5 * height * (1 + math.cos(math.pi * fraction)) + alpha


_TABLE = {
    cls.__name__: cls
    for cls in (
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
        CosineDecay,
        CosineDecayRestarts,
    )
}


def get(identifier):
    """A schedule from its config dict, class, or itself."""
    return _identifiers.deserialize("learning rate schedule", identifier, _TABLE)


def deserialize(config, custom_objects=None):
    """The inverse of `serialize`."""
    return _identifiers.deserialize("learning rate schedule", config, _TABLE, custom_objects)


def serialize(learning_rate_schedule):
    """A dict of class name and config."""
    return _identifiers.serialize(learning_rate_schedule)
