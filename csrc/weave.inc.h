/* Two products in one loop: the row of a program for one sample, which waits for its weights to come, and products that are wanted only later, which keep the
 * multipliers busy meanwhile. */

#define MAY_WEAVE (TILE_VECS == 24)
#define WOVEN_ROWS 6 /* 18 accumulators, beside up to 8 of the pair */

/* The product p of a row alone with a pair of panels of nv vectors and, beside it, q: so many tiles of WOVEN_ROWS rows of a panel of qv vectors, which
 * take a term for two of p each, and no more than p has. The first waits for weights to come, the second for the multipliers, and one after the other they
 * would wait for the sum of both. Of what a product may be, both have one segment and whole vectors. 26 sums and 5 operands need 32 registers. */
ALWAYS_INLINE void woven_tile(const int nv, const int qv, const product *p, const product *q, ptrdiff_t done, ptrdiff_t terms, ptrdiff_t tiles)
{
    _Static_assert(WOVEN_ROWS == 6 && PANEL == 3, "a step of k of the row goes beside three rows, vector by vector");
    vec row[2][2 * PANEL], acc[WOVEN_ROWS][PANEL];
    const int width = 2 * nv, chains = nv == PANEL ? 1 : 2; /* as in the tiles of multiply() */
    const ptrdiff_t size = sizeof(real), ka = p->ks * size, kb = p->ldb * size;
    const ptrdiff_t lda = q->rs * size, ks = q->ks * size, ldb = q->ldb * size, ldc = q->ldc * size, ldi = done ? ldc : q->ldi * size;
    const real *a = p->a, *b[2] = {p->b, p->b + p->bs}, *first = BYTES(q->a, done * ks), *from = BYTES(q->b, done * ldb), *init = done ? q->c : q->init;
    real *c = q->c;
    UNROLL for (int j = 0; j < width; j++) {
        row[0][j] = v_load(p->init + j / nv * p->is + j % nv * VL);
        row[1][j] = v_set1(0);
    }
#define ROW_STEP(g, x, j) UNROLL for (int n = 0; n < 2; n++) row[g][n * nv + (j)] = v_fma(x, v_load(b[n] + (j) * VL), row[g][n * nv + (j)])
#define ROW_ON                                             \
    do { /* GCC would count how far on they are instead */ \
        a = BYTES(a, ka);                                  \
        OPAQUE(a);                                         \
        b[0] = BYTES(b[0], kb);                            \
        OPAQUE(b[0]);                                      \
        b[1] = BYTES(b[1], kb);                            \
        OPAQUE(b[1]);                                      \
    } while (0)
    for (ptrdiff_t t = 0; t < tiles; t++) {
        const real *at[2] = {first, BYTES(first, 3 * lda)}, *w = from;
        UNROLL for (int i = 0; i < WOVEN_ROWS; i++, init = BYTES(init, ldi)) {
            OPAQUE(init); /* GCC would have a register for what each row is apart from the first */
            UNROLL for (int j = 0; j < qv; j++) acc[i][j] = v_load(init + j * VL);
        }
        for (ptrdiff_t k = terms; k > 0; k--, w = BYTES(w, ldb)) {
            vec ws[PANEL];
            UNROLL for (int j = 0; j < qv; j++) ws[j] = v_load(w + j * VL);
            UNROLL for (int g = 0; g < 2; g++) {
                const vec x = v_set1(*a);
                UNROLL for (int i = 0; i < 3; i++) {
                    if (i < nv) ROW_STEP(g % chains, x, i);
                    const vec y = v_set1(*(const real *)BYTES(at[g], i * lda));
                    UNROLL for (int j = 0; j < qv; j++) acc[3 * g + i][j] = v_fma(y, ws[j], acc[3 * g + i][j]);
                    v_keep(y);
                }
                v_keep(x);
                ROW_ON;
                at[g] = BYTES(at[g], ks);
                OPAQUE(at[g]); /* as in tile() */
            }
            UNROLL for (int j = 0; j < qv; j++) v_keep(ws[j]);
        }
        UNROLL for (int i = 0; i < WOVEN_ROWS; i++, c = BYTES(c, ldc)) {
            OPAQUE(c);
            UNROLL for (int j = 0; j < qv; j++) v_store(c + j * VL, acc[i][j]);
        }
        first = BYTES(first, WOVEN_ROWS * lda);
    }
    for (ptrdiff_t k = p->klen - 2 * tiles * terms; k > 0; k -= 2) {
        UNROLL for (int g = 0; g < 2; g++) {
            if (g == 1 && k == 1) break;
            const vec x = v_set1(*a);
            UNROLL for (int j = 0; j < nv; j++) ROW_STEP(g % chains, x, j);
            ROW_ON;
        }
    }
#undef ROW_ON
#undef ROW_STEP
    UNROLL for (int j = 0; j < width; j++) v_store(p->c + j / nv * p->cs + j % nv * VL, chains == 1 ? row[0][j] : v_add(row[0][j], row[1][j]));
}

