"""`python -m fastrnn`: the commands, their output and their exit codes; the picture in the terminal."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn._cli import bench, demo, main, termplot
from fastrnn.datasets import sunspots

pytestmark = pytest.mark.fastrnn_only


def command(*arguments, cwd=None, **environment):
    """Run `python -m fastrnn ...` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "fastrnn", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        timeout=300,
    )


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "required: COMMAND"),
            (["dmeo"], "invalid choice: 'dmeo'"),
            (["demo", "--epochs", "0"], "argument --epochs: must be at least 1, got 0"),
            (["demo", "--epochs", "many"], "argument --epochs: must be an integer, got 'many'"),
            (["demo", "--seed", "-1"], "argument --seed: must lie between 0 and 2**32 - 1, got -1"),
            (["demo", "--png", "a.png", "--no-png"], "not allowed with argument"),
            (["bench", "--shapes", "1,2,3"], "four integers of at least 1"),
            (["bench", "--shapes", "1,2,3,0"], "four integers of at least 1"),
            (["bench", "--cells", "lstn"], "invalid choice: 'lstn'"),
            (["bench", "--threads", "0"], "argument --threads: must be at least 1, got 0"),
            (["bench", "--seconds", "nan"], "argument --seconds: must be finite and above 0, got nan"),
            (["info", "extra"], "unrecognized arguments: extra"),
        ],
    )
    def test_wrong_ones_exit_with_2_and_say_why(self, capsys, arguments, message):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [[], ["demo"], ["bench"], ["info"]])
    def test_help(self, capsys, arguments):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--help"])
        assert stop.value.code == 0
        output = capsys.readouterr().out
        assert "usage: python -m fastrnn" in output
        assert "None" not in output

    def test_version(self, capsys):
        import fastrnn

        with pytest.raises(SystemExit) as stop:
            main(["--version"])
        assert stop.value.code == 0
        assert capsys.readouterr().out == f"fastrnn {fastrnn.__version__}\n"

    def test_interrupt_exits_with_130(self, capsys, monkeypatch):
        def interrupt(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(demo, "train_and_forecast", interrupt)
        assert main(["demo", "--no-png"]) == 130
        assert "interrupted" in capsys.readouterr().err


class TestInfo:
    def test_is_show_config(self, capsys):
        import fastrnn

        fastrnn.show_config()
        expected = capsys.readouterr().out
        assert main(["info"]) == 0
        assert capsys.readouterr().out == expected
        assert fastrnn.__version__ in expected
        assert np.__version__ in expected


class TestDemo:
    @pytest.mark.parametrize("seed", range(10))
    def test_beats_the_naive_forecast_by_20_percent(self, seed):
        result = demo.train_and_forecast(seed)
        ours, naive = (demo.errors(result.measured, forecast) for forecast in (result.forecast, result.naive))
        assert ours[0] <= 0.8 * naive[0]
        assert ours[1] <= 0.8 * naive[1]

    def test_forecasts_years_that_it_did_not_see(self, monkeypatch):
        """The held-back values change only the windows that hold them: the first forecast sees none."""
        years, numbers = sunspots.load_data()
        first = demo.train_and_forecast(0, epochs=1).forecast[0]
        changed = numbers.copy()
        changed[-demo.HELD_BACK :] = 0.0
        monkeypatch.setattr(sunspots, "load_data", lambda: (years, changed))
        assert demo.train_and_forecast(0, epochs=1).forecast[0] == first

    def test_naive_forecast_is_the_year_before(self):
        years, numbers = sunspots.load_data()
        result = demo.train_and_forecast(0, epochs=1)
        np.testing.assert_array_equal(result.years, years[-60:])
        np.testing.assert_array_equal(result.measured, numbers[-60:])
        np.testing.assert_array_equal(result.naive, numbers[-61:-1])

    def test_counts_its_steps(self):
        steps = -(-(309 - demo.WINDOW - demo.HELD_BACK) // demo.BATCH)
        assert demo.train_and_forecast(0, epochs=3).steps == 3 * steps

    def test_same_seed_same_forecast(self):
        one, two, other = (demo.train_and_forecast(seed, epochs=2).forecast for seed in (5, 5, 6))
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, other)

    def test_prints_errors_times_and_picture(self, tmp_path):
        done = command("demo", "--epochs", "2", "--no-png", cwd=tmp_path, COLUMNS="80", LINES="30")
        assert done.returncode == 0, done.stderr
        for text in (
            "Epoch 2/2",
            "naive, same as last year",
            "root mean square",
            "per step",
            "1949",
            "2008",
            "● forecast",
        ):
            assert text in done.stdout
        assert "\x1b[31m" not in done.stdout  # no colour outside a terminal
        picture = done.stdout[done.stdout.index("One-step-ahead") :]
        assert max(map(len, picture.splitlines())) <= 100
        assert list(tmp_path.iterdir()) == []

    def test_ascii_terminal(self, tmp_path):
        done = command("demo", "--epochs", "1", "--no-png", cwd=tmp_path, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert "o forecast" in done.stdout
        assert done.stdout.isascii()

    def test_png_without_matplotlib(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(demo, "_have_matplotlib", lambda: False)
        monkeypatch.chdir(tmp_path)
        assert main(["demo", "--epochs", "1", "--png", "x.png"]) == 1
        assert "pip install 'fastrnn[plot]'" in capsys.readouterr().err
        assert main(["demo", "--epochs", "1"]) == 0
        assert "pip install 'fastrnn[plot]'" in capsys.readouterr().out
        assert list(tmp_path.iterdir()) == []

    def test_png(self, tmp_path, monkeypatch, capsys):
        pytest.importorskip("matplotlib")
        path = tmp_path / "forecast.png"
        assert main(["demo", "--epochs", "1", "--png", str(path)]) == 0
        assert str(path) in capsys.readouterr().out
        assert path.read_bytes().startswith(b"\x89PNG")
        monkeypatch.chdir(tmp_path)
        assert main(["demo", "--epochs", "1"]) == 0
        assert (tmp_path / "fastrnn-demo.png").exists()

    def test_png_that_cannot_be_written(self, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        assert main(["demo", "--epochs", "1", "--png", str(tmp_path / "no" / "x.png")]) == 1
        assert "cannot write" in capsys.readouterr().err


class TestBench:
    @pytest.mark.parametrize("threads", ["1", "2"])
    def test_rows(self, tmp_path, capsys, request, threads):
        request.addfinalizer(lambda: fastrnn.set_num_threads(None))
        path = tmp_path / "rows.json"
        arguments = ["bench", "--shapes", "2,3,4,5", "--seconds", "0.01", "--threads", threads]
        assert main([*arguments, "--json", str(path)]) == 0
        output = capsys.readouterr().out
        assert "GFLOP/s" in output
        rows = json.loads(path.read_text())
        assert [(row["cell"], row["mode"]) for row in rows] == [
            (c, m) for c in bench.GATES for m in bench.MODES
        ]
        for row in rows:
            assert row["cell"] in output
            assert row["seconds"] > 0
            assert row["gflops"] == pytest.approx(
                bench.flops(row["cell"], bench.Shape(2, 3, 4, 5), row["mode"]) / row["seconds"] / 1e9
            )
            assert 0 < row["share_of_peak"] < 1

    def test_file_that_cannot_be_written_fails_before_measuring(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(bench, "measure", None)
        assert main(["bench", "--json", str(tmp_path / "no" / "rows.json")]) == 1
        assert "cannot write" in capsys.readouterr().err

    @pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("simple_rnn", 1)])
    def test_flops(self, cell, gates):
        shape = bench.Shape(2, 3, 5, 7)
        input_product, recurrent_product = 2 * 6 * 5 * gates * 7, 2 * 6 * 7 * gates * 7
        assert bench.flops(cell, shape, "forward") == input_product + recurrent_product
        # dW; dU and dh
        assert bench.flops(cell, shape, "train") == 2 * input_product + 3 * recurrent_product

    @pytest.mark.parametrize("cell", bench.GATES)
    def test_measures_the_layer_that_it_names(self, cell):
        shape = bench.Shape(2, 3, 4, 5)
        assert bench.layer_call(cell, shape, "forward")().shape == (2, 3, 5)
        assert np.isfinite(bench.layer_call(cell, shape, "train")())


class TestPicture:
    def test_line_lengths(self):
        x = np.arange(1900, 1990)
        values = np.abs(np.sin(x)) * 200
        for width in (20, 40, 79, 120, 300):
            lines = termplot.picture(x, values, values, width=width, height=10).splitlines()
            assert len(lines) == 12
            assert max(map(len, lines)) <= width

    def test_dots_follow_their_values(self):
        lines = termplot.picture(
            [1, 2, 3], [0, 0, 0], [1, 2, 3], width=8, height=3, glyphs=termplot.ASCII
        ).splitlines()
        assert [line.find("o") for line in lines[:3]] == [6, 5, 4]

    def test_values_that_are_not_finite_are_left_out(self):
        nan = np.array([np.nan, np.inf, -np.inf, 1.0])
        text = termplot.picture([1, 2, 3, 4], nan, nan, width=8, glyphs=termplot.ASCII)
        assert text.count("o") == 1

    def test_all_zero(self):
        assert "0" in termplot.picture([1, 2], [0, 0], [0, 0])

    @pytest.mark.parametrize("series", [([], [], []), ([1, 2], [1, 2], [1]), ([[1]], [[1]], [[1]])])
    def test_unequal_series(self, series):
        with pytest.raises(ValueError, match="three equal 1-D series"):
            termplot.picture(*series)

    @pytest.mark.parametrize(
        ("encoding", "expected"),
        [("utf-8", "UNICODE"), ("ascii", "ASCII"), ("latin-1", "ASCII"), ("nonsense", "ASCII")],
    )
    def test_glyphs_fit_the_encoding(self, encoding, expected):
        stream = io.StringIO()
        named = type("Stream", (), {"encoding": encoding})()
        assert termplot.glyphs_for(named) is getattr(termplot, expected)
        assert termplot.glyphs_for(stream) is termplot.ASCII  # no encoding at all


class TestSunspots:
    def test_values(self):
        years, numbers = sunspots.load_data()
        np.testing.assert_array_equal(years, np.arange(1700, 2009))
        assert numbers.shape == (309,)
        assert numbers.dtype == np.float64
        assert numbers[0] == 5.0
        assert numbers.max() == numbers[years == 1957][0] == 190.2
        assert np.isfinite(numbers).all()
        assert (numbers >= 0).all()

    def test_each_call_gives_its_own_arrays(self):
        sunspots.load_data()[1][:] = 0
        assert sunspots.load_data()[1].max() > 0
