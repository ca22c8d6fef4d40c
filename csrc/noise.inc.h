/* Layers that disturb their input in training: dropout with a mask of any shape, alpha dropout, Gaussian noise and Gaussian dropout.
 *
 * Draw i of a run depends on (seed, stream, i) alone, so it is the same for any number of threads. */

typedef struct {
    const fr_noise *op;
    uint64_t seed, stream;
} noise_task;

enum { NOISE_TASK = 1024 /* draws, an even number */ };

/* Normal draws i and i + 1, from uniform draws of these numbers (Box and Muller, 1958). */
static inline void normal_pair(uint64_t seed, uint64_t stream, ptrdiff_t i, real *z)
{
    const real u = (real)(1 - uniform(seed, stream, i)), angle = (real)(6.283185307179586477 * uniform(seed, stream, i + 1)); /* u is not 0 */
    const real radius = M_(sqrt)(-2 * M_(log)(u));
    z[0] = radius * M_(cos)(angle);
    z[1] = radius * M_(sin)(angle);
}

static void draw_noise(void *arg, ptrdiff_t task)
{
    const noise_task *t = arg;
    const fr_noise *k = t->op;
    const ptrdiff_t first = task * NOISE_TASK, end = min_size(first + NOISE_TASK, (k->shared ? 1 : k->B) * k->P);
    real *noise = k->noise;
    if (k->kind == FR_NOISE_GAUSSIAN || k->kind == FR_NOISE_GAUSSIAN_DROPOUT) {
        const int around_one = k->kind == FR_NOISE_GAUSSIAN_DROPOUT;
        const real deviation = (real)(around_one ? sqrt(k->rate / (1 - k->rate)) : k->rate);
        for (ptrdiff_t i = first; i < end; i += 2) {
            real z[2];
            normal_pair(t->seed, t->stream, i, z);
            for (ptrdiff_t j = 0; j < min_size(2, end - i); j++) noise[i + j] = (around_one ? 1 : 0) + deviation * z[j];
        }
        return;
    }
    const real kept = k->kind == FR_NOISE_DROPOUT && k->rate < 1 ? (real)(1 / (1 - k->rate)) : k->kind == FR_NOISE_ALPHA_DROPOUT;
    for (ptrdiff_t i = first; i < end; i++) noise[i] = uniform(t->seed, t->stream, i) < k->rate ? 0 : kept;
}

/* y = a * (x * noise + floor * (1 - noise)) + b keeps mean and variance of what SELU makes (Klambauer et al., 2017). */
static double alpha_floor(void) { return -SELU_SCALE * SELU_ALPHA; }
static double alpha_gain(double rate) { return 1 / sqrt((1 - rate) * (1 + rate * alpha_floor() * alpha_floor())); }

static void noise_forward(fr_op *o, const fr_run *run)
{
    const fr_noise *k = &o->noise;
    if (!run->training) {
        memcpy(k->y, k->x, (size_t)(k->B * k->N) * sizeof(real));
        return;
    }
    noise_task t = {k, run->seed, k->stream};
    if (k->state) t.seed = fr_mix(k->state[0], 0, k->state[1]++), t.stream = 0;
    const ptrdiff_t draws = (k->shared ? 1 : k->B) * k->P;
    fr_parallel_for(draws < 8 * NOISE_TASK ? 1 : run->threads, ceil_div(draws, NOISE_TASK), draw_noise, &t);
    const int adds = k->kind == FR_NOISE_GAUSSIAN, alpha = k->kind == FR_NOISE_ALPHA_DROPOUT;
    const real floor = (real)alpha_floor(), a = alpha ? (real)alpha_gain(k->rate) : 1;
    const real b = alpha ? (real)(-alpha_gain(k->rate) * alpha_floor() * k->rate) : 0;
    for (ptrdiff_t s = 0; s < k->B; s++) {
        const real *x = (const real *)k->x + s * k->N, *noise = (const real *)k->noise + (k->shared ? 0 : s * k->P);
        real *y = (real *)k->y + s * k->N;
        for (ptrdiff_t i = 0; i < k->N; i++) {
            const real e = noise[k->index ? k->index[i] : i];
            y[i] = adds ? x[i] + e : alpha ? a * (e != 0 ? x[i] : floor) + b : x[i] * e;
        }
    }
}

static void noise_backward(fr_op *o, const fr_run *run)
{
    const fr_noise *k = &o->noise;
    const real gain = k->kind == FR_NOISE_ALPHA_DROPOUT ? (real)alpha_gain(k->rate) : 1;
    (void)run;
    if (!k->dx) return;
    for (ptrdiff_t s = 0; s < k->B; s++) {
        const real *dy = (const real *)k->dy + s * k->N, *noise = (const real *)k->noise + (k->shared ? 0 : s * k->P);
        real *dx = (real *)k->dx + s * k->N;
        for (ptrdiff_t i = 0; i < k->N; i++)
            dx[i] = k->kind == FR_NOISE_GAUSSIAN ? dy[i] : dy[i] * gain * noise[k->index ? k->index[i] : i];
    }
}
