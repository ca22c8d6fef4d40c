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


def available_isas():
    """Instruction sets of this build that this processor can run, best first."""
    names = []
    cdef int i = 0
    while fr_isa_name(i) != NULL:
        if fr_isa_supported(fr_isa_name(i)):
            names.append(fr_isa_name(i).decode())
        i += 1
    return tuple(names)


def _choose_isa():
    available = available_isas()
    wanted = os.environ.get("FASTRNN_ISA", "")
    if not wanted:
        return available[0]
    if wanted not in available:
        built = []
        i = 0
        while fr_isa_name(i) != NULL:
            built.append(fr_isa_name(i).decode())
            i += 1
        reason = "this processor cannot run it" if wanted in built else f"unknown; this build has {', '.join(built)}"
        raise ImportError(
            f"FASTRNN_ISA={wanted!r}: {reason}. Available here: {', '.join(available)}. Unset FASTRNN_ISA to choose the best."
        )
    return wanted


isa = _choose_isa()


cdef const fr_kernels *_kernels(object dtype) except NULL:
    cdef const fr_kernels *k = fr_find_kernels(isa.encode(), FR_F64 if dtype == "float64" else FR_F32)
    if k == NULL:
        raise ImportError(f"no kernels for {isa}")
    return k


# ---- threads -----------------------------------------------------------------------------------------------------------

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
    cdef int n = fr_max_threads()
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
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 1024:
        raise ValueError(f"Argument `n` must be an integer between 1 and 1024, or None. Received: n={n!r}")
    _explicit_threads = n


def openmp_version():
    """The OpenMP version as the compiler's date (201511 is 4.5), 0 in a build without."""
    return fr_openmp()


fr_install_fork_guard()


# ---- checks ---------------------------------------------------------------------------------------------------------------

_NAMES = {"f": "float32", "d": "float64", "i": "int32", "l": "int64", "q": "int64", "B": "uint8"}
_FORMATS = {"float32": b"f", "float64": b"d", "int32": b"i", "int64": b"lq", "uint64": b"LQ", "uint8": b"B?"}


cdef enum:  # which strides an array may have
    CONTIGUOUS, LAST_AXIS_CONTIGUOUS, ANY


cdef void *_data(object array, str name, str dtype, tuple shape, bint write, int strides=CONTIGUOUS) except? NULL:
    """Address of the first element; `shape` entries of -1 are free."""
    cdef Py_buffer view
    cdef void *address
    cdef Py_ssize_t expected, i
    cdef bint fine
    if PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_STRIDES | (PyBUF_WRITABLE if write else 0)) != 0:
        raise ValueError(f"{name}: expected a {'writable ' if write else ''}{dtype} array")
    try:
        if view.format == NULL or view.format[0] not in _FORMATS[dtype] or view.format[1] != 0:
            raise TypeError(f"{name}: expected dtype {dtype}, got format {view.format.decode()!r}")
        fine = view.ndim == len(shape)
        if fine:
            for i in range(view.ndim):
                expected = shape[i]
                fine = fine and (expected == -1 or expected == view.shape[i])
        if not fine:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple([view.shape[i] for i in range(view.ndim)])}")
        expected = view.itemsize
        for i in range(view.ndim - 1, -1, -1):
            if view.shape[i] > 1 and view.strides[i] != expected and strides != ANY:
                if strides == CONTIGUOUS or i == view.ndim - 1 or view.strides[i] % view.itemsize:
                    raise ValueError(f"{name}: expected a C-contiguous array, got strides of {array!r:.40}")
            expected *= view.shape[i]
        address = view.buf
    finally:
        PyBuffer_Release(&view)
    return address


cdef int _rows(object array, fr_rows *rows) except -1:
    """How the rows of an array lie in memory."""
    cdef Py_buffer view
    if PyObject_GetBuffer(array, &view, PyBUF_STRIDES) != 0:
        raise ValueError("data: expected an array")
    cdef int axis = view.ndim - 1, k
    rows.stride = view.strides[0]
    rows.piece = view.itemsize
    while axis > 0 and (view.shape[axis] == 1 or view.strides[axis] == <Py_ssize_t>rows.piece):
        rows.piece *= view.shape[axis]
        axis -= 1
    rows.axes = 0
    for k in range(1, min(axis, FR_ROW_AXES) + 1):
        rows.size[k - 1] = view.shape[k]
        rows.step[k - 1] = view.strides[k]
        rows.axes = k
    PyBuffer_Release(&view)
    if axis > FR_ROW_AXES:
        raise ValueError(f"data: expected rows of at most {FR_ROW_AXES} axes that are not contiguous")
    return 0


cdef void *_flat(object array, str name, char code, Py_ssize_t *n) except? NULL:
    """`_data` for the small arrays of every step: one axis, contiguous, of the type with this format character."""
    cdef Py_buffer view
    if PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_STRIDES) != 0:
        raise ValueError(f"{name}: expected an array")
    cdef void *address = view.buf
    cdef bint fine = view.ndim == 1 and view.format[0] == code and view.format[1] == 0
    fine = fine and (view.shape[0] < 2 or view.strides[0] == view.itemsize)
    n[0] = view.shape[0] if view.ndim else 0
    PyBuffer_Release(&view)
    if not fine:
        raise TypeError(f"{name}: expected a contiguous array of one axis with format {chr(code)!r}")
    return address


cdef bint _alike(const Py_buffer *a, const Py_buffer *b) noexcept:
    """Whether two C-contiguous buffers have the same element type and shape."""
    return (
        a.ndim == b.ndim and a.itemsize == b.itemsize and memcmp(a.shape, b.shape, a.ndim * sizeof(Py_ssize_t)) == 0
        and strcmp(a.format, b.format) == 0
    )


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


cdef struct field:
    Py_ssize_t op, offset      # which operation, and where in it
    ptrdiff_t per_sample       # of a count of rows; 0 for a pointer to the first row of a buffer


cdef struct pointer:
    char **at            # a field of an operation that points into a buffer
    ptrdiff_t offset     # of what it points at, from the buffer's start


cdef struct source:
    void *to             # buffer for one batch, or NULL
    const char *data
    fr_rows layout       # of data
    size_t row           # bytes of a row of the buffer
    Py_ssize_t rows


cdef struct metric:
    fr_loss loss
    bint weighted
    double total, count


cdef struct segment:
    Py_ssize_t offset, size
    bint decays


cdef class _Function:
    """What a function operation calls, and what it raised."""

    cdef object forward, backward
    cdef object error


cdef int _call_function(void *context, ptrdiff_t n, int backward, int training) noexcept with gil:
    cdef _Function f = <_Function>context
    try:
        if backward:
            f.backward(n)
        else:
            f.forward(n, bool(training))
    except BaseException as error:  # also KeyboardInterrupt: it goes on to the caller of the pass
        f.error = error
        return 1
    return 0


