/* One step of a recurrent layer, as the cells see it: states, outputs and their gradients, and what a mask skips.
 * Processing step s reads input time s (or T-1-s) and turns state s into state s+1.
 *
 * z starts as x W + b and becomes the gates, where something is to read them. Their gradients dz have rows of the same form. */

typedef struct {
    const rnn *r;
    ptrdiff_t b0, rows;            /* of the batch */
    ptrdiff_t first, stride;       /* the first row of the part of the batch that they are of, and its rows: as far apart are two steps of a row */
    ptrdiff_t s;                   /* processing step */
    ptrdiff_t p0, p1;              /* panels */
    real *z, *dz;                  /* first row's, as all below; rows Zp apart */
    const real *h_prev, *c_prev;   /* rows Hp apart */
    real *h, *c;
    real *output;                  /* last output with a mask */
    real *mixed, *dmixed;          /* see ROW_KINDS */
    real *y;                       /* output of this step, rows y_b apart, or NULL */
    const real *dy;
    real *dh, *dc, *doutput;
    const uint8_t *mask;           /* of this step, rows T apart, or NULL */
    row_product *row_products;     /* of a row alone in these panels, or NULL */
    ptrdiff_t n_row_products, row_pairs; /* how many, and how many of those are pairs */
    later_products *later;         /* to be woven into pairs of recurrent products, or NULL; */
    ptrdiff_t pairs_alone;         /* but not into so many of this step */
} step;

static inline ptrdiff_t step_time(ptrdiff_t T, int reverse, ptrdiff_t s) { return reverse ? T - 1 - s : s; }

/* Where the first row lies at step s of an array of n steps, in rows of the array. */
static inline ptrdiff_t place(const step *k, ptrdiff_t n, ptrdiff_t s) { return k->first * n + s * k->stride + k->b0 - k->first; }

static inline real *z_at(const step *k, ptrdiff_t s)
{
    const rnn_memory *m = &k->r->m;
    return m->z + place(k, m->steps, s < m->steps ? s : s % m->steps) * k->r->Zp;
}
/* dz of step s, which is of the current chunk */
static inline real *dz_at(const step *k, ptrdiff_t s) { return k->r->dz + place(k, k->r->chunk, s - k->r->t0) * k->r->Zp; }

/* Moves to processing step s of a block of rows. */
static void go_to_step(step *k, ptrdiff_t s)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const rnn_memory *m = &r->m;
    const ptrdiff_t b0 = k->b0, training = r->run->training;
    const ptrdiff_t cur = place(k, m->states, training ? s : s & 1) * r->Hp, next = place(k, m->states, training ? s + 1 : (s + 1) & 1) * r->Hp;
    const ptrdiff_t in = step_time(op->T, op->reverse_x, s), out = step_time(op->T, op->reverse_y, s);
    k->s = s;
    k->z = z_at(k, s);
    k->dz = r->t1 ? dz_at(k, s) : NULL;
    k->h_prev = m->h + cur;
    k->h = m->h + next;
    k->c_prev = m->c ? m->c + cur : NULL;
    k->c = m->c ? m->c + next : NULL;
    k->y = op->y ? (real *)op->y + b0 * op->y_b + out * op->y_t : NULL;
    k->dy = op->dy ? (const real *)op->dy + b0 * op->y_b + out * op->y_t : NULL;
    k->mask = op->mask ? op->mask + b0 * op->T + in : NULL;
}

/* A block of rows in panels [p0, p1), to be moved to its first step. */
static step begin_steps(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t p0, ptrdiff_t p1)
{
    const ptrdiff_t first = b0 / r->part * r->part;
    step k = {.r = r, .b0 = b0, .rows = rows, .first = first, .stride = min_size(r->part, r->op->B - first), .p0 = p0, .p1 = p1};
    if (!r->m.rows) return k;
    real *row[ROW_KINDS];
    for (int i = 0; i < ROW_KINDS; i++) row[i] = r->m.rows + place(&k, ROW_KINDS, i) * r->Hp;
    k.output = r->op->mask ? row[ROW_OUTPUT] : NULL;
    k.mixed = row[ROW_MIXED];
    k.dh = row[ROW_DH];
    k.dc = r->m.c ? row[ROW_DC] : NULL;
    k.doutput = r->op->mask ? row[ROW_DOUTPUT] : NULL;
    k.dmixed = row[ROW_DMIXED];
    return k;
}

static inline int skipped(const step *k, ptrdiff_t row) { return k->mask && !k->mask[row * k->r->op->T]; }

static inline ptrdiff_t lanes_of(const rnn *r, ptrdiff_t u) { return min_size(VL, r->op->H - u * VL); }

/* The value of a gate of which z keeps the value, or the input where a slope needs that. */
static inline vec kept_gate(fr_act rec, const real *at) { return act_needs_input(rec) ? apply(rec, v_load(at)) : v_load(at); }

/* The row that the equations of a unit take i-th: neighbours in turned order. Taken at an even pace, rows as far apart as samples are in y make the
 * processor fetch the next ones ahead, and after its last row those that another core is writing. */
static inline ptrdiff_t nth_row(ptrdiff_t i, ptrdiff_t rows) { return min_size(i ^ 1, rows - 1); }

/* Where h goes: to the state, and to the output of this step. A copy, since the compiler has to think that the vectors it stores might be the
 * fields of a step, and would read these again for each row. */
