/* The one matrix product, and the packing that feeds it.
 *
 * Contract of the micro-kernel.   C[i, :] = init[i, :] + sum_k A[i, k] * B[k, :]
 *   - B is a *panel*: nv <= 4 vectors side by side, row k at b + k*ldb.
 *   - A is read element by element (broadcast): element (i, k) at a[i*rs + k*ks]. The K dimension may consist of `nseg`
 *     segments of `klen` elements whose starts in A lie `as` apart; B runs on without a gap.
 *   - A tile holds up to MR(nv) = TILE_VECS/nv rows of C in registers for the whole K loop.
 *   - init has rows ldi apart: C itself to accumulate, a bias with ldi = 0, or zeros with ldi = 0.
 *   - Of the last vector only `tail` lanes (1..VL) are read from init and written to C.
 * Each element of C is one chain of fused multiply-adds in the order of k, whatever the tile: how rows are split among tiles, blocks and
 * threads cannot change a bit of the result. */

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define MR(nv) (TILE_VECS / (nv) > 12 ? 12 : TILE_VECS / (nv))
#define PANEL 4 /* vectors of a full panel */

typedef struct {
    const real *a;
    ptrdiff_t rs, ks, nseg, klen, as;
    const real *b;
    ptrdiff_t ldb;
    const real *init;
    ptrdiff_t ldi;
    real *c;
    ptrdiff_t ldc, tail;
    const real *next; /* the panel that comes after this one, if it may not be in L2; else NULL */
} product;

static const real zeros[PANEL * VL];

/* `ahead` runs along memory that will be wanted next, a vector per k: it is prefetched into L2. */
ALWAYS_INLINE void tile(const int mr, const int nv, const product *p, const real *restrict a, const real *init, real *c,
                        const real *ahead)
{
    /* fixed bounds, not [mr][nv]: GCC keeps an array in registers only if its type has a constant size */
    vec acc[12][PANEL];
    const ptrdiff_t rs = p->rs, ks = p->ks, ldb = p->ldb, last = p->tail;
    const real *restrict b = p->b;
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int j = 0; j < nv - 1; j++) acc[i][j] = v_load(init + i * p->ldi + j * VL);
        const real *end = init + i * p->ldi + (nv - 1) * VL;
        acc[i][nv - 1] = last == VL ? v_load(end) : v_load_n(end, last);
    }
#define TILE_STEP(q)                                                                     \
    do {                                                                                 \
        vec w[PANEL];                                                                    \
        UNROLL for (int j = 0; j < nv; j++) w[j] = v_load(b + (q) * ldb + j * VL);       \
        v_prefetch(ahead + (q) * VL);                                                    \
        UNROLL for (int i = 0; i < mr; i++) {                                            \
            vec x = v_set1(ak[i * rs + (q) * ks]);                                       \
            UNROLL for (int j = 0; j < nv; j++) acc[i][j] = v_fma(x, w[j], acc[i][j]);   \
        }                                                                                \
    } while (0)
    for (ptrdiff_t seg = 0; seg < p->nseg; seg++, a += p->as) {
        const real *ak = a;
        ptrdiff_t k = 0;
        for (; k + 2 <= p->klen; k += 2, ak += 2 * ks, b += 2 * ldb, ahead += 2 * VL) {
            TILE_STEP(0);
            TILE_STEP(1);
        }
        if (k < p->klen) {
            TILE_STEP(0);
            b += ldb;
            ahead += VL;
        }
    }
#undef TILE_STEP
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int j = 0; j < nv - 1; j++) v_store(c + i * p->ldc + j * VL, acc[i][j]);
        real *end = c + i * p->ldc + (nv - 1) * VL;
        if (last == VL) v_store(end, acc[i][nv - 1]);
        else v_store_n(end, acc[i][nv - 1], last);
    }
}

typedef void (*tile_fn)(const product *, const real *, const real *, real *, const real *);
#define TILE(mr, nv) \
    static void tile_##mr##x##nv(const product *p, const real *a, const real *init, real *c, const real *ahead)    \
    {                                                                                                              \
        tile(mr, nv, p, a, init, c, ahead);                                                                        \
    }
