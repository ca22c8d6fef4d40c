"""The layers in float64 NumPy, straight from their formulas: the executable specification.

Nothing here is fast and nothing is shared with the library.  A recurrent cell is a pair of functions,
one step forward and one step backward; `_scan` and `_scan_back` are the time loop around any of them.

    *_forward(...)  -> (sequence (B, T, U), last_output (B, U), states [(B, U), ...], cache)
    *_backward(cache, d_sequence, d_last, d_states)
                    -> {"x", "kernel", "recurrent_kernel", "bias", "initial_state"}

Shapes: B batch, T time steps, F features, U units, G gates; kernel (F, G*U), recurrent_kernel (U, G*U).
The sequence is in the order of processing, so with `go_backwards` it runs from the last step to the first.
"""

from math import erf

import numpy as np

# --------------------------------------------------------------------------------------- activations
# name -> (y(x), dy/dx(x)), element by element; the three that mix the last axis are below.


def _sigmoid(x):
    return np.where(x >= 0, 1, np.exp(np.minimum(x, 0))) / (1 + np.exp(-np.abs(x)))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


_erf = np.vectorize(erf, otypes=[float])
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
_GELU_C = np.sqrt(2 / np.pi)


def _gelu_tanh(x):
    return np.tanh(_GELU_C * (x + 0.044715 * x**3))


def _sech2(x):
    return 1 - np.tanh(x) ** 2


def _inside(x, low, high):
    return ((x > low) & (x < high)).astype(float)


def _negative_exp(x):
    return np.exp(np.minimum(x, 0))


ELEMENTWISE = {
    "linear": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.2 * x), lambda x: np.where(x > 0, 1, 0.2)),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: _inside(x, 0, 6)),
    "elu": (lambda x: np.where(x > 0, x, _negative_exp(x) - 1), _negative_exp),
    "celu": (lambda x: np.where(x > 0, x, _negative_exp(x) - 1), _negative_exp),
    "selu": (
        lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * (_negative_exp(x) - 1)),
        lambda x: _SELU_SCALE * np.where(x > 0, 1, _SELU_ALPHA * _negative_exp(x)),
    ),
    "gelu": (
        lambda x: x * (1 + _erf(x / np.sqrt(2))) / 2,
        lambda x: (1 + _erf(x / np.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    ),
    "gelu_approximate": (
        lambda x: 0.5 * x * (1 + _gelu_tanh(x)),
        lambda x: 0.5 * (1 + _gelu_tanh(x))
        + 0.5 * x * (1 - _gelu_tanh(x) ** 2) * _GELU_C * (1 + 3 * 0.044715 * x**2),
    ),
    "silu": (lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x)))),
    "mish": (
        lambda x: x * np.tanh(_softplus(x)),
        lambda x: np.tanh(_softplus(x)) + x * _sech2(_softplus(x)) * _sigmoid(x),
    ),
    "tanh": (np.tanh, _sech2),
    "tanh_shrink": (lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), lambda x: _inside(x, -1, 1)),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "log_sigmoid": (lambda x: -_softplus(-x), lambda x: _sigmoid(-x)),
    "hard_sigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda x: _inside(x, -3, 3) / 6),
    "hard_silu": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x >= 3, 1, _inside(x, -3, 3) * (2 * x + 3) / 6),
    ),
    "sparse_sigmoid": (lambda x: np.clip((x + 1) / 2, 0, 1), lambda x: _inside(x, -1, 1) / 2),
    "softplus": (_softplus, _sigmoid),
    "squareplus": (lambda x: (x + np.sqrt(x * x + 4)) / 2, lambda x: (1 + x / np.sqrt(x * x + 4)) / 2),
    "sparse_plus": (
        lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
        lambda x: np.clip((x + 1) / 2, 0, 1),
    ),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0),
    "soft_shrink": (lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), lambda x: (np.abs(x) > 0.5) * 1.0),
    "hard_shrink": (lambda x: np.where(np.abs(x) > 0.5, x, 0), lambda x: (np.abs(x) > 0.5) * 1.0),
    "exponential": (np.exp, np.exp),
}


