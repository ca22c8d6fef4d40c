/* "Vectors" of one element in plain C: the baseline that runs anywhere. Names as in simd_avx512.h. */
#include <math.h>
#include <string.h>

#if FR_DOUBLE
typedef double real;
#define S(name) name
#else
typedef float real;
#define S(name) name##f
#endif
typedef real vec;
typedef int lanes;
#define VL 1
#define TILE_VECS 12

static inline vec v_set1(real x) { return x; }
static inline vec v_load(const real *p) { return *p; }
static inline void v_store(real *p, vec x) { *p = x; }
static inline vec v_load_n(const real *p, ptrdiff_t n) { return n > 0 ? *p : (real)0; }
static inline void v_store_n(real *p, vec x, ptrdiff_t n) { if (n > 0) *p = x; }
static inline vec v_add(vec a, vec b) { return a + b; }
static inline vec v_sub(vec a, vec b) { return a - b; }
static inline vec v_mul(vec a, vec b) { return a * b; }
static inline vec v_div(vec a, vec b) { return a / b; }
static inline vec v_quotient(vec n, vec d) { return v_div(n, d); }
static inline vec v_fma(vec a, vec b, vec c) { return a * b + c; } /* rounds twice: fma() in software costs 50x */
static inline vec v_fnma(vec a, vec b, vec c) { return c - a * b; }
static inline vec v_max(vec a, vec b) { return a > b ? a : b; }
static inline vec v_min(vec a, vec b) { return a < b ? a : b; }
static inline vec v_abs(vec a) { return S(fabs)(a); }
static inline vec v_sqrt(vec a) { return S(sqrt)(a); }
static inline vec v_sign_of(vec sign, vec a) { return S(copysign)(a, sign); }
static inline vec v_ldexp(vec a, vec n)
{
#if FR_DOUBLE
    uint64_t e = n != n ? 0 : (uint64_t)((int64_t)n + 1023) << 52;
#else
    uint32_t e = n != n ? 0 : (uint32_t)((int32_t)n + 127) << 23;
#endif
    real p;
    memcpy(&p, &e, sizeof p);
    return a * p;
}
static inline vec v_as_exponent(vec a)
{
#if FR_DOUBLE
    uint64_t e;
    memcpy(&e, &a, sizeof e);
    e <<= 52;
#else
    uint32_t e;
    memcpy(&e, &a, sizeof e);
    e <<= 23;
#endif
    memcpy(&a, &e, sizeof e);
    return a;
}
static inline lanes v_lt(vec a, vec b) { return a < b; }
static inline vec v_select(lanes m, vec a, vec b) { return m ? a : b; }
#define v_prefetch(p) ((void)(p))
#define v_prefetch_written(p) ((void)(p))
#define v_keep(x) ((void)(x))
#undef S
