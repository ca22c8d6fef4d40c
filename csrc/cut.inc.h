/* Products of floats on a matrix unit that multiplies bfloat16, which have 8 bits where a float has 24.
 *
 * A float is cut in three: x = x0 + x1 + x2 to its last bit, each what the ones before left over, rounded to bfloat16 (the last is one). Then
 *
 *     x w = x0 w0 + (x0 w1 + x1 w0) + (x0 w2 + x1 w1 + x2 w0)
 *
 * but for terms below 2^-24 of it. The unit multiplies exactly and adds in float32: six of its products are as accurate as one of
 * floats, and take half the time. It takes denormals as zero, so that floats below 2^-103 lose their last parts. (Henry, Tang & Heinecke, "Leveraging
 * the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019.)
 *
 *   A cut: rows of three times Kp = K rounded up to M_DEPTH, then 64 bytes of which the first is 1 if the row has a value that cannot be
 *          cut (it is infinite, NaN, or would round to infinity). Such rows are multiplied as floats.
 *   B cut: vector by vector of columns, blocks of M_DEPTH rows, three tiles each.
 * The unit multiplies pairs of neighbours. In both, a term of the first half of a block is paired with the one VL further on: two vectors that
 * lie side by side then need no more than a shift to become pairs.
 *
 * Each element of C is a sum in a fixed order, whatever the rows around it. */

#ifndef MATRIX_UNIT
#define MATRIX_UNIT 0
#endif
#if MATRIX_UNIT

_Static_assert(M_DEPTH == 2 * VL && M_ROWS == VL, "a block of K is two vectors, a tile as high as a vector is long");
static inline ptrdiff_t cut_blocks(ptrdiff_t K) { return ceil_div(K, M_DEPTH); }

/* Bytes of a row of A, and reals of `rows` rows, rounded up to full tiles. */
static inline ptrdiff_t cut_stride(ptrdiff_t K) { return cut_blocks(K) * 3 * 64 + 64; }
static inline ptrdiff_t cut_rows_size(ptrdiff_t rows, ptrdiff_t K) { return (rows + M_ROWS) * cut_stride(K) / (ptrdiff_t)sizeof(real); }
static inline ptrdiff_t cut_matrix_size(ptrdiff_t K, ptrdiff_t V) { return V * cut_blocks(K) * 3 * M_TILE_BYTES / (ptrdiff_t)sizeof(real); }

static inline char *cut_row_at(void *rows, ptrdiff_t i, ptrdiff_t K) { return (char *)rows + i * cut_stride(K); }

/* Lanes that cannot be cut. */
static inline lanes uncuttable(vec x) { return (lanes)~v_lt(v_abs(x), v_set1((real)3.38e38)); }

/* Cuts two vectors and joins their parts. What x0 leaves of x has no more than 16 bits, what x1 leaves of that no more than 8. */
static inline void cut_pair(vec a, vec b, pairs part[3])
{
    UNROLL for (int j = 0; j < 2; j++) {
        const vec a_j = v_upper(a), b_j = v_upper(b);
        part[j] = p_join(a_j, b_j);
        a = v_sub(a, a_j);
        b = v_sub(b, b_j);
    }
    part[2] = p_join(a, b);
}

/* One row of A: `nseg` segments of `klen` elements, `as` apart. */
static void cut_row(const real *x, ptrdiff_t nseg, ptrdiff_t klen, ptrdiff_t as, char *row)
{
    const ptrdiff_t bytes = cut_blocks(nseg * klen) * 64;
    lanes bad = 0;
    ptrdiff_t i = 0; /* in the segment; segments are whole vectors, but for a lone one */
    for (ptrdiff_t k = 0; k < bytes; k += 64) {
        vec v[2];
        UNROLL for (int j = 0; j < 2; j++) {
            v[j] = i + VL <= klen ? v_load(x + i) : i < klen ? v_load_n(x + i, klen - i) : v_set1(0);
            bad |= uncuttable(v[j]);
            i += VL;
            if (i >= klen && nseg > 1) {
                nseg--;
                i = 0;
                x += as;
            }
        }
        pairs part[3];
        cut_pair(v[0], v[1], part);
        UNROLL for (int j = 0; j < 3; j++) p_store(row + j * bytes + k, part[j]);
    }
    row[3 * bytes] = bad != 0;
}

