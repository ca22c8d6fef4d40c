"""Callbacks: code that runs at fixed points of training (https://keras.io/api/callbacks/).

They see the model only through its public API: ``stop_training``, ``optimizer.learning_rate``, ``metrics``,
``get_weights``/``set_weights``, ``save``/``save_weights``; only `SwapEMAWeights` knows where a model keeps the
averages. All callbacks of a call share one dict of logs per hook, so that a key added by one (``learning_rate``)
is seen by the next, and by `History`, which comes last.
"""

from .averages import SwapEMAWeights
from .backup import BackupAndRestore
from .base import Callback, CallbackList, History, ProgbarLogger
from .monitor import EarlyStopping, ModelCheckpoint, MonitorCallback, ReduceLROnPlateau
from .simple import CSVLogger, LambdaCallback, LearningRateScheduler, TerminateOnNaN
from .tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
