/* A recurrent layer over a whole sequence: the time loop, blocks of the batch, chunks of time, and the gradients of the weights.
 * What a step consists of is in rnn_step.inc.h and rnn_products.inc.h, the equations are in cell_*.inc.h. */

#include "rowwise.inc.h"
#include "cell_simple_rnn.inc.h"
#include "cell_lstm.inc.h"
#include "cell_gru.inc.h"
#include "rnn_gradient.inc.h"

/* ---- forward ------------------------------------------------------------------------------------------------------------------ */

static void cell_forward(const step *k)
{
    switch (k->r->op->cell) {
    case FR_LSTM: lstm_forward(k); break;
    case FR_GRU: gru_forward(k); break;
    case FR_GRU_RESET_BEFORE: gru_reset_before_forward(k); break;
    default: simple_rnn_forward(k); break;
    }
}

/* Keeps what each part of the recurrent product was multiplied with, for dU. */
static void mix_step(const step *k)
{
    const rnn *r = k->r;
    if (!r->m.mixed_steps) return;
    for (int part = 0; part < r->g->gates; part++) {
        real *to = mixed_at(k, part, k->s);
        if (r->op->h_drop) drop_h(k, r->g->u_gate[part], k->h_prev, to);
        if (part_is_reset(r, part)) gru_reset(k, r->op->h_drop ? to : k->h_prev, to);
        for (ptrdiff_t row = 0; row < k->rows; row++) /* what a skipped step left in z may be anything */
            for (ptrdiff_t i = 0; skipped(k, row) && i < r->Hp; i += VL) v_store(to + row * r->Hp + i, K_(0));
    }
}

static void cell_backward(const step *k)
{
    switch (k->r->op->cell) {
    case FR_LSTM: lstm_backward(k); break;
    case FR_GRU: gru_backward(k); break;
    case FR_GRU_RESET_BEFORE: gru_reset_before_backward(k); break;
    default: simple_rnn_backward(k); break;
    }
}

/* Copies the block's rows of H elements, ld apart in an array of the caller's, into its rows here, padded to Hp with zeros, and back. */
static void load_state(const step *k, const void *from, real *to, ptrdiff_t ld)
{
    const rnn *r = k->r;
    for (ptrdiff_t row = 0; row < k->rows; row++)
        for (ptrdiff_t u = 0; u < r->Hv; u++)
            v_store(to + row * r->Hp + u * VL, from ? v_load_n((const real *)from + (k->b0 + row) * ld + u * VL, lanes_of(r, u)) : K_(0));
}

static void save_state(const step *k, const real *from, void *to, ptrdiff_t ld)
{
    const rnn *r = k->r;
    for (ptrdiff_t row = 0; to && row < k->rows; row++)
        for (ptrdiff_t u = 0; u < r->Hv; u++)
            v_store_n((real *)to + (k->b0 + row) * ld + u * VL, v_load(from + row * r->Hp + u * VL), lanes_of(r, u));
}

/* All steps of rows [b0, b0 + rows) in panels [p0, p1). Where the panels are shared out, all states of a step are there before the next begins,
 * and the member that has the first panel moves the states in and out. */
static void forward_steps(const rnn *r, ptrdiff_t b0, ptrdiff_t rows, ptrdiff_t p0, ptrdiff_t p1)
{
    const fr_rnn *op = r->op;
    const int shared = p1 - p0 < r->panels;
    step k = begin_steps(r, b0, rows, p0, p1);
    real *h = r->m.h + place(&k, r->m.states, 0) * r->Hp, *c = r->m.c ? r->m.c + (h - r->m.h) : NULL; /* before the first step, then after the last */
    if (p0 == 0) {
        load_state(&k, op->state_in[0], h, op->H);
        if (c) load_state(&k, op->state_in[1], c, op->H);
        if (k.output) load_state(&k, NULL, k.output, op->H);
    }
    if (shared) fr_barrier();
    begin_row_products(&k);
    /* The input product runs a window ahead of the time loop, so that z is still in the cache when the loop comes to it; woven, up to two. */
    later_inputs inputs;
    k.later = r->weaves_inputs ? &inputs.panels : NULL;
    for (ptrdiff_t s0 = 0; s0 < op->T; s0 += r->window) {
        const ptrdiff_t s1 = min_size(s0 + r->window, op->T);
        ptrdiff_t first = s0, end = s1;
        trim_skipped(r, b0, rows, &first, &end);
        if (p0 == 0) cut_inputs(r, b0, rows, first, end);
        if (shared && r->cuts_x) fr_barrier();
        open_tiles(r->cuts_x, runs_along_time(r, rows, end - first) ? end - first : rows);
        if (!r->weaves_inputs || s0 == 0) begin_inputs(&inputs, &k, first, end);
        finish_inputs(&inputs);
        if (r->weaves_inputs) begin_inputs(&inputs, &k, s1, min_size(s1 + r->window, op->T));
        open_tiles(r->cuts_u, rows);
        for (ptrdiff_t s = s0; s < s1; s++) {
            go_to_step(&k, s);
            if (k.later) k.pairs_alone = take_spare(&inputs, s);
            if (all_skipped(r, b0, rows, s))
                for (ptrdiff_t row = 0; row < rows; row++) keep(&k, row, complete_units(r, p0), complete_units(r, p1));
            else {
                cut_state(&k);
                cell_forward(&k);
            }
            if (shared) fr_barrier();
        }
    }
    close_tiles(r);
    if (p0 > 0) return;
    if (op->T) h = k.h, c = k.c;
    save_state(&k, h, op->state_out[0], op->H);
    if (c) save_state(&k, c, op->state_out[1], op->H);
    save_state(&k, k.output ? k.output : h, op->y_last, op->y_last_b);
}

