/* Runs the kernels of two instruction sets on the same data and compares everything that they write.
 *
 *     compare_isas ISA REFERENCE          as in: compare_isas neon scalar
 *
 * In float32 and float64: recurrent layers (each cell over shapes and options, then over activations), dense layers, embeddings,
 * activations alone, normalisation of rows and optimizer steps. What is plain C in every unit (losses, dropout, convolution's patches) is
 * not run.
 *
 * Every array lies between guard bands of NaN, and all memory that an operation has to fill, scratch included, starts as NaN: what reads
 * beyond an array, or reads what nobody wrote, spoils a result; what writes beyond it changes a band. Scratch has exactly the
 * size that rnn_sizes and dense_sizes ask for. tests/test_neon.py compiles and runs this. */
#include "fastrnn.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------------------- */

enum { BAND = 67, LINE = 64, UNSET = 0xFF /* every byte of a NaN, in both dtypes */, MOST_ARRAYS = 48 };

typedef struct {
    const char *name;             /* NULL: not a result */
    unsigned char *block, *data;
    size_t bytes;                 /* of the block */
    ptrdiff_t rows, cols, ld;     /* rows lie `ld` elements apart */
    size_t element;
    double floor;                 /* see agree() */
} array;

typedef struct {
    const fr_kernels *k;
    uint64_t seed;
    int n;
    array list[MOST_ARRAYS];
} memory;

static array *allocate(memory *m, const char *name, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ld, size_t element, size_t band)
{
    if (m->n == MOST_ARRAYS) {
        fprintf(stderr, "more than %d arrays in one case\n", MOST_ARRAYS);
        exit(3);
    }
    const size_t body = (size_t)rows * (size_t)ld * element, bytes = (body + 2 * band + LINE - 1) / LINE * LINE;
    array *a = &m->list[m->n++];
    *a = (array){name, aligned_alloc(LINE, bytes), NULL, bytes, rows, cols, ld, element, -1};
    if (!a->block) {
        perror("compare_isas");
        exit(3);
    }
    memset(a->block, UNSET, bytes);
    a->data = a->block + band;
    return a;
}

static void put(const array *a, ptrdiff_t i, ptrdiff_t j, double x)
{
    unsigned char *at = a->data + (size_t)(i * a->ld + j) * a->element;
    if (a->element == sizeof(double)) *(double *)at = x;
    else *(float *)at = (float)x;
}

static double get(const array *a, ptrdiff_t i, ptrdiff_t j)
{
    const unsigned char *at = a->data + (size_t)(i * a->ld + j) * a->element;
    return a->element == sizeof(double) ? *(const double *)at : *(const float *)at;
}

/* Uniform in [0, 1): the i-th draw of the array that comes next, so the same for every instruction set. */
static double draw(const memory *m, ptrdiff_t i) { return (double)(fr_mix(m->seed, (uint64_t)m->n, (uint64_t)i) >> 11) * 0x1p-53; }

/* An array that the operation fills. */
static void *output(memory *m, const char *name, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ld)
{
    return allocate(m, name, rows, cols, ld, m->k->element, BAND * m->k->element)->data;
}

/* Random numbers of deviation `scale`; with a name the operation changes them, and the result is compared. */
static void *numbers(memory *m, const char *name, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ld, double scale)
{
    array *a = allocate(m, name, rows, cols, ld, m->k->element, BAND * m->k->element);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < cols; j++) put(a, i, j, sqrt(12) * scale * (draw(m, i * cols + j) - 0.5));
    return a->data;
}

static void *scratch(memory *m, ptrdiff_t n)
{
    return allocate(m, NULL, 1, n, n, m->k->element, 2 * LINE)->data;
}

static int intact(const unsigned char *from, const unsigned char *to)
{
    while (from < to)
        if (*from++ != UNSET) return 0;
    return 1;
}

