#define FR_TABLE fr_kernels_scalar_f64
#define FR_ISA_NAME "scalar"
#define FR_DOUBLE 1
#include "../fastrnn.h"
#include "../simd_scalar.h"
#include "../kernels.inc.h"
