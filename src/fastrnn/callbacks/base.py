"""The callback contract, and the list that runs all callbacks of one call as one."""

from ..progress import ProgressBar


class Callback:
    """Base class of callbacks: override the hooks you need.

    Hooks get the 0-based index of the epoch or batch and a dict of logs (running means of the epoch).
    ``self.model`` and ``self.params`` (``verbose``, ``epochs``, ``steps``) are set before training.

    >>> class Stop(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         if logs["loss"] < 0.1:
    ...             self.model.stop_training = True
    """

    def __init__(self):
        self.params = None
        self.model = None

    def set_params(self, params):
        """Called once before training with ``{"verbose", "epochs", "steps"}``."""
        self.params = params

    def set_model(self, model):
        """Called once before training."""
        self.model = model

    def on_batch_begin(self, batch, logs=None):
        """The older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """The older name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before each training batch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        """After each training batch."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Before each batch of `evaluate` or of the validation."""

    def on_test_batch_end(self, batch, logs=None):
        """After each batch of `evaluate` or of the validation."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before each batch of `predict`."""

    def on_predict_batch_end(self, batch, logs=None):
        """After each batch of `predict`."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """After each epoch and its validation."""

    def on_train_begin(self, logs=None):
        """At the start of `fit`."""

    def on_train_end(self, logs=None):
        """At the end of `fit`."""

    def on_test_begin(self, logs=None):
        """At the start of `evaluate` or of the validation."""

    def on_test_end(self, logs=None):
        """At the end of `evaluate` or of the validation."""

    def on_predict_begin(self, logs=None):
        """At the start of `predict`."""

    def on_predict_end(self, logs=None):
        """At the end of `predict`."""

    def listens_to(self, *hooks):
        """Whether any of these hooks is overridden, in the class or on the object."""
        for hook in hooks:
            if getattr(getattr(self, hook), "__func__", None) is not getattr(Callback, hook):
                return True
        return False


class History(Callback):
    """Collects the logs of each epoch: ``history`` (dict of lists) and ``epoch`` (0-based indices).

    ``fit`` returns it.
    """

    def __init__(self):
        super().__init__()
        self.history = {}
        self.epoch = []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
        self.model.history = self


class ProgbarLogger(Callback):
    """The progress bar as a callback. `fit` shows one anyway (``verbose``) unless it is given this."""

    def __init__(self):
        super().__init__()
        self._bar = None
        self._in_fit = False

    def _open(self, **epoch):
        self._bar = ProgressBar(self.params.get("steps"), self.params.get("verbose", 1), **epoch)

    def _update(self, batch, logs):
        if self._bar is not None:
            self._bar.update(batch + 1, lambda: logs)

    def _finish(self, logs):
        if self._bar is not None:
            self._bar.finish(logs)
            self._bar = None

    def on_train_begin(self, logs=None):
        self._in_fit = True

    def on_train_end(self, logs=None):
        self._in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        self._open(epoch=epoch, epochs=self.params.get("epochs"))

    def on_train_batch_end(self, batch, logs=None):
        self._update(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._finish(logs)

    def on_test_begin(self, logs=None):
        if not self._in_fit:
            self._open()

    def on_test_batch_end(self, batch, logs=None):
        if not self._in_fit:
            self._update(batch, logs)

    def on_test_end(self, logs=None):
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs=None):
        self._open()

    def on_predict_batch_end(self, batch, logs=None):
        self._update(batch, None)

    def on_predict_end(self, logs=None):
        self._finish(None)


_TRAIN_BATCH = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


class CallbackList(Callback):
    """All callbacks of one call, in order, as one. The loop skips batch hooks nobody listens to.

    Args:
        callbacks: None, a callback, or a list of them (nested lists are flattened).
        add_history: append a `History` unless there is one; it is ``self.history``.
        add_progbar: append a `ProgbarLogger` unless there is one.
        model: the model, handed to all.
        **params: ``verbose``, ``epochs``, ``steps``, handed to all.

    Attributes:
        has_progbar: whether there is a `ProgbarLogger`; the loop then shows no bar of its own.
        wants_train_batches, wants_test_batches, wants_predict_batches: whether anyone overrides those hooks.

    >>> everything = CallbackList([History()], epochs=3)
    >>> everything.history.params
    {'epochs': 3}
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks = _flatten(callbacks)
        self.history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self.history is None and add_history:
            self.history = History()
            self.callbacks.append(self.history)
        self.has_progbar = any(isinstance(c, ProgbarLogger) for c in self.callbacks)
        if add_progbar and not self.has_progbar:
            self.has_progbar = True
            self.callbacks.append(ProgbarLogger())
        self.wants_train_batches = self._any_listens(*_TRAIN_BATCH)
        self.wants_test_batches = self._any_listens("on_test_batch_begin", "on_test_batch_end")
        self.wants_predict_batches = self._any_listens("on_predict_batch_begin", "on_predict_batch_end")
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def _any_listens(self, *hooks):
        for callback in self.callbacks:
            if callback.listens_to(*hooks):
                return True
        return False

    def set_params(self, params):
        self.params = params
        for callback in self.callbacks if params else ():
            callback.set_params(params)

    def set_model(self, model):
        self.model = model
        if self.history is not None:
            model.history = self.history
        for callback in self.callbacks:
            callback.set_model(model)


def as_callback_list(callbacks, **arguments):
    """What a user passed as ``callbacks=``: their own `CallbackList` as it is, anything else in a new one."""
    return callbacks if isinstance(callbacks, CallbackList) else CallbackList(callbacks, **arguments)


def _flatten(callbacks):
    if callbacks is None:
        return []
    if isinstance(callbacks, (list, tuple)):
        return [c for entry in callbacks for c in _flatten(entry)]
    if not isinstance(callbacks, Callback):
        hint = f" Did you mean `{callbacks.__name__}()`?" if isinstance(callbacks, type) else ""
        raise TypeError(f"`callbacks` must be a list of Callback objects. Received: {callbacks!r}.{hint}")
    return [callbacks]


def _forward(hook):
    """A hook of `CallbackList`: the same hook of every callback, with one dict of logs that is theirs: they share what they add to it,
    and the loop does not see it, but for what hooks of epochs return: it is what the line of the epoch shows. Batch hooks get it by name,
    as in Keras."""

    def at_batch(self, batch, logs=None):
        logs = _own(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(batch, logs=logs)

    def at_epoch(self, epoch, logs=None):
        logs = _own(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(epoch, logs)
        return logs

    def once(self, logs=None):
        logs = _own(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(logs)

    function = at_batch if "batch" in hook else at_epoch if "epoch" in hook else once
    function.__name__ = hook
    function.__doc__ = getattr(Callback, hook).__doc__
    return function


def _own(logs):
    """A copy, sorted by name."""
    if not logs:
        return {}
    return dict(logs) if len(logs) == 1 else {name: logs[name] for name in sorted(logs)}


for _hook in [name for name in vars(Callback) if name.startswith("on_")]:
    setattr(CallbackList, _hook, _forward(_hook))
