"""One streamed time step from Python, batch 1: `python -m pytest bench/test_streaming.py`."""

import numpy as np
import pytest

import fastrnn
from fastrnn.layers import GRU, LSTM, Dense, SimpleRNN


@pytest.mark.parametrize("given_out", [False, True], ids=["new", "out"])
@pytest.mark.parametrize("features, units", [(1, 16), (64, 64), (256, 256)])
@pytest.mark.parametrize("layer", [LSTM, GRU, SimpleRNN], ids=lambda layer: layer.__name__)
def test_step(benchmark, layer, features, units, given_out):
    """`step` of cell(units) -> Dense(1), with a new output array or into a given one."""
    model = fastrnn.Sequential([fastrnn.Input((None, features)), layer(units), Dense(1)])
    x, out = np.zeros((1, features), np.float32), np.zeros((1, 1), np.float32) if given_out else None
    benchmark(model.step, x, model.initial_state(), out)
