/* Activations and their slopes. Definitions and constants: Keras 3 (keras.activations).
 *
 * e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r - 1 = r + r^2 q(r). The coefficients of q minimise the largest error of
 * e^r (Lawson's weighted least squares): 9.6e-8 in float32, 3.5e-18 in float64, below half a unit in the last place. So do those of
 * tanh(u) = u + u^3 q(u^2) for |u| <= ln 2 / 4: 5.5e-8 and 4.1e-18. exp, sigmoid and tanh are then within 4 ulp up to |x| = 40
 * (test_kernels.py measures it). */
#include <math.h>

#if FR_DOUBLE
#define LN2_HI 6.93147180369123816490e-01
#define LN2_LO 1.90821492927058770002e-10
#define EXP_MAX 709.782712893384
#define EXP_MIN -708.0
#define TANH_MAX 20.0 /* tanh(x) rounds to 1 beyond */
#define GATE_MAX 600.0 /* of a sigmoid whose denominator is multiplied by that of a tanh: the product stays finite */
#define Q_DEGREE 9
static const real exp_q[Q_DEGREE + 1] = {
    0.50000000000000129065,    0.16666666666666691803,   0.041666666666514359901,  0.0083333333333114486476,
    0.001388888894724513191,   0.00019841269908787541797, 0.000024801489737662437689, 2.7557223595059203894e-6,
    2.7631344988178526556e-7,  2.5115644776688103116e-8};
#define TANH_DEGREE 5
static const real tanh_q[TANH_DEGREE + 1] = {
    -0.333333333333324859485,  0.133333333327842316904,   -0.0539682527828475902432, 0.0218693707767449526776,
    -0.00885731084659633870937, 0.00344486342184483265056};
#define MAGIC (6755399441055744.0 + 1023) /* 1.5 * 2^52, and the bias of an exponent */
#define M_(name) name
#else
#define LN2_HI 0.693359375f
#define LN2_LO -2.12194440e-4f
#define EXP_MAX 88.72283f
#define EXP_MIN -87.0f
#define TANH_MAX 10.0f
#define GATE_MAX 65.0f
#define Q_DEGREE 3
static const real exp_q[Q_DEGREE + 1] = {0.49999140697658283244f, 0.16666478108221809686f, 0.041898879241298698455f,
                                         0.0083727268928205040678f};
#define TANH_DEGREE 1
static const real tanh_q[TANH_DEGREE + 1] = {-0.333312728578998667364f, 0.13110667860283612504f};
#define MAGIC (12582912.0 + 127)
#define M_(name) name##f
#endif

#define K_(c) v_set1((real)(c))
#define LOG2_E 1.4426950408889634074

/* n = round(x * scale) and 2^n. Adding MAGIC pushes the fraction out and leaves n, biased, in the lowest bits, where it has but to be
 * shifted to become an exponent. */
typedef struct {
    vec n, power;
} whole;
static inline whole round_scaled(vec x, double scale)
{
    const vec sum = v_fma(x, K_(scale), K_(MAGIC));
    return (whole){v_sub(sum, K_(MAGIC)), v_as_exponent(sum)};
}

/* x + n * m * ln 2. In float32 one constant will do: it is off by 2e-9, times n below 1 ulp for |x| < 40, and 4 ulp where sigmoid(x) is 1e-37. Not
 * so in plain C, where the product is rounded too: n * LN2_HI is exact, n * ln 2 makes errors of 68 ulp at x = -72. */
static inline vec add_ln2(vec x, vec n, double m)
{
#if FR_DOUBLE || VL == 1
    return v_fma(n, K_(m * LN2_LO), v_fma(n, K_(m * LN2_HI), x));
#else
    return v_fma(n, K_(m * 0.69314718055994530942), x);
#endif
}

static inline vec exp_clamped(vec x)
{
    x = v_min(v_set1(EXP_MAX), v_max(v_set1(EXP_MIN), x));
    vec n = round_scaled(x, LOG2_E).n, r = v_fnma(n, v_set1(LN2_LO), v_fnma(n, v_set1(LN2_HI), x)), s = v_set1(exp_q[Q_DEGREE]);
    for (int i = Q_DEGREE - 1; i >= 0; i--) s = v_fma(s, r, v_set1(exp_q[i]));
    s = v_fma(v_fma(s, r, K_(1)), r, K_(1));
    return v_ldexp(v_add(s, s), v_sub(n, K_(1))); /* n itself may be one above the largest exponent */
}

