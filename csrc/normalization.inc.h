/* Normalisation: of rows of elements within a sample, of channels over the batch, and by numbers that are known beforehand.
 *
 * Sums of many elements run in double, a few vectors at a time: so they keep their last digits however long they are. */

enum {
    FLUSH = 16,          /* vectors that are summed before they go to double */
    CHANNEL_TASK = 32,   /* channels of a task */
    PARALLEL_FROM = 65536 /* elements */
};

static inline double lanes_sum(vec v)
{
    real t[VL];
    double s = 0;
    v_store(t, v);
    for (int i = 0; i < VL; i++) s += t[i];
    return s;
}

/* ---- rows: layer, group, RMS and unit normalisation, softmax -------------------------------------------------------- */

/* What a normalised element is: y = (x - shift) * scale; its slope by the scale goes through (x - center). */
static inline real row_shift(const fr_normalize *k, real center) { return k->mode == FR_NORMALIZE_VARIANCE ? 0 : center; }

static double row_sum(const real *x, ptrdiff_t n)
{
    double s = 0;
    for (ptrdiff_t i = 0; i < n; i += FLUSH * VL) {
        const ptrdiff_t end = min_size(n, i + FLUSH * VL);
        vec a = K_(0);
        for (ptrdiff_t j = i; j < end; j += VL) a = v_add(a, v_load_n(x + j, min_size(VL, end - j)));
        s += lanes_sum(a);
    }
    return s;
}

static double row_sum_of_squares(const real *x, ptrdiff_t n, real center)
{
    const vec c = v_set1(center);
    const ptrdiff_t whole = n - n % VL;
    double s = 0;
    for (ptrdiff_t i = 0; i < whole; i += FLUSH * VL) {
        vec a = K_(0);
        for (ptrdiff_t j = i; j < min_size(whole, i + FLUSH * VL); j += VL) {
            const vec d = v_sub(v_load(x + j), c);
            a = v_fma(d, d, a);
        }
        s += lanes_sum(a);
    }
    for (ptrdiff_t i = whole; i < n; i++) s += (double)(x[i] - center) * (x[i] - center);
    return s;
}

static void normalize_row(const fr_normalize *k, const real *x, const real *gamma, const real *beta, real *y, real *stat)
{
    const ptrdiff_t n = k->N;
    real center = 0;
    if (k->mode == FR_NORMALIZE_LAYER || k->mode == FR_NORMALIZE_VARIANCE) center = (real)(row_sum(x, n) / (double)n);
    const double squares = row_sum_of_squares(x, n, center);
    const double scale = k->mode == FR_NORMALIZE_UNIT ? 1 / sqrt(squares) : 1 / sqrt(squares / (double)n + k->epsilon);
    stat[0] = center;
    stat[1] = (real)(k->mode == FR_NORMALIZE_UNIT && !(scale < 1 / k->epsilon) ? 1 / k->epsilon : scale);
    const vec shift = v_set1(row_shift(k, center)), s = v_set1(stat[1]);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const ptrdiff_t m = min_size(VL, n - i);
        vec v = v_mul(v_sub(v_load_n(x + i, m), shift), s);
        if (gamma) v = v_mul(v, v_load_n(gamma + i, m));
        if (beta) v = v_add(v, v_load_n(beta + i, m));
        v_store_n(y + i, v, m);
    }
}

/* dx = scale * (g - mean(g) - u * mean(g * v)) with g = dy * gamma, v the normalised element, u = (x - center) * scale; mean(g) only where
 * a mean was subtracted, and the sum for the mean of g * v where unit length is made. dx may be dy. */
static void normalize_row_backward(const fr_normalize *k, const real *x, const real *gamma, const real *stat, const real *dy, real *dx)
{
    const ptrdiff_t n = k->N;
    const vec center = v_set1(stat[0]), shift = v_set1(row_shift(k, stat[0])), scale = v_set1(stat[1]);
    double sum = 0, product = 0;
    for (ptrdiff_t i = 0; i < n; i += FLUSH * VL) {
        const ptrdiff_t end = min_size(n, i + FLUSH * VL);
        vec a = K_(0), b = K_(0);
        for (ptrdiff_t j = i; j < end; j += VL) {
            const ptrdiff_t m = min_size(VL, end - j);
            vec g = v_load_n(dy + j, m);
            if (gamma) g = v_mul(g, v_load_n(gamma + j, m));
            a = v_add(a, g);
            b = v_fma(g, v_mul(v_sub(v_load_n(x + j, m), shift), scale), b);
        }
        sum += lanes_sum(a);
        product += lanes_sum(b);
    }
    const int unit = k->mode == FR_NORMALIZE_UNIT, clipped = unit && stat[1] >= (real)(1 / k->epsilon);
    const vec of_sum = v_set1(k->mode == FR_NORMALIZE_LAYER ? (real)(sum / (double)n) : 0);
    const vec of_product = v_set1(clipped ? 0 : (real)(unit ? product : product / (double)n));
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const ptrdiff_t m = min_size(VL, n - i);
        vec g = v_load_n(dy + i, m);
        if (gamma) g = v_mul(g, v_load_n(gamma + i, m));
        const vec u = v_mul(v_sub(v_load_n(x + i, m), center), scale);
        v_store_n(dx + i, v_mul(scale, v_fnma(u, of_product, v_sub(g, of_sum))), m);
    }
}

