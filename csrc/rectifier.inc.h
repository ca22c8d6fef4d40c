/* Activation layers that have numbers of their own: ReLU, leaky ReLU, ELU, and PReLU with its weights. */

static inline real rectified(const fr_rectifier *k, real x)
{
    const real threshold = (real)k->threshold, max = (real)k->max, slope = (real)k->slope;
    if (x > threshold) return x > max ? max : x;
    return slope != 0 ? slope * (x - threshold) : x != x ? x : 0;
}

/* At the bend itself Keras's formulas have slope 0, but for the plain leaky one. */
static inline real rectified_slope(const fr_rectifier *k, real x)
{
    const real threshold = (real)k->threshold, slope = (real)k->slope;
    if (x > threshold) return x <= (real)k->max;
    return x < threshold || (threshold == 0 && k->max == (double)INFINITY) ? slope : 0;
}

static void rectifier_forward(fr_op *o, const fr_run *run)
{
    const fr_rectifier copy = o->rectifier, *k = &copy; /* which no store to y or dx can change */
    const real *alpha = k->alpha;
    (void)run;
    for (ptrdiff_t b = 0; b < k->B; b++) {
        const real *x = (const real *)k->x + b * k->N;
        real *y = (real *)k->y + b * k->N;
        if (k->kind == FR_RECTIFIER_RELU)
            for (ptrdiff_t i = 0; i < k->N; i++) y[i] = rectified(k, x[i]);
        else if (k->kind == FR_RECTIFIER_ELU)
            for (ptrdiff_t i = 0; i < k->N; i++) y[i] = x[i] > 0 ? x[i] : (real)k->slope * M_(expm1)(x[i]);
        else
            for (ptrdiff_t i = 0; i < k->N; i++) y[i] = x[i] > 0 ? x[i] : alpha[k->index[i]] * x[i];
    }
}

static void rectifier_backward(fr_op *o, const fr_run *run)
{
    const fr_rectifier copy = o->rectifier, *k = &copy; /* which no store to y or dx can change */
    const real *alpha = k->alpha;
    double *sums = k->sums;
    (void)run;
    if (k->dalpha) memset(sums, 0, (size_t)k->weights * sizeof(double));
    for (ptrdiff_t b = 0; b < k->B; b++) {
        const real *x = (const real *)k->x + b * k->N, *dy = (const real *)k->dy + b * k->N;
        real *dx = (real *)k->dx + b * k->N;
        if (k->dalpha)
            for (ptrdiff_t i = 0; i < k->N; i++) sums[k->index[i]] += x[i] < 0 ? (double)dy[i] * x[i] : 0;
        if (!k->dx) continue;
        if (k->kind == FR_RECTIFIER_RELU)
            for (ptrdiff_t i = 0; i < k->N; i++) dx[i] = dy[i] * rectified_slope(k, x[i]);
        else if (k->kind == FR_RECTIFIER_ELU)
            for (ptrdiff_t i = 0; i < k->N; i++) dx[i] = x[i] > 0 ? dy[i] : dy[i] * (real)k->slope * M_(exp)(x[i]);
        else
            for (ptrdiff_t i = 0; i < k->N; i++) dx[i] = x[i] > 0 ? dy[i] : x[i] < 0 ? dy[i] * alpha[k->index[i]] : 0;
    }
    for (ptrdiff_t i = 0; k->dalpha && i < k->weights; i++) ((real *)k->dalpha)[i] += (real)sums[i];
}
