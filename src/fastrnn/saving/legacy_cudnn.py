"""Weights of `CuDNNLSTM` and `CuDNNGRU`, the layers of Keras 2 for one kind of hardware, in the layout of LSTM and GRU."""

import numpy as np


def converted(layer, arrays):
    """Kernel, recurrent kernel and the two biases (one after the other) as weights of `layer`, an LSTM or a GRU with `reset_after`.

    cuDNN multiplies by the transposed of what Keras calls a kernel. Keras 2 gave it each gate's memory as it was, so that rows there are
    columns here; the LSTM's two biases are only ever added.
    """
    kernel, recurrent, bias = arrays
    gates, units, features = 3 if type(layer).__name__ == "GRU" else 4, layer.units, kernel.shape[0]
    if kernel.shape != (features, gates * units) or recurrent.shape != (units, gates * units) or bias.shape != (2 * gates * units,):
        raise ValueError(f"The saved weights of layer '{layer.name}' have shapes {[a.shape for a in arrays]}, which are not those of cuDNN")
    kernel = np.hstack([gate.reshape(units, features).T for gate in np.hsplit(kernel, gates)])
    recurrent = np.hstack([gate.T for gate in np.hsplit(recurrent, gates)])
    bias = bias.reshape(2, -1)
    return [kernel, recurrent, bias.sum(axis=0) if gates == 4 else bias]
