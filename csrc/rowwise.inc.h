/* softmax and log_softmax inside a cell: activations over all units of a gate.
 *
 * With L = log sum_u e^(a_u) of a row, and a' = a - L:   softmax(a) = e^(a')   log_softmax(a) = a'
 * Once L is taken off the rows of a gate, the equations of the cells do the rest with the element-wise function of a' (`of_shifted`), and
 * what they leave as gradient of a' becomes that of a by   da = da' - e^(a') sum_u da'_u.
 *
 * Plain loops over single elements: no layer that has to be fast comes by. */

static inline fr_act of_shifted(fr_act kind)
{
    return kind == FR_ACT_softmax ? FR_ACT_exponential : kind == FR_ACT_log_softmax ? FR_ACT_linear : kind;
}

/* Element of unit u in a row of z, or (of one slot) of c or h. */
static inline real *unit_at(real *row, int slots, int slot, ptrdiff_t u) { return row + (u / VL * slots + slot) * VL + u % VL; }

/* L of one row of h or c */
static double log_sum_exp(const rnn *r, const real *a)
{
    real top = a[0];
    double sum = 0;
    for (ptrdiff_t u = 1; u < r->op->H; u++) top = a[u] > top ? a[u] : top;
    for (ptrdiff_t u = 0; u < r->op->H; u++) sum += exp((double)a[u] - top);
    return top + log(sum);
}

/* row - L. Units beyond H become 0, so that nothing can grow there. */
static void take_off(const rnn *r, double L, real *row, int slots, int slot)
{
    for (ptrdiff_t u = 0; u < r->op->H; u++) {
        real *a = unit_at(row, slots, slot, u);
        *a = (real)(*a - L);
    }
    for (ptrdiff_t u = r->op->H; u < r->Hp; u++) *unit_at(row, slots, slot, u) = 0;
}

/* row -= e^(a') sum, which makes da of da' with its sum; `kept` is what the cell keeps of a'. */
static void take_share(const rnn *r, fr_act kind, double sum, const real *kept, real *row, int slots, int slot)
{
    for (ptrdiff_t u = 0; u < r->op->H; u++) {
        const real k = *unit_at((real *)kept, slots, slot, u);
        *unit_at(row, slots, slot, u) -= (real)(sum * (kind == FR_ACT_softmax ? k : M_(exp)(k)));
    }
    for (ptrdiff_t u = r->op->H; u < r->Hp; u++) *unit_at(row, slots, slot, u) = 0;
}

static double sum_of_units(const rnn *r, const real *row, int slots, int slot)
{
    double sum = 0;
    for (ptrdiff_t u = 0; u < r->op->H; u++) sum += *unit_at((real *)row, slots, slot, u);
    return sum;
}

/* a -> a' in one slot of z, where the activation is row-wise. The step has no h yet: its rows are room for a. */
static void shift_gate(const step *k, fr_act kind, int slot)
{
    const rnn *r = k->r;
    for (ptrdiff_t row = 0; act_is_rowwise(kind) && row < k->rows; row++) {
        if (skipped(k, row)) continue;
        real *z = k->z + row * r->Zp, *line = k->h + row * r->Hp;
        for (ptrdiff_t u = 0; u < r->op->H; u++) line[u] = *unit_at(z, r->g->slots, slot, u);
        take_off(r, log_sum_exp(r, line), z, r->g->slots, slot);
    }
}

/* da' -> da in one slot of dz, where the activation is row-wise. The one cell that keeps no gates has h for the only one. */
static void shift_gate_backward(const step *k, fr_act kind, int slot)
{
    const rnn *r = k->r;
    for (ptrdiff_t row = 0; act_is_rowwise(kind) && row < k->rows; row++) {
        if (skipped(k, row)) continue;
        const real *kept = keeps_gates(r->op) ? k->z + row * r->Zp : k->h + row * r->Hp;
        real *dz = k->dz + row * r->Zp;
        take_share(r, kind, sum_of_units(r, dz, r->g->slots, slot), kept, dz, r->g->slots, slot);
    }
}
