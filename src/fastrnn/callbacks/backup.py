"""Going on after an interruption."""

from .base import Callback


class BackupAndRestore(Callback):
    """Backs up weights, optimizer state and the number of the epoch, and takes them up at the beginning of the next `fit`.

    The state is written to ``backup_dir`` atomically and deleted when training has come to its end; what is left of an interrupted
    training is found by the same program when it is started again.

    Args:
        backup_dir: folder for this training alone; it is made, and deleted at the end.
        save_freq: "epoch", or a number of batches. In the middle of an epoch that epoch is begun anew, with the weights as they were.
        double_checkpoint: keep the backup before the last too, in case that the last cannot be read.
        delete_checkpoint: False keeps the backup after the end of the training.

    Raises:
        ValueError: for an empty ``backup_dir``, another ``save_freq``; at the beginning of `fit`, for a model that is not built.
        ImportError: if h5py is missing.

    >>> import tempfile, numpy as np
    >>> from fastrnn import Sequential
    >>> from fastrnn.layers import Dense, Input
    >>> from fastrnn.callbacks import LambdaCallback
    >>> def interrupt(epoch, logs):
    ...     if epoch == 4:
    ...         raise RuntimeError("power failure")
    >>> folder = tempfile.TemporaryDirectory()
    >>> model = Sequential([Input((3,)), Dense(1)])
    >>> model.compile("adam", "mse")
    >>> x, y = np.ones((8, 3)), np.ones((8, 1))
    >>> try:
    ...     model.fit(x, y, epochs=6, verbose=0, callbacks=[BackupAndRestore(folder.name), LambdaCallback(on_epoch_begin=interrupt)])
    ... except RuntimeError:
    ...     print("interrupted")
    interrupted
    >>> model.fit(x, y, epochs=6, verbose=0, callbacks=[BackupAndRestore(folder.name)]).epoch
    [4, 5]
    """

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        import os

        if not backup_dir:
            raise ValueError("Empty `backup_dir` argument passed")
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"Invalid value for argument `save_freq`. Received: save_freq={save_freq}. Expected either 'epoch' or an integer value."
            )
        from ..saving.h5 import require_h5py

        require_h5py("BackupAndRestore")
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._weights_path = os.path.join(self.backup_dir, "latest.weights.h5")
        self._training_metadata_path = os.path.join(self.backup_dir, "training_metadata.json")
        self._epoch = 0
        self._batches_since_saving = 0
        self._last_batch = 0

    def listens_to(self, *hooks):
        if self.save_freq in ("epoch", False) and type(self).on_train_batch_end is BackupAndRestore.on_train_batch_end:
            hooks = [hook for hook in hooks if hook != "on_train_batch_end"]
        return super().listens_to(*hooks)

    def on_train_begin(self, logs=None):
        import os

        if not self.model.built:
            raise ValueError(
                "To use the BackupAndRestore callback, you model must be built before you call `fit()`. "
                f"Model {self.model} is unbuilt. You can build it beforehand by calling it on a batch of data."
            )
        previous = f"{self._weights_path}.bkp"
        try:
            self._restore(self._weights_path)
        except (OSError, ValueError):
            if not os.path.exists(previous):
                raise
            self._restore(previous)

    def _restore(self, path):
        import json
        import os

        from ..saving.keras_file import load_training

        if not os.path.exists(path):
            return
        note = load_training(self.model, path)
        metadata = self._training_metadata_path
        if note is None and os.path.exists(metadata):  # a backup of Keras
            with open(metadata, encoding="utf-8") as file:
                note = file.read()
        if note is not None:
            self._epoch = self.model._initial_epoch = json.loads(note)["epoch"]

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch + 1
        self._last_batch = 0
        if self.save_freq == "epoch":
            self._save()

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq in ("epoch", False):
            return
        self._batches_since_saving += batch + 1 if batch <= self._last_batch else batch - self._last_batch
        self._last_batch = batch
        if self._batches_since_saving >= self.save_freq:
            self._batches_since_saving = 0
            self._save()

    def _save(self):
        import json
        import os

        from ..saving.atomic import write_atomically
        from ..saving.keras_file import save_weights

        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and os.path.exists(self._weights_path):
            with open(self._weights_path, "rb") as before:
                write_atomically(f"{self._weights_path}.bkp", lambda file: file.write(before.read()))
        # the epoch is in the file of the weights, so that the two cannot part; Keras reads it from a file of its own
        note = json.dumps({"epoch": self._epoch, "batch": self._last_batch})
        save_weights(self.model, self._weights_path, note=note)
        write_atomically(self._training_metadata_path, lambda file: file.write(note.encode()))

    def on_train_end(self, logs=None):
        import os
        import shutil

        if self.delete_checkpoint and os.path.exists(self.backup_dir):
            shutil.rmtree(self.backup_dir)
