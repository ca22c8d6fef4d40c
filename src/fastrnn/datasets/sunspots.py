"""Yearly mean sunspot numbers, 1700-2008.

309 values of the International Sunspot Number, version 1 (the series as it stood before the recalibration of
2015), by the Solar Influences Data Center, now WDC-SILSO, Royal Observatory of Belgium, Brussels; distributed
by the U.S. National Geophysical Data Center of NOAA. Public domain. The file beside this module was written
from the copy in statsmodels (`statsmodels/datasets/sunspots/sunspots.csv`, which states "This data is public
domain"); the values are unchanged. Nothing is downloaded.
"""

from __future__ import annotations

import os

import numpy as np

_PATH = os.path.join(os.path.dirname(__file__), "sunspots.csv")


def load_data() -> tuple[np.ndarray, np.ndarray]:
    """Load the yearly mean sunspot numbers.

    Returns:
        `(years, numbers)`: two arrays of shape `(309,)`, the years 1700..2008 as int64 and the yearly mean
        sunspot number of each as float64.

    Example:

    >>> from fastrnn.datasets import sunspots
    >>> years, numbers = sunspots.load_data()
    >>> years.shape, int(years[0]), int(years[-1])
    ((309,), 1700, 2008)
    >>> float(numbers[-1])
    2.9

    Reference: SIDC, the International Sunspot Number (version 1), Monthly Report on the International Sunspot
    Number.
    """
    table = np.loadtxt(_PATH, delimiter=",", skiprows=1, dtype=np.float64)
    return table[:, 0].astype(np.int64), table[:, 1].copy()