/* The bands around the array and the gaps between its rows. */
static int bands_intact(const array *a)
{
    const unsigned char *row = a->data;
    int ok = intact(a->block, row);
    for (ptrdiff_t i = 0; i < a->rows; i++, row += (size_t)a->ld * a->element)
        ok &= intact(row + (size_t)a->cols * a->element, row + (size_t)a->ld * a->element);
    return ok && intact(row, a->block + a->bytes);
}

/* ---- comparison ----------------------------------------------------------------------------------------------------------- */

typedef void (*body)(memory *, const void *);

typedef struct {
    const fr_kernels *kernels[2];
    double tolerance, worst;
    int cases, failed;
} group;

enum { MOST_COMPLAINTS = 8 /* of a group */ };
static int passed_in_all, failed_in_all, complaints;

static void complain(const char *label, const char *format, ...)
{
    if (complaints++ >= MOST_COMPLAINTS) return;
    va_list args;
    va_start(args, format);
    printf("    FAILED %s: ", label);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static double largest(const array *a)
{
    double top = 0;
    for (ptrdiff_t i = 0; i < a->rows; i++)
        for (ptrdiff_t j = 0; j < a->cols; j++) top = fmax(top, fabs(get(a, i, j)));
    return top;
}

/* Whether two arrays agree, relative to the largest number of b, or, with a floor >= 0, each relative to itself or to the floor, where
 * infinity and NaN are results like others. The worst place is told. */
static int agree(group *g, const char *label, const array *a, const array *b)
{
    const int each = b->floor >= 0;
    const double scale = fmax(each ? b->floor : largest(b), 1e-30);
    double worst = -1;
    ptrdiff_t at_i = 0, at_j = 0;
    for (ptrdiff_t i = 0; i < b->rows; i++)
        for (ptrdiff_t j = 0; j < b->cols; j++) {
            const double x = get(a, i, j), y = get(b, i, j);
            double e = fabs(x - y) / (each ? fmax(fabs(y), scale) : scale);
            if (each && (x == y || (isnan(x) && isnan(y)))) e = 0;
            if (isnan(e)) e = INFINITY;
            if (e > worst) {
                worst = e;
                at_i = i;
                at_j = j;
            }
        }
    g->worst = fmax(g->worst, worst);
    if (worst <= g->tolerance) return 1;
    complain(label, "%s[%td, %td] is %.9g (%s), %.9g (%s)", b->name, at_i, at_j, get(a, at_i, at_j), g->kernels[0]->isa,
             get(b, at_i, at_j), g->kernels[1]->isa);
    return 0;
}

/* Runs a case on both kernel tables. */
static void compare(group *g, const char *label, body run, const void *arg)
{
    static memory m[2];
    int ok = 1;
    for (int i = 0; i < 2; i++) {
        m[i] = (memory){.k = g->kernels[i], .seed = 1 + (uint64_t)g->cases};
        run(&m[i], arg);
        for (int j = 0; j < m[i].n; j++)
            if (!bands_intact(&m[i].list[j])) {
                const char *name = m[i].list[j].name;
                complain(label, "%s wrote beyond array %d (%s)", m[i].k->isa, j, name ? name : "not a result");
                ok = 0;
            }
    }
    for (int j = 0; j < m[0].n; j++)
        if (m[0].list[j].name) ok &= agree(g, label, &m[0].list[j], &m[1].list[j]);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < m[i].n; j++) free(m[i].list[j].block);
    g->cases++;
    g->failed += !ok;
}

static void report(group *g, const char *name)
{
    printf("%-8s %-34s %4d cases, largest relative difference %.1e%s\n", g->kernels[0]->dtype == FR_F64 ? "float64" : "float32", name,
           g->cases, g->worst, g->failed ? "  FAILED" : "");
    fflush(stdout);
    passed_in_all += g->cases - g->failed;
    failed_in_all += g->failed;
    g->worst = g->cases = g->failed = complaints = 0;
}

