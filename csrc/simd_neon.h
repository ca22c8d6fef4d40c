/* Vectors of AArch64 Advanced SIMD; the names are explained in simd_avx512.h. */
#if !defined(__aarch64__)
#error "this unit is for AArch64"
#endif
#include <arm_neon.h>

#if FR_DOUBLE
typedef double real;
typedef float64x2_t vec;
typedef uint64x2_t lanes;
#define VL 2
#define V(op) v##op##q_f64
#define V_N(op) v##op##q_n_f64
#else
typedef float real;
typedef float32x4_t vec;
typedef uint32x4_t lanes;
#define VL 4
#define V(op) v##op##q_f32
#define V_N(op) v##op##q_n_f32
#endif
#define TILE_VECS 24

static inline vec v_set1(real x) { return V_N(dup)(x); }
static inline vec v_load(const real *p) { return V(ld1)(p); }
static inline void v_store(real *p, vec x) { V(st1)(p, x); }
static inline vec v_load_n(const real *p, ptrdiff_t n)
{
    real t[VL] = {0};
    for (ptrdiff_t i = 0; i < n; i++) t[i] = p[i];
    return V(ld1)(t);
}
static inline void v_store_n(real *p, vec x, ptrdiff_t n)
{
    real t[VL];
    V(st1)(t, x);
    for (ptrdiff_t i = 0; i < n; i++) p[i] = t[i];
}
static inline vec v_add(vec a, vec b) { return V(add)(a, b); }
static inline vec v_sub(vec a, vec b) { return V(sub)(a, b); }
static inline vec v_mul(vec a, vec b) { return V(mul)(a, b); }
static inline vec v_div(vec a, vec b) { return V(div)(a, b); }
static inline vec v_quotient(vec n, vec d) { return v_div(n, d); }
static inline vec v_fma(vec a, vec b, vec c) { return V(fma)(c, a, b); }
static inline vec v_fnma(vec a, vec b, vec c) { return V(fms)(c, a, b); }
static inline lanes v_lt(vec a, vec b) { return V(clt)(a, b); }
static inline vec v_select(lanes m, vec a, vec b) { return V(bsl)(m, a, b); }
static inline vec v_max(vec a, vec b) { return v_select(V(cgt)(a, b), a, b); } /* vmax would return NaN for NaN */
static inline vec v_min(vec a, vec b) { return v_select(V(clt)(a, b), a, b); }
static inline vec v_abs(vec a) { return V(abs)(a); }
static inline vec v_sqrt(vec a) { return V(sqrt)(a); }
#if FR_DOUBLE
static inline vec v_as_exponent(vec a) { return vreinterpretq_f64_s64(vshlq_n_s64(vreinterpretq_s64_f64(a), 52)); }
static inline vec v_sign_of(vec sign, vec a) { return vbslq_f64(vdupq_n_u64(1ull << 63), sign, a); }
static inline vec v_ldexp(vec a, vec n)
{
    int64x2_t e = vaddq_s64(vcvtq_s64_f64(n), vdupq_n_s64(1023));
    return vmulq_f64(a, vreinterpretq_f64_s64(vshlq_n_s64(e, 52)));
}
#else
static inline vec v_as_exponent(vec a) { return vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(a), 23)); }
static inline vec v_sign_of(vec sign, vec a) { return vbslq_f32(vdupq_n_u32(1u << 31), sign, a); }
static inline vec v_ldexp(vec a, vec n)
{
    int32x4_t e = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(e, 23)));
}
#endif
#define v_prefetch(p) __builtin_prefetch(p, 0, 2)
#define v_prefetch_written(p) __builtin_prefetch(p, 1) /* into L1, to be written to */
#define v_keep(x) __asm__("" : : "w"(x))
#undef V
#undef V_N
