/* The products around the equations of a step: x W ahead of the time loop, or woven into it, h U panel by panel, and in the backward pass dz U^T and
 * dz W^T. */

/* Where a panel that comes next lies, to be prefetched; NULL where that is of no use. */
static inline const real *next_panel(const rnn *r, const void *packed, ptrdiff_t offset)
{
    return r->exceeds_l2 ? (const real *)packed + offset : NULL;
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

/* First vector of panel p in rows of n vectors per unit vector: the gates of a packed matrix (`panel_first`), or the slots of z. In the one cell that
 * has more slots than gates, GRU, a panel is the three gates of a unit vector, and the four slots of the same. */
static inline ptrdiff_t first_vector(const rnn *r, int n, ptrdiff_t p)
{
    if (p == r->panels) return n * r->Hv;
    return n != r->g->gates ? p * n : p == r->panels - 1 ? r->last : p * PANEL;
}
static inline int vectors_of(const rnn *r, int n, ptrdiff_t p)
{
    return n != r->g->gates ? n : p < r->narrow ? PANEL : (int)(n * r->Hv - r->last);
}

/* Vectors of panel p that the recurrent product adds to: all, but where one gate has to wait for another. */
static inline int vectors_added(const rnn *r, ptrdiff_t p) { return r->g->u_n < r->g->gates ? r->g->u_n : vectors_of(r, r->g->gates, p); }

/* Unit vectors whose gates are complete once the first p panels are. (To divide by a variable takes as long as all else between two panels.) */
static inline ptrdiff_t complete_units(const rnn *r, ptrdiff_t p)
{
    const ptrdiff_t v = first_vector(r, r->g->slots, p);
    return r->g->slots == 4 ? v / 4 : r->g->slots == 3 ? v / 3 : v;
}

/* GRU's slot that only the recurrent product fills begins as its bias: in the matrix unit, which takes it by itself, or in z. */
static inline int begins_as_bias(const rnn *r) { return r->op->cell == FR_GRU && r->cuts_u; }

/* x W + b for vectors j.. of panel p, from step s on: rows of the product run over time, for the first row of the block, or over its rows. */
static product input_panel(const step *k, ptrdiff_t p, int j, ptrdiff_t s, int along_time)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    const ptrdiff_t first = first_vector(r, g->w_n, p), width = vectors_of(r, g->w_n, p) * VL, panel = vectors_of(r, g->slots, p) * VL;
    const ptrdiff_t column = (first_vector(r, g->slots, p) + g->w_slot + j) * VL;
    const int gate = r->x_by_gate ? g->w_gate[(first + j) % g->w_n] : 0;
    return (product){.a = (const real *)op->x + gate * op->x_gate + k->b0 * op->x_b + step_time(op->T, op->reverse_x, s) * op->x_t,
                     .rs = !along_time ? op->x_b : op->reverse_x ? -op->x_t : op->x_t, .ks = 1, .nseg = 1, .klen = op->D,
                     .b = (const real *)op->W.packed + (first * op->D + j) * VL, .ldb = width,
                     .init = r->m.bias + column, .ldi = 0, .c = z_at(k, s) + column, .ldc = along_time ? k->stride * r->Zp : r->Zp, .tail = VL,
                     .bs = width * op->D, .is = panel, .cs = panel};
}

/* z += A * U[:, vectors j .. of panel p], and of the panel after it, if it is a pair. */
static inline product recurrent_panel(const step *k, const real *a, ptrdiff_t p, int pair, real *z, int j)
{
    const rnn *r = k->r;
    const int gates = r->g->gates;
    const ptrdiff_t H = r->op->H, first = first_vector(r, gates, p), width = vectors_of(r, gates, p) * VL, panel = vectors_of(r, r->g->slots, p) * VL;
    const ptrdiff_t next = downwards(k) ? p - 1 : p + 1;
    const real *packed = r->op->U.packed;
    return (product){.a = a, .rs = r->Hp, .ks = 1, .nseg = 1, .klen = H, .b = packed + first * H * VL + j * VL, .ldb = width,
                     .init = z, .ldi = r->Zp, .c = z, .ldc = r->Zp, .tail = VL, .alone = r->alone, .pair = pair,
                     .bs = width * H, .is = panel, .cs = panel,
                     .next = next < k->p0 || next >= k->p1 ? NULL : next_panel(r, packed, first_vector(r, gates, next) * H * VL),
                     .a_cut = r->cuts_u ? cut_row_at(r->m.h_cut, k->b0, H) : NULL,
                     .b_cut = r->cuts_u ? u_tiles(r) + cut_matrix_size(H, first + j) : NULL, .tile_rows = r->cuts_u ? tile_rows(k->rows) : 0};
}