static void run_op(const fr_kernels *k, fr_op *op, int training, int backward)
{
    const fr_program p = {k, op, 1};
    int failed = 0;
    const fr_run run = {.threads = 1, .training = training, .version = 1, .seed = 1, .failed = &failed};
    fr_forward(&p, &run);
    if (backward) fr_backward(&p, &run);
}

static const char *const activation_names[] = {
#define FR_ACT(name, needs_input) #name,
#include "activations.def"
#undef FR_ACT
};
static const int needs_input[] = {
#define FR_ACT(name, needs_input) needs_input,
#include "activations.def"
#undef FR_ACT
};

/* ---- recurrent layers ------------------------------------------------------------------------------------------------------- */

enum {
    MASK = 1, STATES = 2, REVERSE_X = 4, REVERSE_Y = 8, DROP = 16, X_BY_GATE = 32, STRIDED = 64, ZERO = 128, NO_BIAS = 256, ADD_DX = 512,
    LAST_ONLY = 1024, INFERENCE = 2048
};

typedef struct {
    fr_cell cell;
    ptrdiff_t B, T, D, H;
    unsigned options;
    fr_act activation, recurrent_activation;
    double gain;
} rnn_case;

static const char *const cell_names[FR_CELL_COUNT] = {"simple_rnn", "lstm", "gru", "gru_reset_before"};
static const int cell_gates[FR_CELL_COUNT] = {1, 4, 3, 3};

static void run_rnn(memory *m, const void *arg)
{
    const rnn_case *c = arg;
    const unsigned o = c->options;
    const ptrdiff_t B = c->B, T = c->T, D = c->D, H = c->H, gates = cell_gates[c->cell], G = gates * H;
    const ptrdiff_t ld_x = o & STRIDED ? D + 5 : D, ld_y = o & STRIDED ? H + 3 : H, copies = o & X_BY_GATE ? gates : 1;
    const int training = !(o & INFERENCE), n_states = c->cell == FR_LSTM ? 2 : 1;
    const char *const state_names[] = {"h", "c"}, *const dstate_names[] = {"dh", "dc"};
    fr_op op = {.kind = FR_OP_rnn};
    fr_rnn *r = &op.rnn;
    r->cell = c->cell;
    r->activation = c->activation;
    r->recurrent_activation = c->recurrent_activation;
    r->B = B, r->T = T, r->D = D, r->H = H, r->capacity = B;
    r->few_rows = B < FR_FEW_ROWS;
    r->use_bias = !(o & NO_BIAS);
    r->reverse_x = !!(o & REVERSE_X);
    r->reverse_y = !!(o & REVERSE_Y);
    r->zero_output_for_mask = !!(o & ZERO);

    r->x = numbers(m, NULL, copies * B * T, D, ld_x, 1);
    r->x_t = ld_x;
    r->x_b = T * ld_x;
    r->x_gate = copies > 1 ? B * T * ld_x : 0;
    if (o & MASK) {
        array *a = allocate(m, NULL, B, T, T, 1, BAND);
        for (ptrdiff_t i = 0; i < B * T; i++) a->data[i] = draw(m, i) < 0.6;
        r->mask = a->data;
    }
    if (o & DROP) {
        array *a = allocate(m, NULL, gates * B, H, H, m->k->element, BAND * m->k->element);
        for (ptrdiff_t i = 0; i < gates * B * H; i++) put(a, 0, i, draw(m, i) < 0.5 ? 0 : 2);
        r->h_drop = a->data;
    }
    if (!(o & LAST_ONLY)) r->y = output(m, "y", B * T, H, ld_y);
    r->y_t = ld_y;
    r->y_b = T * ld_y;
    r->y_last = output(m, "y_last", B, H, ld_y);
    r->y_last_b = ld_y;
    for (int i = 0; i < n_states; i++) {
        if (o & STATES) r->state_in[i] = numbers(m, NULL, B, H, H, 1);
        r->state_out[i] = output(m, state_names[i], B, H, H);
    }
    r->W.value = numbers(m, NULL, D, G, G, c->gain / sqrt((double)D));
    r->U.value = numbers(m, NULL, H, G, G, c->gain / sqrt((double)H));
    const ptrdiff_t bias = c->cell == FR_GRU ? 2 * G : G;
    if (r->use_bias) r->bias = numbers(m, NULL, 1, bias, bias, 0.5);
    if (training) {
        r->dx = o & ADD_DX ? numbers(m, "dx", copies * B * T, D, ld_x, 1) : output(m, "dx", copies * B * T, D, ld_x);
        r->dx_add = !!(o & ADD_DX);
        if (r->y) r->dy = numbers(m, NULL, B * T, H, ld_y, 1);
        r->dy_last = numbers(m, NULL, B, H, ld_y, 1);
        for (int i = 0; i < n_states; i++) {
            if (o & STATES) r->dstate_out[i] = numbers(m, NULL, B, H, H, 1);
            r->dstate_in[i] = output(m, dstate_names[i], B, H, H);
        }
        r->W.gradient = numbers(m, "dW", D, G, G, 1);
        r->U.gradient = numbers(m, "dU", H, G, G, 1);
        if (r->use_bias) r->dbias = numbers(m, "db", 1, bias, bias, 1);
    }
    ptrdiff_t sizes[8];
    m->k->rnn_sizes(r, training, sizes);
    r->W.packed = scratch(m, sizes[0]);
    r->U.packed = scratch(m, sizes[3]);
    if (training) {
        r->W.packed_t = scratch(m, sizes[1]);
        r->W.grad = scratch(m, sizes[2]);
        r->U.packed_t = scratch(m, sizes[4]);
        r->U.grad = scratch(m, sizes[5]);
    }
    r->tape = scratch(m, sizes[6]);
    r->scratch = scratch(m, sizes[7]);
    run_op(m->k, &op, training, training);
}

