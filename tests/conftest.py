"""What every test shares: the library under test, a clean session around each test, seeded randomness.

`FASTRNN_TEST_API=keras` runs the tests of the public API on Keras itself, which is how the tests are tested.
"""

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
sys.path.insert(0, str(Path(__file__).parent))  # `import reference`, whatever pytest's import mode is


def pytest_configure(config):
    config.addinivalue_line("markers", "parity: compares with real Keras (skipped when it is not installed)")
    config.addinivalue_line("markers", "fastrnn_only: promises of fastrnn that Keras does not make")


def pytest_collection_modifyitems(config, items):
    if API_NAME == "fastrnn":
        return
    skip = pytest.mark.skip(reason="not a promise of Keras")
    for item in items:
        if item.get_closest_marker("fastrnn_only"):
            item.add_marker(skip)


API_NAME = os.environ.get("FASTRNN_TEST_API", "fastrnn")


@pytest.fixture(scope="session")
def K():
    """The library under test, by Keras's names."""
    return importlib.import_module(API_NAME)


@pytest.fixture(autouse=True)
def _session(K):
    """Each test starts with fresh name counters, float32 and a fixed seed, and leaves them so."""
    K.utils.clear_session()
    K.config.set_floatx("float32")
    K.utils.set_random_seed(1234)
    yield
    K.config.set_floatx("float32")


@pytest.fixture
def float64(K):
    """Layers made in this test compute in float64."""
    K.config.set_floatx("float64")


@pytest.fixture
def rng(request):
    """A generator seeded by the test's name, or by FASTRNN_TEST_SEED; a failing test prints the seed."""
    seed = int(os.environ.get("FASTRNN_TEST_SEED", sum(request.node.nodeid.encode())))
    print(f"seed {seed} (repeat with FASTRNN_TEST_SEED={seed})")
    return np.random.default_rng(seed)


def to_numpy(value):
    """The result of calling a layer, as NumPy arrays."""
    if isinstance(value, (list, tuple)):
        return [to_numpy(v) for v in value]
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def assert_close(actual, expected, tolerance, what="value", floor=1e-30):
    """|actual - expected| <= tolerance * max(|expected|, floor), with the worst place in the message."""
    actual, expected = to_numpy(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    assert np.isfinite(actual).all(), f"{what}: not finite"
    if expected.size == 0:
        return
    error = np.abs(actual - expected)
    limit = tolerance * max(np.abs(expected).max(), floor)
    worst = np.unravel_index(error.argmax(), error.shape)
    assert error.max() <= limit, (
        f"{what}: |{actual[worst]:.9g} - {expected[worst]:.9g}| = {error.max():.3g} > {limit:.3g} at {worst}"
    )


@pytest.fixture(scope="session")
def onnxruntime():
    pytest.importorskip("onnx", reason="the package onnx is not installed (extra `onnx`)")
    return pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (it comes with the extra `parity`)")
