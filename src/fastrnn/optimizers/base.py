"""What all optimizers share: the learning rate, clipping, weight decay, averaging, the order of one step.

An optimizer describes its rule twice in one place: `Optimizer.update` is the rule in NumPy, and ``kind``, `slots` and `scalars` are
what the fused native update needs to do the same. A rule without a ``kind`` has no kernel: training then calls `update` itself, weight by
weight. The order of one step:

    clip the gradients -> weight decay -> update rule -> moving average of the weights -> iterations += 1
"""

import numpy as np

from .. import _identifiers
from ..config import floatx, unique_name
from ..variables import Changes
from . import schedules

# what a kernel does in the place of these methods, so that it cannot stand for a subclass that overrides one
_OF_A_KERNEL = ("clip", "decay_of", "slots", "update", "update_all", "update_at")


class _ToldToKernels:
    """An attribute of which a model's plans know the value that it had when they were made."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, optimizer, cls=None):
        return self if optimizer is None else vars(optimizer)[self.name]

    def __set__(self, optimizer, value):
        if vars(optimizer).get(self.name, value) != value:
            Changes.configuration += 1
        vars(optimizer)[self.name] = value


class Optimizer:
    """Base class of optimizers; the arguments below are accepted by all of them.

    A rule of your own overrides `update`, and `slots` where it keeps state:

    >>> class SignDescent(Optimizer):
    ...     def update(self, w, g, slots, scalars):
    ...         w -= scalars["lr"] * np.sign(g)
    >>> w = np.array([1.0, 2.0])
    >>> SignDescent(0.5).apply([np.array([8.0, -8.0])], [w]); w.tolist()
    [0.5, 2.5]

    Args:
        learning_rate: float, a `schedules.LearningRateSchedule`, or a callable without arguments.
        weight_decay: float; each step begins with ``w -= w * weight_decay * learning_rate``.
        clipnorm: float; the gradient of each weight is scaled down to at most this L2 norm.
        clipvalue: float; each element of the gradients is clipped to ``[-clipvalue, clipvalue]``.
        global_clipnorm: float; all gradients are scaled down together to at most this L2 norm.
        use_ema: keep an exponential moving average of the weights, and put it in their place after training.
        ema_momentum: in [0, 1], the share of the old average.
        ema_overwrite_frequency: overwrite the weights by the average every so many steps.
        loss_scale_factor: float; gradients are divided by it (the loss is multiplied by it).
        gradient_accumulation_steps: int >= 2; update once per so many steps, by the mean of their gradients.
        name: name of the object.

    Raises:
        ValueError: for unknown arguments, a learning rate that is not a float, or two kinds of clipping.
    """

    kind = None
    # whether, at a constant learning rate, the `scalars` of an update are those of the first but for "t", so that many updates need one look at them
    steady = False
    # slots that Keras's files keep after all others, each for all weights, instead of beside the others of a weight
    separate_slots = ()
    clipnorm, clipvalue, global_clipnorm = _ToldToKernels(), _ToldToKernels(), _ToldToKernels()

    def __init__(
        self,
        learning_rate,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        **kwargs,
    ):
        if kwargs.pop("decay", None) is not None:
            import warnings

            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=3)
        if "lr" in kwargs:  # the spelling of Keras 1 and 2
            learning_rate = kwargs.pop("lr")
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        self._check_shared(
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            gradient_accumulation_steps,
        )
        self.name = name or unique_name(_identifiers.to_snake_case(type(self).__name__))
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._batches = 0
        self._no_decay_names = ()
        self.built = False
        self._state = None
        if not callable(learning_rate):
            if not isinstance(learning_rate, float):
                raise ValueError(
                    "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a "
                    "callable (that takes in the current iteration value and returns the corresponding "
                    f"learning rate value). Received instead: learning_rate={learning_rate}"
                )
            learning_rate = _rounded(learning_rate)
        self._learning_rate = learning_rate

    def __init_subclass__(cls, **kwargs):
        """A rule that changes another has no kernel, unless it names one; what its `scalars` come from is unknown."""
        super().__init_subclass__(**kwargs)
        origin = next(c for c in cls.__mro__ if "kind" in vars(c))
        if any(getattr(cls, hook) is not getattr(origin, hook) for hook in _OF_A_KERNEL):
            cls.kind = None
        if "steady" not in vars(cls):
            cls.steady = False

    @staticmethod
    def _check_shared(
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_frequency, accumulation
    ):
        if accumulation and not accumulation >= 2:
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. "
                f"Received: gradient_accumulation_steps={accumulation}"
            )
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(
                f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={ema_momentum}"
            )
        if use_ema and ema_frequency and (not isinstance(ema_frequency, int) or ema_frequency < 1):
            raise ValueError(
                "`ema_overwrite_frequency` must be an integer >= 1 or None. "
                f"Received: ema_overwrite_frequency={ema_frequency}"
            )
        if sum(value is not None for value in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. "
                f"Received: clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )

    @property
    def iterations(self):
        """Number of updates so far; with `gradient_accumulation_steps` there are fewer than batches."""
        return self._batches // (self.gradient_accumulation_steps or 1)

    @iterations.setter
    def iterations(self, value):
        self._batches = value * (self.gradient_accumulation_steps or 1)

    @property
    def variables(self):
        """What the optimizer remembers of a model's training, as variables in Keras's order, to be read: the number of steps, the learning
        rate unless it comes from a schedule, and the state of each trained weight once there was a step."""
        from ..saving.optimizer_state import readable_variables

        return readable_variables(self)

    # -- the rule, written by each optimizer -----------------------------------------------------------------

    @property
    def slots(self):
        """Names and initial values of the state arrays, each of the shape of the weight."""
        return ()

    def saved_scalars(self):
        """(name, number) of what Keras's files keep beside the slots; it follows from the number of steps and is not read back."""
        return ()

    def scalars(self, step):
        """All numbers that the update at 0-based ``step`` needs, as a dict of floats: the learning rate "lr", the number of the update "t" from 1, and
        those of the rule.

        The native update reads them by position: the order of the keys is that of ``csrc/optimizer.inc.h``.
        """
        return {"lr": self._current_learning_rate(step), "t": step + 1.0}

    def update(self, w, g, slots, scalars):
        """One update of the weight ``w`` by its gradient ``g``, in place, with the state arrays ``slots``."""
        raise NotImplementedError(f"Optimizer {type(self).__name__} must override `update`.")

    def update_at(self, path, w, g, slots, scalars):
        """`update` of the weight at ``path``, for rules that treat weights differently."""
        self.update(w, g, slots, scalars)

    # -- the learning rate -----------------------------------------------------------------------------------

    @property
    def learning_rate(self):
        """The current learning rate as a float; settable, also by its `assign`, unless it comes from a schedule."""
        if isinstance(self._learning_rate, schedules.LearningRateSchedule):
            return float(self._learning_rate(self._batches))
        return _LearningRate(self._current_learning_rate(self.iterations), self)

    @learning_rate.setter
    def learning_rate(self, value):
        if callable(value):
            self._learning_rate = value
        elif isinstance(self._learning_rate, schedules.LearningRateSchedule):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` "
                "constructor argument, hence its learning rate is not settable. If you need the learning "
                "rate to be settable, you should instantiate the optimizer with a float `learning_rate` "
                "argument."
            )
        else:
            self._learning_rate = _rounded(value)

    lr = learning_rate  # the spelling of Keras 1 and 2

    def _current_learning_rate(self, step):
        rate = self._learning_rate
        if rate.__class__ is float:
            return rate
        if isinstance(rate, schedules.LearningRateSchedule):
            if self.gradient_accumulation_steps:  # schedules count batches, `step` counts updates
                step = (step + 1) * self.gradient_accumulation_steps - 1
            return float(rate(step))
        return float(rate())

    def runs_ahead(self):
        """Whether the `scalars` of now hold for the updates to come, with "t" counted on."""
        return self.steady and self._learning_rate.__class__ is float

    # -- weight decay and clipping ---------------------------------------------------------------------------

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leave weights out of the weight decay.

        Args:
            var_list: weights (objects with a ``name``, or arrays) to leave out.
            var_names: regular expressions searched in the weights' names, for example ``["bias"]``.

        Raises:
            ValueError: once the optimizer is built (has its state).
        """
        if self.built:
            raise ValueError(
                "`exclude_from_weight_decay()` can only be configured before the optimizer is built."
            )
        self._no_decay_names = tuple(var_names or ())
        self._no_decay_ids = {id(variable) for variable in var_list or ()}

    def uses_weight_decay(self, name, variable=None):
        """Whether the weight called ``name`` decays."""
        if self.weight_decay is None:
            return False
        if variable is not None and id(variable) in getattr(self, "_no_decay_ids", ()):
            return False
        import re

        return not any(re.search(pattern, name) for pattern in self._no_decay_names)

    def decay_of(self, path, variable=None):
        """The weight decay of the weight at ``path``, or None."""
        name = getattr(variable, "name", path)  # arrays, which `apply` takes too, have none
        return self.weight_decay if self.uses_weight_decay(name, variable) else None

    def clip(self, gradients):
        """The gradients, one array per weight, clipped as configured (the reference of the native code)."""
        if self.clipnorm and self.clipnorm > 0:
            return [g * (self.clipnorm / max(_norm(g), self.clipnorm)) for g in gradients]
        if self.global_clipnorm and self.global_clipnorm > 0:
            norm = np.sqrt(sum(_norm(g) ** 2 for g in gradients))
            # a norm that is not finite makes all gradients NaN: trouble must show
            scale = self.global_clipnorm / max(norm, self.global_clipnorm) if np.isfinite(norm) else np.nan
            return [g * scale for g in gradients]
        if self.clipvalue and self.clipvalue > 0:
            return [np.clip(g, -self.clipvalue, self.clipvalue) for g in gradients]
        return list(gradients)

    # -- one whole step --------------------------------------------------------------------------------------

    def build(self, variables):
        """Make the state for these weights (NumPy arrays that `apply` will update in place)."""
        self._state = {
            "slots": [[np.full_like(v, value) for _, value in self.slots] for v in variables],
            "average": [np.zeros_like(v) for v in variables],
            "sums": [np.zeros_like(v) for v in variables],
        }
        self.built = True

    def apply(self, gradients, variables, names=None):
        """One whole step on NumPy arrays, in place. Training does the same natively; this specifies it.

        Args:
            gradients: list of arrays, shaped like ``variables``.
            variables: list of C-contiguous float arrays, the same ones at every call.
            names: their names, for `exclude_from_weight_decay`.

        >>> from fastrnn.optimizers import SGD
        >>> w = np.array([1.0, 2.0])
        >>> SGD(0.5).apply([np.array([1.0, -1.0])], [w]); w.tolist()
        [0.5, 2.5]
        """
        gradients, variables = list(gradients), list(variables)
        if self._state is None:
            self.build(variables)
        state = self._state
        if self.loss_scale_factor is not None:
            gradients = [g / self.loss_scale_factor for g in gradients]
        steps = self.gradient_accumulation_steps
        if steps:
            state["sums"] = [s + g for s, g in zip(state["sums"], gradients)]
        if not steps or (self._batches + 1) % steps == 0:
            if steps:
                gradients = [s / steps for s in state["sums"]]
                state["sums"] = [np.zeros_like(s) for s in state["sums"]]
            self.update_all(gradients, variables, state["slots"], names or [""] * len(variables), variables)
        if self.use_ema:
            momentum = self.ema_momentum if self.iterations else 0.0
            for average, variable in zip(state["average"], variables):
                average[...] = momentum * average + (1 - momentum) * variable
            if self.ema_overwrite_frequency and (self.iterations + 1) % self.ema_overwrite_frequency == 0:
                self.finalize_variable_values(variables)
        self._batches += 1

    def update_all(self, gradients, weights, slots, paths, owners):
        """Clip, decay and update arrays in place, each with its list of state arrays; ``owners`` are what `decay_of` knows weights by."""
        scalars = self.scalars(self.iterations)
        for g, w, state, path, owner in zip(self.clip(gradients), weights, slots, paths, owners):
            decay = self.decay_of(path, owner)
            if decay:
                w -= w * (decay * scalars["lr"])
            w, g, *state = (a.reshape(w.shape or 1) for a in (w, np.asarray(g, dtype=w.dtype), *state))
            self.update_at(path, w, g, state, scalars)

    def apply_gradients(self, grads_and_vars):
        """`apply` with a list of (gradient, weight) pairs; returns the number of steps so far."""
        gradients, variables = zip(*grads_and_vars)
        self.apply(gradients, variables)
        return self.iterations

    def finalize_variable_values(self, variables):
        """Put the moving averages in the place of the weights (with ``use_ema``)."""
        if self.use_ema:
            for variable, average in zip(variables, self._state["average"]):
                variable[...] = average

    # -- copies --------------------------------------------------------------------------------------------

    def __getstate__(self):
        # the state belongs to the weights of a model, which copies it together with them
        return {k: v for k, v in self.__dict__.items() if k not in ("_flat_state", "_flat_average", "_accumulated")}

    # -- configuration ---------------------------------------------------------------------------------------

    # names of the rule's own constructor arguments
    _arguments = ()

    @property
    def saved_slots(self):
        """Names of what Keras's files keep of each weight."""
        return [name for name, _ in self.slots]

    def saves(self, name, variable):
        """Whether Keras's files keep one of `saved_slots` for this weight."""
        return True

    def to_saved(self, slots):
        """What Keras's files keep of a weight, an array by each of `saved_slots`, from its slots by name."""
        return slots

    def from_saved(self, saved):
        """The inverse of `to_saved`."""
        return saved

    def get_config(self):
        """The arguments of the constructor, as a dict; a schedule becomes a dict of its own."""
        rate = self._learning_rate
        config = {
            "name": self.name,
            "learning_rate": _identifiers.serialize(rate) if callable(rate) else rate,
        }
        shared = (
            "weight_decay clipnorm global_clipnorm clipvalue use_ema ema_momentum ema_overwrite_frequency "
            "loss_scale_factor gradient_accumulation_steps"
        )
        return config | {name: getattr(self, name) for name in (*shared.split(), *self._arguments)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        if isinstance(config.get("learning_rate"), dict):
            rate = schedules.deserialize(config["learning_rate"], custom_objects)
            config = {**config, "learning_rate": rate}
        return cls(**config)


def _norm(array):
    return float(np.sqrt(np.sum(np.square(array))))


class _LearningRate(float):
    """A float that also answers to what programs ask of Keras's variable."""

    __slots__ = ("_optimizer",)

    def __new__(cls, value, optimizer):
        self = super().__new__(cls, value)
        self._optimizer = optimizer
        return self

    def __reduce__(self):
        return float, (float(self),)

    def assign(self, value):
        """Set the learning rate of the optimizer; returns the new one."""
        self._optimizer.learning_rate = value
        return self._optimizer.learning_rate

    def numpy(self):
        """The number as a NumPy scalar."""
        return np.dtype(floatx()).type(self)


def _rounded(value):
    """The value as Keras stores it: in the default float type."""
    return float(np.dtype(floatx()).type(value))
