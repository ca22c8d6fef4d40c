/* Losses and metrics: l(y_true, y_pred) of one row, and its gradient. Formulas are Keras's; fastrnn/losses/ has them in NumPy, with
 * their derivatives, and tests hold this file against it. Sums run in double (of squares, parts of them in `real`), clipping happens in
 * `real` as Keras does it. */

typedef struct {
    const fr_loss *op;
    const real *t, *p;   /* the row of y_true and of y_pred */
    real *d;             /* its gradient, or NULL */
    int t_step;          /* 0 where one target stands for all columns */
    int signed_labels;   /* hinge: labels 0/1 are to be read as -1/1 */
} loss_row;

static inline double d_abs(double x) { return x < 0 ? -x : x; }
static inline double softplus_d(double x) { return (x > 0 ? x : 0) + log1p(exp(-d_abs(x))); }

/* Element-wise losses: value l(t, p) and slope dl/dp; the row's loss is the mean. */
static inline double element_loss(const fr_loss *op, double t, double p, double *slope_out)
{
    const double eps = op->epsilon, e = p - t;
    switch (op->kind) {
    case FR_LOSS_mean_squared_error: *slope_out = 2 * e; return e * e;
    case FR_LOSS_mean_absolute_error: *slope_out = (e > 0) - (e < 0); return d_abs(e);
    case FR_LOSS_mean_absolute_percentage_error: {
        const double scale = 100 / (d_abs(t) > eps ? d_abs(t) : eps);
        *slope_out = ((e > 0) - (e < 0)) * scale;
        return d_abs(e) * scale;
    }
    case FR_LOSS_mean_squared_logarithmic_error: {
        const double a = p > eps || p != p ? p : eps, b = t > eps || t != t ? t : eps, u = log(a + 1) - log(b + 1);
        *slope_out = p > eps ? 2 * u / (a + 1) : 0;
        return u * u;
    }
    case FR_LOSS_huber: {
        const double delta = op->param[0], a = d_abs(e);
        *slope_out = e > delta ? delta : e < -delta ? -delta : e;
        return a <= delta ? 0.5 * e * e : delta * a - 0.5 * delta * delta;
    }
    case FR_LOSS_log_cosh: *slope_out = tanh(e); return e + softplus_d(-2 * e) - 0.69314718055994530942;
    case FR_LOSS_poisson: *slope_out = 1 - t / (p + eps); return p - t * log(p + eps);
    case FR_LOSS_hinge: {
        const double u = 1 - t * p;
        *slope_out = u > 0 ? -t : 0;
        return u > 0 || u != u ? u : 0;
    }
    case FR_LOSS_squared_hinge: {
        const double u = 1 - t * p, m = u > 0 || u != u ? u : 0;
        *slope_out = -2 * t * m;
        return m * m;
    }
    default: { /* binary_crossentropy */
        t = t * (1 - op->param[1]) + op->param[1] / 2;
        if (op->param[0] != 0) {
            const double x = p, s = 1 / (1 + exp(-x));
            *slope_out = s - t;
            return (x > 0 ? x : 0) - x * t + log1p(exp(-d_abs(x)));
        }
        const real lo = (real)eps, hi = (real)(1 - eps), q = (real)p < lo ? lo : (real)p > hi ? hi : (real)p;
        const double c = q;
        *slope_out = (real)p < lo || (real)p > hi ? 0 : (c - t) / (c * (1 - c));
        return -(t * log(c) + (1 - t) * log1p(-c));
    }
    }
}

static double loss_elements(const loss_row *r, double scale)
{
    const ptrdiff_t N = r->op->N;
    double sum = 0;
    for (ptrdiff_t i = 0; i < N; i++) {
        double t = r->t[i * r->t_step], s;
        if (r->signed_labels) t = 2 * t - 1;
        sum += element_loss(r->op, t, r->p[i], &s);
        if (r->d) r->d[i] = (real)(s / (double)N * scale);
    }
    return sum / (double)N;
}

/* The sum of (p - t)^2, with its gradient times `scale`: mean_squared_error, the loss of most regressions, on vectors. */
static double squared_errors(ptrdiff_t n, const real *t, const real *p, real *d, double scale)
{
    const vec factor = K_(2 * scale);
    double total = 0;
    while (n > 0) {
        const ptrdiff_t part = min_size(n, 64 * VL); /* as many as may be added in `real` */
        vec sum = K_(0);
        real sums[VL];
        for (ptrdiff_t i = 0; i < part; i += VL) {
            const ptrdiff_t m = min_size(VL, part - i);
            v_prefetch(p + i + 256); /* from a memory that is slow to answer */
            v_prefetch(t + i + 256);
            const vec e = v_sub(v_load_n(p + i, m), v_load_n(t + i, m));
            sum = v_fma(e, e, sum);
            if (d) v_store_n(d + i, v_mul(e, factor), m);
        }
        v_store(sums, sum);
        for (int i = 0; i < VL; i++) total += sums[i];
        t += part;
        p += part;
        d = d ? d + part : NULL;
        n -= part;
    }
    return total;
}