/* Columns of nv vectors of B, of which row k begins at b + k * ldb. Returns whether all could be cut. */
static int cut_matrix(const real *b, ptrdiff_t ldb, ptrdiff_t K, int nv, void *to)
{
    lanes bad = 0;
    char *at = to;
    for (int j = 0; j < nv; j++)
        for (ptrdiff_t k0 = 0; k0 < K; k0 += M_DEPTH, at += 3 * M_TILE_BYTES)
            for (ptrdiff_t i = 0; i < VL; i++) {
                const ptrdiff_t k = k0 + i;
                const real *row = b + k * ldb + j * VL;
                const vec first = k < K ? v_load(row) : v_set1(0), second = k + VL < K ? v_load(row + VL * ldb) : v_set1(0);
                pairs part[3];
                cut_pair(first, second, part);
                UNROLL for (int q = 0; q < 3; q++) p_store(at + q * M_TILE_BYTES + i * 64, part[q]);
                bad |= uncuttable(first) | uncuttable(second);
            }
    return !bad;
}

/* Rows of init or C: the first, the distance of the next, and that of the second panel of a pair. */
typedef struct {
    real *at;
    ptrdiff_t ld, pair;
} cut_rows;

static inline ptrdiff_t in_pair(int nv, int j, ptrdiff_t panel, ptrdiff_t column) { return j / nv * panel + j % nv * column; }

/* R by C tiles of up to 16 rows and 16 columns: `blocks` of K more of their sums. The second tile of rows begins `below` the first, the second column
 * is b_next, i_next and c_next away from it. */
ALWAYS_INLINE void cut_tile(const int R, const int C, ptrdiff_t below, ptrdiff_t blocks, const char *a, ptrdiff_t lda, ptrdiff_t part,
                            const char *b, ptrdiff_t b_next, const real *init, ptrdiff_t ldi, ptrdiff_t i_next, real *c, ptrdiff_t ldc, ptrdiff_t c_next)
{
    const ptrdiff_t size = sizeof(real);
    __asm__ volatile("" : : : "memory"); /* GCC does not know that tiles are loaded from memory, and may store to it later */
    m_load(0, init, ldi * size);
    if (C > 1) m_load(1, init + i_next, ldi * size);
    if (R > 1) m_load(2, init + below * ldi, ldi * size);
    if (R > 1 && C > 1) m_load(3, init + below * ldi + i_next, ldi * size);
#define A_PART(j)                                                     \
    do {                                                              \
        m_load(4, a + (j) * part, lda);                               \
        if (R > 1) m_load(5, a + (j) * part + below * lda, lda);      \
    } while (0)
#define B_PART(j)                                                     \
    do {                                                              \
        m_load(6, b + (j) * M_TILE_BYTES, 64);                        \
        if (C > 1) m_load(7, b + (j) * M_TILE_BYTES + b_next, 64);    \
    } while (0)
#define DOT()                             \
    do {                                  \
        m_dot(0, 4, 6);                   \
        if (C > 1) m_dot(1, 4, 7);        \
        if (R > 1) m_dot(2, 5, 6);        \
        if (R > 1 && C > 1) m_dot(3, 5, 7); \
    } while (0)
    for (ptrdiff_t k = 0; k < blocks; k++, a += 64, b += 3 * M_TILE_BYTES) {
        A_PART(0);
        B_PART(2);
        DOT();
        B_PART(1);
        DOT();
        A_PART(1);
        DOT();
        B_PART(0);
        DOT();
        A_PART(2);
        DOT();
        A_PART(0);
        DOT();
    }
#undef A_PART
#undef B_PART
#undef DOT
    m_store(0, c, ldc * size);
    if (C > 1) m_store(1, c + c_next, ldc * size);
    if (R > 1) m_store(2, c + below * ldc, ldc * size);
    if (R > 1 && C > 1) m_store(3, c + below * ldc + c_next, ldc * size);
}

