#define FR_TABLE fr_kernels_avx2_f64
#define FR_ISA_NAME "avx2"
#define FR_DOUBLE 1
#include "../fastrnn.h"
#include "../simd_avx2.h"
#include "../kernels.inc.h"