/* Crossentropy of classes against soft labels, or against the number of the class (`label` >= 0). */
static double loss_classes(const loss_row *r, double scale, ptrdiff_t label)
{
    const fr_loss *op = r->op;
    const ptrdiff_t N = op->N;
    const int sparse = label >= 0;
    const double smooth = sparse ? 0 : op->param[1];
    double loss = 0;
#define TARGET(i) (sparse ? (double)((i) == label) : r->t[i] * (1 - smooth) + smooth / (double)N)
    if (op->param[0] != 0) { /* from logits: -sum t log softmax(p) */
        double top = r->p[0], sum = 0, weight = 0;
        for (ptrdiff_t i = 1; i < N; i++) top = r->p[i] > top ? r->p[i] : top;
        for (ptrdiff_t i = 0; i < N; i++) sum += exp(r->p[i] - top);
        const double log_sum = top + log(sum);
        for (ptrdiff_t i = 0; i < N; i++) {
            loss -= TARGET(i) * (r->p[i] - log_sum);
            weight += TARGET(i);
        }
        for (ptrdiff_t i = 0; r->d && i < N; i++) r->d[i] = (real)(scale * (exp(r->p[i] - log_sum) * weight - TARGET(i)));
        return loss;
    }
    /* q = p / sum(p), clipped; d/dp_i = (g_i - sum_j g_j q_j) / sum(p) with g = -t/q where nothing was clipped */
    const real lo = (real)op->epsilon, hi = (real)(1 - op->epsilon);
    double sum = 0, dot = 0;
    for (ptrdiff_t i = 0; i < N; i++) sum += r->p[i];
    for (ptrdiff_t i = 0; i < N; i++) {
        const double t = TARGET(i);
        const real q = (real)(r->p[i] / sum), c = q < lo ? lo : q > hi ? hi : q;
        if (t != 0) loss -= t * log(c);
        if (q >= lo && q <= hi) dot += -t / c * q;
    }
    for (ptrdiff_t i = 0; r->d && i < N; i++) {
        const real q = (real)(r->p[i] / sum);
        const double g = q >= lo && q <= hi ? -TARGET(i) / q : 0;
        r->d[i] = (real)(scale * (g - dot) / sum);
    }
#undef TARGET
    return loss;
}

/* The class that a target names, -1 where there is none of this number: labels of metrics are not checked before. */
static ptrdiff_t class_of(const loss_row *r)
{
    const real t = r->t[0];
    return t >= 0 && t < (real)r->op->N ? (ptrdiff_t)t : -1;
}

static double loss_class(const loss_row *r, double scale)
{
    const ptrdiff_t label = class_of(r);
    if (label >= 0) return loss_classes(r, scale, label);
    for (ptrdiff_t i = 0; r->d && i < r->op->N; i++) r->d[i] = (real)NAN;
    return NAN;
}

static double loss_kl_divergence(const loss_row *r, double scale)
{
    const double lo = r->op->epsilon;
    double loss = 0;
    for (ptrdiff_t i = 0; i < r->op->N; i++) {
        const double t0 = r->t[i * r->t_step], p0 = r->p[i];
        const double t = t0 < lo ? lo : t0 > 1 ? 1 : t0, p = p0 < lo ? lo : p0 > 1 ? 1 : p0;
        loss += t * log(t / p);
        if (r->d) r->d[i] = p0 < lo || p0 > 1 ? 0 : (real)(scale * -t / p);
    }
    return loss;
}

static double loss_categorical_hinge(const loss_row *r, double scale)
{
    double positive = 0, negative = 0;
    ptrdiff_t worst = 0;
    for (ptrdiff_t i = 0; i < r->op->N; i++) {
        const double t = r->t[i * r->t_step], n = (1 - t) * r->p[i];
        positive += t * r->p[i];
        if (!i || n > negative) {
            negative = n;
            worst = i;
        }
    }
    const double loss = negative - positive + 1;
    for (ptrdiff_t i = 0; r->d && i < r->op->N; i++) {
        const double t = r->t[i * r->t_step];
        r->d[i] = loss > 0 ? (real)(scale * ((i == worst ? 1 - t : 0) - t)) : 0;
    }
    return loss > 0 || loss != loss ? loss : 0;
}

