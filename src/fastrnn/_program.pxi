# Running: batches into the operations, loss and metrics out of them, and the update.

cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX


cdef struct pointer:
    char **at            # a field of an operation that points into a buffer
    ptrdiff_t offset     # of what it points at, from the buffer's start


cdef struct source:
    void *to             # buffer for one batch, or NULL where nothing is to be fetched
    void *buffer         # that buffer, once it is known
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


cdef struct piece:
    size_t offset, size  # in bytes


cdef class Program(Operations):
    """Operations, and what a training step does around them.

    Args:
        dtype, batch, training: as of `Operations`.
        version: of the weights.
    """

    cdef fr_run run
    cdef Py_ssize_t current
    cdef Version version
    cdef source sources[3]
    cdef list data                     # the sources' arrays, kept alive: operations may read them in place
    cdef list buffers, types           # where they go, and what they must be: (dtype, shape)
    cdef char *output                  # the model's output buffer, if a run may write elsewhere instead
    cdef size_t output_row
    cdef tuple output_shape            # (-1, ...)
    cdef pointer pointers[4][24]       # into the buffers of the three sources, and of the output
    cdef int n_pointers[4]
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
    cdef readonly Py_ssize_t steps_done  # of the last `train_steps`
    cdef Py_ssize_t rows                 # of the sources, the least
    cdef fr_update update
    cdef segment *segments
    cdef Py_ssize_t n_segments
    cdef double clipnorm, global_clipnorm, weight_decay
    cdef void *gradient
    cdef piece *zeroed             # of the gradient, what operations add to
    cdef Py_ssize_t n_zeroed
    cdef Py_ssize_t n_loss
    cdef public bint in_place_inputs   # inputs may be read where they lie; False where the output is part of the input
    cdef public bint in_place_targets  # the same for targets; False when Python wants them in the buffer
    cdef Py_buffer step_x, step_y  # of `step`
    cdef object step_output        # the array behind step_y
    cdef int vocabulary            # ids in step_x must lie below; 0 where it holds no ids
    cdef bint stepping

    def __cinit__(self, str dtype, Py_ssize_t batch, bint training, Version version):
        self.current = batch
        self.run.failed = &self.failed
        self.version = version
        self.data, self.buffers, self.types = [None] * 3, [None] * 3, [None] * 3
        self.in_place_inputs = True

    def __dealloc__(self):
        free(self.segments)
        free(self.zeroed)
        PyBuffer_Release(&self.step_x)
        PyBuffer_Release(&self.step_y)

    # ---- around the operations ------------------------------------------------------------------------------------------

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
        if op.N_true != 1 and op.N_true != op.N:
            raise ValueError(f"y_true: expected {op.N} columns or 1, got {op.N_true}")
        _check_columns(op)
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
        _check_columns(&m.loss)
        m.weighted = weighted
        self.n_metrics += 1
        return self.n_metrics - 1

    def set_optimizer(self, str kind, weights, gradient, slots, segments, *, double clipnorm=0.0,
                      double global_clipnorm=0.0, double clipvalue=0.0):
        """weights, gradient, slots: flat arrays of one length; segments: (offset, size, decays) of each trainable weight. What
        lies between the end of one and the cache line at which the next begins may be updated too, and must belong to no weight."""
        cdef fr_update *u = &self.update
        n = weights.shape[0]
        u.kind = <fr_optimizer_kind>_index(OPTIMIZERS, kind, "optimizer")
        u.w = self._real(weights, "weights", (n,), True)
        u.g = self._real(gradient, "gradient", (n,), True)
        for i in range(3):
            u.slot[<int>i] = self._real(slots[i], "slot", (n,), True) if i < len(slots) else NULL
        u.clip_value = clipvalue
        self.clipnorm, self.global_clipnorm = clipnorm, global_clipnorm
        if not clipnorm:  # neighbours with the same decay become one, with what fills up cache lines between them
            line, merged = 64 // weights.itemsize, []
            for offset, size, decays in segments:
                if merged and -(-(merged[-1][0] + merged[-1][1]) // line) * line == offset and merged[-1][2] == decays:
                    merged[-1][1] = offset + size - merged[-1][0]
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
        """The flat gradient, of which each backward pass begins with zeros; but for what it assigns."""
        cdef Py_ssize_t i, at = 0, size = gradient.nbytes
        self.gradient = self._real(gradient, "gradient", (-1,), True)
        pieces = []
        for first, n in [*sorted(self._assign_gradients(size)), (size, 0)]:
            if first > at:
                pieces.append((at, first - at))
            at = first + n
        free(self.zeroed)
        self.n_zeroed = 0
        self.zeroed = <piece *>calloc(max(len(pieces), 1), sizeof(piece))
        if self.zeroed == NULL:
            raise MemoryError()
        self.n_zeroed = len(pieces)
        for i in range(self.n_zeroed):
            self.zeroed[i].offset, self.zeroed[i].size = pieces[i]

    cdef list _assign_gradients(self, Py_ssize_t size):
        """Lets recurrent layers assign the gradients that nothing else adds to; (offset, size) of each, in bytes of the flat gradient."""
        cdef Py_ssize_t i, j
        cdef fr_rnn *r
        cdef fr_matrix *m
        cdef size_t start = <size_t>self.gradient
        assigned = []
        for i in range(self.program.n):
            if self.program.ops[i].kind == FR_OP_function:
                return []  # Python may add to any gradient
        for i in range(self.program.n):
            r = &self.program.ops[i].rnn
            if self.program.ops[i].kind != FR_OP_rnn or r.T == 0:
                continue
            for j in range(2):
                m = &r.U if j else &r.W
                at = [n for address, n in self.gradients if address == <size_t>m.gradient]
                m.assigned = len(at) == 1 and start <= <size_t>m.gradient < start + size
                if m.assigned:
                    assigned.append((<size_t>m.gradient - start, at[0]))
        return assigned

    cdef void _zero_gradient(self) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.n_zeroed):
            memset(<char *>self.gradient + self.zeroed[i].offset, 0, self.zeroed[i].size)

    def set_source(self, int i, buffer, data):
        """Fill `buffer` (one batch) from rows of `data` before each run: 0 inputs, 1 targets, 2 sample weights.

        Rows of `data` may lie anywhere, and overlap.
        """
        if data is None:
            self.sources[i].to = NULL
            return
        cdef source *s = &self.sources[i]
        cdef fr_rows layout
        if buffer is not self.buffers[i]:  # the same one in every call but the first
            self.types[i] = (_NAMES[buffer.dtype.char], (-1, *buffer.shape[1:]))
            s.buffer = _data(buffer, "buffer", self.types[i][0], buffer.shape, True)
            s.row = buffer.nbytes // buffer.shape[0]
            self.buffers[i] = buffer
        dtype, shape = self.types[i]
        s.data = <const char *>_data(data, "data", dtype, shape, False, ANY, &layout)
        s.layout = layout
        self.data[i] = data
        s.to = s.buffer
        s.rows = len(data)
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
        self.bound = True
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
            self.last_loss = fr_loss_all(self.program.k, &op, self.run.threads) / divisor
            self.loss_total += self.last_loss * self.current
            self.loss_count += self.current
        for i in range(self.n_metrics):
            m = &self.metrics[i]
            m.loss.weight = self.row_weights if m.weighted else self.mask_weights
            m.total += fr_loss_all(self.program.k, &m.loss, self.run.threads)
            if m.loss.weight == NULL:
                m.count += m.loss.M
            elif self.program.k.dtype == FR_F64:
                for j in range(m.loss.M):
                    m.count += (<double *>m.loss.weight)[j]
            else:
                for j in range(m.loss.M):
                    m.count += (<float *>m.loss.weight)[j]

    cdef void _apply(self, const double *scalars) noexcept nogil:
        """One update. scalars: see `_numbers`."""
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
                u.s[j] = scalars[1 + j]
            u.decay = scalars[0] if self.segments[i].decays else 0.0
            u.g_scale = scale
            if self.clipnorm > 0:
                norm = fr_norm(self.program.k, u.g, u.n)
                u.g_scale = self.clipnorm / max(norm, self.clipnorm) if isfinite(norm) else NAN
            fr_update_all(self.program.k, &u, self.run.threads)
        self.version.value += 1

    cdef const int64_t *_check_run(self, object order, Py_ssize_t start, Py_ssize_t n, Py_ssize_t stop) except? NULL:
        """For batches of n of rows start..stop of the sources, or of what `order` says there."""
        cdef int i
        cdef const int64_t *p = NULL
        cdef Py_ssize_t length = 0, rows = PY_SSIZE_T_MAX
        if n < 1 or n > self.batch or start < 0:
            raise ValueError(f"expected 1 to {self.batch} samples, got {n}")
        for i in range(3):
            if self.sources[i].to != NULL:
                rows = min(rows, self.sources[i].rows)
        if order is not None:
            p = <const int64_t *>_flat(order, "order", b"l", &length)
            if stop > length:
                raise ValueError("order is too short")
        elif stop > rows:
            raise ValueError(f"the sources have {rows} rows, {stop} wanted")
        self.rows = rows
        return p

    cdef Py_ssize_t _outside(self, const int64_t *order, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
        """The first of n places from `start` on whose row is none of the sources', or -1."""
        cdef Py_ssize_t j
        for j in range(start, start + n if order != NULL else start):
            if order[j] < 0 or order[j] >= self.rows:
                return j
        return -1

    cdef int _check_order(self, const int64_t *order, Py_ssize_t place) except -1:
        if place >= 0:
            raise ValueError(f"order names row {order[place]} of {self.rows}")
        return 0

    def set_output(self, buffer):
        """The output of the last operation, which `forward` may then write elsewhere."""
        self.output = <char *>self._real(buffer, "buffer", buffer.shape, True)
        self.output_row = buffer.nbytes // buffer.shape[0]
        self.output_shape = (-1, *buffer.shape[1:])
        self._find_pointers(3, self.output, self.output_row)

    def forward(self, Py_ssize_t n, *, order=None, Py_ssize_t start=0, bint training=False, bint score=False, result=None):
        """Run the first n samples: rows start.. of the sources (through `order`, if given). With `score` also the loss
        and the metrics; with `result` (after `set_output`) outputs go to rows start.. of that array."""
        cdef const int64_t *p = self._check_run(order, start, n, start + n)
        cdef char *to = NULL
        self._check_order(p, self._outside(p, start, n))
        if training and not self.training:
            raise ValueError("this program was built without a backward pass")
        if result is not None:
            if self.output == NULL or start + n > len(result):
                raise ValueError("result is too short, or set_output() was not called")
            to = <char *>_data(result, "result", self.dtype, self.output_shape, True) + start * self.output_row
        cdef uint64_t mode
        self.run.threads = _threads()  # of the backward pass too: memory is divided among so many
        with nogil:
            mode = fr_flush_denormals()
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
            fr_restore_denormals(mode)
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
        cdef uint64_t mode
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
            mode = fr_flush_denormals()
            self._resize(self.batch)
            self._start(False)
            fr_forward(&self.program, &self.run)
            fr_restore_denormals(mode)
        try:
            if self.failed:
                self._raise_failure()
            if out is None:
                return self.step_output.copy()
            memcpy(wanted.buf, self.step_y.buf, wanted.len)
            return out
        finally:
            self.stepping = False
            if out is not None:
                PyBuffer_Release(&wanted)

    def backward(self):
        """Gradients of everything, from dy of the last operation."""
        if not self.training:
            raise ValueError("this program was built without a backward pass")
        cdef uint64_t mode
        with nogil:
            mode = fr_flush_denormals()
            self._zero_gradient()
            fr_backward(&self.program, &self.run)
            fr_restore_denormals(mode)
        if self.failed:
            self._raise_failure()

    cdef int _numbers(self, double decay, scalars, double *s) except -1:
        """What `_apply` takes: the weight decay times the learning rate, then up to eight numbers of the rule."""
        cdef int i = 1
        memset(s, 0, 9 * sizeof(double))
        s[0] = decay
        for number in scalars:
            if i == 9:
                raise ValueError("scalars: expected at most 8")
            s[i] = number
            i += 1
        if not s[2] >= 1:
            raise ValueError(f"scalars: expected the learning rate, the number of the update from 1, and those of the rule; got {list(scalars)}")
        return 0

    def apply(self, double decay, scalars):
        """One optimizer step. decay: weight decay times learning rate; scalars: the numbers of the rule, as `Optimizer.scalars` orders them."""
        cdef double s[9]
        cdef uint64_t mode
        if self.segments == NULL:
            raise ValueError("set_optimizer() first")
        self._numbers(decay, scalars, s)
        with nogil:
            mode = fr_flush_denormals()
            self._apply(s)
            fr_restore_denormals(mode)

    def train_steps(self, order, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t n, double decay, scalars, Py_ssize_t most=1):
        """Training steps on batches of n of rows start..stop (through `order`, if given), the last of which may be smaller: at most so many, and none
        begun after a millisecond, as only the caller can be interrupted. `steps_done` is their number, also if one raises.

        decay, scalars: of the first update, as for `apply`; their "t" counts on.
        """
        cdef const int64_t *p
        cdef Py_ssize_t rows, outside = -1
        cdef double s[9]
        cdef double began
        cdef uint64_t mode
        self.steps_done = 0
        p = self._check_run(order, start, n, stop)
        if not self.training or not self.has_loss or self.segments == NULL:
            raise ValueError("a training step needs a loss, an optimizer and a program built for training")
        self._numbers(decay, scalars, s)
        self.run.threads = _threads()
        with nogil:
            mode = fr_flush_denormals()
            began = fr_seconds()
            while start < stop and self.steps_done < most and not self.failed:
                rows = min(n, stop - start)
                outside = self._outside(p, start, rows)
                if outside >= 0:
                    break
                self._train(p, start, rows, s)
                if self.failed:
                    break
                start += rows
                s[2] += 1
                self.steps_done += 1
                if fr_seconds() - began > 1e-3:
                    break
            fr_restore_denormals(mode)
        if self.failed:
            self._raise_failure()
        self._check_order(p, outside)

    cdef void _train(self, const int64_t *order, Py_ssize_t start, Py_ssize_t n, const double *scalars) noexcept nogil:
        """forward, loss, metrics, backward and update of one batch"""
        self._resize(n)
        self._start(True)
        self._gather(order, start, n)
        fr_forward(&self.program, &self.run)
        if self.failed:
            return
        self._score(True)
        self._zero_gradient()
        fr_backward(&self.program, &self.run)
        if not self.failed:
            self._apply(scalars)

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


cdef int _check_columns(const fr_loss *op) except -1:
    """Raise where a kernel would read more columns of y_true than there are."""
    if LOSSES[op.kind] in ONE_HOT and op.N_true != op.N:
        raise ValueError(f"y_true: {LOSSES[op.kind]} needs a column for each of {op.N} classes, got {op.N_true}")
    return 0
