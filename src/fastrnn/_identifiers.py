"""Turning the names, dicts and callables users pass (``loss="mse"``) into objects.

One table per kind of object maps every accepted spelling to a class or function; `lookup` reads it and
`deserialize` does the whole of what a module's ``get`` promises.
"""

from . import _custom_objects, _lambdas


def lookup(kind, name, table):
    """Return ``table[name]``, or raise a `ValueError` that names the kind and the nearest valid name.

    Args:
        kind: what is looked up, in the singular, for the message (``"loss"``, ``"initializer"``).
        name: the string given by the user.
        table: dict from accepted spelling to object.

    Raises:
        ValueError: when ``name`` is not a key of ``table``.

    >>> lookup("loss", "mse", {"mse": 1})
    1
    """
    try:
        return table[name]
    except (KeyError, TypeError):
        pass
    raise ValueError(unknown_message(kind, name, table))


def unknown_message(kind, name, table):
    """The text for an unknown name: what it is, the nearest valid name if any, and all valid names."""
    import difflib

    def plain(text):
        return str(text).lower().replace("_", "").replace("-", "").replace(" ", "")

    by_plain = {}
    for key in table:
        if isinstance(key, str):
            # prefer snake_case spellings in suggestions when the user wrote lower case, and vice versa
            current = by_plain.get(plain(key))
            if current is None or (str(name).islower() and key.islower()):
                by_plain[plain(key)] = key
    near = difflib.get_close_matches(plain(name), by_plain, n=1, cutoff=0.6)
    hint = f" Did you mean '{by_plain[near[0]]}'?" if near else ""
    available = ", ".join(sorted(by_plain.values(), key=str.lower))
    shown = f"'{name}'" if isinstance(name, str) else repr(name)
    return f"Unknown {kind} {shown}.{hint} Available: {available}."


def to_snake_case(name):
    """``"MeanSquaredError"`` -> ``"mean_squared_error"`` (the rule Keras names objects by).

    >>> to_snake_case("CategoricalCrossentropy"), to_snake_case("KLDivergence")
    ('categorical_crossentropy', 'kl_divergence')
    """
    import re

    # a word starts at a capital that follows a lower-case letter, or that begins a capitalised word
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", re.sub(r"\W", "", name)).lower()


def deserialize(kind, identifier, table, custom_objects=None):
    """Resolve ``identifier``: None, a string, a ``{"class_name", "config"}`` dict, a class, or an object.

    Strings and dicts go through ``table`` and the user's objects (`custom_objects`, a scope, or registered ones); classes (found there
    or passed directly) are instantiated with no arguments, dicts with ``cls.from_config(config)``. Anything callable is returned as it is.

    Raises:
        ValueError: for an unknown name or something that is none of the above.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        found = find(kind, identifier, table, custom_objects)
        config = identifier.get("config")
        if isinstance(found, type):
            config = dict(config) if isinstance(config, dict) else {}
            return found.from_config(config) if hasattr(found, "from_config") else found(**config)
        return found
    if isinstance(identifier, str):
        found = lookup(kind, identifier, {**table, **_custom_objects.known(custom_objects)})
        return found() if isinstance(found, type) else found
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier):
        return identifier
    raise ValueError(f"Could not interpret {kind} identifier: {identifier}")


def find(kind, config, table, custom_objects=None):
    """The class or function that a dict of `serialize` (or of Keras) refers to; the user's objects come first.

    An object that came from another package than Keras is looked up among the user's objects only: its name alone may be that of
    one of ours.
    """
    if not isinstance(config.get("class_name"), str):
        raise ValueError(
            f"Could not interpret {kind} identifier: {config}. A dict must have the keys 'class_name' and 'config'."
        )
    name, registered, module = config["class_name"], config.get("registered_name"), config.get("module")
    if name == "__lambda__":
        return _lambdas.load(config.get("config"))
    if name == "function":
        name, registered = str(config.get("config")), None
    custom = _custom_objects.known(custom_objects)
    for key in (registered, name):
        if isinstance(key, str) and key in custom:
            return custom[key]
    is_ours = not module or module == "builtins" or str(module).split(".")[0] in ("keras", "tf_keras", "tensorflow", "fastrnn")
    if is_ours and registered in (None, name) and name in table:
        return table[name]
    listed = is_ours and table and name not in table
    message = unknown_message(kind, name, table) if listed else f"Unknown {kind} '{registered or name}' of module {module!r}."
    raise ValueError(
        f"{message} If it is a custom object, pass it with `custom_objects={{'{name}': ...}}`, or register it with the "
        "`@fastrnn.saving.register_keras_serializable()` decorator."
    )


def serialize(obj):
    """The dict that `deserialize` reads back, as Keras writes it: module, class name, config, and the name it was registered under."""
    if obj is None:
        return None
    if hasattr(obj, "get_config"):
        return class_config(type(obj), obj.get_config())
    name = getattr(obj, "__name__", None)
    if name is None:
        raise ValueError(f"Cannot serialize {obj!r}: it has neither get_config() nor a __name__.")
    if name == "<lambda>":
        return _lambdas.dump(obj)
    name = _custom_objects.get_registered_name(obj)
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def class_config(cls, config):
    """`serialize` for an object of a class, whose configuration is known."""
    package, *parts = cls.__module__.split(".")
    registered = _custom_objects.get_registered_name(cls)
    if package == "fastrnn" and registered == cls.__name__:
        # the public module: fastrnn.layers.core is keras.layers to every reader of the file
        public = [p for p in parts[: 2 if "schedules" in parts else 1] if p != "models"]
        return {"module": ".".join(("keras", *public)), "class_name": cls.__name__, "config": config, "registered_name": None}
    module = None if cls.__module__ == "__main__" else cls.__module__
    return {"module": module, "class_name": cls.__name__, "config": config, "registered_name": registered}
