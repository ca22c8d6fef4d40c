"""Classes and functions of the user's, by the names under which configurations refer to them."""

from contextvars import ContextVar

_REGISTERED = {}  # "package>name" (or any name that the user put there): object
_NAMES = {}  # object: "package>name"
_in_scope = ContextVar("custom_objects", default={})  # noqa: B039 (never changed in place)


def register_keras_serializable(package="Custom", name=None):
    """Decorator that makes a class or function known to `load_model` and everything else that reads configurations.

    Args:
        package: first part of the name `package>name` in files.
        name: second part; default the object's own name.

    Raises:
        ValueError: for a class without `get_config()`.

    >>> @register_keras_serializable("docs")
    ... def third(y_true, y_pred):
    ...     return y_true / 3
    >>> get_registered_name(third), get_registered_object("docs>third") is third
    ('docs>third', True)
    """

    def register(obj):
        if isinstance(obj, type) and not hasattr(obj, "get_config"):
            raise ValueError("Cannot register a class that does not have a get_config() method.")
        full = f"{package}>{obj.__name__ if name is None else name}"
        _REGISTERED[full] = obj
        _NAMES[obj] = full
        return obj

    return register


class CustomObjectScope:
    """`with custom_object_scope({"Name": Class}):` lets configurations inside refer to these objects.

    >>> def double(x):
    ...     return 2 * x
    >>> with CustomObjectScope({"double": double}):
    ...     get_registered_object("double") is double
    True
    """

    def __init__(self, custom_objects):
        self.custom_objects = dict(custom_objects or {})

    def __enter__(self):
        self._before = _in_scope.set({**_in_scope.get(), **self.custom_objects})
        return self

    def __exit__(self, *exception):
        _in_scope.reset(self._before)


custom_object_scope = CustomObjectScope


def get_custom_objects():
    """The dict of registered objects itself; what is put into it is known everywhere."""
    return _REGISTERED


def get_registered_name(obj):
    """The name `package>name` that an object was registered under, else its own."""
    try:
        return _NAMES.get(obj) or obj.__name__
    except TypeError:  # not hashable
        return obj.__name__


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The object of a name: from a scope, the registered ones, or one of the two dicts; else None."""
    return {**(module_objects or {}), **known(custom_objects)}.get(name)


def known(custom_objects=None):
    """All objects that a configuration may refer to now, as a dict."""
    return {**(custom_objects or {}), **_REGISTERED, **_in_scope.get()}