static void compare_rnn(group *g, const rnn_case *c)
{
    char label[200];
    const char *const names[] = {"mask", "states", "reverse_x", "reverse_y", "drop", "x_by_gate", "strided", "zero_output", "no_bias",
                                 "add_dx", "last_only", "inference"};
    int n = snprintf(label, sizeof label, "%s B%td T%td D%td H%td %s %s", cell_names[c->cell], c->B, c->T, c->D, c->H,
                     activation_names[c->activation], activation_names[c->recurrent_activation]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (c->options >> i & 1) n += snprintf(label + n, sizeof label - (size_t)n, " %s", names[i]);
    compare(g, label, run_rnn, c);
}

/* Shapes around the vector lengths and the heights of tiles, and a batch in blocks of unequal height (70). Then, with fewer options: a batch of more than
 * K_BLOCK rows in more than one window of time, one row with inputs and gradients woven into its products, weights that are larger than L2, and layers that
 * are wide. */
static void compare_cells(group *g)
{
    static const ptrdiff_t shapes[][4] = {{1, 1, 1, 1}, {2, 3, 1, 3}, {3, 4, 5, 7}, {1, 9, 4, 17}, {5, 3, 17, 8},
                                          {9, 2, 3, 33}, {13, 3, 66, 5}, {70, 5, 2, 19}};
    static const unsigned options[] = {
        0, STATES, MASK, REVERSE_X | STATES, REVERSE_Y | MASK | ZERO, DROP | STATES, DROP | MASK | X_BY_GATE | REVERSE_X,
        X_BY_GATE | STRIDED, STRIDED | MASK | ADD_DX | STATES | REVERSE_X | REVERSE_Y, LAST_ONLY | NO_BIAS | MASK,
        DROP | X_BY_GATE | STRIDED | ADD_DX | STATES | MASK,
        INFERENCE | STATES, INFERENCE | MASK | STRIDED | REVERSE_X, INFERENCE | DROP | LAST_ONLY | NO_BIAS};
    for (int cell = 0; cell < FR_CELL_COUNT; cell++) {
        rnn_case c = {.cell = (fr_cell)cell, .activation = FR_ACT_tanh, .recurrent_activation = FR_ACT_sigmoid, .gain = 1};
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
                c.B = shapes[s][0], c.T = shapes[s][1], c.D = shapes[s][2], c.H = shapes[s][3];
                c.options = options[i];
                compare_rnn(g, &c);
            }
        c.B = 300, c.T = 12, c.D = 2, c.H = cell == FR_SIMPLE_RNN ? 35 : 9;
        for (size_t i = 0; i < sizeof options / sizeof *options; i += 3) {
            c.options = options[i];
            compare_rnn(g, &c);
        }
        c.B = 1, c.T = 50, c.D = 19, c.H = 96;
        for (size_t i = 1; i < sizeof options / sizeof *options; i += 2) {
            c.options = options[i];
            compare_rnn(g, &c);
        }
        c.B = 7, c.T = 2, c.D = 3, c.H = cell == FR_SIMPLE_RNN ? 520 : 300;
        c.options = STATES;
        compare_rnn(g, &c);
        static const ptrdiff_t wide[][4] = {{20, 4, 40, 130}, {17, 3, 40, 52}, {33, 2, 17, 129}, {3, 33, 17, 0}, {9, 2, 600, 128}}; /* for a matrix unit */
        for (size_t s = 0; s < sizeof wide / sizeof *wide; s++)
            for (size_t i = s; i < sizeof options / sizeof *options; i += 7) {
                c.B = wide[s][0], c.T = wide[s][1], c.D = wide[s][2], c.H = wide[s][3] ? wide[s][3] : 520 / cell_gates[cell];
                c.options = options[i];
                compare_rnn(g, &c);
            }
        report(g, cell_names[cell]);
    }
    for (int cell = 0; cell < FR_CELL_COUNT; cell++) {
        for (int a = 0; a < FR_ACT_softmax; a++)
            for (int recurrent = 0; recurrent <= (cell != FR_SIMPLE_RNN); recurrent++) {
                const ptrdiff_t T = a == FR_ACT_exponential ? 1 : 3; /* e^(e^x) grows beyond all numbers */
                rnn_case c = {(fr_cell)cell, 5, T, 4, 11, a % 2 ? MASK : DROP, FR_ACT_tanh, FR_ACT_sigmoid, 0.5};
                *(recurrent ? &c.recurrent_activation : &c.activation) = (fr_act)a;
                compare_rnn(g, &c);
            }
        char name[64];
        snprintf(name, sizeof name, "%s, all activations", cell_names[cell]);
        report(g, name);
    }
}

