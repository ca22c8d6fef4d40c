"""compile, fit, evaluate, predict: the loops around a model's programs."""

import numpy as np

from . import losses as losses_module
from . import metrics as metrics_module
from . import optimizers
from .callbacks import CallbackList
from .data import (
    Arrays,
    as_targets,
    as_weights,
    batch_size_of,
    batches_of,
    check_cardinality,
    class_weights,
    fit_rank,
    is_iterable_of_batches,
    unpack_batch,
)
from .layers.base import as_input
from .progress import ProgressBar
from .random import generator
from .steps import Steps


class Trainer(Steps):
    """The part of a model that trains and predicts. Subclasses give what `Steps` asks for, `_input_shape`, `_build_for`, and `_fitting`,
    the shapes that it was called for."""

    def __init__(self):
        super().__init__()
        self.loss = None
        self.stop_training = False
        self.history = None
        self._compiled = False
        self._metric_arguments = None

    # -- compile ---------------------------------------------------------------------------------------------------------

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, run_eagerly=False,
                steps_per_execution=1, jit_compile="auto", auto_scale_loss=True):
        """Say how the model is to be trained.

        Args:
            optimizer: name or object of `fastrnn.optimizers`.
            loss: name, function or object of `fastrnn.losses`. Unknown names are found out by the first `fit`.
            metrics: list of names, functions or objects of `fastrnn.metrics`, without sample weights.
            weighted_metrics: the same, with sample weights.
            loss_weights: a float, or a list of one, that scales the loss.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: accepted for Keras's sake.

        Raises:
            ValueError: for an unknown optimizer.
        """
        self.optimizer = optimizers.get(optimizer)
        if self.optimizer is None:
            raise ValueError("Argument `optimizer` must be the name of an optimizer or an object. Received: optimizer=None")
        self.loss = loss
        weight = loss_weights[0] if isinstance(loss_weights, (list, tuple)) and len(loss_weights) == 1 else loss_weights
        if weight is not None and not isinstance(weight, (int, float)):
            raise ValueError(f"Argument `loss_weights` must be one number: the model has one output. Received: loss_weights={loss_weights}")
        self._loss_weight = 1.0 if weight is None else float(weight)
        if metrics is not None or weighted_metrics is not None or self._metric_arguments is None:
            self._metric_arguments = (_as_list(metrics, "metrics"), _as_list(weighted_metrics, "weighted_metrics"))
        self._loss_object = self._metrics = None
        self._compiled = True
        self._forget_plans("train", "test")

    def _require_compiled(self, method):
        if not self._compiled:
            raise ValueError(f"You must call `compile()` before calling `{method}()`. For example: model.compile(optimizer='adam', loss='mse')")

    def _resolve(self, y_shape, output_shape):
        """Loss and metric objects, once the shapes are known."""
        if self._metrics is not None:
            return
        loss = self.loss
        if isinstance(loss, (list, tuple)) and len(loss) == 1:
            loss = loss[0]
        loss = losses_module.as_loss(loss, y_shape, output_shape) if loss is not None else None
        found, names = [], {"loss"}
        for group, weighted in zip(self._metric_arguments, (False, True)):
            for argument in group:
                metric = metrics_module.resolve(argument, y_shape, output_shape)
                name = metric.name
                if name in names and weighted:
                    name = f"weighted_{name}"
                base, count = name, 0
                while name in names:
                    count += 1
                    name = f"{base}_{count}"
                names.add(name)
                found.append((name, metric, weighted))
        self._loss_object, self._metrics = loss, found

    @property
    def compiled(self):
        """Whether `compile` was called."""
        return self._compiled

    @property
    def metrics(self):
        """The metric objects."""
        return [metric for _, metric, _ in self._metrics or ()]

    @property
    def metrics_names(self):
        """Names in the order in which `evaluate` returns values."""
        return ["loss", *(name for name, _, _ in self._metrics or ())]

    # -- data ---------------------------------------------------------------------------------------------------------------------

    def _inputs(self, x):
        """x in the model's type and rank; builds the model at the first data."""
        looks_up = self._lookup_layer()
        dtype = "int32" if looks_up else self._layers[0].dtype if self._layers else "float32"
        if isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) == len(self._input_shape or ()):
            x = x[0]  # a list with the array of the one input
        x = as_input(x, dtype, "x")
        if x.shape not in self._fitting:
            x = fit_rank(x, self._input_shape, self.name)
            if x.ndim == 0:
                raise ValueError(f"x: expected an array of samples, got a single number ({x!r}).")
            if len(x) == 0:
                raise ValueError(f"x: expected at least one sample, got an empty array of shape {x.shape}.")
            self._build_for(x.shape)
        if looks_up:
            looks_up.check_values(x)
        return x

    def _lookup_layer(self):
        """The layer that takes the inputs as ids, or None where they are numbers."""
        for layer in self._leaves():
            if layer.takes_ids is not None:
                return layer if layer.takes_ids else None
        return None

    def _arrays(self, x, y, sample_weight=None, class_weight=None):
        """Checked inputs, targets and weights."""
        if y is None:
            raise ValueError("y: expected targets, got None. Pass them as `fit(x, y)`, or as (x, y) batches of an iterable.")
        x = self._inputs(x)
        if isinstance(y, (list, tuple)) and len(y) == 1 != len(x) and np.ndim(y[0]) and len(y[0]) == len(x):
            y = y[0]
        try:
            n_targets = len(y)
        except TypeError:
            raise ValueError(f"y: expected an array of targets, got {y!r}") from None
        if n_targets != len(x) or (sample_weight is not None and len(sample_weight) != len(x)):
            check_cardinality(x=x, y=y, sample_weight=sample_weight)
        output_shape = self._output_shape_for((None, *x.shape[1:]))
        if isinstance(output_shape[0], tuple):
            raise ValueError("A model whose last layer has several outputs (return_state=True, merge_mode=None) cannot be trained.")
        self._resolve(np.shape(y), output_shape)
        y = as_targets(y, output_shape, self._loss_object, self._layers[0].dtype)
        weights = as_weights(sample_weight, x, y, output_shape, self._layers[0].dtype)
        if class_weight is not None:
            if weights is not None:
                raise ValueError("You cannot `class_weight` and `sample_weight` at the same time.")
            weights = class_weights(class_weight, y, self._layers[0].dtype)
        return Arrays(x, np.ascontiguousarray(y), weights)

    # -- fit ------------------------------------------------------------------------------------------------------------------------

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0, steps_per_epoch=None,
            validation_steps=None, validation_batch_size=None, validation_freq=1):
        """Train the model.

        Args:
            x: inputs (samples, ...), or an iterable of (inputs, targets[, sample weights]) batches.
            y: targets (samples, ...).
            batch_size: samples per update, default 32; the last batch of an epoch may be smaller.
            epochs: index of the epoch at which to stop.
            verbose: 0 silent, 1 or "auto" a bar per epoch, 2 a line per epoch.
            callbacks: list of `fastrnn.callbacks.Callback`.
            validation_split: share of the samples, from the end and before shuffling, that is not trained on but evaluated after
                each epoch.
            validation_data: (inputs, targets[, sample weights]) for the same purpose.
            shuffle: draw a new order of the samples for each epoch.
            class_weight: dict of class number to weight.
            sample_weight: weight of each sample (or of each step).
            initial_epoch: index of the first epoch.
            steps_per_epoch: batches per epoch; default all.
            validation_steps, validation_batch_size, validation_freq: batches, their size, and epochs between evaluations.

        Returns:
            A `History`: `history` (dict of lists, one value per epoch) and `epoch`.

        Raises:
            ValueError: before `compile`, and for data that does not fit the model.
            KeyboardInterrupt: on Ctrl-C, within a batch; the model stays usable.
        """
        self._require_compiled("fit")
        epochs = _non_negative(epochs, "epochs")
        initial_epoch = _non_negative(initial_epoch, "initial_epoch")
        steps_per_epoch = _steps(steps_per_epoch, "steps_per_epoch")
        validation_steps = _steps(validation_steps, "validation_steps")
        validates = _validation_epochs(validation_freq)
        stream = is_iterable_of_batches(x)
        size = batch_size_of(batch_size)
        validation_size = batch_size_of(validation_batch_size if validation_batch_size is not None else size)
        if stream:
            if y is not None or validation_split:
                raise ValueError("`y` and `validation_split` cannot be used when `x` is an iterable of batches: it yields the targets.")
            data, total = None, steps_per_epoch if steps_per_epoch is not None else _length(x)
        else:
            data = self._arrays(x, y, sample_weight, class_weight)
            if validation_split and validation_data is None:
                data, validation_data = _split(data, validation_split)
            total = -(-len(data) // size)
            total = min(total, steps_per_epoch) if steps_per_epoch is not None else total
        if validation_data is not None and not isinstance(validation_data, Arrays) and not is_iterable_of_batches(validation_data):
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                raise ValueError(f"`validation_data` must be a tuple (x, y) or (x, y, sample_weight). Received: {type(validation_data).__name__}")
            validation_data = self._arrays(*validation_data)
        hooks = CallbackList(callbacks, model=self, verbose=verbose, epochs=epochs, steps=total)
        self.stop_training = False
        with self._lock:
            hooks.on_train_begin()
            logs = None
            batches = batches_of(x) if stream and steps_per_epoch is not None else None
            if not stream:
                plan = self._plan("train", data, min(size, len(data)))
                passes = _passes(len(data), size, shuffle)
            for epoch in range(initial_epoch, epochs):
                hooks.on_epoch_begin(epoch)
                bar = ProgressBar(total, 0 if hooks.has_progbar else verbose, epoch, epochs)
                try:
                    if stream:
                        logs, batches, ended = self._stream_epoch(x, batches, steps_per_epoch, class_weight, hooks, bar)
                    else:
                        logs, ended = self._array_epoch(plan, data, passes, total, hooks, bar), False
                    if validation_data is not None and validates(epoch + 1):
                        values = self._evaluate(validation_data, validation_size, hooks, validation_steps)
                        logs |= {f"val_{name}": value for name, value in values.items()}
                finally:
                    bar.close(logs) if logs is not None else bar.close()
                hooks.on_epoch_end(epoch, logs)
                if self.stop_training or ended:
                    break
            if self.optimizer.use_ema:
                self._use_average()
            hooks.on_train_end(logs)
        return hooks.history

    def _array_epoch(self, plan, data, passes, total, hooks, bar):
        self._bind(plan, data)  # a callback may have used the plan for something else
        self._reset_metrics(plan)
        train, update, step = self._train_batch, bar.update, 0
        show = lambda: self._logs(plan)  # noqa: E731 (called rarely, from inside update)
        listened = hooks.wants_train_batches
        for order, start, n in passes:
            if listened:
                hooks.on_train_batch_begin(step)
            train(plan, order, start, n)
            if listened:
                hooks.on_train_batch_end(step, self._logs(plan))
            step += 1
            update(step, show)
            if step == total or self.stop_training:
                break
        return self._logs(plan)

    def _stream_epoch(self, x, batches, steps, class_weight, hooks, bar):
        """One epoch of an iterable of batches. Returns logs, the iterator to go on with, and whether it has run out for good."""
        if batches is None:
            batches = batches_of(x)
        plan, step, logs = None, 0, {}
        while steps is None or step < steps:
            batch = next(batches, None)
            if batch is None:
                if steps is not None and not hasattr(x, "__next__") and step < steps:
                    batches = batches_of(x)  # begin anew, as Keras does with a sized source
                    batch = next(batches, None)
                if batch is None:
                    break
            inputs, targets, weights = unpack_batch(batch)
            data = self._arrays(inputs, targets, weights, class_weight)
            plan_now = self._plan("train", data, len(data))
            if plan is None:
                self._reset_metrics(plan_now)
            elif plan_now is not plan:
                plan_now.program.take_sums(plan.program)
            plan = plan_now
            if hooks.wants_train_batches:
                hooks.on_train_batch_begin(step)
            self._train_batch(plan, None, 0, len(data))
            logs = self._logs(plan)
            if hooks.wants_train_batches:
                hooks.on_train_batch_end(step, logs)
            step += 1
            bar.update(step, lambda: logs)  # noqa: B023
            if self.stop_training:
                break
        if not step:
            raise ValueError("x: the iterable gave no batch. A generator can be used for one fit only; pass `steps_per_epoch` to limit an endless one.")
        ended = steps is not None and step < steps
        return logs, (batches if steps is not None or hasattr(x, "__next__") else None), ended

    # -- evaluate and predict -------------------------------------------------------------------------------------------------------

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None, return_dict=False):
        """Loss and metrics on given data, without training.

        Args:
            x, y, sample_weight, batch_size, verbose, callbacks: as in `fit`.
            steps: number of batches; default all.
            return_dict: return a dict of names instead of a list.

        Returns:
            The loss as a float, or [loss, metric, ...], or a dict.
        """
        self._require_compiled("evaluate")
        size, steps = batch_size_of(batch_size), _steps(steps, "steps")
        data = x if is_iterable_of_batches(x) else self._arrays(x, y, sample_weight)
        total = _length(x) if data is x else -(-len(data) // size)
        hooks = CallbackList(callbacks, add_history=False, model=self, verbose=verbose, steps=total, epochs=1)
        with self._lock:
            bar = ProgressBar(steps if steps is not None else total, 0 if hooks.has_progbar else verbose)
            logs = self._evaluate(data, size, hooks, steps, bar)
            bar.finish(logs)
        return logs if return_dict else _as_result(logs)

    def _evaluate(self, data, size, hooks, steps=None, bar=None):
        hooks.on_test_begin()
        plan, step = None, 0
        for batch, start, n in _batches(self, data, size):
            if steps is not None and step >= steps:
                break
            now = self._plan("test", batch, n if batch is not data else min(size, len(data)))
            if plan is None:
                self._reset_metrics(now)
            elif now is not plan:
                now.program.take_sums(plan.program)
            plan = now
            if hooks.wants_test_batches:
                hooks.on_test_batch_begin(step)
            plan.program.forward(n, start=start, score=True)
            self._score_in_python(plan, n, False)
            step += 1
            if hooks.wants_test_batches:
                hooks.on_test_batch_end(step - 1, self._logs(plan))
            if bar is not None:
                bar.update(step, lambda: self._logs(plan))  # noqa: B023
        if plan is None:
            raise ValueError("The data to evaluate gave no batch: an iterable that is used up, or none to begin with.")
        logs = self._logs(plan)
        hooks.on_test_end(logs)
        return logs

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Outputs of the model.

        Args:
            x: inputs (samples, ...), or an iterable of batches.
            batch_size: samples per pass, default 32; it does not change the numbers.
            verbose: 0 silent, 1 or "auto" a bar, 2 a line.
            steps, callbacks: as in `evaluate`.

        Returns:
            A float array (samples, ...), a tuple of them where the last layer has several outputs.
        """
        size, steps = batch_size_of(batch_size), _steps(steps, "steps")
        if is_iterable_of_batches(x):
            parts = []
            for batch in batches_of(x):
                if steps is not None and len(parts) >= steps:
                    break
                parts.append(self.predict_on_batch(unpack_batch(batch)[0]))
            if not parts:
                raise ValueError("x: the iterable gave no batch.")
            if isinstance(parts[0], tuple):
                return tuple(np.concatenate(column) for column in zip(*parts))
            return np.concatenate(parts)
        x = self._inputs(x)
        n = len(x)
        total = -(-n // size)
        total = min(total, steps) if steps is not None else total
        hooks = CallbackList(callbacks, add_history=False, model=self, verbose=verbose, steps=total) if callbacks else None
        bar = ProgressBar(total, verbose) if verbose else None
        if hooks:
            hooks.on_predict_begin()
        with self._lock:
            plan = self._plan("predict", Arrays(x), min(size, n))
            several = isinstance(plan.output, tuple)
            tensors = plan.output if several else (plan.output,)
            results = [np.empty((min(n, total * size), *t.shape[1:]), t.value.dtype) for t in tensors]
            for step, start in enumerate(range(0, min(n, total * size), size)):
                if hooks and hooks.wants_predict_batches:
                    hooks.on_predict_batch_begin(step)
                rows = min(size, n - start)
                if plan.redirects:
                    plan.program.forward(rows, start=start, result=results[0])
                else:
                    plan.program.forward(rows, start=start)
                    for result, t in zip(results, tensors):
                        result[start : start + rows] = t.value[:rows]
                if hooks and hooks.wants_predict_batches:
                    hooks.on_predict_batch_end(step, {"outputs": results[0][start : start + rows]})
                if bar is not None:
                    bar.update(step + 1)
        if bar is not None:
            bar.finish()
        if hooks:
            hooks.on_predict_end()
        return tuple(results) if several else results[0]

    # -- single batches ---------------------------------------------------------------------------------------------------------------

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One update on one batch; returns loss and metrics of that batch as `evaluate` does."""
        self._require_compiled("train_on_batch")
        data = self._arrays(x, y, sample_weight, class_weight)
        with self._lock:
            plan = self._plan("train", data, len(data))
            self._reset_metrics(plan)
            self._train_batch(plan, None, 0, len(data))
            logs = self._logs(plan)
        return logs if return_dict else _as_result(logs)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of one batch."""
        self._require_compiled("test_on_batch")
        data = self._arrays(x, y, sample_weight)
        with self._lock:
            logs = self._evaluate(data, len(data), CallbackList(None, add_history=False))
        return logs if return_dict else _as_result(logs)

    def predict_on_batch(self, x):
        """Outputs for one batch, as `predict`."""
        return self.predict(x, batch_size=max(1, len(x)), verbose=0)


def _as_list(metrics, argument):
    if metrics is None:
        return []
    if isinstance(metrics, (str, dict)) or not isinstance(metrics, (list, tuple)):
        raise ValueError(f"Argument `{argument}` must be a list, such as {argument}=['mse']. Received: {argument}={metrics!r}")
    metrics = list(metrics)
    return list(metrics[0]) if len(metrics) == 1 and isinstance(metrics[0], (list, tuple)) else metrics


def _as_result(logs):
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def _non_negative(value, argument):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"Argument `{argument}` must be a non-negative integer. Received: {argument}={value!r}")
    return int(value)


def _steps(value, argument):
    """Number of batches; None and 0 mean all, as in Keras."""
    if value is None or value == 0:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"Argument `{argument}` must be a positive integer or None. Received: {argument}={value!r}")
    return int(value)


def _validation_epochs(frequency):
    """From `validation_freq` a function that says whether to evaluate after an epoch (counted from 1)."""
    if isinstance(frequency, (list, tuple, set)):
        return set(frequency).__contains__
    if isinstance(frequency, bool) or not isinstance(frequency, (int, np.integer)) or frequency < 1:
        raise ValueError(f"`validation_freq` must be a positive integer or a list of epochs. Received: validation_freq={frequency!r}")
    return lambda epoch: epoch % frequency == 0


def _passes(n, size, shuffle):
    """(order, first place, samples) of batch after batch, through the data again and again; each pass in a new order."""
    while True:
        order = generator().permutation(n) if shuffle else np.arange(n)
        for start in range(0, n, size):
            yield order, start, min(size, n - start)


def _length(x):
    try:
        return len(x)
    except TypeError:
        return None


def _split(data, share):
    if not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(f"`validation_split` must be a number between 0 and 1. Received: validation_split={share!r}")
    at = int(len(data) * (1 - share))
    if at in (0, len(data)):
        raise ValueError(
            f"Training data contains {len(data)} samples, which is not sufficient to split it into a validation and training set as "
            f"specified by `validation_split={share}`. Either provide more data, or a different value for the `validation_split` argument."
        )
    return data.take(0, at), data.take(at, len(data))


def _batches(model, data, size):
    """(arrays, first row, rows) of each batch."""
    if isinstance(data, Arrays):
        for start in range(0, len(data), size):
            yield data, start, min(size, len(data) - start)
        return
    for batch in batches_of(data):
        arrays = model._arrays(*unpack_batch(batch))
        yield arrays, 0, len(arrays)
