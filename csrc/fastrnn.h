/* The interface between the binding and the kernels: argument structs, kernel tables, prototypes.
 *
 * Conventions. Sizes: B batch, T time steps, D input features, H units. Arrays are row-major; a batch of sequences is
 * (B, T, features). Every `void *` points at elements of the dtype of the kernel table that runs the operation.
 * A NULL pointer means "not there" where the field says optional. Gradients are *assigned* unless said otherwise.
 * Nothing here allocates or fails: the binding checks every size first and owns all memory. */
#ifndef FASTRNN_H
#define FASTRNN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#define FR_X86 1
#else
#define FR_X86 0
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
#define FR_ARM64 1
#else
#define FR_ARM64 0
#endif
#if defined(FR_AMX) /* setup.py, which asks the compiler */
#elif FR_X86 && defined(__linux__) && ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 11))
#define FR_AMX 1
#else
#define FR_AMX 0
#endif

typedef enum { FR_F32, FR_F64 } fr_dtype;

typedef enum {
#define FR_ACT(name, needs_input) FR_ACT_##name,
#include "activations.def"
#undef FR_ACT
    FR_ACT_COUNT
} fr_act;

typedef enum { FR_SIMPLE_RNN, FR_LSTM, FR_GRU, FR_GRU_RESET_BEFORE, FR_CELL_COUNT } fr_cell;

#define FR_FEW_ROWS 8 /* programs for batches of less may take other kernels than those for more (see is_large), and so may those for one */

/* A matrix that is multiplied from packed panels (see gemm.inc.h). `packed` holds it as it is, `packed_t` transposed
 * (for the gradient of the input), `grad` collects its gradient in the layout of `packed`. */
typedef struct {
    const void *value;  /* (K, N) */
    void *gradient;     /* (K, N), optional: added to, or */
    int assigned;       /* assigned, by a recurrent layer that is the only one to write it */
    void *packed, *packed_t, *grad; /* sized by rnn_sizes or dense_sizes; packed_t and grad only for training */
    int uncut;          /* whether it has values that the matrix unit cannot take (see cut.inc.h) */
} fr_matrix;

/* One recurrent layer over a whole sequence. Element (b, t, d) of x is at x[b * x_b + t * x_t + d], of y and dy at
 * y[b * y_b + t * y_t + u]. Step s of the recurrence reads time s, or T-1-s with `reverse_x`; it writes output time s, or T-1-s with
 * `reverse_y`. */
typedef struct {
    fr_cell cell;
    fr_act activation, recurrent_activation;
    ptrdiff_t B, T, D, H;
    ptrdiff_t capacity;       /* the largest B, for which the memory below is sized; it fixes windows and chunks of steps, and whether a row is alone */
    int few_rows;             /* of a program for less than FR_FEW_ROWS samples */
    int use_bias, reverse_x, reverse_y, zero_output_for_mask;

    const void *x;            /* (B, T, D), one such array per gate `x_gate` elements apart, or one for all (x_gate = 0) */
    ptrdiff_t x_b, x_t, x_gate;
    void *dx;                 /* optional, laid out as x */
    int dx_add;               /* add to dx instead of assigning */
    const uint8_t *mask;      /* (B, T) optional, 1 = use the step, 0 = skip it */
    const void *h_drop;       /* (gates, B, H) optional, scales the recurrent input of each gate */

    void *y;                  /* (B, T, H) optional */
    const void *dy;           /* laid out as y, optional */
    ptrdiff_t y_b, y_t;
    void *y_last;             /* (B, H) output of the last step, row stride y_last_b; optional */
    const void *dy_last;      /* laid out as y_last, optional */
    ptrdiff_t y_last_b;

    const void *state_in[2];  /* (B, H) h and c before the first step, optional (zeros) */
    void *state_out[2];       /* (B, H) h and c after the last step, optional; may be state_in */
    const void *dstate_out[2]; /* (B, H) optional */
    void *dstate_in[2];       /* (B, H) optional */

    fr_matrix W, U;           /* (D, G*H), (H, G*H), gates in Keras's order */
    const void *bias;         /* (G*H), or (2, G*H) for FR_GRU */
    void *dbias;              /* optional, added to */

    /* Memory of the size that rnn_sizes tells. */
    void *tape;               /* gates (as far as backward reads them), c and h of every step when training, of a window or two otherwise */
    void *scratch;
    uint64_t packed_version;  /* of the weights inside W.packed ... ; 0 = nothing packed yet */
    int packed_transposed;
} fr_rnn;

