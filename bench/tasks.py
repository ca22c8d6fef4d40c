"""Five small real tasks: the same script in fastrnn and in Keras, several seeds, what accuracy they reach and how long they take.

    pip install keras torch scikit-learn            # beside fastrnn
    python bench/tasks.py                           # five seeds, some minutes, nearly all of them Keras's
    python bench/tasks.py --tasks digits --seeds 2

A task is a function of the library and nothing else: it makes its model by Keras's names, trains it and returns a score on data that
it was not trained on. Seeds change the initial weights and the order of the samples. The two libraries draw from the same distributions,
but not the same numbers, so that scores of one seed differ; their means should agree within the scatter of the seeds. The last columns
say by how many standard errors they differ (beyond 2 to 3 something would be wrong), the processor times, and their ratio.

No data is downloaded: sunspots come with fastrnn, digits with scikit-learn, texts with Python, and the oscillations are computed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np


def oscillations(K) -> float:
    """Which of four oscillators? Three noisy channels, 15 to 45 steps, padded and masked."""
    x, y = make_oscillations(1200)
    x_test, y_test = x[800:], y[800:]
    model = K.Sequential([
        K.Input((x.shape[1], 3)),
        K.layers.Masking(mask_value=0.0),
        K.layers.Bidirectional(K.layers.LSTM(16)),
        K.layers.Dense(4, activation="softmax"),
    ])
    model.compile(optimizer=K.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:800], y[:800], epochs=12, batch_size=32, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def docstrings(K) -> float:
    """Which package of the standard library is a docstring from? Words, an embedding and a GRU."""
    texts, y = read_docstrings()
    n_train = len(texts) * 3 // 4
    counts: dict[str, int] = {}
    for word in (word for text in texts[:n_train] for word in text):
        counts[word] = counts.get(word, 0) + 1
    ids = {word: k + 2 for k, word in enumerate(sorted(counts, key=lambda word: (-counts[word], word))[:1500])}
    x = K.utils.pad_sequences([[ids.get(word, 1) for word in text] for text in texts], maxlen=30, padding="post", truncating="post")
    model = K.Sequential([
        K.layers.Embedding(len(ids) + 2, 24, mask_zero=True),
        K.layers.Dropout(0.2),
        K.layers.GRU(24),
        K.layers.Dense(len(PACKAGES), activation="softmax"),
    ])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:n_train], y[:n_train], epochs=10, batch_size=32, verbose=0)
    return model.evaluate(x[n_train:], y[n_train:], verbose=0)[1]


def characters(K) -> float:
    """The next character of Python's language reference, at every one of 40 steps."""
    from pydoc_data.topics import topics

    text = " ".join(" ".join(topics[name].lower().split()) for name in sorted(topics))[:50_000]
    alphabet = {character: k for k, character in enumerate(sorted(set(text)))}
    ids = np.array([alphabet[character] for character in text])
    steps = 40
    windows = len(ids) // steps - 1
    x, y = ids[: windows * steps].reshape(windows, steps), ids[1 : windows * steps + 1].reshape(windows, steps)
    n_train = windows * 4 // 5
    model = K.Sequential([
        K.layers.Embedding(len(alphabet), 16),
        K.layers.LSTM(64, return_sequences=True),
        K.layers.Dense(len(alphabet), activation="softmax"),
    ])
    model.compile(optimizer=K.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:n_train], y[:n_train], epochs=20, batch_size=32, verbose=0)
    return model.evaluate(x[n_train:], y[n_train:], verbose=0)[1]


def digits(K) -> float:
    """Handwritten digits, read row by row: eight steps of eight pixels."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8).astype("float32")
    model = K.Sequential([K.Input((8, 8)), K.layers.LSTM(32), K.layers.Dense(10, activation="softmax")])
    model.compile(optimizer=K.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:1297], y[:1297], epochs=20, batch_size=32, verbose=0)
    return model.evaluate(x[1297:], y[1297:], verbose=0)[1]


def sunspots(K) -> float:
    """The next year's sunspot number from the 24 years before; root mean square error of the last 60 years."""
    from fastrnn.datasets import sunspots

    series = sunspots.load_data()[1].astype("float32") / 100
    x = np.lib.stride_tricks.sliding_window_view(series, 24)[:-1, :, np.newaxis].copy()
    y = series[24:]
    model = K.Sequential([K.Input((24, 1)), K.layers.LSTM(16), K.layers.Dense(1)])
    model.compile(optimizer=K.optimizers.Adam(0.01), loss="mse")
    model.fit(x[:-60], y[:-60], epochs=60, batch_size=16, verbose=0)
    return 100 * float(np.sqrt(np.mean((model.predict(x[-60:], verbose=0)[:, 0] - y[-60:]) ** 2)))