/* ---- the other operations --------------------------------------------------------------------------------------------------- */

typedef struct {
    ptrdiff_t M, K, N;
    fr_act activation;
    int use_bias;
} dense_case;

static void run_dense(memory *m, const void *arg)
{
    const dense_case *c = arg;
    fr_op op = {.kind = FR_OP_dense};
    fr_dense *d = &op.dense;
    d->activation = c->activation;
    d->M = c->M, d->K = c->K, d->N = d->ld = c->N;
    d->use_bias = c->use_bias;
    d->x = numbers(m, NULL, c->M, c->K, c->K, 1);
    d->dx = output(m, "dx", c->M, c->K, c->K);
    d->y = output(m, "y", c->M, c->N, c->N);
    d->dy = numbers(m, "dz", c->M, c->N, c->N, 1);
    d->W.value = numbers(m, NULL, c->K, c->N, c->N, 1 / sqrt((double)c->K));
    d->W.gradient = numbers(m, "dW", c->K, c->N, c->N, 1);
    if (c->use_bias) {
        d->bias = numbers(m, NULL, 1, c->N, c->N, 1);
        d->dbias = numbers(m, "db", 1, c->N, c->N, 1);
    }
    if (needs_input[c->activation]) d->z = output(m, "z", c->M, c->N, c->N);
    ptrdiff_t sizes[4];
    m->k->dense_sizes(d, 1, sizes);
    d->W.packed = scratch(m, sizes[0]);
    d->W.packed_t = scratch(m, sizes[1]);
    d->W.grad = scratch(m, sizes[2]);
    d->scratch = scratch(m, sizes[3]);
    run_op(m->k, &op, 1, 1);
}

