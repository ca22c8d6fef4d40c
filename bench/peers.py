"""fastrnn beside PyTorch, ONNX Runtime, JAX and Keras: equal results first, then time.

    python bench/peers.py                                   # everything that is installed, one thread
    python bench/peers.py --rows 'lstm/.*/train' --rounds 15
    python bench/peers.py --threads 2 --json results.json

Each row is one cell at one shape, `cell/BxTxDxH/inference` or `.../train`, or `fit/cell`, the cost of an
optimizer step inside `fit` for a model of a few hundred weights. All contestants of a row get the same
float32 weights and data in the layout they like best (fastrnn and Keras batch-major, the others time-major),
and must agree with fastrnn on the outputs or on the weights after one SGD step before anything is timed. Then
they take turns: every round gives each one a slot of about `--slot` seconds. A time is the median over the
rounds. All run in one process pinned to as many cores as threads; Keras runs one process per backend, pinned
to the same cores and idle while others have their turn. What a second thread gains is for `bench/threads.py`.

Inference is the layer with return_sequences=True. A training step is forward, mean squared error, backward to
all weights and an SGD update; JAX runs it jitted with a scan over time, PyTorch by its nn modules. ONNX
Runtime only infers. The share of the peak is of the fused multiply-adds that so many threads did at once in
the same run; the flops are those of `fastrnn._cli.bench.flops`. The ratio is the time of the
fastest peer over that of fastrnn: above 1 is a win.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import re
import subprocess
import sys
import time

from contestants import CONTESTANTS, make_weights, torch_rnn

SHAPES = (
    (16, 30, 1, 16),
    (128, 500, 32, 32),
    (32, 300, 256, 256),
    (32, 300, 256, 128),
    (64, 100, 512, 512),
    (128, 50, 1024, 1024),
    (1, 100, 64, 64),
    (1, 100, 256, 256),
    (1, 100, 1024, 1024),
)
CELLS = ("lstm", "gru", "simple_rnn")
MODES = ("inference", "train")
FIT_EPOCHS = 20
FIT_SAMPLES = 3


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="bench/peers.py"
    )
    parser.add_argument(
        "--rows", default="", metavar="REGEX", help="only rows whose name matches (re.search)"
    )
    parser.add_argument(
        "--rounds", type=int, default=9, metavar="N", help="rounds per row (default: %(default)s)"
    )
    parser.add_argument(
        "--slot", type=float, default=0.05, metavar="S", help="seconds per turn (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads for all (default: %(default)s)"
    )
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="only these: torch onnxruntime jax keras")
    parser.add_argument("--json", metavar="PATH", help="also write rows and machine to this file")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    parser.add_argument("--keras-worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1 or not args.slot > 0:
        parser.error("--rounds and --threads must be at least 1, --slot above 0")
    try:
        wanted = re.compile(args.rows)
    except re.error as error:
        parser.error(f"--rows is not a regular expression: {error}")

    names = [f"{c}/{'x'.join(map(str, s))}/{m}" for c in CELLS for s in SHAPES for m in MODES]
    names += [f"fit/{c}" for c in CELLS]
    names = [name for name in names if wanted.search(name)]
    if not names:
        parser.error(f"--rows {args.rows!r} matches no row; --list shows their names")
    if args.list:
        print("\n".join(names))
        return 0

    pin(args.threads)
    if args.keras_worker:
        return keras_worker(args.keras_worker)

    peers = [p for p in ("torch", "onnxruntime", "jax", "keras") if available(p) and p in (args.peers or [p])]
    machine = describe(peers, args.threads)
    print("\n".join(f"{key}: {value}" for key, value in machine.items()) + "\n")
    rows = []
    for name in names:
        row = fit_row(name, peers, args) if name.startswith("fit/") else cell_row(name, peers, args)
        rows.append(row)
        print(progress_line(row), file=sys.stderr, flush=True)
        gc.collect()
    machine["load after"] = load_average()
    print(report(rows))
    print(
        f"\nLoad average before {machine['load before']}, after {machine['load after']}; "
        "it stays at about the number of threads if nothing else runs."
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)
    return 0


def pin(threads: int) -> None:
    """Give this process exactly `threads` cores and tell every runtime so; before any of them is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < threads:
            sys.exit(f"error: --threads {threads}, but this process may use {len(cores)} cores")
        os.sched_setaffinity(0, cores[:threads])


