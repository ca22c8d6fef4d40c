"""Turning the names, dicts and callables users pass (``loss="mse"``) into objects.

One table per kind of object maps every accepted spelling to a class or function; `lookup` reads it and
`deserialize` does the whole of what a module's ``get`` promises.
"""


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

    Strings and dicts go through ``table``; classes (found there or passed directly) are instantiated with
    no arguments, dicts with ``cls.from_config(config)``. Anything callable is returned as it is.

    Raises:
        ValueError: for an unknown name or something that is none of the above.
    """
    if identifier is None:
        return None
    if custom_objects:
        table = {**table, **custom_objects}
    if isinstance(identifier, dict):
        if "class_name" not in identifier:
            raise ValueError(
                f"Could not interpret {kind} identifier: {identifier}. "
                "A dict must have the keys 'class_name' and 'config'."
            )
        found = lookup(kind, identifier["class_name"], table)
        config = identifier.get("config")
        if isinstance(found, type):
            return found.from_config(dict(config) if isinstance(config, dict) else {})
        # a plain function is serialized by name: {"class_name": "function", "config": name} in Keras
        return found
    if isinstance(identifier, str):
        found = lookup(kind, identifier, table)
        return found() if isinstance(found, type) else found
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier):
        return identifier
    raise ValueError(f"Could not interpret {kind} identifier: {identifier}")


def serialize(obj):
    """The dict that `deserialize` reads back: class name and config (or a function's name as a string)."""
    if obj is None:
        return None
    if hasattr(obj, "get_config"):
        return {"class_name": type(obj).__name__, "config": obj.get_config()}
    if hasattr(obj, "__name__"):
        return obj.__name__
    raise ValueError(f"Cannot serialize {obj!r}: it has neither get_config() nor a __name__.")
