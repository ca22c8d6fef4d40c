/* Pooling, channels last: the largest or the mean value of each channel, over windows or over everything. */

/* The part of window (oh, ow) that lies in the image: rows [h0, h1), columns [w0, w1). Never empty. */
typedef struct {
    ptrdiff_t h0, h1, w0, w1;
} window;

static inline window pool_window(const fr_pool *p, ptrdiff_t oh, ptrdiff_t ow)
{
    const ptrdiff_t h = oh * p->stride_h - p->pad_top, w = ow * p->stride_w - p->pad_left;
    return (window){max_size(h, 0), min_size(h + p->KH, p->H), max_size(w, 0), min_size(w + p->KW, p->W)};
}

#define FOR_WINDOWS(p)                                                                  \
    for (ptrdiff_t oh = 0, at = 0; oh < p->OH; oh++)                                     \
        for (ptrdiff_t ow = 0; ow < p->OW; ow++, at += p->C)
#define FOR_CELLS(p, v)                                                                 \
    for (ptrdiff_t h = v.h0; h < v.h1; h++)                                             \
        for (ptrdiff_t w = v.w0, from = (h * p->W + w) * p->C; w < v.w1; w++, from += p->C)

/* NaN is larger than all numbers here: trouble must show. */
static inline real larger(real a, real b) { return b > a || b != b ? b : a; }

static void pool_image(void *arg, ptrdiff_t b)
{
    const fr_pool *p = arg;
    const real *x = (const real *)p->x + b * p->H * p->W * p->C;
    real *y = (real *)p->y + b * p->OH * p->OW * p->C;
    FOR_WINDOWS(p) {
        const window v = pool_window(p, oh, ow);
        const real cells = (real)((v.h1 - v.h0) * (v.w1 - v.w0));
        const real *first = x + (v.h0 * p->W + v.w0) * p->C;
        if (p->mode == FR_POOL_MAX) {
            memcpy(y + at, first, (size_t)p->C * sizeof(real));
            FOR_CELLS(p, v)
                for (ptrdiff_t c = 0; c < p->C; c++) y[at + c] = larger(y[at + c], x[from + c]);
            continue;
        }
        for (ptrdiff_t c = 0; c < p->C; c++) y[at + c] = 0;
        FOR_CELLS(p, v)
            for (ptrdiff_t c = 0; c < p->C; c++) y[at + c] += x[from + c];
        for (ptrdiff_t c = 0; c < p->C; c++) y[at + c] /= cells;
    }
}

/* The gradient of a maximum goes to the first cell that has it. */
static void pool_image_backward(void *arg, ptrdiff_t b)
{
    const fr_pool *p = arg;
    const real *x = (const real *)p->x + b * p->H * p->W * p->C;
    const real *y = (const real *)p->y + b * p->OH * p->OW * p->C, *dy = (const real *)p->dy + b * p->OH * p->OW * p->C;
    real *dx = (real *)p->dx + b * p->H * p->W * p->C;
    for (ptrdiff_t i = 0; i < p->H * p->W * p->C; i++) dx[i] = 0;
    FOR_WINDOWS(p) {
        const window v = pool_window(p, oh, ow);
        const real cells = (real)((v.h1 - v.h0) * (v.w1 - v.w0));
        if (p->mode == FR_POOL_AVERAGE) {
            FOR_CELLS(p, v)
                for (ptrdiff_t c = 0; c < p->C; c++) dx[from + c] += dy[at + c] / cells;
            continue;
        }
        for (ptrdiff_t c = 0; c < p->C; c++) {
            int found = 0;
            FOR_CELLS(p, v) {
                if (found || !(x[from + c] == y[at + c] || x[from + c] != x[from + c])) continue;
                dx[from + c] += dy[at + c];
                found = 1;
            }
        }
    }
}
#undef FOR_WINDOWS
#undef FOR_CELLS

static int pool_threads(const fr_pool *p, const fr_run *run)
{
    return p->B * p->OH * p->OW * p->KH * p->KW * p->C < 65536 ? 1 : run->threads;
}

