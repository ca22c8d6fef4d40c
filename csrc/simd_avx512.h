/* Vectors of AVX-512. Every simd_*.h defines the same names; nothing else in the project knows an intrinsic.
 * `real` and `vec` are float or double by FR_DOUBLE. */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__)
#error "compile this unit with -mavx512f -mavx512dq -mavx512vl -mavx512bw -mfma"
#endif
#include <immintrin.h>

#if FR_DOUBLE
typedef double real;
typedef __m512d vec;
typedef __mmask8 lanes;
#define VL 8
#define V(op) _mm512_##op##_pd
#else
typedef float real;
typedef __m512 vec;
typedef __mmask16 lanes;
#define VL 16
#define V(op) _mm512_##op##_ps
#endif
#define TILE_VECS 24 /* accumulators of a tile; leaves 3 weights, 1 broadcast and slack of 32 registers */

static inline vec v_set1(real x) { return V(set1)(x); }
static inline vec v_load(const real *p) { return V(loadu)(p); }
static inline void v_store(real *p, vec x) { V(storeu)(p, x); }
static inline lanes v_first(ptrdiff_t n) { return (lanes)((1u << n) - 1u); }
static inline vec v_load_n(const real *p, ptrdiff_t n) { return V(maskz_loadu)(v_first(n), p); }
static inline void v_store_n(real *p, vec x, ptrdiff_t n) { V(mask_storeu)(p, v_first(n), x); }
static inline vec v_add(vec a, vec b) { return V(add)(a, b); }
static inline vec v_sub(vec a, vec b) { return V(sub)(a, b); }
static inline vec v_mul(vec a, vec b) { return V(mul)(a, b); }
static inline vec v_div(vec a, vec b) { return V(div)(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return V(fmadd)(a, b, c); }   /* a*b + c */
static inline vec v_fnma(vec a, vec b, vec c) { return V(fnmadd)(a, b, c); } /* c - a*b */
static inline vec v_max(vec a, vec b) { return V(max)(a, b); }               /* b if either is NaN */
static inline vec v_min(vec a, vec b) { return V(min)(a, b); }               /* b if either is NaN */
static inline vec v_abs(vec a) { return V(abs)(a); }
static inline vec v_sqrt(vec a) { return V(sqrt)(a); }
static inline vec v_sign_of(vec sign, vec a) /* |a| with the sign of `sign` */
{
    vec bit = V(set1)((real)-0.0);
    return V(or)(V(and)(sign, bit), V(andnot)(bit, a));
}
static inline vec v_ldexp(vec a, vec n) { return V(scalef)(a, n); } /* a * 2^n, n whole */
#if FR_DOUBLE
static inline vec v_quotient(vec n, vec d) { return v_div(n, d); }
static inline vec v_as_exponent(vec a) { return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a), 52)); }
static inline lanes v_lt(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
static inline vec v_select(lanes m, vec a, vec b) { return _mm512_mask_blend_pd(m, b, a); } /* m ? a : b */
#else
/* n/d for 0.5 <= d < 2^126: 14 bits of 1/d and a step of Newton's on the quotient, within 1 ulp. A division occupies its unit for 10 cycles, this for 4. */
static inline vec v_quotient(vec n, vec d)
{
    const vec r = _mm512_rcp14_ps(d), q = v_mul(n, r);
    return v_fma(v_fnma(q, d, n), r, q);
}
static inline vec v_as_exponent(vec a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23)); } /* its lowest bits */
static inline lanes v_lt(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vec v_select(lanes m, vec a, vec b) { return _mm512_mask_blend_ps(m, b, a); } /* m ? a : b */
#endif
/* Into L2. A macro: GCC takes a function that does no more for one without effect and drops the call. */
#define v_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define v_prefetch_written(p) __builtin_prefetch(p, 1) /* into L1, to be written to */
#define v_keep(x) __asm__("" : : "v"(x)) /* x is wanted up to here */
#undef V
