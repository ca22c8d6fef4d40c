/* One step of a recurrent layer, as the cells see it: memory, weights, states, and the products around their equations.
 * Processing step s reads input time s (or T-1-s) and turns state s into state s+1.
 *
 * z starts as x W + b, becomes the gates, and in the backward pass their gradients, all in the same place. */

/* ---- memory --------------------------------------------------------------------------------------------------- */

typedef struct {
    /* tape */
    real *z;               /* (steps, B, Zp)   steps = T when training, else a window */
    real *h, *c;           /* (states, B, Hp)  states = T+1 when training, else 2; c for LSTM */
    /* scratch */
    real *bias, *dbias;    /* (Zp) in slot order */
    real *output;          /* (B, Hp) the last output, with a mask */
    real *mixed;           /* (B, Hp) recurrent input of one gate: h * dropout mask, or r * h */
    real *dh, *dc, *doutput, *dmixed; /* (B, Hp) carried backwards */
    real *kept;            /* (B, Zp) gates of the step in backward, where an activation is row-wise */
    real *mixed_steps;     /* (parts, chunk, B, Hp) `mixed` of every step, for dU */
    real *dz_panel;        /* (panels, K, WIDEST * VL) and */
    real *slivers;         /* (parts, D or H, K): the operands of dW and dU for K rows, packed */
    /* where the products of the layer go through the matrix unit, their left operands, cut */
    real *x_cut;           /* (window * B, D) */
    real *h_cut;           /* (B, H) */
    real *dz_cut;          /* (B, gates * Hp) */
    real *dz_tiles;        /* for the gradients of the weights: dz_panel, */
    real *xt_cut, *ht_cut; /* (D or H, K) */
    ptrdiff_t steps, tape_size, scratch_size;
} rnn_memory;

#define K_BLOCK 256 /* rows of dW's and dU's operands packed at a time: few enough for L2, many enough to be worth reading dW */

typedef struct {
    fr_rnn *op;
    const fr_run *run;
    const gate_layout *g;
    rnn_memory m;
    ptrdiff_t Hv, Hp, Zp, G;    /* unit vectors, padded units, distance of rows of z, gates*H */
    ptrdiff_t panels;           /* of W, U and z */
    ptrdiff_t block;            /* batch rows per task */
    ptrdiff_t window;           /* steps by which the input product runs ahead */
    ptrdiff_t chunk, t0, t1;    /* steps per chunk of the backward pass; the current one */
    ptrdiff_t K;                /* rows packed at a time for the gradients of the weights */
    int x_by_gate, u_by_gate;
    int cuts_x, cuts_u, cuts_dw, cuts_du; /* what goes through the matrix unit: products with W and U, gradients of them */
    int rowwise;                /* an activation mixes the units of a row: see rowwise.inc.h */
    int alone;                  /* the program is for one row */
} rnn;

static real *carve(real **base, ptrdiff_t *total, ptrdiff_t n)
{
    real *p = *base ? *base + *total : NULL;
    *total += round_up(n, 64 / (ptrdiff_t)sizeof(real)); /* whole cache lines */
    return p;
}

static inline ptrdiff_t weight_bytes(const rnn *r)
{
    return (r->op->D * r->g->w_n + r->op->H * r->g->gates) * r->Hp * (ptrdiff_t)sizeof(real);
}

/* Steps, at least one, of which rows of so many bytes fit `bytes`. Of the largest batch: a smaller one is to be divided in the same way, and finds room. */
static ptrdiff_t steps_in(const rnn *r, ptrdiff_t row, ptrdiff_t bytes)
{
    return min_size(max_size(bytes / max_size(r->op->capacity * row, 1), 1), max_size(r->op->T, 1));
}

/* Different left operands of dW and of dU: one for each gate that has an input of its own. */
static inline int x_parts(const rnn *r) { return r->x_by_gate ? r->g->w_n : 1; }
static inline int h_parts(const rnn *r) { return r->op->h_drop ? r->g->gates : r->op->cell == FR_GRU_RESET_BEFORE ? 2 : 1; }

/* Which products of a layer may go through the matrix unit: those with rows enough for a good part of a tile, a sum that is not mostly padding,
 * and so many columns (measured) that cutting the rows pays. It must not depend on the number of threads, nor on the rows of a batch that is
 * not full. With recurrent dropout, or x for each gate, gates have left operands of their own, which would be cut for one vector of columns. */
static int is_wide(const fr_rnn *op, ptrdiff_t columns) { return MATRIX_UNIT && op->H >= 64 && op->H * layouts[op->cell].gates >= columns; }
static int is_large(const fr_rnn *op) { return op->few_rows ? op->T >= 32 && is_wide(op, 512) : is_wide(op, 128); } /* rows may run over time */
static int may_cut_du(const fr_rnn *op) { return is_large(op) && !op->h_drop && op->cell != FR_GRU_RESET_BEFORE; }
static int may_cut_u(const fr_rnn *op) { return may_cut_du(op) && !op->few_rows; }
static int may_cut_dw(const fr_rnn *op) { return is_large(op) && op->D >= 16 && !op->x_gate; }
static int may_cut_x(const fr_rnn *op) { return may_cut_dw(op) && !(op->few_rows && op->W.gradient); } /* W changes too often to be cut for few rows */

