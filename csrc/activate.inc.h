/* Activations of whole arrays, and softmax among them, which mixes the units of a row. */

/* softmax or its logarithm of one row. Sums run in double so that a row of 10,000 classes keeps its last digits. */
static void softmax_row(int log_of, ptrdiff_t n, const real *x, real *y)
{
    real top = x[0];
    double sum = 0;
    for (ptrdiff_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    const vec t = v_set1(top);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        ptrdiff_t m = min_size(VL, n - i);
        real e[VL];
        vec d = v_sub(v_load_n(x + i, m), t);
        v_store(e, v_exp(d));
        for (ptrdiff_t j = 0; j < m; j++) sum += e[j];
        v_store_n(y + i, log_of ? d : v_load(e), m);
    }
    const real a = log_of ? (real)log(sum) : (real)(1 / sum);
    for (ptrdiff_t i = 0; i < n; i++) y[i] = log_of ? y[i] - a : y[i] * a;
}

/* dx = dy * d y / d x along one row of softmax or log_softmax; dx may be dy. */
static void softmax_row_backward(int log_of, ptrdiff_t n, const real *y, const real *dy, real *dx)
{
    double s = 0;
    for (ptrdiff_t i = 0; i < n; i++) s += log_of ? (double)dy[i] : (double)dy[i] * y[i];
    for (ptrdiff_t i = 0; i < n; i++)
        dx[i] = log_of ? (real)(dy[i] - M_(exp)(y[i]) * s) : (real)(y[i] * (dy[i] - s));
}

/* y = activation(x) over `rows` rows of `cols`, contiguous; y may be x. */
static void activate(fr_act kind, ptrdiff_t rows, ptrdiff_t cols, const void *from, void *to)
{
    const real *x = from;
    real *y = to;
    if (act_is_rowwise(kind)) {
        for (ptrdiff_t r = 0; r < rows; r++) softmax_row(kind == FR_ACT_log_softmax, cols, x + r * cols, y + r * cols);
        return;
    }
    for (ptrdiff_t i = 0, n = rows * cols; i < n; i += VL) {
        ptrdiff_t m = min_size(VL, n - i);
        v_store_n(y + i, apply(kind, v_load_n(x + i, m)), m);
    }
}

/* dx = dy * slope, as `activate`; x is read only where the kind needs it. dx may be dy. */
static void activate_backward(fr_act kind, ptrdiff_t rows, ptrdiff_t cols, const real *x, const real *y, const real *dy, real *dx)
{
    if (act_is_rowwise(kind)) {
        for (ptrdiff_t r = 0; r < rows; r++)
            softmax_row_backward(kind == FR_ACT_log_softmax, cols, y + r * cols, dy + r * cols, dx + r * cols);
        return;
    }
    const int from_input = act_needs_input(kind);
    for (ptrdiff_t i = 0, n = rows * cols; i < n; i += VL) {
        ptrdiff_t m = min_size(VL, n - i);
        vec in = from_input ? v_load_n(x + i, m) : K_(0);
        v_store_n(dx + i, v_mul(v_load_n(dy + i, m), slope(kind, in, v_load_n(y + i, m))), m);
    }
}
