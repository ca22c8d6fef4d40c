/* All kernels of one instruction set and one dtype. Each isa/<name>_<dtype>.c includes a simd_*.h and then this; only the table at the end
 * is visible outside, so that no function compiled for one instruction set can be called by another. */
#include <string.h>

#include "gemm.inc.h"
#include "weave.inc.h"
#include "act.inc.h"
#include "gates.inc.h"
#include "rnn_plan.inc.h"
#include "rnn_step.inc.h"
#include "rnn_products.inc.h"
#include "rnn.inc.h"

extern const fr_kernels FR_TABLE;
#if MATRIX_UNIT
/* Only recurrent layers multiply with it: what else there is, dispatch.c takes from the unit without, rather than have it compiled twice. */
const fr_kernels FR_TABLE = {
    .isa = FR_ISA_NAME,
    .forward = {[FR_OP_rnn] = rnn_forward},
    .backward = {[FR_OP_rnn] = rnn_backward},
    .rnn_sizes = rnn_sizes,
};
#else
#include "activate.inc.h"
#include "dense.inc.h"
#include "conv2d.inc.h"
#include "pool.inc.h"
#include "rearrange.inc.h"
#include "sequence.inc.h"
#include "normalization.inc.h"
#include "rectifier.inc.h"
#include "noise.inc.h"
#include "loss.inc.h"
#include "optimizer.inc.h"

/* n rounds of fused multiply-adds on as many registers as a tile has: the most that vectors could ever reach. */
static double fma_chain(ptrdiff_t n)
{
    vec acc[12];
    const vec x = K_(0.999), y = K_(0.001);
    UNROLL for (int j = 0; j < 12; j++) acc[j] = K_(j);
    for (ptrdiff_t i = 0; i < n; i++) {
        UNROLL for (int j = 0; j < 12; j++) acc[j] = v_fma(acc[j], x, y);
    }
    real sum[VL];
    UNROLL for (int j = 1; j < 12; j++) acc[0] = v_add(acc[0], acc[j]);
    v_store(sum, acc[0]);
    volatile real keep = sum[0]; /* or the compiler drops the loop */
    (void)keep;
    return 2.0 * 12 * VL * (double)n;
}

static double read_all(const void *x, ptrdiff_t n)
{
    const real *p = x;
    vec sum[8];
    real out[VL];
    UNROLL for (int j = 0; j < 8; j++) sum[j] = K_(0);
    for (ptrdiff_t i = 0; i + 8 * VL <= n; i += 8 * VL) {
        UNROLL for (int j = 0; j < 8; j++) sum[j] = v_add(sum[j], v_load(p + i + j * VL));
    }
    UNROLL for (int j = 1; j < 8; j++) sum[0] = v_add(sum[0], sum[j]);
    v_store(out, sum[0]);
    return out[0];
}

const fr_kernels FR_TABLE = {
    .isa = FR_ISA_NAME,
    .dtype = FR_DOUBLE ? FR_F64 : FR_F32,
    .lanes = VL,
    .element = sizeof(real),
    .forward = {
#define FR_OP(name) name##_forward,
#include "ops.def"
#undef FR_OP
    },
    .backward = {
#define FR_OP(name) name##_backward,
#include "ops.def"
#undef FR_OP
    },
    .loss = loss,
    .update = update,
    .sum_of_squares = sum_of_squares,
    .activate = activate,
    .rnn_sizes = rnn_sizes,
    .dense_sizes = dense_sizes,
    .fma_chain = fma_chain,
    .read_all = read_all,
};
#endif
