"""Lambdas in configurations, as Keras writes them: bytecode. Reading one runs code that is in the file, so the user must allow it."""

from contextvars import ContextVar

from . import config

_safe = ContextVar("safe_mode", default=True)


class SafeMode:
    """`with SafeMode(False):` allows configurations to contain lambdas."""

    def __init__(self, safe):
        self.safe = bool(safe)

    def __enter__(self):
        self._before = _safe.set(self.safe)

    def __exit__(self, *exception):
        _safe.reset(self._before)


def is_safe():
    """Whether lambdas in configurations are refused."""
    return _safe.get() and not config.unsafe_deserialization_enabled()


def dump(function):
    """A lambda as a dict for a configuration."""
    import base64
    import marshal

    cells = function.__closure__
    return {
        "class_name": "__lambda__",
        "config": {
            "value": {
                "code": base64.b64encode(marshal.dumps(function.__code__)).decode(),
                "defaults": function.__defaults__,
                "closure": None if cells is None else [cell.cell_contents for cell in cells],
            }
        },
    }


def load(value, names=None):
    """The function of a dict `{"code", "defaults", "closure"}`, or of a list of the three as Keras 2 has it.

    Args:
        names: what the function finds as its global names; default numpy as `np`.

    Raises:
        ValueError: in safe mode, and for what is no function.
    """
    if is_safe():
        raise ValueError(
            "Requested the deserialization of a Python lambda. This carries a potential risk of arbitrary code execution and thus it is "
            "disallowed by default. If you trust the source of the artifact, you can override this error by passing `safe_mode=False` to "
            "the loading function, or calling `fastrnn.config.enable_unsafe_deserialization()`."
        )
    import base64
    import marshal
    import types

    import numpy as np

    code, defaults, closure = (value.get(k) for k in ("code", "defaults", "closure")) if isinstance(value, dict) else value
    try:
        code = marshal.loads(base64.b64decode(code))
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f"A lambda of the configuration is damaged, or of another version of Python: {error}") from None
    cells = tuple(types.CellType(c) for c in closure) if closure else None
    return types.FunctionType(code, {"np": np} if names is None else names, "<lambda>", tuple(defaults) if defaults else None, cells)
