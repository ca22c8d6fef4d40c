/* AVX-512 with a matrix unit: AMX, whose tiles of 16 x 16 floats take products of bfloat16. Other units have MATRIX_UNIT 0 and none of this.
 * The tiles are named by literals, 0 to 7, since the instructions have them as constants. */
#include "simd_avx512.h"
#if !defined(__AMX_BF16__)
#error "compile this unit with -mamx-tile -mamx-bf16 and the flags of simd_avx512.h"
#endif

#define MATRIX_UNIT 1
#define M_ROWS 16          /* of a tile, each of 64 bytes: 16 floats, or 32 bfloat16 */
#define M_DEPTH 32         /* terms that one instruction adds to each element */
#define M_TILE_BYTES 1024

/* Makes tiles 0 to 5 `rows` high: 6 and 7 are for right operands. */
static inline void m_open(int rows)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.row_bytes[i] = 64;
        shape.rows[i] = (uint8_t)(i < 6 ? rows : 16);
    }
    __asm__ volatile("" : : "r"(&shape) : "memory"); /* GCC believes that the instruction reads no more than 8 bytes, and need not write the others */
    _tile_loadconfig(&shape);
}
static inline void m_close(void) { _tile_release(); }
#define m_load(tile, p, bytes) _tile_loadd(tile, p, bytes) /* rows so many bytes apart */
#define m_store(tile, p, bytes) _tile_stored(tile, p, bytes)
#define m_dot(c, a, b) _tile_dpbf16ps(c, a, b) /* c += a b */

typedef __m512i pairs; /* 32 bfloat16: those of two vectors in turn, a0 b0 a1 b1 ... */
/* x to the nearest bfloat16, which is the upper half of a float. Added to the bits, half of the lower half carries into the upper where it has to. */
static inline vec v_upper(vec x)
{
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000)));
}
/* Of two vectors without a lower half; where a NaN has one, it spoils only its own row or column. What is left of a denormal would have one as well:
 * kernels run with denormals as zero. */
static inline pairs p_join(vec a, vec b) { return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(a), 16), _mm512_castps_si512(b)); }
static inline void p_store(void *p, pairs x) { _mm512_storeu_si512(p, x); }

/* Transposes 16 vectors of 16 pairs. */
static inline void p_transpose(pairs *x)
{
    pairs y[16];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++) {
            y[i + 8 * j] = _mm512_shuffle_i32x4(x[i + 8 * j], x[i + 8 * j + 4], 0x88);
            y[i + 8 * j + 4] = _mm512_shuffle_i32x4(x[i + 8 * j], x[i + 8 * j + 4], 0xdd);
        }
    for (int i = 0; i < 8; i++) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
    }
}