def threshold(x, limit, default):
    """`x` above the limit, else the default; its derivative is 1 above the limit, else 0."""
    return np.where(x > limit, x, default)


def glu(x):
    """Half of the last axis, gated by the sigmoid of the other half (it halves the axis: no cell can use it)."""
    a, b = np.split(x, 2, axis=-1)
    return a * _sigmoid(b)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def sparsemax(x):
    """Euclidean projection of the last axis on the probability simplex (Martins and Astudillo 2016)."""
    ordered = -np.sort(-x, axis=-1)
    excess = np.cumsum(ordered, axis=-1) - 1
    rank = np.arange(1, x.shape[-1] + 1)
    support = (ordered * rank > excess).sum(axis=-1, keepdims=True)
    return np.maximum(x - np.take_along_axis(excess, support - 1, axis=-1) / support, 0)


ROWWISE = {"softmax": softmax, "log_softmax": log_softmax, "sparsemax": sparsemax}
ACTIVATIONS = (*ELEMENTWISE, *ROWWISE)


def activate(name, x):
    """`name(x)`; `None` is linear."""
    name = name or "linear"
    return ROWWISE[name](x) if name in ROWWISE else ELEMENTWISE[name][0](x)


def activate_back(name, x, dy):
    """Gradient with respect to `x`, given the gradient `dy` with respect to `name(x)`."""
    name = name or "linear"
    if name in ELEMENTWISE:
        return dy * ELEMENTWISE[name][1](x)
    y = ROWWISE[name](x)
    if name == "softmax":
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    if name == "log_softmax":
        return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)
    support = y > 0
    return support * (dy - (dy * support).sum(-1, keepdims=True) / support.sum(-1, keepdims=True))


# ------------------------------------------------------------------------------------- the time loop


def _scan(step, x, states, mask, go_backwards, zero_output_for_mask):
    """Run `step(x_t, states) -> (states, saved)` over time.  A masked step keeps the states and repeats the
    previous OUTPUT, which is zero before the first step (or it outputs zero, with zero_output_for_mask)."""
    B, T, _ = x.shape
    mask = np.ones((B, T), bool) if mask is None else np.asarray(mask).astype(bool)
    order = range(T)[::-1] if go_backwards else range(T)
    output = np.zeros_like(states[0])
    outputs, saved_steps = [], []
    for t in order:
        keep = mask[:, t, None]
        new, saved = step(x[:, t], states)
        output = np.where(keep, new[0], np.zeros_like(output) if zero_output_for_mask else output)
        states = [np.where(keep, n, s) for n, s in zip(new, states)]
        outputs.append(output)
        saved_steps.append((t, keep, saved))
    return np.stack(outputs, axis=1), output, states, saved_steps


def _scan_back(step_back, cache, d_sequence, d_last, d_states):
    """Run `step_back(saved, d_states) -> (dx_t, d_states before the step)` from the last step to the first."""
    x, states = cache["x"], cache["states"]
    dx = np.zeros_like(x)
    d_states = [np.zeros_like(s) for s in states] if d_states is None else [np.array(d) for d in d_states]
    d_output = np.zeros_like(states[0]) if d_last is None else np.array(d_last)
    for k in range(len(cache["steps"]))[::-1]:
        t, keep, saved = cache["steps"][k]
        if d_sequence is not None:
            d_output = d_output + d_sequence[:, k]
        d_new = [keep * d for d in d_states]
        d_new[0] = d_new[0] + keep * d_output
        dx[:, t], d_before = step_back(saved, d_new)
        d_states = [d + ~keep * d_kept for d, d_kept in zip(d_before, d_states)]
        d_output = np.zeros_like(d_output) if cache["zero_output_for_mask"] else ~keep * d_output
    return dx, d_states


def _gates(matrix, count):
    return [None] * count if matrix is None else np.split(np.asarray(matrix, float), count, axis=-1)


