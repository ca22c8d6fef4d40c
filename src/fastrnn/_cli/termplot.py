"""A picture of two series in a terminal: filled columns for what happened, dots for what was forecast."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np


class Glyphs(NamedTuple):
    """The characters of a picture."""

    fill: str
    dot: str
    axis: str
    tick: str
    corner: str
    rule: str


UNICODE = Glyphs(fill="░", dot="●", axis="│", tick="┤", corner="└", rule="─")
ASCII = Glyphs(fill=":", dot="o", axis="|", tick="+", corner="+", rule="-")


def glyphs_for(stream) -> Glyphs:
    """The Unicode glyphs if `stream` can encode them, else the ASCII ones."""
    try:
        "".join(UNICODE).encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def picture(
    x: np.ndarray,
    columns: np.ndarray,
    dots: np.ndarray,
    *,
    width: int = 80,
    height: int = 14,
    glyphs: Glyphs = UNICODE,
    colour: bool = False,
) -> str:
    """Draw `columns` as filled columns and `dots` as dots over ascending `x`, all three of shape `(n,)`.

    The picture is at most `width` characters wide and `height` + 2 lines high; it starts at zero. Where there
    are more values than characters each character shows the mean of the values that fall on it. Negative
    values are drawn as 0, values that are not finite are left out. With `colour` the dots are ANSI red.

    >>> print(picture([2000, 2001, 2002], [1.0, 4.0, 2.0], [2.0, 4.0, 1.0], width=16, height=4, glyphs=ASCII))
     4 +   :o:
       |   :::
       | o ::::::
     0 +:::::::o:
       +---------
        2000 2002
    """
    x, columns, dots = (np.asarray(a, dtype=np.float64) for a in (x, columns, dots))
    if x.size == 0 or not x.shape == columns.shape == dots.shape or x.ndim != 1:
        raise ValueError(
            f"expected three equal 1-D series, got shapes {x.shape}, {columns.shape} and {dots.shape}"
        )
    height = max(height, 2)
    both = np.concatenate([columns, dots])
    top = max(float(np.max(both, where=np.isfinite(both), initial=0.0)), 1e-9)
    label = f"{top:.0f}" if top >= 10 else f"{top:.3g}"
    margin = len(label) + 3
    room = max(width - margin, 1)
    repeat = max(1, min(room // x.size, 3))
    cells = min(room, x.size * repeat)
    level = height / top
    grid = [[" "] * cells for _ in range(height)]
    for j, value in enumerate(_per_cell(columns, cells)):
        if np.isfinite(value):
            for row in range(min(round(max(value, 0.0) * level), height)):
                grid[row][j] = glyphs.fill
    dot = f"\x1b[31m{glyphs.dot}\x1b[0m" if colour else glyphs.dot
    wide = cells // x.size
    for j, value in enumerate(_per_cell(dots, cells)):
        if np.isfinite(value) and (wide < 2 or j % wide == wide // 2):
            row = int(np.ceil(max(value, 0.0) * level)) - 1
            grid[min(max(row, 0), height - 1)][j] = dot

    marks = {height - 1: label, 0: "0"}
    lines = []
    for row in range(height - 1, -1, -1):
        mark = marks.get(row, "")
        lines.append(
            f" {mark:>{len(label)}} {glyphs.tick if mark else glyphs.axis}" + "".join(grid[row]).rstrip()
        )
    lines.append(" " * (margin - 1) + glyphs.corner + glyphs.rule * cells)
    lines.append(" " * margin + _x_labels(x, cells))
    return "\n".join(lines)


def _per_cell(values: np.ndarray, cells: int) -> np.ndarray:
    """Spread `values` over `cells` characters: repeated where there is room, else the mean of each group."""
    if cells % values.size == 0:
        return np.repeat(values, cells // values.size)
    cell = np.arange(values.size) * cells // values.size
    return np.bincount(cell, weights=values, minlength=cells) / np.bincount(cell, minlength=cells)


def _x_labels(x: np.ndarray, cells: int) -> str:
    """As many evenly spread values of `x` as fit under `cells` characters, the first and the last always."""
    first, last = f"{x[0]:g}", f"{x[-1]:g}"
    if len(first) + len(last) + 1 > cells:
        return first
    line = [" "] * cells
    line[: len(first)] = first
    line[cells - len(last) :] = last
    between = max(cells // 20 - 1, 0)
    for k in range(1, between + 1):
        index = k * (x.size - 1) // (between + 1)
        text = f"{x[index]:g}"
        start = index * cells // x.size
        line[start : start + len(text)] = text
    return "".join(line)


def wants_colour(stream=None) -> bool:
    """Whether to colour: a terminal, and neither NO_COLOR (https://no-color.org) nor TERM=dumb is set."""
    import os

    stream = sys.stdout if stream is None else stream
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
