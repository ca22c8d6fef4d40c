/* What a recurrent layer works with in one run: sizes and memory, packed weights, and which products go through the matrix unit. */

/* Rows that are made anew in each step */
enum {
    ROW_OUTPUT,                              /* the last output, with a mask */
    ROW_MIXED,                               /* recurrent input of one gate: h * dropout mask, or r * h */
    ROW_DH, ROW_DC, ROW_DOUTPUT, ROW_DMIXED, /* carried backwards */
    ROW_KINDS
};

/* The recurrent product of a row alone in a panel or pair of them, but for h and z, which each step sets. */
typedef struct {
    product q;
    ptrdiff_t z; /* where in a row of z */
    int nv;
} row_product;

/* Where it says (n, B, ...) the rows of the batch lie in parts (`rnn.part`), each with all of its n side by side. */
typedef struct {
    /* tape */
    real *z;               /* (steps, B, Zp)   steps = T when training and backward reads the gates, else a window, or two */
    real *h, *c;           /* (states, B, Hp)  states = T+1 when training, else 2; c for LSTM */
    /* scratch */
    real *bias, *dbias;    /* (Zp), (sums, BIAS_SUMS, Zp) in slot order */
    real *rows;            /* (ROW_KINDS, B, Hp) */
    row_product *row_products; /* (panels), if a row is alone and all gates have the same h */
    real *dz;              /* (chunk, B, Zp) gradients of the gates; twice, if those of a chunk are needed in the next */
    real *mixed_steps;     /* (gates, chunk, B, Hp) ROW_MIXED of every step, for dU */
    real *dz_panel;        /* (sums, panels, K, MOST_SLOTS * VL) and */
    real *slivers;         /* (sums, parts, D or H, K): the operands of dW and dU for K rows, packed */
    /* where the products of the layer go through the matrix unit, their left operands, cut */
    real *x_cut;           /* (window * B, D) */
    real *h_cut;           /* (B, H) */
    real *dz_cut;          /* (B, gates * Hp) */
    real *dz_tiles;        /* for the gradients of the weights: dz_panel, */
    real *xt_cut, *ht_cut; /* (D or H, K) */
    ptrdiff_t steps, states, tape_size, scratch_size;
} rnn_memory;

#define MOST_SUMS 2 /* see gradient_sums */
#define BIAS_SUMS 4 /* to which rows of dz are added in turn */
#define L1_BYTES (32 * 1024) /* the least that processors with 32 vector registers have */
#define WOVEN_STEPS 24 /* of a chunk whose gradients are woven in: longer ones leave more at both ends, shorter ones read and write dW and dU more often */
#define K_BLOCK 256 /* rows of dW's and dU's operands packed at a time: few enough for L2, many enough to be worth reading dW */