/* y = activation(x W + b) on M rows. Rows of y, dy, z and W lie `ld` elements apart: N, or more where they are some of the columns of
 * wider arrays; then the activation must be linear. */
typedef struct {
    fr_act activation;
    ptrdiff_t M, K, N, ld;
    int use_bias;
    const void *x;            /* (M, K) */
    void *dx;                 /* (M, K) optional */
    void *y;                  /* (M, N) */
    void *dy;                 /* (M, N), overwritten by the gradient of the pre-activation */
    void *z;                  /* (M, N) pre-activation, only where the activation needs its input */
    fr_matrix W;              /* (K, N) */
    const void *bias;
    void *dbias;              /* optional, added to */
    void *scratch;
    uint64_t packed_version;
    int packed_transposed;
} fr_dense;

/* 2-D convolution, channels last, as dense layers on unfolded patches, one for each group of channels. */
typedef struct {
    ptrdiff_t B, H, W, C;             /* input (B, H, W, C) */
    ptrdiff_t OH, OW, N, groups;      /* output (B, OH, OW, N); group g maps the g-th share of C to the g-th share of N */
    ptrdiff_t KH, KW, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    const void *x;
    void *dx;                         /* optional */
    void *columns;                    /* (groups, B*OH*OW, KH*KW*C/groups) patches */
    void *dcolumns;                   /* same, when dx is wanted */
    fr_dense dense;                   /* of the first group; W (KH*KW*C/groups, N) and b hold the others' beside its own */
} fr_conv2d;

typedef enum { FR_POOL_MAX, FR_POOL_AVERAGE } fr_pool_mode;

/* Largest or mean value of the cells of a window that lie in the image; every window has some. */
typedef struct {
    fr_pool_mode mode;
    ptrdiff_t B, H, W, C, OH, OW;     /* input (B, H, W, C), output (B, OH, OW, C) */
    ptrdiff_t KH, KW, stride_h, stride_w, pad_top, pad_left;
    const void *x;
    void *dx;                         /* optional */
    void *y;
    const void *dy;
} fr_pool;

/* The same over all T cells at once; the mean may leave out those whose mask is 0. */
typedef struct {
    fr_pool_mode mode;
    ptrdiff_t B, T, C;                /* input (B, T, C), output (B, C) */
    const uint8_t *mask;              /* (B, T) optional, for the mean */
    const void *x;
    void *dx;                         /* optional */
    void *y;
    const void *dy;
} fr_global_pool;

/* y is x with its axes permuted, padded, cut and their entries repeated. Entry i of an output axis is entry (i - before) / repeat of an
 * input axis of length `in` with that stride, or 0 where that lies outside. */
enum { FR_MAX_AXES = 8 };
typedef struct {
    ptrdiff_t out, in, before, repeat, stride;
    ptrdiff_t block;                  /* elements of y that one entry of the axis holds */
} fr_axis;
typedef struct {
    ptrdiff_t B, x_row, y_row;        /* samples, elements of a sample */
    ptrdiff_t inner;                  /* elements that stay together below the last of these axes */
    int axes;
    fr_axis axis[FR_MAX_AXES];
    size_t element;                   /* bytes; gradients are of the table's dtype */
    const void *x;
    void *dx;                         /* optional */
    void *y;
    const void *dy;
} fr_rearrange;

typedef struct {
    ptrdiff_t M, N, V;        /* ids, width, vocabulary */
    const int32_t *ids;       /* (M) checked to lie in [0, V) */
    const void *table;        /* (V, N) */
    void *dtable;             /* (V, N) optional, added to */
    void *y;                  /* (M, N) */
    const void *dy;
    int threads;
} fr_embedding;