static rnn rnn_plan(fr_rnn *op, const fr_run *run)
{
    rnn r = {.op = op, .run = run, .g = &layouts[op->cell]};
    const ptrdiff_t B = op->B, T = op->T;
    const int train = run->training;
    r.Hv = ceil_div(op->H, VL);
    r.Hp = r.Hv * VL;
    /* Rows of z a power of two apart would all fall into the same few sets of the cache, and a load would seem to need the store of the
     * row before (they are told apart by their low 12 bits). */
    r.Zp = r.g->slots * r.Hp;
    if (r.Zp * (ptrdiff_t)sizeof(real) % 1024 == 0) r.Zp += 64 / (ptrdiff_t)sizeof(real);
    r.G = r.g->gates * op->H;
    r.panels = panels_of(r.g->gates * r.Hv);
    r.x_by_gate = op->x_gate != 0 && r.g->gates > 1;
    r.u_by_gate = (op->h_drop && r.g->gates > 1) || op->cell == FR_GRU_RESET_BEFORE;
    r.alone = op->capacity == 1;
    r.rowwise = act_is_rowwise(op->activation) || act_is_rowwise(op->recurrent_activation);
    const ptrdiff_t state = B * r.Hp, states = train ? T + 1 : 2;
    rnn_memory *m = &r.m;
    /* A good part of L2, more of it where weights have to be fetched anew for each window. A chunk's end is a place in the order of sums: it must
     * not depend on the machine. */
    const ptrdiff_t weights = weight_bytes(&r) / 2 * (may_cut_u(op) ? 3 : 2), l2 = fr_l2_bytes();
    const ptrdiff_t share = weights > l2 ? l2 : weights > l2 / 2 ? l2 / 2 : l2 / 4, z_row = r.Zp * (ptrdiff_t)sizeof(real);
    r.window = steps_in(&r, may_cut_x(op) ? max_size(z_row, cut_stride(op->D)) : z_row, share);
    r.chunk = min_size(max_size(steps_in(&r, z_row, 512 * 1024), ceil_div(K_BLOCK, max_size(op->capacity, 1))), max_size(T, 1));
    r.K = min_size(K_BLOCK, max_size(r.chunk * op->capacity, 1));
    m->steps = train ? max_size(T, 1) : r.window;
    real *tape = op->tape, *scratch = op->scratch;
    m->z = carve(&tape, &m->tape_size, m->steps * B * r.Zp);
    m->h = carve(&tape, &m->tape_size, states * state);
    m->c = op->cell == FR_LSTM ? carve(&tape, &m->tape_size, states * state) : NULL;
    m->bias = carve(&scratch, &m->scratch_size, r.Zp);
    m->output = op->mask ? carve(&scratch, &m->scratch_size, state) : NULL;
    const int mixes = op->h_drop || op->cell == FR_GRU_RESET_BEFORE;
    m->mixed = mixes ? carve(&scratch, &m->scratch_size, state) : NULL;
    if (may_cut_x(op)) m->x_cut = carve(&scratch, &m->scratch_size, cut_rows_size(min_size(r.window, T) * op->capacity, op->D));
    if (may_cut_u(op)) m->h_cut = carve(&scratch, &m->scratch_size, cut_rows_size(op->capacity, op->H));
    if (train) {
        if (may_cut_u(op)) m->dz_cut = carve(&scratch, &m->scratch_size, cut_rows_size(op->capacity, r.g->gates * r.Hp));
        m->dbias = carve(&scratch, &m->scratch_size, r.Zp);
        m->dh = carve(&scratch, &m->scratch_size, state);
        m->dc = op->cell == FR_LSTM ? carve(&scratch, &m->scratch_size, state) : NULL;
        m->doutput = op->mask ? carve(&scratch, &m->scratch_size, state) : NULL;
        m->dmixed = mixes ? carve(&scratch, &m->scratch_size, state) : NULL;
        m->kept = r.rowwise ? carve(&scratch, &m->scratch_size, B * r.Zp) : NULL;
        const ptrdiff_t parts = op->h_drop ? r.g->gates : 1;
        m->mixed_steps = mixes ? carve(&scratch, &m->scratch_size, parts * r.chunk * state) : NULL;
        m->dz_panel = carve(&scratch, &m->scratch_size, r.panels * r.K * WIDEST * VL);
        if (may_cut_du(op) || may_cut_dw(op)) {
            m->dz_tiles = carve(&scratch, &m->scratch_size, cut_matrix_size(r.K, r.g->slots * r.Hv));
            m->ht_cut = carve(&scratch, &m->scratch_size, cut_rows_size(r.Hp, r.K));
            m->xt_cut = carve(&scratch, &m->scratch_size, cut_rows_size(round_up(op->D, VL), r.K));
        }
        m->slivers = carve(&scratch, &m->scratch_size, x_parts(&r) * slivers_size(op->D, r.K) + h_parts(&r) * slivers_size(op->H, r.K));
    }
    return r;
}