static void pool_forward(fr_op *o, const fr_run *run)
{
    fr_pool *p = &o->pool;
    fr_parallel_for(pool_threads(p, run), p->B, pool_image, p);
}

static void pool_backward(fr_op *o, const fr_run *run)
{
    fr_pool *p = &o->pool;
    if (p->dx) fr_parallel_for(pool_threads(p, run), p->B, pool_image_backward, p);
}

/* ---- over everything --------------------------------------------------------------------------------------------------- */

/* Cells of a sample that count. */
static ptrdiff_t global_pool_cells(const fr_global_pool *p, ptrdiff_t b)
{
    ptrdiff_t n = 0;
    if (!p->mask) return p->T;
    for (ptrdiff_t t = 0; t < p->T; t++) n += p->mask[b * p->T + t] != 0;
    return n;
}

static void global_pool_sample(void *arg, ptrdiff_t b)
{
    const fr_global_pool *p = arg;
    const real *x = (const real *)p->x + b * p->T * p->C, cells = (real)global_pool_cells(p, b);
    real *y = (real *)p->y + b * p->C;
    for (ptrdiff_t c = 0; c < p->C; c++) y[c] = p->mode == FR_POOL_MAX ? x[c] : 0;
    for (ptrdiff_t t = 0; t < p->T; t++, x += p->C) {
        if (p->mask && !p->mask[b * p->T + t]) continue;
        if (p->mode == FR_POOL_MAX)
            for (ptrdiff_t c = 0; c < p->C; c++) y[c] = larger(y[c], x[c]);
        else
            for (ptrdiff_t c = 0; c < p->C; c++) y[c] += x[c];
    }
    if (p->mode == FR_POOL_AVERAGE)
        for (ptrdiff_t c = 0; c < p->C; c++) y[c] /= cells; /* 0 / 0 where all is masked */
}

/* The gradient of a maximum is shared evenly by all cells that have it, unlike that of a window. */
static void global_pool_sample_backward(void *arg, ptrdiff_t b)
{
    enum { CHANNELS = 64 }; /* that are counted at a time */
    const fr_global_pool *p = arg;
    const ptrdiff_t T = p->T, C = p->C, cells = global_pool_cells(p, b);
    const real *x = (const real *)p->x + b * T * C, *y = (const real *)p->y + b * C, *dy = (const real *)p->dy + b * C;
    real *dx = (real *)p->dx + b * T * C;
    for (ptrdiff_t c0 = 0; c0 < C; c0 += CHANNELS) {
        const ptrdiff_t n = min_size(CHANNELS, C - c0);
        real share[CHANNELS];
        for (ptrdiff_t c = 0; c < n; c++) share[c] = p->mode == FR_POOL_MAX ? 0 : (real)cells;
        for (ptrdiff_t t = 0; p->mode == FR_POOL_MAX && t < T; t++)
            for (ptrdiff_t c = 0; c < n; c++) share[c] += x[t * C + c0 + c] == y[c0 + c];
        for (ptrdiff_t c = 0; c < n; c++) share[c] = dy[c0 + c] / share[c];
        for (ptrdiff_t t = 0; t < T; t++) {
            const int skip = p->mask && !p->mask[b * T + t];
            for (ptrdiff_t c = 0, at = t * C + c0; c < n; c++, at++)
                dx[at] = skip || (p->mode == FR_POOL_MAX && x[at] != y[c0 + c]) ? 0 : share[c];
        }
    }
}

static int global_pool_threads(const fr_global_pool *p, const fr_run *run) { return p->B * p->T * p->C < 65536 ? 1 : run->threads; }

static void global_pool_forward(fr_op *o, const fr_run *run)
{
    fr_global_pool *p = &o->global_pool;
    fr_parallel_for(global_pool_threads(p, run), p->B, global_pool_sample, p);
}

static void global_pool_backward(fr_op *o, const fr_run *run)
{
    fr_global_pool *p = &o->global_pool;
    if (p->dx) fr_parallel_for(global_pool_threads(p, run), p->B, global_pool_sample_backward, p);
}
