"""The callback that lets the moving averages of the weights be evaluated."""

from .base import Callback


class SwapEMAWeights(Callback):
    """Evaluates with the moving averages of the weights, and goes on training with the weights.

    It is for optimizers with ``use_ema=True``. Before an evaluation (also that of `fit`) or a prediction, weights and averages
    change places; afterwards they change back.

    Args:
        swap_on_epoch: also between the end of an epoch and the start of the next, so that callbacks that come after this one, such as
            `ModelCheckpoint`, find the averages in the model.

    Raises:
        ValueError: at the first evaluation, if the optimizer keeps no averages.

    >>> from fastrnn.optimizers import SGD
    >>> optimizer, callback = SGD(use_ema=True), SwapEMAWeights()
    """

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._averages_in_model = False

    def _put_averages(self, into_model):
        if self._averages_in_model == into_model:
            return
        optimizer = self.model.optimizer
        if not getattr(optimizer, "use_ema", False):
            raise ValueError("SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. Received: use_ema=False")
        self.model._swap_average()
        self._averages_in_model = into_model

    def on_epoch_begin(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._put_averages(False)

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch and not self._averages_in_model:
            self._put_averages(True)
            if epoch == self.params["epochs"] - 1:
                self.model._make_average()  # `fit` ends by putting the averages into the model: they have to be what is there already

    def on_test_begin(self, logs=None):
        self._put_averages(True)

    def on_test_end(self, logs=None):
        self._put_averages(False)

    def on_predict_begin(self, logs=None):
        self._put_averages(True)

    def on_predict_end(self, logs=None):
        self._put_averages(False)