static void rnn_sizes(const fr_rnn *op, int training, ptrdiff_t sizes[8])
{
    const fr_run run = {.training = training};
    fr_rnn copy = *op;
    copy.tape = copy.scratch = NULL;
    const rnn r = rnn_plan(&copy, &run);
    const int u_n = r.g->gates; /* every gate has a recurrent product, if not all in one go */
    sizes[2] = op->D * r.g->w_n * r.Hp;
    sizes[0] = sizes[2] + (may_cut_x(op) ? cut_matrix_size(op->D, r.g->w_n * r.Hv) : 0);
    sizes[1] = r.g->w_n * r.Hp * round_up(op->D, VL);
    sizes[5] = op->H * u_n * r.Hp;
    sizes[3] = sizes[5] + (may_cut_u(op) ? cut_matrix_size(op->H, u_n * r.Hv) : 0);
    sizes[4] = u_n * r.Hp * round_up(op->H, VL) + (may_cut_u(op) ? cut_matrix_size(u_n * r.Hp, r.Hv) : 0);
    sizes[6] = r.m.tape_size;
    sizes[7] = r.m.scratch_size;
}

/* ---- packing ------------------------------------------------------------------------------------------------------ */

/* The cut copies of packed matrices stand behind them. */
static inline real *w_tiles(const rnn *r) { return (real *)r->op->W.packed + r->op->D * r->g->w_n * r->Hp; }
static inline real *u_tiles(const rnn *r) { return (real *)r->op->U.packed + r->op->H * r->g->gates * r->Hp; }
static inline real *ut_tiles(const rnn *r) { return (real *)r->op->U.packed_t + r->g->gates * r->Hp * r->Hp; }

#if MATRIX_UNIT
/* Cuts what has been packed: panels of (K, V vectors). Returns whether all of it could be. */
static int cut_packed(const real *packed, ptrdiff_t K, ptrdiff_t V, real *to)
{
    int all = 1;
    for (ptrdiff_t p = 0; p < panels_of(V); p++) {
        const ptrdiff_t first = panel_first(V, p);
        const int nv = (int)(panel_first(V, p + 1) - first);
        all &= cut_matrix(packed + first * K * VL, nv * VL, K, nv, to + cut_matrix_size(K, first));
    }
    return all;
}

static void cut_weights(const rnn *r, int i)
{
    fr_rnn *op = r->op;
    if (i == 0 && may_cut_u(op)) op->U.uncut = !cut_packed(op->U.packed, op->H, r->g->gates * r->Hv, u_tiles(r));
    if (i == 1 && may_cut_x(op)) op->W.uncut = !cut_packed(op->W.packed, op->D, r->g->w_n * r->Hv, w_tiles(r));
    if (i == 2 && may_cut_u(op)) cut_packed(op->U.packed_t, r->g->gates * r->Hp, r->Hv, ut_tiles(r));
}
#else
static void cut_weights(const rnn *r, int i) { (void)r, (void)i; }
#endif

static void pack_matrix(void *arg, ptrdiff_t i)
{
    const rnn *r = arg;
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    switch (i) {
    case 0: pack_gates(op->U.value, r->G, op->H, op->H, g->gates, g->u_gate, op->U.packed); break;
    case 1: pack_gates(op->W.value, r->G, op->D, op->H, g->w_n, g->w_gate, op->W.packed); break;
    case 2: pack_gates_transposed(op->U.value, r->G, op->H, op->H, r->u_by_gate, g->gates, g->u_gate, op->U.packed_t); break;
    default: pack_gates_transposed(op->W.value, r->G, op->D, op->H, r->x_by_gate, g->w_n, g->w_gate, op->W.packed_t);
    }
    cut_weights(r, (int)i);
}

static void rnn_pack(rnn *r, int threads)
{
    fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    const int transposed = r->run->training;
    if (op->packed_version == r->run->version && op->packed_transposed >= transposed) return;
    fr_parallel_for(weight_bytes(r) < 256 * 1024 ? 1 : threads, 2 + (transposed ? 1 + !!op->dx : 0), pack_matrix, r);
    op->packed_version = r->run->version;
    op->packed_transposed = transposed;
    /* bias in slot order */
    real *bias = r->m.bias;
    const real *b = op->bias;
    for (ptrdiff_t i = 0; i < r->Zp; i++) bias[i] = 0;
    if (!op->use_bias) return;
    for (ptrdiff_t u = 0; u < op->H; u++) {
        real *at = bias + u / VL * g->slots * VL + u % VL;
        for (int j = 0; j < g->w_n; j++) at[(g->w_slot + j) * VL] += b[g->w_gate[j] * op->H + u];
        if (op->cell == FR_GRU)
            for (int j = 0; j < g->u_n; j++) at[(g->u_slot + j) * VL] += b[r->G + g->u_gate[j] * op->H + u];
    }
}