#define TILES_3(nv) TILE(1, nv) TILE(2, nv) TILE(3, nv)
#define TILES_6(nv) TILES_3(nv) TILE(4, nv) TILE(5, nv) TILE(6, nv)
#define TILES_12(nv) TILES_6(nv) TILE(7, nv) TILE(8, nv) TILE(9, nv) TILE(10, nv) TILE(11, nv) TILE(12, nv)
#define ROW_3(nv) tile_1x##nv, tile_2x##nv, tile_3x##nv
#define ROW_6(nv) ROW_3(nv), tile_4x##nv, tile_5x##nv, tile_6x##nv
#define ROW_12(nv) ROW_6(nv), tile_7x##nv, tile_8x##nv, tile_9x##nv, tile_10x##nv, tile_11x##nv, tile_12x##nv
TILES_12(1)
#if TILE_VECS == 24
TILES_12(2) TILES_6(3) TILE(7, 3) TILE(8, 3) TILES_6(4)
static const tile_fn tiles[PANEL][12] = {{ROW_12(1)}, {ROW_12(2)}, {ROW_6(3), tile_7x3, tile_8x3}, {ROW_6(4)}};
#else
TILES_6(2) TILES_3(3) TILE(4, 3) TILES_3(4)
static const tile_fn tiles[PANEL][12] = {{ROW_12(1)}, {ROW_6(2)}, {ROW_3(3), tile_4x3}, {ROW_3(4)}};
#endif

/* The product on `rows` rows of A and C, split into tiles of nearly equal height. */
static void multiply(int nv, ptrdiff_t rows, const product *p)
{
    const ptrdiff_t n = (rows + MR(nv) - 1) / MR(nv);
    const real *a = p->a, *init = p->init;
    real *c = p->c;
    const ptrdiff_t share = p->nseg * p->klen * VL; /* what one tile prefetches of the next panel; nv tiles cover it */
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t m = rows / n + (i < rows % n);
        tiles[nv - 1][m - 1](p, a, init, c, p->next && i < nv ? p->next + i * share : p->b);
        a += m * p->rs;
        init += m * p->ldi;
        c += m * p->ldc;
    }
}

static inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
static inline ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t b) { return ceil_div(a, b) * b; }
static inline ptrdiff_t min_size(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t max_size(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* A plain matrix of N columns is cut into panels of PANEL vectors, the last one narrower. Panel p of a K-row matrix starts at
 * p * K * PANEL * VL. */
static inline ptrdiff_t plain_panels(ptrdiff_t N) { return ceil_div(N, PANEL * VL); }
static inline int plain_nv(ptrdiff_t N, ptrdiff_t p) { return (int)min_size(PANEL, ceil_div(N - p * PANEL * VL, VL)); }
static inline ptrdiff_t plain_tail(ptrdiff_t N, ptrdiff_t p)
{
    return N - p * PANEL * VL >= PANEL * VL ? VL : (N - 1) % VL + 1;
}
static inline ptrdiff_t plain_size(ptrdiff_t K, ptrdiff_t N) { return K * round_up(N, VL); }

/* Copies `n` <= VL elements and fills the vector up with zeros. */
static inline void copy_lanes(real *restrict to, const real *restrict from, ptrdiff_t n)
{
    v_store(to, n >= VL ? v_load(from) : n > 0 ? v_load_n(from, n) : v_set1(0));
}

/* Packs src (K, N; element (k, n) at src[k*ld + n]) into plain panels. */
static void pack_plain(const real *src, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t N, real *dst)
{
    for (ptrdiff_t p = 0; p < plain_panels(N); p++) {
        const int nv = plain_nv(N, p);
        for (ptrdiff_t k = 0; k < K; k++)
            for (int j = 0; j < nv; j++, dst += VL) {
                ptrdiff_t n = (p * PANEL + j) * VL;
                copy_lanes(dst, src + k * ld + n, N - n);
            }
    }
}

/* Packs the transpose of src (N, K; element (n, k) at src[n*ld + k]) into plain panels of a (K, N) matrix. */
static void pack_transposed(const real *src, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t N, real *dst)
{
    for (ptrdiff_t p = 0; p < plain_panels(N); p++) {
        const ptrdiff_t width = plain_nv(N, p) * VL;
        const ptrdiff_t first = p * PANEL * VL, rows = min_size(width, N - first);
        if (rows < width)
            for (ptrdiff_t i = 0; i < K * width; i += VL) v_store(dst + i, v_set1(0));
        for (ptrdiff_t j = 0; j < rows; j++)
            for (ptrdiff_t k = 0; k < K; k++) dst[k * width + j] = src[(first + j) * ld + k];
        dst += K * width;
    }
}
