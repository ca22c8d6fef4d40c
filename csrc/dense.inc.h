/* Dense layer on M rows: y = act(x W + b); dz = dy * act', dW = x^T dz, db = sum of dz, dx = dz W^T. */

typedef struct {
    fr_dense *op;
    ptrdiff_t block; /* rows per task */
} dense_task;

static real *dense_panel_scratch(const fr_dense *d, ptrdiff_t p) { return (real *)d->scratch + p * (K_BLOCK + 1) * PANEL * VL; }

static void dense_sizes(const fr_dense *d, int training, ptrdiff_t sizes[4])
{
    (void)training;
    sizes[0] = sizes[2] = plain_size(d->K, d->N);
    sizes[1] = plain_size(d->N, d->K);
    sizes[3] = plain_panels(d->N) * (K_BLOCK + 1) * PANEL * VL;
}

/* Packs src (K, N; element (k, n) at src[k*ld + n]) into plain panels. */
static void pack_plain(const real *src, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t N, real *dst)
{
    for (ptrdiff_t p = 0; p < plain_panels(N); p++) {
        const ptrdiff_t first = plain_first(N, p), end = first + plain_nv(N, p) * VL;
        for (ptrdiff_t k = 0; k < K; k++)
            for (ptrdiff_t n = first; n < end; n += VL, dst += VL) copy_lanes(dst, src + k * ld + n, N - n);
    }
}

/* Packs the transpose of src (N, K; element (n, k) at src[n*ld + k]) into plain panels of a (K, N) matrix. */
static void pack_transposed(const real *src, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t N, real *dst)
{
    for (ptrdiff_t p = 0; p < plain_panels(N); p++) {
        const ptrdiff_t width = plain_nv(N, p) * VL;
        const ptrdiff_t first = plain_first(N, p), rows = min_size(width, N - first);
        if (rows < width)
            for (ptrdiff_t i = 0; i < K * width; i += VL) v_store(dst + i, v_set1(0));
        copy_transposed(src + first * ld, ld, rows, K, dst, width);
        dst += K * width;
    }
}

static void dense_pack(fr_dense *d, const fr_run *run)
{
    if (d->packed_version == run->version && d->packed_transposed >= run->training) return;
    pack_plain(d->W.value, d->ld, d->K, d->N, d->W.packed);
    if (run->training && d->dx) pack_transposed(d->W.value, d->ld, d->N, d->K, d->W.packed_t);
    d->packed_version = run->version;
    d->packed_transposed = run->training;
}

/* C (rows, N) = init + A (rows, K) B for plain panels B. init: a row of N elements, or NULL for zeros. Rows lie lda and ldc apart. */
static void multiply_plain(ptrdiff_t rows, ptrdiff_t K, ptrdiff_t N, const real *a, ptrdiff_t lda, const real *packed, const real *init,
                           real *c, ptrdiff_t ldc)
{
    for (ptrdiff_t p = 0; p < plain_panels(N); p++) {
        const int nv = plain_nv(N, p);
        const ptrdiff_t column = plain_first(N, p);
        const product q = {.a = a, .rs = lda, .ks = 1, .nseg = 1, .klen = K, .b = packed + column * K, .ldb = nv * VL,
                           .init = init ? init + column : zeros, .ldi = 0, .c = c + column, .ldc = ldc, .tail = plain_tail(N, p)};
        multiply(nv, rows, &q);
    }
}

static void dense_rows(void *arg, ptrdiff_t i)
{
    const dense_task *t = arg;
    const fr_dense *d = t->op;
    const ptrdiff_t r0 = i * t->block, rows = min_size(t->block, d->M - r0);
    real *z = (real *)(d->z ? d->z : d->y) + r0 * d->ld;
    multiply_plain(rows, d->K, d->N, (const real *)d->x + r0 * d->K, d->K, d->W.packed, d->use_bias ? d->bias : NULL, z, d->ld);
    if (d->activation != FR_ACT_linear) activate(d->activation, rows, d->N, z, (real *)d->y + r0 * d->N);
}

static void dense_rows_backward(void *arg, ptrdiff_t i)
{
    const dense_task *t = arg;
    const fr_dense *d = t->op;
    const ptrdiff_t r0 = i * t->block, rows = min_size(t->block, d->M - r0);
    real *dz = (real *)d->dy + r0 * d->ld;
    if (d->activation != FR_ACT_linear)
        activate_backward(d->activation, rows, d->N, d->z ? (const real *)d->z + r0 * d->N : NULL, (const real *)d->y + r0 * d->N, dz, dz);
    if (d->dx) multiply_plain(rows, d->N, d->K, dz, d->ld, d->W.packed_t, NULL, (real *)d->dx + r0 * d->K, d->K);
}

/* dW and db of one panel of columns; rows are summed in order. */
static void dense_weight_gradient(void *arg, ptrdiff_t p)
{
    const fr_dense *d = ((dense_task *)arg)->op;
    const int nv = plain_nv(d->N, p);
    const ptrdiff_t width = nv * VL, column = plain_first(d->N, p);
    real *to = dense_panel_scratch(d, p), *db = to + K_BLOCK * PANEL * VL, *dW = (real *)d->W.grad + column * d->K;
    for (ptrdiff_t j = 0; j < width; j += VL) v_store(db + j, K_(0));
    for (ptrdiff_t r0 = 0; r0 < d->M; r0 += K_BLOCK) {
        const ptrdiff_t rows = min_size(K_BLOCK, d->M - r0);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t j = 0; j < width; j += VL) {
                real *at = to + r * width + j;
                copy_lanes(at, (const real *)d->dy + (r0 + r) * d->ld + column + j, d->N - column - j);
                v_store(db + j, v_add(v_load(db + j), v_load(at)));
            }
        const product q = {.a = (const real *)d->x + r0 * d->K, .rs = 1, .ks = d->K, .nseg = 1, .klen = rows, .b = to, .ldb = width,
                           .init = r0 ? dW : zeros, .ldi = r0 ? width : 0, .c = dW, .ldc = width, .tail = VL};
        multiply(nv, d->K, &q);
    }
    for (ptrdiff_t j = 0; j < width; j += VL) {
        const ptrdiff_t n = min_size(VL, d->N - column - j);
        for (ptrdiff_t k = 0; k < d->K; k++) add_lanes((real *)d->W.gradient + k * d->ld + column + j, dW + k * width + j, n);
        if (d->dbias) add_lanes((real *)d->dbias + column + j, db + j, n);
    }
}

static int dense_threads(const fr_dense *d, const fr_run *run)
{
    return 2.0 * (double)d->M * (double)d->K * (double)d->N < 1e6 ? 1 : run->threads;
}

static void dense_run(fr_dense *d, const fr_run *run)
{
    const dense_task t = {d, 4 * MR(PANEL)};
    dense_pack(d, run);
    fr_parallel_for(dense_threads(d, run), ceil_div(d->M, t.block), dense_rows, (void *)&t);
}

static void dense_run_backward(fr_dense *d, const fr_run *run)
{
    const dense_task t = {d, 4 * MR(PANEL)};
    const int threads = dense_threads(d, run);
    fr_parallel_for(threads, ceil_div(d->M, t.block), dense_rows_backward, (void *)&t);
    if (d->W.gradient) fr_parallel_for(threads, plain_panels(d->N), dense_weight_gradient, (void *)&t);
}

static void dense_forward(fr_op *o, const fr_run *run) { dense_run(&o->dense, run); }
static void dense_backward(fr_op *o, const fr_run *run) { dense_run_backward(&o->dense, run); }