/* What goes through the matrix unit, once the weights are packed: all that may, or nothing if one of them cannot be cut. */
static void choose_unit(rnn *r)
{
    const fr_rnn *op = r->op;
    const int fine = !op->W.uncut && !op->U.uncut;
    r->cuts_u = fine && may_cut_u(op);
    r->cuts_x = fine && may_cut_x(op);
    r->cuts_dw = fine && may_cut_dw(op);
    r->cuts_du = fine && may_cut_du(op);
}

/* ---- one step, as the cells see it ------------------------------------------------------------------------------------ */

typedef struct {
    const rnn *r;
    ptrdiff_t b0, rows;            /* of the batch */
    ptrdiff_t s;                   /* processing step */
    ptrdiff_t p0, p1;              /* panels */
    real *z;                       /* first row's, as all below; rows Zp apart */
    const real *h_prev, *c_prev;   /* rows Hp apart */
    real *h, *c;
    real *output;                  /* last output with a mask */
    real *y;                       /* output of this step, rows y_b apart, or NULL */
    const real *dy;
    real *dh, *dc, *doutput, *kept;
    const uint8_t *mask;           /* of this step, rows T apart, or NULL */
} step;

/* Rows of a tile of the matrix unit in a block of so many. */
static inline ptrdiff_t tile_rows(ptrdiff_t rows) { return min_size(rows, 16); }

/* Sets the unit up for products of so many rows, if the next ones go through it. */
static inline void open_tiles(int used, ptrdiff_t rows)
{
    if (used && rows) m_open((int)tile_rows(rows));
}
static inline void close_tiles(const rnn *r)
{
    if (r->cuts_x || r->cuts_u || r->cuts_dw || r->cuts_du) m_close();
}

static inline ptrdiff_t step_time(ptrdiff_t T, int reverse, ptrdiff_t s) { return reverse ? T - 1 - s : s; }

/* Moves to processing step s of a block of rows. */
static void go_to_step(step *k, ptrdiff_t s)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const rnn_memory *m = &r->m;
    const ptrdiff_t b0 = k->b0, state = op->B * r->Hp, at = b0 * r->Hp;
    const ptrdiff_t cur = at + (r->run->training ? s : s & 1) * state, next = at + (r->run->training ? s + 1 : (s + 1) & 1) * state;
    const ptrdiff_t in = step_time(op->T, op->reverse_x, s), out = step_time(op->T, op->reverse_y, s);
    k->s = s;
    k->z = m->z + ((s < m->steps ? s : s % m->steps) * op->B + b0) * r->Zp;
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
    const ptrdiff_t at = b0 * r->Hp;
    const rnn_memory *m = &r->m;
    return (step){.r = r, .b0 = b0, .rows = rows, .p0 = p0, .p1 = p1,
                  .output = m->output ? m->output + at : NULL, .dh = m->dh ? m->dh + at : NULL, .dc = m->dc ? m->dc + at : NULL,
                  .doutput = m->doutput ? m->doutput + at : NULL, .kept = m->kept ? m->kept + b0 * r->Zp : NULL};
}

static inline int skipped(const step *k, ptrdiff_t row) { return k->mask && !k->mask[row * k->r->op->T]; }

static inline ptrdiff_t lanes_of(const rnn *r, ptrdiff_t u) { return min_size(VL, r->op->H - u * VL); }

/* The value of a gate of which z keeps the value, or the input where a slope needs that. */
static inline vec kept_gate(fr_act rec, const real *at) { return act_needs_input(rec) ? apply(rec, v_load(at)) : v_load(at); }

