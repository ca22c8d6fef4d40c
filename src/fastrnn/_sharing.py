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
    """The configuration of a layer, which gets a number if the layer was met before, as does the one that was written then.

    Raises:
        ValueError: for a cell whose arguments stand among those of an LSTM, GRU or SimpleRNN layer, where no number would be read.
    """
    known = _known.get()
    if known is not None:
        number, owner, first = known.setdefault(id(layer), (len(known), layer, config))  # the layer, so that no other gets its id
        if owner is not layer:
            raise _cell_of_a_layer(layer, owner)
        if first is not config:
            first[_KEY] = config[_KEY] = number
    return config


def belongs_to(cell, layer):
    """Notes that the arguments of a cell are written as those of its layer.

    Raises:
        ValueError: if the cell was met elsewhere.
    """
    known = _known.get()
    if known is not None and known.setdefault(id(cell), (len(known), layer, None))[1] is not layer:
        raise _cell_of_a_layer(cell, layer)


def _cell_of_a_layer(cell, layer):
    return ValueError(
        f"The configuration cannot be written: cell '{cell.name}' of layer '{layer.name}' is used by another layer too. Use the layer itself in both "
        f"places, or RNN(cell) in both instead of {type(layer).__name__}."
    )


def made_once(config, make):
    """What `make()` returns for a configuration, or returned for another of the same number."""
    known, number = _known.get(), config.get(_KEY)
    if known is None or not isinstance(number, int):
        return make()
    if number not in known:
        known[number] = make()
    return known[number]
