# cython: language_level=3, cdivision=True
"""The boundary between Python and the kernels.

Every array that crosses it is checked here for type, shape and contiguity; C code below neither checks nor allocates.
A `Program` is a list of native operations on fixed buffers, made once per model and input shape; running it
releases the GIL.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
)
from libc.math cimport INFINITY, NAN, isfinite
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset, strcmp

import os

# ---- names of the C enumerations, in their order (csrc/*.def, fastrnn.h) ---------------------------------------------

ACTIVATIONS = (
    "linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "leaky_relu", "relu6", "elu", "selu", "celu", "exponential",
    "softplus", "softsign", "log_sigmoid", "hard_tanh", "sparse_sigmoid", "silu", "hard_silu", "gelu", "mish",
    "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", "sparse_plus", "softmax", "log_softmax",
)
NEEDS_INPUT = frozenset((
    "silu", "hard_silu", "gelu", "mish", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", "sparse_plus",
))
CELLS = ("simple_rnn", "lstm", "gru", "gru_reset_before")
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}
LOSSES = (
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "huber", "log_cosh", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy",
    "hinge", "squared_hinge", "categorical_hinge", "kl_divergence", "poisson", "cosine_similarity", "accuracy",
    "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy", "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
)
FEW_ROWS = FR_FEW_ROWS  # batches with less rows may take other kernels, and so may a single one
ONE_HOT = frozenset(("categorical_crossentropy", "categorical_accuracy", "top_k_categorical_accuracy"))  # of y_true with all columns
OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamax", "nadam", "adagrad", "adadelta", "lion", "ftrl")
MERGE_MODES = ("sum", "mul", "ave")
POOL_MODES = ("max", "average")
NORMALIZE_MODES = ("layer", "variance", "rms", "unit", "softmax")
RECTIFIERS = ("relu", "elu", "prelu")
NOISES = ("dropout", "alpha_dropout", "gaussian_noise", "gaussian_dropout")
REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight")

if len(ACTIVATIONS) != FR_ACT_COUNT or len(LOSSES) != FR_LOSS_COUNT:
    raise ImportError("fastrnn._native was compiled from other sources than its list of names")


cdef int _index(object names, object name, str what) except -1:
    try:
        return names.index(name)
    except ValueError:
        raise ValueError(f"Unknown {what} {name!r}. Available: {', '.join(names)}") from None


# ---- instruction set -------------------------------------------------------------------------------------------------


def _built_isas():
    """Instruction sets of this build, best first."""
    names = []
    while fr_isa_name(<int>len(names)) != NULL:
        names.append(fr_isa_name(<int>len(names)).decode())
    return tuple(names)


def available_isas():
    """Those that this processor can run, best first."""
    return tuple(name for name in _built_isas() if fr_isa_supported(name.encode()))


def _choose_isa():
    wanted, built = os.environ.get("FASTRNN_ISA", ""), _built_isas()
    for name in built:  # no other is asked for: for AMX that asks the system for leave to use it
        if (not wanted or name == wanted) and fr_isa_supported(name.encode()):
            return name
    reason = "this processor cannot run it" if wanted in built else f"unknown; this build has {', '.join(built)}"
    raise ImportError(
        f"FASTRNN_ISA={wanted!r}: {reason}. Available here: {', '.join(available_isas())}. Unset FASTRNN_ISA to choose the best."
    )


isa = _choose_isa()


cdef const fr_kernels *_kernels(object dtype) except NULL:
    cdef const fr_kernels *k = fr_find_kernels(isa.encode(), FR_F64 if dtype == "float64" else FR_F32)
    if k == NULL:
        raise ImportError(f"no kernels for {isa}")
    return k


# ---- threads -----------------------------------------------------------------------------------------------------------

cdef enum:
    MOST_THREADS = 1024

cdef int _explicit_threads = 0
cdef int _machine_limit = 0
cdef bint _chosen_by_environment = "OMP_NUM_THREADS" in os.environ  # which OpenMP too reads once


def _cgroup_cpus():
    """Whole processors that the container's quota allows, or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()[:2]
        return max(1, round(int(quota) / int(period))) if quota != "max" else None
    except (OSError, ValueError):
        return None


cdef int _limit():
    """The affinity mask and the container's quota; OpenMP runtimes heed only the first, at their start."""
    global _machine_limit
    if _machine_limit == 0:
        limit = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _machine_limit = min(limit, _cgroup_cpus() or limit)
    return _machine_limit


cdef int _threads():
    if _explicit_threads:
        return _explicit_threads
    # asked anew at each call, so that threadpoolctl and omp_set_num_threads work
    cdef int n = min(fr_max_threads(), MOST_THREADS)
    return n if _chosen_by_environment else min(n, _limit())