/* Skipped elements count as -1e9, and give 0: also where a whole row is skipped. */
static void softmax_kept_row(ptrdiff_t n, const real *x, const uint8_t *keep, real *y)
{
    for (ptrdiff_t i = 0; i < n; i++) y[i] = keep[i] ? x[i] : (real)-1e9;
    softmax_row(0, n, y, y);
    for (ptrdiff_t i = 0; i < n; i++) y[i] = keep[i] ? y[i] : 0;
}

enum { ROW_TASK = 16 };

/* The rows as they are, or put side by side. */
static const real *rows_of(const fr_normalize *k, const void *plain, const void *sorted) { return k->order ? sorted : plain; }

static void normalize_rows(void *arg, ptrdiff_t task)
{
    const fr_normalize *k = arg;
    const real *x = rows_of(k, k->x, k->sorted_x);
    real *y = (real *)rows_of(k, k->y, k->sorted_y);
    for (ptrdiff_t r = task * ROW_TASK; r < min_size((task + 1) * ROW_TASK, k->B * k->G); r++) {
        const ptrdiff_t weight = r % k->periods * k->N, at = r * k->N;
        const real *gamma = k->gamma_rows, *beta = k->beta_rows;
        if (k->mode != FR_NORMALIZE_SOFTMAX)
            normalize_row(k, x + at, gamma ? gamma + weight : NULL, beta ? beta + weight : NULL, y + at, (real *)k->stats + 2 * r);
        else if (k->keep)
            softmax_kept_row(k->N, x + at, k->keep + at, y + at);
        else
            softmax_row(0, k->N, x + at, y + at);
    }
}

static void normalize_rows_backward(void *arg, ptrdiff_t task)
{
    const fr_normalize *k = arg;
    const real *x = rows_of(k, k->x, k->sorted_x), *y = rows_of(k, k->y, k->sorted_y), *dy = rows_of(k, k->dy, k->sorted_dy);
    real *dx = (real *)rows_of(k, k->dx, k->sorted_dy);
    for (ptrdiff_t r = task * ROW_TASK; r < min_size((task + 1) * ROW_TASK, k->B * k->G); r++) {
        const ptrdiff_t weight = r % k->periods * k->N, at = r * k->N;
        const real *gamma = k->gamma_rows;
        if (k->mode == FR_NORMALIZE_SOFTMAX)
            softmax_row_backward(0, k->N, y + at, dy + at, dx + at);
        else
            normalize_row_backward(k, x + at, gamma ? gamma + weight : NULL, (const real *)k->stats + 2 * r, dy + at, dx + at);
    }
}

/* A task owns VL columns of one period of rows, and sums them in the order of the rows. */
static void normalize_weight_gradient(void *arg, ptrdiff_t task)
{
    const fr_normalize *k = arg;
    const ptrdiff_t panels = ceil_div(k->N, VL), column = task % panels * VL, m = min_size(VL, k->N - column), rows = k->B * k->G;
    const real *x = rows_of(k, k->x, k->sorted_x), *dy = rows_of(k, k->dy, k->sorted_dy), *stats = k->stats;
    double gamma[VL] = {0}, beta[VL] = {0};
    for (ptrdiff_t r = task / panels; r < rows;) {
        vec a = K_(0), b = K_(0);
        for (int i = 0; i < FLUSH && r < rows; i++, r += k->periods) {
            const ptrdiff_t at = r * k->N + column;
            const vec g = v_load_n(dy + at, m), shift = v_set1(row_shift(k, stats[2 * r]));
            a = v_fma(g, v_mul(v_sub(v_load_n(x + at, m), shift), v_set1(stats[2 * r + 1])), a);
            b = v_add(b, g);
        }
        real t[2][VL];
        v_store(t[0], a);
        v_store(t[1], b);
        for (int j = 0; j < VL; j++) gamma[j] += t[0][j], beta[j] += t[1][j];
    }
    for (ptrdiff_t j = 0; j < m; j++) {
        const ptrdiff_t at = task / panels * k->N + column + j;
        if (k->dgamma) ((double *)k->sums)[at] = gamma[j];
        if (k->dbeta) ((double *)k->sums)[k->periods * k->N + at] = beta[j];
    }
}

