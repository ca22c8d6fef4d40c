"""The examples in docstrings run and give what they say."""

import doctest
import importlib
import pkgutil

import fastrnn
import pytest

MODULES = sorted(
    m.name for m in pkgutil.walk_packages(fastrnn.__path__, "fastrnn.") if "_cli" not in m.name and "__main__" not in m.name
)


NEEDED = {"fastrnn.callbacks.backup": "h5py", "fastrnn.saving": "h5py"}  # optional packages of examples


@pytest.mark.parametrize("name", MODULES)
def test_examples(K, name):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples():
    found = doctest.DocTestFinder(exclude_empty=True)
    tests = [t for name in MODULES for t in found.find(importlib.import_module(name)) if t.examples]
    assert len(tests) > 60
