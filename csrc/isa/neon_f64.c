#define FR_TABLE fr_kernels_neon_f64
#define FR_ISA_NAME "neon"
#define FR_DOUBLE 1
#include "../fastrnn.h"
#include "../simd_neon.h"
#include "../kernels.inc.h"
