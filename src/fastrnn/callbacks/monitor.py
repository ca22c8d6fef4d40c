"""Callbacks that watch one value of the logs: stop, lower the learning rate, save."""

from ..progress import print_message
from .base import Callback


class MonitorCallback(Callback):
    """Base of the callbacks that compare one entry of the logs with its best value so far."""

    def __init__(self, monitor="val_loss", mode="auto", baseline=None, min_delta=0):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            _warn(f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.")
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self._direction = {"min": "down", "max": "up"}.get(mode)

    def _find_direction(self):
        """With mode "auto": down for the loss, else as the metric says."""
        if self._direction is None:
            name = self.monitor.removeprefix("val_")
            if name == "loss":
                self._direction = "down"
            for metric in getattr(self.model, "metrics", None) or ():
                if metric.name == name and getattr(metric, "direction", None):
                    self._direction = metric.direction
        if self._direction is None:
            raise ValueError(
                f"{type(self).__name__} callback received monitor={self.monitor}, but fastrnn isn't able to "
                "automatically determine whether that metric should be maximized or minimized. Pass `mode='max'` in order to "
                "monitor based on the highest metric value, or pass `mode='min'` in order to use the "
                "lowest value."
            )

    def _is_improvement(self, value, reference):
        """Better than the reference by more than ``min_delta``. As in Keras, a first NaN is, and nothing is better than NaN."""
        if reference is None:
            return True
        if self._direction == "up":
            return value - self.min_delta > reference
        return value + self.min_delta < reference


class EarlyStopping(MonitorCallback):
    """Stops training when a monitored value has not improved for ``patience`` epochs.

    Args:
        monitor: key in the logs.
        min_delta: smaller changes than this are no improvement.
        patience: number of epochs without improvement after which training stops.
        verbose: 1 prints messages.
        mode: "min", "max", or "auto": by the metric.
        baseline: training stops if the value does not get better than this within ``patience`` epochs.
        restore_best_weights: at the end, go back to the weights of the best epoch.
        start_from_epoch: epochs before this one (0-based) are not looked at.
    """

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=False,
        start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self):
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_train_begin(self, logs=None):
        self._reset()  # one object may serve several fits

    def on_epoch_end(self, epoch, logs=None):
        self._find_direction()
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch):
        self.best_weights = self.model.get_weights()
        self.best_epoch = epoch

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_message(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print_message(
                    f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs):
        """The monitored value, or None (with a warning) if the logs do not have it."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None:
            _warn(
                f"Early stopping conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}"
            )
        return value


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a monitored value has not improved for ``patience`` epochs.

    Adds ``learning_rate``, as it was during the epoch, to the logs.

    Args:
        monitor: key in the logs.
        factor: < 1; new rate = rate * factor.
        patience: number of epochs without improvement after which the rate is lowered.
        verbose: 1 prints messages.
        mode: "min", "max", or "auto": by the metric.
        min_delta: smaller changes than this are no improvement.
        cooldown: number of epochs to wait after a reduction.
        min_lr: lower bound of the rate.

    Raises:
        ValueError: for a factor >= 1.
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
        **kwargs,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def in_cooldown(self):
        """Whether a reduction is too recent for another."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch, logs=None):
        self._find_direction()
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            _warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}."
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch):
        optimizer = self.model.optimizer
        # a rate kept in single precision may lie a rounding error above the bound that it was set to
        if float(optimizer.learning_rate) <= self.min_lr * (1 + 1e-7):
            return False
        rate = max(float(optimizer.learning_rate) * self.factor, self.min_lr)
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.")
        return True


class ModelCheckpoint(MonitorCallback):
    """Saves the model or its weights after every epoch, or after every ``save_freq`` batches.

    Args:
        filepath: path, in which ``{epoch}`` (from 1), ``{batch}`` (from 1) and keys of the logs are filled
            in, for example ``"m{epoch:02d}-{val_loss:.3f}.keras"``. It ends in ``.keras``, ``.h5`` or
            ``.npz``; with ``save_weights_only`` in ``.weights.h5`` or ``.npz``.
        monitor: key in the logs, for ``save_best_only``.
        verbose: 1 prints messages.
        save_best_only: save only when the monitored value is better than ever before.
        save_weights_only: call ``model.save_weights`` instead of ``model.save``.
        mode: "min", "max", or "auto": by the metric.
        save_freq: "epoch" or a number of batches.
        initial_value_threshold: value to beat at first.

    Raises:
        ValueError: for another ending, or another ``save_freq``.
        ImportError: if the format needs h5py and it is missing.
    """

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        super().__init__(monitor, mode, initial_value_threshold)
        import os

        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._batches_since_saving = 0
        self._last_batch = None
        self._epoch = 0
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values"
            )
        if save_weights_only and not self.filepath.endswith((".weights.h5", ".npz")):
            raise ValueError(
                "When using `save_weights_only=True` in `ModelCheckpoint`, the filepath provided must end in "
                f"`.weights.h5` (Keras weights format) or `.npz`. Received: filepath={self.filepath}"
            )
        if not save_weights_only and not self.filepath.endswith((".keras", ".h5", ".npz")):
            raise ValueError(
                "The filepath provided must end in `.keras` (Keras model format), `.h5` or `.npz`. "
                f"Received: filepath={self.filepath}"
            )
        if not self.filepath.endswith(".npz"):
            from ..saving.h5 import require_h5py

            require_h5py(f"ModelCheckpoint({os.path.basename(self.filepath)!r})")  # now, and not after the first epoch

    def listens_to(self, *hooks):
        if self.save_freq == "epoch" and type(self).on_train_batch_end is ModelCheckpoint.on_train_batch_end:
            hooks = [hook for hook in hooks if hook != "on_train_batch_end"]
        return super().listens_to(*hooks)

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq == "epoch":
            return
        new_epoch = self._last_batch is None or batch <= self._last_batch
        self._batches_since_saving += batch + 1 if new_epoch else batch - self._last_batch
        self._last_batch = batch
        if self._batches_since_saving >= self.save_freq:
            self._batches_since_saving = 0
            self._find_direction_if_needed()
            self._save(self._epoch, batch, logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self._find_direction_if_needed()
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def _find_direction_if_needed(self):
        if self.save_best_only:
            self._find_direction()

    def _save(self, epoch, batch, logs):
        import os

        logs = logs or {}
        path = self._path(epoch, batch, logs)
        if not self._should_save(epoch, logs, path):
            return
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        try:
            if self.save_weights_only:
                self.model.save_weights(path, overwrite=True)
            else:
                self.model.save(path, overwrite=True)
        except IsADirectoryError:
            raise OSError(
                "Please specify a non-directory filepath for ModelCheckpoint. "
                f"Filepath used is an existing directory: {path}"
            ) from None
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _path(self, epoch, batch, logs):
        fields = {"epoch": epoch + 1, **logs}
        if batch is not None:
            fields.setdefault("batch", batch + 1)
        try:
            return self.filepath.format(**fields)
        except KeyError as error:
            raise KeyError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}'
            ) from None

    def _should_save(self, epoch, logs, path):
        if not self.save_best_only:
            if self.verbose > 0:
                print_message(f"\nEpoch {epoch + 1}: saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            _warn(f"Can save best model only with {self.monitor} available.")
            return True
        before = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(current, self.best):
            if self.verbose > 0:
                print_message(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {before}")
            return False
        if self.verbose > 0:
            print_message(
                f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {current:.5f}, "
                f"saving model to {path}"
            )
        self.best = current
        return True


def _warn(message):
    import warnings

    warnings.warn(message, stacklevel=4)