typedef struct {
    real *h, *output, *y;
    ptrdiff_t Hp, H, y_b, y_next; /* y_next: from a step of y to the one that is written after it, if any */
} outputs;

static inline outputs outputs_of(const step *k)
{
    const fr_rnn *op = k->r->op;
    const ptrdiff_t next = k->s + 1 == op->T ? 0 : op->reverse_y ? -op->y_t : op->y_t;
    return (outputs){k->h, k->output, k->y, k->r->Hp, op->H, op->y_b, next};
}

static inline void emit(const outputs o, ptrdiff_t row, ptrdiff_t u, vec h)
{
    const ptrdiff_t lanes = min_size(VL, o.H - u * VL);
    v_store(o.h + row * o.Hp + u * VL, h);
    if (o.output) v_store(o.output + row * o.Hp + u * VL, h);
    if (!o.y) return;
    real *y = o.y + row * o.y_b + u * VL;
    v_prefetch_written(y + o.y_next); /* a row of y is a place of its own in memory, and a store that waits for it holds up all after it */
    if (lanes == VL) v_store(y, h);
    else v_store_n(y, h, lanes);
}

/* A skipped step: states stay, the output repeats the last one (or is zero). */
static void keep(const step *k, ptrdiff_t row, ptrdiff_t u0, ptrdiff_t u1)
{
    const rnn *r = k->r;
    const ptrdiff_t at = row * r->Hp;
    for (ptrdiff_t u = u0; u < u1; u++) {
        v_store(k->h + at + u * VL, v_load(k->h_prev + at + u * VL));
        if (k->c) v_store(k->c + at + u * VL, v_load(k->c_prev + at + u * VL));
        real *o = k->output + at + u * VL;
        if (r->op->zero_output_for_mask) v_store(o, K_(0));
        if (k->y) v_store_n(k->y + row * r->op->y_b + u * VL, v_load(o), lanes_of(r, u));
    }
}

/* Gradient of h after this step from everything that used it: the next step (dh) and the outputs. */
static inline vec read_dh(const step *k, ptrdiff_t row, ptrdiff_t u)
{
    const rnn *r = k->r;
    vec d = v_load(k->dh + row * r->Hp + u * VL);
    if (k->dy) {
        const real *dy = k->dy + row * r->op->y_b + u * VL;
        const ptrdiff_t n = lanes_of(r, u);
        d = v_add(d, n == VL ? v_load(dy) : v_load_n(dy, n));
    }
    return k->doutput ? v_add(d, v_load(k->doutput + row * r->Hp + u * VL)) : d;
}

/* The same, once: nothing of it goes to the steps before. */
static inline vec take_dh(const step *k, ptrdiff_t row, ptrdiff_t u)
{
    const vec d = read_dh(k, row, u);
    if (k->doutput) v_store(k->doutput + row * k->r->Hp + u * VL, K_(0));
    return d;
}

/* Asks for what the step before, which comes next in backward, reads of a unit vector, from wherever forward has left it: its gates, a state, and
 * the gradient of its output, of which each row is a place of its own in memory. */
ALWAYS_INLINE void fetch_step_before(const step *k, ptrdiff_t row, ptrdiff_t u, const int gates)
{
    const rnn *r = k->r;
    if (k->s == 0) return;
    for (int j = 0; j < gates; j++) v_prefetch(k->z + (row - k->stride) * r->Zp + (u * gates + j) * VL);
    if (r->op->cell == FR_SIMPLE_RNN) v_prefetch(k->h_prev + row * r->Hp + u * VL);
    else v_prefetch((k->c ? k->c_prev : k->h_prev) + (row - k->stride) * r->Hp + u * VL);
    if (k->dy) v_prefetch(k->dy + row * r->op->y_b + (r->op->reverse_y ? r->op->y_t : -r->op->y_t) + u * VL);
}

/* Backward of a skipped step: nothing reaches the gates, gradients of the output go to the output that it repeated. */
static void keep_backward(const step *k, ptrdiff_t row)
{
    const rnn *r = k->r;
    for (ptrdiff_t i = 0; i < r->Zp; i += VL) v_store(k->dz + row * r->Zp + i, K_(0));
    for (ptrdiff_t u = 0; u < r->Hv; u++) {
        real *o = k->doutput + row * r->Hp + u * VL;
        vec d = v_load(o);
        if (k->dy) d = v_add(d, v_load_n(k->dy + row * r->op->y_b + u * VL, lanes_of(r, u)));
        v_store(o, r->op->zero_output_for_mask ? K_(0) : d);
    }
}

/* Whether step s is skipped by all of these rows. */
static int all_skipped(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t s)
{
    const ptrdiff_t T = r->op->T;
    if (!r->op->mask) return 0;
    const uint8_t *mask = r->op->mask + b0 * T + step_time(T, r->op->reverse_x, s);
    for (ptrdiff_t row = 0; row < rows; row++)
        if (mask[row * T]) return 0;
    return 1;
}

/* Leaves away the steps at both ends of [*s0, *s1) that all of these rows skip: the padding of a batch. */
static void trim_skipped(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t *s0, ptrdiff_t *s1)
{
    while (*s0 < *s1 && all_skipped(r, b0, rows, *s0)) ++*s0;
    while (*s0 < *s1 && all_skipped(r, b0, rows, *s1 - 1)) --*s1;
}
