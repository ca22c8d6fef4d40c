/* GRU (Cho et al. 2014), as in Keras: z keeps the OLD state. Two forms, by where the reset gate acts:
 *
 *   (1)  z = rec(x W_z + b_z + h_{t-1} U_z + b'_z)        r = rec(x W_r + b_r + h_{t-1} U_r + b'_r)
 *   reset after the product (FR_GRU, Keras's default, cuDNN's form):
 *   (2)  s = h_{t-1} U_n + b'_n
 *   (3)  n = act(x W_n + b_n + r * s)
 *   reset before it (FR_GRU_RESET_BEFORE, the paper's form; one bias):
 *   (4)  n = act(x W_n + b_n + (r * h_{t-1}) U_n)
 *   both:
 *   (5)  h_t = z * h_{t-1} + (1 - z) * n
 *
 *   x (B, D)   W (D, 3H)   U (H, 3H)   b (2, 3H) or (3H)   h (B, H); gates in W, U, b in the order z, r, n (Keras calls n "h")
 *
 * Kept for backward in the slots n, z, r, s of a row (s only in the first form): the gates (or their inputs, where a slope needs them) and
 * s, and h of every step. Backward puts the gradients of their inputs into the same slots of dz; that of s is dn * r. */

enum { GRU_N = 0, GRU_Z = VL, GRU_R = 2 * VL, GRU_S = 3 * VL };

/* In two passes over the rows: a chain as long as r and then n has the processor wait for its end instead of starting on the next row. */
ALWAYS_INLINE void gru_units(const step *k, ptrdiff_t u0, ptrdiff_t u1, const fr_act f, const fr_act rec)
{
    const ptrdiff_t rows = k->rows, Zp = k->r->Zp, Hp = k->r->Hp;
    const uint8_t *mask = k->mask;
    const outputs out = outputs_of(k);
    for (ptrdiff_t u = u0; u < u1; u++) {
        real *first = k->z + u * 4 * VL;
        const real *h_prev = k->h_prev + u * VL;
        for (ptrdiff_t i = 0; i < rows; i++) {
            const ptrdiff_t row = nth_row(i, rows);
            if (mask && skipped(k, row)) continue;
            real *a = first + row * Zp;
            const vec g = apply(rec, v_load(a + GRU_R)); /* (1) */
            v_store(a + GRU_N, v_fma(g, v_load(a + GRU_S), v_load(a + GRU_N)));
            if (!act_needs_input(rec)) v_store(a + GRU_R, g);
        }
        for (ptrdiff_t i = 0; i < rows; i++) {
            const ptrdiff_t row = nth_row(i, rows);
            if (mask && skipped(k, row)) {
                keep(k, row, u, u + 1);
                continue;
            }
            real *a = first + row * Zp;
            const gated zn = apply_gated(rec, f, v_load(a + GRU_Z), v_load(a + GRU_N)); /* (1), (3) */
            if (!act_needs_input(rec)) v_store(a + GRU_Z, zn.gate);
            if (!act_needs_input(f)) v_store(a + GRU_N, zn.value);
            emit(out, row, u, v_fma(zn.gate, v_sub(v_load(h_prev + row * Hp), zn.value), zn.value)); /* (5) */
        }
    }
}

/* f or rec over the units of a row */
static void gru_forward_rows(const step *k)
{
    const rnn *r = k->r;
    const fr_act f = r->op->activation, rec = r->op->recurrent_activation, rec1 = of_shifted(rec);
    for (sweep w = sweep_start(k); sweep_on(k, &w);); /* (1), (2) */
    shift_gate(k, rec, GRU_Z / VL);
    shift_gate(k, rec, GRU_R / VL);
    for (ptrdiff_t row = 0; act_is_rowwise(f) && row < k->rows; row++) { /* (3): L of the sum, taken off its first term */
        if (skipped(k, row)) continue;
        real *line = k->h + row * r->Hp;
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const real *a = k->z + row * r->Zp + u * 4 * VL;
            v_store(line + u * VL, v_fma(apply(rec1, v_load(a + GRU_R)), v_load(a + GRU_S), v_load(a + GRU_N)));
        }
        take_off(r, log_sum_exp(r, line), k->z + row * r->Zp, 4, GRU_N / VL);
    }
    gru_units(k, 0, r->Hv, of_shifted(f), rec1);
}

