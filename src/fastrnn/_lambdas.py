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

    code = base64.b64encode(marshal.dumps(function.__code__)).decode()
    closure = function.__closure__ and [cell.cell_contents for cell in function.__closure__]
    return {"class_name": "__lambda__", "config": {"value": [code, function.__defaults__, closure]}}


def load(config):
    """The function of the `config` of such a dict. Its global names are those of Python, and numpy as `np`.

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

    try:
        value = config.get("value", config)  # Keras's Lambda layer leaves out one level
        code, defaults, closure = (value[k] for k in ("code", "defaults", "closure")) if isinstance(value, dict) else value
        cells = tuple(types.CellType(c) for c in closure) if closure else None
        return types.FunctionType(marshal.loads(base64.b64decode(code)), {"np": np}, "<lambda>", defaults and tuple(defaults), cells)
    except (ValueError, EOFError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"A lambda of the configuration is damaged, or of another version of Python: {error!r}") from None