def available(peer: str) -> bool:
    needs = {"onnxruntime": ("onnxruntime", "onnx")}.get(peer, (peer,))
    return all(importlib.util.find_spec(module) for module in needs)


def keras_backends() -> list[str]:
    return [b for b in ("torch", "jax", "tensorflow") if importlib.util.find_spec(b)]


def describe(peers: list[str], threads: int) -> dict[str, str]:
    from importlib.metadata import version

    import fastrnn

    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            cpu = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "threads": str(threads),
        "fastrnn": f"{fastrnn.__version__} ({fastrnn._native.isa})",
        "peers": ", ".join(f"{p} {version(p)}" for p in peers) or "none found",
        "load before": load_average(),
    }


def load_average() -> str:
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def cell_row(name: str, peers: list[str], args) -> dict:
    import numpy as np

    from fastrnn import _native
    from fastrnn._cli.bench import GATES, Shape, calls_for, flops, timed

    cell, size, mode = name.split("/")
    shape = Shape(*map(int, size.split("x")))
    rng = np.random.default_rng(0)
    weights = make_weights(cell, shape.features, shape.units, GATES[cell], rng)
    x = rng.standard_normal((shape.batch, shape.steps, shape.features), dtype=np.float32)
    y = rng.uniform(-0.5, 0.5, (shape.batch, shape.steps, shape.units)).astype(np.float32)
    classes = [CONTESTANTS[p] for p in ("fastrnn", *peers) if p in CONTESTANTS]
    if mode == "train":
        classes = [c for c in classes if c.train is not None]
    contestants = [c(cell, shape, weights, x, y, args.threads) for c in classes]
    (check_training if mode == "train" else check_outputs)(name, contestants, weights, shape)

    calls = {c.name: c.train if mode == "train" else c.forward for c in contestants}
    counts = {who: calls_for(call, args.slot) for who, call in calls.items()}
    peaks = []

    def turn(who):
        return timed(calls[who], counts[who]) / counts[who]

    times = take_turns(list(calls), turn, args, lambda: peaks.append(_native.fma_peak(0.02, threads=args.threads)))
    peak = float(np.median(peaks)) * 1e9
    return make_row(name, times, flops(cell, shape, "train" if mode == "train" else "forward") / peak)


def check_outputs(name, contestants, weights, shape) -> None:
    import numpy as np

    ours, *others = [(c.name, c.output()) for c in contestants]
    for who, output in others:
        worst = float(np.max(np.abs(output - ours[1])))
        if not worst <= 2e-5:  # outputs lie within -1..1
            sys.exit(f"error: {name}: the outputs of {who} and {ours[0]} differ by {worst:.2g}")


def check_training(name, contestants, weights, shape) -> None:
    """One step at a rate so large that the change of the weights stands clear of their rounding."""
    import numpy as np

    changes = []
    for contestant in contestants:
        contestant.set_rate(float(10 * shape.units))
        contestant.train()
        trained = contestant.weights()
        changes.append([after - before for after, before in zip(trained, weights, strict=True)])
        contestant.set_rate(1e-3)
    for contestant, change in zip(contestants[1:], changes[1:], strict=True):
        for what, ours, theirs in zip(
            ("kernel", "recurrent kernel", "bias"), changes[0], change, strict=True
        ):
            worst, scale = float(np.max(np.abs(theirs - ours))), float(np.max(np.abs(ours)))
            if not worst <= 5e-4 * scale + 2e-7:
                sys.exit(
                    f"error: {name}: after one step the {what} of {contestant.name} and "
                    f"{contestants[0].name} differ by {worst:.2g}, the step itself being {scale:.2g}"
                )