/* Hands out h of unit vector u: to the state, and to the output of this step. */
static inline void emit(const step *k, ptrdiff_t row, ptrdiff_t u, vec h)
{
    const rnn *r = k->r;
    v_store(k->h + row * r->Hp + u * VL, h);
    if (k->output) v_store(k->output + row * r->Hp + u * VL, h);
    if (k->y) {
        real *y = k->y + row * r->op->y_b + u * VL;
        const ptrdiff_t n = lanes_of(r, u);
        if (n == VL) v_store(y, h);
        else v_store_n(y, h, n);
    }
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

/* Backward of a skipped step: nothing reaches the gates, gradients of the output go to the output that it repeated. */
static void keep_backward(const step *k, ptrdiff_t row)
{
    const rnn *r = k->r;
    for (ptrdiff_t i = 0; i < r->Zp; i += VL) v_store(k->z + row * r->Zp + i, K_(0));
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

/* ---- products ----------------------------------------------------------------------------------------------------------- */

/* Where a panel that comes next lies, to be prefetched. NULL where all weights fit into L2 beside the activations: then nothing needs to be. */
static inline const real *next_panel(const rnn *r, const void *packed, ptrdiff_t offset)
{
    return weight_bytes(r) <= fr_l2_bytes() * 3 / 4 ? NULL : (const real *)packed + offset;
}

/* Every other step reads its weights from the last panel to the first: it finds in the cache what the step before has read last. That is a
 * good part of them where they are up to twice as large as a level of it; read in a circle, they would have left it each time. */
static inline int downwards(const step *k) { return k->s & 1; }

/* `mixed` = h_prev * dropout mask of one gate; without recurrent dropout h_prev itself. */
static const real *drop_h(const step *k, int gate, const real *h, real *mixed)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    if (!op->h_drop) return h;
    const real *drop = (const real *)op->h_drop + (gate * op->B + k->b0) * op->H;
    for (ptrdiff_t row = 0; row < k->rows; row++)
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const ptrdiff_t at = row * r->Hp + u * VL;
            v_store(mixed + at, v_mul(v_load(h + at), v_load_n(drop + row * op->H + u * VL, lanes_of(r, u))));
        }
    return mixed;
}

/* First vector of panel p in rows of n vectors per unit vector: the gates of a packed matrix, or the slots of z. In the one cell that has more
 * slots than gates, GRU, a panel is the three gates of a unit vector, and the four slots of the same. */
static inline ptrdiff_t first_vector(const rnn *r, int n, ptrdiff_t p)
{
    return p < r->panels ? p * (n == r->g->gates ? PANEL : n) : n * r->Hv;
}
static inline int vectors_of(const rnn *r, int n, ptrdiff_t p) { return (int)(first_vector(r, n, p + 1) - first_vector(r, n, p)); }

/* Vectors of panel p that the recurrent product adds to: all, but where one gate has to wait for another. */
static inline int vectors_added(const rnn *r, ptrdiff_t p) { return r->g->u_n < r->g->gates ? r->g->u_n : vectors_of(r, r->g->gates, p); }

/* Unit vectors whose gates are complete once the first p panels are. */
static inline ptrdiff_t complete_units(const rnn *r, ptrdiff_t p) { return first_vector(r, r->g->slots, p) / r->g->slots; }

/* GRU's slot that only the recurrent product fills begins as its bias: in the matrix unit, which takes it by itself, or in z. */
static inline int begins_as_bias(const rnn *r) { return r->op->cell == FR_GRU && r->cuts_u; }

/* Adds A * U[:, vectors j .. j+nv of panel p] to z from vector `slot` of the panel there; of the panel after it too, if it is a pair. */
static inline void add_recurrent(const step *k, const real *a, ptrdiff_t p, int pair, int slot, int j, int nv)
{
    const rnn *r = k->r;
    const int gates = r->g->gates, slots = r->g->slots;
    const ptrdiff_t H = r->op->H, start = first_vector(r, gates, p) * H * VL, end = first_vector(r, gates, p + 1) * H * VL;
    const ptrdiff_t next = downwards(k) ? p - 1 : p + 1;
    const real *tiles_of_p = r->cuts_u ? u_tiles(r) + cut_matrix_size(H, first_vector(r, gates, p) + j) : NULL;
    real *z = k->z + (first_vector(r, slots, p) + slot) * VL;
    product q = {.a = a, .rs = r->Hp, .ks = 1, .nseg = 1, .klen = H,
                       .b = (const real *)r->op->U.packed + start + j * VL, .ldb = vectors_of(r, gates, p) * VL,
                       .init = z, .ldi = r->Zp, .c = z, .ldc = r->Zp, .tail = VL,
                       .alone = r->alone, .pair = pair, .bs = end - start, .is = vectors_of(r, slots, p) * VL, .cs = vectors_of(r, slots, p) * VL,
                       .next = next < k->p0 || next >= k->p1 ? NULL : next_panel(r, r->op->U.packed, first_vector(r, gates, next) * H * VL),
                       .a_cut = r->cuts_u ? cut_row_at(r->m.h_cut, k->b0, H) : NULL, .b_cut = tiles_of_p, .tile_rows = tile_rows(k->rows)};
    const int begun = begins_as_bias(r) ? nv - 1 : nv;
    multiply(begun, k->rows, &q);
    if (begun == nv) return;
    q.b += begun * VL;
    q.b_cut = tiles_of_p + cut_matrix_size(H, begun);
    q.c += begun * VL;
    q.init = r->m.bias + (q.c - k->z);
    q.ldi = 0;
    multiply(1, k->rows, &q);
}

