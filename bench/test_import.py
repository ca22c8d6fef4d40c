"""What `import fastrnn` costs beside `import numpy`: `python -m pytest bench/test_import.py`. Each round is a new interpreter's
processor time, NumPy's at once before fastrnn's, as the machine may change its pace; `extra_info["times_numpy"]` is the median of
their ratios, which is to stay below 1.5.
"""

import os
import statistics
import subprocess
import sys

PROGRAM = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"


def seconds(module):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}  # an installed package keeps bytecode
    command = [sys.executable, "-c", PROGRAM.format(module)]
    return float(subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout)


def test_import(benchmark):
    ratios = []
    benchmark.pedantic(lambda: ratios.append(1 / seconds("numpy") * seconds("fastrnn")), rounds=15)
    benchmark.extra_info["times_numpy"] = statistics.median(ratios)
