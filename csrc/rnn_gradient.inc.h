/* Gradients of the weights of a recurrent layer, from the gradients dz of its gates and what they were multiplied with:
 *
 *   dW = sum over steps and batch of x^T dz      dU = the same of h_{t-1}^T dz      db = the same of dz
 *
 * Both operands of some K rows (a row is one step of one sample) are packed, dz into panels, x and h into slivers, then every panel of dW and dU
 * takes its product: the sums run over steps and batch in a fixed order. Some are read where they lie instead: h by a few panels, all of one row whose gradients
 * are woven into its steps. Where there is a sum for each half of the batch (rnn.sums), two threads pack and multiply what is in their own cache. */

/* Steps [s, s + ns) of samples [b, b + nb) */
typedef struct {
    const rnn *r;
    ptrdiff_t s, ns, b, nb;
    int sum, buffer;     /* which of the sums they go to, by way of which memory for packed operands */
    int first;           /* the sum begins here, from zero */
    const real *dz;      /* their first row, where they all follow each other */
    ptrdiff_t task_rows; /* of dW, then of dU, that one task takes of a panel */
} k_block;

/* One for each of the sums that are worked on at a time, of as many steps, with as many tasks for each */
typedef struct {
    k_block of[MOST_SUMS];
    int n;
    ptrdiff_t tasks;
    ptrdiff_t step_slices, row_slices; /* of the steps and of the rows of a part, for tasks that pack them */
} k_blocks;

/* `mixed` of step s for part j of the recurrent product: h_prev * dropout mask, or what r lets through of it. */
static real *mixed_at(const step *k, int part, ptrdiff_t s)
{
    const rnn *r = k->r;
    return r->m.mixed_steps + ((r->op->h_drop ? part : 0) * r->chunk * r->op->B + place(k, r->chunk, s - r->t0)) * r->Hp;
}

static inline real *x_slivers(const k_block *k, ptrdiff_t part)
{
    const rnn *r = k->r;
    return r->m.slivers + k->buffer * operands_size(r) + part * slivers_size(r->op->D, r->K);
}
static inline real *h_slivers(const k_block *k, ptrdiff_t part)
{
    return x_slivers(k, x_parts(k->r)) + part * slivers_size(k->r->op->H, k->r->K);
}

static inline real *dz_panel(const k_block *k, ptrdiff_t p)
{
    const rnn *r = k->r;
    return r->m.dz_panel + (k->buffer * r->panels + p) * r->K * MOST_SLOTS * VL;
}
static inline real *dz_tiles(const k_block *k, ptrdiff_t p)
{
    return k->r->m.dz_tiles + cut_matrix_size(k->ns * k->nb, first_vector(k->r, k->r->g->slots, p));
}

static inline int packs_dz(const rnn *r) { return !r->weaves_gradients && (!r->cuts_dw || !r->cuts_du); }

static const real *first_dz(const k_block *k)
{
    const step all = begin_steps(k->r, k->b, k->nb, 0, k->r->panels);
    return dz_at(&all, k->s);
}

/* Which of the K rows is that of sample b in step s */
static inline ptrdiff_t k_index(const k_block *k, ptrdiff_t s, ptrdiff_t b) { return (s - k->s) * k->nb + b - k->b; }

/* Steps [s0, s1) of the rows w of panel p of dz for the products */
static void pack_dz(const k_block *k, const step *w, ptrdiff_t s0, ptrdiff_t s1, ptrdiff_t p)
{
    const rnn *r = k->r;
    const int n = vectors_of(r, r->g->slots, p), one_run = w->rows == k->nb && w->stride == k->nb; /* step follows step */
    const ptrdiff_t steps = one_run ? s1 - s0 : 1;
    for (ptrdiff_t s = s0; s < s1; s += steps) {
        const real *from = dz_at(w, s) + first_vector(r, r->g->slots, p) * VL;
        real *to = dz_panel(k, p) + k_index(k, s, w->b0) * n * VL;
        for (ptrdiff_t row = 0; row < steps * w->rows; row++, from += r->Zp, to += n * VL)
            UNROLL for (int j = 0; j < MOST_SLOTS; j++) if (j < n) v_store(to + j * VL, v_load(from + j * VL));
    }
}