/* z += h_prev U in panel p for the slots that the recurrent product fills, gate by gate: each has a dropout mask of its own. */
static __attribute__((noinline)) void recurrent_product_by_gate(const step *k, ptrdiff_t p)
{
    const rnn *r = k->r;
    const gate_layout *g = r->g;
    for (int j = 0; j < vectors_added(r, p); j++) {
        const int gate = g->u_gate[(first_vector(r, g->gates, p) + j) % g->gates];
        add_recurrent(k, drop_h(k, gate, k->h_prev, r->m.mixed + k->b0 * r->Hp), p, 0, g->u_slot + j, j, 1);
    }
}

/* The same for all of them at once, in the pair of panels that begins with p if it is to be one. */
static inline void recurrent_product(const step *k, ptrdiff_t p, int pair)
{
    const rnn *r = k->r;
    const gate_layout *g = r->g;
    if (r->op->h_drop && r->u_by_gate) {
        recurrent_product_by_gate(k, p);
        return;
    }
    const real *h = r->op->h_drop ? drop_h(k, 0, k->h_prev, r->m.mixed + k->b0 * r->Hp) : k->h_prev;
    add_recurrent(k, h, p, pair, g->u_slot, 0, vectors_added(r, p));
}

/* Whether panels p and p + 1, out of [p0, p1), are both full. */
static inline int full_pair(const rnn *r, ptrdiff_t p, ptrdiff_t p0, ptrdiff_t p1)
{
    const int n = r->g->gates;
    return p >= p0 && p + 2 <= p1 && vectors_of(r, n, p) == PANEL && vectors_of(r, n, p + 1) == PANEL;
}

/* Whether panels p and p + 1 go through one product: those of one row, or of the matrix unit. */
static inline int makes_pair(const step *k, ptrdiff_t p)
{
    return (k->rows == 1 || k->r->cuts_u) && !k->r->u_by_gate && full_pair(k->r, p, k->p0, k->p1);
}

/* The way of a step through its panels, up or down: `p` is the edge between those that are done and those that are not, u0 to u1 are the units
 * that were completed last. */
typedef struct {
    ptrdiff_t p, u0, u1;
} sweep;

static inline sweep sweep_start(const step *k)
{
    const ptrdiff_t p = downwards(k) ? k->p1 : k->p0, u = complete_units(k->r, p);
    return (sweep){p, u, u};
}

/* The recurrent product of the next panel or pair. Returns 0 when all are done. */
static int sweep_on(const step *k, sweep *w)
{
    const rnn *r = k->r;
    const int slots = r->g->slots;
    if (downwards(k)) {
        if (w->p == k->p0) return 0;
        const int pair = makes_pair(k, w->p - 2);
        w->p -= 1 + pair;
        recurrent_product(k, w->p, pair);
        w->u1 = w->u0;
        w->u0 = ceil_div(first_vector(r, slots, w->p), slots);
    } else {
        if (w->p == k->p1) return 0;
        const int pair = makes_pair(k, w->p);
        recurrent_product(k, w->p, pair);
        w->p += 1 + pair;
        w->u0 = w->u1;
        w->u1 = complete_units(r, w->p);
    }
    return 1;
}

/* Whether rows of the input product run over time, one sample after the other, because the batch is too small to fill a tile. */
static inline int runs_along_time(const rnn *r, ptrdiff_t rows, ptrdiff_t steps) { return rows < (r->cuts_x ? 16 : MR(PANEL)) && steps > rows; }
static inline char *inputs_cut(const rnn *r, ptrdiff_t b0) { return cut_row_at(r->m.x_cut, b0 * min_size(r->window, r->op->T), r->op->D); }

#if MATRIX_UNIT
/* Cuts x of these steps and rows, in the order in which input_product takes them. */
static void cut_inputs(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t s0, ptrdiff_t s1)
{
    const fr_rnn *op = r->op;
    const int along_time = runs_along_time(r, rows, s1 - s0);
    for (ptrdiff_t s = s0; r->cuts_x && s < s1; s++) {
        const real *x = (const real *)op->x + b0 * op->x_b + step_time(op->T, op->reverse_x, s) * op->x_t;
        for (ptrdiff_t b = 0; b < rows; b++)
            cut_row(x + b * op->x_b, 1, op->D, 0, cut_row_at(inputs_cut(r, b0), along_time ? b * (s1 - s0) + s - s0 : (s - s0) * rows + b, op->D));
    }
}

static void cut_state(const step *k)
{
    const rnn *r = k->r;
    for (ptrdiff_t b = 0; r->cuts_u && b < k->rows; b++)
        cut_row(k->h_prev + b * r->Hp, 1, r->op->H, 0, cut_row_at(r->m.h_cut, k->b0 + b, r->op->H));
}

static void cut_gates(const step *k, int slot, ptrdiff_t nseg, ptrdiff_t klen)
{
    const rnn *r = k->r;
    for (ptrdiff_t b = 0; r->cuts_u && b < k->rows; b++)
        cut_row(k->z + b * r->Zp + slot * VL, nseg, klen, r->g->slots * VL, cut_row_at(r->m.dz_cut, k->b0 + b, nseg * klen));
}
#else
static void cut_inputs(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t s0, ptrdiff_t s1) { (void)r, (void)b0, (void)rows, (void)s0, (void)s1; }
static void cut_state(const step *k) { (void)k; }
static void cut_gates(const step *k, int slot, ptrdiff_t nseg, ptrdiff_t klen) { (void)k, (void)slot, (void)nseg, (void)klen; }
#endif

