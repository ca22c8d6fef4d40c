/* LSTM with forget gate (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000), as in Keras: no peepholes, one activation for
 * candidate and output.
 *
 *   (1)  (a_i, a_f, a_g, a_o) = x_t W + b + h_{t-1} U
 *   (2)  i = rec(a_i)   f = rec(a_f)   g = act(a_g)   o = rec(a_o)
 *   (3)  c_t = f * c_{t-1} + i * g
 *   (4)  h_t = o * act(c_t)
 *
 *   x (B, D)   W (D, 4H)   U (H, 4H)   b (4H)   h, c (B, H); gates in W, U, b in the order i, f, g, o (Keras calls g "c")
 *
 * Kept for backward: in z the four gates (or their a, where a slope needs its input), h and c of every step. */

/* In two passes over the rows: a chain as long as the gates and then tanh(c) has the processor wait for its end instead of starting on the
 * next row. The gates stay in z only where something is to read them (`kept`). */
ALWAYS_INLINE void lstm_units(const step *k, ptrdiff_t u0, ptrdiff_t u1, const fr_act f, const fr_act rec, const int kept)
{
    const ptrdiff_t rows = k->rows, Zp = k->r->Zp, Hp = k->r->Hp;
    const uint8_t *mask = k->mask;
    const outputs out = outputs_of(k);
    for (ptrdiff_t u = u0; u < u1; u++) {
        real *first = k->z + u * 4 * VL, *c = k->c + u * VL;
        const real *c_prev = k->c_prev + u * VL;
        for (ptrdiff_t i = 0; i < rows; i++) {
            const ptrdiff_t row = nth_row(i, rows);
            if (mask && skipped(k, row)) continue;
            real *z = first + row * Zp;
            const vec fg = apply(rec, v_load(z + VL));                                  /* (2) */
            const gated ig = apply_gated(rec, f, v_load(z), v_load(z + 2 * VL));
            if (kept && !act_needs_input(rec)) {
                v_store(z, ig.gate);
                v_store(z + VL, fg);
            }
            if (kept && !act_needs_input(f)) v_store(z + 2 * VL, ig.value);
            v_store(c + row * Hp, v_fma(fg, v_load(c_prev + row * Hp), ig.product)); /* (3) */
        }
        for (ptrdiff_t i = 0; i < rows; i++) {
            const ptrdiff_t row = nth_row(i, rows);
            if (mask && skipped(k, row)) {
                keep(k, row, u, u + 1);
                continue;
            }
            real *z = first + row * Zp;
            const gated oc = apply_gated(rec, f, v_load(z + 3 * VL), v_load(c + row * Hp)); /* (2), (4) */
            if (kept && !act_needs_input(rec)) v_store(z + 3 * VL, oc.gate);
            emit(out, row, u, oc.product);
        }
    }
}

/* f or rec over the units of a row */
static void lstm_forward_rows(const step *k)
{
    const rnn *r = k->r;
    const fr_act f = r->op->activation, rec = r->op->recurrent_activation;
    for (sweep w = sweep_start(k); sweep_on(k, &w);); /* (1) */
    for (int slot = 0; slot < 4; slot++) shift_gate(k, slot == 2 ? f : rec, slot);
    lstm_units(k, 0, r->Hv, of_shifted(f), of_shifted(rec), 1);
    for (ptrdiff_t row = 0; act_is_rowwise(f) && row < k->rows; row++) { /* (4) once more, of all of c */
        if (skipped(k, row)) continue;
        const real *c = k->c + row * r->Hp;
        const vec L = v_set1((real)log_sum_exp(r, c));
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const vec o = kept_gate(of_shifted(rec), k->z + row * r->Zp + (u * 4 + 3) * VL);
            emit(outputs_of(k), row, u, v_mul(o, apply(of_shifted(f), v_sub(v_load(c + u * VL), L))));
        }
    }
}

