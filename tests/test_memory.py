"""What a training step keeps, and that calls with ever new shapes leave nothing behind.

Each runs in an interpreter of its own: in the suite's, the heap has the holes and huge pages of the tests before it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.fastrnn_only,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc"),
    pytest.mark.skipif("FASTRNN_SANITIZED" in os.environ, reason="a sanitizer keeps freed memory"),
]

COMMON = """
import gc, os, sys
from pathlib import Path
import numpy as np
import fastrnn as K

def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""

TRAINING_STEP = """
cell, (batch, steps, features, units) = sys.argv[1], map(int, sys.argv[2:])
x = np.random.default_rng(0).normal(size=(batch, steps, features)).astype(np.float32)
y = np.full((batch, steps, units), 0.5, np.float32)
model = K.Sequential([K.Input((None, features)), getattr(K.layers, cell)(units, return_sequences=True)])
model.compile("sgd", "mse")
model.train_on_batch(x[:1, :2], y[:1, :2])
before = resident()
for _ in range(3):
    model.train_on_batch(x, y)
print(resident() - before)
"""

CHANGING_SHAPES = """
rng = np.random.default_rng(0)
L = K.layers
model = K.Sequential([K.Input((None, 4)), L.LSTM(8, return_sequences=True), L.GRU(8), L.Dense(2)])
model.compile("adam", "mse")

def calls(n):
    for _ in range(n):
        batch, steps = rng.integers(1, 40, size=2)
        x = rng.normal(size=(batch, steps, 4)).astype(np.float32)
        model.predict(x, verbose=0)
        model.fit(x, np.zeros((batch, 2)), verbose=0, batch_size=int(rng.integers(1, 40)))
        model.step(x[:, 0], model.initial_state(int(batch)))

calls(500)
before = resident()
calls(1500)
print(resident() - before)
"""


def growth(program, *arguments):
    """Bytes by which the resident size of a fresh interpreter grows, as `program` prints them."""
    command = [sys.executable, "-c", COMMON + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("cell, kept", [("LSTM", 6), ("GRU", 5), ("SimpleRNN", 1)])
def test_a_training_step_keeps_what_backward_needs(cell, kept):
    """`kept` vectors of H per step and sample: gates (and GRU's h U_h) and states; beside them y and its gradient."""
    batch, steps, features, units = 32, 600, 64, 256
    grown = growth(TRAINING_STEP, cell, batch, steps, features, units)
    assert grown <= 1.2 * 4 * batch * steps * units * (kept + 2)


def test_calls_with_changing_shapes_leave_the_size_where_it_was():
    grown = growth(CHANGING_SHAPES)
    assert grown < 4e6, "10,000 calls of each grow by some 0.4 MB, an array kept per call by more than 10"