static void compare_dense(group *g)
{
    static const ptrdiff_t shapes[][3] = {{1, 1, 1}, {3, 5, 2}, {7, 4, 17}, {13, 33, 67}, {300, 3, 5}, {50, 70, 3}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int a = 0; a < FR_ACT_COUNT; a++) {
            const dense_case c = {shapes[s][0], shapes[s][1], shapes[s][2], (fr_act)a, (a + (int)s) % 4 != 0};
            char label[100];
            snprintf(label, sizeof label, "dense M%td K%td N%td %s", c.M, c.K, c.N, activation_names[a]);
            compare(g, label, run_dense, &c);
        }
    report(g, "dense, all activations");
}

static void run_embedding(memory *m, const void *arg)
{
    const ptrdiff_t N = *(const ptrdiff_t *)arg, M = 41, V = 11;
    array *ids = allocate(m, NULL, 1, M, M, sizeof(int32_t), BAND * sizeof(int32_t));
    for (ptrdiff_t i = 0; i < M; i++) ((int32_t *)ids->data)[i] = (int32_t)(draw(m, i) * (double)V);
    fr_op op = {.kind = FR_OP_embedding};
    fr_embedding *e = &op.embedding;
    e->M = M, e->N = N, e->V = V;
    e->ids = (const int32_t *)ids->data;
    e->table = numbers(m, NULL, V, N, N, 1);
    e->dtable = numbers(m, "dtable", V, N, N, 1);
    e->y = output(m, "y", M, N, N);
    e->dy = numbers(m, NULL, M, N, N, 1);
    run_op(m->k, &op, 1, 1);
}

static void compare_embedding(group *g)
{
    for (ptrdiff_t N = 1; N < 36; N++) {
        char label[40];
        snprintf(label, sizeof label, "embedding N%td", N);
        compare(g, label, run_embedding, &N);
    }
    report(g, "embedding");
}

/* A sum of numbers of size 1 that nearly cancel has an error of their size, not of its own. */
static double floor_of(fr_act kind)
{
    switch (kind) {
    case FR_ACT_gelu: case FR_ACT_mish: case FR_ACT_tanh_shrink: case FR_ACT_squareplus: return 1;
    default: return 0;
    }
}

/* One activation and its slope, from end to end of its domain, value by value. */
static void run_activation(memory *m, const void *arg)
{
    static const double special[] = {0.0, -0.0, 1e-6, -1e-6, 30, -30, 80, -80, 88.5, -86.5, -90, 700, -700, 1e4, -1e4, 1e18, -1e18,
                                     INFINITY, -INFINITY, NAN};
    enum { SPECIAL = sizeof special / sizeof *special, N = 401 + SPECIAL };
    const fr_act kind = *(const fr_act *)arg;
    fr_op op = {.kind = FR_OP_activation};
    fr_activation *a = &op.activation;
    array *x = allocate(m, NULL, 1, N, N, m->k->element, BAND * m->k->element);
    for (ptrdiff_t i = 0; i < N; i++) put(x, 0, i, i < SPECIAL ? special[i] : (i % 2 ? 24 : 172) * (draw(m, i) - 0.5));
    a->activation = kind;
    a->M = 1, a->N = N;
    a->x = x->data;
    a->dx = output(m, "slope", 1, N, N);
    m->list[m->n - 1].floor = 1; /* most are such sums, like 1 - y^2 */
    a->y = output(m, "y", 1, N, N);
    m->list[m->n - 1].floor = floor_of(kind);
    a->dy = numbers(m, NULL, 1, N, N, 1);
    run_op(m->k, &op, 1, 1);
}