def take_turns(names, turn, args, every_round) -> dict[str, float]:
    """Median seconds of each name over the rounds; the order rotates: no one always follows the same one."""
    import numpy as np

    times = {who: [] for who in names}
    for k in range(args.rounds):
        every_round()
        for who in names[k % len(names) :] + names[: k % len(names)]:
            time.sleep(0.02)  # threads of the one before spin or tidy up for a while: after JAX on the same core
            times[who].append(turn(who))
    return {who: float(np.median(values)) for who, values in times.items()}


def make_row(name: str, times: dict[str, float], at_peak: float | None) -> dict:
    """`at_peak`: seconds that the row takes at the peak, or None where flops mean nothing."""
    peers = {who: t for who, t in times.items() if who != "fastrnn"}
    fastest = min(peers, key=peers.get, default=None)
    return {
        "name": name,
        "seconds": times,
        "share_of_peak": {who: at_peak / t for who, t in times.items()} if at_peak else {},
        "fastest_peer": fastest,
        "ratio": peers[fastest] / times["fastrnn"] if fastest else None,
    }


# --- The row of the small model inside `fit`.


def fit_problem(cell: str):
    """Weights of cell(7) -> Dense(4) -> Dense(1) and its three windows of five steps of one feature."""
    import numpy as np

    from fastrnn._cli.bench import GATES

    rng = np.random.default_rng(1)
    weights = make_weights(cell, 1, 7, GATES[cell], rng)
    for rows, columns in ((7, 4), (4, 1)):
        weights.append(rng.uniform(-0.6, 0.6, (rows, columns)).astype(np.float32))
        weights.append(np.zeros(columns, np.float32))
    x = rng.uniform(-1, 1, (FIT_SAMPLES, 5, 1)).astype(np.float32)
    y = rng.uniform(-1, 1, (FIT_SAMPLES, 1)).astype(np.float32)
    return weights, x, y


def keras_fit(library, cell: str):
    """(check, run) for fastrnn or Keras: `check()` gives the losses of five epochs, `run()` is timed."""
    weights, x, y = fit_problem(cell)
    layers = library.layers
    layer = {"lstm": layers.LSTM, "gru": layers.GRU, "simple_rnn": layers.SimpleRNN}[cell]
    model = library.Sequential([library.Input((5, 1)), layer(7), layers.Dense(4), layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    model.set_weights(weights)

    def fit(epochs, shuffle=True):
        return model.fit(x, y, epochs=epochs, batch_size=1, verbose=0, shuffle=shuffle)

    return lambda: fit(5, shuffle=False).history["loss"], lambda: fit(FIT_EPOCHS)


def torch_fit(cell: str):
    import torch

    weights, x, y = fit_problem(cell)
    rnn = torch_rnn(cell, 1, 7, weights[:3], batch_first=True)
    dense = [torch.nn.Linear(7, 4), torch.nn.Linear(4, 1)]
    with torch.no_grad():
        for layer, kernel, bias in zip(dense, weights[3::2], weights[4::2], strict=True):
            layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias))
    parameters = [p for module in (rnn, *dense) for p in module.parameters()]
    if cell != "gru":  # Keras has one bias
        rnn.bias_hh_l0.requires_grad_(False)
        parameters = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.001, eps=1e-7)
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def fit(epochs, shuffle=True):
        losses = []
        for _ in range(epochs):
            order = torch.randperm(FIT_SAMPLES) if shuffle else torch.arange(FIT_SAMPLES)
            total = 0.0
            for k in order.tolist():
                optimizer.zero_grad()
                output = dense[1](dense[0](rnn(x[k : k + 1])[0][:, -1]))
                loss = torch.nn.functional.mse_loss(output, y[k : k + 1])
                loss.backward()
                optimizer.step()
                total += loss.item()
            losses.append(total / FIT_SAMPLES)
        return losses

    return lambda: fit(5, shuffle=False), lambda: fit(FIT_EPOCHS)


