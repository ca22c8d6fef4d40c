"""Builds the one extension module: each instruction set is a compiled unit with flags of its own.

Environment:
    FASTRNN_OPENMP=0    build without OpenMP, single-threaded
    FASTRNN_SANITIZE=1  build with AddressSanitizer and UndefinedBehaviorSanitizer
"""

import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Contraction is off so that results do not depend on what the compiler fuses: the kernels say v_fma where they mean it.
# Without -fno-trapping-math GCC vectorises none of the plain loops over activations and losses.
FLAGS = ["-O3", "-std=gnu17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fvisibility=hidden"]
# The instruction sets of each machine and their flags, as in csrc/isas.def. tests/test_neon.py reads these tables as literals. Plain C, and what
# is not of an instruction set, is a third smaller with -O2: a machine with anything better does not run the one, and the other has no loops to speak of.
ISA_FLAGS = {
    "x86_64": {
        "amx": ["-mfma", "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mprefer-vector-width=512", "-mamx-tile", "-mamx-bf16"],
        "avx512": ["-mfma", "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mprefer-vector-width=512"],
        "avx2": ["-mavx2", "-mfma"],
        "scalar": ["-O2"],
    },
    "aarch64": {"neon": [], "scalar": ["-O2"]},
}
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]

# What the unit of AMX needs of a compiler and its assembler.
AMX_PROGRAM = """#include <immintrin.h>
int main(void)
{
    __m512 x = _mm512_setzero_ps();
    _tile_loadconfig(&x);
    _tile_dpbf16ps(0, 1, 2);
    return 0;
}
"""

machine = platform.machine().lower()
isa_flags = ISA_FLAGS.get({"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine), {"scalar": []})
CORE = ["dispatch", "parallel", "program", "rng"]
sources = [f"csrc/{name}.c" for name in CORE]
sources += sorted(path.as_posix() for isa in isa_flags for path in Path("csrc/isa").glob(f"{isa}_f*.c"))
headers = [str(path) for pattern in ("*.h", "*.def") for path in sorted(Path("csrc").glob(pattern))]


class BuildExt(build_ext):
    """Flags by source file, files compiled side by side, OpenMP if the compiler has it."""

    def build_extension(self, ext):
        sanitize = os.environ.get("FASTRNN_SANITIZE", "0") not in ("", "0")
        openmp = ["-fopenmp"] if self.has_openmp() else []
        ext.extra_compile_args = [*FLAGS, *openmp, *(SANITIZE if sanitize else [])]
        ext.extra_link_args = [*openmp, *(SANITIZE if sanitize else ["-Wl,-s"] if sys.platform == "linux" else [])]
        if sanitize:
            isa_flags["scalar"] = []  # -O1 is what it wants
        compile_one = self.compiler._compile
        if "amx" in isa_flags and not self.compiles(AMX_PROGRAM, *isa_flags["amx"]):
            ext.extra_compile_args.append("-DFR_AMX=0")
            isa_flags["amx"] = []

        def compile_with_isa_flags(obj, src, suffix, cc_args, postargs, pp_opts):
            isa = Path(src).stem.rsplit("_", 1)[0] if Path(src).parent.name == "isa" else "scalar"
            compile_one(obj, src, suffix, cc_args, postargs + isa_flags[isa], pp_opts)

        def compile_all(sources, output_dir=None, macros=None, include_dirs=None, debug=0, extra_preargs=None,
                        extra_postargs=None, depends=None):
            setup_args = (output_dir, macros, include_dirs, sources, depends, extra_postargs)
            macros, objects, postargs, pp_opts, build = self.compiler._setup_compile(*setup_args)
            cc_args = self.compiler._get_cc_args(pp_opts, debug, extra_preargs)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                jobs = [
                    pool.submit(compile_with_isa_flags, obj, *build[obj], cc_args, postargs, pp_opts)
                    for obj in objects if obj in build
                ]
                for job in jobs:
                    job.result()
            return objects

        self.compiler.compile = compile_all
        super().build_extension(ext)

    def has_openmp(self):
        if os.environ.get("FASTRNN_OPENMP", "1") == "0" or sys.platform == "darwin":
            return False  # two copies of libomp in a macOS process crash (pytorch#191933)
        return self.compiles("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n", "-fopenmp")

    def compiles(self, program, *flags):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            command = [*self.compiler.compiler_so, *flags, str(source), "-o", str(source.with_suffix(""))]
            return subprocess.run(command, capture_output=True).returncode == 0


extension = Extension(
    "fastrnn._native",
    sources=["src/fastrnn/_native.pyx", *sources],
    include_dirs=["csrc"],
    depends=headers,
)
setup(
    ext_modules=cythonize([extension], language_level=3, annotate=False),
    cmdclass={"build_ext": BuildExt},
)
