"""The progress display of `fit`, `evaluate` and `predict`.

On a terminal: a live bar (tqdm) that ends as one line. In a file or pipe: that one line only. With
``verbose=2`` the line has Keras's second form. A training step may take a few microseconds, so
`ProgressBar.update` is almost always one comparison; the clock is read and the logs are computed only when
the bar may be drawn again.
"""

import math
import sys
import time

_REDRAW = 0.1  # seconds between two drawings of the bar
_WIDTH = 20

# the bar on the last line of the terminal, so that messages can be printed above it
_live = None


def print_message(message):
    """Print a line to stdout, past a live bar if there is one."""
    if sys.stdout is None:
        return
    if _live is not None:
        _live.clear()
    print(message, flush=True)


def as_verbosity(verbose):
    """0, 1 or 2 from what the user passed as ``verbose`` ("auto" is 1).

    >>> as_verbosity("auto"), as_verbosity(False), as_verbosity(2)
    (1, 0, 2)
    """
    if verbose == "auto":
        return 1
    if verbose not in (0, 1, 2, None):
        raise ValueError(f"`verbose` must be 0, 1, 2 or 'auto'. Received: verbose={verbose!r}")
    return int(verbose or 0)


def format_logs(logs):
    """The metrics of a line: ``" - acc: 5.0000e-04 - loss: 0.1234"``.

    >>> format_logs({"acc": 0.0005, "loss": 0.12344})
    ' - acc: 5.0000e-04 - loss: 0.1234'
    """
    parts = []
    for name, value in (logs or {}).items():
        try:
            value = float(value)
        except TypeError:  # an array: one value per class or threshold
            value = sum(map(float, value)) / len(value)
        parts.append(f" - {name}: {value:.4f}" if abs(value) > 1e-3 else f" - {name}: {value:.4e}")
    return "".join(parts)


def format_time_per_step(seconds, unit="step"):
    """Seconds as ``"3ms/step"``.

    >>> format_time_per_step(0.003), format_time_per_step(4.6e-6), format_time_per_step(2.0)
    ('3ms/step', '5us/step', '2s/step')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit}"
    return f"{seconds * 1e6:.0f}us/{unit}"


class ProgressBar:
    """Progress through the batches of one epoch, or of one evaluate or predict.

    Args:
        total: number of batches, None if unknown.
        verbose: 0 nothing, 1 a bar, 2 a line at the end, "auto" = 1.
        epoch, epochs: 0-based index and number of epochs; prints ``Epoch 1/5`` first if there are several.
        unit: what a batch is called.

    >>> bar = ProgressBar(2, verbose=0)
    >>> for done in (1, 2):
    ...     bar.update(done, lambda: {"loss": 0.5})
    >>> bar.finish({"loss": 0.5})
    """

    def __init__(self, total, verbose="auto", epoch=None, epochs=None, unit="step"):
        self.total = total
        self.verbose = 0 if sys.stdout is None else as_verbosity(verbose)
        self.unit = unit
        self.done = 0
        self._bar = None
        self._finished = self.verbose == 0
        self._start = self._last_check = self._last_drawn = time.perf_counter()
        self._steps_end = None
        self._checked = 0
        # the number of batches at which to look at the clock again
        self._next = math.inf if self.verbose == 0 else 1 if self.verbose == 1 and _is_live() else total or math.inf
        if self.verbose and epoch is not None and epochs is not None and epochs > 1:
            print_message(f"Epoch {epoch + 1}/{epochs}")

    def update(self, done, logs_fn=None):
        """Say that ``done`` batches are finished; ``logs_fn()`` gives the logs if they are to be shown."""
        self.done = done
        if done >= self._next:
            self._look(logs_fn)

    def _look(self, logs_fn):
        now = time.perf_counter()
        if self.total is not None and self.done >= self.total:
            self._steps_end = now  # what follows, as the validation, is not part of the time per step
            self._next = math.inf
        else:
            # look again after about a quarter of the redraw interval, at this pace
            pace = (self.done - self._checked) / max(now - self._last_check, 1e-9)
            stride = max(1, min(int(pace * _REDRAW / 4), 10 * max(1, self.done - self._checked)))
            self._next = min(self.done + stride, self.total or math.inf)
        self._checked, self._last_check = self.done, now
        if self.verbose == 1 and not self._finished and now - self._last_drawn >= _REDRAW and _is_live():
            self._last_drawn = now
            self._draw(logs_fn, now)

    def _draw(self, logs_fn, now):
        global _live
        if self._bar is None:
            self._bar = _terminal_bar(self.total)
            _live = self._bar
        step_time = (now - self._start) / self.done
        left = "" if self.total is None else f"{_clock(step_time * (self.total - self.done))} "
        logs = format_logs(logs_fn()) if logs_fn is not None else ""
        self._bar.n = self.done
        self._bar.set_description_str(
            f"{left}{format_time_per_step(step_time, self.unit)}{logs}", refresh=False
        )
        self._bar.refresh()

    def finish(self, logs=None):
        """Print the final line, with the logs; further calls do nothing."""
        if self._finished:
            return
        self._finished = True
        self.clear()
        now = time.perf_counter()
        steps = (self._steps_end or now) - self._start
        step_time = format_time_per_step(steps / self.done if self.done else 0, self.unit)
        elapsed = f"{now - self._start:.0f}s"
        total = self.done if self.total is None else self.total
        count = f"{self.done:>{len(str(total))}}/{total}"
        if self.verbose == 1:
            filled = _WIDTH * self.done // total if total else _WIDTH
            full, empty = _bar_characters()
            line = f"{count} {full * filled}{empty * (_WIDTH - filled)} {elapsed} {step_time}"
        else:
            line = f"{count} - {elapsed} - {step_time}"
        print(line + format_logs(logs), flush=True)

    def close(self, logs=None):
        """Leave the terminal in order after an interruption: print the line as far as it got."""
        self.finish(logs)

    def clear(self):
        """Take the live bar off the terminal, as before something else prints; `finish` still prints its line."""
        global _live
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            _live = None


def _is_live():
    """Whether stdout can draw over its last line."""
    out = sys.stdout
    return (hasattr(out, "isatty") and out.isatty()) or "ipykernel" in sys.modules


def _bar_characters():
    try:
        "━".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "=", "."
    return "━", "╺"


def _terminal_bar(total):
    from tqdm import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # no watcher thread: it would not survive a fork

    unknown = total is None
    return Bar(
        total=total,
        file=sys.stdout,
        leave=False,
        **({"dynamic_ncols": True} if _has_width() else {"ncols": 100, "nrows": 24}),
        delay=1e-9,  # draw nothing before the first `refresh`
        mininterval=0,
        ascii=f" {_bar_characters()[0]}",
        bar_format="{n_fmt}/Unknown {desc}"
        if unknown
        else f"{{n_fmt}}/{{total_fmt}} {{bar:{_WIDTH}}} {{desc}}",
    )


def _has_width():
    """Whether the terminal tells its width (one without a window, as in a container, may say 0)."""
    import os

    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns > 0
    except (OSError, ValueError, AttributeError):
        return False


def _clock(seconds):
    """Remaining time as Keras writes it: ``5s``, ``1:05``, ``1:00:05``."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}" if minutes else f"{seconds}s"
