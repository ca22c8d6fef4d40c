"""fastrnn: Keras-compatible recurrent neural networks for CPUs.

Change `keras` (or `tensorflow.keras`) to `fastrnn` in the import lines; names, defaults and numbers are Keras's.
"""

from ._version import __version__
from ._runtime import get_num_threads, set_num_threads, show_config  # isort: skip (loads the compiled module)
from . import (
    activations,
    callbacks,
    config,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    preprocessing,
    random,
    regularizers,
    saving,
    utils,
)
from .initializers import Initializer
from .layers import Input, Layer
from .losses import Loss
from .metrics import Metric
from .models import Model, Sequential
from .optimizers import Optimizer
from .regularizers import Regularizer

__all__ = [
    "Initializer", "Input", "Layer", "Loss", "Metric", "Model", "Optimizer", "Regularizer", "Sequential", "__version__", "activations", "backend",
    "callbacks", "config", "constraints", "datasets", "get_num_threads", "initializers", "interop", "keras", "layers", "losses", "metrics",
    "models", "optimizers", "preprocessing", "random", "regularizers", "saving", "set_num_threads", "show_config", "utils", "version",
]


def version():
    """The version of this package."""
    return __version__


def __getattr__(name):
    # programs that say `tf.keras.layers.LSTM` or `keras.backend.clear_session()` need only their import line changed
    import sys

    if name == "keras":
        return sys.modules[__name__]
    if name == "backend":
        return config
    if name == "interop":  # few programs need it
        import importlib

        return importlib.import_module("fastrnn.interop")
    raise AttributeError(f"module 'fastrnn' has no attribute {name!r}")
