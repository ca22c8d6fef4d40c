# Building: native operations, each of which checks its arrays once and notes what of it depends on the batch.


cdef struct field:
    Py_ssize_t op, offset      # which operation, and where in it
    ptrdiff_t per_sample       # of a count of rows; 0 for a pointer to the first row of a buffer


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


cdef class Operations:
    """A list of native operations on fixed buffers.

    Buffers are made for `batch` samples; any smaller batch runs in them too. Arrays are kept alive as long as the list lives.

    Args:
        dtype: "float32" or "float64".
        batch: the largest number of samples.
        training: whether gradients are wanted.
    """

    cdef fr_program program
    cdef int failed
    cdef Py_ssize_t capacity
    cdef list keep
    cdef list gradients                # (address, bytes) of those of matrices, as often as operations add to them
    cdef readonly str dtype
    cdef readonly Py_ssize_t batch
    cdef public Py_ssize_t repeat      # rows that new operations count as samples, per sample of the program
    cdef readonly bint training
    cdef bint bound                    # fields point at buffers elsewhere: operations must stay where they are
    cdef field *fields                 # that depend on the batch: its size, and where it lies
    cdef Py_ssize_t n_fields, room_for_fields

    def __cinit__(self, str dtype, Py_ssize_t batch, bint training, *_):
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        if batch < 1:
            raise ValueError(f"batch must be positive, got {batch}")
        self.program.k = _kernels(dtype)
        self.dtype = dtype
        self.batch = batch
        self.repeat = 1
        self.training = training
        self.keep = []
        self.gradients = []

    def __dealloc__(self):
        free(self.program.ops)
        free(self.fields)

    cdef fr_op *_new(self, fr_op_kind kind) except NULL:
        cdef Py_ssize_t room
        cdef void *ops
        if self.bound:
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
        if gradient is not None:
            self.gradients.append((<size_t>m.gradient, gradient.nbytes))
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
        r.few_rows = self.batch < FR_FEW_ROWS
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
        cdef bint learns = kind == "prelu", given = alpha is not None and index is not None
        if learns != given:
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
