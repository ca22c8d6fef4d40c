"""Time the three recurrent layers, forward and one training step, float32.

A forward pass is `predict_on_batch` of one layer with return_sequences=True; a training step is
`train_on_batch` with the mean squared error and SGD. GFLOP/s counts the multiplications and additions of the
matrix products only: 2*B*T*G*H*(D + H) forward and, in a training step, twice that plus 2*B*T*G*H*H, for
batch B, T steps, D features, H units and G gates (LSTM 4, GRU 3, SimpleRNN 1). The share of the peak is
against the fused multiply-adds that the instruction set in use was measured to do on this machine, by as many
threads at once. Times are medians; nothing else should be running.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TextIO

import numpy as np

from fastrnn._cli import CommandError, positive_float, positive_int

GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
LAYERS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}
MODES = ("forward", "train")


class Shape(NamedTuple):
    """Batch, time steps, input features and units of one measurement."""

    batch: int
    steps: int
    features: int
    units: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


DEFAULT_SHAPES = (
    Shape(16, 30, 1, 16),
    Shape(128, 500, 32, 32),
    Shape(32, 300, 256, 128),
    Shape(1, 100, 64, 64),
)


def flops(cell: str, shape: Shape, mode: str) -> int:
    """Floating point operations of the matrix products in one forward pass or one training step.

    The gradient with respect to the layer's input is not counted: a first layer does not need it.

    >>> flops("lstm", Shape(1, 1, 1, 1), "forward"), flops("lstm", Shape(1, 1, 1, 1), "train")
    (16, 40)
    """
    b, t, d, h = shape
    forward = 2 * b * t * GATES[cell] * h * (d + h)
    return forward if mode == "forward" else 2 * forward + 2 * b * t * GATES[cell] * h * h


def layer_call(cell: str, shape: Shape, mode: str) -> Callable[[], object]:
    """A function without arguments that does one forward pass or one training step of a new model."""
    import fastrnn

    b, t, d, h = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((b, t, d), dtype=np.float32)
    layer = getattr(fastrnn.layers, LAYERS[cell])(h, return_sequences=True)
    model = fastrnn.Sequential([fastrnn.Input((t, d)), layer])
    if mode == "forward":
        return lambda: model.predict_on_batch(x)
    y = rng.standard_normal((b, t, h), dtype=np.float32)
    model.compile(optimizer="sgd", loss="mse")
    return lambda: model.train_on_batch(x, y)


def calls_for(call: Callable[[], object], seconds: float) -> int:
    """How many calls fill about `seconds`, at least one. Warms up on the way."""
    call()
    count = 1
    while True:
        elapsed = timed(call, count)
        if elapsed > seconds / 4 or elapsed > 0.5:
            return max(1, round(count * seconds / elapsed))
        count *= 2


def timed(call: Callable[[], object], count: int) -> float:
    """Seconds that `count` calls in a row take."""
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - begin


def median_seconds(call: Callable[[], object], seconds: float, rounds: int = 5) -> float:
    """Median over `rounds` of the mean time per call, all rounds together about `seconds`."""
    count = calls_for(call, seconds / rounds)
    return float(np.median([timed(call, count) / count for _ in range(rounds)]))


def measure(
    cells: list[str], shapes: list[Shape], modes: list[str], seconds: float, threads: int
) -> Iterator[dict[str, object]]:
    """Yield one row per cell, shape and mode: seconds per call, GFLOP/s, share of the peak (0 to 1)."""
    import fastrnn
    from fastrnn import _native

    fastrnn.set_num_threads(threads)
    for cell in cells:
        for shape in shapes:
            for mode in modes:
                before = _native.fma_peak(0.05, threads=threads)
                took = median_seconds(layer_call(cell, shape, mode), seconds)
                peak = max(before, _native.fma_peak(0.05, threads=threads))
                rate = flops(cell, shape, mode) / took / 1e9
                yield {
                    "cell": cell,
                    **shape._asdict(),
                    "mode": mode,
                    "threads": threads,
                    "seconds": took,
                    "gflops": rate,
                    "peak_gflops": peak,
                    "share_of_peak": rate / peak,
                }


def format_time(seconds: float) -> str:
    """A duration with a fitting unit and three digits.

    >>> format_time(1.234e-5), format_time(0.0158), format_time(2.382)
    ('12.3 us', '15.8 ms', '2.38 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale or unit == "us":
            value = seconds / scale
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError("unreachable")


def parse_shape(text: str) -> Shape:
    """An argparse type: "B,T,D,H", four integers of at least 1."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(
            "expected four integers of at least 1, batch,steps,features,units, such as 128,500,32,32; "
            f"got {text!r}"
        )
    return Shape(*numbers)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cells", nargs="+", choices=list(GATES), default=list(GATES), help="which cells (all three)"
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        type=parse_shape,
        default=list(DEFAULT_SHAPES),
        metavar="B,T,D,H",
        help="batch, steps, features and units of each measurement "
        f"(default: {' '.join(map(str, DEFAULT_SHAPES))})",
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="which passes (both)")
    parser.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="threads (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=positive_float,
        default=0.5,
        metavar="S",
        help="about how long each measurement runs (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="PATH", help="also write the rows to this file")


def run(args: argparse.Namespace) -> int:
    from fastrnn import _native
    from fastrnn._version import __version__

    out = _open_for_writing(args.json) if args.json else None  # before the long part, not after it
    print(f"fastrnn {__version__}, {_native.isa}, threads: {args.threads}, float32")
    print(
        f"{'cell':<11}{'B':>5}{'T':>5}{'D':>6}{'H':>6}  {'pass':<8}{'time':>9}{'GFLOP/s':>10}{'of peak':>9}"
    )
    rows = []
    for row in measure(args.cells, args.shapes, args.modes, args.seconds, args.threads):
        rows.append(row)
        print(
            f"{row['cell']:<11}{row['batch']:>5}{row['steps']:>5}{row['features']:>6}{row['units']:>6}  "
            f"{row['mode']:<8}{format_time(row['seconds']):>9}{row['gflops']:>10.1f}{row['share_of_peak']:>9.1%}",
            flush=True,
        )
    peak = float(np.median([row["peak_gflops"] for row in rows]))
    print(f"peak: {peak:.0f} GFLOP/s of fused multiply-adds, measured beside each row with the same number of threads")
    if out:
        import json

        with out:
            json.dump(rows, out, indent=1)
    return 0


def _open_for_writing(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
