"""Loading the compiled module so that its threads are good neighbours, and telling what runs."""

import os

# libgomp's idle threads spin for milliseconds, against NumPy's and PyTorch's own threads in the same process: a matrix product of
# NumPy between two of our calls then takes three times as long. libgomp reads this variable when it is loaded, which is now (if a copy is
# loaded already, nothing happens); 10,000 spins still catch the next call when calls follow each other.
_SPINS = "GOMP_SPINCOUNT"
_chosen_by_user = _SPINS in os.environ or "OMP_WAIT_POLICY" in os.environ
if not _chosen_by_user:
    os.environ[_SPINS] = "10000"
try:
    from . import _native
finally:
    if not _chosen_by_user:
        del os.environ[_SPINS]

get_num_threads = _native.get_num_threads
set_num_threads = _native.set_num_threads


def show_config():
    """Print versions, instruction sets and threads, as text for a bug report.

    >>> show_config()  # doctest: +ELLIPSIS
    fastrnn ...
    """
    import platform
    import sys

    import numpy

    from ._version import __version__

    openmp = _native.openmp_version()
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    settings = {
        name: os.environ[name] for name in ("FASTRNN_ISA", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", _SPINS) if name in os.environ
    }
    for name, value in (
        ("fastrnn", __version__),
        ("instruction set", f"{_native.isa} (available: {', '.join(_native.available_isas())})"),
        ("threads", f"{get_num_threads()} of {affinity} usable processors"),
        ("OpenMP", f"{openmp}" if openmp else "not in this build"),
        ("environment", ", ".join(f"{k}={v}" for k, v in settings.items()) or "no settings"),
        ("numpy", numpy.__version__),
        ("python", f"{platform.python_version()} ({sys.implementation.name})"),
        ("platform", platform.platform()),
    ):
        print(f"{name:16} {value}")
