/* The operations around the recurrent layer that only move or scale elements: embedding, masks, dropout, merging; and calls back to Python. */

/* ---- embedding: y[i] = table[ids[i]]; dtable[ids[i]] += dy[i] ------------------------------------------------------ */

enum { EMBEDDING_BLOCK = 1024 /* ids per task */ };

static void embedding_rows(void *arg, ptrdiff_t i)
{
    const fr_embedding *e = arg;
    for (ptrdiff_t m = i * EMBEDDING_BLOCK; m < min_size((i + 1) * EMBEDDING_BLOCK, e->M); m++) {
        const real *from = (const real *)e->table + (ptrdiff_t)e->ids[m] * e->N;
        memcpy((real *)e->y + m * e->N, from, (size_t)e->N * sizeof(real));
    }
}

static void embedding_forward(fr_op *o, const fr_run *run)
{
    fr_embedding *e = &o->embedding;
    fr_parallel_for(e->M * e->N < 65536 ? 1 : run->threads, ceil_div(e->M, EMBEDDING_BLOCK), embedding_rows, e);
}

/* A task owns a slice of the vocabulary, so that each row of the table is summed by one task in the order of the ids. */
static void embedding_slice_backward(void *arg, ptrdiff_t i)
{
    const fr_embedding *e = arg;
    const ptrdiff_t slice = ceil_div(e->V, e->threads), v0 = i * slice, v1 = min_size(v0 + slice, e->V);
    for (ptrdiff_t m = 0; m < e->M; m++) {
        const ptrdiff_t id = e->ids[m];
        if (id < v0 || id >= v1) continue;
        real *to = (real *)e->dtable + id * e->N;
        const real *dy = (const real *)e->dy + m * e->N;
        for (ptrdiff_t n = 0; n < e->N; n += VL) {
            const ptrdiff_t left = min_size(VL, e->N - n);
            v_store_n(to + n, v_add(v_load_n(to + n, left), v_load_n(dy + n, left)), left);
        }
    }
}

static void embedding_backward(fr_op *o, const fr_run *run)
{
    fr_embedding *e = &o->embedding;
    if (!e->dtable) return;
    e->threads = e->M * e->N < 65536 ? 1 : run->threads;
    fr_parallel_for(e->threads, e->threads, embedding_slice_backward, e);
}

/* ---- masks ----------------------------------------------------------------------------------------------------------- */

static void mask_forward(fr_op *o, const fr_run *run)
{
    const fr_mask *k = &o->mask;
    (void)run;
    for (ptrdiff_t m = 0; m < k->M; m++) {
        if (k->ids) {
            k->mask[m] = k->ids[m] != 0;
            continue;
        }
        const real *x = (const real *)k->x + m * k->D, value = (real)k->value;
        real *y = (real *)k->y + m * k->D;
        int keep = 0;
        for (ptrdiff_t d = 0; d < k->D; d++) keep |= x[d] != value;
        k->mask[m] = (uint8_t)keep;
        for (ptrdiff_t d = 0; d < k->D; d++) y[d] = keep ? x[d] : 0;
    }
}

static void mask_backward(fr_op *o, const fr_run *run)
{
    const fr_mask *k = &o->mask;
    (void)run;
    if (!k->dx) return;
    for (ptrdiff_t m = 0; m < k->M; m++)
        for (ptrdiff_t d = 0; d < k->D; d++) ((real *)k->dx)[m * k->D + d] = k->mask[m] ? ((const real *)k->dy)[m * k->D + d] : 0;
}

/* ---- dropout ----------------------------------------------------------------------------------------------------------- */

/* Draw number i of this operation and run: uniform in [0, 1), a function of its place alone, so the same for any number of threads. */
static inline double uniform(uint64_t seed, uint64_t stream, ptrdiff_t i)
{
    return (double)(fr_mix(seed, stream, (uint64_t)i) >> 11) * 0x1p-53;
}

static void dropout_forward(fr_op *o, const fr_run *run)
{
    const fr_dropout *d = &o->dropout;
    const ptrdiff_t n = d->outer * d->inner;
    real *noise = d->noise, *y = d->y;
    const real *x = d->x, keep = d->rate < 1 ? (real)(1 / (1 - d->rate)) : 0;
    for (ptrdiff_t i = 0; i < d->copies * n; i++)
        noise[i] = !run->training ? 1 : uniform(run->seed, d->stream, i) < d->rate ? 0 : keep;
    if (!x) return;
    for (ptrdiff_t c = 0; c < d->copies; c++)
        for (ptrdiff_t a = 0; a < d->outer; a++)
            for (ptrdiff_t t = 0; t < d->repeat; t++)
                for (ptrdiff_t j = 0; j < d->inner; j++)
                    *y++ = x[(a * d->repeat + t) * d->inner + j] * noise[c * n + a * d->inner + j];
}

static void dropout_backward(fr_op *o, const fr_run *run)
{
    const fr_dropout *d = &o->dropout;
    const ptrdiff_t n = d->outer * d->inner;
    const real *noise = d->noise, *dy = d->dy;
    real *dx = d->dx;
    (void)run;
    if (!dx) return;
    for (ptrdiff_t c = 0; c < d->copies; c++)
        for (ptrdiff_t a = 0; a < d->outer; a++)
            for (ptrdiff_t t = 0; t < d->repeat; t++)
                for (ptrdiff_t j = 0; j < d->inner; j++) {
                    real *to = dx + (a * d->repeat + t) * d->inner + j, g = *dy++ * noise[c * n + a * d->inner + j];
                    *to = c || d->dx_add ? *to + g : g;
                }
}

/* ---- activation, merge ---------------------------------------------------------------------------------------------------- */

static void activation_forward(fr_op *o, const fr_run *run)
{
    const fr_activation *a = &o->activation;
    (void)run;
    activate(a->activation, a->M, a->N, a->x, a->y);
}

static void activation_backward(fr_op *o, const fr_run *run)
{
    const fr_activation *a = &o->activation;
    (void)run;
    if (a->dx) activate_backward(a->activation, a->M, a->N, a->x, a->y, a->dy, a->dx);
}

static void merge_forward(fr_op *o, const fr_run *run)
{
    const fr_merge *m = &o->merge;
    const real *a = m->a, *b = m->b;
    real *y = m->y;
    (void)run;
    for (ptrdiff_t i = 0; i < m->n; i++)
        y[i] = m->mode == FR_MERGE_MUL ? a[i] * b[i] : (a[i] + b[i]) * (m->mode == FR_MERGE_AVE ? (real)0.5 : 1);
}

static void merge_backward(fr_op *o, const fr_run *run)
{
    const fr_merge *m = &o->merge;
    const real *a = m->a, *b = m->b, *dy = m->dy;
    real *da = m->da, *db = m->db;
    (void)run;
    for (ptrdiff_t i = 0; i < m->n; i++) {
        const real scale = m->mode == FR_MERGE_AVE ? (real)0.5 : 1, to_a = m->mode == FR_MERGE_MUL ? b[i] : scale;
        db[i] = dy[i] * (m->mode == FR_MERGE_MUL ? a[i] : scale);
        da[i] = dy[i] * to_a;
    }
}

/* ---- layers in Python --------------------------------------------------------------------------------------------------------- */

static void function_forward(fr_op *o, const fr_run *run)
{
    *run->failed |= o->function.call(o->function.context, o->function.B, 0, run->training);
}

static void function_backward(fr_op *o, const fr_run *run)
{
    *run->failed |= o->function.call(o->function.context, o->function.B, 1, run->training);
}
