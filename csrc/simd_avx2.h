/* Vectors of AVX2 and FMA; the names are explained in simd_avx512.h. */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this unit with -mavx2 -mfma"
#endif
#include <immintrin.h>

#if FR_DOUBLE
typedef double real;
typedef __m256d vec;
typedef __m256d lanes;
#define VL 4
#define V(op) _mm256_##op##_pd
#else
typedef float real;
typedef __m256 vec;
typedef __m256 lanes;
#define VL 8
#define V(op) _mm256_##op##_ps
#endif
#define TILE_VECS 12 /* of 16 registers */

static inline vec v_set1(real x) { return V(set1)(x); }
static inline vec v_load(const real *p) { return V(loadu)(p); }
static inline void v_store(real *p, vec x) { V(storeu)(p, x); }
static inline __m256i v_first(ptrdiff_t n)
{
#if FR_DOUBLE
    static const int64_t ones[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
#else
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
#endif
    return _mm256_loadu_si256((const __m256i *)(ones + VL - n));
}
static inline vec v_load_n(const real *p, ptrdiff_t n) { return V(maskload)(p, v_first(n)); }
static inline void v_store_n(real *p, vec x, ptrdiff_t n)
{
    if (n == VL) v_store(p, x); /* a masked store takes AMD's processors as long as a dozen plain ones */
    else V(maskstore)(p, v_first(n), x);
}
static inline vec v_add(vec a, vec b) { return V(add)(a, b); }
static inline vec v_sub(vec a, vec b) { return V(sub)(a, b); }
static inline vec v_mul(vec a, vec b) { return V(mul)(a, b); }
static inline vec v_div(vec a, vec b) { return V(div)(a, b); }
static inline vec v_quotient(vec n, vec d) { return v_div(n, d); }
static inline vec v_fma(vec a, vec b, vec c) { return V(fmadd)(a, b, c); }
static inline vec v_fnma(vec a, vec b, vec c) { return V(fnmadd)(a, b, c); }
static inline vec v_max(vec a, vec b) { return V(max)(a, b); }
static inline vec v_min(vec a, vec b) { return V(min)(a, b); }
static inline vec v_abs(vec a) { return V(andnot)(V(set1)((real)-0.0), a); }
static inline vec v_sqrt(vec a) { return V(sqrt)(a); }
static inline vec v_sign_of(vec sign, vec a)
{
    vec bit = V(set1)((real)-0.0);
    return V(or)(V(and)(sign, bit), V(andnot)(bit, a));
}
static inline vec v_ldexp(vec a, vec n)
{
#if FR_DOUBLE /* 1.5 * 2^52 puts n + bias into the low bits of the significand */
    __m256i e = _mm256_castpd_si256(_mm256_add_pd(n, _mm256_set1_pd(6755399441055744.0 + 1023.0)));
    return _mm256_mul_pd(a, _mm256_castsi256_pd(_mm256_slli_epi64(e, 52)));
#else
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));
#endif
}
#if FR_DOUBLE
static inline vec v_as_exponent(vec a) { return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(a), 52)); }
#else
static inline vec v_as_exponent(vec a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23)); }
#endif
static inline lanes v_lt(vec a, vec b) { return V(cmp)(a, b, _CMP_LT_OQ); }
static inline vec v_select(lanes m, vec a, vec b) { return V(blendv)(b, a, m); }
#define v_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define v_prefetch_written(p) __builtin_prefetch(p, 1) /* into L1, to be written to */
#define v_keep(x) __asm__("" : : "x"(x))
#undef V