static void compare_activations(group *g)
{
    g->tolerance /= 10; /* one rounding after another is all there is to differ */
    for (int a = 0; a < FR_ACT_softmax; a++) compare(g, activation_names[a], run_activation, &(fr_act){(fr_act)a});
    g->tolerance *= 10;
    report(g, "activations alone");
}

typedef struct {
    fr_normalize_mode mode;
    ptrdiff_t rows, N;
} normalize_case;

static void run_normalize(memory *m, const void *arg)
{
    const normalize_case *c = arg;
    fr_op op = {.kind = FR_OP_normalize};
    fr_normalize *k = &op.normalize;
    k->mode = c->mode;
    k->B = c->rows, k->G = 1, k->N = c->N, k->periods = 1;
    k->epsilon = 1e-3;
    k->x = numbers(m, NULL, c->rows, c->N, c->N, 1);
    k->dx = output(m, "dx", c->rows, c->N, c->N);
    k->y = output(m, "y", c->rows, c->N, c->N);
    k->dy = numbers(m, NULL, c->rows, c->N, c->N, 1);
    if (c->mode != FR_NORMALIZE_SOFTMAX) {
        k->gamma = numbers(m, NULL, 1, c->N, c->N, 1);
        k->beta = numbers(m, NULL, 1, c->N, c->N, 1);
        k->dgamma = numbers(m, "dgamma", 1, c->N, c->N, 1);
        k->dbeta = numbers(m, "dbeta", 1, c->N, c->N, 1);
    }
    k->stats = scratch(m, 2 * c->rows);
    k->sums = scratch(m, 2 * c->N * (ptrdiff_t)(sizeof(double) / m->k->element));
    run_op(m->k, &op, 1, 1);
}

static void compare_normalize(group *g)
{
    static const char *const names[] = {"layer", "variance", "rms", "unit", "softmax"};
    static const ptrdiff_t sizes[] = {3, 7, 16, 33, 130, 700};
    for (int mode = FR_NORMALIZE_LAYER; mode <= FR_NORMALIZE_SOFTMAX; mode++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const normalize_case c = {(fr_normalize_mode)mode, 1 + 18 * (ptrdiff_t)(s % 3), sizes[s]};
            char label[100];
            snprintf(label, sizeof label, "normalize %s rows%td N%td", names[mode], c.rows, c.N);
            compare(g, label, run_normalize, &c);
        }
    report(g, "normalisation of rows");
}

/* ---- optimizers --------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    fr_optimizer_kind kind;
    int slots;
    double s[8]; /* as optimizer.inc.h has them */
} rule;

typedef struct {
    const rule *rule;
    ptrdiff_t n;
    double g_scale, clip_value, decay;
} update_case;

static void run_update(memory *m, const void *arg)
{
    static const char *const slot_names[] = {"slot 0", "slot 1", "slot 2"};
    const update_case *c = arg;
    const ptrdiff_t n = c->n;
    fr_update u = {.kind = c->rule->kind, .n = n, .g_scale = c->g_scale, .clip_value = c->clip_value, .decay = c->decay};
    memcpy(u.s, c->rule->s, sizeof u.s);
    u.w = numbers(m, "w", 1, n, n, 1);
    for (int i = 0; i < c->rule->slots; i++) { /* positive, and no slot's square above another slot, as moments are */
        array *a = allocate(m, slot_names[i], 1, n, n, m->k->element, BAND * m->k->element);
        for (ptrdiff_t j = 0; j < n; j++) put(a, 0, j, 0.3 + 0.2 * draw(m, j));
        u.slot[i] = a->data;
    }
    for (int step = 0; step < 3; step++) {
        u.g = numbers(m, NULL, 1, n, n, 0.5);
        fr_update_all(m->k, &u, 1);
    }
}

