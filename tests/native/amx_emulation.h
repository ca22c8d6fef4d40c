/* AMX in plain C, for a processor with AVX-512 but without: included before everything in the unit of AMX and in dispatch.c. Sums as the processor
 * does: of the 32 terms of an instruction those of even and of odd k by themselves, denormals as zero (Intel SDM, TDPBF16PS). A tile that is
 * used before it is set up ends the process. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define FR_AMX_EMULATED 1
#ifndef __AMX_BF16__
#define __AMX_BF16__ 1
#endif
#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_loadconfig
#define _tile_release() (void)(emulated.open = 0)
#define _tile_loadd emulated_loadd
#define _tile_stored emulated_stored
#define _tile_dpbf16ps emulated_dpbf16ps

enum { EMULATED_WIDTH = 64, EMULATED_PAIRS = 16 };

static _Thread_local struct {
    int open;
    uint8_t shape[64], tile[8][16][EMULATED_WIDTH];
} emulated;

static inline void emulated_loadconfig(const void *shape)
{
    memset(&emulated, 0, sizeof emulated);
    memcpy(emulated.shape, shape, sizeof emulated.shape);
    emulated.open = 1;
}

static inline int emulated_rows(int tile)
{
    if (!emulated.open) __builtin_trap();
    return emulated.shape[48 + tile];
}

static inline void emulated_loadd(int tile, const void *from, ptrdiff_t stride)
{
    memset(emulated.tile[tile], 0, sizeof emulated.tile[tile]);
    for (int i = 0; i < emulated_rows(tile); i++) memcpy(emulated.tile[tile][i], (const char *)from + i * stride, EMULATED_WIDTH);
}

static inline void emulated_stored(int tile, void *to, ptrdiff_t stride)
{
    for (int i = 0; i < emulated_rows(tile); i++) memcpy((char *)to + i * stride, emulated.tile[tile][i], EMULATED_WIDTH);
}

/* bfloat16 number i of a row */
static inline float emulated_float(const uint8_t *row, int i)
{
    uint16_t upper;
    memcpy(&upper, row + 2 * i, sizeof upper);
    uint32_t bits = (uint32_t)upper << 16;
    if (!(bits & 0x7f800000)) bits &= 0x80000000;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void emulated_dpbf16ps(int c, int a, int b)
{
    for (int m = 0; m < emulated_rows(c); m++) {
        float even[EMULATED_PAIRS] = {0}, odd[EMULATED_PAIRS] = {0}, sum[EMULATED_PAIRS];
        for (int k = 0; k < EMULATED_PAIRS; k++) {
            const float a0 = emulated_float(emulated.tile[a][m], 2 * k), a1 = emulated_float(emulated.tile[a][m], 2 * k + 1);
            for (int n = 0; n < EMULATED_PAIRS; n++) {
                even[n] += a0 * emulated_float(emulated.tile[b][k], 2 * n);
                odd[n] += a1 * emulated_float(emulated.tile[b][k], 2 * n + 1);
            }
        }
        memcpy(sum, emulated.tile[c][m], sizeof sum);
        for (int n = 0; n < EMULATED_PAIRS; n++) sum[n] += even[n] + odd[n];
        memcpy(emulated.tile[c][m], sum, sizeof sum);
    }
}