/* Zero below EXP_MIN: what 2^n makes of it there, a last normal number or 0, differs between instruction sets. */
static inline vec v_exp(vec x)
{
    const vec y = v_select(v_lt(v_set1(EXP_MAX), x), K_(INFINITY), exp_clamped(x));
    return v_select(v_lt(x, v_set1(EXP_MIN)), K_(0), y);
}

static inline vec v_clip(vec x, double lo, double hi) { return v_min(K_(hi), v_max(K_(lo), x)); } /* NaN stays */

/* 1 + e^-x, of which sigmoid(x) is the reciprocal; e^-x = 2^n e^-r, x = r - n ln 2. As for x = -limit below that. */
static inline vec sigmoid_denominator(vec x, double limit)
{
    x = v_clip(x, -limit, limit);
    const whole w = round_scaled(x, -LOG2_E);
    const vec r = add_ln2(x, w.n, 1);
    vec s = K_(Q_DEGREE % 2 ? -exp_q[Q_DEGREE] : exp_q[Q_DEGREE]);
    for (int i = Q_DEGREE - 1; i >= 0; i--) s = v_fma(s, r, K_(i % 2 ? -exp_q[i] : exp_q[i]));
    s = v_fma(v_fma(s, r, K_(-1)), r, K_(1));
    return v_fma(w.power, s, K_(1));
}

typedef struct {
    vec num, den;
} fraction;

/* With x = u + n ln 2 / 2, t = tanh(u) and p = 2^n: tanh(x) = ((p - 1) + t (p + 1)) / ((p + 1) + t (p - 1)). It is x itself near 0, and never
 * above 1 if the quotient is rounded to the nearest. */
static inline fraction tanh_fraction(vec x)
{
    x = v_clip(x, -TANH_MAX, TANH_MAX);
    const whole w = round_scaled(x, 2 * LOG2_E);
    const vec u = add_ln2(x, w.n, -0.5), square = v_mul(u, u), less = v_sub(w.power, K_(1)), more = v_add(w.power, K_(1));
    vec t = K_(tanh_q[TANH_DEGREE]);
    for (int i = TANH_DEGREE - 1; i >= 0; i--) t = v_fma(t, square, K_(tanh_q[i]));
    t = v_mul(u, v_fma(t, square, K_(1)));
    return (fraction){v_fma(t, more, less), v_fma(t, less, more)};
}

static inline vec v_recip(vec d) { return v_quotient(K_(1), d); }
static inline vec v_sigmoid(vec x) { return v_recip(sigmoid_denominator(x, -EXP_MIN)); }
static inline vec v_tanh(vec x)
{
    const fraction q = tanh_fraction(x);
    return v_quotient(q.num, q.den);
}

/* For the rare ones: the C library, lane by lane. */
static inline vec lanewise(real (*f)(real), vec x)
{
    real t[VL];
    v_store(t, x);
    for (int i = 0; i < VL; i++) t[i] = f(t[i]);
    return v_load(t);
}
static real softplus1(real x) { return (x > 0 ? x : 0) + M_(log1p)(M_(exp)(-M_(fabs)(x))); }
static real erf1(real x) { return M_(erf)(x); }
static real expm11(real x) { return M_(expm1)(x); }

#define SELU_SCALE 1.0507009873554804934193349852946
#define SELU_ALPHA 1.6732632423543772848170429916717
#define HALF_SQRT 0.70710678118654752440 /* 1/sqrt(2) */
#define INV_SQRT_2PI 0.39894228040143267794

static inline vec hard_sigmoid(vec x) { return v_mul(v_clip(v_add(x, K_(3)), 0, 6), K_(1.0 / 6)); }
static inline vec gauss_cdf(vec x) { return v_mul(K_(0.5), v_add(K_(1), lanewise(erf1, v_mul(x, K_(HALF_SQRT))))); }

