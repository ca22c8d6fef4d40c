"""One layer, forward and training step, float32: `python -m pytest bench/test_cells.py`.

To compare two builds on one quiet machine: `--benchmark-save=before`, then `--benchmark-compare=before`,
pinned to one core by `taskset -c 0`. `python -m fastrnn bench` gives the same figures without pytest.
"""

import pytest

from fastrnn._cli.bench import GATES, MODES, Shape, flops, layer_call

SHAPES = [
    Shape(16, 30, 1, 16),
    Shape(128, 500, 32, 32),
    Shape(32, 300, 256, 128),
    Shape(32, 300, 256, 256),
    Shape(1, 100, 64, 64),
    Shape(1, 100, 256, 256),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_cell(benchmark, cell, shape, mode):
    benchmark.group = f"{cell} {mode}"
    benchmark.extra_info["flops"] = flops(cell, shape, mode)
    benchmark(layer_call(cell, shape, mode))
    if benchmark.stats:  # None with --benchmark-disable
        benchmark.extra_info["gflops"] = flops(cell, shape, mode) / benchmark.stats.stats.median / 1e9