static void gru_forward(const step *k)
{
    const fr_act f = k->r->op->activation, rec = k->r->op->recurrent_activation;
    if (k->r->rowwise) {
        gru_forward_rows(k);
        return;
    }
    for (sweep w = sweep_start(k); sweep_on(k, &w);) { /* (1), (2) */
        if (f == FR_ACT_tanh && rec == FR_ACT_sigmoid) gru_units(k, w.u0, w.u1, FR_ACT_tanh, FR_ACT_sigmoid);
        else gru_units(k, w.u0, w.u1, f, rec);
    }
}

ALWAYS_INLINE void gru_units_backward(const step *k, const fr_act f, const fr_act rec)
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
            const real *a = k->z + row * r->Zp + u * 4 * VL;
            real *da = k->dz + row * r->Zp + u * 4 * VL;
            fetch_step_before(k, row, u, 4);
            const vec kn = v_load(a + GRU_N), kz = v_load(a + GRU_Z), kr = v_load(a + GRU_R), s = v_load(a + GRU_S);
            const vec n = f_input ? apply(f, kn) : kn, z = rec_input ? apply(rec, kz) : kz, g = rec_input ? apply(rec, kr) : kr;
            const vec h_prev = v_load(k->h_prev + at), dh = take_dh(k, row, u);
            const vec dn = v_mul(v_fnma(z, dh, dh), slope(f, kn, n));                            /* (5), (3) */
            v_store(da + GRU_N, dn);
            v_store(da + GRU_Z, v_mul(v_mul(dh, v_sub(h_prev, n)), slope(rec, kz, z)));          /* (5), (1) */
            v_store(da + GRU_R, v_mul(v_mul(dn, s), slope(rec, kr, g)));                         /* (3), (1) */
            v_store(da + GRU_S, v_mul(dn, g));                                                   /* (3) */
            v_store(k->dh + at, v_mul(dh, z));                                                   /* (5); the rest comes through U */
        }
    }
}

static void gru_backward_rows(const step *k)
{
    const rnn *r = k->r;
    const fr_act f = r->op->activation, rec = r->op->recurrent_activation, rec1 = of_shifted(rec);
    gru_units_backward(k, of_shifted(f), rec1);
    shift_gate_backward(k, f, GRU_N / VL);
    for (ptrdiff_t row = 0; act_is_rowwise(f) && row < k->rows; row++) { /* (3) once more, with dn as it is now */
        if (skipped(k, row)) continue;
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const real *a = k->z + row * r->Zp + u * 4 * VL;
            real *da = k->dz + row * r->Zp + u * 4 * VL;
            const vec dn = v_load(da + GRU_N), g = kept_gate(rec1, a + GRU_R);
            v_store(da + GRU_R, v_mul(v_mul(dn, v_load(a + GRU_S)), slope(rec1, v_load(a + GRU_R), g)));
            v_store(da + GRU_S, v_mul(dn, g));
        }
    }
    shift_gate_backward(k, rec, GRU_Z / VL);
    shift_gate_backward(k, rec, GRU_R / VL);
}

static void gru_backward(const step *k)
{
    const fr_act f = k->r->op->activation, rec = k->r->op->recurrent_activation;
    if (k->r->rowwise) gru_backward_rows(k);
    else if (f == FR_ACT_tanh && rec == FR_ACT_sigmoid) gru_units_backward(k, FR_ACT_tanh, FR_ACT_sigmoid);
    else gru_units_backward(k, f, rec);
}

/* ---- reset before the product ------------------------------------------------------------------------------------- */

/* to = r * h, with r as kept in z */
static void gru_reset(const step *k, const real *h, real *to)
{
    const rnn *r = k->r;
    for (ptrdiff_t row = 0; row < k->rows; row++)
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const ptrdiff_t at = row * r->Hp + u * VL;
            vec g = kept_gate(r->op->recurrent_activation, k->z + row * r->Zp + u * 3 * VL + GRU_R);
            v_store(to + at, v_mul(g, v_load(h + at)));
        }
}