cdef class Program:
    """A list of native operations on fixed buffers, and what a training step does around them.

    Buffers are made for `batch` samples; any smaller batch runs in them too. Arrays are kept alive as long as the
    program lives.

    Args:
        dtype: "float32" or "float64".
        batch: the largest number of samples.
        training: whether `backward` will be called.
        version: of the weights.
    """

    cdef fr_program program
    cdef fr_run run
    cdef Py_ssize_t capacity, current
    cdef int failed
    cdef list keep
    cdef Version version
    cdef readonly str dtype
    cdef readonly Py_ssize_t batch
    cdef public Py_ssize_t repeat      # rows that new operations count as samples, per sample of the program
    cdef readonly bint training
    cdef source sources[3]
    cdef list data                     # the sources' arrays, kept alive: operations may read them in place
    cdef char *output                  # the model's output buffer, if a run may write elsewhere instead
    cdef size_t output_row
    cdef pointer pointers[4][24]       # into the buffers of the three sources, and of the output
    cdef int n_pointers[4]
    cdef field *fields                 # that depend on the batch: its size, and where it lies
    cdef Py_ssize_t n_fields, room_for_fields
    cdef fr_loss loss_op
    cdef bint has_loss
    cdef int reduction
    cdef void *weights             # (rows) sample weights of the batch, or NULL
    cdef Py_ssize_t weight_rows    # loss rows that one entry of `weights` stands for
    cdef const uint8_t *mask       # (rows) of the model's output, or NULL
    cdef void *row_weights         # (rows) weights times mask
    cdef void *mask_weights        # (rows) the mask alone, as numbers
    cdef metric metrics[16]
    cdef int n_metrics
    cdef double loss_total, loss_count
    cdef readonly double last_loss
    cdef fr_update update
    cdef segment *segments
    cdef Py_ssize_t n_segments
    cdef double clipnorm, global_clipnorm, weight_decay
    cdef void *gradient
    cdef size_t gradient_bytes
    cdef Py_ssize_t n_loss
    cdef public bint in_place_inputs   # inputs may be read where they lie; False where the output is part of the input
    cdef public bint in_place_targets  # the same for targets; False when Python wants them in the buffer
    cdef Py_buffer step_x, step_y  # of `step`
    cdef object step_output        # the array behind step_y
    cdef int vocabulary            # ids in step_x must lie below; 0 where it holds no ids
    cdef bint stepping

    def __cinit__(self, str dtype, Py_ssize_t batch, bint training, Version version):
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        if batch < 1:
            raise ValueError(f"batch must be positive, got {batch}")
        self.program.k = _kernels(dtype)
        self.dtype = dtype
        self.batch = self.current = batch
        self.repeat = 1
        self.run.failed = &self.failed
        self.training = training
        self.version = version
        self.keep = []
        self.data = [None, None, None]
        self.reduction = 0
        self.in_place_inputs = True

    def __dealloc__(self):
        free(self.program.ops)
        free(self.fields)
        free(self.segments)
        PyBuffer_Release(&self.step_x)
        PyBuffer_Release(&self.step_y)

    # ---- building ------------------------------------------------------------------------------------------------------

    cdef fr_op *_new(self, fr_op_kind kind) except NULL:
        cdef Py_ssize_t room
        cdef void *ops
        if self.n_pointers[0] or self.n_pointers[1] or self.n_pointers[3]:
            raise ValueError("operations cannot be added once buffers are bound")
        if self.program.n == self.capacity:
            room = 2 * self.capacity + 8
            ops = realloc(self.program.ops, room * sizeof(fr_op))
            if ops == NULL:
                raise MemoryError()
            self.program.ops = <fr_op *>ops
            self.capacity = room
        cdef fr_op *op = &self.program.ops[self.program.n]
        memset(op, 0, sizeof(fr_op))
        op.kind = kind
        return op

    cdef int _depends(self, const void *at, ptrdiff_t per_sample) except -1:
        """Note a field of the operation that is being made."""
        cdef Py_ssize_t room
        cdef void *fields
        if self.n_fields == self.room_for_fields:
            room = 2 * self.room_for_fields + 32
            fields = realloc(self.fields, room * sizeof(field))
            if fields == NULL:
                raise MemoryError()
            self.fields = <field *>fields
            self.room_for_fields = room
        cdef field *f = &self.fields[self.n_fields]
        f.op, f.offset, f.per_sample = self.program.n, <const char *>at - <const char *>&self.program.ops[self.program.n], per_sample
        self.n_fields += 1
        return 0

    cdef int _scales(self, ptrdiff_t *count) except -1:
        """This field counts rows, and follows the number of samples."""
        if count[0]:
            self._depends(count, count[0] // self.batch)
        return 0

    cdef int _moves(self, char **pointer) except -1:
        """This field points at the first row of a buffer, and follows a batch that lies elsewhere."""
        if pointer[0] != NULL:
            self._depends(pointer, 0)
        return 0

    cdef void *_real(self, object array, str name, tuple shape, bint write=False, int strides=CONTIGUOUS) except? NULL:
        if array is None:
            return NULL
        self.keep.append(array)
        return _data(array, name, self.dtype, shape, write, strides)

    cdef void *_memory(self, Py_ssize_t n) except NULL:
        """n elements of scratch memory at a cache line's start."""
        import numpy

        cdef Py_ssize_t size = self.program.k.element
        raw = numpy.empty(max(n, 1) * size + 64, numpy.uint8)
        self.keep.append(raw)
        cdef size_t address = <size_t>_data(raw, "memory", "uint8", (-1,), True)
        return <void *>((address + 63) & ~<size_t>63)

    cdef int _matrix(self, fr_matrix *m, object value, object gradient, tuple shape, str name) except -1:
        m.value = self._real(value, name, shape)
        m.gradient = self._real(gradient, f"gradient of {name}", shape, True)
        return 0

    def add_rnn(self, *, str cell, str activation, str recurrent_activation, x, kernel, recurrent_kernel, bias=None,
                y=None, y_last=None, dx=None, dy=None, dy_last=None, bint add_dx=False,
                dkernel=None, drecurrent_kernel=None, dbias=None, mask=None, recurrent_dropout=None,
                state_in=(), state_out=(), dstate_in=(), dstate_out=(), bint reverse_x=False, bint reverse_y=False,
                bint zero_output_for_mask=False):
        """A recurrent layer. x: (batch, T, D), or (gates, batch, T, D) with an input for each gate; y: (batch, T, H).

        x, dx, y, dy may have strides on all axes but the last; dx must be laid out as x, dy as y, dy_last as y_last.
        """
        cdef fr_op *op = self._new(FR_OP_rnn)
        cdef fr_rnn *r = &op.rnn
        cdef ptrdiff_t sizes[8]
        cdef Py_ssize_t B = self.batch * self.repeat, T, D, H, gates = GATES[cell], size = self.program.k.element
        by_gate = x.ndim == 4
        T, D = x.shape[-2:]
        H = recurrent_kernel.shape[0]
        cdef tuple shape = (B, T, D)
        if by_gate:
            shape = (gates, *shape)
        r.cell = <fr_cell>_index(CELLS, cell, "cell")
        r.activation = <fr_act>_index(ACTIVATIONS, activation, "activation")
        r.recurrent_activation = <fr_act>_index(ACTIVATIONS, recurrent_activation, "activation")
        r.B, r.T, r.D, r.H, r.capacity = B, T, D, H, B
        r.x = self._real(x, "x", shape, False, LAST_AXIS_CONTIGUOUS)
        r.x_b, r.x_t = x.strides[-3] // size, x.strides[-2] // size
        r.x_gate = x.strides[0] // size if by_gate else 0
        r.dx = self._real(dx, "dx", shape, True, LAST_AXIS_CONTIGUOUS)
        if dx is not None and dx.strides != x.strides:
            raise ValueError("dx must be laid out as x")
        r.dx_add = add_dx
        if mask is not None:
            self.keep.append(mask)
            r.mask = <const uint8_t *>_data(mask, "mask", "uint8", (B, T), False)
        if recurrent_dropout is not None:
            r.h_drop = self._real(recurrent_dropout, "recurrent_dropout", (gates, B, H))
        r.y = self._real(y, "y", (B, T, H), True, LAST_AXIS_CONTIGUOUS)
        r.dy = self._real(dy, "dy", (B, T, H), False, LAST_AXIS_CONTIGUOUS)
        if y is not None:
            r.y_b, r.y_t = y.strides[0] // size, y.strides[1] // size
            if dy is not None and dy.strides != y.strides:
                raise ValueError("dy must be laid out as y")
        r.y_last = self._real(y_last, "y_last", (B, H), True, LAST_AXIS_CONTIGUOUS)
        r.dy_last = self._real(dy_last, "dy_last", (B, H), False, LAST_AXIS_CONTIGUOUS)
        if y_last is not None:
            r.y_last_b = y_last.strides[0] // size
            if dy_last is not None and dy_last.strides != y_last.strides:
                raise ValueError("dy_last must be laid out as y_last")
        for i, (states, name, write) in enumerate((
            (state_in, "state_in", False), (state_out, "state_out", True),
            (dstate_in, "dstate_in", True), (dstate_out, "dstate_out", False),
        )):
            for j, state in enumerate(states):
                address = <size_t>self._real(state, name, (B, H), write)
                if i == 0:
                    r.state_in[<int>j] = <const void *><size_t>address
                elif i == 1:
                    r.state_out[<int>j] = <void *><size_t>address
                elif i == 2:
                    r.dstate_in[<int>j] = <void *><size_t>address
                else:
                    r.dstate_out[<int>j] = <const void *><size_t>address
        self._matrix(&r.W, kernel, dkernel, (D, gates * H), "kernel")
        self._matrix(&r.U, recurrent_kernel, drecurrent_kernel, (H, gates * H), "recurrent_kernel")
        if (r.W.gradient == NULL) != (r.U.gradient == NULL):
            raise ValueError("kernel and recurrent_kernel both have gradients or neither has")
        cdef tuple bias_shape = (gates * H,)
        if cell == "gru":
            bias_shape = (2, 3 * H)
        r.use_bias = bias is not None
        r.bias = self._real(bias, "bias", bias_shape)
        r.dbias = self._real(dbias, "dbias", bias_shape, True)
        r.reverse_x, r.reverse_y, r.zero_output_for_mask = reverse_x, reverse_y, zero_output_for_mask
        self.program.k.rnn_sizes(r, self.training, sizes)
        r.W.packed = self._memory(sizes[0])
        r.U.packed = self._memory(sizes[3])
        if self.training:
            r.W.packed_t = self._memory(sizes[1])
            r.W.grad = self._memory(sizes[2])
            r.U.packed_t = self._memory(sizes[4])
            r.U.grad = self._memory(sizes[5])
        r.tape = self._memory(sizes[6])
        r.scratch = self._memory(sizes[7])
        self._scales(&op.rnn.B)
        self._scales(&op.rnn.x_gate)
        self._moves(<char **>&op.rnn.x)
        self._moves(<char **>&op.rnn.y)
        self._moves(<char **>&op.rnn.y_last)
        self.program.n += 1

    cdef int _dense(self, fr_dense *d, str activation, object kernel, object bias, object dkernel, object dbias,
                    Py_ssize_t M, Py_ssize_t K, Py_ssize_t N, Py_ssize_t groups=1) except -1:
        cdef ptrdiff_t sizes[4]
        d.activation = <fr_act>_index(ACTIVATIONS, activation, "activation")
        d.M, d.K, d.N, d.ld = M, K, N // groups, N
        self._matrix(&d.W, kernel, dkernel, (K, N), "kernel")
        d.use_bias = bias is not None
        d.bias = self._real(bias, "bias", (N,))
        d.dbias = self._real(dbias, "dbias", (N,), True)
        if activation in NEEDS_INPUT:
            d.z = self._memory(M * N)
        self.program.k.dense_sizes(d, self.training, sizes)
        d.W.packed = self._memory(groups * sizes[0])
        if self.training:
            d.W.packed_t = self._memory(groups * sizes[1])
            d.W.grad = self._memory(sizes[2])
            d.scratch = self._memory(sizes[3])
        return 0

    def add_dense(self, *, str activation, x, kernel, y, bias=None, dx=None, dy=None, dkernel=None, dbias=None):
        """x: (batch, ..., K); y: (batch, ..., N). dy is overwritten."""
        cdef fr_op *op = self._new(FR_OP_dense)
        cdef fr_dense *d = &op.dense
        K, N = kernel.shape
        rows = x.shape[:-1]
        cdef Py_ssize_t M = 1
        for n in rows:
            M *= n
        self._dense(d, activation, kernel, bias, dkernel, dbias, M, K, N)
        d.x = self._real(x, "x", (*rows, K))
        d.dx = self._real(dx, "dx", (*rows, K), True)
        d.y = self._real(y, "y", (*rows, N), True)
        d.dy = self._real(dy, "dy", (*rows, N), True)
        self._check_batch(x)
        self._scales(&op.dense.M)
        self._moves(<char **>&op.dense.x)
        self._moves(<char **>&op.dense.y)
        self.program.n += 1

    def add_conv2d(self, *, str activation, x, kernel, y, strides, dilation, padding, bias=None, dx=None, dy=None,
                   dkernel=None, dbias=None):
        """x: (batch, H, W, C); kernel: (KH, KW, C / groups, N); y: (batch, OH, OW, N); padding: (top, left).

        With several groups of channels the activation must be linear.
        """
        cdef fr_op *op = self._new(FR_OP_conv2d)
        cdef fr_conv2d *v = &op.conv2d
        B, H, W, C = x.shape
        KH, KW, depth, N = kernel.shape
        OH, OW = y.shape[1:3]
        groups = C // depth
        if groups * depth != C or N % groups:
            raise ValueError(f"kernel: {C} channels and {N} filters cannot be split into groups of {depth} channels")
        if groups > 1 and activation != "linear":
            raise ValueError(f"a convolution with groups has no activation of its own, got {activation!r}")
        v.B, v.H, v.W, v.C, v.OH, v.OW, v.N, v.groups, v.KH, v.KW = B, H, W, C, OH, OW, N, groups, KH, KW
        v.stride_h, v.stride_w = strides
        v.dilation_h, v.dilation_w = dilation
        v.pad_top, v.pad_left = padding
        flat = kernel.reshape(KH * KW * depth, N)
        dflat = None if dkernel is None else dkernel.reshape(KH * KW * depth, N)
        self._dense(&v.dense, activation, flat, bias, dflat, dbias, B * OH * OW, KH * KW * depth, N, groups)
        v.x = self._real(x, "x", (B, H, W, C))
        v.dx = self._real(dx, "dx", (B, H, W, C), True)
        v.columns = self._memory(B * OH * OW * KH * KW * C)
        v.dense.x = v.columns
        v.dense.y = self._real(y, "y", (B, OH, OW, N), True)
        v.dense.dy = self._real(dy, "dy", (B, OH, OW, N), True)
        if dx is not None:
            v.dcolumns = self._memory(B * OH * OW * KH * KW * C)
            v.dense.dx = v.dcolumns
        self._check_batch(x)
        self._scales(&op.conv2d.B)
        self._scales(&op.conv2d.dense.M)
        self._moves(<char **>&op.conv2d.x)
        self._moves(<char **>&op.conv2d.dense.y)
        self.program.n += 1

    def add_pool(self, *, str mode, x, y, pool_size, strides, padding, dx=None, dy=None):
        """x: (batch, H, W, C); y: (batch, OH, OW, C); mode: "max" or "average"; padding: (top, left)."""
        cdef fr_op *op = self._new(FR_OP_pool)
        cdef fr_pool *p = &op.pool
        p.mode = <fr_pool_mode>_index(POOL_MODES, mode, "pooling mode")
        p.B, p.H, p.W, p.C = x.shape
        p.OH, p.OW = y.shape[1:3]
        p.KH, p.KW = pool_size
        p.stride_h, p.stride_w = strides
        p.pad_top, p.pad_left = padding
        for size, stride, before, n, out in (
            (p.KH, p.stride_h, p.pad_top, p.H, p.OH), (p.KW, p.stride_w, p.pad_left, p.W, p.OW)
        ):
            if min(size, stride, out) < 1 or not 0 <= before < size or (out - 1) * stride - before >= n:
                raise ValueError(f"pooling: a window of {size} cells with strides of {stride} would lie outside of {n} cells")
        p.x = self._real(x, "x", x.shape)
        p.dx = self._real(dx, "dx", x.shape, True)
        p.y = self._real(y, "y", (p.B, p.OH, p.OW, p.C), True)
        p.dy = self._real(dy, "dy", (p.B, p.OH, p.OW, p.C))
        self._check_batch(x)
        self._scales(&op.pool.B)
        self._moves(<char **>&op.pool.x)
        self._moves(<char **>&op.pool.y)
        self.program.n += 1

    def add_global_pool(self, *, str mode, x, y, mask=None, dx=None, dy=None):
        """x: (batch, ..., C); y: (batch, C); mode: "max" or "average"; mask: (batch, T) of the cells that the mean is of."""
        cdef fr_op *op = self._new(FR_OP_global_pool)
        cdef fr_global_pool *p = &op.global_pool
        p.mode = <fr_pool_mode>_index(POOL_MODES, mode, "pooling mode")
        p.B, p.C = x.shape[0], x.shape[-1]
        p.T = x.size // (p.B * p.C)
        if mask is not None:
            if p.mode == FR_POOL_MAX:
                raise ValueError("the maximum takes no mask")
            self.keep.append(mask)
            p.mask = <const uint8_t *>_data(mask, "mask", "uint8", (p.B, p.T), False)
        p.x = self._real(x, "x", x.shape)
        p.dx = self._real(dx, "dx", x.shape, True)
        p.y = self._real(y, "y", (p.B, p.C), True)
        p.dy = self._real(dy, "dy", (p.B, p.C))
        self._check_batch(x)
        self._scales(&op.global_pool.B)
        self._moves(<char **>&op.global_pool.x)
        self._moves(<char **>&op.global_pool.y)
        self.program.n += 1

    def add_rearrange(self, *, x, y, axes, dx=None, dy=None):
        """y: (batch, ...); axes: for each axis of y but the batch (axis of x, before, repeat): entry i is entry (i - before) // repeat
        of that axis, or 0 where there is none. Without gradients x may hold ids."""
        cdef fr_op *op = self._new(FR_OP_rearrange)
        cdef fr_rearrange *r = &op.rearrange
        cdef fr_axis *a
        cdef ptrdiff_t block = 1
        cdef int k
        if len(axes) != y.ndim - 1 or sorted(source for source, _, _ in axes) != list(range(1, x.ndim)):
            raise ValueError(f"axes: expected each of {x.ndim - 1} axes of x for {y.ndim - 1} of y, got {axes}")
        if len(axes) > FR_MAX_AXES:
            raise ValueError(f"arrays of at most {FR_MAX_AXES} axes besides the batch can be rearranged, got {len(axes)}")
        dtype = _NAMES[x.dtype.char]
        r.B, r.axes, r.element, r.inner = x.shape[0], len(axes), x.itemsize, 1
        r.x_row, r.y_row = x.size // r.B, y.size // r.B
        for k in reversed(range(r.axes)):
            a = &r.axis[k]
            source, a.before, a.repeat = axes[k]
            if a.repeat < 1:
                raise ValueError(f"axes: entries can be repeated once or more, got {axes}")
            a.out, a.length = y.shape[k + 1], x.shape[source]
            a.stride = 1
            for n in x.shape[source + 1 :]:
                a.stride *= n
            a.block = block
            block *= a.out
        while r.axes and self._stays_together(&r.axis[r.axes - 1], r.inner):
            r.axes -= 1
            r.inner *= r.axis[r.axes].out
        self.keep += [x, y]
        r.x = _data(x, "x", dtype, x.shape, False)
        r.y = _data(y, "y", dtype, y.shape, True)
        r.dx = self._real(dx, "dx", x.shape, True)
        r.dy = self._real(dy, "dy", y.shape)
        self._check_batch(x)
        self._check_batch(y)
        self._scales(&op.rearrange.B)
        self._moves(<char **>&op.rearrange.x)
        self._moves(<char **>&op.rearrange.y)
        self.program.n += 1

    cdef bint _stays_together(self, const fr_axis *a, ptrdiff_t inner) noexcept:
        """Whether an axis is as in x, and its entries lie side by side there."""
        return a.out == a.length and a.before == 0 and a.repeat == 1 and a.stride == inner

    def add_embedding(self, *, ids, table, y, dtable=None, dy=None):
        """ids: (batch, ...) int32; table: (V, N); y: (batch, ..., N)."""
        cdef fr_op *op = self._new(FR_OP_embedding)
        cdef fr_embedding *e = &op.embedding
        e.V, e.N = table.shape
        e.M = ids.size
        self.keep.append(ids)
        e.ids = <const int *>_data(ids, "ids", "int32", ids.shape, False)
        e.table = self._real(table, "table", table.shape)
        e.dtable = self._real(dtable, "dtable", table.shape, True)
        e.y = self._real(y, "y", (*ids.shape, table.shape[1]), True)
        e.dy = self._real(dy, "dy", (*ids.shape, table.shape[1]))
        self._check_batch(ids)
        self._scales(&op.embedding.M)
        self._moves(<char **>&op.embedding.ids)
        self._moves(<char **>&op.embedding.y)
        self.program.n += 1

    def add_mask(self, *, mask, ids=None, x=None, y=None, double value=0.0, dx=None, dy=None):
        """mask (batch, T) = ids != 0, or any(x != value); then also y = x with skipped steps zeroed."""
        cdef fr_op *op = self._new(FR_OP_mask)
        cdef fr_mask *k = &op.mask
        self.keep.append(mask)
        k.mask = <uint8_t *>_data(mask, "mask", "uint8", mask.shape, True)
        k.M = mask.size
        k.value = value
        if ids is not None:
            self.keep.append(ids)
            k.ids = <const int *>_data(ids, "ids", "int32", mask.shape, False)
        else:
            k.D = x.shape[-1]
            k.x = self._real(x, "x", (*mask.shape, k.D))
            k.y = self._real(y, "y", (*mask.shape, k.D), True)
            k.dx = self._real(dx, "dx", (*mask.shape, k.D), True)
            k.dy = self._real(dy, "dy", (*mask.shape, k.D))
        self._check_batch(mask)
        self._scales(&op.mask.M)
        self._moves(<char **>&op.mask.ids)
        self._moves(<char **>&op.mask.x)
        self._moves(<char **>&op.mask.y)
        self.program.n += 1

    def add_dropout(self, *, double rate, noise, x=None, y=None, dx=None, dy=None, bint add_dx=False, Py_ssize_t repeat=1):
        """noise: (copies, batch, inner). x, dx: (batch, repeat, inner) elements; y, dy: (copies, batch, repeat, inner)."""
        cdef fr_op *op = self._new(FR_OP_dropout)
        cdef fr_dropout *d = &op.dropout
        copies, outer, inner = noise.shape
        if outer != self.batch * self.repeat:
            raise ValueError(f"noise: expected {self.batch * self.repeat} samples, got {outer}")
        d.rate, d.outer, d.repeat, d.inner, d.copies, d.dx_add = rate, outer, repeat, inner, copies, add_dx
        d.noise = self._real(noise, "noise", noise.shape, True)
        for array, n in ((x, 1), (dx, 1), (y, copies), (dy, copies)):
            if array is not None and array.size != n * outer * repeat * inner:
                raise ValueError(f"dropout: expected {n * outer * repeat * inner} elements, got shape {array.shape}")
        d.x = self._real(x, "x", x.shape if x is not None else ())
        d.y = self._real(y, "y", y.shape if y is not None else (), True)
        d.dx = self._real(dx, "dx", dx.shape if dx is not None else (), True)
        d.dy = self._real(dy, "dy", dy.shape if dy is not None else ())
        if (x is None) != (y is None):
            raise ValueError("dropout: x and y go together")
        d.stream = self.program.n + 1
        self._scales(&op.dropout.outer)
        self._moves(<char **>&op.dropout.x)
        self._moves(<char **>&op.dropout.y)
        self.program.n += 1

    def add_activation(self, *, str activation, x, y, dx=None, dy=None):
        """y = activation(x), arrays of one shape (batch, ..., N)."""
        cdef fr_op *op = self._new(FR_OP_activation)
        cdef fr_activation *a = &op.activation
        a.activation = <fr_act>_index(ACTIVATIONS, activation, "activation")
        a.N = x.shape[-1]
        a.M = x.size // max(a.N, 1)
        a.x = self._real(x, "x", x.shape)
        a.y = self._real(y, "y", x.shape, True)
        a.dx = self._real(dx, "dx", x.shape, True)
        a.dy = self._real(dy, "dy", x.shape)
        self._check_batch(x)
        self._scales(&op.activation.M)
        self._moves(<char **>&op.activation.x)
        self._moves(<char **>&op.activation.y)
        self.program.n += 1

    def add_merge(self, *, str mode, a, b, y, da=None, db=None, dy=None):
        """y = a + b, a * b or (a + b) / 2, element by element."""
        cdef fr_op *op = self._new(FR_OP_merge)
        cdef fr_merge *m = &op.merge
        m.mode = <fr_merge_mode>_index(MERGE_MODES, mode, "merge mode")
        m.n = a.size
        m.a = self._real(a, "a", a.shape)
        m.b = self._real(b, "b", a.shape)
        m.y = self._real(y, "y", a.shape, True)
        m.da = self._real(da, "da", a.shape, True)
        m.db = self._real(db, "db", a.shape, True)
        m.dy = self._real(dy, "dy", a.shape)
        self._check_batch(a)
        self._scales(&op.merge.n)
        self._moves(<char **>&op.merge.a)
        self._moves(<char **>&op.merge.b)
        self._moves(<char **>&op.merge.y)
        self.program.n += 1

    def add_function(self, forward, backward=None):
        """A step in Python: `forward(n, training)` and `backward(n)` work on the first n rows of arrays of their own. Fields of this
        operation never follow a source: what it reads or writes must stay where it is (see `in_place_inputs`)."""
        cdef fr_op *op = self._new(FR_OP_function)
        cdef _Function f = _Function()
        f.forward, f.backward = forward, backward
        self.keep.append(f)
        op.function.B = self.batch * self.repeat
        op.function.call = _call_function
        op.function.context = <void *>f
        self._scales(&op.function.B)
        self.program.n += 1

    cdef int _raise_failure(self) except -1:
        """Raise what a function raised in the pass that just ended."""
        self.failed = 0
        for f in self.keep:
            if isinstance(f, _Function) and (<_Function>f).error is not None:
                error, (<_Function>f).error = (<_Function>f).error, None
                raise error
        raise RuntimeError("an operation failed without a reason")
    cdef const int64_t *_index_table(self, object table, str name, Py_ssize_t n, Py_ssize_t bound) except? NULL:
        """An optional int64 array (n) of numbers below `bound`."""
        cdef const int64_t *p
        cdef Py_ssize_t i
        if table is None:
            return NULL
        self.keep.append(table)
        p = <const int64_t *>_data(table, name, "int64", (n,), False)
        for i in range(n):
            if not 0 <= p[i] < bound:
                raise ValueError(f"{name}: entry {p[i]} is not in [0, {bound})")
        return p

    cdef void *_doubles(self, Py_ssize_t n) except NULL:
        """Memory for n doubles, whatever the program's type."""
        return self._memory(n * sizeof(double) // self.program.k.element)

    cdef int _through(self, object x, object y, object dx, object dy, const void **to_x, void **to_y, void **to_dx,
                      const void **to_dy) except -1:
        """The arrays of an operation whose output has the shape of its input."""
        to_x[0] = self._real(x, "x", x.shape)
        to_y[0] = self._real(y, "y", x.shape, True)
        to_dx[0] = self._real(dx, "dx", x.shape, True)
        to_dy[0] = self._real(dy, "dy", x.shape)
        self._check_batch(x)
        return 0

    def add_normalize(self, *, str mode, x, y, Py_ssize_t size, double epsilon=0.0, gamma=None, beta=None, dx=None, dy=None,
                      dgamma=None, dbeta=None, order=None, weight=None, keep=None):
        """Each row of `size` elements of x (batch, ...) is normalised. order: where the elements of the rows lie in a sample; gamma,
        beta: flat, (size), or as `weight` (periods * size) points into them; keep: (batch, elements) uint8, softmax only."""
        cdef fr_op *op = self._new(FR_OP_normalize)
        cdef fr_normalize *k = &op.normalize
        cdef Py_ssize_t elements = x.size // max(x.shape[0], 1), weights = size
        self._through(x, y, dx, dy, &k.x, &k.y, &k.dx, &k.dy)
        if size < 1 or elements % size:
            raise ValueError(f"size: {size} does not divide the {elements} elements of a sample")
        k.mode = <fr_normalize_mode>_index(NORMALIZE_MODES, mode, "mode")
        k.B, k.G, k.N, k.epsilon = x.shape[0], elements // size, size, epsilon
        k.order = self._index_table(order, "order", elements, elements)
        if order is not None:
            k.sorted_x, k.sorted_y = self._memory(x.size), self._memory(x.size)
            k.sorted_dy = self._memory(x.size) if self.training else NULL
        if keep is not None:
            self.keep.append(keep)
            k.keep = <const uint8_t *>_data(keep, "keep", "uint8", (x.shape[0], elements), False)
        k.periods = 1
        if weight is not None:
            weights = (gamma if gamma is not None else beta).size
            k.periods = k.G
            k.weight = self._index_table(weight, "weight", elements, weights)
            k.weight_rows = self._memory(2 * elements)
        k.gamma = self._real(gamma, "gamma", (weights,))
        k.beta = self._real(beta, "beta", (weights,))
        k.dgamma = self._real(dgamma, "dgamma", (weights,), True)
        k.dbeta = self._real(dbeta, "dbeta", (weights,), True)
        k.stats = self._memory(2 * k.B * k.G)
        if self.training:
            k.sums = self._doubles(2 * k.periods * k.N)
        self._scales(&op.normalize.B)
        self._moves(<char **>&op.normalize.x)
        self._moves(<char **>&op.normalize.y)
        self.program.n += 1

    def add_batch_norm(self, *, x, y, int axis, double epsilon, double momentum, moving_mean, moving_variance, gamma=None, beta=None,
                       dx=None, dy=None, dgamma=None, dbeta=None, mask=None, double mask_epsilon=0.0, bint trains=True):
        """Each index of `axis` of x (batch, ...) is normalised over all other axes. Training moves the moving statistics, unless
        `trains` is false. mask: (batch, ...) without the last axis, uint8."""
        cdef fr_op *op = self._new(FR_OP_batch_norm)
        cdef fr_batch_norm *k = &op.batch_norm
        cdef Py_ssize_t i
        if not 1 <= axis < x.ndim:
            raise ValueError(f"axis: {axis} is not in [1, {x.ndim})")
        self._through(x, y, dx, dy, &k.x, &k.y, &k.dx, &k.dy)
        k.outer = k.inner = 1
        for i in range(x.ndim):
            if i < axis:
                k.outer *= x.shape[i]
            elif i > axis:
                k.inner *= x.shape[i]
        k.C = x.shape[axis]
        k.epsilon, k.momentum, k.mask_epsilon, k.trains = epsilon, momentum, mask_epsilon, trains
        if mask is not None:
            self.keep.append(mask)
            k.mask = <const uint8_t *>_data(mask, "mask", "uint8", x.shape[:-1], False)
            k.mask_stride = x.shape[x.ndim - 1]
        k.gamma = self._real(gamma, "gamma", (k.C,))
        k.beta = self._real(beta, "beta", (k.C,))
        k.dgamma = self._real(dgamma, "dgamma", (k.C,), True)
        k.dbeta = self._real(dbeta, "dbeta", (k.C,), True)
        k.moving_mean = self._real(moving_mean, "moving_mean", (k.C,), True)
        k.moving_variance = self._real(moving_variance, "moving_variance", (k.C,), True)
        k.mean, k.scale, k.count = self._memory(k.C), self._memory(k.C), self._doubles(k.C)
        self._scales(&op.batch_norm.outer)
        self._moves(<char **>&op.batch_norm.x)
        self._moves(<char **>&op.batch_norm.y)
        self.program.n += 1

    def add_affine(self, *, x, y, shift=None, scale=None, offset=None, mean=None, variance=None, index=None, double epsilon=0.0,
                   bint invert=False, dx=None, dy=None):
        """y = (x - shift) * scale + offset; shift, scale, offset: one number for each element of a sample, flat. Or
        y = (x - mean) / max(sqrt(variance), epsilon), or its inverse, with flat weights and which of them each element has."""
        cdef fr_op *op = self._new(FR_OP_affine)
        cdef fr_affine *k = &op.affine
        self._through(x, y, dx, dy, &k.x, &k.y, &k.dx, &k.dy)
        k.B, k.N = x.shape[0], x.size // max(x.shape[0], 1)
        if mean is None:
            k.shift = self._real(shift, "shift", (k.N,), True)
            k.scale = self._real(scale, "scale", (k.N,), True)
            k.offset = self._real(offset, "offset", (k.N,), True)
        else:
            k.mean = self._real(mean, "mean", (mean.size,))
            k.variance = self._real(variance, "variance", (mean.size,))
            k.index = self._index_table(index, "index", k.N, mean.size)
            k.epsilon, k.invert = epsilon, invert
            k.shift, k.scale, k.offset = self._memory(k.N), self._memory(k.N), self._memory(k.N)
        if k.scale == NULL or k.shift == NULL or k.offset == NULL or (k.mean != NULL and (k.index == NULL or k.variance == NULL)):
            raise ValueError("affine: give shift, scale and offset, or mean, variance and index")
        self._scales(&op.affine.B)
        self._moves(<char **>&op.affine.x)
        self._moves(<char **>&op.affine.y)
        self.program.n += 1

    def add_rectifier(self, *, str kind, x, y, dx=None, dy=None, double slope=0.0, double max_value=INFINITY, double threshold=0.0,
                      alpha=None, dalpha=None, index=None):
        """ReLU, ELU or PReLU of x (batch, ...). PReLU takes its flat weights alpha, and which of them each element of a sample has."""
        cdef fr_op *op = self._new(FR_OP_rectifier)
        cdef fr_rectifier *k = &op.rectifier
        self._through(x, y, dx, dy, &k.x, &k.y, &k.dx, &k.dy)
        k.kind = <fr_rectifier_kind>_index(RECTIFIERS, kind, "rectifier")
        k.B, k.N = x.shape[0], x.size // max(x.shape[0], 1)
        k.slope, k.max, k.threshold = slope, max_value, threshold
        if (kind == "prelu") != (alpha is not None and index is not None):
            raise ValueError("alpha and index belong to prelu")
        if alpha is not None:
            k.weights = alpha.size
            k.alpha = self._real(alpha, "alpha", (k.weights,))
            k.dalpha = self._real(dalpha, "dalpha", (k.weights,), True)
            k.index = self._index_table(index, "index", k.N, k.weights)
            k.sums = self._doubles(k.weights)
        self._scales(&op.rectifier.B)
        self._moves(<char **>&op.rectifier.x)
        self._moves(<char **>&op.rectifier.y)
        self.program.n += 1

    def add_noise(self, *, str kind, double rate, x, y, Py_ssize_t draws, dx=None, dy=None, index=None, bint shared=False, state=None):
        """Noise on x (batch, ...), in training only. draws: random numbers for each sample, or for all with `shared`; index: which of
        them each element of a sample takes; state: (2) uint64, seed and count of a stream of its own."""
        cdef fr_op *op = self._new(FR_OP_noise)
        cdef fr_noise *k = &op.noise
        self._through(x, y, dx, dy, &k.x, &k.y, &k.dx, &k.dy)
        k.kind = <fr_noise_kind>_index(NOISES, kind, "noise")
        k.rate, k.B, k.N, k.P, k.shared = rate, x.shape[0], x.size // max(x.shape[0], 1), draws, shared
        k.index = self._index_table(index, "index", k.N, draws)
        if index is None and draws != k.N:
            raise ValueError(f"draws: expected {k.N}, got {draws}")
        k.noise = self._memory(draws * (1 if shared else k.B))
        k.stream = self.program.n + 1
        if state is not None:
            self.keep.append(state)
            k.state = <uint64_t *>_data(state, "state", "uint64", (2,), True)
        self._scales(&op.noise.B)
        self._moves(<char **>&op.noise.x)
        self._moves(<char **>&op.noise.y)
        self.program.n += 1

    cdef int _check_batch(self, object array) except -1:
        if array.shape[0] != self.batch * self.repeat:
            raise ValueError(f"expected a batch of {self.batch * self.repeat}, got shape {array.shape}")
        return 0

    def set_loss(self, str kind, params, *, y_true, y_pred, dy_pred=None, str reduction="sum_over_batch_size",
                 weights=None, mask=None, double epsilon=1e-7):
        """What is minimised. y_pred: (batch, ..., N); y_true: (batch, ..., N or 1); weights: (batch) or (batch, ...);
        mask: (batch, ...) uint8, of the model's output."""
        _fill_loss(&self.loss_op, kind, params, epsilon)
        self._targets(y_true, y_pred, weights, mask)
        self.loss_op.dy_pred = self._real(dy_pred, "dy_pred", y_pred.shape, True)
        self.reduction = _index(REDUCTIONS, reduction, "reduction")
        self.has_loss = True

    def set_targets(self, *, y_true, y_pred, weights=None, mask=None):
        """For metrics without a native loss: the arguments of `set_loss` that they share."""
        self._targets(y_true, y_pred, weights, mask)

    cdef int _targets(self, object y_true, object y_pred, object weights, object mask) except -1:
        cdef fr_loss *op = &self.loss_op
        rows = y_pred.shape[:-1]
        op.N = y_pred.shape[-1]
        op.N_true = y_true.shape[-1]
        op.M = 1
        for n in rows:
            op.M *= n
        self.n_loss = op.M // self.batch
        op.y_pred = self._real(y_pred, "y_pred", y_pred.shape)
        op.y_true = self._real(y_true, "y_true", (*rows, op.N_true))
        if op.N_true != 1 and op.N_true != op.N and op.kind < 8:
            raise ValueError(f"y_true: expected {op.N} columns or 1, got {op.N_true}")
        self._check_batch(y_pred)
        if weights is not None:
            self.weights = self._real(weights, "weights", weights.shape, True)
            self.weight_rows = op.M // weights.size
            self.row_weights = self._memory(op.M)
        if mask is not None:
            self.keep.append(mask)
            self.mask = <const uint8_t *>_data(mask, "mask", "uint8", rows, False)
            self.row_weights = self._memory(op.M)
            self.mask_weights = self._memory(op.M)
        return 0

    def add_metric(self, str kind, params, *, bint weighted=False, double epsilon=1e-7):
        """A metric that is a mean over rows; its sums are kept until `reset_metrics`. Returns its number."""
        if self.n_metrics == 16:
            raise ValueError("at most 16 native metrics per model")
        cdef metric *m = &self.metrics[self.n_metrics]
        m.loss = self.loss_op
        m.loss.dy_pred = NULL
        _fill_loss(&m.loss, kind, params, epsilon)
        m.weighted = weighted
        self.n_metrics += 1
        return self.n_metrics - 1

    def set_optimizer(self, str kind, weights, gradient, slots, segments, *, double clipnorm=0.0,
                      double global_clipnorm=0.0, double clipvalue=0.0):
        """weights, gradient, slots: flat arrays of one length; segments: (offset, size, decays) of each trainable weight."""
        cdef fr_update *u = &self.update
        n = weights.shape[0]
        u.kind = <fr_optimizer_kind>_index(OPTIMIZERS, kind, "optimizer")
        u.w = self._real(weights, "weights", (n,), True)
        u.g = self._real(gradient, "gradient", (n,), True)
        for i in range(3):
            u.slot[<int>i] = self._real(slots[i], "slot", (n,), True) if i < len(slots) else NULL
        u.clip_value = clipvalue
        self.clipnorm, self.global_clipnorm = clipnorm, global_clipnorm
        if not clipnorm:  # neighbours with the same decay become one
            merged = []
            for offset, size, decays in segments:
                if merged and merged[-1][0] + merged[-1][1] == offset and merged[-1][2] == decays:
                    merged[-1][1] += size
                else:
                    merged.append([offset, size, decays])
            segments = merged
        free(self.segments)
        self.segments = <segment *>calloc(max(len(segments), 1), sizeof(segment))
        if self.segments == NULL:
            raise MemoryError()
        self.n_segments = len(segments)
        for i, (offset, size, decays) in enumerate(segments):
            if offset < 0 or size < 0 or offset + size > n:
                raise ValueError(f"segment {i} lies outside the {n} weights")
            self.segments[<Py_ssize_t>i].offset = offset
            self.segments[<Py_ssize_t>i].size = size
            self.segments[<Py_ssize_t>i].decays = decays
        self.set_gradient(gradient)

    def set_gradient(self, gradient):
        """The flat gradient, zeroed before each backward pass."""
        self.gradient = self._real(gradient, "gradient", (-1,), True)
        self.gradient_bytes = gradient.nbytes

    def set_source(self, int i, buffer, data):
        """Fill `buffer` (one batch) from rows of `data` before each run: 0 inputs, 1 targets, 2 sample weights.

        Rows of `data` may lie anywhere, and overlap.
        """
        if data is None:
            self.sources[i].to = NULL
            return
        dtype = _NAMES[buffer.dtype.char]  # str(dtype) takes microseconds
        cdef source *s = &self.sources[i]
        self.data[i] = data
        s.data = <const char *>_data(data, "data", dtype, (-1, *buffer.shape[1:]), False, ANY)
        _rows(data, &s.layout)
        s.to = _data(buffer, "buffer", dtype, buffer.shape, True)
        s.row = buffer.nbytes // buffer.shape[0]
        s.rows = data.shape[0]
        if self.n_pointers[i] == 0:  # all operations are there now, and still read the buffer
            self._find_pointers(i, <char *>s.to, s.row)

    def set_step(self, x, y, int vocabulary=0):
        """Between which arrays `step` works: x (batch, ...) is read by the first operation, y (batch, ...) written by the last.
        Where x holds ids they must lie in [0, vocabulary)."""
        PyBuffer_Release(&self.step_x)
        PyBuffer_Release(&self.step_y)
        PyObject_GetBuffer(x, &self.step_x, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        PyObject_GetBuffer(y, &self.step_y, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
        self.step_output = y
        self.vocabulary = vocabulary

    # ---- running ----------------------------------------------------------------------------------------------------------

    cdef void _resize(self, Py_ssize_t n) noexcept nogil:
        """Make every operation work on the first n samples of its buffers."""
        cdef Py_ssize_t i
        cdef field *f
        if n == self.current:
            return
        for i in range(self.n_fields):
            f = &self.fields[i]
            if f.per_sample:
                (<ptrdiff_t *>(<char *>&self.program.ops[f.op] + f.offset))[0] = f.per_sample * n
        self.loss_op.M = self.n_loss * n
        for i in range(self.n_metrics):
            self.metrics[i].loss.M = self.n_loss * n
        self.current = n

    cdef void _start(self, bint training) noexcept nogil:
        self.run.training = training
        self.run.version = self.version.value
        if training:
            self.run.seed += 1

    cdef void _gather(self, const int64_t *order, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
        """Bring the batch to where operations read it. Rows in their order are read where they lie, without a copy."""
        cdef int i
        cdef source *s
        cdef char *at
        cdef bint together
        for i in range(3):
            s = &self.sources[i]
            if s.to == NULL:
                continue
            at = <char *>s.data + start * s.layout.stride if order == NULL else <char *>s.data
            together = order == NULL and s.layout.axes == 0 and (s.layout.stride == <ptrdiff_t>s.row or n == 1)
            if not together or not ((i == 0 and self.in_place_inputs) or (i == 1 and self.in_place_targets)):
                fr_gather(s.to, at, order + start if order != NULL else NULL, n, &s.layout)
                at = <char *>s.to
            self._point(i, at)

    cdef int _find_pointers(self, int which, const char *base, size_t row) except -1:
        """Remember every field that points into the first row of a buffer."""
        cdef Py_ssize_t i
        cdef field *f
        for i in range(self.n_fields):
            f = &self.fields[i]
            if not f.per_sample:
                self._note(which, <char **>(<char *>&self.program.ops[f.op] + f.offset), base, row)
        self._note(which, <char **>&self.loss_op.y_true, base, row)
        for i in range(self.n_metrics):
            self._note(which, <char **>&self.metrics[i].loss.y_true, base, row)
        return 0

    cdef int _note(self, int which, char **field, const char *base, size_t row) except -1:
        if field[0] == NULL or not base <= field[0] < base + row:
            return 0
        if self.n_pointers[which] == 24:
            raise ValueError("more than 24 operations use one buffer")
        self.pointers[which][self.n_pointers[which]].at = field
        self.pointers[which][self.n_pointers[which]].offset = field[0] - base
        self.n_pointers[which] += 1
        return 0

    cdef void _point(self, int which, char *to) noexcept nogil:
        """Make those fields point there instead."""
        cdef int i
        for i in range(self.n_pointers[which]):
            self.pointers[which][i].at[0] = to + self.pointers[which][i].offset

    cdef double _weigh(self) noexcept nogil:
        """Fills row_weights and mask_weights; returns what the weighted sum of losses is divided by."""
        cdef Py_ssize_t i, M = self.loss_op.M
        cdef double w, m, valid = 0, total = 0
        cdef float *f = <float *>self.row_weights
        cdef double *d = <double *>self.row_weights
        cdef float *fm = <float *>self.mask_weights
        cdef double *dm = <double *>self.mask_weights
        cdef bint is_f64 = self.program.k.dtype == FR_F64
        if self.row_weights == NULL:
            self.loss_op.weight = NULL
            return 1.0 if self.reduction == 1 else <double>M
        for i in range(M):
            m = 1.0 if self.mask == NULL else <double>self.mask[i]
            w = m
            if self.weights != NULL:
                w *= (<double *>self.weights)[i // self.weight_rows] if is_f64 else (<float *>self.weights)[i // self.weight_rows]
            if is_f64:
                d[i] = w
                if dm != NULL:
                    dm[i] = m
            else:
                f[i] = <float>w
                if fm != NULL:
                    fm[i] = <float>m
            valid += m
            total += w
        self.loss_op.weight = self.row_weights
        if self.reduction == 1:
            return 1.0
        if self.reduction == 2:
            return total if total > 0 else 1.0
        return valid if valid > 0 else 1.0

    cdef void _score(self, bint gradient) noexcept nogil:
        """Loss of the batch and sums of the metrics."""
        cdef Py_ssize_t i, j
        cdef double divisor = self._weigh()
        cdef double value
        cdef fr_loss op
        cdef metric *m
        if self.has_loss:
            op = self.loss_op
            op.scale = 1.0 / divisor
            if not gradient:
                op.dy_pred = NULL
            self.last_loss = self.program.k.loss(&op) / divisor
            self.loss_total += self.last_loss * self.current
            self.loss_count += self.current
        for i in range(self.n_metrics):
            m = &self.metrics[i]
            m.loss.weight = self.row_weights if m.weighted else self.mask_weights
            m.total += self.program.k.loss(&m.loss)
            if m.loss.weight == NULL:
                m.count += m.loss.M
            elif self.program.k.dtype == FR_F64:
                for j in range(m.loss.M):
                    m.count += (<double *>m.loss.weight)[j]
            else:
                for j in range(m.loss.M):
                    m.count += (<float *>m.loss.weight)[j]

    cdef void _apply(self, const double *scalars, Py_ssize_t n) noexcept nogil:
        """One update. scalars: weight decay, then the numbers of the rule."""
        cdef Py_ssize_t i
        cdef int j
        cdef double norm, squares = 0, scale = 1
        cdef size_t size = self.program.k.element
        cdef fr_update u
        if self.global_clipnorm > 0:
            for i in range(self.n_segments):
                squares += self.program.k.sum_of_squares(
                    <const char *>self.update.g + self.segments[i].offset * size, self.segments[i].size)
            norm = squares ** 0.5
            # a norm that is not finite makes all gradients NaN: trouble must show
            scale = self.global_clipnorm / max(norm, self.global_clipnorm) if isfinite(norm) else NAN
        for i in range(self.n_segments):
            u = self.update
            u.n = self.segments[i].size
            u.w = <char *>u.w + self.segments[i].offset * size
            u.g = <const char *>u.g + self.segments[i].offset * size
            for j in range(3):
                if u.slot[j] != NULL:
                    u.slot[j] = <char *>u.slot[j] + self.segments[i].offset * size
            for j in range(8):
                u.s[j] = scalars[1 + j] if 1 + j < n else 0.0
            u.decay = scalars[0] if self.segments[i].decays else 0.0
            u.g_scale = scale
            if self.clipnorm > 0:
                norm = fr_norm(self.program.k, u.g, u.n)
                u.g_scale = self.clipnorm / max(norm, self.clipnorm) if isfinite(norm) else NAN
            fr_update_all(self.program.k, &u, self.run.threads)
        self.version.value += 1

    cdef const int64_t *_check_run(self, object order, Py_ssize_t start, Py_ssize_t n) except? NULL:
        cdef int i
        cdef const int64_t *p = NULL
        cdef Py_ssize_t end = start + n, j, length
        if n < 1 or n > self.batch or start < 0:
            raise ValueError(f"expected 1 to {self.batch} samples, got {n}")
        if order is not None:
            p = <const int64_t *>_flat(order, "order", b"l", &length)
            if end > length:
                raise ValueError("order is too short")
        for i in range(3):
            if self.sources[i].to != NULL:
                if p == NULL:
                    if end > self.sources[i].rows:
                        raise ValueError(f"source {i} has {self.sources[i].rows} rows, {end} wanted")
                else:
                    for j in range(start, end):
                        if p[j] < 0 or p[j] >= self.sources[i].rows:
                            raise ValueError(f"order names row {p[j]} of {self.sources[i].rows}")
        self.run.threads = _threads()
        return p

    def set_output(self, buffer):
        """The output of the last operation, which `forward` may then write elsewhere."""
        self.output = <char *>self._real(buffer, "buffer", buffer.shape, True)
        self.output_row = buffer.nbytes // buffer.shape[0]
        self._find_pointers(3, self.output, self.output_row)

    def forward(self, Py_ssize_t n, *, order=None, Py_ssize_t start=0, bint training=False, bint score=False, result=None):
        """Run the first n samples: rows start.. of the sources (through `order`, if given). With `score` also the loss
        and the metrics; with `result` (after `set_output`) outputs go to rows start.. of that array."""
        cdef const int64_t *p = self._check_run(order, start, n)
        cdef char *to = NULL
        if training and not self.training:
            raise ValueError("this program was built without a backward pass")
        if result is not None:
            if self.output == NULL or start + n > len(result):
                raise ValueError("result is too short, or set_output() was not called")
            to = <char *>_data(result, "result", self.dtype, result.shape, True) + start * self.output_row
            if result.nbytes != len(result) * self.output_row:
                raise ValueError(f"result: expected rows of {self.output_row} bytes, got shape {result.shape}")
        with nogil:
            self._resize(n)
            self._start(training)
            self._gather(p, start, n)
            if to != NULL:
                self._point(3, to)
            fr_forward(&self.program, &self.run)
            if to != NULL:
                self._point(3, self.output)
            if score and not self.failed:
                self._score(training)
        if self.failed:
            self._raise_failure()

    def step(self, x, out=None):
        """Run all operations once, from x to a new array, or to `out`, which is returned then.

        x and out must be C-contiguous and just as the arrays of `set_step`; nothing is converted. Nothing has run if it raises.

        Raises:
            TypeError, ValueError, BufferError: for other arrays, and ids outside of the vocabulary.
            RuntimeError: while another thread is in this call.
        """
        cdef Py_buffer given, wanted
        cdef Py_ssize_t i
        if self.stepping:
            raise RuntimeError("another thread is running a step of this state; only separate states can be used at once")
        PyObject_GetBuffer(x, &given, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
        cdef bint fine = _alike(&given, &self.step_x)
        if fine:
            memcpy(self.step_x.buf, given.buf, given.len)
        PyBuffer_Release(&given)
        if not fine:
            raise ValueError("x is not as the array of set_step()")
        for i in range(self.step_x.len // self.step_x.itemsize if self.vocabulary else 0):
            if not 0 <= (<int *>self.step_x.buf)[i] < self.vocabulary:
                raise ValueError("an id lies outside of the vocabulary")
        if out is not None:
            PyObject_GetBuffer(out, &wanted, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
            if not _alike(&wanted, &self.step_y):
                PyBuffer_Release(&wanted)
                raise ValueError("out is not as the array of set_step()")
        self.run.threads = _threads()
        self.stepping = True
        with nogil:
            self._resize(self.batch)
            self._start(False)
            fr_forward(&self.program, &self.run)
        try:
            if self.failed:
                self._raise_failure()
            if out is None:
                return self.step_output.copy()
            memcpy(wanted.buf, self.step_y.buf, wanted.len)
            PyBuffer_Release(&wanted)
            return out
        finally:
            self.stepping = False

    def backward(self):
        """Gradients of everything, from dy of the last operation."""
        if not self.training:
            raise ValueError("this program was built without a backward pass")
        with nogil:
            memset(self.gradient, 0, self.gradient_bytes)
            fr_backward(&self.program, &self.run)
        if self.failed:
            self._raise_failure()

    def apply(self, scalars):
        """One optimizer step. scalars: float64 (weight decay * learning rate, numbers of the rule...)."""
        cdef Py_ssize_t n
        cdef const double *s = <const double *>_flat(scalars, "scalars", b"d", &n)
        if self.n_segments == 0 and self.segments == NULL:
            raise ValueError("set_optimizer() first")
        with nogil:
            self._apply(s, n)

    def train_step(self, order, Py_ssize_t start, Py_ssize_t n, scalars):
        """forward, loss, metrics, backward and update of one batch, in one go."""
        cdef const int64_t *p = self._check_run(order, start, n)
        cdef Py_ssize_t n_scalars
        cdef const double *s = <const double *>_flat(scalars, "scalars", b"d", &n_scalars)
        if not self.training or not self.has_loss or self.segments == NULL:
            raise ValueError("a training step needs a loss, an optimizer and a program built for training")
        with nogil:
            self._resize(n)
            self._start(True)
            self._gather(p, start, n)
            fr_forward(&self.program, &self.run)
            if not self.failed:
                self._score(True)
                memset(self.gradient, 0, self.gradient_bytes)
                fr_backward(&self.program, &self.run)
            if not self.failed:
                self._apply(s, n_scalars)
        if self.failed:
            self._raise_failure()

    def reset_metrics(self):
        """Start the sums of loss and metrics anew."""
        cdef int i
        self.loss_total = self.loss_count = 0
        for i in range(self.n_metrics):
            self.metrics[i].total = self.metrics[i].count = 0

    def sums(self):
        """[(total, count)] of the loss and of each metric since `reset_metrics`."""
        cdef int i
        return [(self.loss_total, self.loss_count)] + [(self.metrics[i].total, self.metrics[i].count) for i in range(self.n_metrics)]

    def add_loss(self, double value):
        """Count a batch loss that was computed outside."""
        self.last_loss = value
        self.loss_total += value * self.current
        self.loss_count += self.current

    def add_penalty(self, double value):
        """Count a penalty as part of the last batch's loss."""
        self.last_loss += value
        self.loss_total += value * self.current

    def take_sums(self, Program other):
        """Go on with the sums of another program for the same metrics."""
        cdef int i
        self.loss_total, self.loss_count = other.loss_total, other.loss_count
        for i in range(min(self.n_metrics, other.n_metrics)):
            self.metrics[i].total, self.metrics[i].count = other.metrics[i].total, other.metrics[i].count

    def set_seed(self, uint64_t seed):
        """Of the random draws of the next training pass."""
        self.run.seed = seed


cdef int _fill_loss(fr_loss *op, str kind, object params, double epsilon) except -1:
    op.kind = <fr_loss_kind>_index(LOSSES, kind, "loss")
    op.epsilon = epsilon
    op.scale = 1
    params = dict(params)
    values = {
        "huber": ("delta",), "binary_accuracy": ("threshold",), "top_k_categorical_accuracy": ("k",),
        "sparse_top_k_categorical_accuracy": ("k",),
    }.get(kind, ("from_logits", "label_smoothing"))
    op.param[0] = op.param[1] = 0
    for i, name in enumerate(values):
        if name in params:
            op.param[<int>i] = params.pop(name)
    if params:
        raise ValueError(f"{kind} takes no {', '.join(params)}")
    return 0


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
    for i, value in enumerate(scalars):
        u.s[<int>i] = value
    u.g_scale, u.clip_value, u.decay = g_scale, clipvalue, decay
    fr_update_all(_kernels(dtype), &u, _threads())


def fma_peak(seconds=0.1, dtype="float32"):
    """Measured fused multiply-add rate of one thread, GFLOP/s, with all operands in registers: what no kernel can exceed here.

    It is the median of short samples, since the clock changes from one moment to the next.
    """
    from time import perf_counter

    cdef const fr_kernels *k = _kernels(dtype)
    samples = []
    end = perf_counter() + seconds
    while not samples or perf_counter() < end:
        start = perf_counter()
        flop = k.fma_chain(100_000)
        samples.append(flop / (perf_counter() - start) / 1e9)
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
