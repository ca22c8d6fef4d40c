#define FR_TABLE fr_kernels_avx512_f64
#define FR_ISA_NAME "avx512"
#define FR_DOUBLE 1
#include "../fastrnn.h"
#include "../simd_avx512.h"
#include "../kernels.inc.h"