def _masks(masks, count):
    """Dropout masks: None, one array for all gates, or one per gate; already scaled by 1 / (1 - rate)."""
    if masks is None:
        return [1.0] * count
    return [np.asarray(m, float) for m in masks] if len(np.shape(masks)) == 3 else [np.asarray(masks, float)] * count


def _forward(make_cell, gates, state_count, x, kernel, recurrent_kernel, bias, initial_state, mask, options):
    x = np.asarray(x, float)
    units = recurrent_kernel.shape[0]
    zeros = [np.zeros((len(x), units))] * state_count
    states = zeros if initial_state is None else [np.asarray(s, float) for s in initial_state]
    p = {
        "W": _gates(kernel, gates),
        "U": _gates(recurrent_kernel, gates),
        "b": np.zeros(gates * units) if bias is None else np.asarray(bias, float),
        "act": options["activation"],
        "rec": options["recurrent_activation"],
        "mx": _masks(options["dropout_masks"], gates),
        "mh": _masks(options["recurrent_dropout_masks"], gates),
    }
    step, step_back = make_cell(p)
    zero = options["zero_output_for_mask"]
    sequence, last, finals, steps = _scan(step, x, states, mask, options["go_backwards"], zero)
    cache = {"x": x, "states": states, "steps": steps, "zero_output_for_mask": zero, "p": p, "step_back": step_back}
    return sequence, last, finals, cache


def _backward(cache, d_sequence, d_last, d_states):
    p = cache["p"]
    p["dW"] = [np.zeros_like(w) for w in p["W"]]
    p["dU"] = [np.zeros_like(u) for u in p["U"]]
    p["db"] = np.zeros_like(p["b"])
    dx, d_initial = _scan_back(cache["step_back"], cache, d_sequence, d_last, d_states)
    return {
        "x": dx,
        "kernel": np.concatenate(p["dW"], axis=1),
        "recurrent_kernel": np.concatenate(p["dU"], axis=1),
        "bias": p["db"],
        "initial_state": d_initial,
    }


def _options(activation="tanh", recurrent_activation="sigmoid", go_backwards=False, dropout_masks=None,
             recurrent_dropout_masks=None, zero_output_for_mask=False):  # fmt: skip
    return locals()


# ------------------------------------------------------------------------------------------ the cells


def _simple_rnn_cell(p):
    (W,), (U,), b, (mx,), (mh,) = p["W"], p["U"], p["b"], p["mx"], p["mh"]

    def step(x, states):
        (h,) = states
        a = (x * mx) @ W + (h * mh) @ U + b  # (1)
        return [activate(p["act"], a)], (x, h, a)  # (2) h' = act(a)

    def step_back(saved, d_states):
        x, h, a = saved
        da = activate_back(p["act"], a, d_states[0])  # (2)
        p["dW"][0] += (x * mx).T @ da  # (1)
        p["dU"][0] += (h * mh).T @ da
        p["db"] += da.sum(axis=0)
        return da @ W.T * mx, [da @ U.T * mh]

    return step, step_back


def _lstm_cell(p):
    """Gates in the order i, f, c, o (Hochreiter and Schmidhuber 1997, with forget gate: Gers et al. 2000)."""
    act, rec = p["act"], p["rec"]
    b = np.split(p["b"], 4)

    def step(x, states):
        h, c = states
        a = [(x * p["mx"][g]) @ p["W"][g] + (h * p["mh"][g]) @ p["U"][g] + b[g] for g in range(4)]  # (1)
        i, f, o = activate(rec, a[0]), activate(rec, a[1]), activate(rec, a[3])  # (2)
        g = activate(act, a[2])  # (3)
        c_new = f * c + i * g  # (4)
        s = activate(act, c_new)  # (5)
        return [o * s, c_new], (x, h, c, a, i, f, g, o, c_new, s)  # (6) h' = o * s

    def step_back(saved, d_states):
        x, h, c, a, i, f, g, o, c_new, s = saved
        dh, dc = d_states
        dc = dc + activate_back(act, c_new, dh * o)  # (6), (5)
        da = [
            activate_back(rec, a[0], dc * g),  # (4), (2)
            activate_back(rec, a[1], dc * c),
            activate_back(act, a[2], dc * i),  # (4), (3)
            activate_back(rec, a[3], dh * s),  # (6), (2)
        ]
        dx, dh_before = 0.0, 0.0
        for k in range(4):  # (1)
            p["dW"][k] += (x * p["mx"][k]).T @ da[k]
            p["dU"][k] += (h * p["mh"][k]).T @ da[k]
            dx = dx + da[k] @ p["W"][k].T * p["mx"][k]
            dh_before = dh_before + da[k] @ p["U"][k].T * p["mh"][k]
        p["db"] += np.concatenate(da, axis=1).sum(axis=0)
        return dx, [dh_before, dc * f]

    return step, step_back