/* Makes the mask of a sequence: ids != 0, or any feature != value (then x is copied to y with skipped steps zeroed). */
typedef struct {
    ptrdiff_t M, D;           /* rows (B*T), features */
    const int32_t *ids;       /* (M) or NULL */
    const void *x;            /* (M, D) or NULL */
    double value;
    uint8_t *mask;            /* (M) */
    void *y;                  /* (M, D), with x */
    const void *dy;
    void *dx;                 /* optional */
} fr_mask;

/* y = x * noise; noise is 0 with probability `rate`, else 1/(1-rate), drawn anew for each run. x is (outer, repeat, inner), noise
 * (outer, inner): one draw serves `repeat` time steps. Without x it only draws. `copies` such draws lie one after another,
 * as do the outputs. */
typedef struct {
    double rate;
    ptrdiff_t outer, repeat, inner, copies;
    const void *x;            /* optional */
    void *y;                  /* (copies, outer, repeat, inner) */
    const void *dy;
    void *dx;                 /* optional; the gradients of the copies are added up */
    int dx_add;               /* add to dx instead of assigning */
    void *noise;              /* (copies, outer, inner) */
    uint64_t stream;          /* tells this operation's draws from those of others */
} fr_dropout;

typedef struct {
    fr_act activation;
    ptrdiff_t M, N;           /* rows, columns (softmax runs along a row) */
    const void *x;
    void *dx;                 /* optional */
    void *y;
    const void *dy;
} fr_activation;

typedef enum { FR_MERGE_SUM, FR_MERGE_MUL, FR_MERGE_AVE } fr_merge_mode;

typedef struct {
    fr_merge_mode mode;
    ptrdiff_t n;
    const void *a, *b;
    void *y, *da, *db;
    const void *dy;
} fr_merge;

/* What a layer computes in Python. `call` returns non-zero if it could not; the binding keeps the reason. */
typedef struct {
    ptrdiff_t B;              /* samples */
    int (*call)(void *context, ptrdiff_t B, int backward, int training);
    void *context;
} fr_function;

typedef enum {
    FR_NORMALIZE_LAYER,       /* (x - mean) / sqrt(variance + epsilon) */
    FR_NORMALIZE_VARIANCE,    /* x / sqrt(variance + epsilon) */
    FR_NORMALIZE_RMS,         /* x / sqrt(mean(x^2) + epsilon) */
    FR_NORMALIZE_UNIT,        /* x / sqrt(sum(x^2)), by at most 1 / epsilon */
    FR_NORMALIZE_SOFTMAX
} fr_normalize_mode;

/* Each sample is G rows of N elements, and each row is normalised by itself; then y = y * gamma + beta. */
typedef struct {
    fr_normalize_mode mode;
    ptrdiff_t B, G, N;
    double epsilon;
    const void *x;
    void *dx;                 /* optional */
    void *y;
    const void *dy;
    const int64_t *order;     /* (G*N) optional: where the elements of the rows lie in a sample */
    void *sorted_x, *sorted_y, *sorted_dy; /* (B, G*N), with `order` */
    const uint8_t *keep;      /* (B, G*N) optional, softmax only, in the order of the rows */
    const void *gamma, *beta; /* optional */
    void *dgamma, *dbeta;     /* optional, added to */
    ptrdiff_t periods;        /* 1 where all rows have the same weights (N), G where each of a sample has its own */
    const int64_t *weight;    /* (periods*N) optional: the entry of gamma and beta for each element */
    void *weight_rows;        /* (2, periods*N), with `weight` */
    const void *gamma_rows, *beta_rows; /* set by the forward pass */
    void *stats;              /* (B*G, 2): center and scale of each row */
    void *sums;               /* (2, periods*N) doubles, for training */
} fr_normalize;

/* Normalises each of C channels over all samples: x is (outer, C, inner). In training by the moments of the batch, which also
 * move the moving statistics; else by these. */
typedef struct {
    ptrdiff_t outer, C, inner;
    double epsilon, momentum, mask_epsilon;
    int trains;               /* 0: as in inference also when training */
    int of_batch;             /* set by the forward pass */
    const void *x;
    void *dx;                 /* optional */
    void *y;
    const void *dy;
    const uint8_t *mask;      /* optional; element i belongs to entry i / mask_stride */
    ptrdiff_t mask_stride;
    const void *gamma, *beta; /* (C) optional */
    void *dgamma, *dbeta;     /* optional, added to */
    void *moving_mean, *moving_variance; /* (C) */
    void *mean, *scale;       /* (C) of this run */
    void *count;              /* (C) doubles: elements of each channel that count */
} fr_batch_norm;

