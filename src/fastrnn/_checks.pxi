# Checks: every array that crosses the boundary goes through here.

_NAMES = {"f": "float32", "d": "float64", "i": "int32", "l": "int64", "q": "int64", "B": "uint8"}
_FORMATS = {"float32": b"f", "float64": b"d", "int32": b"i", "int64": b"lq", "uint64": b"LQ", "uint8": b"B?"}


cdef enum:  # which strides an array may have
    CONTIGUOUS, LAST_AXIS_CONTIGUOUS, ANY


cdef void *_data(object array, str name, str dtype, tuple shape, bint write, int strides=CONTIGUOUS, fr_rows *rows=NULL) except? NULL:
    """Address of the first element; `shape` entries of -1 are free. `rows` is told how the rows lie in memory."""
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
        if rows != NULL:
            _rows(&view, rows)
    finally:
        PyBuffer_Release(&view)
    return address


cdef int _rows(const Py_buffer *view, fr_rows *rows) except -1:
    """How the rows of an array lie in memory."""
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