def get_num_threads():
    """Threads that the next call may use."""
    return _threads()


def set_num_threads(n):
    """Fix the number of threads; None goes back to the environment's choice."""
    global _explicit_threads
    if n is None:
        _explicit_threads = 0
        return
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_THREADS:
        raise ValueError(f"Argument `n` must be an integer between 1 and {MOST_THREADS}, or None. Received: n={n!r}")
    _explicit_threads = n


def openmp_version():
    """The OpenMP version as the compiler's date (201511 is 4.5), 0 in a build without."""
    return fr_openmp()


fr_install_fork_guard()


include "_checks.pxi"


cdef class Version:
    """Counts the changes of a set of weights, so that packed copies know when they are stale.

    Attributes:
        value: the count.
        retired: the weights have moved to another place, where another Version counts.
    """

    cdef public uint64_t value
    cdef public bint retired

    def __init__(self):
        self.value = 1


include "_operations.pxi"
include "_program.pxi"

# ---- single functions -----------------------------------------------------------------------------------------------------


def activate(str name, x, y):
    """y = activation(x), C-contiguous arrays of one shape and float type; rows run along the last axis."""
    cdef str dtype = str(x.dtype)
    cdef const fr_kernels *k = _kernels(dtype)
    cdef ptrdiff_t cols = x.shape[-1] if x.ndim else 1
    cdef ptrdiff_t rows = x.size // max(cols, 1)
    cdef fr_act kind = <fr_act>_index(ACTIVATIONS, name, "activation")
    cdef const void *a = _data(x, "x", dtype, x.shape, False)
    cdef void *b = _data(y, "y", dtype, x.shape, True)
    if x.size:
        with nogil:
            k.activate(kind, rows, cols, a, b)


def update(str kind, w, g, slots, scalars, double g_scale=1.0, double clipvalue=0.0, double decay=0.0):
    """One optimizer step on flat arrays, in place (see `fastrnn.optimizers`)."""
    cdef str dtype = str(w.dtype)
    cdef fr_update u
    memset(&u, 0, sizeof(u))
    shape = (len(w),)
    u.kind = <fr_optimizer_kind>_index(OPTIMIZERS, kind, "optimizer")
    u.n = len(w)
    u.w = _data(w, "w", dtype, shape, True)
    u.g = _data(g, "g", dtype, shape, False)
    for i, slot in enumerate(slots):
        u.slot[<int>i] = _data(slot, "slot", dtype, shape, True)
    scalars = tuple(scalars)
    if len(scalars) > 8:
        raise ValueError(f"scalars: expected at most 8, got {len(scalars)}")
    for i, value in enumerate(scalars):
        u.s[<int>i] = value
    u.g_scale, u.clip_value, u.decay = g_scale, clipvalue, decay
    cdef uint64_t mode = fr_flush_denormals()
    fr_update_all(_kernels(dtype), &u, _threads())
    fr_restore_denormals(mode)


cdef struct chains:
    const fr_kernels *k
    double flop


cdef void _run_chain(void *arg, int i, int n) noexcept nogil:
    cdef chains *c = <chains *>arg
    cdef double flop = c.k.fma_chain(100_000)
    if i == 0:
        c.flop = flop * n


def fma_peak(seconds=0.1, dtype="float32", int threads=1):
    """Measured fused multiply-add rate, GFLOP/s, with all operands in registers: what no kernel can exceed here.

    It is the median of short samples, since the clock changes from one moment to the next. Of several threads it is what all do together while they run at
    once: on a virtual machine that can be no more than one does.
    """
    from time import perf_counter

    cdef chains c
    c.k = _kernels(dtype)
    samples = []
    end = perf_counter() + seconds
    while not samples or perf_counter() < end:
        start = perf_counter()
        with nogil:
            fr_team(threads, _run_chain, &c)
        samples.append(c.flop / (perf_counter() - start) / 1e9)
    return sorted(samples)[len(samples) // 2]


def read_bandwidth(Py_ssize_t size, seconds=0.1):
    """Measured read bandwidth of one thread over an array of `size` bytes, GB/s."""
    import numpy
    from time import perf_counter

    array = numpy.ones(max(size // 4, 128), numpy.float32)
    cdef const void *p = _data(array, "array", "float32", (-1,), False)
    cdef const fr_kernels *k = _kernels("float32")
    cdef double best = 0, bytes_read
    cdef Py_ssize_t repeat = max(1, (4 << 20) // array.nbytes), i, n = array.size
    end = perf_counter() + seconds
    while True:
        start = perf_counter()
        for i in range(repeat):
            k.read_all(p, n)
        now = perf_counter()
        bytes_read = <double>array.nbytes * repeat
        best = max(best, bytes_read / (now - start) / 1e9)
        if now > end:
            return best