static void rnn_forward_block(void *arg, ptrdiff_t i)
{
    const rnn *r = arg;
    const ptrdiff_t b0 = i * r->block;
    forward_steps(r, b0, min_size(r->block, r->op->B - b0), 0, r->panels);
}

/* After so many panels one begins with a new unit. */
static inline int unit_panels(const rnn *r) { return PANEL % r->g->gates ? r->g->gates : 1; }

/* First panel of member i of n. */
static ptrdiff_t first_panel(const rnn *r, int i, int n)
{
    const ptrdiff_t step = unit_panels(r);
    return i < n ? (r->panels * i / n + step / 2) / step * step : r->panels;
}

static void rnn_forward_share(void *arg, int i, int n)
{
    const rnn *r = arg;
    forward_steps(r, 0, r->op->B, first_panel(r, i, n), first_panel(r, i + 1, n));
}

#define SHARED_ROWS 4

/* How many threads share the panels. A batch of a few rows is not worth dividing, and its steps last as long as the weights take to be read: each thread
 * reads its share of them, unless it can have a row of its own and all weights in its L2. For less than 128 KB each the exchange of states may take as
 * long. Dropout masks and products of parts of a row need all of h at once. */
static int panel_members(const rnn *r, int threads)
{
    const fr_rnn *op = r->op;
    const ptrdiff_t weights = op->H * r->G * (ptrdiff_t)sizeof(real), shares = min_size(weights / (128 * 1024), r->panels / unit_panels(r));
    if (op->B >= SHARED_ROWS || (op->B > 1 && op->B <= threads && weights <= fr_l2_bytes() / 2)) return 1;
    if (may_cut_u(op) || op->cell == FR_GRU_RESET_BEFORE || op->h_drop || r->rowwise) return 1;
    return (int)max_size(min_size(threads, shares), 1);
}

/* Rows of the batch for one task: few enough that their z stays in L1, many enough to fill tiles; all of a thread's share where the
 * weights are larger than L2 and should be fetched once per step. They lie apart in memory, or the prefetcher of one core would take lines that another
 * writes; but not where threads share the rows, nor where the matrix unit wants those of all steps equally far apart. */
static void choose_block(rnn *r, int *threads)
{
    const fr_rnn *op = r->op;
    /* with one sum of gradients, what one thread leaves in its cache costs another more than the work */
    const double least = !r->run->training || r->sums > 1 ? LEAST_FLOP : may_cut_ut(op) ? 2e8 : 1.5e7;
    if (forward_flop(op, op->B) < least) *threads = 1;
    const ptrdiff_t weights = op->H * r->G * (ptrdiff_t)sizeof(real), row = r->Zp * (ptrdiff_t)sizeof(real);
    const ptrdiff_t rows = weights > fr_l2_bytes() / 2 ? op->B : max_size(24 * 1024 / row, 4 * MR(PANEL));
    const ptrdiff_t blocks = min_size(round_up(ceil_div(op->B, rows), *threads), max_size(op->B, 1));
    r->block = ceil_div(op->B, blocks);
    if (*threads == 1) r->block = min_size(round_up(r->block, MR(PANEL)), op->B);
    r->members = panel_members(r, *threads);
    r->part = r->members > 1 || (r->run->training && (may_cut_dw(op) || may_cut_du(op))) ? op->B : r->block;
}