# (function, what the score is)
TASKS = (
    (oscillations, "accuracy"), (docstrings, "accuracy"), (characters, "accuracy"), (digits, "accuracy"), (sunspots, "error"),
)  # fmt: skip
PACKAGES = ("asyncio", "email", "tkinter", "unittest", "importlib")


def make_oscillations(count: int):
    """Classes differ in the pace of the second channel and in which of the channels lead; the noise hides single steps."""
    rng = np.random.default_rng(1)
    x, y = np.zeros((count, 45, 3), "float32"), rng.integers(0, 4, count)
    for row, label in zip(x, y):
        n = rng.integers(15, 46)
        t = np.arange(n) * rng.uniform(0.35, 0.45) + rng.uniform(0, 2 * np.pi)
        lag = (-1, 1)[label % 2] * np.pi / 3
        pace = (1.0, 1.15)[label // 2]
        row[:n] = np.stack([np.sin(t), np.sin(pace * t + lag), np.cos(t - lag)], axis=1) + rng.normal(0, 0.9, (n, 3))
    return x, y


def read_docstrings():
    """(lists of words, numbers of packages) of the docstrings of five packages, shuffled; none of them is imported."""
    import ast
    import re
    import sysconfig
    from pathlib import Path

    found = set()
    for label, package in enumerate(PACKAGES):
        for path in sorted((Path(sysconfig.get_path("stdlib")) / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
                    words = re.findall(r"[a-z]+", (ast.get_docstring(node) or "").lower())
                    if len(words) >= 5:
                        found.add((" ".join(words), label))
    pairs = sorted(found)
    pairs = [pairs[k] for k in np.random.default_rng(0).permutation(len(pairs))]
    return [text.split() for text, _ in pairs], np.array([label for _, label in pairs])


def run(task, library, seed: int) -> tuple[float, float]:
    """(score, seconds of processor time, which other work on the machine hardly changes) of one training."""
    library.utils.clear_session()
    library.utils.set_random_seed(seed)
    start = time.process_time()
    score = float(task(library))
    return score, time.process_time() - start


def report(task, measure: str, ours: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> str:
    """The row of a task."""
    (our_scores, our_times), (their_scores, their_times) = zip(*ours), zip(*theirs)

    def show(scores):
        digits = 1 if measure == "error" else 3
        return f"{statistics.mean(scores):.{digits}f} ({min(scores):.{digits}f} to {max(scores):.{digits}f})"

    errors = "n/a"
    if len(ours) > 1:
        spread = (statistics.variance(our_scores) / len(ours) + statistics.variance(their_scores) / len(theirs)) ** 0.5
        errors = f"{(statistics.mean(our_scores) - statistics.mean(their_scores)) / max(spread, 1e-12):+.1f}"
    times = statistics.median(our_times), statistics.median(their_times)
    return (f"| {task.__name__} | {measure} | {show(our_scores)} | {show(their_scores)} | {errors} | {times[0]:.2f} s | {times[1]:.1f} s | "
            f"{times[1] / times[0]:.0f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="bench/tasks.py")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings per task and library (default: 5)")
    names = [task.__name__ for task, _ in TASKS]
    parser.add_argument("--tasks", nargs="+", default=names, choices=names, help="some of the tasks only")
    args = parser.parse_args()

    import keras

    import fastrnn

    print(f"fastrnn {fastrnn.__version__} ({fastrnn._native.isa}) and Keras {keras.__version__} on {keras.backend.backend()}, one thread, "
          f"{args.seeds} seeds, Python {sys.version.split()[0]}\n")
    print("| task | score | fastrnn, mean (min to max) | Keras, mean (min to max) | standard errors apart | fastrnn | Keras | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for task, measure in TASKS:
        if task.__name__ in args.tasks:
            results = {library: [] for library in (fastrnn, keras)}
            for seed in range(args.seeds):
                for library, found in results.items():
                    found.append(run(task, library, seed))
                    score, seconds = found[-1]
                    print(f"{task.__name__}, seed {seed}, {library.__name__}: {score:.4f} in {seconds:.2f} s", file=sys.stderr)
            print(report(task, measure, results[fastrnn], results[keras]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