/* Does that for nv vectors, which go to z from `slot` of the panel there on; one slot, which holds nothing yet, begins as the bias. */
static inline void add_recurrent(const step *k, const real *a, ptrdiff_t p, int pair, int slot, int j, int nv)
{
    const rnn *r = k->r;
    product q = recurrent_panel(k, a, p, pair, k->z + (first_vector(r, r->g->slots, p) + slot) * VL, j);
    const int begun = begins_as_bias(r) ? nv - 1 : nv;
    multiply(begun, k->rows, &q);
    if (begun == nv) return;
    q.b += begun * VL;
    q.b_cut = (const real *)q.b_cut + cut_matrix_size(r->op->H, begun);
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
        add_recurrent(k, drop_h(k, gate, k->h_prev, k->mixed), p, 0, g->u_slot + j, j, 1);
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
    const real *h = r->op->h_drop ? drop_h(k, 0, k->h_prev, k->mixed) : k->h_prev;
    add_recurrent(k, h, p, pair, g->u_slot, 0, vectors_added(r, p));
}

/* Whether panels p and p + 1, out of [p0, p1), are equally wide. */
static inline int equally_wide(const rnn *r, ptrdiff_t p, ptrdiff_t p0, ptrdiff_t p1)
{
    return p >= p0 && p + 2 <= p1 && (p < r->narrow) == (p + 1 < r->narrow);
}

/* Whether panels p and p + 1 go through one product: those of one row, or of the matrix unit. */
static inline int makes_pair(const step *k, ptrdiff_t p)
{
    return (k->rows == 1 || k->r->cuts_u) && !k->r->u_by_gate && equally_wide(k->r, p, k->p0, k->p1);
}

/* Prepares the products of a row alone for the panels of k. */
static void begin_row_products(step *k)
{
    const rnn *r = k->r;
    if (!r->m.row_products) return;
    k->row_products = r->m.row_products + k->p0;
    for (ptrdiff_t p = k->p0, pair; p < k->p1; p += 1 + pair) {
        pair = makes_pair(k, p);
        k->row_pairs += pair;
        k->row_products[k->n_row_products++] = (row_product){recurrent_panel(k, NULL, p, (int)pair, NULL, 0),
                                                             (first_vector(r, r->g->slots, p) + r->g->u_slot) * VL, vectors_added(r, p)};
    }
}

