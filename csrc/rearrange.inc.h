/* Permuting, padding, cutting and repeating along axes: each element of y is one of x or 0, each gradient of x a sum of those of y. */

/* Entry of the input axis that output entry i shows; -1 for padding. */
static inline ptrdiff_t axis_source(const fr_axis *a, ptrdiff_t i)
{
    const ptrdiff_t j = i - a->before;
    if (j < 0 || j >= a->in * a->repeat) return -1;
    return a->repeat == 1 ? j : j / a->repeat;
}

/* Single elements are moved by an instruction, not by a call. */
static inline void move_bytes(char *to, const char *from, size_t n)
{
    if (n == 4) memcpy(to, from, 4);
    else if (n == 8) memcpy(to, from, 8);
    else memcpy(to, from, n);
}

/* From axis k of x and y on. */
static void rearrange_axis(const fr_rearrange *r, int k, const char *x, char *y)
{
    if (k == r->axes) {
        move_bytes(y, x, (size_t)r->inner * r->element);
        return;
    }
    const fr_axis *a = &r->axis[k];
    const size_t block = (size_t)a->block * r->element;
    for (ptrdiff_t i = 0; i < a->out; i++, y += block) {
        const ptrdiff_t j = axis_source(a, i);
        const ptrdiff_t from = j * a->stride * (ptrdiff_t)r->element;
        if (j < 0) memset(y, 0, block);
        else if (k + 1 == r->axes) move_bytes(y, x + from, block);
        else rearrange_axis(r, k + 1, x + from, y);
    }
}

static void rearrange_axis_backward(const fr_rearrange *r, int k, real *dx, const real *dy)
{
    if (k == r->axes) {
        for (ptrdiff_t i = 0; i < r->inner; i++) dx[i] += dy[i];
        return;
    }
    const fr_axis *a = &r->axis[k];
    for (ptrdiff_t i = 0; i < a->out; i++) {
        const ptrdiff_t j = axis_source(a, i);
        if (j >= 0) rearrange_axis_backward(r, k + 1, dx + j * a->stride, dy + i * a->block);
    }
}

static void rearrange_sample(void *arg, ptrdiff_t b)
{
    const fr_rearrange *r = arg;
    const ptrdiff_t element = (ptrdiff_t)r->element;
    rearrange_axis(r, 0, (const char *)r->x + b * r->x_row * element, (char *)r->y + b * r->y_row * element);
}

static void rearrange_sample_backward(void *arg, ptrdiff_t b)
{
    const fr_rearrange *r = arg;
    real *dx = (real *)r->dx + b * r->x_row;
    for (ptrdiff_t i = 0; i < r->x_row; i++) dx[i] = 0;
    rearrange_axis_backward(r, 0, dx, (const real *)r->dy + b * r->y_row);
}

static int rearrange_threads(const fr_rearrange *r, const fr_run *run) { return r->B * r->y_row < 65536 ? 1 : run->threads; }

static void rearrange_forward(fr_op *o, const fr_run *run)
{
    fr_rearrange *r = &o->rearrange;
    fr_parallel_for(rearrange_threads(r, run), r->B, rearrange_sample, r);
}

static void rearrange_backward(fr_op *o, const fr_run *run)
{
    fr_rearrange *r = &o->rearrange;
    if (r->dx) fr_parallel_for(rearrange_threads(r, run), r->B, rearrange_sample_backward, r);
}
