#define FR_TABLE fr_kernels_amx_f32
#define FR_ISA_NAME "amx"
#define FR_DOUBLE 0
#include "../fastrnn.h"
#if FR_AMX
#include "../simd_amx.h"
#include "../kernels.inc.h"
#endif
