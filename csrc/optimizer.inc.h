/* One update of n parameters. The rules, with their sources, are in fastrnn/optimizers/rules.py; tests hold this against `update` there.
 * The numbers s[] of a step are the values of `scalars()` of each rule, in that order: lr, the number t of the update from 1, then the rule's own. */

#define FOR_PARAMETERS(u)                                                                                                   \
    real *const w = (u)->w, *const s0 = (u)->slot[0], *const s1 = (u)->slot[1], *const s2 = (u)->slot[2];                    \
    (void)s0, (void)s1, (void)s2;                                                                                           \
    for (ptrdiff_t i = 0, n = (u)->n < VL ? (u)->n : VL; i < (u)->n; i += VL, n = (u)->n - i < VL ? (u)->n - i : VL)
#define LOAD(p) v_load_n((p) + i, n)
#define STORE(p, x) v_store_n((p) + i, x, n)
/* the weight, decayed, and the gradient, clipped */
#define WEIGHT() v_fnma(LOAD(w), decay, LOAD(w))
#define GRADIENT() clip_gradient(LOAD(g), g_scale, limit)

static inline vec clip_gradient(vec g, vec scale, vec limit)
{
    return v_max(v_sub(K_(0), limit), v_min(limit, v_mul(g, scale)));
}

/* x^n of a whole number n >= 0. By a choice in memory: a branch on bits that count up would be mispredicted, and pow() takes 5 % of a small step. */
static double whole_power(double x, double n)
{
    double y = 1;
    for (uint64_t k = (uint64_t)n; k; k >>= 1, x *= x) y *= (double[]){1, x}[k & 1];
    return y;
}

