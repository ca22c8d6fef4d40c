"""One call that makes a program repeat its random numbers."""

from __future__ import annotations

import operator

from .. import random


def set_random_seed(seed: int) -> None:
    """Seed Python's `random`, NumPy's global generator and that of fastrnn.

    From then on initial weights, dropout masks and the order of batches are the same in each run.

    Args:
        seed: int from 0 to 2**32 - 1, the range NumPy takes.

    Raises:
        ValueError: `seed` is something else; nothing was seeded then.

    >>> set_random_seed(42)
    """
    try:
        value = operator.index(seed)
    except TypeError:
        raise ValueError(
            f"Expected `seed` argument to be an integer. Received: seed={seed} (of type {type(seed)})"
        ) from None
    if not 0 <= value < 2**32:
        raise ValueError(f"Expected `seed` argument to be between 0 and 2**32 - 1. Received: seed={seed}")

    import random as python_random

    import numpy as np

    python_random.seed(value)
    np.random.seed(value)
    random.set_seed(value)
