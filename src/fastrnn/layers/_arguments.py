"""Arguments that several layers of steps and pixels share, checked with Keras's wording."""

import numpy as np


def int_tuple(value, n, argument, *, zero=False):
    """An integer, or n of them, as a tuple of n positive ones (with `zero`, of non-negative ones)."""
    error = f"The `{argument}` argument must be a tuple of {n} integers. Received {argument}={value}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        values = (value,) * n
    elif isinstance(value, (tuple, list, np.ndarray)):
        values = tuple(value)
    else:
        raise ValueError(error)
    if len(values) != n:
        raise ValueError(error)
    for v in values:
        if isinstance(v, bool) or not isinstance(v, (int, np.integer)):
            raise ValueError(f"{error}, including element {v} of type {type(v)}")
    wrong = {int(v) for v in values if v < (0 if zero else 1)}
    if wrong:
        raise ValueError(f"{error}, including values {wrong} that do not satisfy `value {'>= 0' if zero else '> 0'}`")
    return tuple(int(v) for v in values)


def checked_data_format(value):
    """"channels_last" (also for None) or "channels_first"."""
    value = "channels_last" if value is None else str(value).lower()
    if value not in ("channels_first", "channels_last"):
        raise ValueError(
            f"The `data_format` argument must be one of {{'channels_first', 'channels_last'}}. Received: data_format={value}"
        )
    return value