def _gru_cell(p, reset_after):
    """Gates in the order z, r, h (Cho et al. 2014); reset_after is the form of cuDNN, with a second bias."""
    act, rec = p["act"], p["rec"]
    W, U, mx, mh = p["W"], p["U"], p["mx"], p["mh"]
    units = U[0].shape[0]
    if p["b"].ndim == 1:  # one row of biases, or none: the recurrent ones are zero
        b, b_rec = np.split(p["b"], 3), [np.zeros(units)] * 3
    else:
        b, b_rec = np.split(p["b"][0], 3), np.split(p["b"][1], 3)

    def step(x, states):
        (h,) = states
        a_z = (x * mx[0]) @ W[0] + b[0] + (h * mh[0]) @ U[0] + b_rec[0]  # (1)
        a_r = (x * mx[1]) @ W[1] + b[1] + (h * mh[1]) @ U[1] + b_rec[1]
        z, r = activate(rec, a_z), activate(rec, a_r)  # (2)
        if reset_after:
            q = (h * mh[2]) @ U[2] + b_rec[2]  # (3a)
            a_h = (x * mx[2]) @ W[2] + b[2] + r * q  # (4a)
        else:
            q = r * (h * mh[2])  # (3b)
            a_h = (x * mx[2]) @ W[2] + b[2] + q @ U[2]  # (4b)
        g = activate(act, a_h)  # (5)
        return [z * h + (1 - z) * g], (x, h, a_z, a_r, z, r, q, a_h, g)  # (6)

    def step_back(saved, d_states):
        x, h, a_z, a_r, z, r, q, a_h, g = saved
        dh = d_states[0]
        da_h = activate_back(act, a_h, dh * (1 - z))  # (6), (5)
        da_z = activate_back(rec, a_z, dh * (h - g))  # (6), (2)
        if reset_after:
            da_r = activate_back(rec, a_r, da_h * q)  # (4a), (2)
            dq = da_h * r  # (4a)
            p["dU"][2] += (h * mh[2]).T @ dq  # (3a)
            dh_before = dh * z + dq @ U[2].T * mh[2]
        else:
            dq = da_h @ U[2].T  # (4b)
            p["dU"][2] += q.T @ da_h
            da_r = activate_back(rec, a_r, dq * h * mh[2])  # (3b), (2)
            dh_before = dh * z + dq * r * mh[2]
        dx = 0.0
        for k, da in enumerate((da_z, da_r, da_h)):  # (1), (4)
            p["dW"][k] += (x * mx[k]).T @ da
            dx = dx + da @ W[k].T * mx[k]
        for k, da in enumerate((da_z, da_r)):
            p["dU"][k] += (h * mh[k]).T @ da
            dh_before = dh_before + da @ U[k].T * mh[k]
        d_input = np.concatenate([da_z, da_r, da_h], axis=1).sum(axis=0)
        d_recurrent = np.concatenate([da_z, da_r, dq if reset_after else 0 * da_h], axis=1).sum(axis=0)
        p["db"] += d_input if p["db"].ndim == 1 else np.stack([d_input, d_recurrent])
        return dx, [dh_before]

    return step, step_back


