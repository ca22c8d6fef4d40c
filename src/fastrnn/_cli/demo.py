"""Train a small LSTM on yearly sunspot numbers and forecast the last 60 years, which it never saw.

The forecast is one step ahead: each year is forecast from the 22 measured years before it (two solar cycles),
and is held against the naive forecast "the same as last year", which sees the same years.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastrnn._cli import CommandError, positive_int, seed_int
from fastrnn._cli.termplot import glyphs_for, picture, wants_colour

WINDOW = 22
HELD_BACK = 60
UNITS = 16
BATCH = 16
LEARNING_RATE = 0.003
EPOCHS = 20
DEFAULT_PNG = Path("fastrnn-demo.png")


class Forecast(NamedTuple):
    """What the demo found; every array has shape `(HELD_BACK,)`, in sunspot numbers."""

    years: np.ndarray
    measured: np.ndarray
    forecast: np.ndarray
    naive: np.ndarray
    seconds: float  # wall time of the whole `fit`
    steps: int  # optimizer steps in it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--epochs",
        type=positive_int,
        default=EPOCHS,
        metavar="N",
        help="passes over the data (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=seed_int,
        default=0,
        metavar="N",
        help="seed of the initial weights and of the shuffling (default: %(default)s)",
    )
    png = parser.add_mutually_exclusive_group()
    png.add_argument(
        "--png",
        type=Path,
        metavar="PATH",
        help=f"where matplotlib draws the forecast (default: {DEFAULT_PNG}, if matplotlib is installed)",
    )
    png.add_argument("--no-png", action="store_true", help="draw in the terminal only")


def train_and_forecast(seed: int = 0, epochs: int = EPOCHS, verbose: int | str = 0) -> Forecast:
    """Train on the years before the held-back ones, then forecast each of those from the years before it."""
    import fastrnn
    from fastrnn.datasets import sunspots
    from fastrnn.layers import LSTM, Dense
    from fastrnn.optimizers import Adam

    years, numbers = sunspots.load_data()

    # The spread of the series grows with its level: the square root evens it out. Mean and scale come from
    # the training years alone.
    root = np.sqrt(numbers)
    mean, scale = root[:-HELD_BACK].mean(), root[:-HELD_BACK].std()
    z = ((root - mean) / scale).astype(np.float32)
    x = np.lib.stride_tricks.sliding_window_view(z, WINDOW)[:-1, :, np.newaxis]
    y = z[WINDOW:, np.newaxis]

    fastrnn.utils.set_random_seed(seed)
    model = fastrnn.Sequential([fastrnn.Input((WINDOW, 1)), LSTM(UNITS), Dense(1)])
    model.compile(optimizer=Adam(learning_rate=LEARNING_RATE), loss="mse")

    begin = time.perf_counter()
    model.fit(x[:-HELD_BACK], y[:-HELD_BACK], epochs=epochs, batch_size=BATCH, verbose=verbose)
    seconds = time.perf_counter() - begin

    forecast = model.predict(x[-HELD_BACK:], verbose=0)[:, 0].astype(np.float64)
    return Forecast(
        years=years[-HELD_BACK:],
        measured=numbers[-HELD_BACK:],
        forecast=np.maximum(forecast * scale + mean, 0.0) ** 2,
        naive=numbers[-HELD_BACK - 1 : -1],
        seconds=seconds,
        steps=epochs * -(-(len(x) - HELD_BACK) // BATCH),
    )


def errors(measured: np.ndarray, forecast: np.ndarray) -> tuple[float, float]:
    """Root mean square error and mean absolute error."""
    difference = forecast - measured
    return float(np.sqrt(np.mean(difference**2))), float(np.mean(np.abs(difference)))


def run(args: argparse.Namespace) -> int:
    png = None if args.no_png else args.png or DEFAULT_PNG
    if png is not None and not _have_matplotlib():
        if args.png:
            raise CommandError("--png needs matplotlib: pip install 'fastrnn[plot]'")
        png = None

    print(
        f"Yearly sunspot numbers: an LSTM({UNITS}) reads {WINDOW} years and forecasts the next.", flush=True
    )
    result = train_and_forecast(args.seed, args.epochs, verbose=1)

    rmse, mae = errors(result.measured, result.forecast)
    naive_rmse, naive_mae = errors(result.measured, result.naive)
    print()
    print(f"One-step-ahead forecast of {result.years[0]}-{result.years[-1]}, years held back from training:")
    print(f"  {'error in sunspot numbers':<28}{'root mean square':>18}{'mean absolute':>16}")
    print(f"  {'naive, same as last year':<28}{naive_rmse:>18.1f}{naive_mae:>16.1f}")
    print(f"  {'LSTM':<28}{rmse:>18.1f}{mae:>16.1f}")
    print(f"  {'change':<28}{rmse / naive_rmse - 1:>+18.0%}{mae / naive_mae - 1:>+16.0%}")
    print(
        f"Training took {result.seconds:.2f} s: {result.steps} steps of {BATCH} windows, "
        f"{1e6 * result.seconds / result.steps:.0f} microseconds per step with everything around it."
    )
    print()
    glyphs = glyphs_for(sys.stdout)
    size = shutil.get_terminal_size()
    print(picture(
        result.years, result.measured, result.forecast,
        width=min(size.columns - 1, 140), height=min(max(size.lines - 10, 8), 16),
        glyphs=glyphs, colour=wants_colour(),
    ))  # fmt: skip
    print(f"  {glyphs.fill} measured   {glyphs.dot} forecast, one year ahead")
    if png is not None:
        _draw_png(result, png, required=args.png is not None)
    elif not args.no_png:
        print("  (with matplotlib also as a PNG: pip install 'fastrnn[plot]')")
    return 0


def _have_matplotlib() -> bool:
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def _draw_png(result: Forecast, path: Path, required: bool) -> None:
    # The object interface, because pyplot would choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.fill_between(result.years, result.measured, color="0.85")
    axes.plot(result.years, result.measured, color="0.4", label="measured")
    axes.plot(
        result.years,
        result.forecast,
        "o-",
        color="tab:red",
        markersize=3.5,
        linewidth=1,
        label="LSTM forecast",
    )
    axes.plot(
        result.years, result.naive, ":", color="tab:blue", linewidth=1, label="naive: same as last year"
    )
    axes.set(
        xlabel="year",
        ylabel="yearly mean sunspot number",
        ylim=(0, None),
        xlim=(result.years[0], result.years[-1]),
    )
    axes.set_title("Sunspot numbers, forecast one year ahead")
    axes.legend()
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        if required:
            raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
        print(f"  (no PNG: cannot write {path}: {error.strerror or error})")
    else:
        print(f"  picture: {path}")