/* Whether dU reads the states where they lie: where gradients are woven, and where one or two panels would not read slivers often enough to be worth making
 * them. Beyond a part of the batch rows are not equally far apart. */
static inline int reads_h(const k_block *k)
{
    const rnn *r = k->r;
    return r->weaves_gradients || (r->panels <= 2 && shares_h(r->op) && !r->cuts_du && k->b / r->part == (k->b + k->nb - 1) / r->part);
}

/* x and h_{t-1} (or what went into the product in their place) of steps [s0, s1); one row's steps are columns side by side. */
static void pack_operands(const k_block *k, const step *w, ptrdiff_t s0, ptrdiff_t s1)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const ptrdiff_t stride = sliver_stride(r->K), x_t = op->reverse_x ? -op->x_t : op->x_t;
    const int one_row = k->nb == 1;
    const ptrdiff_t n = one_row ? s1 - s0 : w->rows, x_ld = one_row ? x_t : op->x_b, h_ld = (one_row ? w->stride : 1) * r->Hp;
    for (ptrdiff_t s = s0; s < s1; s += one_row ? n : 1) {
        const ptrdiff_t k0 = k_index(k, s, w->b0);
        const real *x = (const real *)op->x + w->b0 * op->x_b + step_time(op->T, op->reverse_x, s) * op->x_t;
        for (int j = 0; !r->cuts_dw && j < x_parts(r); j++)
            pack_slivers(x + (r->x_by_gate ? r->g->w_gate[j] * op->x_gate : 0), x_ld, n, op->D, k0, stride, x_slivers(k, j));
        for (int j = 0; !r->cuts_du && !reads_h(k) && j < h_parts(r); j++) {
            const int reset = op->cell == FR_GRU_RESET_BEFORE && j == h_parts(r) - 1;
            const real *h = op->h_drop || reset ? mixed_at(w, j, s) : r->m.h + place(w, r->m.states, s) * r->Hp;
            pack_slivers(h, h_ld, n, op->H, k0, stride, h_slivers(k, j));
        }
    }
}

/* Operands for the matrix unit: vectors of columns of h, then of x. */
static inline ptrdiff_t cut_of_h(const rnn *r) { return r->cuts_du ? r->Hv : 0; }
static inline ptrdiff_t cut_operands(const rnn *r) { return cut_of_h(r) + (r->cuts_dw ? ceil_div(r->op->D, VL) : 0); }

/* Panel p of dz where it lies, to be cut or to be read there. (Where that is done the batch is one part.) Woven gradients are read from the last step to the
 * first: so are their chunks, and it does not matter where one ends. */
static const real *dz_of_panel(const k_block *k, ptrdiff_t p) { return k->dz + first_vector(k->r, k->r->g->slots, p) * VL; }
static inline ptrdiff_t first_read(const k_block *k) { return k->r->weaves_gradients ? k->ns - 1 : 0; }
static void cut_dz(const k_block *k, ptrdiff_t p)
{
    cut_matrix(dz_of_panel(k, p), k->r->Zp, k->ns * k->nb, vectors_of(k->r, k->r->g->slots, p), dz_tiles(k, p));
}

static void cut_operand(const k_block *k, ptrdiff_t i)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const ptrdiff_t K = k->ns * k->nb, state = op->B * r->Hp;
    if (i < cut_of_h(r)) {
        cut_transposed(r->m.h + k->s * state + k->b * r->Hp + i * VL, state, k->ns, r->Hp, k->nb, VL, cut_row_at(r->m.ht_cut, i * VL, K));
        return;
    }
    const ptrdiff_t column = (i - cut_of_h(r)) * VL;
    const real *x = (const real *)op->x + k->b * op->x_b + step_time(op->T, op->reverse_x, k->s) * op->x_t + column;
    cut_transposed(x, op->reverse_x ? -op->x_t : op->x_t, k->ns, op->x_b, k->nb, min_size(VL, op->D - column), cut_row_at(r->m.xt_cut, column, K));
}

