"""How other libraries lay out the weights of a recurrent cell: a row per unit of each gate, two biases, gates in orders of their own."""

import numpy as np

from ..layers import GRU, LSTM, SimpleRNN

CELLS = {cls.__name__: cls for cls in (SimpleRNN, LSTM, GRU)}

# i, f, o: gates of an LSTM, c its candidate; z, r: gates of a GRU; h: the candidate
ORDERS = {
    "keras": {"SimpleRNN": "h", "LSTM": "ifco", "GRU": "zrh"},
    "torch": {"SimpleRNN": "h", "LSTM": "ifco", "GRU": "rzh"},
    "onnx": {"SimpleRNN": "h", "LSTM": "iofc", "GRU": "zrh"},
}


def kind_of(layer):
    """Which of the three cells a layer computes, by the name of its class; None if it is no recurrent layer."""
    return next((kind for kind, cls in CELLS.items() if isinstance(layer, cls)), None)


def _reorder(array, kind, source, target):
    """`array` with the gates along its last axis in the order of another library."""
    blocks = dict(zip(ORDERS[source][kind], np.split(array, len(ORDERS[source][kind]), axis=-1)))
    return np.concatenate([blocks[gate] for gate in ORDERS[target][kind]], axis=-1)


def to_rows(layer, library):
    """The weights of a recurrent layer as (W, R, input bias, recurrent bias), or with None for both biases.

    Shapes: (gates * units, features), (gates * units, units), (gates * units,) twice.
    """
    kind = kind_of(layer)
    kernel, recurrent_kernel = (
        np.ascontiguousarray(_reorder(v.value, kind, "keras", library).T) for v in (layer.kernel, layer.recurrent_kernel)
    )
    if not layer.use_bias:
        return kernel, recurrent_kernel, None, None
    bias = _reorder(layer.bias.value, kind, "keras", library)
    one, two = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    return kernel, recurrent_kernel, one, two


def from_rows(kind, library, kernel, recurrent_kernel, input_bias, recurrent_bias, *, reset_after=True):
    """The inverse of `to_rows`: a list of arrays for `set_weights`. Two biases that only ever appear as their sum are added."""
    arrays = [kernel.T, recurrent_kernel.T]
    if input_bias is not None:
        both = kind == "GRU" and reset_after
        arrays.append(np.stack([input_bias, recurrent_bias]) if both else input_bias + recurrent_bias)
    return [_reorder(a, kind, library, "keras") for a in arrays]
