/* How the gates of a cell lie in memory.
 *
 * The gates of VL neighbouring units (a *unit vector*) stand side by side: a row of z holds, for every unit vector, `slots` vectors. Tiles of
 * the product, run from left to right, thus complete one unit vector after another, and the cell equations work on full vectors whatever
 * H is. Weights are packed in that order, H rounded up with zeros; W, U and the bias keep Keras's order on the outside.
 *
 *            slots of z            input product fills   recurrent product adds to
 *   RNN      a                     a                     a
 *   LSTM     i f c o               i f c o               i f c o
 *   GRU      n z r s               n z r                 z r s      (s = h U_h + b: multiplied by r before it joins n)
 *   GRU*     n z r                 n z r                 z r, then n from r*h    (*: reset_after=False)
 */
#define MOST_SLOTS 4
typedef struct {
    int gates, slots;
    int w_slot, w_n, u_slot, u_n; /* first slot and number of slots of each product */
    signed char w_gate[MOST_SLOTS], u_gate[MOST_SLOTS]; /* Keras's number of the gate in those slots */
} gate_layout;

static const gate_layout layouts[FR_CELL_COUNT] = {
    [FR_SIMPLE_RNN] = {1, 1, 0, 1, 0, 1, {0}, {0}},
    [FR_LSTM] = {4, 4, 0, 4, 0, 4, {0, 1, 2, 3}, {0, 1, 2, 3}},
    [FR_GRU] = {3, 4, 0, 3, 1, 3, {2, 0, 1}, {0, 1, 2}},
    [FR_GRU_RESET_BEFORE] = {3, 3, 0, 3, 1, 2, {2, 0, 1}, {0, 1, 2}},
};

/* Where the vectors of a panel lie in Keras's order: their first column, and the lanes that they have there. Vector v is gate v % n of unit
 * vector v / n. */
typedef struct {
    ptrdiff_t width, column[PANEL], lanes[PANEL];
} panel_columns;

static panel_columns columns_of_panel(ptrdiff_t first, ptrdiff_t end, ptrdiff_t H, int n, const signed char *gate)
{
    panel_columns c = {.width = end - first};
    for (ptrdiff_t v = 0; v < c.width; v++) {
        const ptrdiff_t u = (first + v) / n * VL;
        c.column[v] = gate[(first + v) % n] * H + u;
        c.lanes[v] = min_size(VL, H - u);
    }
    return c;
}

/* Rows of a large matrix lie pages apart, and a panel has a line or two of each: panel after panel takes so many rows, and asks for what later ones will
 * need of them. */
#define ROWS_AT_ONCE 256

/* Packs w (K, gates*H) for the product: panel by panel, row k, then its vectors. */
static void pack_gates(const real *w, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t H, int n, const signed char *gate, real *dst)
{
    const ptrdiff_t V = n * ceil_div(H, VL);
    for (ptrdiff_t k0 = 0; k0 < K; k0 += ROWS_AT_ONCE)
        for (ptrdiff_t p = 0; p < panels_of(V); p++) {
            const panel_columns c = columns_of_panel(panel_first(V, p), panel_first(V, p + 1), H, n, gate);
            real *to = dst + (panel_first(V, p) * K + k0 * c.width) * VL;
            for (ptrdiff_t k = k0; k < min_size(k0 + ROWS_AT_ONCE, K); k++)
                for (ptrdiff_t v = 0; v < c.width; v++, to += VL) {
                    const real *from = w + k * ld + c.column[v];
                    v_prefetch(BEHIND(from, PANEL * VL));
                    copy_lanes(to, from, c.lanes[v]);
                }
        }
}

/* Row of the transposed matrix that belongs to lane l of gate j of unit vector u: gates innermost as in z, or one gate
 * after another where each gate has an input of its own. */
static inline ptrdiff_t gate_row(int by_gate, int n, ptrdiff_t Hv, ptrdiff_t u, int j)
{
    return (by_gate ? j * Hv + u : u * n + j) * VL;
}

/* Packs the transpose of w (N, gates*H) into plain panels of an (n*Hv*VL, N) matrix. */
static void pack_gates_transposed(const real *w, ptrdiff_t ld, ptrdiff_t N, ptrdiff_t H, int by_gate, int n, const signed char *gate,
                                  real *dst)
{
    const ptrdiff_t Hv = ceil_div(H, VL), K = n * Hv * VL;
    for (ptrdiff_t p = 0; p < plain_panels(N); p++) {
        const ptrdiff_t width = plain_nv(N, p) * VL, first = plain_first(N, p), rows = min_size(width, N - first);
        const real *from = w + first * ld;
        for (ptrdiff_t u = 0; u < Hv; u++)
            for (int j = 0; j < n; j++) {
                real *to = dst + gate_row(by_gate, n, Hv, u, j) * width;
                const real *column = from + gate[j] * H + u * VL;
                const ptrdiff_t m = min_size(VL, H - u * VL);
                if (m < VL || rows < width)
                    for (ptrdiff_t i = 0; i < VL * width; i += VL) v_store(to + i, v_set1(0));
                copy_transposed(column, ld, rows, m, to, width);
            }
        dst += K * width;
    }
}

/* Brings rows [k0, k1) of packed gradients (K, gates*H) to w, or adds them to what is there. */
static void unpack_gates(const real *src, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t H, ptrdiff_t k0, ptrdiff_t k1, int n, const signed char *gate, int add, real *w)
{
    const ptrdiff_t V = n * ceil_div(H, VL);
    for (ptrdiff_t p = 0; p < panels_of(V); p++) {
        const panel_columns c = columns_of_panel(panel_first(V, p), panel_first(V, p + 1), H, n, gate);
        const real *from = src + (panel_first(V, p) * K + k0 * c.width) * VL;
        for (ptrdiff_t k = k0; k < k1; k++)
            for (ptrdiff_t v = 0; v < c.width; v++, from += VL) {
                real *to = w + k * ld + c.column[v];
                v_prefetch_written(BEHIND(to, PANEL * VL));
                if (add) add_lanes(to, from, c.lanes[v]);
                else if (c.lanes[v] == VL) v_store(to, v_load(from));
                else v_store_n(to, v_load(from), c.lanes[v]);
            }
    }
}