/* What is to be cut, panels of dz and operands; then the others, a slice of a part of the batch at a time: up to K_BLOCK rows, those who made them pack them. */
static inline ptrdiff_t cut_tasks(const rnn *r) { return cut_operands(r) ? r->panels + cut_operands(r) : 0; }
static inline ptrdiff_t first_part(const k_block *k) { return k->b / k->r->part; }
static inline ptrdiff_t parts_of(const k_block *k) { return ceil_div(k->b + k->nb, k->r->part) - first_part(k); }

static ptrdiff_t pack_tasks(const k_blocks *blocks, const k_block *k)
{
    return cut_tasks(k->r) + (packs_dz(k->r) ? parts_of(k) * blocks->step_slices * blocks->row_slices : 0);
}

/* The block that task *i is of; *i becomes its number there. */
static const k_block *block_of_task(const k_blocks *blocks, ptrdiff_t *i)
{
    const k_block *k = &blocks->of[*i / blocks->tasks];
    *i %= blocks->tasks;
    return k;
}

static void pack_task(void *arg, ptrdiff_t i)
{
    const k_blocks *blocks = arg;
    const k_block *k = block_of_task(blocks, &i);
    const rnn *r = k->r;
    const ptrdiff_t j = i - cut_tasks(r);
    if (j < 0) {
        if (i < r->panels) cut_dz(k, i);
        else cut_operand(k, i - r->panels);
        return;
    }
    const ptrdiff_t by_step = blocks->step_slices, by_row = blocks->row_slices;
    const ptrdiff_t part = first_part(k) + j / (by_step * by_row), i_s = j / by_row % by_step, i_b = j % by_row;
    const ptrdiff_t s0 = k->s + k->ns * i_s / by_step, s1 = k->s + k->ns * (i_s + 1) / by_step;
    const ptrdiff_t b0 = max_size(part * r->part, k->b), rows = min_size((part + 1) * r->part, k->b + k->nb) - b0;
    const ptrdiff_t b = b0 + rows * i_b / by_row, end = b0 + rows * (i_b + 1) / by_row;
    if (b >= end) return;
    const step w = begin_steps(r, b, end - b, 0, r->panels);
    for (ptrdiff_t p = 0; p < r->panels; p++) pack_dz(k, &w, s0, s1, p);
    pack_operands(k, &w, s0, s1);
}

static inline ptrdiff_t u_rows_from(const rnn *r) { return round_up(r->op->D, 32); } /* whole tiles, whole slivers */

/* Panels of a task: the matrix unit takes them in pairs. */
static inline ptrdiff_t task_panels(const rnn *r) { return r->cuts_du || r->cuts_dw ? 2 : 1; }
static inline ptrdiff_t panel_tasks(const rnn *r) { return ceil_div(r->panels, task_panels(r)); }

/* Tasks run through the panels of a block of rows before they come to the next: its operand stays in L2 while those of the panels pass by. Layers of a
 * few panels have lower blocks, or there would not be as much to do for each thread. */
static ptrdiff_t rows_of_tasks(const rnn *r, int threads)
{
    const ptrdiff_t rows = u_rows_from(r) + r->op->H, blocks = threads > 1 ? ceil_div(8 * threads, panel_tasks(r) * r->sums) : 1;
    return min_size(round_up(ceil_div(rows, blocks), 32), 512);
}
static inline ptrdiff_t gradient_tasks(const k_block *k) { return ceil_div(u_rows_from(k->r) + k->r->op->H, k->task_rows) * panel_tasks(k->r); }