/* Element i of a sample whose rows lie side by side is element order[i] of the sample itself. */
static void gather_samples(const fr_normalize *k, const real *from, real *to)
{
    const ptrdiff_t n = k->G * k->N;
    for (ptrdiff_t b = 0; b < k->B; b++)
        for (ptrdiff_t i = 0; i < n; i++) to[b * n + i] = from[b * n + k->order[i]];
}
static void scatter_samples(const fr_normalize *k, const real *from, real *to)
{
    const ptrdiff_t n = k->G * k->N;
    for (ptrdiff_t b = 0; b < k->B; b++)
        for (ptrdiff_t i = 0; i < n; i++) to[b * n + k->order[i]] = from[b * n + i];
}

static int normalize_threads(const fr_normalize *k, const fr_run *run) { return k->B * k->G * k->N < PARALLEL_FROM ? 1 : run->threads; }

static void normalize_forward(fr_op *o, const fr_run *run)
{
    fr_normalize *k = &o->normalize;
    if (k->order) gather_samples(k, k->x, k->sorted_x);
    k->gamma_rows = k->gamma, k->beta_rows = k->beta;
    if (k->weight) { /* periods of rows have weights of their own */
        const ptrdiff_t n = k->periods * k->N;
        real *rows = k->weight_rows;
        for (ptrdiff_t i = 0; i < n; i++) {
            if (k->gamma) rows[i] = ((const real *)k->gamma)[k->weight[i]];
            if (k->beta) rows[n + i] = ((const real *)k->beta)[k->weight[i]];
        }
        if (k->gamma) k->gamma_rows = rows;
        if (k->beta) k->beta_rows = rows + n;
    }
    fr_parallel_for(normalize_threads(k, run), ceil_div(k->B * k->G, ROW_TASK), normalize_rows, k);
    if (k->order) scatter_samples(k, k->sorted_y, k->y);
}

static void normalize_backward(fr_op *o, const fr_run *run)
{
    fr_normalize *k = &o->normalize;
    const int threads = normalize_threads(k, run);
    if (k->order) gather_samples(k, k->dy, k->sorted_dy);
    if (k->dgamma || k->dbeta) {
        const ptrdiff_t n = k->periods * k->N;
        fr_parallel_for(threads, k->periods * ceil_div(k->N, VL), normalize_weight_gradient, k);
        for (ptrdiff_t i = 0; i < n; i++) {
            const ptrdiff_t at = k->weight ? k->weight[i] : i;
            if (k->dgamma) ((real *)k->dgamma)[at] += (real)((const double *)k->sums)[i];
            if (k->dbeta) ((real *)k->dbeta)[at] += (real)((const double *)k->sums)[n + i];
        }
    }
    if (!k->dx) return;
    fr_parallel_for(threads, ceil_div(k->B * k->G, ROW_TASK), normalize_rows_backward, k);
    if (k->order) scatter_samples(k, k->sorted_dy, k->dx);
}

/* ---- channels over the batch -------------------------------------------------------------------------------------------- */

/* Visits the elements of up to CHANNEL_TASK channels from c0 on; c counts from 0, `at` is the element's place. */
#define FOR_CHANNELS                                                                 \
    for (ptrdiff_t o = 0; o < k->outer; o++)                                          \
        for (ptrdiff_t c = 0; c < channels; c++)                                      \
            for (ptrdiff_t at = (o * k->C + c0 + c) * inner, end = at + inner; at < end; at++)

/* Whether the element counts. Where inner is 1 the channels are the last axis, and a row has one entry of the mask. */
#define KEPT (!mask || mask[inner == 1 ? o : at / k->mask_stride])

/* What is done once per channel has functions of its own, kept out of the loops over elements: there GCC would compile it anew for each kind of
 * mask and for each answer to whether there is a gamma, a beta or a dx, 120 KB of it in every unit. */
#define ONCE static __attribute__((noinline)) void