static void rnn_forward(fr_op *o, const fr_run *run)
{
    rnn r = rnn_plan(&o->rnn, run);
    int threads = run->threads;
    choose_block(&r, &threads);
    rnn_pack(&r, threads);
    choose_unit(&r);
    if (r.members > 1) fr_team(r.members, rnn_forward_share, &r);
    else fr_parallel_for(threads, ceil_div(r.op->B, r.block), rnn_forward_block, &r);
}

/* ---- backward ----------------------------------------------------------------------------------------------------------------- */

static void rnn_backward_block(const rnn *r, ptrdiff_t i)
{
    const fr_rnn *op = r->op;
    const ptrdiff_t b0 = i * r->block, rows = min_size(r->block, op->B - b0);
    step k = begin_steps(r, b0, rows, 0, r->panels);
    if (r->t1 == op->T) {
        load_state(&k, op->dstate_out[0], k.dh, op->H);
        if (k.dc) load_state(&k, op->dstate_out[1], k.dc, op->H);
        if (k.doutput) load_state(&k, op->dy_last, k.doutput, op->y_last_b);
        else if (op->dy_last)
            for (ptrdiff_t row = 0; row < rows; row++)
                for (ptrdiff_t u = 0; u < r->Hv; u++) {
                    real *d = k.dh + row * r->Hp + u * VL;
                    v_store(d, v_add(v_load(d), v_load_n((const real *)op->dy_last + (b0 + row) * op->y_last_b + u * VL, lanes_of(r, u))));
                }
    }
    k.later = r->woven_gradients;
    open_tiles(r->cuts_ut, rows);
    for (ptrdiff_t s = r->t1 - 1; s >= r->t0; s--) {
        go_to_step(&k, s);
        mix_step(&k);
        if (all_skipped(r, b0, rows, s)) {
            for (ptrdiff_t row = 0; row < rows; row++) keep_backward(&k, row);
            continue;
        }
        cell_backward(&k);
        if (s > 0 || op->dstate_in[0]) recurrent_product_backward(&k);
    }
    close_tiles(r);
    if (k.later) finish_gradients(k.later);
    if (op->dx) input_product_backward(&k);
    if (r->t0 == 0) {
        save_state(&k, k.dh, op->dstate_in[0], op->H);
        if (k.dc) save_state(&k, k.dc, op->dstate_in[1], op->H);
    }
}

/* The steps of a chunk, and of one row also the gradients of the chunk before */
typedef struct {
    const rnn *r;
    later_gradients *gradients;
    ptrdiff_t n; /* of their tasks */
} backward_tasks;

static void backward_task(void *arg, ptrdiff_t i)
{
    const backward_tasks *t = arg;
    const ptrdiff_t blocks = ceil_div(t->r->op->B, t->r->block);
    if (i < blocks) rnn_backward_block(t->r, i);
    else gradient_task(&t->gradients->blocks, i - blocks);
}

/* Chunks of time from the end: the steps of a chunk for every block of the batch, then its share of dW and dU while dz is still in
 * the cache; or, of one row, beside the steps of the next chunk: woven into them by one thread, which takes short ones, since it is alone with the first and the
 * last; or in other threads. */
static void rnn_backward(fr_op *o, const fr_run *run)
{
    rnn r = rnn_plan(&o->rnn, run);
    int threads = run->threads;
    choose_block(&r, &threads);
    choose_unit(&r);
    if (r.weaves_gradients && threads == 1) r.chunk = ceil_div(r.op->T, r.op->T / WOVEN_STEPS);
    later_gradients later;
    backward_tasks tasks = {&r, &later, 0};
    r.t1 = r.op->T;
    do {
        r.t0 = max_size(r.t1 - r.chunk, 0);
        fr_parallel_for(threads, ceil_div(r.op->B, r.block) + tasks.n, backward_task, &tasks);
        if (r.weaves_gradients && r.t0 > 0) {
            begin_gradients(&r, &later, threads);
            if (threads > 1) tasks.n = later.blocks.tasks;
            else r.woven_gradients = &later.woven;
            r.dz = r.m.dz + (r.dz == r.m.dz ? r.chunk * r.Zp : 0);
        } else if (r.op->W.gradient) rnn_weight_gradients(&r, threads);
        r.t1 = r.t0;
    } while (r.t1 > 0);
    if (r.op->W.gradient && r.op->T) rnn_unpack(&r, threads);
}