/* What the products of panel p, or of the pair that begins with it, from `slot` on have in common; its rows of dW or dU, from `grad` on, are `width` vectors
 * long, `rows` in all. */
static product gradient_product(const k_block *k, ptrdiff_t p, int pair, int width, ptrdiff_t rows, int slot, real *grad)
{
    const rnn *r = k->r;
    const int in_place = r->weaves_gradients;
    product q = {.rs = 1, .ks = SLIVER, .nseg = 1, .klen = k->ns * k->nb, .sliver = in_place ? 0 : sliver_stride(r->K), .tile_rows = 16,
                 .b = (in_place ? dz_of_panel(k, p) + first_read(k) * r->Zp : dz_panel(k, p)) + slot * VL,
                 .ldb = in_place ? -r->Zp : vectors_of(r, r->g->slots, p) * VL,
                 .init = k->first ? zeros : grad, .c = grad, .ldc = width * VL, .tail = VL, .pair = pair, .cs = rows * width * VL};
    q.bs = q.klen * q.ldb;
    q.ldi = k->first ? 0 : q.ldc;
    q.is = k->first ? 0 : q.cs;
    return q;
}

/* Has the matrix unit do it. */
static void cut_product(const k_block *k, product *q, ptrdiff_t p, int slot, const char *cut)
{
    q->a_cut = cut;
    q->b_cut = dz_tiles(k, p) + cut_matrix_size(q->klen, slot);
}

/* dW and dU of one of the sums, packed */
static inline real *w_sum(const rnn *r, int sum) { return (real *)r->op->W.grad + sum * r->op->D * r->g->w_n * r->Hp; }
static inline real *u_sum(const rnn *r, int sum) { return (real *)r->op->U.grad + sum * r->op->H * r->g->gates * r->Hp; }

/* Rows of dW from w0 on, from vector j of panel p on */
static product w_product(const k_block *k, ptrdiff_t p, int pair, ptrdiff_t w0, int j)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    const ptrdiff_t first = first_vector(r, g->w_n, p);
    const int width = vectors_of(r, g->w_n, p);
    product q = gradient_product(k, p, pair, width, op->D, g->w_slot + j, w_sum(r, k->sum) + (first * op->D + w0 * width + j) * VL);
    if (r->weaves_gradients) {
        q.a = (const real *)op->x + k->b * op->x_b + step_time(op->T, op->reverse_x, k->s + first_read(k)) * op->x_t + w0;
        q.ks = op->reverse_x ? op->x_t : -op->x_t;
    } else q.a = x_slivers(k, r->x_by_gate ? (first + j) % g->w_n : 0) + w0 / SLIVER * q.sliver;
    if (r->cuts_dw) cut_product(k, &q, p, g->w_slot + j, cut_row_at(r->m.xt_cut, w0, q.klen));
    return q;
}

/* Rows [w0, w0 + rows) of dW */
static void w_gradient(const k_block *k, ptrdiff_t p, int pair, ptrdiff_t w0, ptrdiff_t rows)
{
    const int width = vectors_of(k->r, k->r->g->w_n, p), nv = k->r->x_by_gate ? 1 : width;
    for (int j = 0; j < width; j += nv) {
        const product q = w_product(k, p, pair, w0, j);
        multiply(nv, rows, &q);
    }
}