/* The moments of the batch, from its sums; the moving ones follow them. */
ONCE take_moments(const fr_batch_norm *k, ptrdiff_t c0, ptrdiff_t channels, const double *mean, const double *squares, const double *count)
{
    real *moving_mean = (real *)k->moving_mean + c0, *moving_variance = (real *)k->moving_variance + c0;
    for (ptrdiff_t c = 0; c < channels; c++) {
        const double variance = squares[c] / count[c];
        ((real *)k->mean)[c0 + c] = (real)mean[c];
        ((real *)k->scale)[c0 + c] = (real)(1 / sqrt(variance + k->epsilon));
        ((double *)k->count)[c0 + c] = count[c];
        moving_mean[c] = (real)(moving_mean[c] * k->momentum + mean[c] * (1 - k->momentum));
        moving_variance[c] = (real)(moving_variance[c] * k->momentum + variance * (1 - k->momentum));
    }
}

ONCE take_moving_moments(const fr_batch_norm *k, ptrdiff_t c0, ptrdiff_t channels)
{
    for (ptrdiff_t c = c0; c < c0 + channels; c++) {
        ((real *)k->mean)[c] = ((const real *)k->moving_mean)[c];
        ((real *)k->scale)[c] = (real)(1 / sqrt(((const real *)k->moving_variance)[c] + k->epsilon));
    }
}

/* y = (x - mean) * slope + offset */
ONCE line_of_channels(const fr_batch_norm *k, ptrdiff_t c0, ptrdiff_t channels, real *mean, real *slope, real *offset)
{
    const real *gamma = k->gamma, *beta = k->beta;
    for (ptrdiff_t c = 0; c < channels; c++) {
        mean[c] = ((const real *)k->mean)[c0 + c];
        slope[c] = ((const real *)k->scale)[c0 + c] * (gamma ? gamma[c0 + c] : 1);
        offset[c] = beta ? beta[c0 + c] : 0;
    }
}

/* `inner` and `mask` are those of k; where they are the constants 1 and NULL the loops over channels become vectors. */
ALWAYS_INLINE void batch_norm_some(const fr_batch_norm *k, ptrdiff_t task, const ptrdiff_t inner, const uint8_t *const mask)
{
    const ptrdiff_t c0 = task * CHANNEL_TASK, channels = min_size(CHANNEL_TASK, k->C - c0);
    const real *restrict x = k->x;
    real *restrict y = k->y;
    if (k->of_batch) {
        double sum[CHANNEL_TASK] = {0}, squares[CHANNEL_TASK] = {0}, count[CHANNEL_TASK] = {0};
        FOR_CHANNELS {
            if (KEPT) sum[c] += x[at], count[c]++;
        }
        for (ptrdiff_t c = 0; c < channels; c++) {
            if (mask) count[c] += k->mask_epsilon;
            sum[c] /= count[c];
        }
        FOR_CHANNELS {
            if (KEPT) squares[c] += (x[at] - sum[c]) * (x[at] - sum[c]);
        }
        take_moments(k, c0, channels, sum, squares, count);
    } else take_moving_moments(k, c0, channels);
    real mean[CHANNEL_TASK], slope[CHANNEL_TASK], offset[CHANNEL_TASK];
    line_of_channels(k, c0, channels, mean, slope, offset);
    FOR_CHANNELS y[at] = (x[at] - mean[c]) * slope[c] + offset[c];
}

static void batch_norm_channels(void *arg, ptrdiff_t task)
{
    const fr_batch_norm *k = arg;
    if (k->inner == 1 && !k->mask) batch_norm_some(k, task, 1, NULL);
    else if (k->inner == 1) batch_norm_some(k, task, 1, k->mask);
    else batch_norm_some(k, task, k->inner, k->mask);
}

/* Gradients of gamma and beta from sum(g) and sum(g (x - mean)), and the numbers of dx = slope * (g - of_sum - (x - mean) * of_product). */
ONCE gradient_of_channels(const fr_batch_norm *k, ptrdiff_t c0, ptrdiff_t channels, const double *sum, const double *product, real *slope,
                          real *of_sum, real *of_product)
{
    const real *gamma = k->gamma, *scale = (const real *)k->scale + c0;
    real *dgamma = k->dgamma, *dbeta = k->dbeta;
    for (ptrdiff_t c = 0; dgamma && c < channels; c++) dgamma[c0 + c] += (real)(product[c] * scale[c]);
    for (ptrdiff_t c = 0; dbeta && c < channels; c++) dbeta[c0 + c] += (real)sum[c];
    for (ptrdiff_t c = 0; c < channels; c++) {
        slope[c] = scale[c] * (gamma ? gamma[c0 + c] : 1);
        of_sum[c] = of_product[c] = 0;
    }
    if (!k->of_batch) return;
    const double *count = (const double *)k->count + c0;
    for (ptrdiff_t c = 0; c < channels; c++) {
        of_sum[c] = (real)(sum[c] / count[c]);
        of_product[c] = (real)(product[c] * scale[c] / count[c]) * scale[c];
    }
}
#undef ONCE

