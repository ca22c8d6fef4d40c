"""The progress display: what it prints into files and terminals, and what it costs."""

import io
import re
import sys

import pytest

from fastrnn import progress
from fastrnn.progress import ProgressBar, format_logs, format_time_per_step


def run(total=3, steps=3, logs=None, **kwargs):
    bar = ProgressBar(total, **kwargs)
    for done in range(1, steps + 1):
        bar.update(done, lambda: {"loss": 1.0})
    bar.finish({"loss": 0.12345, "val_loss": 5.4923e-4} if logs is None else logs)
    return bar


def test_a_file_gets_one_line_per_epoch(capsys):
    for epoch in range(2):
        run(epoch=epoch, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2" and lines[2] == "Epoch 2/2" and len(lines) == 4
    assert re.fullmatch(r"3/3 ━{20} \d+s \d+[mu]?s/step - loss: 0\.1235 - val_loss: 5\.4923e-04", lines[1])


def test_one_epoch_has_no_heading(capsys):
    run(epoch=0, epochs=1)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_verbose_2(capsys):
    run(total=31, steps=31, verbose=2, epoch=4, epochs=5)
    heading, line = capsys.readouterr().out.splitlines()
    assert heading == "Epoch 5/5"
    assert re.fullmatch(r"31/31 - \d+s - \d+[mu]?s/step - loss: 0\.1235 - val_loss: 5\.4923e-04", line)


def test_verbose_0_prints_nothing(capsys):
    run(verbose=0, epoch=0, epochs=5)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_the_line_without_logs(capsys):
    run(total=1, steps=1, logs={})
    assert re.fullmatch(r"1/1 ━{20} 0s \d+[mu]?s/step\n", capsys.readouterr().out)


def test_unknown_number_of_batches(capsys):
    run(total=None, steps=12)
    assert capsys.readouterr().out.startswith("12/12 ━━━")


def test_interruption_leaves_a_line(capsys):
    bar = ProgressBar(100)
    bar.update(25)
    bar.close({"loss": 2.0})
    bar.finish({"loss": 9.0})
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and " 25/100 ━━━━━╺" in out and out.endswith("loss: 2.0000\n")


@pytest.mark.parametrize("verbose,level", [("auto", 1), (True, 1), (False, 0), (None, 0), (2, 2)])
def test_verbosity(verbose, level):
    assert progress.as_verbosity(verbose) == level


def test_unknown_verbosity():
    with pytest.raises(ValueError, match="verbose='loud'"):
        progress.as_verbosity("loud")


def test_numbers_as_keras():
    assert format_logs({"a": 0.5, "b": 0.001, "c": -0.5, "d": 0.0, "e": 12345.678}) == (
        " - a: 0.5000 - b: 1.0000e-03 - c: -0.5000 - d: 0.0000e+00 - e: 12345.6780"
    )
    assert format_logs({"f1_score": [0.5, 1.0]}) == " - f1_score: 0.7500"
    assert format_logs({"loss": float("nan")}) == " - loss: nan"
    assert [format_time_per_step(t) for t in (0, 3e-6, 0.0123, 4)] == [
        "0s/step",
        "3us/step",
        "12ms/step",
        "4s/step",
    ]


def test_logs_are_computed_only_when_drawn(capsys):
    def never():
        raise AssertionError("nobody looks")

    bar = ProgressBar(10_000)
    for done in range(1, 10_001):
        bar.update(done, never)
    bar.finish()


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def terminal(monkeypatch, encoding="utf-8"):
    out = Terminal()
    out.encoding = encoding
    monkeypatch.setattr(sys, "stdout", out)
    return out


def fake_clock(monkeypatch, per_call):
    now = [0.0]

    def clock():
        now[0] += per_call
        return now[0]

    monkeypatch.setattr(progress.time, "perf_counter", clock)


def test_a_terminal_gets_a_live_bar_and_ends_with_one_line(monkeypatch):
    out = terminal(monkeypatch)
    fake_clock(monkeypatch, 0.06)
    calls = []
    bar = ProgressBar(40)
    for done in range(1, 41):
        bar.update(done, lambda: calls.append(done) or {"loss": 0.5})
    assert 10 <= len(calls) <= 21  # about every second look at the clock
    progress.print_message("between")
    bar.finish({"loss": 0.25})
    text = out.getvalue()
    assert "━" in text and "loss: 0.5000" in text and "between\n" in text
    last = text.splitlines()[-1].split("\r")[-1]
    assert re.fullmatch(r"40/40 ━{20} \d+s \d+ms/step - loss: 0\.2500", last)
    assert progress._live is None


def test_a_fast_loop_draws_rarely_on_a_terminal(monkeypatch):
    terminal(monkeypatch)
    calls = []
    start = progress.time.perf_counter()
    bar = ProgressBar(200_000)
    for done in range(1, 200_001):
        bar.update(done, lambda: calls.append(done) or {})
    seconds = progress.time.perf_counter() - start
    bar.finish()
    assert len(calls) <= 10 * seconds + 1


def test_no_watcher_thread(monkeypatch):
    import threading

    before = threading.active_count()
    terminal(monkeypatch)
    fake_clock(monkeypatch, 0.2)
    bar = ProgressBar(3)
    bar.update(1)
    assert bar._bar is not None and threading.active_count() == before
    bar.finish()


def test_an_ascii_terminal(monkeypatch):
    out = terminal(monkeypatch, "ascii")
    fake_clock(monkeypatch, 0.2)
    run(total=4, steps=4)
    assert out.getvalue().isascii() and "====" in out.getvalue()


def test_validation_time_is_not_part_of_the_step_time(monkeypatch, capsys):
    fake_clock(monkeypatch, 1.0)
    bar = ProgressBar(2)  # the clock reads 1
    bar.update(1)
    bar.update(2)  # 2
    for _ in range(8):
        progress.time.perf_counter()  # a long validation
    bar.finish()  # 11
    assert " 10s 500ms/step" in capsys.readouterr().out


def test_no_stdout_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    run(epoch=0, epochs=2)
    progress.print_message("lost")