static double loss_cosine_similarity(const loss_row *r, double scale)
{
    const double most = 1 / r->op->epsilon;
    double tt = 0, pp = 0, tp = 0;
    for (ptrdiff_t i = 0; i < r->op->N; i++) {
        const double t = r->t[i * r->t_step], p = r->p[i];
        tt += t * t;
        pp += p * p;
        tp += t * p;
    }
    double a = 1 / sqrt(tt), b = 1 / sqrt(pp);
    const int bounded = b < most;
    a = a < most ? a : most;
    b = bounded ? b : most;
    for (ptrdiff_t i = 0; r->d && i < r->op->N; i++) /* d(p/|p|) = (I - u u^T) / |p| */
        r->d[i] = (real)(-scale * b * (a * r->t[i * r->t_step] - (bounded ? tp * a * b * b * r->p[i] : 0)));
    return -tp * a * b;
}

static ptrdiff_t arg_max(const real *x, ptrdiff_t n)
{
    ptrdiff_t best = 0;
    for (ptrdiff_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Whether fewer than k classes beat the right one. */
static double in_top_k(const loss_row *r, ptrdiff_t label)
{
    ptrdiff_t better = 0;
    if (label < 0 || label >= r->op->N || !isfinite(r->p[label])) return 0;
    for (ptrdiff_t i = 0; i < r->op->N; i++) better += r->p[i] > r->p[label];
    return better < (ptrdiff_t)r->op->param[0];
}

static double loss_of_row(const loss_row *r, double scale)
{
    const fr_loss *op = r->op;
    const ptrdiff_t N = op->N;
    double hits = 0;
    switch (op->kind) {
    case FR_LOSS_mean_squared_error:
        return r->t_step ? squared_errors(N, r->t, r->p, r->d, scale / (double)N) / (double)N : loss_elements(r, scale);
    case FR_LOSS_categorical_crossentropy: return loss_classes(r, scale, -1);
    case FR_LOSS_sparse_categorical_crossentropy: return loss_class(r, scale);
    case FR_LOSS_kl_divergence: return loss_kl_divergence(r, scale);
    case FR_LOSS_categorical_hinge: return loss_categorical_hinge(r, scale);
    case FR_LOSS_cosine_similarity: return loss_cosine_similarity(r, scale);
    case FR_LOSS_accuracy:
        for (ptrdiff_t i = 0; i < N; i++) hits += r->t[i * r->t_step] == r->p[i];
        return hits / (double)N;
    case FR_LOSS_binary_accuracy:
        for (ptrdiff_t i = 0; i < N; i++) hits += r->t[i * r->t_step] == (r->p[i] > op->param[0]);
        return hits / (double)N;
    case FR_LOSS_categorical_accuracy: return arg_max(r->t, N) == arg_max(r->p, N);
    case FR_LOSS_sparse_categorical_accuracy: return r->t[0] == (real)arg_max(r->p, N);
    case FR_LOSS_top_k_categorical_accuracy: return in_top_k(r, arg_max(r->t, N));
    case FR_LOSS_sparse_top_k_categorical_accuracy: return in_top_k(r, class_of(r));
    default: return loss_elements(r, scale);
    }
}

static double loss(const fr_loss *op)
{
    loss_row r = {.op = op, .t_step = op->N_true > 1 || op->N == 1};
    const real *weight = op->weight;
    double sum = 0;
    if (op->kind == FR_LOSS_mean_squared_error && !weight && r.t_step) /* all rows as one */
        return squared_errors(op->M * op->N, op->y_true, op->y_pred, op->dy_pred, op->scale / (double)op->N) / (double)op->N;
    if (op->kind == FR_LOSS_hinge || op->kind == FR_LOSS_squared_hinge) {
        const real *t = op->y_true;
        r.signed_labels = 1;
        for (ptrdiff_t i = 0; i < op->M * op->N_true; i++) r.signed_labels &= t[i] == 0 || t[i] == 1;
    }
    for (ptrdiff_t m = 0; m < op->M; m++) {
        const double w = weight ? weight[m] : 1;
        r.t = (const real *)op->y_true + m * op->N_true;
        r.p = (const real *)op->y_pred + m * op->N;
        r.d = op->dy_pred ? (real *)op->dy_pred + m * op->N : NULL;
        if (w == 0) { /* left out: whatever stands there, even NaN, must not reach the sum */
            for (ptrdiff_t i = 0; r.d && i < op->N; i++) r.d[i] = 0;
            continue;
        }
        sum += w * loss_of_row(&r, w * op->scale);
    }
    return sum;
}
