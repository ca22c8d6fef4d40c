/* A pass over the operations of a model, and the steps around it that are the same for every instruction set. */
#include "fastrnn.h"

#include <math.h>
#include <string.h>
#include <time.h>

double fr_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void fr_forward(const fr_program *p, const fr_run *run)
{
    for (ptrdiff_t i = 0; i < p->n && !*run->failed; i++) p->k->forward[p->ops[i].kind](&p->ops[i], run);
}

void fr_backward(const fr_program *p, const fr_run *run)
{
    for (ptrdiff_t i = p->n - 1; i >= 0 && !*run->failed; i--) p->k->backward[p->ops[i].kind](&p->ops[i], run);
}

static char *copy_row(char *to, const char *from, const fr_rows *rows, int axis)
{
    if (axis == rows->axes) {
        memcpy(to, from, rows->piece);
        return to + rows->piece;
    }
    for (ptrdiff_t i = 0; i < rows->size[axis]; i++) to = copy_row(to, from + i * rows->step[axis], rows, axis + 1);
    return to;
}

void fr_gather(void *to, const void *from, const int64_t *order, ptrdiff_t n, const fr_rows *rows)
{
    if (!order && rows->axes == 0 && rows->stride == (ptrdiff_t)rows->piece) {
        memcpy(to, from, (size_t)n * rows->piece);
        return;
    }
    char *out = to;
    for (ptrdiff_t i = 0; i < n; i++) out = copy_row(out, (const char *)from + (order ? order[i] : i) * rows->stride, rows, 0);
}

/* 16384 parameters: the arrays of a piece fit L2, and a task is long against the cost of handing it out. */
enum { UPDATE_PIECE = 16384 };

typedef struct {
    const fr_kernels *k;
    const fr_update *u;
} update_task;

static void update_piece(void *arg, ptrdiff_t i)
{
    const update_task *t = arg;
    const ptrdiff_t first = i * UPDATE_PIECE, left = t->u->n - first;
    const size_t offset = (size_t)first * t->k->element;
    fr_update u = *t->u;
    u.n = left < UPDATE_PIECE ? left : UPDATE_PIECE;
    u.w = (char *)u.w + offset;
    u.g = (const char *)u.g + offset;
    for (int s = 0; s < 3; s++)
        if (u.slot[s]) u.slot[s] = (char *)u.slot[s] + offset;
    t->k->update(&u);
}

void fr_update_all(const fr_kernels *k, const fr_update *u, int threads)
{
    update_task t = {k, u};
    const ptrdiff_t pieces = (u->n + UPDATE_PIECE - 1) / UPDATE_PIECE;
    fr_parallel_for(pieces < 8 ? 1 : threads, pieces, update_piece, &t);
}

/* 8192 elements, or more of very many: a task is long against the cost of handing it out, and short enough that each thread gets the pieces whose rows are
 * in its cache. The same pieces for any number of threads, so that sums are the same. */
enum { LOSS_PIECE = 8192, LOSS_PIECES = 64, LOSS_PIECES_PER_THREAD = 4 };

typedef struct {
    const fr_kernels *k;
    const fr_loss *loss;
    ptrdiff_t rows; /* of a piece */
    double sum[LOSS_PIECES];
} loss_task;

static void loss_piece(void *arg, ptrdiff_t i)
{
    loss_task *t = arg;
    fr_loss l = *t->loss;
    const ptrdiff_t first = i * t->rows, left = l.M - first;
    const size_t size = t->k->element;
    l.M = left < t->rows ? left : t->rows;
    l.y_true = (const char *)l.y_true + (size_t)(first * l.N_true) * size;
    l.y_pred = (const char *)l.y_pred + (size_t)(first * l.N) * size;
    if (l.weight) l.weight = (const char *)l.weight + (size_t)first * size;
    if (l.dy_pred) l.dy_pred = (char *)l.dy_pred + (size_t)(first * l.N) * size;
    t->sum[i] = t->k->loss(&l);
}

double fr_loss_all(const fr_kernels *k, const fr_loss *l, int threads)
{
    const int whole = l->kind == FR_LOSS_hinge || l->kind == FR_LOSS_squared_hinge; /* all labels together tell how they are meant */
    if (whole || l->M * l->N <= LOSS_PIECE) return k->loss(l);
    const ptrdiff_t least = (LOSS_PIECE + l->N - 1) / l->N, even = (l->M + LOSS_PIECES - 1) / LOSS_PIECES;
    loss_task t = {.k = k, .loss = l, .rows = least > even ? least : even};
    const ptrdiff_t pieces = (l->M + t.rows - 1) / t.rows;
    double sum = 0;
    const ptrdiff_t enough = pieces / LOSS_PIECES_PER_THREAD;
    fr_parallel_for(enough < threads ? (int)enough : threads, pieces, loss_piece, &t);
    for (ptrdiff_t i = 0; i < pieces; i++) sum += t.sum[i];
    return sum;
}

double fr_norm(const fr_kernels *k, const void *x, ptrdiff_t n) { return sqrt(k->sum_of_squares(x, n)); }
