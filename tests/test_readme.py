"""The examples of the README run as they stand, each on its own."""

import importlib.metadata
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fastrnn_only


def readme():
    """The file beside the tests, else the copy in the installed package's metadata."""
    path = Path(__file__).parents[1] / "README.md"
    if path.exists():
        return path.read_text(encoding="utf-8")
    return importlib.metadata.metadata("fastrnn").get_payload()


EXAMPLES = re.findall(r"^```python\n(.*?)^```", readme(), flags=re.DOTALL | re.MULTILINE)


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("code", EXAMPLES, ids=[f"example_{k}" for k in range(1, len(EXAMPLES) + 1)])
def test_example_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    printed = iter(capsys.readouterr().out.splitlines())
    for promised in re.findall(r"^print\(.*  # (.*)$", code, flags=re.MULTILINE):
        assert promised in printed


def test_command_line_and_test_command_are_named():
    text = readme()
    for line in ("pip install .\npython -m fastrnn demo\n", "pip install '.[test]' && python -m pytest\n"):
        assert f"```\n{line}```" in text
