"""compile, fit, evaluate, predict: the loops around a model's programs."""

import numpy as np

from . import losses as losses_module
from . import metrics as metrics_module
from . import optimizers
from .callbacks.base import CallbackList, as_callback_list
from .data import (
    Arrays,
    as_rows,
    as_targets,
    as_weights,
    batch_size_of,
    check_cardinality,
    class_weights,
    fit_rank,
    is_iterable_of_batches,
    unequal_lengths,
    unpack_batch,
)
from .feed import ArrayFeed, Epochs, LengthFeed, check_alone, shuffled, stream_feed
from .layers.base import from_tensor
from .progress import ProgressBar, as_verbosity
from .steps import Steps


class Trainer(Steps):
    """The part of a model that trains and predicts. Subclasses give what `Steps` asks for, `_input_shape`, `_build_for`, and `_fitting`,
    the shapes that it was called for and those of the outputs (batch None)."""

    _known_dtype = None  # of arrays that may be used as they are if their shape is in `_fitting`; None where values are to be checked, or layers may change

    def __init__(self):
        super().__init__()
        self.loss = None
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.history = None
        self._compiled = False
        self._metric_arguments = None
        self._initial_epoch = None

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
        self._forget_plans()  # also those that predict: layers may have been changed before, as Keras allows

    def _require_compiled(self, method):
        if not self._compiled:
            raise ValueError(f"You must call `compile()` before calling `{method}()`. For example: model.compile(optimizer='adam', loss='mse')")

    def _resolve(self, y_shape, output_shape):
        """Loss and metric objects, once the shapes are known."""
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

    def reset_metrics(self):
        """Start the sums of the loss and of the metrics anew."""
        with self._lock:
            for plan in self._scoring_plans():
                self._reset_metrics(plan)

    def get_metrics_result(self):
        """Loss and metrics since they were last reset, a dict by name; empty before the first batch with targets."""
        with self._lock:
            plans = self._scoring_plans()
            return self._logs(plans[-1]) if plans else {}

    # -- data ---------------------------------------------------------------------------------------------------------------------

    def _inputs(self, x):
        """x in the model's type and rank; builds the model at the first data."""
        if type(x) is np.ndarray and x.dtype is self._known_dtype and x.shape in self._fitting and x.flags.carray:
            return x  # a predict takes microseconds
        looks_up = self._lookup_layer()
        dtype = "int32" if looks_up else self._layers[0].dtype if self._layers else "float32"
        if type(x) is not np.ndarray:
            x = self._only_input(x)
        x = as_rows(x, dtype, "x")
        if x.shape not in self._fitting:
            x = fit_rank(x, self._input_shape, self.name)
            if x.ndim == 0:
                raise ValueError(f"x: expected an array of samples, got a single number ({x!r}).")
            if len(x) == 0:
                raise ValueError(f"x: expected at least one sample, got an empty array of shape {x.shape}.")
            self._build_for(x.shape)
        if looks_up:
            looks_up.check_values(x)
        self._known_dtype = None if looks_up or self._leaves() is not self._layers else x.dtype
        return x

    def _only_input(self, x):
        """The one input of a list, or of a dict of inputs by name; anything else as it is."""
        if isinstance(x, dict):
            x = self._input_of_dict(x)
        if isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) == len(self._input_shape or ()):
            x = x[0]
        if x is None:
            raise ValueError("x: expected an array of inputs, got None.")
        return x

    def _input_of_dict(self, x):
        name = self._input_layer.name if self._input_layer is not None else None
        if set(x) == {name}:
            return x[name]
        which = f" (of the input {name!r})" if name else ""
        raise ValueError(
            f"x: the structure of `inputs` doesn't match the expected structure. Expected one array{which}, "
            f"got a dict with the keys {sorted(map(str, x))}: a Sequential model has one input. Pass that array itself."
        )

    def _lookup_layer(self):
        """The layer that takes the inputs as ids, or None where they are numbers."""
        for layer in self._leaves():
            if layer.takes_ids is not None:
                return layer if layer.takes_ids else None
        return None

    def _arrays(self, x, y=None, sample_weight=None, class_weight=None):
        """Checked inputs, targets and weights."""
        if y is None:
            raise ValueError("y: expected targets, got None. Pass them as `fit(x, y)`, or as (x, y) batches of an iterable.")
        x = self._inputs(x)
        if type(y) is not np.ndarray or not y.ndim:
            y = self._only_targets(y, len(x))
        if len(y) != len(x) or (sample_weight is not None and _length(sample_weight, "sample_weight", "weights") != len(x)):
            check_cardinality(x=x, y=y, sample_weight=sample_weight)
        output_shape = self._fitting.get(x.shape) or self._output_shape_for((None, *x.shape[1:]))
        if isinstance(output_shape[0], tuple):
            raise ValueError("A model whose last layer has several outputs (return_state=True, merge_mode=None) cannot be trained.")
        if self._metrics is None:
            self._resolve(np.shape(y), output_shape)
        y = as_targets(y, output_shape, self._loss_object, self._layers[0].dtype)
        weights = as_weights(sample_weight, x, y, output_shape, self._layers[0].dtype)
        data = Arrays(x, y, weights)
        if class_weight is not None:
            self._weigh_classes(data, class_weight)
        return data

    @staticmethod
    def _only_targets(y, samples):
        """The targets of a tensor, or of a list of one array of them; anything else that has a length as it is."""
        y = from_tensor(y)
        if isinstance(y, (list, tuple)) and len(y) == 1 != samples and np.ndim(y[0]) and len(y[0]) == samples:
            y = y[0]
        if isinstance(y, dict):
            raise ValueError(f"y: expected an array of targets, got a dict with the keys {sorted(map(str, y))}: the model has one output.")
        _length(y, "y", "targets")
        return y

    def _weigh_classes(self, data, class_weight):
        if data.weights is not None:
            raise ValueError("You cannot `class_weight` and `sample_weight` at the same time.")
        data.weights = class_weights(class_weight, data.y, self._layers[0].dtype)

    def _feed(self, x, y, sample_weight, batch_size, steps):
        """What is evaluated, in its order."""
        if is_iterable_of_batches(x):
            check_alone(x, y, sample_weight)
            return stream_feed(x, self._arrays)
        data = self._arrays(x, y, sample_weight)
        return ArrayFeed(data, batch_size_of(batch_size, len(data), steps))

    # -- fit ------------------------------------------------------------------------------------------------------------------------

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0, steps_per_epoch=None,
            validation_steps=None, validation_batch_size=None, validation_freq=1):
        """Train the model.

        Args:
            x: inputs (samples, ...), or what gives (inputs, targets[, sample weights]) batches: a generator, a `PyDataset`, a PyTorch
                `DataLoader`, any other iterable. Batches may differ in their number of time steps.
            y: targets (samples, ...).
            batch_size: samples per update, default 32 (or what makes `steps_per_epoch` batches); the last batch of an epoch may be
                smaller. It means nothing where `x` gives whole batches.
            epochs: index of the epoch at which to stop.
            verbose: 0 silent, 1 or "auto" a bar per epoch, 2 a line per epoch.
            callbacks: list of `fastrnn.callbacks.Callback`.
            validation_split: share of the samples, from the end and before shuffling, that is not trained on but evaluated after
                each epoch.
            validation_data: (inputs, targets[, sample weights]), or what gives such batches, for the same purpose.
            shuffle: draw a new order of the samples (of the batches of a `PyDataset`) for each epoch; "batch" only within each batch.
            class_weight: dict of class number to weight.
            sample_weight: weight of each sample (or of each step).
            initial_epoch: index of the first epoch.
            steps_per_epoch: batches per epoch; default all. The next epoch goes on where the last one stopped; where the data ends
                within an epoch there is a warning, and the next begins anew (a generator with its first two batches, as in Keras).
            validation_steps, validation_batch_size, validation_freq: batches, their size, and epochs between evaluations.

        Returns:
            A `History`: `history` (dict of lists, one value per epoch) and `epoch`.

        Raises:
            ValueError: before `compile`, and for data that does not fit the model.
            KeyboardInterrupt: on Ctrl-C, within a batch or a millisecond; the model stays usable.
        """
        self._require_compiled("fit")
        epochs = _non_negative(epochs, "epochs")
        initial_epoch = _non_negative(initial_epoch, "initial_epoch")
        steps_per_epoch = _steps(steps_per_epoch, "steps_per_epoch")
        validation_steps = _steps(validation_steps, "validation_steps")
        validates = _validation_epochs(validation_freq)
        verbosity = as_verbosity(verbose)
        if is_iterable_of_batches(x):
            if validation_split and validation_data is None:
                raise ValueError("Argument `validation_split` is only supported for tensors or NumPy arrays. "
                                 f"Found incompatible type in the input: [{type(x)}]")
            check_alone(x, y, sample_weight, class_weight)
            feed = stream_feed(x, lambda *batch: self._arrays(*batch, class_weight=class_weight), shuffle)
        else:
            data = self._arrays(x, y, sample_weight)
            if validation_split and validation_data is None:
                data, validation_data = _split(data, validation_split)
            if class_weight is not None:
                self._weigh_classes(data, class_weight)
            size = batch_size_of(batch_size, len(data), steps_per_epoch)
            feed = ArrayFeed(data, size, shuffled(len(data), shuffle, size))
        epoch_batches, validation = Epochs(feed, steps_per_epoch), None
        if isinstance(validation_data, Arrays):
            size = batch_size_of(validation_batch_size or batch_size, len(validation_data), validation_steps)
            validation = Epochs(ArrayFeed(validation_data, size), validation_steps)
        elif validation_data is not None:
            given = unpack_batch(validation_data)
            validation = Epochs(self._feed(*given, validation_batch_size or batch_size, validation_steps), validation_steps)
        hooks = as_callback_list(callbacks, add_history=True, model=self, verbose=verbose, epochs=epochs, steps=epoch_batches.length)
        self.stop_training = False
        self._initial_epoch = None
        with self._lock:
            epoch_batches.reset()
            hooks.on_train_begin()
            initial_epoch = self._initial_epoch or initial_epoch  # `BackupAndRestore` may have found a later one
            logs, bar = None, ProgressBar(epoch_batches.length, 0)
            for epoch in range(initial_epoch, epochs):
                logs = shown = None
                hooks.on_epoch_begin(epoch)
                if verbosity and not hooks.has_progbar:
                    bar = ProgressBar(epoch_batches.length, verbosity, epoch, epochs)
                try:
                    logs = self._train_epoch(epoch_batches, hooks, bar)
                    if validation is not None and validates(epoch + 1):
                        logs |= {f"val_{name}": value for name, value in self._evaluate(validation, hooks).items()}
                    bar.clear()
                    shown = hooks.on_epoch_end(epoch, logs)  # with what callbacks added, as the learning rate
                finally:
                    bar.close(shown or logs)
                if self.stop_training:
                    break
            if self.optimizer.use_ema:
                self._use_average()
            hooks.on_train_end(logs)
        return self.history

    def _train_epoch(self, batches, hooks, bar):
        """Train on the batches of one epoch; returns its logs."""
        show = lambda: self._logs(plan)  # noqa: E731 (called rarely, from inside update)
        listened = hooks.wants_train_batches
        plan, arrays, step = None, None, 0
        for data, order, start, stop in batches.runs():
            if data is not arrays:
                plan, arrays = self._next_plan("train", data, batches.feed, plan), data
            size = batches.feed.size or stop - start
            while start < stop:
                if listened:
                    hooks.on_train_batch_begin(step)
                if plan.outdated:
                    plan = self._next_plan("train", data, batches.feed, plan)
                done = self._train_batches(plan, order, start, stop, size, most=1 if listened or self.stop_training else stop)
                start, step = start + done * size, step + done
                if listened:
                    hooks.on_train_batch_end(step - 1, self._logs(plan))
                bar.update(step, show)
                if self.stop_training:
                    return self._logs(plan)
        if plan is None:
            raise ValueError("x gave no batch: a data set that is empty or used up.")
        return self._logs(plan)

    def _plan_of(self, kind, data, feed):
        """The plan for batches as a feed gives them of these arrays."""
        return self._plan(kind, data, min(feed.size or len(data), len(data)))

    def _next_plan(self, kind, data, feed, before):
        """The plan for the next arrays of a feed, which goes on with the sums of the plan `before`."""
        plan = self._plan_of(kind, data, feed)
        if before is None:
            self._reset_metrics(plan)
        elif plan is not before:
            plan.program.take_sums(before.program)
        return plan

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
        steps = _steps(steps, "steps")
        batches = Epochs(self._feed(x, y, sample_weight, batch_size, steps), steps)
        hooks = as_callback_list(callbacks, model=self, verbose=verbose, epochs=1, steps=batches.length)
        with self._lock:
            bar = ProgressBar(batches.length, 0 if hooks.has_progbar else verbose)
            logs = self._evaluate(batches, hooks, bar)
            bar.finish(logs)
        return self._as_result(logs, return_dict)

    def _evaluate(self, batches, hooks, bar=None):
        batches.reset()
        self.stop_evaluating = False
        hooks.on_test_begin()
        plan = arrays = None
        for step, (data, order, start, n) in enumerate(batches):
            if data is not arrays:
                plan, arrays = self._next_plan("test", data, batches.feed, plan), data
            if hooks.wants_test_batches:
                hooks.on_test_batch_begin(step)
            if plan.outdated:
                plan = self._next_plan("test", data, batches.feed, plan)
            plan.program.forward(n, order=order, start=start, score=True)
            self._score_in_python(plan, n, False)
            if hooks.wants_test_batches:
                hooks.on_test_batch_end(step, self._logs(plan))
            if bar is not None:
                bar.update(step + 1, lambda: self._logs(plan))  # noqa: B023
            if self.stop_evaluating:
                break
        if plan is None:
            raise ValueError("The data to evaluate gave no batch: it is empty or used up.")
        logs = self._logs(plan)
        hooks.on_test_end(logs)
        return logs

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Outputs of the model.

        Args:
            x: inputs (samples, ...), or what gives batches of them, as in `fit`. Or a list of sequences of different lengths: those of
                one length run together, and each gives the numbers that it would give alone (but for last digits, see `batch_size`).
            batch_size: samples per pass, default 32; it does not change the numbers (but for their last digits: of a single sample, and of less
                than 8 where the processor has a matrix unit).
            verbose: 0 silent, 1 or "auto" a bar, 2 a line.
            steps, callbacks: as in `evaluate`.

        Returns:
            A float array (samples, ...), a tuple of them where the last layer has several outputs. For sequences of different lengths a
            list of arrays if the outputs too differ in shape.
        """
        steps = _steps(steps, "steps")
        convert = lambda inputs, *_: Arrays(self._inputs(inputs))
        if is_iterable_of_batches(x):
            feed = stream_feed(x, convert)
        elif (samples := unequal_lengths(x)) is not None:
            if steps is not None:
                raise ValueError("Argument `steps` cannot be used with sequences of different lengths.")
            feed = LengthFeed(samples, batch_size_of(batch_size), convert)
        else:
            data = convert(x)
            feed = ArrayFeed(data, batch_size_of(batch_size, len(data), steps))
        batches = Epochs(feed, steps)
        hooks = self._predict_hooks(callbacks, verbose, batches.length)
        bar = ProgressBar(batches.length, verbose) if verbose and not (hooks and hooks.has_progbar) else None
        with self._lock:
            parts, several = self._predict(batches, hooks, bar)
        if isinstance(feed, LengthFeed):
            results = [_in_places(column, feed.places) for column in zip(*parts)]
        else:
            results = parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts)]
        return tuple(results) if several else results[0]

    def _predict_hooks(self, callbacks, verbose, total):
        """The callbacks of a predict, or None where there are none: a prediction may take a few microseconds."""
        if not callbacks:
            return None
        self.stop_predicting = False
        return as_callback_list(callbacks, model=self, verbose=verbose, epochs=1, steps=total)

    def _predict(self, batches, hooks, bar):
        """For each of the arrays that the batches come from a list of outputs; and whether the model has several."""
        if hooks:
            hooks.on_predict_begin()
        parts, arrays, several = [], None, False
        for step, (data, order, start, n) in enumerate(batches):
            if data is not arrays:
                arrays, rows = data, len(data)
                plan = self._plan_of("predict", data, batches.feed)
                several = isinstance(plan.output, tuple)
                full = _empty_outputs(plan, rows)
                parts.append([])
            if hooks and hooks.wants_predict_batches:
                hooks.on_predict_batch_begin(step)
            if plan.outdated:
                plan = self._plan_of("predict", data, batches.feed)
            _forward(plan, order, start, n, full)
            parts[-1] = full if start + n == rows else [result[: start + n] for result in full]
            if bar is not None:
                bar.update(step + 1)
            if hooks and hooks.wants_predict_batches:
                hooks.on_predict_batch_end(step, {"outputs": _as_output([result[start : start + n] for result in full])})
            if hooks and self.stop_predicting:
                break
        if not parts:
            raise ValueError("x gave no batch: a data set that is empty or used up.")
        if bar is not None:
            bar.finish()
        if hooks:
            hooks.on_predict_end()
        return parts, several

    # -- single batches ---------------------------------------------------------------------------------------------------------------

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One update on one batch; returns loss and metrics of that batch as `evaluate` does."""
        self._require_compiled("train_on_batch")
        if class_weight is not None and sample_weight is not None:
            raise ValueError("Arguments `sample_weight` and `class_weight` cannot be specified at the same time. "
                             f"Received: sample_weight={sample_weight!r:.60}, class_weight={class_weight}")
        data = self._arrays(x, y, sample_weight, class_weight)
        rows = len(data)
        with self._lock:
            plan = self._plan("train", data, rows)
            self._reset_metrics(plan)
            self._train_batches(plan, None, 0, rows, rows)
            logs = self._logs(plan)
        return self._as_result(logs, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of one batch."""
        self._require_compiled("test_on_batch")
        data = self._arrays(x, y, sample_weight)
        with self._lock:
            logs = self._evaluate(Epochs(ArrayFeed(data, len(data))), CallbackList())
        return self._as_result(logs, return_dict)

    def _as_result(self, logs, return_dict):
        """The logs themselves, or their values as Keras lists them: by the metrics' own names, so that of several with one name each shows the first, and what
        has another name in the logs comes last."""
        if return_dict:
            return logs
        if len(logs) == 1:
            return next(iter(logs.values()))
        names = ["loss", *(metric.name for metric in self.metrics)]
        values = [logs[name] for name in names if name in logs] + [logs[name] for name in sorted(logs) if name not in names]
        return values[0] if len(values) == 1 else values

    def predict_on_batch(self, x):
        """Outputs for one batch, an array (samples, ...), in one pass; a tuple of arrays where the last layer has several outputs."""
        x = self._inputs(x)
        with self._lock:
            rows = len(x)
            plan = self._plan("predict", Arrays(x), rows)
            outputs = _empty_outputs(plan, rows)
            _forward(plan, None, 0, rows, outputs)
        return tuple(outputs) if isinstance(plan.output, tuple) else outputs[0]


def _length(array, name, what):
    try:
        return len(array)
    except TypeError:
        raise ValueError(f"{name}: expected an array of {what}, got {array!r}") from None


def _empty_outputs(plan, rows):
    """An array for each output of a model. (A comprehension would take 0.1 us more of some 2.5.)"""
    arrays = []
    for shape, dtype in plan.results:
        arrays.append(np.empty((rows, *shape), dtype))
    return arrays


def _forward(plan, order, start, n, outputs):
    """Outputs of n samples, into the rows of these arrays from `start` on."""
    if plan.redirects:
        plan.program.forward(n, order=order, start=start, result=outputs[0])
        return
    plan.program.forward(n, order=order, start=start)
    for result, t in zip(outputs, plan.output if isinstance(plan.output, tuple) else (plan.output,)):
        result[start : start + n] = t.value[:n]


def _as_list(metrics, argument):
    if metrics is None:
        return []
    if isinstance(metrics, (str, dict)) or not isinstance(metrics, (list, tuple)):
        raise ValueError(f"Argument `{argument}` must be a list, such as {argument}=['mse']. Received: {argument}={metrics!r}")
    metrics = list(metrics)
    return list(metrics[0]) if len(metrics) == 1 and isinstance(metrics[0], (list, tuple)) else metrics


def _as_output(arrays):
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


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


def _in_places(groups, places):
    """Rows of all groups as one array in the order of their places, or as a list where their shapes differ."""
    rows = [None] * sum(map(len, places))
    for group, where in zip(groups, places):
        for row, place in zip(group, where):
            rows[place] = row
    return np.stack(rows) if len({row.shape for row in rows}) == 1 else rows