#define WOVEN_FUNCTION(nv, qv)                                                                                             \
    static void woven_##nv##_##qv(const product *p, const product *q, ptrdiff_t done, ptrdiff_t terms, ptrdiff_t tiles)    \
    {                                                                                                                      \
        woven_tile(nv, qv, p, q, done, terms, tiles);                                                                      \
    }
WOVEN_FUNCTION(2, 2) WOVEN_FUNCTION(2, 3) WOVEN_FUNCTION(3, 2) WOVEN_FUNCTION(3, 3)
typedef void (*woven_fn)(const product *, const product *, ptrdiff_t, ptrdiff_t, ptrdiff_t);
static const woven_fn woven[2][2] = {{woven_2_2, woven_2_3}, {woven_3_2, woven_3_3}};

/* Products of panels to be done by and by: what is left of the one that is begun, and which come after it. */
typedef struct later_products {
    void (*begin)(struct later_products *); /* sets q, nv and rows for panel `next`, and goes on */
    const void *of;
    ptrdiff_t next, end; /* of the panels that are not begun */
    product q;           /* of the rows that are left */
    int nv;
    ptrdiff_t rows;
    ptrdiff_t done;      /* terms that the first WOVEN_ROWS of these rows have already */
} later_products;

/* Products of a row, with k terms, beside which so many tiles of K terms each are done. */
static inline ptrdiff_t goes_of(ptrdiff_t tiles, ptrdiff_t K, ptrdiff_t k)
{
    const ptrdiff_t most = k / 2;
    return K > most ? tiles * ceil_div(K, most) : ceil_div(tiles, most / K);
}

/* So many more terms of that many tiles are added. */
static void terms_done(later_products *l, ptrdiff_t terms, ptrdiff_t tiles)
{
    const ptrdiff_t rows = tiles * WOVEN_ROWS;
    l->done += terms;
    if (l->done < l->q.klen) return;
    l->done = 0;
    l->rows -= rows;
    l->q.a += rows * l->q.rs;
    l->q.c += rows * l->q.ldc;
    l->q.init += rows * l->q.ldi;
}

/* Completes the panel that is begun. */
static void finish_panel(later_products *l)
{
    if (l->done) {
        product q = l->q;
        q.klen -= l->done;
        q.a += l->done * q.ks;
        q.b += l->done * q.ldb;
        q.init = q.c;
        q.ldi = q.ldc;
        multiply(l->nv, WOVEN_ROWS, &q);
        terms_done(l, q.klen, 1);
    }
    if (l->rows) multiply(l->nv, l->rows, &l->q);
    l->rows = 0;
}

/* The product p of the row, and as much of the others as goes beside it. */
static void weave(int nv, const product *p, later_products *l)
{
    while (l->rows < WOVEN_ROWS) {
        if (l->rows) finish_panel(l);
        else if (l->next < l->end) l->begin(l);
        else {
            multiply(nv, 1, p);
            return;
        }
    }
    const ptrdiff_t most = p->klen / 2, terms = min_size(l->q.klen - l->done, most);
    const ptrdiff_t tiles = terms < l->q.klen || l->rows < 2 * WOVEN_ROWS ? 1 : min_size(l->rows / WOVEN_ROWS, most / terms);
    woven[nv == PANEL][l->nv == PANEL](p, &l->q, l->done, terms, tiles);
    terms_done(l, terms, tiles);
}