/* Rows of dU from u0 on, from vector j of panel p on */
static product u_product(const k_block *k, ptrdiff_t p, int pair, ptrdiff_t u0, int j)
{
    const rnn *r = k->r;
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    const ptrdiff_t first = first_vector(r, g->gates, p);
    const int width = vectors_of(r, g->gates, p), gate = (int)((first + j) % g->gates), reset = part_is_reset(r, gate);
    const int slot = reset ? g->w_slot : g->u_slot + j;
    product q = gradient_product(k, p, pair, width, op->H, slot, u_sum(r, k->sum) + (first * op->H + u0 * width + j) * VL);
    if (reads_h(k)) {
        const step w = begin_steps(r, k->b, k->nb, 0, r->panels);
        q.a = r->m.h + place(&w, r->m.states, k->s + first_read(k)) * r->Hp + u0;
        q.ks = r->weaves_gradients ? -r->Hp : r->Hp;
        q.as = w.stride * r->Hp;
        q.nseg = w.stride > k->nb ? k->ns : 1;
        q.klen /= q.nseg;
        q.sliver = 0;
    } else q.a = h_slivers(k, op->h_drop ? gate : reset) + u0 / SLIVER * q.sliver;
    if (r->cuts_du) cut_product(k, &q, p, slot, cut_row_at(r->m.ht_cut, u0, q.klen));
    return q;
}

/* Rows [u0, u0 + rows) of dU */
static void u_gradient(const k_block *k, ptrdiff_t p, int pair, ptrdiff_t u0, ptrdiff_t rows)
{
    const int width = vectors_of(k->r, k->r->g->gates, p), nv = k->r->u_by_gate ? 1 : width;
    for (int j = 0; j < width; j += nv) {
        const product q = u_product(k, p, pair, u0, j);
        multiply(nv, rows, &q);
    }
}

/* Of each panel first dW, then dU */
static void begin_panel_of_gradients(later_products *l)
{
    const k_block *k = l->of;
    const fr_rnn *op = k->r->op;
    const ptrdiff_t p = l->next / 2;
    const int of_w = l->next % 2 == 0;
    l->q = of_w ? w_product(k, p, 0, 0, 0) : u_product(k, p, 0, 0, 0);
    l->nv = vectors_of(k->r, k->r->g->gates, p);
    l->rows = of_w ? op->D : op->H;
    l->next++;
}

/* Adds the K rows of panel p of dz to the gradient of the bias, in turn to BIAS_SUMS sums (each alone would wait for its last term), from chunk to chunk if they
 * are one row's. */
static void bias_gradient(const k_block *k, ptrdiff_t p)
{
    const rnn *r = k->r;
    const int n = vectors_of(r, r->g->slots, p), packed = packs_dz(r);
    const real *from = packed ? dz_panel(k, p) : dz_of_panel(k, p) + first_read(k) * r->Zp;
    real *db = r->m.dbias + k->sum * BIAS_SUMS * r->Zp + first_vector(r, r->g->slots, p) * VL;
    const ptrdiff_t K = k->ns * k->nb, ld = packed ? n * VL : r->weaves_gradients ? -r->Zp : r->Zp;
    const ptrdiff_t turn = r->weaves_gradients ? r->op->T - k->s - k->ns : 0;
    for (int j = 0; j < n; j++, db += VL) {
        const real *at = from + j * VL;
        vec sum[BIAS_SUMS];
        UNROLL for (int q = 0; q < BIAS_SUMS; q++) sum[q] = k->first ? K_(0) : v_load(db + (turn + q) % BIAS_SUMS * r->Zp);
        ptrdiff_t i = 0;
        for (; i + BIAS_SUMS <= K; i += BIAS_SUMS, at += BIAS_SUMS * ld)
            UNROLL for (int q = 0; q < BIAS_SUMS; q++) sum[q] = v_add(sum[q], v_load(at + q * ld));
        UNROLL for (int q = 0; q < BIAS_SUMS - 1; q++) if (i + q < K) sum[q] = v_add(sum[q], v_load(at + q * ld));
        UNROLL for (int q = 0; q < BIAS_SUMS; q++) v_store(db + (turn + q) % BIAS_SUMS * r->Zp, sum[q]);
    }
}

