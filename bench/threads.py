"""What more threads gain: the time of fastrnn on one thread over its time on several.

    python bench/threads.py                                  # two threads
    python bench/threads.py --shapes 16,100,64,64 --rounds 21 --isa avx2

One thread and several take turns in one process. The cores of a virtual machine need not be cores: two of
them may share one for seconds, or wait for somebody else's. So each round begins and ends with the fused
multiply-adds that one thread does and several do at once, and only rounds count in which several did at least
`--whole` of what they would if each had a core to itself. A row shows the median over those rounds, and how
many of all there were. (This does not show how far apart two cores are: what one has in its cache can take
the other 90 ns a line, and three times as long a minute later.)
"""

from __future__ import annotations

import argparse
import os
import sys

from peers import CELLS

SHAPES = (
    "16,30,1,16",
    "16,100,64,64",
    "128,500,32,32",
    "32,300,256,128",
    "32,300,256,256",
    "64,100,512,512",
    "1,100,256,256",
    "1,50,1024,1024",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="bench/threads.py"
    )
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS, help="which cells (all three)")
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=SHAPES,
        metavar="B,T,D,H",
        help=f"batch, steps, features and units of each row (default: {' '.join(SHAPES)})",
    )
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="threads to compare with one (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=9, metavar="N", help="rounds that count, per row (default: %(default)s)"
    )
    parser.add_argument(
        "--slot", type=float, default=0.03, metavar="S", help="seconds per turn (default: %(default)s)"
    )
    parser.add_argument(
        "--whole", type=float, default=0.9, metavar="SHARE", help="of the peaks added up (default: %(default)s)"
    )
    parser.add_argument("--isa", metavar="NAME", help="the instruction set to use, as FASTRNN_ISA")
    args = parser.parse_args()
    if args.threads < 2 or args.rounds < 1 or not args.slot > 0:
        parser.error("--threads must be at least 2, --rounds at least 1, --slot above 0")
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before libgomp is loaded
    if args.isa:
        os.environ["FASTRNN_ISA"] = args.isa

    import fastrnn
    from fastrnn import _native
    from fastrnn._cli.bench import MODES, parse_shape

    shapes = [parse_shape(text) for text in args.shapes]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores < args.threads:
        sys.exit(f"error: --threads {args.threads}, but this process may use {cores} cores")
    args.peak = _native.fma_peak(0.05)  # of one thread, the best that was seen
    print(f"fastrnn {fastrnn.__version__} ({_native.isa}), one thread over {args.threads}; rounds that count of all\n")
    print("| row | forward | rounds | train | rounds |\n|---|---|---|---|---|")
    for shape in shapes:
        for cell in args.cells:
            results = [gain(cell, shape, mode, args) for mode in MODES]
            columns = " | ".join(f"{ratio:.2f} | {kept}/{tried}" for ratio, kept, tried in results)
            print(f"| {cell}/{'x'.join(map(str, shape))} | {columns} |", flush=True)
    return 0


def gain(cell: str, shape, mode: str, args) -> tuple[float, int, int]:
    """(median ratio of the times, rounds that count, rounds tried: at most four times as many as wanted)"""
    import numpy as np

    import fastrnn
    from fastrnn._cli.bench import calls_for, layer_call, timed

    call = layer_call(cell, shape, mode)
    for threads in (args.threads, 1):
        fastrnn.set_num_threads(threads)
        count = calls_for(call, args.slot)
    ratios, tried = [], 0
    before = whole(args)
    while len(ratios) < args.rounds and tried < 4 * args.rounds:
        times = {}
        for threads in (1, args.threads) if tried % 2 else (args.threads, 1):
            fastrnn.set_num_threads(threads)
            call()
            times[threads] = timed(call, count)
        after = whole(args)
        if before and after:
            ratios.append(times[1] / times[args.threads])
        before, tried = after, tried + 1
    return float(np.median(ratios)) if ratios else float("nan"), len(ratios), tried


def whole(args) -> bool:
    """Whether each thread has a core to itself, in nine of ten milliseconds out of twenty."""
    from fastrnn import _native

    args.peak = max(args.peak, _native.fma_peak(0.005))
    together = sorted(_native.fma_peak(0.001, threads=args.threads) for _ in range(20))
    return together[2] >= args.whole * args.threads * args.peak


if __name__ == "__main__":
    sys.exit(main())
