"""Layers that a model uses in several places are numbered in its configuration, as in Keras's files, and are one layer again in the model that is read."""

from contextvars import ContextVar

_known = ContextVar("known", default=None)
_KEY = "shared_object_id"


class Sharing:
    """`with Sharing():` is around the writing, or the reading, of the configuration of one model."""

    def __enter__(self):
        self._before = _known.set({})

    def __exit__(self, *exception):
        _known.reset(self._before)


def numbered(config, layer):
    """The configuration of a layer, which gets a number if the layer was met before, as does the one that was written then."""
    known = _known.get()
    if known is not None:
        number, _, first = known.setdefault(id(layer), (len(known), layer, config))  # the layer, so that no other gets its id
        if first is not config:
            first[_KEY] = config[_KEY] = number
    return config


def made_once(config, make):
    """What `make()` returns for a configuration, or returned for another of the same number."""
    known, number = _known.get(), config.get(_KEY)
    if known is None or not isinstance(number, int):
        return make()
    if number not in known:
        known[number] = make()
    return known[number]
