/* The one matrix product, and the packing that feeds it. weave.inc.h does two at a time.
 *
 * Contract of the micro-kernel.   C[i, :] = init[i, :] + sum_k A[i, k] * B[k, :]
 *   - B is a *panel*: nv <= PANEL vectors side by side, row k at b + k*ldb.
 *   - A is read element by element (broadcast): element (i, k) at a[i*rs + k*ks], where ks or rs is 1. The K dimension may consist of `nseg`
 *     segments of `klen` elements whose starts in A lie `as` apart; B runs on without a gap. Strides may be negative: then the terms come from the last to the first.
 *   - A may instead be cut into *slivers* of SLIVER rows, `sliver` elements apart, in which rs = 1 and ks = SLIVER: an A that many panels
 *     pass by is read faster so (89 % of the peak) than from lines of which each tile uses a part (78 to 81 %).
 *   - A tile holds up to MR(nv) = TILE_VECS/nv rows of C in registers for the whole K loop.
 *   - init has rows ldi apart: C itself to accumulate, a bias with ldi = 0, or zeros with ldi = 0.
 *   - A pair of panels of equal width lies bs apart in B, is apart in init and cs apart in C. One row alone needs two to keep the multipliers busy, and
 *     so does a matrix unit.
 *   - Of the last vector only `tail` lanes (1..VL) are read from init and written to C.
 * Each element of C is one chain of fused multiply-adds in the order of k, whatever the tile: how rows are split among tiles, blocks and
 * threads cannot change a bit of the result. The row of a program for one sample would wait for the few chains of a panel of less than PANEL vectors,
 * and has two for each there, by itself and in a pair: of even and of odd k, added at the end. Where A and B are given cut for the matrix unit
 * (cut.inc.h) as well, the sums have other terms, in an order that is as fixed. */

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define MR(nv) (TILE_VECS / (nv) > 12 ? 12 : TILE_VECS / (nv))
#define SLIVER MR(PANEL)
#define PANEL 3 /* vectors of a panel: with 8 rows, what batches come in multiples of, a tile of 24 accumulators */

static inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
static inline ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t b) { return ceil_div(a, b) * b; }
static inline ptrdiff_t min_size(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t max_size(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

typedef struct {
    const real *a;
    ptrdiff_t rs, ks, nseg, klen, as, sliver;
    const real *b;
    ptrdiff_t ldb;
    const real *init;
    ptrdiff_t ldi;
    real *c;
    ptrdiff_t ldc, tail;
    int alone;         /* the row of a program for one sample */
    int pair;          /* two panels of equal width, */
    ptrdiff_t bs, is, cs; /* so far apart in B, init and C */
    const real *next; /* the panel that comes after this one, if it may not be in L2 and ks = 1; else NULL */
    const void *a_cut, *b_cut; /* both once more, cut for the matrix unit: see cut.inc.h; or NULL */
    ptrdiff_t tile_rows;       /* height of the tiles for which the unit is set up */
    ptrdiff_t k0, k1;          /* the blocks of K whose products are added in this call, if not all (k1 = 0) */
} product;

static const real zeros[PANEL * VL];

/* Hides where a pointer comes from: knowing it, GCC would keep a pointer for every row and run out of registers. */
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#define BYTES(pointer, n) ((void *)((char *)(pointer) + (n)))
#define BEHIND(pointer, n) ((const void *)((uintptr_t)(pointer) + (uintptr_t)(n) * sizeof(real))) /* perhaps of the whole array: for prefetches */

/* Rows are reached by threes from one pointer: p, p + ld and p + 2 ld are what an instruction can address. `ahead` runs along
 * memory that will be wanted next, a vector per k, which a FETCHING tile brings into L2. */
enum { ACROSS /* rs = 1, or one row */, ALONG /* ks = 1 */, FETCHING /* ALONG, and prefetches */, TILE_KINDS, ALONE /* one row, in two chains */ };

ALWAYS_INLINE void tile(const int mr, const int nv, const int panels, const int kind, const product *p, const real *a, const real *init, real *c,
                        const real *ahead)
{
    /* fixed bounds, not [mr][panels * nv]: GCC keeps an array in registers only if its type has a constant size */
    vec acc[12][2 * PANEL];
    const int along = kind == ALONG || kind == FETCHING, width = panels * nv;
    const ptrdiff_t size = sizeof(real), last = p->tail, ldb = p->ldb * size, bs = p->bs * size, is = p->is * size, cs = p->cs * size;
    const ptrdiff_t lda = (along ? p->rs : p->ks) * size, ldi = p->ldi * size, ldc = p->ldc * size;
    const real *from[4], *at[4], *b[4]; /* b: step q of panel n at n * 2 + q */
    real *to[4];
    UNROLL for (int g = 0; g < 4; g++) {
        b[g] = BYTES(p->b, g / 2 * bs + g % 2 * ldb);
        from[g] = BYTES(init, 3 * g * ldi);
        OPAQUE(from[g]);
    }
#define AT(row, between, j) BYTES(row, (j) / nv * between + (j) % nv * VL * size) /* vector j of a row of init or C */
    if (kind == ALONE) UNROLL for (int j = 0; j < width; j++) acc[1][j] = v_set1(0);
    UNROLL for (int i = 0; i < mr; i++) {
        const real *row = BYTES(from[i / 3], i % 3 * ldi);
        UNROLL for (int j = 0; j < width - 1; j++) acc[i][j] = v_load(AT(row, is, j));
        acc[i][width - 1] = last == VL ? v_load(AT(row, is, width - 1)) : v_load_n(AT(row, is, width - 1), last);
    }
    /* Step q = 0 or 1 of the two that the loop takes at a time. If an operand ended with its last product, GCC would put the sum into its
     * register and either copy it back or, out of registers, read w from memory once for every row. */
#define TILE_STEP(q)                                                                                                       \
    do {                                                                                                                   \
        vec w[2 * PANEL];                                                                                                  \
        UNROLL for (int j = 0; j < width; j++) w[j] = v_load(b[j / nv * 2 + (q)] + j % nv * VL);                           \
        if (kind == FETCHING) v_prefetch(ahead + (q) * VL);                                                                \
        UNROLL for (int i = 0; i < mr; i++) {                                                                              \
            const vec x = v_set1(along ? ((const real *)BYTES(at[i / 3], i % 3 * lda))[q] : at[q][i]);                     \
            vec *sum = acc[kind == ALONE ? (q) : i];                                                                       \
            UNROLL for (int j = 0; j < width; j++) sum[j] = v_fma(x, w[j], sum[j]);                                        \
            if (mr > 1) v_keep(x);                                                                                         \
        }                                                                                                                  \
        UNROLL for (int j = 0; j < width; j++) if (mr > 1) v_keep(w[j]);                                                   \
    } while (0)
    for (ptrdiff_t seg = 0; seg < p->nseg; seg++, a += p->as) {
        ptrdiff_t k = p->klen;
        UNROLL for (int g = 0; g < 4; g++) at[g] = BYTES(a, (along ? 3 * g : g) * lda);
        for (; k >= 2; k -= 2) {
            TILE_STEP(0);
            TILE_STEP(1);
            ahead += 2 * VL;
            UNROLL for (int g = 0; g < 4; g++) {
                at[g] = BYTES(at[g], 2 * (along ? size : lda));
                b[g] = BYTES(b[g], 2 * ldb);
                OPAQUE(at[g]);
                OPAQUE(b[g]);
            }
        }
        if (k) {
            TILE_STEP(0);
            ahead += VL;
            UNROLL for (int g = 0; g < 4; g++) b[g] = BYTES(b[g], ldb);
        }
    }
#undef TILE_STEP
    if (kind == ALONE) UNROLL for (int j = 0; j < width; j++) acc[0][j] = v_add(acc[0][j], acc[1][j]);
    UNROLL for (int g = 0; g < 4; g++) {
        to[g] = BYTES(c, 3 * g * ldc);
        OPAQUE(to[g]);
    }
    UNROLL for (int i = 0; i < mr; i++) {
        real *row = BYTES(to[i / 3], i % 3 * ldc);
        UNROLL for (int j = 0; j < width - 1; j++) v_store(AT(row, cs, j), acc[i][j]);
        if (last == VL) v_store(AT(row, cs, width - 1), acc[i][width - 1]);
        else v_store_n(AT(row, cs, width - 1), acc[i][width - 1], last);
    }
#undef AT
}

typedef void (*tile_fn)(const product *, const real *, const real *, real *, const real *);
#define TILE_FUNCTION(name, mr, nv, panels, kind)                                                        \
    static void name(const product *p, const real *a, const real *init, real *c, const real *ahead)     \
    {                                                                                                   \
        tile(mr, nv, panels, kind, p, a, init, c, ahead);                                               \
    }
#define TILE(mr, nv, kind) TILE_FUNCTION(tile_##mr##x##nv##_##kind, mr, nv, 1, kind)
#define PAIR(nv, kind) TILE_FUNCTION(pair_##nv##_##kind, 1, nv, 2, kind)
TILE(1, 1, ALONE) TILE(1, 2, ALONE) PAIR(2, ALONE) PAIR(2, ACROSS) PAIR(3, ACROSS)
/* FETCHING tiles are as high as what several share out evenly, so at least half of MR: lower ones would never run. */
#define LOW(mr, nv) TILE(mr, nv, ACROSS) TILE(mr, nv, ALONG)
#define HIGH(mr, nv) LOW(mr, nv) TILE(mr, nv, FETCHING)
#define TILES_4(nv) LOW(1, nv) HIGH(2, nv) HIGH(3, nv) HIGH(4, nv)
#define TILES_6(nv) LOW(1, nv) LOW(2, nv) HIGH(3, nv) HIGH(4, nv) HIGH(5, nv) HIGH(6, nv)
#define TILES_8(nv) LOW(1, nv) LOW(2, nv) LOW(3, nv) HIGH(4, nv) HIGH(5, nv) HIGH(6, nv) HIGH(7, nv) HIGH(8, nv)
#define TILES_12(nv)                                                                                                            \
    LOW(1, nv) LOW(2, nv) LOW(3, nv) LOW(4, nv) LOW(5, nv)                                                                       \
    HIGH(6, nv) HIGH(7, nv) HIGH(8, nv) HIGH(9, nv) HIGH(10, nv) HIGH(11, nv) HIGH(12, nv)
#define LOW_ENTRY(mr, nv) {tile_##mr##x##nv##_ACROSS, tile_##mr##x##nv##_ALONG, NULL}
#define ENTRY(mr, nv) {tile_##mr##x##nv##_ACROSS, tile_##mr##x##nv##_ALONG, tile_##mr##x##nv##_FETCHING}
#define ROW_4(nv) LOW_ENTRY(1, nv), ENTRY(2, nv), ENTRY(3, nv), ENTRY(4, nv)
#define ROW_6(nv) LOW_ENTRY(1, nv), LOW_ENTRY(2, nv), ENTRY(3, nv), ENTRY(4, nv), ENTRY(5, nv), ENTRY(6, nv)
#define ROW_8(nv)                                                                                                               \
    LOW_ENTRY(1, nv), LOW_ENTRY(2, nv), LOW_ENTRY(3, nv), ENTRY(4, nv), ENTRY(5, nv), ENTRY(6, nv), ENTRY(7, nv), ENTRY(8, nv)
#define ROW_12(nv)                                                                                                              \
    LOW_ENTRY(1, nv), LOW_ENTRY(2, nv), LOW_ENTRY(3, nv), LOW_ENTRY(4, nv), LOW_ENTRY(5, nv), ENTRY(6, nv), ENTRY(7, nv),         \
        ENTRY(8, nv), ENTRY(9, nv), ENTRY(10, nv), ENTRY(11, nv), ENTRY(12, nv)
#if TILE_VECS == 24
TILES_12(1) TILES_12(2) TILES_8(3)
static const tile_fn tiles[PANEL][12][TILE_KINDS] = {{ROW_12(1)}, {ROW_12(2)}, {ROW_8(3)}};
#else
TILES_12(1) TILES_6(2) TILES_4(3)
static const tile_fn tiles[PANEL][12][TILE_KINDS] = {{ROW_12(1)}, {ROW_6(2)}, {ROW_4(3)}};
#endif

#include "cut.inc.h"

/* The product on `rows` rows of A and C: on the matrix unit; of a pair of panels, or of a row alone; in tiles of nearly equal height; or by
 * slivers. */
static void multiply(int nv, ptrdiff_t rows, const product *p)
{
#if MATRIX_UNIT
    if (p->a_cut) {
        multiply_cut(nv, rows, p);
        return;
    }
#endif
    if (p->pair || p->alone) {
        static const tile_fn lone_panels[PANEL] = {tile_1x1_ALONE, tile_1x2_ALONE, tile_1x3_ACROSS};
        const tile_fn pair = nv == PANEL ? pair_3_ACROSS : p->alone ? pair_2_ALONE : pair_2_ACROSS;
        (p->pair ? pair : lone_panels[nv - 1])(p, p->a, p->init, p->c, p->b);
        return;
    }
    const ptrdiff_t height = p->sliver ? SLIVER : MR(nv), n = rows <= height ? rows > 0 : ceil_div(rows, height);
    const ptrdiff_t share = p->nseg * p->klen * VL; /* what one tile prefetches of the next panel, which PANEL tiles cover; a lone one has no time */
    const real *a = p->a, *init = p->init;
    real *c = p->c;
    for (ptrdiff_t i = 0, m; i < n; i++, init += m * p->ldi, c += m * p->ldc) {
        const int kind = p->ks != 1 ? ACROSS : p->next && n > 1 && i < PANEL ? FETCHING : ALONG;
        m = n == 1 ? rows : !p->sliver ? rows / n + (i < rows % n) : i < n - 1 ? SLIVER : rows - i * SLIVER;
        tiles[nv - 1][m - 1][kind](p, a, init, c, kind == FETCHING ? p->next + i * share : p->b);
        a += p->sliver ? p->sliver : m * p->rs;
    }
}

/* ---- panels and slivers ------------------------------------------------------------------------------------------------- */

/* A matrix of V vectors of columns is cut into panels of PANEL. The last takes what is left over. One vector, whose sums would be too few to hide how
 * long each takes, gets another from the panel before, if there is one. Packed, the panel that starts at vector v starts at v * K * VL. */
static inline ptrdiff_t panels_of(ptrdiff_t V) { return ceil_div(V, PANEL); }
static inline ptrdiff_t panel_first(ptrdiff_t V, ptrdiff_t p)
{
    const ptrdiff_t last = panels_of(V) - 1;
    return p > last ? V : p == last && p > 0 && V % PANEL == 1 ? p * PANEL - 1 : p * PANEL;
}

/* A plain matrix of N columns; the last vector is filled up with zeros. */
static inline ptrdiff_t plain_panels(ptrdiff_t N) { return panels_of(ceil_div(N, VL)); }
static inline ptrdiff_t plain_first(ptrdiff_t N, ptrdiff_t p) { return panel_first(ceil_div(N, VL), p) * VL; }
static inline int plain_nv(ptrdiff_t N, ptrdiff_t p) { return (int)((plain_first(N, p + 1) - plain_first(N, p)) / VL); }
static inline ptrdiff_t plain_tail(ptrdiff_t N, ptrdiff_t p) { return p == plain_panels(N) - 1 ? (N - 1) % VL + 1 : VL; }
static inline ptrdiff_t plain_size(ptrdiff_t K, ptrdiff_t N) { return K * round_up(N, VL); }

/* Copies `n` <= VL elements and fills the vector up with zeros. */
static inline void copy_lanes(real *restrict to, const real *restrict from, ptrdiff_t n)
{
    v_store(to, n >= VL ? v_load(from) : n > 0 ? v_load_n(from, n) : v_set1(0));
}

/* Adds `n` <= VL elements. A load of a few lanes would wait for a store of a few lanes next to them, which it may not pass: fewer go one by one. */
static inline void add_lanes(real *restrict to, const real *restrict from, ptrdiff_t n)
{
    if (n == VL) v_store(to, v_add(v_load(to), v_load(from)));
    else
        for (ptrdiff_t i = 0; i < n; i++) to[i] += from[i];
}

typedef real four __attribute__((vector_size(4 * sizeof(real))));
#if defined(__clang__)
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else /* GCC knows that one since version 12 */
typedef __typeof__(__builtin_choose_expr(sizeof(real) == 4, (int32_t)0, (int64_t)0)) four_indices __attribute__((vector_size(4 * sizeof(real))));
#define PICK(a, b, ...) __builtin_shuffle(a, b, (four_indices){__VA_ARGS__})
#endif

/* Makes `rows` rows of n elements, ld apart, columns of rows ldt apart: by fours, since one by one each of the elements would be a store. Rows that are
 * far apart are asked for beforehand. */
static void copy_transposed(const real *from, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t n, real *to, ptrdiff_t ldt)
{
    enum { AHEAD = 12 };
    const ptrdiff_t whole = rows / 4 * 4, by_four = n / 4 * 4;
    for (ptrdiff_t j = 0; j < whole; j += 4) {
        for (int q = 0; q < 4; q++) v_prefetch(BEHIND(from, (j + AHEAD + q) * ld));
        for (ptrdiff_t k = 0; k < by_four; k += 4) {
            four row[4], half[4];
            UNROLL for (int q = 0; q < 4; q++) memcpy(&row[q], from + (j + q) * ld + k, sizeof row[q]);
            UNROLL for (int q = 0; q < 2; q++) {
                half[q] = PICK(row[2 * q], row[2 * q + 1], 0, 4, 1, 5);
                half[2 + q] = PICK(row[2 * q], row[2 * q + 1], 2, 6, 3, 7);
            }
            UNROLL for (int q = 0; q < 2; q++) {
                row[2 * q] = PICK(half[2 * q], half[2 * q + 1], 0, 1, 4, 5);
                row[2 * q + 1] = PICK(half[2 * q], half[2 * q + 1], 2, 3, 6, 7);
            }
            UNROLL for (int q = 0; q < 4; q++) memcpy(to + (k + q) * ldt + j, &row[q], sizeof row[q]);
        }
    }
    for (ptrdiff_t j = 0; j < rows; j++)
        for (ptrdiff_t k = j < whole ? by_four : 0; k < n; k++) to[k * ldt + j] = from[j * ld + k];
}

/* A line of the cache apart, or those of a K that is a power of two would all be written to the same few sets. */
static inline ptrdiff_t sliver_stride(ptrdiff_t K) { return K * SLIVER + 64 / (ptrdiff_t)sizeof(real); }
static inline ptrdiff_t slivers_size(ptrdiff_t N, ptrdiff_t K) { return ceil_div(N, SLIVER) * sliver_stride(K); }

/* Packs some columns of A side by side, each N elements in a row, columns ld apart, from where the first one goes in the first sliver; and asks for those
 * that come `ahead` columns later. */
ALWAYS_INLINE void pack_abreast(const int columns, const real *from, ptrdiff_t ld, ptrdiff_t ahead, ptrdiff_t N, ptrdiff_t stride, real *to)
{
    ptrdiff_t i = 0;
    for (; i + SLIVER <= N; i += SLIVER, to += stride) {
        if (columns > 1) v_prefetch(from + (ahead + i / SLIVER % columns) * ld + i); /* each whole line of them once */
        UNROLL for (int q = 0; q < columns; q++) memcpy(to + q * SLIVER, from + q * ld + i, SLIVER * sizeof(real));
    }
    for (; i < N; i += VL, to += VL)
        for (int q = 0; q < columns; q++) v_store_n(to + q * SLIVER, v_load_n(from + q * ld + i, min_size(VL, N - i)), min_size(VL, N - i));
}

/* Packs `n` columns into slivers from their column k0 on: as many at a time as fill a line of the cache, or each of the many slivers would be come back to,
 * and its page looked up, for every column. */
static void pack_slivers(const real *from, ptrdiff_t ld, ptrdiff_t n, ptrdiff_t N, ptrdiff_t k0, ptrdiff_t stride, real *to)
{
    enum { COLUMN = SLIVER * sizeof(real), ABREAST = COLUMN < 64 ? 64 / COLUMN : 1 };
    ptrdiff_t k = 0;
    for (; k + ABREAST <= n; k += ABREAST) pack_abreast(ABREAST, from + k * ld, ld, min_size(2 * ABREAST, n - k - ABREAST), N, stride, to + (k0 + k) * SLIVER);
    for (; k < n; k++) pack_abreast(1, from + k * ld, ld, 0, N, stride, to + (k0 + k) * SLIVER);
}