static void gru_reset_before_forward(const step *k)
{
    const rnn *r = k->r;
    const fr_act f = of_shifted(r->op->activation), rec = of_shifted(r->op->recurrent_activation);
    real *mixed = k->mixed;
    for (sweep w = sweep_start(k); sweep_on(k, &w);); /* (1) */
    shift_gate(k, r->op->recurrent_activation, GRU_Z / VL);
    shift_gate(k, r->op->recurrent_activation, GRU_R / VL);
    if (!act_needs_input(rec))
        for (ptrdiff_t row = 0; row < k->rows; row++)
            for (ptrdiff_t u = 0; u < r->Hv; u++) {
                real *a = k->z + row * r->Zp + u * 3 * VL;
                v_store(a + GRU_Z, apply(rec, v_load(a + GRU_Z)));
                v_store(a + GRU_R, apply(rec, v_load(a + GRU_R)));
            }
    gru_reset(k, drop_h(k, r->g->u_gate[2], k->h_prev, mixed), mixed);
    for (ptrdiff_t u = 0; u < r->Hv; u++) add_recurrent(k, mixed, u, 0, 0, 2, 1); /* (4) */
    shift_gate(k, r->op->activation, GRU_N / VL);
    for (ptrdiff_t row = 0; row < k->rows; row++) {
        if (skipped(k, row)) {
            keep(k, row, 0, r->Hv);
            continue;
        }
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            real *a = k->z + row * r->Zp + u * 3 * VL;
            vec z = kept_gate(rec, a + GRU_Z), an = v_load(a + GRU_N), n = apply(f, an);
            v_store(a + GRU_N, act_needs_input(f) ? an : n);
            emit(outputs_of(k), row, u, v_fma(z, v_sub(v_load(k->h_prev + row * r->Hp + u * VL), n), n)); /* (5) */
        }
    }
}

static void gru_reset_before_backward(const step *k)
{
    const rnn *r = k->r;
    const fr_act f = of_shifted(r->op->activation), rec = of_shifted(r->op->recurrent_activation);
    real *dmixed = k->dmixed;
    const real *h = drop_h(k, r->g->u_gate[2], k->h_prev, k->mixed);
    for (ptrdiff_t row = 0; row < k->rows; row++) {
        for (ptrdiff_t u = 0; u < r->Hv; u++) v_store(dmixed + row * r->Hp + u * VL, K_(0));
        if (skipped(k, row)) {
            keep_backward(k, row);
            continue;
        }
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const real *a = k->z + row * r->Zp + u * 3 * VL;
            real *da = k->dz + row * r->Zp + u * 3 * VL;
            const ptrdiff_t at = row * r->Hp + u * VL;
            const vec kn = v_load(a + GRU_N), kz = v_load(a + GRU_Z);
            const vec n = act_needs_input(f) ? apply(f, kn) : kn, z = kept_gate(rec, a + GRU_Z);
            const vec dh = take_dh(k, row, u);
            v_store(da + GRU_N, v_mul(v_fnma(z, dh, dh), slope(f, kn, n)));                                      /* (5), (4) */
            v_store(da + GRU_Z, v_mul(v_mul(dh, v_sub(v_load(k->h_prev + at), n)), slope(rec, kz, z)));           /* (5), (1) */
            v_store(k->dh + at, v_mul(dh, z));                                                                   /* (5) */
        }
    }
    shift_gate_backward(k, r->op->activation, GRU_N / VL);
    add_dz_ut(k, 2, 1, dmixed); /* d(r * h), (4) */
    for (ptrdiff_t row = 0; row < k->rows; row++) {
        if (skipped(k, row)) continue; /* its r is zero already */
        for (ptrdiff_t u = 0; u < r->Hv; u++) {
            const real *a = k->z + row * r->Zp + u * 3 * VL;
            const ptrdiff_t at = row * r->Hp + u * VL;
            const vec kr = v_load(a + GRU_R), g = kept_gate(rec, a + GRU_R), d = v_load(dmixed + at);
            v_store(k->dz + row * r->Zp + u * 3 * VL + GRU_R, v_mul(v_mul(d, v_load(h + at)), slope(rec, kr, g)));
            v_store(dmixed + at, v_mul(d, g));
        }
    }
    shift_gate_backward(k, r->op->recurrent_activation, GRU_Z / VL);
    shift_gate_backward(k, r->op->recurrent_activation, GRU_R / VL);
    drop_h(k, r->g->u_gate[2], dmixed, dmixed);
    for (ptrdiff_t i = 0; i < k->rows * r->Hp; i += VL) v_store(k->dh + i, v_add(v_load(k->dh + i), v_load(dmixed + i)));
}