/* y = (x - shift) * scale + offset for each of N elements of a sample. With `mean` these numbers come from the weights: to normalise with
 * a standard deviation of at least epsilon, or to undo that. */
typedef struct {
    ptrdiff_t B, N;
    const void *x;
    void *dx;                 /* optional */
    void *y;
    const void *dy;
    void *shift, *scale, *offset; /* (N) */
    const void *mean, *variance; /* optional */
    const int64_t *index;     /* (N) with `mean`: the entry of mean and variance for each element */
    double epsilon;
    int invert;
} fr_affine;

typedef enum { FR_RECTIFIER_RELU, FR_RECTIFIER_ELU, FR_RECTIFIER_PRELU } fr_rectifier_kind;

/* relu: x up to max above the threshold, slope * (x - threshold) below; elu: slope * (e^x - 1) below 0; prelu: alpha * x below 0. */
typedef struct {
    fr_rectifier_kind kind;
    ptrdiff_t B, N;
    double slope, max, threshold;
    const void *x;
    void *dx;                 /* optional */
    void *y;
    const void *dy;
    const void *alpha;        /* (weights), prelu only */
    void *dalpha;             /* optional, added to */
    ptrdiff_t weights;
    const int64_t *index;     /* (N) the entry of alpha for each element of a sample */
    void *sums;               /* (weights) doubles, for training */
} fr_rectifier;

typedef enum { FR_NOISE_DROPOUT, FR_NOISE_ALPHA_DROPOUT, FR_NOISE_GAUSSIAN, FR_NOISE_GAUSSIAN_DROPOUT } fr_noise_kind;

/* Disturbs x in training, and copies it otherwise. */
typedef struct {
    fr_noise_kind kind;
    ptrdiff_t B, N;           /* samples, elements of each */
    double rate;              /* gaussian: standard deviation */
    const void *x;
    void *dx;                 /* optional */
    void *y;
    const void *dy;
    ptrdiff_t P;              /* draws for each sample */
    int shared;               /* one set of draws for all samples */
    const int64_t *index;     /* (N) optional: the draw for each element of a sample */
    void *noise;              /* (B, P) */
    uint64_t stream;          /* tells this operation's draws from those of others */
    uint64_t *state;          /* optional: seed and number of the next draw, of a layer with a seed of its own */
} fr_noise;

typedef enum {
#define FR_OP(name) FR_OP_##name,
#include "ops.def"
#undef FR_OP
    FR_OP_COUNT
} fr_op_kind;

typedef struct {
    fr_op_kind kind;
    union {
#define FR_OP(name) fr_##name name;
#include "ops.def"
#undef FR_OP
    };
} fr_op;

/* What is the same for every operation of one run. */
typedef struct {
    int threads;
    int training;             /* dropout is active, the tape is kept */
    uint64_t version;         /* of the weights; changes with every update */
    uint64_t seed;            /* of this run's random draws */
    int *failed;              /* set by an operation that could not do its work: the pass ends there */
} fr_run;

/* Per-sample losses and metrics. */
typedef enum {
#define FR_LOSS(name) FR_LOSS_##name,
#include "losses.def"
#undef FR_LOSS
    FR_LOSS_COUNT
} fr_loss_kind;

/* sum of weight[i] * l(y_true[i], y_pred[i]) over rows; with dy_pred its gradient times `scale` is assigned. */
typedef struct {
    fr_loss_kind kind;
    double param[2];          /* crossentropies: from_logits, label_smoothing; huber: delta; binary_accuracy: threshold; top_k: k */
    double epsilon;
    ptrdiff_t M, N, N_true;   /* rows, columns of y_pred, columns of y_true (1 or N) */
    const void *y_true, *y_pred;
    const void *weight;       /* (M) optional */
    void *dy_pred;            /* (M, N) optional */
    double scale;
} fr_loss;

typedef enum {
    FR_SGD, FR_RMSPROP, FR_ADAM, FR_ADAMAX, FR_NADAM, FR_ADAGRAD, FR_ADADELTA, FR_LION, FR_FTRL
} fr_optimizer_kind;