typedef struct {
    fr_rnn *op;
    const fr_run *run;
    const gate_layout *g;
    rnn_memory m;
    ptrdiff_t Hv, Hp, Zp, G;    /* unit vectors, padded units, distance of rows of z, gates*H */
    ptrdiff_t panels, narrow, last; /* of W, U and z; the first with less than PANEL vectors of gates; the first vector of the last */
    ptrdiff_t block;            /* batch rows per task */
    ptrdiff_t part;             /* batch rows whose steps lie side by side in memory, apart from those of other threads */
    ptrdiff_t window;           /* steps by which the input product runs ahead */
    ptrdiff_t chunk, t0, t1;    /* steps per chunk of the backward pass; the current one */
    real *dz;                   /* of the current chunk: m.dz, or its second half */
    ptrdiff_t K;                /* rows packed at a time for a sum of the gradients of the weights */
    int sums;                   /* that the gradients of the weights consist of, one for each share of the batch */
    int members;                /* threads that share the panels in the forward pass */
    int x_by_gate, u_by_gate;
    int cuts_x, cuts_u, cuts_ut, cuts_dw, cuts_du; /* what goes through the matrix unit: products with W, U and U^T, gradients of W and U */
    int rowwise;                /* an activation mixes the units of a row: see rowwise.inc.h */
    ptrdiff_t unpacked;         /* rows of W or U whose gradients one task unpacks */
    int alone;                  /* the program is for one row */
    int weaves_inputs;          /* the input product of the next window goes on beside the recurrent products of this one, */
    int weaves_gradients;       /* the gradients of the weights of a chunk beside those of the next: */
    later_products *woven_gradients; /* what is left of them, or NULL */
    int exceeds_l2;             /* the weights do not fit into L2 beside the activations */
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
 * and so many columns (measured) that cutting the rows pays: for a dz in the backward pass there are only H, and dW and dU cut both operands. It must
 * not depend on the number of threads, nor on the rows of a batch that is not full. With recurrent dropout, or x for each gate, gates have left
 * operands of their own, which would be cut for one vector of columns. */
static int is_large(const fr_rnn *op, ptrdiff_t units)
{
    const ptrdiff_t G = op->H * layouts[op->cell].gates;
    return MATRIX_UNIT && op->H >= units && (op->few_rows ? op->T >= 32 && G >= 512 : G >= 96); /* rows may run over time */
}
static int shares_h(const fr_rnn *op) { return !op->h_drop && op->cell != FR_GRU_RESET_BEFORE; }
static ptrdiff_t least_units(const fr_rnn *op) { return op->cell == FR_GRU ? 32 : 48; } /* of the forward pass; in LSTM's 32 floats are as fast */
static int may_cut_u(const fr_rnn *op) { return is_large(op, least_units(op)) && shares_h(op) && !op->few_rows; }
static int may_cut_ut(const fr_rnn *op) { return is_large(op, 64) && shares_h(op) && !op->few_rows; }
static int may_cut_du(const fr_rnn *op) { return is_large(op, 64) && shares_h(op); }
static int may_cut_dw(const fr_rnn *op) { return is_large(op, 64) && op->D >= 16 && !op->x_gate; }
static int may_cut_x(const fr_rnn *op) /* for few rows W changes too often to be cut */
{
    return is_large(op, least_units(op)) && op->D >= 16 && !op->x_gate && !(op->few_rows && op->W.gradient);
}

/* Whether backward reads z: all cells but one that knows the slope of its only gate from h. */
static int keeps_gates(const fr_rnn *op) { return op->cell != FR_SIMPLE_RNN || act_needs_input(op->activation); }

/* Elements of the left operands of dW and dU for K rows, in slivers */
static inline ptrdiff_t operands_size(const rnn *r)
{
    return x_parts(r) * slivers_size(r->op->D, r->K) + h_parts(r) * slivers_size(r->op->H, r->K);
}

/* Multiplications and additions of a forward pass */
static double forward_flop(const fr_rnn *op, ptrdiff_t rows)
{
    return 2.0 * (double)rows * (double)op->T * (double)(op->H * layouts[op->cell].gates) * (double)(op->D + op->H);
}
#define LEAST_FLOP 4e6 /* that are worth a second thread; and, for gradient_sums, a place in the order of sums */

/* The gradients of small weights are sums of two, one for each half of the batch: threads need not send each other what they have packed, and for large
 * ones that is little beside the products. It must not depend on the number of threads. */
static int gradient_sums(const rnn *r, ptrdiff_t rows)
{
    const fr_rnn *op = r->op;
    const int small = weight_bytes(r) <= 256 * 1024 && !may_cut_dw(op) && !may_cut_du(op);
    return small && rows >= 16 && forward_flop(op, rows) >= LEAST_FLOP ? MOST_SUMS : 1;
}

/* Whether the input product of one row is woven into its recurrent products. No step may be skipped, one x and one product have to serve all gates, and it
 * has to pay: the weights of the row come from L2 or L3, and the input product has terms enough to fill that time. Of weights that are much larger than L2
 * those of the input would be fetched from memory once more for each of the small windows. */
static int weaves_inputs(const rnn *r)
{
    const fr_rnn *op = r->op;
    const ptrdiff_t recurrent = op->H * r->G * (ptrdiff_t)sizeof(real);
    const int pays = op->T >= 3 * WOVEN_ROWS && op->D >= 16 && op->D <= 4 * op->H && recurrent > L1_BYTES && weight_bytes(r) <= 8 * fr_l2_bytes();
    return MAY_WEAVE && r->alone && !op->mask && !op->x_gate && shares_h(op) && !may_cut_x(op) && pays;
}

/* Whether the gradients of the weights of one row go on beside its products dz U^T, a chunk behind them, from operands where they lie. For those products it
 * takes pairs of panels and no gap between the gates, and to pay, twice as many weights as L1 has room for, yet not so many that it costs more to read and write
 * dW and dU once for each chunk (measured). The sums run from the last step to the first, wherever chunks end. */
static int weaves_gradients(const rnn *r)
{
    const fr_rnn *op = r->op;
    const ptrdiff_t recurrent = r->Hp * r->g->gates * r->Hp * (ptrdiff_t)sizeof(real);
    const int in_pairs = r->Hv == 4 || r->Hv > 5; /* five vectors are a panel of three and one of two, less than four are one panel */
    const int pays = op->T >= 2 * WOVEN_STEPS && recurrent >= 2 * L1_BYTES && weight_bytes(r) <= 4096 * 1024;
    const int without_gap = r->g->u_n == r->g->slots, on_vectors = !may_cut_dw(op) && !may_cut_du(op);
    return MAY_WEAVE && r->alone && op->W.gradient && !op->mask && !op->x_gate && shares_h(op) && in_pairs && without_gap && on_vectors && pays;
}

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
    r.last = panel_first(r.g->gates * r.Hv, r.panels - 1);
    r.narrow = r.last == (r.panels - 1) * PANEL ? r.g->gates * r.Hv / PANEL : r.panels - 2;
    r.x_by_gate = op->x_gate != 0 && r.g->gates > 1;
    r.u_by_gate = (op->h_drop && r.g->gates > 1) || op->cell == FR_GRU_RESET_BEFORE;
    r.alone = op->capacity == 1;
    r.exceeds_l2 = weight_bytes(&r) > fr_l2_bytes() * 3 / 4;
    r.rowwise = act_is_rowwise(op->activation) || act_is_rowwise(op->recurrent_activation);
    const ptrdiff_t state = B * r.Hp;
    rnn_memory *m = &r.m;
    m->states = train && T > 0 ? T + 1 : 2;
    /* A good part of L2, more of it where weights have to be fetched anew for each window. A chunk's end is a place in the order of sums: it must
     * not depend on the machine. */
    const ptrdiff_t weights = weight_bytes(&r) / 2 * (may_cut_u(op) ? 3 : 2), l2 = fr_l2_bytes();
    const ptrdiff_t share = weights > l2 ? l2 : weights > l2 / 2 ? l2 / 2 : l2 / 4, z_row = r.Zp * (ptrdiff_t)sizeof(real);
    r.weaves_inputs = weaves_inputs(&r);
    /* a tile of woven steps may not run over the end of z's memory, which is whole windows or all steps */
    r.window = r.weaves_inputs ? 2 * WOVEN_ROWS : steps_in(&r, may_cut_x(op) ? max_size(z_row, cut_stride(op->D)) : z_row, share);
    r.chunk = min_size(max_size(steps_in(&r, z_row, 512 * 1024), ceil_div(K_BLOCK, max_size(op->capacity, 1))), max_size(T, 1));
    r.weaves_gradients = train && weaves_gradients(&r);
    if (r.weaves_gradients) r.chunk = min_size(r.chunk, ceil_div(T, 2)); /* one thread takes fewer, see rnn_backward */
    r.sums = gradient_sums(&r, B);
    r.K = r.weaves_gradients ? r.chunk : min_size(K_BLOCK, max_size(r.chunk * op->capacity, 1));
    m->steps = train && keeps_gates(op) ? max_size(T, 1) : min_size((r.weaves_inputs ? 2 : 1) * r.window, max_size(T, 1)); /* never more than training takes */
    real *tape = op->tape, *scratch = op->scratch;
    m->z = carve(&tape, &m->tape_size, m->steps * B * r.Zp);
    m->h = carve(&tape, &m->tape_size, m->states * state);
    m->c = op->cell == FR_LSTM ? carve(&tape, &m->tape_size, m->states * state) : NULL;
    m->bias = carve(&scratch, &m->scratch_size, r.Zp);
    const int mixes = op->h_drop || op->cell == FR_GRU_RESET_BEFORE;
    m->rows = train || mixes || op->mask ? carve(&scratch, &m->scratch_size, ROW_KINDS * state) : NULL;
    if (r.alone && shares_h(op))
        m->row_products = (void *)carve(&scratch, &m->scratch_size, ceil_div(r.panels * (ptrdiff_t)sizeof(row_product), (ptrdiff_t)sizeof(real)));
    if (may_cut_x(op)) m->x_cut = carve(&scratch, &m->scratch_size, cut_rows_size(min_size(r.window, T) * op->capacity, op->D));
    if (may_cut_u(op)) m->h_cut = carve(&scratch, &m->scratch_size, cut_rows_size(op->capacity, op->H));
    if (train) {
        if (may_cut_ut(op)) m->dz_cut = carve(&scratch, &m->scratch_size, cut_rows_size(op->capacity, r.g->gates * r.Hp));
        const int sums = gradient_sums(&r, op->capacity);
        m->dbias = carve(&scratch, &m->scratch_size, sums * BIAS_SUMS * r.Zp);
        const ptrdiff_t gates = op->h_drop ? r.g->gates : 1;
        m->mixed_steps = mixes ? carve(&scratch, &m->scratch_size, gates * r.chunk * state) : NULL;
        m->dz = carve(&scratch, &m->scratch_size, (r.weaves_gradients ? 2 : 1) * r.chunk * B * r.Zp);
        r.dz = m->dz;
        if (!r.weaves_gradients) m->dz_panel = carve(&scratch, &m->scratch_size, sums * r.panels * r.K * MOST_SLOTS * VL);
        if (may_cut_du(op) || may_cut_dw(op)) {
            m->dz_tiles = carve(&scratch, &m->scratch_size, cut_matrix_size(r.K, r.g->slots * r.Hv));
            m->ht_cut = carve(&scratch, &m->scratch_size, cut_rows_size(r.Hp, r.K));
            m->xt_cut = carve(&scratch, &m->scratch_size, cut_rows_size(round_up(op->D, VL), r.K));
        }
        if (!r.weaves_gradients) m->slivers = carve(&scratch, &m->scratch_size, sums * operands_size(&r));
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
    const int sums = gradient_sums(&r, op->capacity);
    sizes[2] = sums * op->D * r.g->w_n * r.Hp;
    sizes[0] = op->D * r.g->w_n * r.Hp + (may_cut_x(op) ? cut_matrix_size(op->D, r.g->w_n * r.Hv) : 0);
    sizes[1] = r.g->w_n * r.Hp * round_up(op->D, VL);
    sizes[5] = sums * op->H * u_n * r.Hp;
    sizes[3] = op->H * u_n * r.Hp + (may_cut_u(op) ? cut_matrix_size(op->H, u_n * r.Hv) : 0);
    sizes[4] = u_n * r.Hp * round_up(op->H, VL) + (may_cut_ut(op) ? cut_matrix_size(u_n * r.Hp, r.Hv) : 0);
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
    if (i == 2 && may_cut_ut(op)) cut_packed(op->U.packed_t, r->g->gates * r->Hp, r->Hv, ut_tiles(r));
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
    r->cuts_ut = fine && may_cut_ut(op);
    r->cuts_x = fine && may_cut_x(op);
    r->cuts_dw = fine && may_cut_dw(op);
    r->cuts_du = fine && may_cut_du(op);
}

/* Rows of a tile of the matrix unit in a block of so many, which it takes two tiles at a time: the last of several would take as long with a few rows
 * as the others, so that all are as low as their number allows. */
static inline ptrdiff_t tile_rows(ptrdiff_t rows) { return rows <= 16 ? rows : ceil_div(rows, 2 * ceil_div(rows, 32)); }

/* Sets the unit up for products of so many rows, if the next ones go through it. */
static inline void open_tiles(int used, ptrdiff_t rows)
{
    if (used && rows) m_open((int)tile_rows(rows));
}
static inline void close_tiles(const rnn *r)
{
    if (r->cuts_x || r->cuts_u || r->cuts_ut || r->cuts_dw || r->cuts_du) m_close();
}
