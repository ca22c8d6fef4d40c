"""The examples of the README run as they stand, each on its own."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from fastrnn._cli import support

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
    for name in re.findall(r"^# needs (\w+)", code, flags=re.MULTILINE):
        pytest.importorskip(name)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    printed = iter(capsys.readouterr().out.splitlines())
    for promised in re.findall(r"^print\(.*  # (.*)$", code, flags=re.MULTILINE):
        assert promised in printed


def test_command_line_and_test_command_are_named():
    text = readme()
    for line in ("pip install .\npython -m fastrnn demo\n", "pip install '.[test]' && python -m pytest\n"):
        assert f"```\n{line}```" in text


def test_support_table_is_that_of_the_package():
    _, begin, rest = readme().partition(support.BEGIN)
    table, end, _ = rest.partition(support.END)
    assert begin and end
    assert table == support.table(), "`python -m fastrnn support --write README.md` brings it up to date"


@pytest.mark.parity
@pytest.mark.parametrize("family,module,kinds", support.FAMILIES, ids=[family for family, *_ in support.FAMILIES])
def test_support_table_knows_the_names_of_keras(family, module, kinds):
    keras = pytest.importorskip("keras")
    if not keras.__version__.startswith(f"{support.KERAS_VERSION}."):
        pytest.skip(f"Keras {keras.__version__}")
    assert support.KERAS[family].split() == support.members("keras", module, kinds)
