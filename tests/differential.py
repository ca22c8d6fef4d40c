"""The differential run: random configurations in fastrnn and in real Keras, compared.

    python tests/differential.py --cases 2000 --seed 1 [--family NAME ...]

prints each difference beyond rounding with the line that repeats it, then a count per family; exits with 1 if there was any.
Case number k of a family has the seed SEED + k, so `--seed` of a printed case with `--cases 1` is that case.
"""

import argparse
import os
import sys
import time
import warnings

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main(arguments=None):
    from families import FAMILIES, run

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000, help="number of cases, spread evenly over the families")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first case of each family")
    parser.add_argument("--family", nargs="+", choices=sorted(FAMILIES), default=sorted(FAMILIES), help="default: all")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    options = parser.parse_args(arguments)

    import keras
    import torch._dynamo

    import fastrnn

    torch._dynamo.reset = lambda: None  # part of `clear_session`: 0.1 s for nothing, as nothing here is compiled

    warnings.simplefilter("ignore")
    counts, failed, began = {}, 0, time.perf_counter()
    for k in range(options.cases):
        name, seed = options.family[k % len(options.family)], options.seed + k // len(options.family)
        count = counts.setdefault(name, {"equal": 0, "both raise": 0, "skipped": 0, "different": 0, "seconds": 0.0})
        start = time.perf_counter()
        outcome, notes, texts = run(name, seed, fastrnn, keras)
        count[outcome] += 1
        count["seconds"] += time.perf_counter() - start
        if outcome == "different" or options.verbose:
            failed += outcome == "different"
            print(f"{outcome}: python tests/differential.py --family {name} --seed {seed} --cases 1\n    {'; '.join(notes)}")
            print("".join(f"    {text}\n" for text in texts), end="", flush=True)
    print(f"{'family':28}{'equal':>8}{'both raise':>12}{'skipped':>9}{'different':>11}{'seconds':>9}")
    for name in sorted(counts):
        c = counts[name]
        print(f"{name:28}{c['equal']:8}{c['both raise']:12}{c['skipped']:9}{c['different']:11}{c['seconds']:9.1f}")
    print(f"{options.cases} cases, {failed} different, {time.perf_counter() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