/* Does them for its step. The pairs that are to go alone come first: their weights are what the step before has read last, and hold nothing up. */
static void multiply_row(const step *k)
{
    const ptrdiff_t n = k->n_row_products;
    ptrdiff_t alone = MAY_WEAVE && k->later ? k->pairs_alone : n;
    for (ptrdiff_t i = 0; i < n; i++) {
        row_product *p = &k->row_products[downwards(k) ? n - 1 - i : i];
        p->q.a = k->h_prev;
        p->q.init = p->q.c = k->z + p->z;
        if (p->q.pair && alone == 0) weave(p->nv, &p->q, k->later);
        else multiply(p->nv, 1, &p->q);
        if (p->q.pair && alone > 0) alone--;
    }
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

/* The recurrent product of the next panel or pair; of all of them where a row is alone, whose equations would only hold up the stream of the weights.
 * Returns 0 when all are done. */
static int sweep_on(const step *k, sweep *w)
{
    const rnn *r = k->r;
    const int slots = r->g->slots, down = downwards(k);
    const ptrdiff_t end = down ? k->p0 : k->p1;
    if (w->p == end) return 0;
    if (k->row_products) {
        multiply_row(k);
        w->p = end;
    } else do {
        const int pair = makes_pair(k, down ? w->p - 2 : w->p);
        if (down) w->p -= 1 + pair;
        recurrent_product(k, w->p, pair);
        if (!down) w->p += 1 + pair;
    } while (r->alone && w->p != end);
    if (down) {
        w->u1 = w->u0;
        w->u0 = complete_units(r, w->p) + (first_vector(r, slots, w->p) % 4 != 0 && slots == 4);
    } else {
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
    for (ptrdiff_t b = 0; r->cuts_x && b < rows; b++) { /* sample by sample: what it has in memory side by side */
        const real *x = (const real *)op->x + (b0 + b) * op->x_b;
        for (ptrdiff_t s = s0; s < s1; s++)
            cut_row(x + step_time(op->T, op->reverse_x, s) * op->x_t, 1, op->D, 0,
                    cut_row_at(inputs_cut(r, b0), along_time ? b * (s1 - s0) + s - s0 : (s - s0) * rows + b, op->D));
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
    for (ptrdiff_t b = 0; r->cuts_ut && b < k->rows; b++)
        cut_row(k->dz + b * r->Zp + slot * VL, nseg, klen, r->g->slots * VL, cut_row_at(r->m.dz_cut, k->b0 + b, nseg * klen));
}
#else
static void cut_inputs(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t s0, ptrdiff_t s1) { (void)r, (void)b0, (void)rows, (void)s0, (void)s1; }
static void cut_state(const step *k) { (void)k; }
static void cut_gates(const step *k, int slot, ptrdiff_t nseg, ptrdiff_t klen) { (void)k, (void)slot, (void)nseg, (void)klen; }
#endif

/* z = x W + b in panels [p0, p1) for steps [s0, s1), but for those that all rows skip. Rows of the product run over the batch or over time. */
static void input_product(const step *k, ptrdiff_t p0, ptrdiff_t p1, ptrdiff_t s0, ptrdiff_t s1)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    const ptrdiff_t b0 = k->b0, rows = k->rows, z_t = k->stride * r->Zp, dt = op->reverse_x ? -op->x_t : op->x_t;
    const int along_time = runs_along_time(r, rows, s1 - s0);
    const ptrdiff_t products = along_time ? rows : s1 - s0, height = along_time ? s1 - s0 : rows;
    for (ptrdiff_t p = p0, pair; p < p1; p += 1 + pair) {
        const int width = vectors_of(r, g->w_n, p), nv = r->x_by_gate ? 1 : width;
        pair = (r->cuts_x || (height == 1 && !r->x_by_gate)) && equally_wide(r, p, p0, p1);
        for (int j = 0; j < width; j += nv) {
            product q = input_panel(k, p, j, s0, along_time);
            const real *a = q.a;
            real *c = q.c;
            q.pair = (int)pair;
            for (ptrdiff_t i = 0; i < products; i++) {
                if (!along_time && all_skipped(r, b0, rows, s0 + i)) continue;
                q.a = a + i * (along_time ? op->x_b : dt);
                if (r->cuts_x) {
                    q.a_cut = cut_row_at(inputs_cut(r, b0), i * height, op->D);
                    q.b_cut = w_tiles(r) + cut_matrix_size(op->D, first_vector(r, g->w_n, p) + j);
                    q.tile_rows = tile_rows(height);
                }
                q.c = c + i * (along_time ? r->Zp : z_t);
                q.next = i || r->x_by_gate || p + 1 == p1 ? NULL : next_panel(r, op->W.packed, first_vector(r, g->w_n, p + 1) * op->D * VL);
                multiply(nv, height, &q);
            }
        }
    }
}

/* GRU's slot that only the recurrent product adds to, before it does. */
static void fill_in_bias(const step *k, ptrdiff_t s0, ptrdiff_t s1)
{
    const rnn *r = k->r;
    if (r->op->cell != FR_GRU || begins_as_bias(r)) return;
    const ptrdiff_t at0 = (complete_units(r, k->p0) * 4 + 3) * VL, at1 = complete_units(r, k->p1) * 4 * VL;
    for (ptrdiff_t s = s0; s < s1; s++) {
        real *z = z_at(k, s);
        for (ptrdiff_t row = 0; row < k->rows; row++, z += r->Zp)
            for (ptrdiff_t at = at0; at < at1; at += 4 * VL) v_store(z + at, v_load(r->m.bias + at));
    }
}

/* The input product of some steps, to be woven into the recurrent products of the steps before. */
typedef struct {
    later_products panels;
    const step *k;
    ptrdiff_t s0, s1;
    ptrdiff_t spare; /* pairs of recurrent products until s0 that nothing of it is left for */
} later_inputs;

static void begin_panel_of_inputs(later_products *l)
{
    const later_inputs *in = l->of;
    l->q = input_panel(in->k, l->next++, 0, in->s0, 1);
    l->nv = (int)(l->q.ldb / VL);
    l->rows = in->s1 - in->s0;
}

static void begin_inputs(later_inputs *in, const step *k, ptrdiff_t s0, ptrdiff_t s1)
{
    const fr_rnn *op = k->r->op;
    *in = (later_inputs){.k = k, .s0 = s0, .s1 = s1};
    in->panels = (later_products){.begin = begin_panel_of_inputs, .of = in, .next = k->p0, .end = s0 < s1 ? k->p1 : k->p0};
    if (k->later) in->spare = k->row_pairs * k->r->window - (k->p1 - k->p0) * goes_of((s1 - s0) / WOVEN_ROWS, op->D, op->H);
}

/* The share of step s in those pairs */
static ptrdiff_t take_spare(later_inputs *in, ptrdiff_t s)
{
    const ptrdiff_t share = in->spare > 0 ? ceil_div(in->spare, in->s0 - s) : 0;
    in->spare -= share;
    return share;
}

/* Does what is left of it. */
static void finish_inputs(later_inputs *in)
{
    finish_panel(&in->panels);
    input_product(in->k, in->panels.next, in->k->p1, in->s0, in->s1);
    fill_in_bias(in->k, in->s0, in->s1);
}

static inline int part_is_reset(const rnn *r, int part) { return r->op->cell == FR_GRU_RESET_BEFORE && part == r->g->u_n; }

/* Blocks of K that the matrix unit takes before it comes to the next panel: as many as leave what it has cut of so many rows in L2. */
static inline ptrdiff_t blocks_in_l2(ptrdiff_t rows, ptrdiff_t K)
{
    const ptrdiff_t blocks = cut_blocks(K), parts = ceil_div(blocks * rows * 192, fr_l2_bytes() / 2);
    return ceil_div(blocks, parts);
}

/* Lets a product of one row take its terms from the last to the first. */
static inline void reverse_terms(product *q)
{
    q->a += (q->nseg - 1) * q->as + q->klen - 1;
    q->as = -q->as;
    q->ks = -1;
    q->b += (q->nseg * q->klen - 1) * q->ldb;
    q->ldb = -q->ldb;
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
    const ptrdiff_t blocks = r->cuts_ut ? cut_blocks(K) : 1, slice = r->cuts_ut ? blocks_in_l2(k->rows, K) : 1;
    for (ptrdiff_t j = 0; j < (by_gate ? n : blocks); j += by_gate ? 1 : slice)
        for (ptrdiff_t i = 0, pair; i < panels; i += 1 + pair) {
            const ptrdiff_t at = downwards(k) ? panels - 1 - i : i, other = downwards(k) ? at - 1 : at + 1;
            pair = (k->rows == 1 || r->cuts_ut) && !by_gate && i + 1 < panels && plain_nv(H, at) == plain_nv(H, other);
            const ptrdiff_t p = pair ? min_size(at, other) : at;
            const int nv = plain_nv(H, p), part = by_gate ? gate + (int)j : 0;
            const int slot = by_gate && part_is_reset(r, part) ? g->w_slot : g->u_slot + part;
            real *c = to + plain_first(H, p);
            product q = {.a = k->dz + slot * VL, .rs = r->Zp, .ks = 1, .nseg = nseg, .klen = klen, .as = g->slots * VL,
                         .b = (const real *)r->op->U.packed_t + plain_first(H, p) * K + part * r->Hp * nv * VL, .ldb = nv * VL,
                         .init = c, .ldi = r->Hp, .c = c, .ldc = r->Hp, .tail = VL, .alone = r->alone,
                         .pair = (int)pair, .bs = nv * VL * K, .is = nv * VL, .cs = nv * VL,
                         .next = by_gate || i + 1 == panels ? NULL : next_panel(r, r->op->U.packed_t, plain_first(H, other) * K)};
            if (r->cuts_ut) {
                q.a_cut = cut_row_at(r->m.dz_cut, k->b0, K);
                q.b_cut = ut_tiles(r) + cut_matrix_size(K, plain_first(H, p) / VL);
                q.tile_rows = tile_rows(k->rows);
                q.k0 = j;
                q.k1 = min_size(j + slice, blocks);
            } else if (r->alone && downwards(k)) reverse_terms(&q);
            if (MAY_WEAVE && k->later && pair) weave(nv, &q, k->later);
            else multiply(nv, k->rows, &q);
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
    real *d = k->dmixed;
    for (int j = 0; j < r->g->u_n; j++) {
        for (ptrdiff_t i = 0; i < k->rows * r->Hp; i += VL) v_store(d + i, K_(0));
        if (r->u_by_gate) add_dz_ut(k, j, 1, d);
        else add_dz_ut(k, -1, 0, d);
        drop_h(k, r->g->u_gate[j], d, d);
        for (ptrdiff_t i = 0; i < k->rows * r->Hp; i += VL) v_store(k->dh + i, v_add(v_load(k->dh + i), v_load(d + i)));
    }
}

/* dx = dz W^T for the steps of the current chunk; rows of the product run over the batch or over time. */
static void input_product_backward(const step *k)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const ptrdiff_t b0 = k->b0, rows = k->rows, steps = r->t1 - r->t0, dt = op->reverse_x ? -op->x_t : op->x_t, z_t = k->stride * r->Zp;
    const gate_layout *g = r->g;
    const int parts = r->x_by_gate ? g->w_n : 1, n = r->x_by_gate ? 1 : g->w_n, whole = n == g->slots;
    const int along_time = !op->mask && rows < MR(PANEL) && steps > rows;
    const ptrdiff_t products = along_time ? rows : steps, height = along_time ? steps : rows, K = g->w_n * r->Hp;
    for (ptrdiff_t i = 0; i < products; i++) {
        const ptrdiff_t s = along_time ? r->t0 : r->t0 + i, b = along_time ? i : 0;
        const int nothing = all_skipped(r, b0, rows, s);
        if (nothing && op->dx_add) continue;
        for (int part = 0; part < parts; part++)
            for (ptrdiff_t p = 0; p < plain_panels(op->D); p++) {
                const int nv = plain_nv(op->D, p);
                real *dx = (real *)op->dx + (r->x_by_gate ? g->w_gate[part] * op->x_gate : 0) + (b0 + b) * op->x_b +
                           step_time(op->T, op->reverse_x, s) * op->x_t + plain_first(op->D, p);
                const ptrdiff_t ldx = along_time ? dt : op->x_b;
                const product q = {.a = dz_at(k, s) + b * r->Zp + (g->w_slot + part) * VL, .rs = along_time ? z_t : r->Zp, .ks = 1,
                                   .nseg = nothing ? 0 : whole ? 1 : r->Hv, .klen = whole ? g->slots * r->Hp : n * VL, .as = g->slots * VL,
                                   .b = (const real *)op->W.packed_t + plain_first(op->D, p) * K + part * r->Hp * nv * VL, .ldb = nv * VL,
                                   .init = op->dx_add ? dx : zeros, .ldi = op->dx_add ? ldx : 0,
                                   .c = dx, .ldc = ldx, .tail = plain_tail(op->D, p)};
                multiply(nv, height, &q);
            }
    }
}
