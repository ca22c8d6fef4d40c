/* SimpleRNN (Elman, "Finding structure in time", 1990).
 *
 *   (1)  a_t = x_t W + b + h_{t-1} U
 *   (2)  h_t = act(a_t)
 *
 *   x (B, D)   W (D, H)   U (H, H)   b (H)   h (B, H)
 *
 * Kept for backward: h of every step, and in z a_t where the slope of act needs its input. */

ALWAYS_INLINE void simple_rnn_units(const step *k, ptrdiff_t u0, ptrdiff_t u1, const fr_act f)
{
    const ptrdiff_t rows = k->rows, Zp = k->r->Zp;
    const uint8_t *mask = k->mask;
    const real *z = k->z;
    const outputs out = outputs_of(k);
    for (ptrdiff_t row = 0; row < rows; row++) {
        if (mask && skipped(k, row)) keep(k, row, u0, u1);
        else
            for (ptrdiff_t u = u0; u < u1; u++) emit(out, row, u, apply(f, v_load(z + row * Zp + u * VL))); /* (2) */
    }
}

/* act over the units of a row */
static void simple_rnn_forward_rows(const step *k)
{
    const fr_act f = k->r->op->activation;
    for (sweep w = sweep_start(k); sweep_on(k, &w);); /* (1) */
    shift_gate(k, f, 0);
    simple_rnn_units(k, 0, k->r->Hv, of_shifted(f));
}

static void simple_rnn_forward(const step *k)
{
    const rnn *r = k->r;
    if (r->rowwise) {
        simple_rnn_forward_rows(k);
        return;
    }
    for (sweep w = sweep_start(k); sweep_on(k, &w);) { /* (1) */
        if (r->op->activation == FR_ACT_tanh) simple_rnn_units(k, w.u0, w.u1, FR_ACT_tanh);
        else simple_rnn_units(k, w.u0, w.u1, r->op->activation);
    }
}

ALWAYS_INLINE void simple_rnn_units_backward(const step *k, const fr_act f)
{
    const rnn *r = k->r;
    for (ptrdiff_t row = 0; row < k->rows; row++) {
        if (skipped(k, row)) {
            keep_backward(k, row);
            continue;
        }
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const ptrdiff_t at = row * r->Zp + u * VL;
            fetch_step_before(k, row, u, act_needs_input(f));
            const vec h = v_load(k->h + row * r->Hp + u * VL), a = act_needs_input(f) ? v_load(k->z + at) : h;
            v_store(k->dz + at, v_mul(take_dh(k, row, u), slope(f, a, h))); /* (2) */
            v_store(k->dh + row * r->Hp + u * VL, K_(0));                   /* all of dh_{t-1} comes through U */
        }
    }
}

static void simple_rnn_backward_rows(const step *k)
{
    const fr_act f = k->r->op->activation;
    simple_rnn_units_backward(k, of_shifted(f));
    shift_gate_backward(k, f, 0);
}

static void simple_rnn_backward(const step *k)
{
    if (k->r->rowwise) simple_rnn_backward_rows(k);
    else if (k->r->op->activation == FR_ACT_tanh) simple_rnn_units_backward(k, FR_ACT_tanh);
    else simple_rnn_units_backward(k, k->r->op->activation);
}