/* y = activation(x), element-wise kinds. */
ALWAYS_INLINE vec act(const fr_act kind, vec x)
{
    const vec zero = K_(0), one = K_(1);
    switch (kind) {
    case FR_ACT_tanh: return v_tanh(x);
    case FR_ACT_sigmoid: return v_sigmoid(x);
    case FR_ACT_relu: return v_max(zero, x);
    case FR_ACT_hard_sigmoid: return hard_sigmoid(x);
    case FR_ACT_leaky_relu: return v_select(v_lt(x, zero), v_mul(x, K_(0.2)), x);
    case FR_ACT_relu6: return v_clip(x, 0, 6);
    case FR_ACT_elu:
    case FR_ACT_celu: return v_select(v_lt(x, zero), lanewise(expm11, x), x);
    case FR_ACT_selu:
        return v_select(v_lt(x, zero), v_mul(K_(SELU_SCALE * SELU_ALPHA), lanewise(expm11, x)), v_mul(x, K_(SELU_SCALE)));
    case FR_ACT_exponential: return v_exp(x);
    case FR_ACT_softplus: return lanewise(softplus1, x);
    case FR_ACT_softsign: return v_div(x, v_add(one, v_abs(x)));
    case FR_ACT_log_sigmoid: return v_sub(zero, lanewise(softplus1, v_sub(zero, x)));
    case FR_ACT_hard_tanh: return v_clip(x, -1, 1);
    case FR_ACT_sparse_sigmoid: return v_clip(v_mul(K_(0.5), v_add(x, one)), 0, 1);
    case FR_ACT_silu: /* beyond the range of v_sigmoid the true value is 0 */
        return v_select(v_lt(x, v_set1(EXP_MIN)), v_mul(zero, v_max(v_set1(EXP_MIN), x)), v_mul(x, v_sigmoid(x)));
    case FR_ACT_hard_silu: return v_mul(x, hard_sigmoid(x));
    case FR_ACT_gelu: return v_mul(x, gauss_cdf(x));
    case FR_ACT_mish: return v_mul(x, v_tanh(lanewise(softplus1, x)));
    case FR_ACT_tanh_shrink: return v_sub(x, v_tanh(x));
    case FR_ACT_soft_shrink:
        return v_sub(x, v_clip(x, -0.5, 0.5));
    case FR_ACT_hard_shrink: return v_select(v_lt(K_(0.5), v_abs(x)), x, v_mul(zero, x));
    case FR_ACT_squareplus: return v_mul(K_(0.5), v_add(x, v_sqrt(v_fma(x, x, K_(4)))));
    case FR_ACT_sparse_plus: {
        vec u = v_add(x, one), m = v_mul(K_(0.25), v_mul(u, u));
        return v_select(v_lt(x, one), v_select(v_lt(K_(-1), x), m, v_mul(zero, x)), x);
    }
    default: return x;
    }
}

/* 1 where lo < y < hi, else 0 */
static inline vec inside(vec y, real lo, real hi)
{
    return v_select(v_lt(v_set1(lo), y), v_select(v_lt(y, v_set1(hi)), K_(1), K_(0)), K_(0));
}

