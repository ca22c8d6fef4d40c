from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "fastrnn.h" nogil:
    ctypedef enum fr_dtype:
        FR_F32
        FR_F64

    ctypedef enum fr_act:
        FR_ACT_linear
        FR_ACT_COUNT

    ctypedef enum fr_cell:
        FR_SIMPLE_RNN
        FR_LSTM
        FR_GRU
        FR_GRU_RESET_BEFORE

    ctypedef struct fr_matrix:
        const void *value
        void *gradient
        int assigned
        void *packed
        void *packed_t
        void *grad

    ctypedef struct fr_rnn:
        fr_cell cell
        fr_act activation, recurrent_activation
        ptrdiff_t B, T, D, H, capacity
        int few_rows, use_bias, reverse_x, reverse_y, zero_output_for_mask
        const void *x
        ptrdiff_t x_b, x_t, x_gate
        void *dx
        int dx_add
        const uint8_t *mask
        const void *h_drop
        void *y
        const void *dy
        ptrdiff_t y_b, y_t
        void *y_last
        const void *dy_last
        ptrdiff_t y_last_b
        const void *state_in[2]
        void *state_out[2]
        const void *dstate_out[2]
        void *dstate_in[2]
        fr_matrix W, U
        const void *bias
        void *dbias
        void *tape
        void *scratch

    ctypedef struct fr_dense:
        fr_act activation
        ptrdiff_t M, K, N, ld
        int use_bias
        const void *x
        void *dx
        void *y
        void *dy
        void *z
        fr_matrix W
        const void *bias
        void *dbias
        void *scratch

    ctypedef struct fr_conv2d:
        ptrdiff_t B, H, W, C, OH, OW, N, groups, KH, KW, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left
        const void *x
        void *dx
        void *columns
        void *dcolumns
        fr_dense dense

    ctypedef enum fr_pool_mode:
        FR_POOL_MAX
        FR_POOL_AVERAGE

    ctypedef struct fr_pool:
        fr_pool_mode mode
        ptrdiff_t B, H, W, C, OH, OW, KH, KW, stride_h, stride_w, pad_top, pad_left
        const void *x
        void *dx
        void *y
        const void *dy

    ctypedef struct fr_global_pool:
        fr_pool_mode mode
        ptrdiff_t B, T, C
        const uint8_t *mask
        const void *x
        void *dx
        void *y
        const void *dy

    int FR_MAX_AXES

    ctypedef struct fr_axis:
        ptrdiff_t out, before, repeat, stride, block
        ptrdiff_t length "in"

    ctypedef struct fr_rearrange:
        ptrdiff_t B, x_row, y_row, inner
        int axes
        fr_axis axis[8]
        size_t element
        const void *x
        void *dx
        void *y
        const void *dy

    ctypedef struct fr_embedding:
        ptrdiff_t M, N, V
        const int *ids
        const void *table
        void *dtable
        void *y
        const void *dy

    ctypedef struct fr_mask:
        ptrdiff_t M, D
        const int *ids
        const void *x
        double value
        uint8_t *mask
        void *y
        const void *dy
        void *dx

    ctypedef struct fr_dropout:
        double rate
        ptrdiff_t outer, repeat, inner, copies
        const void *x
        void *y
        const void *dy
        void *dx
        int dx_add
        void *noise
        uint64_t stream

    ctypedef struct fr_activation:
        fr_act activation
        ptrdiff_t M, N
        const void *x
        void *dx
        void *y
        const void *dy

    ctypedef enum fr_merge_mode:
        FR_MERGE_SUM

    ctypedef struct fr_merge:
        fr_merge_mode mode
        ptrdiff_t n
        const void *a
        const void *b
        void *y
        void *da
        void *db
        const void *dy

    ctypedef struct fr_function:
        ptrdiff_t B
        int (*call)(void *context, ptrdiff_t B, int backward, int training) noexcept
        void *context

    ctypedef enum fr_normalize_mode:
        FR_NORMALIZE_LAYER
        FR_NORMALIZE_SOFTMAX

    ctypedef struct fr_normalize:
        fr_normalize_mode mode
        ptrdiff_t B, G, N
        double epsilon
        const void *x
        void *dx
        void *y
        const void *dy
        const int64_t *order
        void *sorted_x
        void *sorted_y
        void *sorted_dy
        const uint8_t *keep
        const void *gamma
        const void *beta
        void *dgamma
        void *dbeta
        ptrdiff_t periods
        const int64_t *weight
        void *weight_rows
        void *stats
        void *sums

    ctypedef struct fr_batch_norm:
        ptrdiff_t outer, C, inner
        double epsilon, momentum, mask_epsilon
        int trains
        const void *x
        void *dx
        void *y
        const void *dy
        const uint8_t *mask
        ptrdiff_t mask_stride
        const void *gamma
        const void *beta
        void *dgamma
        void *dbeta
        void *moving_mean
        void *moving_variance
        void *mean
        void *scale
        void *count

    ctypedef struct fr_affine:
        ptrdiff_t B, N
        const void *x
        void *dx
        void *y
        const void *dy
        void *shift
        void *scale
        void *offset
        const void *mean
        const void *variance
        const int64_t *index
        double epsilon
        int invert

    ctypedef enum fr_rectifier_kind:
        FR_RECTIFIER_RELU

    ctypedef struct fr_rectifier:
        fr_rectifier_kind kind
        ptrdiff_t B, N
        double slope, max, threshold
        const void *x
        void *dx
        void *y
        const void *dy
        const void *alpha
        void *dalpha
        ptrdiff_t weights
        const int64_t *index
        void *sums

    ctypedef enum fr_noise_kind:
        FR_NOISE_DROPOUT

    ctypedef struct fr_noise:
        fr_noise_kind kind
        ptrdiff_t B, N
        double rate
        const void *x
        void *dx
        void *y
        const void *dy
        ptrdiff_t P
        int shared
        const int64_t *index
        void *noise
        uint64_t stream
        uint64_t *state

    ctypedef enum fr_op_kind:
        FR_OP_rnn
        FR_OP_dense
        FR_OP_conv2d
        FR_OP_pool
        FR_OP_global_pool
        FR_OP_rearrange
        FR_OP_embedding
        FR_OP_mask
        FR_OP_dropout
        FR_OP_activation
        FR_OP_merge
        FR_OP_function
        FR_OP_normalize
        FR_OP_batch_norm
        FR_OP_affine
        FR_OP_rectifier
        FR_OP_noise

    ctypedef struct fr_op:
        fr_op_kind kind
        fr_rnn rnn
        fr_dense dense
        fr_conv2d conv2d
        fr_pool pool
        fr_global_pool global_pool
        fr_rearrange rearrange
        fr_embedding embedding
        fr_mask mask
        fr_dropout dropout
        fr_activation activation
        fr_merge merge
        fr_function function
        fr_normalize normalize
        fr_batch_norm batch_norm
        fr_affine affine
        fr_rectifier rectifier
        fr_noise noise

    ctypedef struct fr_run:
        int threads, training
        uint64_t version, seed
        int *failed

    ctypedef enum fr_loss_kind:
        FR_LOSS_COUNT

    ctypedef struct fr_loss:
        fr_loss_kind kind
        double param[2]
        double epsilon
        ptrdiff_t M, N, N_true
        const void *y_true
        const void *y_pred
        const void *weight
        void *dy_pred
        double scale

    ctypedef enum fr_optimizer_kind:
        FR_SGD

    ctypedef struct fr_update:
        fr_optimizer_kind kind
        ptrdiff_t n
        void *w
        const void *g
        void *slot[3]
        double s[8]
        double g_scale, clip_value, decay

    ctypedef struct fr_kernels:
        const char *isa
        fr_dtype dtype
        ptrdiff_t lanes
        size_t element
        double (*loss)(const fr_loss *) noexcept nogil
        double (*sum_of_squares)(const void *, ptrdiff_t) noexcept nogil
        void (*activate)(fr_act, ptrdiff_t, ptrdiff_t, const void *, void *) noexcept nogil
        void (*rnn_sizes)(const fr_rnn *, int, ptrdiff_t *) noexcept nogil
        void (*dense_sizes)(const fr_dense *, int, ptrdiff_t *) noexcept nogil
        double (*fma_chain)(ptrdiff_t) noexcept nogil
        double (*read_all)(const void *, ptrdiff_t) noexcept nogil

    ctypedef struct fr_program:
        const fr_kernels *k
        fr_op *ops
        ptrdiff_t n

    void fr_forward(const fr_program *, const fr_run *)
    void fr_backward(const fr_program *, const fr_run *)
    int FR_ROW_AXES
    int FR_FEW_ROWS
    ctypedef struct fr_rows:
        ptrdiff_t stride
        ptrdiff_t size[8]
        ptrdiff_t step[8]
        size_t piece
        int axes
    void fr_gather(void *, const void *, const int64_t *, ptrdiff_t, const fr_rows *)
    double fr_loss_all(const fr_kernels *, const fr_loss *, int)
    void fr_update_all(const fr_kernels *, const fr_update *, int)
    double fr_norm(const fr_kernels *, const void *, ptrdiff_t)
    double fr_seconds() nogil
    uint64_t fr_flush_denormals() nogil
    void fr_restore_denormals(uint64_t) nogil
    const fr_kernels *fr_find_kernels(const char *, fr_dtype)
    const char *fr_isa_name(int)
    int fr_isa_supported(const char *)
    int fr_openmp()
    int fr_max_threads()
    ctypedef void (*fr_member)(void *, int, int) noexcept nogil
    void fr_team(int, fr_member, void *)
    void fr_install_fork_guard()
