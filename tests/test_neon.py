"""The kernels of one instruction set against those of another, in C: `tests/native/compare_isas.c`, compiled here.

This is what runs AMX on a processor that has only AVX-512, by an emulation of its tiles, and NEON where no AArch64 machine is at hand:
cross-compiled, under qemu.  The latter takes the packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user of Debian and
Ubuntu.  Both need the C sources: those beside the tests, or `FASTRNN_CSRC`.
"""

import ast
import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastrnn._native import available_isas

pytestmark = [pytest.mark.fastrnn_only, pytest.mark.slow]

HARNESS = Path(__file__).parent / "native" / "compare_isas.c"
EMULATION = HARNESS.with_name("amx_emulation.h")
CSRC = Path(os.environ.get("FASTRNN_CSRC") or Path(__file__).parents[1] / "csrc")
SANITIZED = os.environ.get("FASTRNN_SANITIZED", "0") not in ("", "0")
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())


def run(*command, check=True):
    """The finished process. A preloaded sanitizer is for this interpreter, not for compilers and qemu."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=environment, timeout=600)
    assert not check or done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done


def first(*names):
    """The path of the first of these programs that is installed, or None."""
    return next(filter(None, map(shutil.which, names)), None)


def flags():
    """The tables of compiler flags in setup.py, which cannot be imported without building."""
    setup = CSRC.parent / "setup.py"
    if not (CSRC / "fastrnn.h").is_file() or not setup.is_file():
        pytest.skip(f"no sources in {CSRC}: FASTRNN_CSRC can name the csrc folder of a source tree")
    values = {}
    for node in ast.parse(setup.read_text(encoding="utf-8")).body:
        name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
        if name in ("FLAGS", "ISA_FLAGS", "SANITIZE", "AMX_PROGRAM"):
            values[name] = ast.literal_eval(node.value)
    return values


def build(compiler, machine, folder, *extra, emulate_amx=False):
    """Compiles the kernels with the package's flags and the harness; the path of the program."""
    table = flags()
    if machine not in table["ISA_FLAGS"]:
        pytest.skip(f"{machine} has plain C only: nothing to compare")
    common = [compiler, *table["FLAGS"], *(table["SANITIZE"] if SANITIZED else []), f"-I{CSRC}", *extra]
    isas = table["ISA_FLAGS"][machine]
    emulation = ["-include", EMULATION] if emulate_amx else []
    if emulate_amx:
        isas["amx"] = [*isas["avx512"], *emulation]
    elif "amx" in isas:  # as setup.py does
        probe = folder / "probe.c"
        probe.write_text(table["AMX_PROGRAM"])
        if run(*common, *isas["amx"], "-c", probe, "-o", folder / "probe.o", check=False).returncode != 0:
            common.append("-DFR_AMX=0")
            isas["amx"] = []
    jobs = [(source, emulation if source.stem == "dispatch" else []) for source in sorted(CSRC.glob("*.c"))]
    for isa, isa_flags in isas.items():
        jobs += [(source, isa_flags) for source in sorted((CSRC / "isa").glob(f"{isa}_f*.c"))]
    jobs.append((HARNESS, ["-O1"]))  # not what is tested, and GCC 12 for AArch64 dies of a loop in it at -O3

    def compile_one(job):
        source, more = job
        target = folder / f"{source.stem}.o"
        run(*common, *more, "-c", source, "-o", target)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, jobs))
    program = folder / "compare_isas"
    run(*common, *objects, "-lm", "-o", program)
    return program


def compare(*command):
    done = run(*command, check=False)
    print(done.stdout, done.stderr)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", done.stdout, re.M)
    assert done.returncode == 0, f"exit code {done.returncode}"
    assert int(counts[0][0]) > 1000


def cross_compiler(folder):
    """A compiler for AArch64 that can link a static program, and the qemu that runs it."""
    compiler = first(*(f"aarch64-linux-gnu-gcc{v}" for v in ("", *(f"-{n}" for n in range(16, 10, -1)))))
    qemu = first("qemu-aarch64", "qemu-aarch64-static")
    if not compiler:
        pytest.skip("no cross compiler for AArch64 (Debian: gcc-aarch64-linux-gnu)")
    if not qemu:
        pytest.skip("no qemu-aarch64 (Debian: qemu-user)")
    probe = folder / "probe.c"
    probe.write_text("#include <math.h>\nint main(int n, char **v) { return (void)v, sin(n) < 0; }\n")
    if run(compiler, "-static", probe, "-lm", "-o", folder / "probe", check=False).returncode:
        pytest.skip(f"{compiler} has no C library to link with (Debian: libc6-dev-arm64-cross)")
    if run(qemu, folder / "probe", check=False).returncode:
        pytest.skip(f"{qemu} does not run a program of {compiler}")
    return compiler, qemu


@pytest.mark.skipif(MACHINE == "aarch64", reason="NEON runs natively here")
@pytest.mark.skipif(SANITIZED, reason="sanitizers need shared libraries, which this static program has not")
def test_neon_under_qemu(tmp_path):
    flags()
    compiler, qemu = cross_compiler(tmp_path)
    compare(qemu, build(compiler, "aarch64", tmp_path, "-static"), "neon", "scalar")


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    flags()
    compiler = first(*filter(None, [os.environ.get("CC")]), "gcc", "cc")
    if not compiler:
        pytest.skip("no C compiler")
    here = available_isas()
    return build(compiler, MACHINE, tmp_path_factory.mktemp("native"), emulate_amx="avx512" in here and "amx" not in here)


@pytest.mark.parametrize("isa", {"x86_64": ["amx", "avx512", "avx2"], "aarch64": ["neon"]}.get(MACHINE, []))
def test_native(native, isa):
    compare(native, isa, "scalar")