static void gradient_task(void *arg, ptrdiff_t i)
{
    const k_block *k = block_of_task(arg, &i);
    const rnn *r = k->r;
    const ptrdiff_t D = r->op->D, r0 = i / panel_tasks(r) * k->task_rows, r1 = r0 + k->task_rows;
    const ptrdiff_t w0 = min_size(r0, D), w_rows = min_size(r1, D) - w0;
    const ptrdiff_t u0 = max_size(r0 - u_rows_from(r), 0), u_rows = min_size(r1 - u_rows_from(r), r->op->H) - u0;
    const ptrdiff_t p0 = i % panel_tasks(r) * task_panels(r), p1 = min_size(p0 + task_panels(r), r->panels);
    const int pair = equally_wide(r, p0, p0, p1), w_pair = pair && r->cuts_dw, u_pair = pair && r->cuts_du;
    for (ptrdiff_t p = p0; r0 == 0 && p < p1; p++) bias_gradient(k, p);
    open_tiles(r->cuts_dw || r->cuts_du, 16);
    for (ptrdiff_t p = p0; w_rows > 0 && p < p1; p += 1 + w_pair) w_gradient(k, p, w_pair, w0, w_rows);
    for (ptrdiff_t p = p0; u_rows > 0 && p < p1; p += 1 + u_pair) u_gradient(k, p, u_pair, u0, u_rows);
    close_tiles(r);
}

/* Packs and multiplies samples [b, b + nb) of each share of the batch, which has `share` of them, for n sums from sum0 on. */
static void add_blocks(k_block k, int sum0, int n, ptrdiff_t share, ptrdiff_t b, ptrdiff_t nb, int threads)
{
    k_blocks blocks = {.n = 0};
    ptrdiff_t parts = 1;
    for (int i = 0; i < n; i++) {
        const ptrdiff_t end = min_size((sum0 + i + 1) * share, k.r->op->B);
        k.sum = sum0 + i;
        k.buffer = i;
        k.b = k.sum * share + b;
        k.nb = min_size(nb, end - k.b);
        if (k.nb <= 0) continue;
        k.dz = first_dz(&k);
        parts = max_size(parts, parts_of(&k));
        blocks.of[blocks.n++] = k;
    }
    if (!blocks.n) return;
    const ptrdiff_t slices = ceil_div(threads > 1 ? 2 * threads : 1, parts * blocks.n);
    blocks.step_slices = min_size(slices, k.ns);
    blocks.row_slices = ceil_div(slices, blocks.step_slices);
    for (int i = 0; i < blocks.n; i++) blocks.tasks = max_size(blocks.tasks, pack_tasks(&blocks, &blocks.of[i]));
    fr_parallel_for(threads, blocks.n * blocks.tasks, pack_task, &blocks);
    blocks.tasks = gradient_tasks(&blocks.of[0]);
    fr_parallel_for(threads, blocks.n * blocks.tasks, gradient_task, &blocks);
}

/* Adds the share of the current chunk to dW, dU and db: to all sums at a time if there are threads for them. */
static void rnn_weight_gradients(const rnn *r, int threads)
{
    const int together = threads > 1 ? r->sums : 1, from_zero = r->t1 == r->op->T;
    const ptrdiff_t share = ceil_div(r->op->B, r->sums), b_step = min_size(share, r->K);
    k_block k = {.r = r, .task_rows = rows_of_tasks(r, threads)};
    ptrdiff_t t0 = r->t0, t1 = r->t1;
    trim_skipped(r, 0, r->op->B, &t0, &t1);
    if (from_zero && t0 == t1) t0 = t1 - (t1 > 0); /* the gradients begin as zeros */
    const ptrdiff_t blocks = max_size(ceil_div(t1 - t0, r->K / b_step), 1), steps = ceil_div(t1 - t0, blocks); /* all about as long */
    for (int sum = 0; sum < r->sums; sum += together)
        for (k.s = t0; k.s < t1; k.s += k.ns) {
            k.ns = min_size(steps, t1 - k.s);
            for (ptrdiff_t b = 0; b < share; b += b_step) {
                k.first = from_zero && k.s == t0 && b == 0;
                add_blocks(k, sum, together, share, b, min_size(b_step, share - b), threads);
            }
        }
}