/* With S the count, M the elements that count, u = (x - mean) * scale and g = dy * gamma:
 * dx = scale * (g - [M] (sum(g) + u * sum(g u)) / S), up to terms of the size of mask_epsilon, which are left out. */
ALWAYS_INLINE void batch_norm_some_backward(const fr_batch_norm *k, ptrdiff_t task, const ptrdiff_t inner, const uint8_t *const mask)
{
    const ptrdiff_t c0 = task * CHANNEL_TASK, channels = min_size(CHANNEL_TASK, k->C - c0);
    const real *restrict x = k->x, *restrict dy = k->dy, *mean = (const real *)k->mean + c0;
    real *restrict dx = k->dx;
    double sum[CHANNEL_TASK] = {0}, product[CHANNEL_TASK] = {0};
    FOR_CHANNELS {
        sum[c] += dy[at];
        product[c] += (double)dy[at] * (x[at] - mean[c]);
    }
    real slope[CHANNEL_TASK], of_sum[CHANNEL_TASK], of_product[CHANNEL_TASK];
    gradient_of_channels(k, c0, channels, sum, product, slope, of_sum, of_product);
    if (!dx) return;
    FOR_CHANNELS dx[at] = slope[c] * (KEPT ? dy[at] - of_sum[c] - (x[at] - mean[c]) * of_product[c] : dy[at]);
}
#undef FOR_CHANNELS
#undef KEPT

static void batch_norm_channels_backward(void *arg, ptrdiff_t task)
{
    const fr_batch_norm *k = arg;
    const uint8_t *mask = k->of_batch ? k->mask : NULL;
    if (k->inner == 1 && !mask) batch_norm_some_backward(k, task, 1, NULL);
    else if (k->inner == 1) batch_norm_some_backward(k, task, 1, mask);
    else batch_norm_some_backward(k, task, k->inner, mask);
}

static int batch_norm_threads(const fr_batch_norm *k, const fr_run *run)
{
    return k->outer * k->C * k->inner < PARALLEL_FROM ? 1 : run->threads;
}

static void batch_norm_forward(fr_op *o, const fr_run *run)
{
    fr_batch_norm *k = &o->batch_norm;
    k->of_batch = run->training && k->trains;
    fr_parallel_for(batch_norm_threads(k, run), ceil_div(k->C, CHANNEL_TASK), batch_norm_channels, k);
}

static void batch_norm_backward(fr_op *o, const fr_run *run)
{
    fr_batch_norm *k = &o->batch_norm;
    if (k->dx || k->dgamma || k->dbeta)
        fr_parallel_for(batch_norm_threads(k, run), ceil_div(k->C, CHANNEL_TASK), batch_norm_channels_backward, k);
}

/* ---- known numbers -------------------------------------------------------------------------------------------------------- */

/* The numbers as the weights are now: they may have been set since the last run. */
static void affine_from_moments(const fr_affine *k)
{
    const real *mean = k->mean, *variance = k->variance, floor = (real)k->epsilon;
    real *shift = k->shift, *scale = k->scale, *offset = k->offset;
    for (ptrdiff_t i = 0; i < k->N; i++) {
        const real m = mean[k->index[i]], deviation = M_(sqrt)(variance[k->index[i]]), width = deviation < floor ? floor : deviation;
        shift[i] = k->invert ? 0 : m;
        scale[i] = k->invert ? width : 1 / width;
        offset[i] = k->invert ? m : 0;
    }
}

static void affine_forward(fr_op *o, const fr_run *run)
{
    const fr_affine *k = &o->affine;
    const real *shift = k->shift, *scale = k->scale, *offset = k->offset;
    (void)run;
    if (k->mean) affine_from_moments(k);
    for (ptrdiff_t b = 0; b < k->B; b++) {
        const real *x = (const real *)k->x + b * k->N;
        real *y = (real *)k->y + b * k->N;
        for (ptrdiff_t i = 0; i < k->N; i++) y[i] = (x[i] - shift[i]) * scale[i] + offset[i];
    }
}

static void affine_backward(fr_op *o, const fr_run *run)
{
    const fr_affine *k = &o->affine;
    const real *scale = k->scale;
    (void)run;
    if (!k->dx) return;
    for (ptrdiff_t b = 0; b < k->B; b++) {
        const real *dy = (const real *)k->dy + b * k->N;
        real *dx = (real *)k->dx + b * k->N;
        for (ptrdiff_t i = 0; i < k->N; i++) dx[i] = dy[i] * scale[i];
    }
}