/* The same for one tile of rows and one block of K, all three parts of whose A stay in tiles while n columns pass by. */
static void cut_strip(int n, int nv, const char *a, ptrdiff_t lda, const char *b, ptrdiff_t bs, cut_rows init, cut_rows c)
{
    const ptrdiff_t size = sizeof(real);
    __asm__ volatile("" : : : "memory");
    m_load(1, a, lda);
    m_load(2, a + 64, lda);
    m_load(3, a + 128, lda);
    for (int j = 0; j < n; j++) {
        const char *column = b + in_pair(nv, j, bs, 3 * M_TILE_BYTES);
        m_load(0, init.at + in_pair(nv, j, init.pair, VL), init.ld * size);
        m_load(6, column + 2 * M_TILE_BYTES, 64);
        m_dot(0, 1, 6);
        m_load(6, column + M_TILE_BYTES, 64);
        m_dot(0, 1, 6);
        m_dot(0, 2, 6);
        m_load(6, column, 64);
        m_dot(0, 2, 6);
        m_dot(0, 3, 6);
        m_dot(0, 1, 6);
        m_store(0, c.at + in_pair(nv, j, c.pair, VL), c.ld * size);
    }
}

/* Columns of memory become rows of A: n <= 16 of them from x on. Column k = s * nb + b of the result is the row of step s
 * and sample b, at x + s * s_ld + b * b_ld. No row is marked: what is infinite there makes its products NaN, which ends a training as well. */
static void cut_transposed(const real *x, ptrdiff_t s_ld, ptrdiff_t ns, ptrdiff_t b_ld, ptrdiff_t nb, ptrdiff_t n, char *to)
{
    const ptrdiff_t blocks = cut_blocks(ns * nb), lda = cut_stride(ns * nb);
    ptrdiff_t s = 0, b = 0;
    for (ptrdiff_t k = 0; k < blocks; k++) {
        vec column[M_DEPTH];
        for (int i = 0; i < M_DEPTH; i++) {
            const real *row = x + s * s_ld + b * b_ld;
            column[i] = s < ns ? v_load_n(row, n) : v_set1(0);
            v_prefetch(row + VL); /* the next columns of it */
            if (++b == nb) b = 0, s++;
        }
        pairs part[3][M_ROWS];
        for (int i = 0; i < M_ROWS; i++) {
            pairs of_two[3];
            cut_pair(column[i], column[i + M_ROWS], of_two);
            UNROLL for (int j = 0; j < 3; j++) part[j][i] = of_two[j];
        }
        for (int j = 0; j < 3; j++) {
            p_transpose(part[j]);
            for (int i = 0; i < M_ROWS; i++) p_store(to + i * lda + (j * blocks + k) * 64, part[j][i]);
        }
    }
    for (int i = 0; i < M_ROWS; i++) to[i * lda + 3 * blocks * 64] = 0;
}

/* One or two tiles of rows, of which A begins at a. If they are more than one and less than two, both have some of them, and find the same; but with
 * one block of K they are whole tiles. */
static void cut_tiles(int rows, int nv, const product *p, const char *a, cut_rows init, const cut_rows c)
{
    const ptrdiff_t K = p->nseg * p->klen, blocks = cut_blocks(K), lda = cut_stride(K), column = blocks * 3 * M_TILE_BYTES;
    const ptrdiff_t bs = p->pair ? p->bs / (K * VL) * column : 0;
    const int n = p->pair ? 2 * nv : nv, h = (int)p->tile_rows;
    for (int r = 0; blocks == 1 && r < rows; r += h)
        cut_strip(n, nv, a + r * lda, lda, p->b_cut, bs, (cut_rows){init.at + r * init.ld, init.ld, init.pair}, (cut_rows){c.at + r * c.ld, c.ld, c.pair});
    if (blocks == 1) return;
    /* What a short sum costs is to begin and to end it: the processor has less in flight with one column, and sees further ahead. Long ones want
     * the fewest loads. Where A is as large as L1, half of it stays there while the columns pass by. */
    const int columns = blocks <= 8 ? 1 : 2;
    const ptrdiff_t slice = rows > h && n > 2 && blocks > 5 && columns == 1 ? 4 : blocks, k1 = p->k1 ? p->k1 : blocks;
    for (ptrdiff_t k = p->k0; k < k1; k += slice, init = c)
        for (int j = 0; j < n; j += columns) {
            const ptrdiff_t in_b = in_pair(nv, j, bs, column), in_init = in_pair(nv, j, init.pair, VL), in_c = in_pair(nv, j, c.pair, VL);
            const int pair = columns == 2 && j + 1 < n;
#define CUT_TILE(R, C)                                                                                                                   \
    cut_tile(R, C, rows - h, min_size(slice, k1 - k), a + k * 64, lda, blocks * 64, (const char *)p->b_cut + in_b + k * 3 * M_TILE_BYTES, \
             in_pair(nv, j + 1, bs, column) - in_b, init.at + in_init, init.ld, in_pair(nv, j + 1, init.pair, VL) - in_init,              \
             c.at + in_c, c.ld, in_pair(nv, j + 1, c.pair, VL) - in_c)
            if (rows > h && pair) CUT_TILE(2, 2);
            else if (rows > h) CUT_TILE(2, 1);
            else if (pair) CUT_TILE(1, 2);
            else CUT_TILE(1, 1);
#undef CUT_TILE
        }
}