/* d activation(x) / dx from the output y and, for the kinds marked in activations.def, the input x. */
ALWAYS_INLINE vec act_slope(const fr_act kind, vec x, vec y)
{
    const vec zero = K_(0), one = K_(1);
    switch (kind) {
    case FR_ACT_tanh: return v_fnma(y, y, one);
    case FR_ACT_sigmoid: return v_fnma(y, y, y);
    case FR_ACT_relu: return v_select(v_lt(zero, y), one, zero);
    case FR_ACT_hard_sigmoid: return v_mul(K_(1.0 / 6), inside(y, 0, 1));
    case FR_ACT_leaky_relu: return v_select(v_lt(zero, y), one, K_(0.2));
    case FR_ACT_relu6: return inside(y, 0, 6);
    case FR_ACT_elu:
    case FR_ACT_celu: return v_select(v_lt(y, zero), v_add(y, one), one);
    case FR_ACT_selu: return v_select(v_lt(y, zero), v_add(y, K_(SELU_SCALE * SELU_ALPHA)), K_(SELU_SCALE));
    case FR_ACT_exponential: return y;
    case FR_ACT_softplus: return v_sub(one, v_exp(v_sub(zero, y)));
    case FR_ACT_softsign: {
        vec u = v_sub(one, v_abs(y));
        return v_mul(u, u);
    }
    case FR_ACT_log_sigmoid: return v_sub(one, v_exp(y));
    case FR_ACT_hard_tanh: return inside(y, -1, 1);
    case FR_ACT_sparse_sigmoid: return v_mul(K_(0.5), inside(y, 0, 1));
    case FR_ACT_silu: {
        vec s = v_sigmoid(x);
        return v_select(v_lt(x, v_set1(EXP_MIN)), zero, v_fma(y, v_sub(one, s), s));
    }
    case FR_ACT_hard_silu: {
        vec h = hard_sigmoid(x);
        return v_fma(v_mul(x, K_(1.0 / 6)), inside(h, 0, 1), h);
    }
    case FR_ACT_gelu:
        return v_fma(v_mul(x, K_(INV_SQRT_2PI)), v_exp(v_mul(K_(-0.5), v_mul(x, x))), gauss_cdf(x));
    case FR_ACT_mish: {
        vec t = v_tanh(lanewise(softplus1, x));
        return v_fma(v_mul(x, v_sigmoid(x)), v_fnma(t, t, one), t);
    }
    case FR_ACT_tanh_shrink: {
        vec t = v_tanh(x);
        return v_mul(t, t);
    }
    case FR_ACT_soft_shrink:
    case FR_ACT_hard_shrink: return v_select(v_lt(K_(0.5), v_abs(x)), one, zero);
    case FR_ACT_squareplus: return v_mul(K_(0.5), v_add(one, v_div(x, v_sqrt(v_fma(x, x, K_(4))))));
    case FR_ACT_sparse_plus: return v_mul(K_(0.5), v_clip(v_add(x, one), 0, 2));
    default: return one;
    }
}

static inline int act_needs_input(fr_act kind)
{
#define FR_ACT(name, needs_input) needs_input,
    static const unsigned char t[] = {
#include "activations.def"
    };
#undef FR_ACT
    return t[kind];
}

/* Where the kind is known at compile time the code for it is inlined; any other goes through one out-of-line switch. */
static __attribute__((noinline)) vec act_any(fr_act kind, vec x) { return act(kind, x); }
static __attribute__((noinline)) vec act_slope_any(fr_act kind, vec x, vec y) { return act_slope(kind, x, y); }
ALWAYS_INLINE vec apply(const fr_act kind, vec x) { return __builtin_constant_p(kind) ? act(kind, x) : act_any(kind, x); }
ALWAYS_INLINE vec slope(const fr_act kind, vec x, vec y)
{
    return __builtin_constant_p(kind) ? act_slope(kind, x, y) : act_slope_any(kind, x, y);
}

/* gate(a), f(b) and their product. A denominator that sigmoid and tanh share costs less than two reciprocals, and one or two units in the last place;
 * tanh alone gets them back, which also keeps it from rounding above 1. What is not used of the three costs nothing. */
typedef struct {
    vec gate, value, product;
} gated;
ALWAYS_INLINE gated apply_gated(const fr_act gate, const fr_act f, vec a, vec b)
{
    if (__builtin_constant_p(gate) && __builtin_constant_p(f) && gate == FR_ACT_sigmoid && f == FR_ACT_tanh) {
        const vec d = sigmoid_denominator(a, GATE_MAX);
        const fraction q = tanh_fraction(b);
        const vec both = v_recip(v_mul(d, q.den)), inverse = v_mul(d, both), value = v_mul(q.num, inverse);
        return (gated){v_mul(q.den, both), v_fma(v_fnma(value, q.den, q.num), inverse, value), v_mul(q.num, both)};
    }
    const vec x = apply(gate, a), y = apply(f, b);
    return (gated){x, y, v_mul(x, y)};
}

static inline int act_is_rowwise(fr_act kind) { return kind == FR_ACT_softmax || kind == FR_ACT_log_softmax; }
