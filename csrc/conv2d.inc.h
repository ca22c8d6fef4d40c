/* 2-D convolution, channels last: patches are unfolded into rows (KH*KW*C), the rest is a dense layer on them. With groups each has
 * its own rows, of its share of the channels.
 * Row (b, oh, ow) holds x[b, oh*stride_h - pad_top + kh*dilation_h, ow*stride_w - pad_left + kw*dilation_w, :] for all (kh, kw). */

/* Visits every patch cell of one image; `at` is its place in the rows of a group. */
#define FOR_PATCHES(v)                                                                                             \
    for (ptrdiff_t oh = 0, at = 0; oh < v->OH; oh++)                                                                \
        for (ptrdiff_t ow = 0; ow < v->OW; ow++)                                                                    \
            for (ptrdiff_t kh = 0; kh < v->KH; kh++)                                                                \
                for (ptrdiff_t kw = 0; kw < v->KW; kw++, at += v->C / v->groups)

/* Elements of one group's rows. */
static inline ptrdiff_t group_size(const fr_conv2d *v) { return v->dense.M * v->dense.K; }

/* Where the channels of a patch cell lie in the image; -1 for padding. */
static inline ptrdiff_t patch_source(const fr_conv2d *v, ptrdiff_t oh, ptrdiff_t ow, ptrdiff_t kh, ptrdiff_t kw)
{
    const ptrdiff_t h = oh * v->stride_h - v->pad_top + kh * v->dilation_h, w = ow * v->stride_w - v->pad_left + kw * v->dilation_w;
    return h >= 0 && h < v->H && w >= 0 && w < v->W ? (h * v->W + w) * v->C : -1;
}

static void conv2d_unfold(void *arg, ptrdiff_t b)
{
    const fr_conv2d *v = arg;
    const real *x = (const real *)v->x + b * v->H * v->W * v->C;
    const ptrdiff_t C = v->C / v->groups;
    real *to = (real *)v->columns + b * v->OH * v->OW * v->dense.K;
    FOR_PATCHES(v) {
        const ptrdiff_t from = patch_source(v, oh, ow, kh, kw);
        for (ptrdiff_t g = 0; g < v->groups; g++)
            for (ptrdiff_t c = 0; c < C; c++) to[g * group_size(v) + at + c] = from < 0 ? 0 : x[from + g * C + c];
    }
}

static void conv2d_fold(void *arg, ptrdiff_t b)
{
    const fr_conv2d *v = arg;
    real *dx = (real *)v->dx + b * v->H * v->W * v->C;
    const ptrdiff_t C = v->C / v->groups;
    const real *d = (const real *)v->dcolumns + b * v->OH * v->OW * v->dense.K;
    for (ptrdiff_t i = 0; i < v->H * v->W * v->C; i++) dx[i] = 0;
    FOR_PATCHES(v) {
        const ptrdiff_t from = patch_source(v, oh, ow, kh, kw);
        for (ptrdiff_t g = 0; from >= 0 && g < v->groups; g++)
            for (ptrdiff_t c = 0; c < C; c++) dx[from + g * C + c] += d[g * group_size(v) + at + c];
    }
}
#undef FOR_PATCHES

/* The dense layer of group g. Groups run one after another, so that the collected gradient and the scratch memory serve all. */
static fr_dense conv2d_group(const fr_conv2d *v, ptrdiff_t g)
{
    fr_dense d = v->dense;
    const ptrdiff_t n = g * d.N;
    d.x = (const real *)d.x + g * group_size(v);
    if (d.dx) d.dx = (real *)d.dx + g * group_size(v);
    d.y = (real *)d.y + n;
    if (d.dy) d.dy = (real *)d.dy + n;
    d.W.value = (const real *)d.W.value + n;
    if (d.W.gradient) d.W.gradient = (real *)d.W.gradient + n;
    d.W.packed = (real *)d.W.packed + g * plain_size(d.K, d.N);
    if (d.W.packed_t) d.W.packed_t = (real *)d.W.packed_t + g * plain_size(d.N, d.K);
    if (d.use_bias) d.bias = (const real *)d.bias + n;
    if (d.dbias) d.dbias = (real *)d.dbias + n;
    return d;
}

static void conv2d_forward(fr_op *o, const fr_run *run)
{
    fr_conv2d *v = &o->conv2d;
    fr_parallel_for(dense_threads(&v->dense, run), v->B, conv2d_unfold, v);
    for (ptrdiff_t g = 1; g < v->groups; g++) {
        fr_dense d = conv2d_group(v, g);
        dense_run(&d, run);
    }
    dense_run(&v->dense, run); /* last, for it remembers which weights are packed */
}

static void conv2d_backward(fr_op *o, const fr_run *run)
{
    fr_conv2d *v = &o->conv2d;
    for (ptrdiff_t g = 0; g < v->groups; g++) {
        fr_dense d = conv2d_group(v, g);
        dense_run_backward(&d, run);
    }
    if (v->dx) fr_parallel_for(dense_threads(&v->dense, run), v->B, conv2d_fold, v);
}