/* Gradients of a chunk of one row that go on while the steps of the next are made: woven into them, or in other threads. */
typedef struct {
    k_blocks blocks;
    later_products woven;
} later_gradients;

static void begin_gradients(const rnn *r, later_gradients *l, int threads)
{
    k_block *k = &l->blocks.of[0];
    *k = (k_block){.r = r, .s = r->t0, .ns = r->t1 - r->t0, .nb = 1, .first = r->t1 == r->op->T, .task_rows = rows_of_tasks(r, threads)};
    k->dz = first_dz(k);
    l->blocks.n = 1;
    l->blocks.tasks = gradient_tasks(k);
    l->woven = (later_products){.begin = begin_panel_of_gradients, .of = k, .end = 2 * r->panels};
}

/* What is left of those that were woven */
static void finish_gradients(later_products *l)
{
    const k_block *k = l->of;
    finish_panel(l);
    while (l->next < l->end) {
        l->begin(l);
        finish_panel(l);
    }
    for (ptrdiff_t p = 0; p < k->r->panels; p++) bias_gradient(k, p);
}

/* Slots of z that both products fill have one sum, which goes to both biases of GRU. */
static void unpack_bias(const rnn *r)
{
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    for (ptrdiff_t v = 0; v < g->slots * r->Hv; v++) {
        const ptrdiff_t u = v / g->slots * VL;
        const int w = (int)(v % g->slots) - g->w_slot, h = (int)(v % g->slots) - g->u_slot;
        const real *db = r->m.dbias + v * VL;
        real *to = (real *)op->dbias + u;
        vec total = v_load(db);
        for (int i = 1; i < r->sums * BIAS_SUMS; i++) total = v_add(total, v_load(db + i * r->Zp));
        real sum[VL];
        v_store(sum, total);
        for (ptrdiff_t l = 0; l < lanes_of(r, v / g->slots); l++) {
            if (w >= 0 && w < g->w_n) to[g->w_gate[w] * op->H + l] += sum[l];
            if (op->cell == FR_GRU && h >= 0 && h < g->u_n) to[r->G + g->u_gate[h] * op->H + l] += sum[l];
        }
    }
}

static inline ptrdiff_t row_blocks(const rnn *r, ptrdiff_t rows) { return ceil_div(rows, r->unpacked); }

/* Brings gradients into Keras's order, to those of the layer. The first task is for the bias, then one for each block of rows of W, then of U. */
static void unpack_task(void *arg, ptrdiff_t i)
{
    const rnn *r = arg;
    const fr_rnn *op = r->op;
    const gate_layout *g = r->g;
    if (i == 0) {
        if (op->dbias) unpack_bias(r);
        return;
    }
    const ptrdiff_t block = i - 1, w_blocks = row_blocks(r, op->D);
    const int of_w = block < w_blocks;
    const ptrdiff_t K = of_w ? op->D : op->H, k0 = (of_w ? block : block - w_blocks) * r->unpacked, k1 = min_size(k0 + r->unpacked, K);
    for (int sum = 0; sum < r->sums; sum++)
        if (of_w) unpack_gates(w_sum(r, sum), r->G, K, op->H, k0, k1, g->w_n, g->w_gate, sum > 0 || !op->W.assigned, op->W.gradient);
        else unpack_gates(u_sum(r, sum), r->G, K, op->H, k0, k1, g->gates, g->u_gate, sum > 0 || !op->U.assigned, op->U.gradient);
}

static void rnn_unpack(rnn *r, int threads)
{
    const fr_rnn *op = r->op;
    r->unpacked = min_size(ceil_div(max_size(op->D, op->H), threads), ROWS_AT_ONCE);
    fr_parallel_for(threads, 1 + row_blocks(r, op->D) + row_blocks(r, op->H), unpack_task, r);
}
