"""What a model does with one batch: its programs by input shape, losses and metrics, and the update of the weights."""

import os
import threading
import weakref

import numpy as np

from ._native import FEW_ROWS, ONE_HOT
from .config import epsilon
from .plan import Plan
from .variables import Changes, Parameters

_MAX_PLANS = 8  # input shapes whose programs are kept


# A forked child has only the thread that forked: a lock that another one held would stay locked there for ever.
_with_locks = weakref.WeakSet()


def _make_new_locks():
    for model in list(_with_locks):
        model._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_make_new_locks)


class Steps:
    """Runs single batches. Subclasses give `_layers` (a tuple, another one when layers come or go), `variables`, `built`, and set
    `optimizer`, `_loss_object`, `_loss_weight` and `_metrics`, a list of (name, metric, weighted)."""

    def __init__(self):
        self.optimizer = None
        self._loss_object = None
        self._metrics = None
        self._parameters_object = self._layers_of_parameters = None
        self._flat_stack = None  # the layers, once it is known that no model is among them
        self._plans = {}
        self._lock = threading.RLock()
        _with_locks.add(self)

    def _parameters(self):
        """The flat vector of the weights; made anew when layers came, went, or moved to another model."""
        known, layers = self._parameters_object, self._leaves()
        same = self._layers_of_parameters is layers or self._layers_of_parameters == layers
        if known is not None and same and not known.version.retired:
            return known
        if not same:
            self._forget_plans()
        variables = self.variables
        if known is None or not known.owns(variables):
            dtypes = {layer.dtype for layer in self._layers}
            if len(dtypes) > 1:
                raise ValueError(f"All layers of a model must have the same dtype. Received: {sorted(dtypes)}")
            self._parameters_object = Parameters(variables, dtypes.pop() if dtypes else "float32")
            self._forget_plans()
        self._layers_of_parameters = layers if self.built else None  # layers may yet be built, and have more
        return self._parameters_object

    def _leaves(self):
        """The layers in their order, with those of models that are layers of this one."""
        if self._flat_stack is self._layers:  # asked several times per call, and a predict takes microseconds
            return self._layers
        if not any(isinstance(layer, Steps) for layer in self._layers):
            self._flat_stack = self._layers
            return self._layers
        return tuple(leaf for layer in self._layers for leaf in (layer._leaves() if isinstance(layer, Steps) else (layer,)))

    def _forget_plans(self):
        for plan in self._plans.values():
            plan.forgotten = True
        self._plans = {}

    def _plan(self, kind, data, batch):
        """The program of a kind ("train", "test", "predict") for data of this shape, with buffers for `batch` samples. One sample and small
        batches have one of their own: they may take other kernels, and what came before must not decide about it."""
        parameters = self._parameters()
        y, weights = data.y is not None and data.y.shape, data.weights is not None and data.weights.shape
        asked = (kind, batch, Changes.trainability, data.x.shape, y, weights)
        plan = next(reversed(self._plans.values()), None)
        if plan is not None and plan.asked == asked and not plan.outdated:  # epoch after epoch without validation, and from one sample to the next
            self._bind(plan, data)
            return plan
        self._check_stateful(data, batch)
        key = (kind, (batch > 1) + (batch >= FEW_ROWS), data.x.shape[1:], y and y[1:], weights and weights[1:])
        if kind == "train":
            key += (self.trainable, *[v.trainable for v in parameters.variables], *[layer.trainable for layer in self._leaves()])
            parameters.make_gradient()
        plan = self._plans.pop(key, None)
        if plan is None or plan.batch < batch or plan.outdated:
            plan = Plan(self._layers, data.x.shape[1:], batch, kind == "train", parameters.version)
            if kind != "predict":
                self._add_scoring(plan, data, kind == "train")
        self._plans[key] = plan  # most recently used last
        while len(self._plans) > _MAX_PLANS:
            self._plans.pop(next(iter(self._plans))).forgotten = True
        self._bind(plan, data)
        plan.asked = asked
        return plan

    def _check_stateful(self, data, batch):
        """Every batch of a stateful model has the size that its states were made for."""
        for layer in self._leaves():
            size = layer.state_batch
            if size is not None and (batch != size or len(data) % size):
                raise ValueError(
                    f"Layer '{layer.name}' is stateful and its batch size is fixed - Expected batch size: {size} - Received batch size: "
                    f"{batch if batch != size else len(data) % size}. Pass batch_size={size}, and a number of samples that it divides."
                )

    @staticmethod
    def _bind(plan, data):
        """Let a plan read its batches from these arrays."""
        if plan.data is data:
            return
        plan.program.set_source(0, plan.input, data.x)
        if data.y is not None:
            plan.program.set_source(1, plan.targets, data.y)
            plan.program.set_source(2, plan.sample_weights, data.weights)
        plan.data = data

    def _add_scoring(self, plan, data, training):
        """Loss, metrics and, for training, the optimizer."""
        if self._metrics is None:  # compiled anew since the data was checked, by a callback
            self._resolve(data.y.shape, (None, *plan.output.shape[1:]))
        program, out, loss = plan.program, plan.output, self._loss_object
        if isinstance(out, tuple):
            raise ValueError("A model whose last layer has several outputs (return_state=True, merge_mode=None) cannot be trained.")
        if loss is None and not plan.penalties and not self.losses:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`. For example: model.compile(optimizer='adam', loss='mse')")
        plan.targets = plan.array(*data.y.shape[1:])
        plan.sample_weights = None if data.weights is None else plan.array(*data.weights.shape[1:])
        # targets in a shape of their own, which only a loss of the user's understands, are not for kernels
        fits = plan.targets.shape[:-1] == out.shape[:-1] and plan.targets.shape[-1] in (1, out.shape[-1])
        shared = {"y_true": plan.targets if fits else out.value, "y_pred": out.value, "weights": plan.sample_weights, "mask": out.mask}
        plan.native_loss = loss is not None and loss.native is not None and loss.reduction in _REDUCTIONS and self._loss_weight == 1
        plan.native_loss = plan.native_loss and "ignore_class" not in loss.native[1]
        if plan.native_loss:
            kind, params = loss.native
            program.set_loss(
                kind, params, dy_pred=out.gradient, reduction=_REDUCTIONS[loss.reduction], epsilon=epsilon(), **shared
            )
        else:
            program.set_targets(**shared)
        plan.native_metrics, plan.python_metrics = [], []
        whole = plan.targets.shape[-1] == out.shape[-1]
        for entry in self._metrics:
            _, metric, weighted = entry
            native = getattr(metric, "native", None)
            seen = out.mask is None or metric.uses_mask
            if native is not None and fits and seen and (whole or native[0] not in ONE_HOT) and len(plan.native_metrics) < 16:
                program.add_metric(native[0], native[1], weighted=weighted, epsilon=epsilon())
                plan.native_metrics.append(metric)
            else:
                plan.python_metrics.append(entry)
        program.in_place_targets = plan.native_loss and not plan.python_metrics
        if training:
            self._add_optimizer(plan)

    def _add_optimizer(self, plan):
        optimizer, parameters = self.optimizer, self._parameters()
        state = getattr(optimizer, "_flat_state", None)
        if state is None or state[0] is not parameters:
            optimizer._flat_state = state = (parameters, _slots(optimizer, parameters, state))
        plan.trained = trained = self.trainable_weights
        if optimizer.kind is not None:
            plan.program.set_optimizer(
                optimizer.kind, parameters.flat, parameters.gradient, state[1], parameters.segments(trained, optimizer),
                clipnorm=optimizer.clipnorm or 0.0, global_clipnorm=optimizer.global_clipnorm or 0.0,
                clipvalue=optimizer.clipvalue or 0.0,
            )
        else:
            plan.slots = [parameters.parts_of(v, state[1]) for v in trained]
        plan.regularized = [v for v in trained if v.regularizer is not None]
        plan.constrained = [v for v in trained if v.constraint is not None]
        plan.in_one_call = (
            plan.native_loss and not plan.python_metrics and not plan.regularized and not plan.constrained and not plan.penalties
            and not optimizer.use_ema and not optimizer.gradient_accumulation_steps and optimizer.kind is not None
        )

    # -- batches ----------------------------------------------------------------------------------------------------------------

    def _train_batches(self, plan, order, start, stop, size, most=1):
        """Train on batches of `size` of rows start..stop (of `order`), on one or more of them but at most so many; returns how many."""
        optimizer, program = self.optimizer, plan.program
        scalars = optimizer.scalars(optimizer.iterations)
        decay = optimizer.weight_decay * scalars["lr"] if optimizer.weight_decay else 0.0
        if plan.in_one_call:
            if plan.calls_python or not optimizer.runs_ahead():
                most = 1  # whoever looks finds every batch in its turn
            try:
                program.train_steps(order, start, stop, size, decay, scalars.values(), most)
            finally:
                done = program.steps_done
                optimizer._batches += done
            return done
        n = min(size, stop - start)
        program.forward(n, order=order, start=start, training=True, score=True)
        self._score_in_python(plan, n, True)
        if optimizer.kind is None:
            self._parameters().gradient.fill(0)  # which a program that updates does itself
        program.backward()
        for v in plan.regularized:
            v.gradient += v.regularizer.gradient(v.value)
        self._update(plan, decay, scalars)
        return 1

    def _update(self, plan, decay, scalars):
        """Everything between the gradient and the next batch that is not part of the fused step."""
        optimizer, parameters, program = self.optimizer, self._parameters(), plan.program
        gradient, every = parameters.gradient, optimizer.gradient_accumulation_steps
        if every:
            total = getattr(optimizer, "_accumulated", None)
            if total is None or total.shape != gradient.shape:
                total = optimizer._accumulated = np.zeros_like(gradient)
            total += gradient
        if not every or (optimizer._batches + 1) % every == 0:
            if every:
                np.divide(total, every, out=gradient)
                total.fill(0)
            if optimizer.kind is not None:
                program.apply(decay, scalars.values())
            else:
                trained = plan.trained
                optimizer.update_all([v.gradient for v in trained], [v.value for v in trained], plan.slots, [v.path for v in trained], trained)
                parameters.version.value += 1
        if optimizer.use_ema:
            average = getattr(optimizer, "_flat_average", None)
            if average is None or average.shape != parameters.flat.shape:
                average = optimizer._flat_average = np.zeros_like(parameters.flat)
            momentum = optimizer.ema_momentum if optimizer.iterations else 0.0
            average *= momentum
            average += (1 - momentum) * parameters.flat
            frequency = optimizer.ema_overwrite_frequency
            if frequency and (optimizer.iterations + 1) % frequency == 0:
                self._use_average()
        for v in plan.constrained:
            v.assign(v.constraint(v.value))
        optimizer._batches += 1

    def _averaged(self):
        """(weight, its moving average), both flat and writable, of each trained weight; nothing before the first step."""
        average = getattr(self.optimizer, "_flat_average", None)
        if average is None:
            return
        parameters = self._parameters()
        for v, offset in zip(parameters.variables, parameters.offsets):
            if v.trainable:
                yield v.value.reshape(-1), average[offset : offset + v.value.size]
        parameters.version.value += 1

    def _use_average(self):
        for weight, average in self._averaged():
            weight[:] = average

    def _swap_average(self):
        """Exchange the weights and their moving averages."""
        for weight, average in self._averaged():
            weight[:], average[:] = average.copy(), weight.copy()

    def _make_average(self):
        """Let the moving averages be what the weights are now."""
        for weight, average in self._averaged():
            average[:] = weight

    def _score_in_python(self, plan, n, training):
        """The loss and the metrics that no kernel computes, and the penalties of regularizers."""
        program, out, loss = plan.program, plan.output, self._loss_object
        y, predicted = plan.targets[:n], out.value[:n]
        weights = None if plan.sample_weights is None else plan.sample_weights[:n]
        mask = None if out.mask is None else out.mask[:n].astype(bool)
        if not plan.native_loss and loss is not None:
            value, gradient = loss.value_and_gradient(y, predicted, weights, mask) if training else (loss(y, predicted, weights, mask), None)
            program.add_loss(float(value) * self._loss_weight)
            if training:
                out.gradient[:n] = gradient
                if self._loss_weight != 1:
                    out.gradient[:n] *= self._loss_weight
        penalty = sum(self.losses) + sum(plan.penalties)
        if penalty:
            program.add_penalty(penalty)
        for _, metric, weighted in plan.python_metrics:
            options = {"mask": mask} if mask is not None and metric.uses_mask else {}
            metric.update_state(y, predicted, sample_weight=weights if weighted else None, **options)

    def _logs(self, plan):
        """Means since the metrics were last reset, in the order of their names, as Keras has them."""
        (total, count), *sums = plan.program.sums()
        for metric, (metric_total, metric_count) in zip(plan.native_metrics, sums):
            metric.reset_state()
            metric.add(metric_total, metric_count)
        logs = {"loss": total / count if count else 0.0} if self._loss_object is not None or count else {}
        if not self._metrics:
            return logs
        for name, metric, _ in self._metrics:
            value = metric.result()
            logs.update({k: _as_number(v) for k, v in value.items()} if isinstance(value, dict) else {name: _as_number(value)})
        return dict(sorted(logs.items()))

    def _scoring_plans(self):
        """Those with loss and metrics, the most recently used last."""
        return [plan for (kind, *_), plan in self._plans.items() if kind != "predict"]

    def _reset_metrics(self, plan):
        plan.program.reset_metrics()
        for _, metric, _ in self._metrics:
            metric.reset_state()


# the reductions that kernels know
_REDUCTIONS = {"sum_over_batch_size": "sum_over_batch_size", "mean": "sum_over_batch_size", "sum": "sum",
               "mean_with_sample_weight": "mean_with_sample_weight"}


def _slots(optimizer, parameters, before):
    """State vectors in the layout of `parameters`; what was known of a weight in another layout is kept."""
    if before is not None and not {id(v) for v in before[0].variables} & {id(v) for v in parameters.variables}:
        raise ValueError(
            "This optimizer object was used for another model. An optimizer keeps the state of the weights that it was first used for: "
            "compile each model with its own, for example by name, or create a new optimizer instance."
        )
    known = {} if before is None else {id(v): offset for v, offset in zip(before[0].variables, before[0].offsets)}
    slots = []
    for k, (_, value) in enumerate(optimizer.slots):
        slot = np.full_like(parameters.flat, value)
        for v, offset in zip(parameters.variables, parameters.offsets):
            if id(v) in known:
                start = known[id(v)]
                slot[offset : offset + v.value.size] = before[1][k][start : start + v.value.size]
        slots.append(slot)
    return slots


def _as_number(value):
    return float(value) if np.ndim(value) == 0 else np.asarray(value)

