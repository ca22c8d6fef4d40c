"""Products on the matrix unit (csrc/cut.inc.h): layers wide enough for it, rows and columns that do not fill its tiles, values that cannot be cut.

The same tests hold for the other instruction sets; FASTRNN_ISA chooses.
"""

import numpy as np
import pytest
from test_kernels import FORWARD, Run

native = pytest.importorskip("fastrnn._native")
pytestmark = pytest.mark.fastrnn_only

CELLS = [cell for cell in FORWARD if cell != "gru_reset_before"]
HUGE = 3.4e38  # a float, but not when rounded to 8 bits


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("B", "T", "D", "H"),
    [
        (8, 3, 16, 256), (9, 2, 17, 257), (15, 4, 31, 264), (16, 3, 33, 272), (17, 3, 48, 256), (31, 2, 95, 259),
        (32, 9, 64, 256), (33, 2, 5, 300), (47, 2, 64, 261), (64, 3, 128, 256), (100, 3, 16, 258), (20, 3, 16, 128), (96, 8, 33, 600),
        (8, 3, 16, 32), (9, 4, 20, 32), (21, 5, 32, 40), (33, 3, 17, 48), (40, 6, 64, 33), (48, 2, 5, 63), (70, 2, 33, 32), (16, 3, 32, 96),
        (1, 40, 24, 512), (2, 33, 16, 515), (3, 50, 40, 513), (7, 32, 31, 512), (12, 20, 256, 130), (11, 300, 64, 128),
    ],
)  # fmt: skip
def test_shapes(cell, B, T, D, H, rng):
    Run(cell, rng, "float32", B=B, T=T, D=D, H=H).check()


@pytest.mark.parametrize("cell", FORWARD)
@pytest.mark.parametrize("options", [{"mask": True}, {"reverse": True}, {"strided": True}])
@pytest.mark.parametrize("training", [False, True])
def test_few_rows_over_time(cell, options, training, rng):
    Run(cell, rng, "float32", B=3, T=37, D=24, H=512, training=training, **options).check()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{"mask": True}, {"reverse": True}, {"strided": True}, {"capacity": 50}, {"states": False}, {"use_bias": False}])
@pytest.mark.parametrize("H", [52, 256])
def test_options(cell, options, H, rng):
    Run(cell, rng, "float32", B=21, T=5, D=40, H=H, **options).check()


@pytest.mark.parametrize("cell", FORWARD)
@pytest.mark.parametrize("options", [{"dropout": True}, {"mask": True, "strided": True}])
@pytest.mark.parametrize("H", [52, 128])
def test_cells_of_which_a_part_goes_through_it(cell, options, H, rng):
    Run(cell, rng, "float32", B=21, T=5, D=40, H=H, **options).check()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("small", [1, 7, 20, 21, 33])
@pytest.mark.parametrize("H", [32, 96, 256])
def test_a_small_batch_in_buffers_for_many_gives_the_same_bits(cell, small, H, rng):
    """A row does not depend on the rows around it, nor on how they fill tiles."""
    run = Run(cell, rng, "float32", B=40, T=4, D=24, H=H)
    run.program.forward(40)
    whole = run.y.copy()
    run.program.forward(small)
    np.testing.assert_array_equal(run.y[:small], whole[:small])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, HUGE, -HUGE])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("row", [4, 20])
@pytest.mark.parametrize("H", [33, 257])
def test_a_value_that_cannot_be_cut_stays_in_its_row(cell, value, row, H, rng):
    """The others keep their bits, and this row is what products of floats give: finite, but for NaN, since gates saturate."""
    run = Run(cell, rng, "float32", B=21, T=5, D=24, H=H)
    run.program.forward(21)
    clean = run.y.copy()
    run.x[row, 2, 1] = value
    run.program.forward(21)
    others = np.arange(21) != row
    np.testing.assert_array_equal(run.y[others], clean[others])
    np.testing.assert_array_equal(run.y[row, :2], clean[row, :2])
    assert np.isnan(run.y[row, 2:]).any() == np.isnan(value)
    assert np.isnan(value) or np.abs(run.y[row, 2] - clean[row, 2]).max() > 0.1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("B", [1, 5])
def test_a_value_that_cannot_be_cut_stays_in_its_step(cell, B, rng):
    """Rows of the input product may run over time."""
    run = Run(cell, rng, "float32", B=B, T=40, D=24, H=512, training=False)
    run.program.forward(B)
    clean = run.y.copy()
    run.x[0, 30, 1] = np.inf
    run.program.forward(B)
    np.testing.assert_array_equal(run.y[1:], clean[1:])
    np.testing.assert_array_equal(run.y[0, :30], clean[0, :30])
    assert np.isfinite(run.y).all()
    assert np.abs(run.y[0, 30] - clean[0, 30]).max() > 0.1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ["kernel", "recurrent_kernel"])
@pytest.mark.parametrize("H", [52, 256])
def test_weights_that_cannot_be_cut(cell, name, H, rng):
    """One infinite weight: its unit saturates, and no NaN comes of it."""
    run = Run(cell, rng, "float32", B=16, T=1, D=32, H=H, states=True)
    run.weights[name][3, 5] = np.inf
    run.version.value += 1
    run.program.forward(16)
    assert np.isfinite(run.y[:, 0]).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-6, 1e6, 1e20])
def test_sizes_of_numbers(scale, rng):
    """A linear layer over many magnitudes: every product is as accurate as one of floats."""
    B, D, H = 32, 64, 256
    x = (rng.normal(size=(B, 1, D)) * 10.0 ** rng.integers(-3, 4, (B, 1, D))).astype(np.float32) * np.float32(scale)
    kernel = (rng.normal(size=(D, H)) * 10.0 ** rng.integers(-3, 4, (D, H))).astype(np.float32)
    y = np.zeros((B, 1, H), np.float32)
    program = native.Program("float32", B, False, native.Version())
    program.add_rnn(
        cell="simple_rnn", activation="linear", recurrent_activation="linear", x=x, y=y, kernel=kernel,
        recurrent_kernel=np.zeros((H, H), np.float32),
    )  # fmt: skip
    program.forward(B)
    exact = x[:, 0].astype(float) @ kernel.astype(float)
    bound = np.abs(x[:, 0]).astype(float) @ np.abs(kernel).astype(float)
    assert (np.abs(y[:, 0] - exact) / bound).max() < 20 * 2.0**-24