static void lstm_forward(const step *k)
{
    const rnn *r = k->r;
    const fr_act f = r->op->activation, rec = r->op->recurrent_activation;
    const int training = r->run->training, usual = f == FR_ACT_tanh && rec == FR_ACT_sigmoid;
    if (r->rowwise) {
        lstm_forward_rows(k);
        return;
    }
    for (sweep w = sweep_start(k); sweep_on(k, &w);) { /* (1) */
        if (usual && training) lstm_units(k, w.u0, w.u1, FR_ACT_tanh, FR_ACT_sigmoid, 1);
        else if (usual) lstm_units(k, w.u0, w.u1, FR_ACT_tanh, FR_ACT_sigmoid, 0);
        else lstm_units(k, w.u0, w.u1, f, rec, training);
    }
}

ALWAYS_INLINE void lstm_units_backward(const step *k, const fr_act f, const fr_act rec)
{
    const rnn *r = k->r;
    const int f_input = act_needs_input(f), rec_input = act_needs_input(rec);
    for (ptrdiff_t row = 0; row < k->rows; row++) {
        if (skipped(k, row)) {
            keep_backward(k, row);
            continue;
        }
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const ptrdiff_t at = row * r->Hp + u * VL;
            const real *z = k->z + row * r->Zp + u * 4 * VL;
            real *dz = k->dz + row * r->Zp + u * 4 * VL;
            fetch_step_before(k, row, u, 4);
            const vec ki = v_load(z), kf = v_load(z + VL), kg = v_load(z + 2 * VL), ko = v_load(z + 3 * VL);
            const vec i = rec_input ? apply(rec, ki) : ki, fg = rec_input ? apply(rec, kf) : kf;
            const vec g = f_input ? apply(f, kg) : kg, o = rec_input ? apply(rec, ko) : ko;
            const vec c = v_load(k->c + at), c_prev = v_load(k->c_prev + at), tc = apply(f, c);
            const vec dh = take_dh(k, row, u);
            const vec dc = v_fma(v_mul(dh, o), slope(f, c, tc), v_load(k->dc + at));   /* (4), and from the step after */
            v_store(dz, v_mul(v_mul(dc, g), slope(rec, ki, i)));                       /* (3), (2) */
            v_store(dz + VL, v_mul(v_mul(dc, c_prev), slope(rec, kf, fg)));            /* (3), (2) */
            v_store(dz + 2 * VL, v_mul(v_mul(dc, i), slope(f, kg, g)));                /* (3), (2) */
            v_store(dz + 3 * VL, v_mul(v_mul(dh, tc), slope(rec, ko, o)));             /* (4), (2) */
            v_store(k->dc + at, v_mul(dc, fg));                                        /* (3) */
            v_store(k->dh + at, K_(0));                                                /* all of dh_{t-1} comes through U */
        }
    }
}

static void lstm_backward_rows(const step *k)
{
    const rnn *r = k->r;
    const fr_act f = r->op->activation, rec = r->op->recurrent_activation, f1 = of_shifted(f), rec1 = of_shifted(rec);
    for (ptrdiff_t row = 0; act_is_rowwise(f) && row < k->rows; row++) { /* (4): what c' gets is shared out by way of dc */
        if (skipped(k, row)) continue;
        real *c = k->c + row * r->Hp, *line = k->dz + row * r->Zp; /* c is needed no more, only c' */
        take_off(r, log_sum_exp(r, c), c, 1, 0);
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const vec o = kept_gate(rec1, k->z + row * r->Zp + (u * 4 + 3) * VL), x = v_load(c + u * VL), y = apply(f1, x);
            v_store(line + u * VL, v_mul(v_mul(read_dh(k, row, u), o), slope(f1, x, y)));
        }
        const double sum = sum_of_units(r, line, 1, 0);
        take_share(r, FR_ACT_log_softmax, sum, c, k->dc + row * r->Hp, 1, 0);
    }
    lstm_units_backward(k, f1, rec1);
    for (int slot = 0; slot < 4; slot++) shift_gate_backward(k, slot == 2 ? f : rec, slot);
}

static void lstm_backward(const step *k)
{
    const fr_act f = k->r->op->activation, rec = k->r->op->recurrent_activation;
    if (k->r->rowwise) lstm_backward_rows(k);
    else if (f == FR_ACT_tanh && rec == FR_ACT_sigmoid) lstm_units_backward(k, FR_ACT_tanh, FR_ACT_sigmoid);
    else lstm_units_backward(k, f, rec);
}