/* z = x W + b in panels [p0, p1) for steps [s0, s1) of rows [b0, b0 + rows), but for steps that all of them skip. Rows of the product run over
 * the batch or over time. */
static void input_product(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t s0, ptrdiff_t s1, ptrdiff_t p0, ptrdiff_t p1)
{
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    const ptrdiff_t t = step_time(op->T, op->reverse_x, s0), dt = op->reverse_x ? -op->x_t : op->x_t, z_t = op->B * r->Zp;
    const int along_time = runs_along_time(r, rows, s1 - s0);
    const ptrdiff_t products = along_time ? rows : s1 - s0, height = along_time ? s1 - s0 : rows;
    for (ptrdiff_t p = p0, pair; p < p1; p += 1 + pair) {
        const ptrdiff_t first = first_vector(r, g->w_n, p), end = first_vector(r, g->w_n, p + 1);
        const int width = (int)(end - first), nv = r->x_by_gate ? 1 : width;
        pair = (r->cuts_x || (height == 1 && !r->x_by_gate)) && full_pair(r, p, p0, p1);
        for (int j = 0; j < width; j += nv) {
            const ptrdiff_t column = (first_vector(r, g->slots, p) + g->w_slot + j) * VL;
            const ptrdiff_t panel = vectors_of(r, g->slots, p) * VL;
            const int gate = g->w_gate[(first + j) % g->w_n];
            const real *x = (const real *)op->x + (r->x_by_gate ? gate * op->x_gate : 0) + b0 * op->x_b + t * op->x_t;
            real *z = r->m.z + ((s0 % r->m.steps) * op->B + b0) * r->Zp + column;
            product q = {.ks = 1, .nseg = 1, .klen = op->D,
                         .b = (const real *)op->W.packed + (first * op->D + j) * VL, .ldb = width * VL,
                         .init = r->m.bias + column, .ldi = 0, .tail = VL,
                         .pair = (int)pair, .bs = width * op->D * VL, .is = panel, .cs = panel};
            q.rs = along_time ? dt : op->x_b;
            q.ldc = along_time ? z_t : r->Zp;
            for (ptrdiff_t i = 0; i < products; i++) {
                if (!along_time && all_skipped(r, b0, rows, s0 + i)) continue;
                q.a = x + i * (along_time ? op->x_b : dt);
                if (r->cuts_x) {
                    q.a_cut = cut_row_at(inputs_cut(r, b0), i * height, op->D);
                    q.b_cut = w_tiles(r) + cut_matrix_size(op->D, first + j);
                    q.tile_rows = tile_rows(height);
                }
                q.c = z + i * (along_time ? r->Zp : z_t);
                q.next = i || r->x_by_gate || p + 1 == p1 ? NULL : next_panel(r, op->W.packed, end * op->D * VL);
                multiply(nv, height, &q);
            }
        }
    }
    if (op->cell == FR_GRU && !begins_as_bias(r))
        for (ptrdiff_t s = s0; s < s1; s++)
            for (ptrdiff_t row = 0; row < rows; row++)
                for (ptrdiff_t u = complete_units(r, p0); u < complete_units(r, p1); u++) {
                    const ptrdiff_t at = (u * g->slots + 3) * VL;
                    v_store(r->m.z + ((s % r->m.steps) * op->B + b0 + row) * r->Zp + at, v_load(r->m.bias + at));
                }
}

static inline int part_is_reset(const rnn *r, int part) { return r->op->cell == FR_GRU_RESET_BEFORE && part == r->g->u_n; }

/* Blocks of K that the matrix unit takes before it comes to the next panel: as many as leave what it has cut of so many rows in L2. */
static inline ptrdiff_t blocks_in_l2(ptrdiff_t rows, ptrdiff_t K)
{
    const ptrdiff_t blocks = cut_blocks(K), parts = ceil_div(blocks * rows * 192, fr_l2_bytes() / 2);
    return ceil_div(blocks, parts);
}

