"""What the installed package is: version, files, what an import costs, which way imports run."""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

pytestmark = pytest.mark.fastrnn_only

PACKAGE = Path(fastrnn.__file__).parent
# Imports run one way: a module imports those of its own level or below.
LEVELS = [
    {"_native", "_version"},
    {"_identifiers", "config", "random", "activations", "variables"},
    {
        "initializers",
        "regularizers",
        "constraints",
        "losses",
        "metrics",
        "optimizers",
        "callbacks",
        "progress",
        "array_dataset",
        "py_dataset",
        "windows",
    },
    {"plan"},
    {"layers"},
    {"data", "feed", "steps", "training", "saving", "streaming"},
    {"models"},
    {"interop"},
]


def python(code, **environment):
    """What a new interpreter prints that runs `code`. It may keep bytecode, as an installed package does."""
    env = {**os.environ, **environment}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestDistribution:
    def test_version_is_that_of_the_metadata(self):
        assert fastrnn.__version__ == importlib.metadata.version("fastrnn")
        assert re.fullmatch(r"\d+\.\d+\.\d+([.-]?\w+)*", fastrnn.__version__)

    def test_dependencies(self):
        required = [r for r in importlib.metadata.requires("fastrnn") if "extra ==" not in r]
        assert sorted(required) == ["numpy", "tqdm"]

    @pytest.mark.parametrize("name", ["py.typed", "_native.pyi", "datasets/sunspots.csv"])
    def test_data_files_are_installed(self, name):
        assert (PACKAGE / name).is_file()

    def test_a_wheel_holds_no_sources_of_the_extension(self):
        if (PACKAGE.parent.parent / "pyproject.toml").exists():
            pytest.skip("an in-place build")
        assert [p for p in PACKAGE.rglob("*") if p.suffix in {".c", ".h", ".pyx", ".pxd", ".o"}] == []


class TestStub:
    """The type stub of the compiled module names what the module has."""

    def test_names(self):
        tree = ast.parse((PACKAGE / "_native.pyi").read_text(encoding="utf-8"))
        named = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        present = {name for name in dir(fastrnn._native) if not name.startswith("_")}
        assert named - present - {name for name in named if name.startswith("_")} == set()
        functions = {name for name in present if callable(getattr(fastrnn._native, name))}
        assert functions - named == set()


class TestImport:
    def test_brings_nothing_but_numpy(self):
        """Other packages and heavy parts of the standard library are imported by what needs them."""
        code = (
            "import sys, json, numpy; before = set(sys.modules); import fastrnn\n"
            "print(json.dumps([*set(sys.modules) - before]))"
        )
        new = {name.split(".")[0] for name in json.loads(python(code))}
        foreign = {name for name in new if name not in sys.stdlib_module_names} - {"fastrnn"}
        # Cython's runtime registers a module of its own for types that extensions share.
        assert {name for name in foreign if not name.startswith(("_cython", "cython_runtime"))} == set()
        heavy = {
            "asyncio",
            "csv",
            "dataclasses",
            "http",
            "inspect",
            "logging",
            "tempfile",
            "urllib",
            "zipfile",
        }
        assert new & heavy == set()

    @pytest.mark.parametrize("isa", ["sse9", "AVX2 ", "none"])
    def test_unknown_instruction_set_is_an_import_error(self, isa):
        code = "try:\n import fastrnn\nexcept ImportError as error:\n print(error)"
        message = python(code, FASTRNN_ISA=isa)
        assert "FASTRNN_ISA" in message
        assert isa in message

    @pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "amx", "neon"])
    def test_forced_instruction_set_is_used_or_refused(self, isa):
        code = (
            "try:\n import fastrnn; print(fastrnn._native.isa)\n"
            "except ImportError as error:\n print('refused', error)"
        )
        output = python(code, FASTRNN_ISA=isa)
        if isa in fastrnn._native.available_isas():
            assert output == f"{isa}\n"
        else:
            assert output.startswith("refused")


def imports_of(path):
    """Top-level imports inside the package that run when the module is imported: (module, line)."""
    module = [*path.relative_to(PACKAGE).with_suffix("").parts]
    here = module[:-1]
    for node in top_level(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split("."), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = ["fastrnn", *here[: len(here) + 1 - node.level]] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield [*base, alias.name], node.lineno


def top_level(statements):
    for node in statements:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from top_level(getattr(node, field, []))


SOURCES = sorted(p for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    """`_native` -> ... -> plan -> layers -> training -> models: never a higher level at the top."""
    level = {name: k for k, names in enumerate(LEVELS) for name in names}
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own not in level:
        return
    for target, line in imports_of(path):
        if target[0] == "fastrnn" and len(target) > 1:
            assert level.get(target[1], 0) <= level[own], f"line {line}: {own} imports {'.'.join(target)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_numpy_is_imported_at_the_top(path):
    for target, line in imports_of(path):
        assert target[0] in {"fastrnn", "numpy"} or target[0] in sys.stdlib_module_names, (
            f"line {line}: {target[0]}"
        )
