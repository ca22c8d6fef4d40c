/* 2-D convolution, channels last: patches are unfolded into rows (KH*KW*C), the rest is a dense layer on them.
 * Row (b, oh, ow) holds x[b, oh*stride_h - pad_top + kh*dilation_h, ow*stride_w - pad_left + kw*dilation_w, :] for all (kh, kw). */

/* Visits every patch cell of one image; `from` >= 0 is its place in the image, -1 for padding. */
#define FOR_PATCHES(v)                                                                                             \
    for (ptrdiff_t oh = 0, at = 0; oh < v->OH; oh++)                                                                \
        for (ptrdiff_t ow = 0; ow < v->OW; ow++)                                                                    \
            for (ptrdiff_t kh = 0; kh < v->KH; kh++)                                                                \
                for (ptrdiff_t kw = 0; kw < v->KW; kw++, at += v->C)

static inline ptrdiff_t patch_source(const fr_conv2d *v, ptrdiff_t oh, ptrdiff_t ow, ptrdiff_t kh, ptrdiff_t kw)
{
    const ptrdiff_t h = oh * v->stride_h - v->pad_top + kh * v->dilation_h, w = ow * v->stride_w - v->pad_left + kw * v->dilation_w;
    return h >= 0 && h < v->H && w >= 0 && w < v->W ? (h * v->W + w) * v->C : -1;
}

static void conv2d_unfold(void *arg, ptrdiff_t b)
{
    const fr_conv2d *v = arg;
    const real *x = (const real *)v->x + b * v->H * v->W * v->C;
    real *to = (real *)v->columns + b * v->OH * v->OW * v->KH * v->KW * v->C;
    FOR_PATCHES(v) {
        const ptrdiff_t from = patch_source(v, oh, ow, kh, kw);
        for (ptrdiff_t c = 0; c < v->C; c++) to[at + c] = from < 0 ? 0 : x[from + c];
    }
}

static void conv2d_fold(void *arg, ptrdiff_t b)
{
    const fr_conv2d *v = arg;
    real *dx = (real *)v->dx + b * v->H * v->W * v->C;
    const real *d = (const real *)v->dcolumns + b * v->OH * v->OW * v->KH * v->KW * v->C;
    for (ptrdiff_t i = 0; i < v->H * v->W * v->C; i++) dx[i] = 0;
    FOR_PATCHES(v) {
        const ptrdiff_t from = patch_source(v, oh, ow, kh, kw);
        for (ptrdiff_t c = 0; from >= 0 && c < v->C; c++) dx[from + c] += d[at + c];
    }
}
#undef FOR_PATCHES

static void conv2d_forward(fr_op *o, const fr_run *run)
{
    fr_conv2d *v = &o->conv2d;
    fr_parallel_for(dense_threads(&v->dense, run), v->B, conv2d_unfold, v);
    dense_run(&v->dense, run);
}

static void conv2d_backward(fr_op *o, const fr_run *run)
{
    fr_conv2d *v = &o->conv2d;
    dense_run_backward(&v->dense, run);
    if (v->dx) fr_parallel_for(dense_threads(&v->dense, run), v->B, conv2d_fold, v);
}