/* to (rows, Hp) += dz[slots] U^T; by gate, or all slots of the recurrent product at once (gate < 0). */
static void add_dz_ut(const step *k, int gate, int n_gates, real *to)
{
    const rnn *r = k->r;
    const gate_layout *g = r->g;
    const int by_gate = gate >= 0, n = by_gate ? n_gates : g->u_n, whole = !by_gate && g->u_n == g->slots;
    const ptrdiff_t K = g->gates * r->Hp, H = r->op->H, panels = plain_panels(H);
    const ptrdiff_t nseg = whole ? 1 : r->Hv, klen = whole ? g->slots * r->Hp : (by_gate ? 1 : g->u_n) * VL;
    if (!by_gate) cut_gates(k, g->u_slot, nseg, klen);
    const ptrdiff_t blocks = r->cuts_u ? cut_blocks(K) : 1, slice = r->cuts_u ? blocks_in_l2(k->rows, K) : 1;
    for (ptrdiff_t j = 0; j < (by_gate ? n : blocks); j += by_gate ? 1 : slice)
        for (ptrdiff_t i = 0, pair; i < panels; i += 1 + pair) {
            const ptrdiff_t at = downwards(k) ? panels - 1 - i : i, other = downwards(k) ? at - 1 : at + 1;
            pair = r->cuts_u && i + 1 < panels && plain_nv(H, at) == PANEL && plain_nv(H, other) == PANEL;
            const ptrdiff_t p = pair ? min_size(at, other) : at;
            const int nv = plain_nv(H, p), part = by_gate ? gate + (int)j : 0;
            const int slot = by_gate && part_is_reset(r, part) ? g->w_slot : g->u_slot + part;
            real *c = to + plain_first(H, p);
            product q = {.a = k->z + slot * VL, .rs = r->Zp, .ks = 1, .nseg = nseg, .klen = klen, .as = g->slots * VL,
                         .b = (const real *)r->op->U.packed_t + plain_first(H, p) * K + part * r->Hp * nv * VL, .ldb = nv * VL,
                         .init = c, .ldi = r->Hp, .c = c, .ldc = r->Hp, .tail = VL, .alone = r->alone,
                         .next = by_gate || i + 1 == panels ? NULL : next_panel(r, r->op->U.packed_t, plain_first(H, other) * K)};
            if (r->cuts_u) {
                q.pair = (int)pair;
                q.bs = nv * VL * K;
                q.is = q.cs = nv * VL;
                q.a_cut = cut_row_at(r->m.dz_cut, k->b0, K);
                q.b_cut = ut_tiles(r) + cut_matrix_size(K, plain_first(H, p) / VL);
                q.tile_rows = tile_rows(k->rows);
                q.k0 = j;
                q.k1 = min_size(j + slice, blocks);
            }
            multiply(nv, k->rows, &q);
        }
}

/* dh += dz U^T, the gradient that goes to the step before. */
static void recurrent_product_backward(const step *k)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    if (!op->h_drop) {
        if (r->u_by_gate) add_dz_ut(k, 0, r->g->u_n, k->dh);
        else add_dz_ut(k, -1, 0, k->dh);
        return;
    }
    real *d = r->m.dmixed + k->b0 * r->Hp;
    for (int j = 0; j < r->g->u_n; j++) {
        for (ptrdiff_t i = 0; i < k->rows * r->Hp; i += VL) v_store(d + i, K_(0));
        if (r->u_by_gate) add_dz_ut(k, j, 1, d);
        else add_dz_ut(k, -1, 0, d);
        drop_h(k, r->g->u_gate[j], d, d);
        for (ptrdiff_t i = 0; i < k->rows * r->Hp; i += VL) v_store(k->dh + i, v_add(v_load(k->dh + i), v_load(d + i)));
    }
}

/* dx = dz W^T for steps [t0, t1) of a block of rows. */
static void input_product_backward(const rnn *r, ptrdiff_t b0, ptrdiff_t rows)
{
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    const int parts = r->x_by_gate ? g->w_n : 1, n = r->x_by_gate ? 1 : g->w_n, whole = n == g->slots;
    const ptrdiff_t K = g->w_n * r->Hp;
    for (ptrdiff_t s = r->t0; s < r->t1; s++) {
        const int nothing = all_skipped(r, b0, rows, s);
        if (nothing && op->dx_add) continue;
        for (int part = 0; part < parts; part++)
            for (ptrdiff_t p = 0; p < plain_panels(op->D); p++) {
                const int nv = plain_nv(op->D, p);
                real *dx = (real *)op->dx + (r->x_by_gate ? g->w_gate[part] * op->x_gate : 0) + b0 * op->x_b +
                           step_time(op->T, op->reverse_x, s) * op->x_t + plain_first(op->D, p);
                const product q = {.a = r->m.z + (s * op->B + b0) * r->Zp + (g->w_slot + part) * VL, .rs = r->Zp, .ks = 1,
                                   .nseg = nothing ? 0 : whole ? 1 : r->Hv, .klen = whole ? g->slots * r->Hp : n * VL, .as = g->slots * VL,
                                   .b = (const real *)op->W.packed_t + plain_first(op->D, p) * K + part * r->Hp * nv * VL, .ldb = nv * VL,
                                   .init = op->dx_add ? dx : zeros, .ldi = op->dx_add ? op->x_b : 0,
                                   .c = dx, .ldc = op->x_b, .tail = plain_tail(op->D, p)};
                multiply(nv, rows, &q);
            }
    }
}