def simple_rnn_forward(x, kernel, recurrent_kernel, bias=None, initial_state=None, mask=None, **options):
    """h' = act(x W + h U + b).  Options and result: see the top of the file."""
    args = x, kernel, recurrent_kernel, bias, initial_state, mask, _options(**options)
    return _forward(_simple_rnn_cell, 1, 1, *args)


def lstm_forward(x, kernel, recurrent_kernel, bias=None, initial_state=None, mask=None, **options):
    """c' = f c + i act(a_c), h' = o act(c'); states [h, c]; bias (4U,)."""
    return _forward(_lstm_cell, 4, 2, x, kernel, recurrent_kernel, bias, initial_state, mask, _options(**options))


def gru_forward(x, kernel, recurrent_kernel, bias=None, initial_state=None, mask=None, reset_after=True, **options):
    """h' = z h + (1 - z) act(a_h); bias (2, 3U) with reset_after, else (3U,)."""
    args = x, kernel, recurrent_kernel, bias, initial_state, mask, _options(**options)
    return _forward(lambda p: _gru_cell(p, reset_after), 3, 1, *args)


simple_rnn_backward = lstm_backward = gru_backward = _backward

# ----------------------------------------------------------------------------------- the other layers


def dense_forward(x, kernel, bias=None, activation=None):
    """act(x W + b) on the last axis of any rank."""
    x = np.asarray(x, float)
    a = x @ kernel + (0 if bias is None else bias)
    return activate(activation, a), (x, kernel, activation, a)


def dense_backward(cache, d_output):
    x, kernel, activation, a = cache
    da = activate_back(activation, a, d_output)
    flat = da.reshape(-1, da.shape[-1])
    return {"x": da @ kernel.T, "kernel": x.reshape(-1, x.shape[-1]).T @ flat, "bias": flat.sum(axis=0)}


def embedding_forward(ids, embeddings):
    """Row `ids` of the table."""
    return embeddings[ids], (ids, embeddings)


def embedding_backward(cache, d_output):
    ids, embeddings = cache
    gradient = np.zeros_like(embeddings)
    np.add.at(gradient, ids, d_output)
    return {"embeddings": gradient}


def _conv_padding(size, kernel, stride, dilation, padding):
    """(cells before, cells after, output size): with "same" the odd cell goes after."""
    extent = (kernel - 1) * dilation + 1
    if padding == "valid":
        return 0, 0, (size - extent) // stride + 1
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return total // 2, total - total // 2, -(-size // stride)


def conv2d_forward(x, kernel, bias=None, strides=(1, 1), padding="valid", dilation_rate=(1, 1), activation=None):
    """Cross-correlation of x (B, H, W, C) with kernel (kh, kw, C, filters), channels last."""
    x = np.asarray(x, float)
    (kh, kw), (sh, sw), (dh, dw) = kernel.shape[:2], strides, dilation_rate
    top, bottom, rows = _conv_padding(x.shape[1], kh, sh, dh, padding)
    left, right, columns = _conv_padding(x.shape[2], kw, sw, dw, padding)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    a = np.zeros((len(x), rows, columns, kernel.shape[3])) + (0 if bias is None else bias)
    windows = {}
    for i in range(kh):
        for j in range(kw):
            windows[i, j] = (slice(None), slice(i * dh, i * dh + (rows - 1) * sh + 1, sh),
                             slice(j * dw, j * dw + (columns - 1) * sw + 1, sw))  # fmt: skip
            a += padded[windows[i, j]] @ kernel[i, j]
    crop = (slice(None), slice(top, top + x.shape[1]), slice(left, left + x.shape[2]))
    return activate(activation, a), (padded, kernel, windows, crop, activation, a)


def conv2d_backward(cache, d_output):
    padded, kernel, windows, crop, activation, a = cache
    da = activate_back(activation, a, d_output)
    d_padded, d_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for (i, j), window in windows.items():
        d_padded[window] += da @ kernel[i, j].T
        d_kernel[i, j] = np.einsum("bhwc,bhwf->cf", padded[window], da)
    return {"x": d_padded[crop], "kernel": d_kernel, "bias": da.sum(axis=(0, 1, 2))}
