"""Global settings: default float type, epsilon, and the counters behind default names."""

_FLOATX = "float32"
_EPSILON = 1e-7
_NAME_COUNTS = {}
_UNSAFE = False


def floatx():
    """The default float type, "float32" or "float64".

    >>> floatx()
    'float32'
    """
    return _FLOATX


def set_floatx(value):
    """Set the default float type of new layers.

    Args:
        value: "float32" or "float64".

    Raises:
        ValueError: for any other type.
    """
    global _FLOATX
    if value not in ("float32", "float64"):
        raise ValueError(f"Unknown `floatx` value: {value}. Expected one of ('float32', 'float64').")
    _FLOATX = str(value)


def epsilon():
    """The small number that keeps logarithms and divisions finite, 1e-7 by default."""
    return _EPSILON


def set_epsilon(value):
    """Set the value of `epsilon`."""
    global _EPSILON
    _EPSILON = float(value)


def backend():
    """What arrays are made of, as Keras names its backends.

    >>> backend()
    'numpy'
    """
    return "numpy"


def image_data_format():
    """The default order of the axes of images and series, always "channels_last".

    >>> image_data_format()
    'channels_last'
    """
    return "channels_last"


def unique_name(base):
    """`base`, `base_1`, `base_2`, ... in the order of the calls.

    >>> clear_session()
    >>> unique_name("lstm"), unique_name("lstm")
    ('lstm', 'lstm_1')
    """
    count = _NAME_COUNTS.get(base, 0)
    _NAME_COUNTS[base] = count + 1
    return f"{base}_{count}" if count else base


def clear_session(free_memory=True):
    """Start the counters of default names anew. (`free_memory` is accepted for Keras's sake: nothing is kept here.)"""
    _NAME_COUNTS.clear()


def enable_unsafe_deserialization():
    """Allow `load_model` to read lambdas, which runs code that is in the file, as if `safe_mode=False` were always given."""
    global _UNSAFE
    _UNSAFE = True


def unsafe_deserialization_enabled():
    """Whether `enable_unsafe_deserialization` was called."""
    return _UNSAFE
