#define FR_TABLE fr_kernels_scalar_f32
#define FR_ISA_NAME "scalar"
#define FR_DOUBLE 0
#include "../fastrnn.h"
#include "../simd_scalar.h"
#include "../kernels.inc.h"