static void compare_updates(group *g)
{
    static const rule rules[] = {
        {"sgd", FR_SGD, 0, {0.1, 3}},
        {"sgd momentum", FR_SGD, 1, {0.1, 3, 0.9}},
        {"sgd nesterov", FR_SGD, 1, {0.1, 3, 0.9, 1}},
        {"rmsprop", FR_RMSPROP, 1, {0.01, 3, 0.9, 0, 1e-7}},
        {"rmsprop momentum", FR_RMSPROP, 2, {0.01, 3, 0.9, 0.8, 1e-7}},
        {"rmsprop centered", FR_RMSPROP, 2, {0.01, 3, 0.9, 0, 1e-7, 1}},
        {"rmsprop centered momentum", FR_RMSPROP, 3, {0.01, 3, 0.9, 0.8, 1e-7, 1}},
        {"adam", FR_ADAM, 2, {0.01, 3, 0.9, 0.999, 1e-7}},
        {"amsgrad", FR_ADAM, 3, {0.01, 3, 0.9, 0.999, 1e-7, 1}},
        {"adamax", FR_ADAMAX, 2, {0.01, 3, 0.9, 0.999, 1e-7}},
        {"nadam", FR_NADAM, 2, {0.01, 3, 0.9, 0.999, 1e-7, 1.2, 0.8, 1.5}},
        {"adagrad", FR_ADAGRAD, 1, {0.1, 3, 1e-7}},
        {"adadelta", FR_ADADELTA, 2, {1, 3, 0.95, 1e-7}},
        {"lion", FR_LION, 1, {0.01, 3, 0.9, 0.99}},
        {"ftrl", FR_FTRL, 2, {0.1, 3, 0.4, 0.01, 0.02, 0.03}},
    };
    static const ptrdiff_t lengths[] = {1, 2, 3, 5, 15, 17, 64, 16384 + 7};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            const update_case c = {&rules[r], lengths[i], i % 2 ? 0.7 : 1, i % 3 ? 0.4 : 0, i % 4 ? 0.01 : 0};
            char label[60];
            snprintf(label, sizeof label, "%s n%td", c.rule->name, c.n);
            compare(g, label, run_update, &c);
        }
    report(g, "optimizer steps");
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------ */

/* Flushing to zero is a matter of the processor, not of the kernels, but needs a processor of this kind to be seen. */
static void check_denormals(void)
{
    volatile float small = 1e-30f, result[2];
    volatile double small_d = 1e-300, result_d[2];
    const uint64_t mode = fr_flush_denormals();
    result[0] = small * 1e-10f;
    result_d[0] = small_d * 1e-20;
    fr_restore_denormals(mode);
    result[1] = small * 1e-10f;
    result_d[1] = small_d * 1e-20;
    const int ok = result[0] == 0 && result_d[0] == 0 && result[1] > 0 && result_d[1] > 0;
    printf("denormals flushed, and kept again afterwards%s\n", ok ? "" : "  FAILED");
    passed_in_all += ok;
    failed_in_all += !ok;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: compare_isas ISA REFERENCE\n");
        return 2;
    }
    check_denormals();
    for (int dtype = FR_F32; dtype <= FR_F64; dtype++) {
        group g = {.tolerance = dtype == FR_F64 ? 1e-12 : 2e-5};
        for (int i = 0; i < 2; i++)
            if (!(g.kernels[i] = fr_find_kernels(argv[1 + i], (fr_dtype)dtype))) {
                fprintf(stderr, "no instruction set '%s' here\n", argv[1 + i]);
                return 2;
            }
        compare_cells(&g);
        compare_dense(&g);
        compare_embedding(&g);
        compare_activations(&g);
        compare_normalize(&g);
        compare_updates(&g);
    }
    printf("%d passed, %d failed\n", passed_in_all, failed_in_all);
    return failed_in_all != 0;
}