/* `multiply` for an A and a B that are cut, of whole vectors. What does not fill a tile, and rows that could not be cut, take a way through `edge`. */
static void multiply_cut(int nv, ptrdiff_t rows, const product *p)
{
    const ptrdiff_t lda = cut_stride(p->nseg * p->klen), h = p->tile_rows;
    const int n = p->pair ? 2 * nv : nv, strips = cut_blocks(p->nseg * p->klen) == 1;
    for (ptrdiff_t i = 0, m; i < rows; i += m) {
        m = min_size(rows - i, 2 * h);
        if (strips && m > h) m -= m % h;
        const char *a = (const char *)p->a_cut + i * lda;
        const cut_rows init = {(real *)p->init + i * p->ldi, p->ldi, p->is}, c = {p->c + i * p->ldc, p->ldc, p->cs};
        int marked = 0;
        for (ptrdiff_t r = 0; r < m; r++) marked |= a[r * lda + lda - 64];
        if (!marked && (m % h == 0 || m > h)) {
            cut_tiles((int)m, nv, p, a, init, c);
            continue;
        }
        real edge[2 * M_ROWS * 2 * PANEL * VL];
        const cut_rows e = {edge, 2 * PANEL * VL, nv * VL};
        for (ptrdiff_t r = 0; r < round_up(m, h); r++)
            for (int j = 0; j < n; j++)
                v_store(e.at + r * e.ld + j * VL, r >= m ? v_set1(0) : v_load(init.at + r * init.ld + in_pair(nv, j, init.pair, VL)));
        cut_tiles((int)m, nv, p, a, e, e);
        for (ptrdiff_t r = 0; r < m; r++)
            for (int j = 0; j < n; j++) {
                real *to = c.at + r * c.ld + in_pair(nv, j, c.pair, VL);
                if (!a[r * lda + lda - 64]) v_store(to, v_load(e.at + r * e.ld + j * VL));
                else if (j % nv == 0 && p->k0 == 0) { /* a panel of floats, with all of K */
                    product lone = *p;
                    lone.b += in_pair(nv, j, p->bs, 0);
                    tiles[nv - 1][0][ALONG](&lone, p->a + (i + r) * p->rs, init.at + r * init.ld + in_pair(nv, j, init.pair, 0), to, lone.b);
                }
            }
    }
}
#else
static inline ptrdiff_t cut_blocks(ptrdiff_t K) { return (void)K, 1; }
static inline ptrdiff_t cut_stride(ptrdiff_t K) { return (void)K, 0; }
static inline void m_open(int rows) { (void)rows; }
static inline void m_close(void) {}
static inline ptrdiff_t cut_rows_size(ptrdiff_t rows, ptrdiff_t K) { return (void)rows, (void)K, 0; }
static inline ptrdiff_t cut_matrix_size(ptrdiff_t K, ptrdiff_t V) { return (void)K, (void)V, 0; }
static inline char *cut_row_at(void *rows, ptrdiff_t i, ptrdiff_t K) { return (void)i, (void)K, (char *)rows; }
static inline int cut_matrix(const real *b, ptrdiff_t ldb, ptrdiff_t K, int nv, void *to) { return (void)b, (void)ldb, (void)K, (void)nv, (void)to, 1; }
static inline void cut_transposed(const real *x, ptrdiff_t s_ld, ptrdiff_t ns, ptrdiff_t b_ld, ptrdiff_t nb, ptrdiff_t n, char *to)
{
    (void)x, (void)s_ld, (void)ns, (void)b_ld, (void)nb, (void)n, (void)to;
}
#endif
