"""The commands behind `python -m fastrnn`: `demo`, `bench`, `info` and `support`.

Each command lives in its own module, which is imported only when the command runs, and has two functions:
`add_arguments(parser)` and `run(args) -> int`, the exit code. A command raises `CommandError` for what the
user can mend; everything else is a bug and shows its traceback. Exit codes: 0 success, 1 failure, 2 wrong
arguments, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


class CommandError(Exception):
    """The command cannot go on; the message says why and what to do."""


def positive_int(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    value = _integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def seed_int(text: str) -> int:
    """An argparse type: an integer that NumPy's legacy seeding accepts."""
    value = _integer(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 2**32 - 1, got {value}")
    return value


def positive_float(text: str) -> float:
    """An argparse type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be finite and above 0, got {text}")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    from fastrnn._cli import bench, demo, info, support
    from fastrnn._version import __version__

    parser = argparse.ArgumentParser(
        prog="python -m fastrnn",
        description="Keras-compatible recurrent networks for CPUs.",
        epilog="'python -m fastrnn COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"fastrnn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module, summary in (
        ("demo", demo, "train an LSTM on the yearly sunspot numbers and forecast the years held back"),
        ("bench", bench, "time the three cells, with GFLOP/s and the share of this machine's peak"),
        ("info", info, "print the configuration, to paste into a bug report"),
        ("support", support, "print which of Keras's names are here, as a Markdown table"),
    ):
        command = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is the command line without the program's name."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
