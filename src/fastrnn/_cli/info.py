"""Print version, instruction sets, threads, OpenMP and NumPy: paste it into a bug report."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments of its own."""


def run(args: argparse.Namespace) -> int:
    import fastrnn

    fastrnn.show_config()
    return 0