static void update(const fr_update *u)
{
    const real *g = u->g;
    const double *s = u->s;
    const vec g_scale = K_(u->g_scale), limit = K_(u->clip_value > 0 ? u->clip_value : INFINITY), decay = K_(u->decay);
    const vec lr = K_(s[0]), zero = K_(0);
    switch (u->kind) {
    case FR_SGD: { /* lr, t, momentum, nesterov */
        const vec mu = K_(s[2]);
        FOR_PARAMETERS(u) {
            vec d = v_mul(lr, GRADIENT()), x = WEIGHT();
            if (s0) {
                vec m = v_sub(v_mul(mu, LOAD(s0)), d);
                STORE(s0, m);
                x = v_add(x, s[3] != 0 ? v_sub(v_mul(mu, m), d) : m);
            } else {
                x = v_sub(x, d);
            }
            STORE(w, x);
        }
        break;
    }
    case FR_RMSPROP: { /* lr, t, rho, momentum, epsilon, centered; slots: velocity, [momentum], [average gradient] */
        const vec rho = K_(s[2]), rest = K_(1 - s[2]), mu = K_(s[3]), eps = K_(s[4]);
        FOR_PARAMETERS(u) {
            vec d = GRADIENT(), v = v_fma(rho, LOAD(s0), v_mul(rest, v_mul(d, d))), root = v_add(v, eps);
            STORE(s0, v);
            if (s[5] != 0) {
                real *average = s[3] > 0 ? s2 : s1;
                vec a = v_fma(rho, LOAD(average), v_mul(rest, d));
                STORE(average, a);
                root = v_add(v_fnma(a, a, v), eps);
            }
            vec step = v_div(v_mul(lr, d), v_sqrt(root));
            if (s[3] > 0) {
                step = v_fma(mu, LOAD(s1), step);
                STORE(s1, step);
            }
            STORE(w, v_sub(WEIGHT(), step));
        }
        break;
    }
    case FR_ADAM: { /* lr, t, beta_1, beta_2, epsilon, amsgrad */
        const vec alpha = K_(s[0] * sqrt(1 - whole_power(s[3], s[1])) / (1 - whole_power(s[2], s[1])));
        const vec r1 = K_(1 - s[2]), r2 = K_(1 - s[3]), eps = K_(s[4]);
        FOR_PARAMETERS(u) {
            vec d = GRADIENT(), m = LOAD(s0), v = LOAD(s1);
            m = v_fma(v_sub(d, m), r1, m);
            v = v_fma(v_sub(v_mul(d, d), v), r2, v);
            STORE(s0, m);
            STORE(s1, v);
            if (s[5] != 0) {
                v = v_max(LOAD(s2), v);
                STORE(s2, v);
            }
            STORE(w, v_sub(WEIGHT(), v_div(v_mul(alpha, m), v_add(v_sqrt(v), eps))));
        }
        break;
    }
    case FR_ADAMAX: { /* lr, t, beta_1, beta_2, epsilon */
        const vec alpha = K_(s[0] / (1 - whole_power(s[2], s[1]))), r1 = K_(1 - s[2]), b2 = K_(s[3]), eps = K_(s[4]);
        FOR_PARAMETERS(u) {
            vec d = GRADIENT(), m = LOAD(s0), v = v_max(v_mul(b2, LOAD(s1)), v_abs(d));
            m = v_fma(v_sub(d, m), r1, m);
            STORE(s0, m);
            STORE(s1, v);
            STORE(w, v_sub(WEIGHT(), v_div(v_mul(alpha, m), v_add(v, eps))));
        }
        break;
    }
    case FR_NADAM: { /* lr, t, beta_1, beta_2, epsilon, m_factor, g_factor, v_factor */
        const vec r1 = K_(1 - s[2]), r2 = K_(1 - s[3]), eps = K_(s[4]), fm = K_(s[5]), fg = K_(s[6]), fv = K_(s[7]);
        FOR_PARAMETERS(u) {
            vec d = GRADIENT(), m = LOAD(s0), v = LOAD(s1);
            m = v_fma(v_sub(d, m), r1, m);
            v = v_fma(v_sub(v_mul(d, d), v), r2, v);
            STORE(s0, m);
            STORE(s1, v);
            vec top = v_mul(lr, v_fma(fm, m, v_mul(fg, d)));
            STORE(w, v_sub(WEIGHT(), v_div(top, v_add(v_sqrt(v_mul(fv, v)), eps))));
        }
        break;
    }
    case FR_ADAGRAD: { /* lr, t, epsilon */
        const vec eps = K_(s[2]);
        FOR_PARAMETERS(u) {
            vec d = GRADIENT(), a = v_fma(d, d, LOAD(s0));
            STORE(s0, a);
            STORE(w, v_sub(WEIGHT(), v_div(v_mul(lr, d), v_sqrt(v_add(a, eps)))));
        }
        break;
    }
    case FR_ADADELTA: { /* lr, t, rho, epsilon */
        const vec rho = K_(s[2]), rest = K_(1 - s[2]), eps = K_(s[3]);
        FOR_PARAMETERS(u) {
            vec d = GRADIENT(), a = v_fma(rho, LOAD(s0), v_mul(rest, v_mul(d, d))), old = LOAD(s1);
            vec x = v_div(v_mul(v_sub(zero, d), v_sqrt(v_add(old, eps))), v_sqrt(v_add(a, eps)));
            STORE(s0, a);
            STORE(s1, v_fma(rho, old, v_mul(rest, v_mul(x, x))));
            STORE(w, v_fma(lr, x, WEIGHT()));
        }
        break;
    }
    case FR_LION: { /* lr, t, beta_1, beta_2 */
        const vec b1 = K_(s[2]), r1 = K_(1 - s[2]), b2 = K_(s[3]), r2 = K_(1 - s[3]), one = K_(1);
        FOR_PARAMETERS(u) {
            vec d = GRADIENT(), m = LOAD(s0), x = v_fma(b1, m, v_mul(r1, d));
            vec sign = v_select(v_lt(zero, v_abs(x)), v_sign_of(x, one), v_mul(x, zero));
            STORE(s0, v_fma(b2, m, v_mul(r2, d)));
            STORE(w, v_sub(WEIGHT(), v_mul(lr, sign)));
        }
        break;
    }
    case FR_FTRL: { /* lr, t, power, l1, l2, shrinkage; the power is rarely 1/2, so by the C library, element by element */
        real *w = u->w, *n = u->slot[0], *z = u->slot[1];
        const double rate = s[0], p = s[2], l1 = s[3], l2 = s[4], shrink = s[5];
        for (ptrdiff_t i = 0; i < u->n; i++) {
            double d = (double)g[i] * u->g_scale, x = w[i] - w[i] * u->decay;
            if (u->clip_value > 0) d = d < -u->clip_value ? -u->clip_value : d > u->clip_value ? u->clip_value : d;
            const double n_new = n[i] + d * d, power = pow(n_new, p);
            const double l = z[i] + d + 2 * shrink * x - (power - pow(n[i], p)) / rate * x;
            const double clipped = l < -l1 ? -l1 : l > l1 ? l1 : l;
            w[i] = (real)((clipped - l) / (power / rate + 2 * l2));
            n[i] = (real)n_new;
            z[i] = (real)l;
        }
        break;
    }
    }
}
#undef FOR_PARAMETERS
#undef LOAD
#undef STORE
#undef WEIGHT
#undef GRADIENT

static double sum_of_squares(const void *x, ptrdiff_t n)
{
    const real *v = x;
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    return sum;
}
