"""Small models, where the overhead is everything: `python -m pytest bench/test_fit.py`. Times are of the
whole call; `extra_info["seconds_per_step"]` is what one optimizer step costs in it.
"""

import numpy as np
import pytest

import fastrnn
from fastrnn.layers import GRU, LSTM, Dense, SimpleRNN

EPOCHS = 100


@pytest.mark.parametrize("layer", [LSTM, GRU, SimpleRNN], ids=lambda layer: layer.__name__)
def test_fit_batch_1(benchmark, layer):
    """`fit` of cell(7) -> Dense(4) -> Dense(1) on three windows of five steps, one window per step."""
    x = np.arange(15, dtype=np.float32).reshape(3, 5, 1) / 10
    y = np.array([[0.5], [1.0], [1.5]], dtype=np.float32)
    model = fastrnn.Sequential([fastrnn.Input((5, 1)), layer(7), Dense(4), Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    benchmark(lambda: model.fit(x, y, epochs=EPOCHS, batch_size=1, verbose=0))
    if benchmark.stats:
        benchmark.extra_info["seconds_per_step"] = benchmark.stats.stats.median / (EPOCHS * len(x))


@pytest.mark.parametrize("units", [16, 64])
def test_predict_one_window(benchmark, units):
    """`predict_on_batch` of one short window."""
    model = fastrnn.Sequential([fastrnn.Input((5, 1)), LSTM(units), Dense(1)])
    x = np.zeros((1, 5, 1), dtype=np.float32)
    benchmark(lambda: model.predict_on_batch(x))