class KerasProcess:
    """One Keras backend in a process of its own, which does one thing per line that it is sent."""

    def __init__(self, backend: str, cell: str, threads: int):
        command = [sys.executable, __file__, "--keras-worker", cell, "--threads", str(threads)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "KERAS_BACKEND": backend},
        )

    def ask(self, *question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"error: the Keras process ended with code {self.process.wait()}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def keras_worker(cell: str) -> int:
    """The other end of KerasProcess."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not get between the answers
    import keras

    from fastrnn._cli.bench import calls_for, timed

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    check, fit = keras_fit(keras, cell)
    for line in sys.stdin:
        action, *values = json.loads(line)
        if action == "check":
            answer = check()
        elif action == "calls":
            answer = calls_for(fit, *values)
        else:
            answer = timed(fit, *values)
        print(json.dumps(answer), file=answers, flush=True)
    return 0


def fit_row(name: str, peers: list[str], args) -> dict:
    import fastrnn
    from fastrnn._cli.bench import calls_for, timed

    cell = name.split("/")[1]
    fastrnn.set_num_threads(args.threads)
    local = {"fastrnn": keras_fit(fastrnn, cell)}
    if "torch" in peers:
        import torch

        torch.set_num_threads(args.threads)
        local["PyTorch"] = torch_fit(cell)
    remote = {}
    if "keras" in peers:
        remote = {f"Keras/{b}": KerasProcess(b, cell, args.threads) for b in keras_backends()}

    losses = {who: check() for who, (check, _) in local.items()}
    losses |= {who: process.ask("check") for who, process in remote.items()}
    for who, values in losses.items():
        for ours, theirs in zip(losses["fastrnn"], values, strict=True):
            if not abs(theirs - ours) <= 1e-4 * abs(ours):
                sys.exit(
                    f"error: {name}: losses per epoch of {who} {values} and of fastrnn {losses['fastrnn']}"
                )

    counts = {who: calls_for(run, args.slot) for who, (_, run) in local.items()}
    counts |= {who: process.ask("calls", args.slot) for who, process in remote.items()}

    def turn(who):
        took = remote[who].ask("time", counts[who]) if who in remote else timed(local[who][1], counts[who])
        return took / (counts[who] * FIT_EPOCHS * FIT_SAMPLES)

    times = take_turns(list(counts), turn, args, lambda: None)
    for process in remote.values():
        process.close()
    return make_row(name, times, None)


# --- The report.


def progress_line(row: dict) -> str:
    from fastrnn._cli.bench import format_time

    times = "  ".join(f"{who} {format_time(t)}" for who, t in row["seconds"].items())
    ratio = "" if row["ratio"] is None else f"  ratio {row['ratio']:.2f}"
    return f"{row['name']}: {times}{ratio}"


def report(rows: list[dict]) -> str:
    """The Markdown table, the geometric means and the rows lost."""
    from fastrnn._cli.bench import format_time

    who = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    lines = ["| row | " + " | ".join(who) + " | fastest peer / fastrnn |", "|---" * (len(who) + 2) + "|"]
    for row in rows:
        cells = []
        for name in who:
            text = ""
            if name in row["seconds"]:
                text = format_time(row["seconds"][name])
                if name in row["share_of_peak"]:
                    text += f" {row['share_of_peak'][name]:.0%}"
            cells.append(text)
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f} ({row['fastest_peer']})"
        lines.append(f"| {row['name']} | " + " | ".join(cells) + f" | {ratio} |")

    compared = [row for row in rows if row["ratio"] is not None]
    if not compared:
        return "\n".join(lines)
    lines.append("")
    groups = {mode: [r for r in compared if r["name"].endswith(mode)] for mode in MODES}
    groups["inference and train"] = groups["inference"] + groups["train"]
    groups["fit"] = [r for r in compared if r["name"].startswith("fit/")]
    for group, members in groups.items():
        if members:
            mean = math.exp(sum(math.log(r["ratio"]) for r in members) / len(members))
            lines.append(f"Geometric mean over {len(members)} rows, {group}: {mean:.2f}")
    lost = sorted((r for r in compared if r["ratio"] < 1), key=lambda r: r["ratio"])
    lines.append(f"Rows lost: {len(lost)} of {len(compared)}")
    lines += [f"- {r['name']}: {r['ratio']:.2f} of {r['fastest_peer']}" for r in lost]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
