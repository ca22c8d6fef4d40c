/* SimpleRNN (Elman, "Finding structure in time", 1990).
 *
 *   (1)  a_t = x_t W + b + h_{t-1} U
 *   (2)  h_t = act(a_t)
 *
 *   x (B, D)   W (D, H)   U (H, H)   b (H)   h (B, H)
 *
 * Kept for backward in z: h_t, or a_t where the slope of act needs its input. Backward leaves da_t there. */

ALWAYS_INLINE void simple_rnn_units(const step *k, ptrdiff_t u0, ptrdiff_t u1, const fr_act f)
{
    const rnn *r = k->r;
    for (ptrdiff_t row = 0; row < k->rows; row++) {
        if (skipped(k, row)) {
            keep(k, row, u0, u1);
            continue;
        }
        for (ptrdiff_t u = u0; u < u1; u++) {
            real *z = k->z + row * r->Zp + u * VL;
            vec a = v_load(z), h = apply(f, a); /* (2) */
            if (!act_needs_input(f)) v_store(z, h);
            emit(k, row, u, h);
        }
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
            real *z = k->z + row * r->Zp + u * VL;
            vec kept = v_load(z), h = act_needs_input(f) ? apply(f, kept) : kept;
            vec dh = take_dh(k, row, u);
            v_store(z, v_mul(dh, slope(f, kept, h)));    /* (2) */
            v_store(k->dh + row * r->Hp + u * VL, K_(0)); /* all of dh_{t-1} comes through U */
        }
    }
}

static void simple_rnn_backward_rows(const step *k)
{
    const fr_act f = k->r->op->activation;
    keep_gates(k);
    simple_rnn_units_backward(k, of_shifted(f));
    shift_gate_backward(k, f, 0);
}

static void simple_rnn_backward(const step *k)
{
    if (k->r->rowwise) simple_rnn_backward_rows(k);
    else if (k->r->op->activation == FR_ACT_tanh) simple_rnn_units_backward(k, FR_ACT_tanh);
    else simple_rnn_units_backward(k, k->r->op->activation);
}