/* One update of n parameters that lie side by side. */
typedef struct {
    fr_optimizer_kind kind;
    ptrdiff_t n;
    void *w;
    const void *g;
    void *slot[3];
    double s[8];              /* the numbers of the step, in the order that optimizer.inc.h gives for each kind */
    double g_scale;           /* the gradient is multiplied by this first (clipping by norm) */
    double clip_value;        /* then clipped to +-clip_value, if > 0 */
    double decay;             /* then w -= w * decay */
} fr_update;

typedef struct {
    const char *isa;
    fr_dtype dtype;
    ptrdiff_t lanes;          /* vector length in elements */
    size_t element;           /* bytes */
    void (*forward[FR_OP_COUNT])(fr_op *, const fr_run *);
    void (*backward[FR_OP_COUNT])(fr_op *, const fr_run *);
    double (*loss)(const fr_loss *);
    void (*update)(const fr_update *);
    double (*sum_of_squares)(const void *x, ptrdiff_t n);
    void (*activate)(fr_act, ptrdiff_t rows, ptrdiff_t cols, const void *x, void *y);
    /* sizes of the memory an operation needs, in elements */
    void (*rnn_sizes)(const fr_rnn *, int training, ptrdiff_t sizes[8]);
    void (*dense_sizes)(const fr_dense *, int training, ptrdiff_t sizes[4]);
    double (*fma_chain)(ptrdiff_t n); /* n fused multiply-adds per lane and register; returns flop done */
    double (*read_all)(const void *x, ptrdiff_t n); /* touches n elements once; for bandwidth figures */
} fr_kernels;

/* program.c: one pass over a list of operations. */
typedef struct {
    const fr_kernels *k;
    fr_op *ops;
    ptrdiff_t n;
} fr_program;

void fr_forward(const fr_program *, const fr_run *);
void fr_backward(const fr_program *, const fr_run *);
/* Rows `stride` bytes apart, which may overlap. A row is `axes` nested loops (size, step in bytes) over pieces that lie together. */
enum { FR_ROW_AXES = 8 };
typedef struct {
    ptrdiff_t stride, size[FR_ROW_AXES], step[FR_ROW_AXES];
    size_t piece;
    int axes;
} fr_rows;
/* to[i] = from[order[i]]; order NULL: rows as they are */
void fr_gather(void *to, const void *from, const int64_t *order, ptrdiff_t n, const fr_rows *rows);
/* l and u, cut into pieces that threads share */
double fr_loss_all(const fr_kernels *, const fr_loss *l, int threads);
void fr_update_all(const fr_kernels *, const fr_update *u, int threads);
double fr_norm(const fr_kernels *, const void *x, ptrdiff_t n);
double fr_seconds(void); /* of a clock that only goes forward */

/* dispatch.c */
const fr_kernels *fr_find_kernels(const char *isa, fr_dtype dtype); /* NULL if unknown or not supported here; the caller holds Python's lock */
const char *fr_isa_name(int i);                                     /* i-th of this build, best first; NULL at the end */
int fr_isa_supported(const char *isa);

/* parallel.c: the only place that knows threads. Runs task(arg, i) for i in [0, n), on up to `threads` threads; those that it adds
 * flush denormals to zero, as the caller is to. */
typedef void (*fr_task)(void *arg, ptrdiff_t i);
void fr_parallel_for(int threads, ptrdiff_t n, fr_task task, void *arg);
typedef void (*fr_member)(void *arg, int i, int n);
void fr_team(int threads, fr_member member, void *arg); /* n members at once, n <= threads, which may wait for each other: */
void fr_barrier(void);
uint64_t fr_flush_denormals(void);   /* for this thread; returns what fr_restore_denormals() takes */
void fr_restore_denormals(uint64_t mode);
ptrdiff_t fr_l2_bytes(void);         /* of the second-level cache, a guess where the system does not tell */
int fr_openmp(void);                 /* the OpenMP version, 0 without */
int fr_max_threads(void);
void fr_install_fork_guard(void);

/* rng.c */
uint64_t fr_mix(uint64_t seed, uint64_t stream, uint64_t i);

#endif
