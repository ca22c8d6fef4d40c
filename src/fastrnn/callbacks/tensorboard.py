"""Event files for TensorBoard."""

import os
import time

import numpy as np

from .base import Callback


class TensorBoard(Callback):
    """Writes losses, metrics and weights for TensorBoard: ``tensorboard --logdir logs`` shows them.

    The scalars have Keras's names: ``epoch_loss``, ``epoch_learning_rate`` and so on in ``log_dir/train``, those of the validation in
    ``log_dir/validation``, there also ``evaluation_loss_vs_iterations``. The package tensorboardX writes the files; TensorFlow is not
    needed.

    Args:
        log_dir: folder; it should not be that of another callback.
        histogram_freq: epochs between histograms of all weights; 0 writes none.
        write_graph: accepted for Keras's sake; there is no graph.
        write_images: with the histograms, write the weights as images too.
        write_steps_per_second: write the number of training steps per second.
        update_freq: "epoch", or "batch" or a number of batches, after which ``batch_loss`` and so on are written too.
        profile_batch: 0; profiling is not available.
        embeddings_freq: epochs between snapshots of the `Embedding` layers for TensorBoard's projector; 0 writes none.
        embeddings_metadata: file with one label per line for the rows of the embedding, or a dict of layer names to files.

    Raises:
        ImportError: if tensorboardX is not installed.
        ValueError: for `profile_batch`, or names in `embeddings_metadata` that no `Embedding` layer has.

    >>> TensorBoard("logs", update_freq=10)  # doctest: +SKIP
    """

    def __init__(self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False, write_steps_per_second=False,
                 update_freq="epoch", profile_batch=0, embeddings_freq=0, embeddings_metadata=None):
        super().__init__()
        try:
            import tensorboardX  # noqa: F401 (whoever cannot write should know before training)
        except ImportError:
            raise ImportError(
                "The callback TensorBoard needs the package tensorboardX, which writes the event files: "
                "`pip install 'fastrnn[tensorboard]'` or `pip install tensorboardX`."
            ) from None
        if profile_batch:
            raise ValueError(f"Profiling is not available in fastrnn. Received: profile_batch={profile_batch} (must be 0)")
        if update_freq not in ("batch", "epoch") and (isinstance(update_freq, bool) or not isinstance(update_freq, int) or update_freq < 1):
            raise ValueError(f"`update_freq` must be 'batch', 'epoch' or a positive integer. Received: update_freq={update_freq!r}")
        self.log_dir = str(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.embeddings_freq = embeddings_freq
        self.embeddings_metadata = embeddings_metadata
        self._writers = {}
        self._in_fit = False
        self._batch = 0  # training batches of this fit

    def listens_to(self, *hooks):
        return super().listens_to(*[h for h in hooks if self.update_freq != "epoch" or not h.startswith("on_train_batch")])

    def set_model(self, model):
        super().set_model(model)
        self._in_fit = False  # also after a fit that an exception ended
        self._close()
        names = {layer.name for layer in self._embeddings()}
        if isinstance(self.embeddings_metadata, dict) and self.embeddings_freq and not names.issuperset(self.embeddings_metadata):
            raise ValueError(
                "Unrecognized `Embedding` layer names passed to `TensorBoard` `embeddings_metadata` argument: "
                f"{sorted(set(self.embeddings_metadata) - names)}. The model has: {sorted(names)}"
            )

    def _writer(self, folder):
        if folder not in self._writers:
            from tensorboardX import SummaryWriter

            # names made of host and second alone would let a fit and the evaluation after it write over each other
            suffix = f".{os.getpid()}.{time.time_ns()}"
            self._writers[folder] = SummaryWriter(os.path.join(self.log_dir, folder), flush_secs=10, filename_suffix=suffix)
        return self._writers[folder]

    def _write(self, folder, prefix, logs, step, suffix=""):
        for name, value in logs.items():
            self._writer(folder).add_scalar(f"{prefix}{name}{suffix}", value, step)

    def _close(self):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def on_train_begin(self, logs=None):
        self._in_fit, self._batch = True, 0

    def on_train_end(self, logs=None):
        self._in_fit = False
        self._close()

    def on_test_end(self, logs=None):
        self._write("validation", "evaluation_", logs or {}, int(self.model.optimizer.iterations), "_vs_iterations")
        if not self._in_fit:
            self._close()

    def on_train_batch_begin(self, batch, logs=None):
        self._batch += 1
        self._batch_start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self._batch % self.update_freq:
            return
        if self.write_steps_per_second:
            logs = {"steps_per_second": 1 / (time.perf_counter() - self._batch_start), **logs}
        self._write("train", "batch_", logs, self._batch)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = time.perf_counter(), int(self.model.optimizer.iterations)

    def on_epoch_end(self, epoch, logs=None):
        optimizer, logs = self.model.optimizer, logs or {}
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        train["learning_rate"] = float(optimizer.learning_rate)
        if self.write_steps_per_second:
            start, iterations = self._epoch_start
            train["steps_per_second"] = (int(optimizer.iterations) - iterations) / (time.perf_counter() - start)
        self._write("train", "epoch_", train, epoch)
        self._write("validation", "epoch_", {name[4:]: logs[name] for name in logs if name.startswith("val_")}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings(epoch)

    def _write_weights(self, epoch):
        writer = self._writer("train")
        for variable in self.model.variables:
            value = np.asarray(variable.value)
            writer.add_histogram(f"{variable.path}/histogram", value, epoch)
            image = value.squeeze()
            if self.write_images and image.ndim in (1, 2):
                image = np.atleast_2d(image)
                image = image.T if image.shape[0] > image.shape[1] else image
                writer.add_image(f"{variable.path}/image", np.clip(image, 0, 1)[..., None], epoch, dataformats="HWC")

    def _embeddings(self):
        return [layer for layer in self.model.layers if type(layer).__name__ == "Embedding"]

    def _write_embeddings(self, epoch):
        for layer in self._embeddings():
            path = self.embeddings_metadata
            path = path.get(layer.name) if isinstance(path, dict) else path
            labels = None
            if path is not None:
                with open(path, encoding="utf-8") as file:
                    labels = file.read().splitlines()
            self._writer("train").add_embedding(layer.get_weights()[0], metadata=labels, global_step=epoch, tag=layer.name)
