"""Benchmarks run on one thread unless OMP_NUM_THREADS says otherwise, and record what they ran on."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

import fastrnn


@pytest.fixture(autouse=True)
def _record_machine(benchmark):
    benchmark.extra_info["isa"] = fastrnn._native.isa
    benchmark.extra_info["threads"] = fastrnn.get_num_threads()
