"""The recurrent kernels themselves, through `fastrnn._native.Program`: what the layers never show.

Gradients of inputs and states, strides, dropout masks, batches smaller than the buffers, NaN beyond the ends; every
array lies between guard bands, which must come back as they were.  FASTRNN_ISA chooses the kernels.
"""

import numpy as np
import pytest
import reference
from conftest import assert_close

native = pytest.importorskip("fastrnn._native")
pytestmark = pytest.mark.fastrnn_only

FORWARD = {
    "simple_rnn": (reference.simple_rnn_forward, 1, 1, {}),
    "lstm": (reference.lstm_forward, 4, 2, {}),
    "gru": (reference.gru_forward, 3, 1, {"reset_after": True}),
    "gru_reset_before": (reference.gru_forward, 3, 1, {"reset_after": False}),
}
# outputs, gradients; relative to the largest entry
TOLERANCE = {"float32": (5e-6, 1e-5), "float64": (1e-12, 1e-11)}
GUARD, SENTINEL = 67, 12345.0


class Arrays:
    """Arrays between guard bands of NaN (what may only be read) or of a number (what is written)."""

    def __init__(self, dtype):
        self.dtype, self.blocks = dtype, []

    def make(self, shape, value=None, stride=None):
        """An array of a shape; with `stride` its rows lie that many elements apart (last axis contiguous)."""
        width = shape[-1] if stride is None else stride
        rows = int(np.prod(shape[:-1]))
        block = np.full(rows * width + 2 * GUARD, np.nan if value is not None else SENTINEL, self.dtype)
        inner = block[GUARD : GUARD + rows * width].reshape(*shape[:-1], width)[..., : shape[-1]]
        inner[...] = SENTINEL if value is None else value
        self.blocks.append((block, block.copy(), inner))
        return inner

    def check(self):
        """Nothing was written outside the arrays."""
        for block, before, inner in self.blocks:
            after = block.copy()
            start = (inner.__array_interface__["data"][0] - block.__array_interface__["data"][0]) // block.itemsize
            strides = [s // block.itemsize for s in inner.strides]
            view = np.lib.stride_tricks.as_strided(after[start:], inner.shape, [s * block.itemsize for s in strides])
            original = np.lib.stride_tricks.as_strided(before[start:], inner.shape, view.strides)
            view[...] = original
            np.testing.assert_array_equal(after, before)


class Run:
    """One recurrent operation, forward and backward, next to the reference."""

    def __init__(self, cell, rng, dtype="float64", *, B, T, D, H, activation="tanh", recurrent_activation="sigmoid",
                 use_bias=True, mask=False, states=True, reverse=False, zero_output_for_mask=False, dropout=False,
                 strided=False, capacity=None, gain=1.0, training=True):  # fmt: skip
        forward, G, S, extra = FORWARD[cell]
        print(f"{cell} {dtype} B{B} T{T} D{D} H{H} {activation} {recurrent_activation} mask={mask} reverse={reverse}")
        a = self.arrays = Arrays(dtype)
        n, B = B, capacity or B  # n samples in buffers for B

        def draw(*shape, scale=1.0):
            return (rng.normal(size=shape) * scale).astype(dtype)

        def rows(array):
            """The n samples, with NaN in the rows of the buffer that this run must not read."""
            full = np.full((B, *array.shape[1:]), np.nan, dtype)
            full[:n] = array
            return full

        x, kernel = draw(n, T, D), draw(D, G * H, scale=gain / np.sqrt(D))
        recurrent = draw(H, G * H, scale=gain / np.sqrt(H))
        bias = draw(*((2, 3 * H) if cell == "gru" else (G * H,)), scale=0.5) if use_bias else None
        h0 = [draw(n, H) for _ in range(S)]
        keep = rng.random((n, T)) < 0.6 if mask else None
        noise_x = rng.choice([0.0, 2.0], size=(G, n, D)) if dropout else None
        noise_h = rng.choice([0.0, 2.0], size=(G, n, H)) if dropout else None
        d_sequence, d_last, d_states = draw(n, T, H), draw(n, H), [draw(n, H) for _ in range(S)]

        options = {"activation": activation, "recurrent_activation": recurrent_activation, "go_backwards": reverse}
        sequence, last, finals, cache = forward(
            x.astype(float), kernel.astype(float), recurrent.astype(float),
            None if bias is None else bias.astype(float),
            initial_state=[h.astype(float) for h in h0] if states else None, mask=keep, dropout_masks=noise_x,
            recurrent_dropout_masks=noise_h, zero_output_for_mask=zero_output_for_mask, **extra, **options)  # fmt: skip
        gradient = reference.lstm_backward(
            cache, d_sequence.astype(float), d_last.astype(float), [d.astype(float) for d in d_states])  # fmt: skip
        self.expected = {"y": sequence, "y_last": last, "state": finals, **gradient}

        gap_x, gap_h = (D + 5, H + 9) if strided else (None, None)
        if dropout:  # the layer's own dropout operation makes one input for each gate
            inputs = np.stack([rows((x * m[:, None]).astype(dtype)) for m in noise_x])
        else:
            inputs = rows(x)
        self.x = a.make(inputs.shape, inputs, stride=gap_x)
        self.dx = a.make(inputs.shape, stride=gap_x)
        self.y, self.dy = a.make((B, T, H), stride=gap_h), a.make((B, T, H), rows(d_sequence), stride=gap_h)
        self.y_last, self.dy_last = a.make((B, H), stride=gap_h), a.make((B, H), rows(d_last), stride=gap_h)
        self.state_in = [a.make((B, H), rows(h)) for h in h0] if states else []
        self.state_out = [a.make((B, H)) for _ in range(S)]
        self.dstate_in = [a.make((B, H)) for _ in range(S)]
        dstate_out = [a.make((B, H), rows(d)) for d in d_states]
        self.weights = {"kernel": a.make(kernel.shape, kernel), "recurrent_kernel": a.make(recurrent.shape, recurrent)}
        if use_bias:
            self.weights["bias"] = a.make(bias.shape, bias)
        self.gradients = {}
        for name, w in self.weights.items():
            self.gradients[name] = a.make(w.shape)
            self.gradients[name][...] = 0  # the kernels add to them
        mask8 = self.mask = None
        if mask:
            mask8 = self.mask = np.full((B, T), 255, np.uint8)
            mask8[:n] = keep
        self.version = native.Version()
        self.program = program = native.Program(dtype, B, training, self.version)
        backward = dict(
            dx=self.dx, dy=self.dy, dy_last=self.dy_last, dstate_in=self.dstate_in, dstate_out=dstate_out,
            **{f"d{name}": g for name, g in self.gradients.items()}) if training else {}  # fmt: skip
        program.add_rnn(
            cell=cell, activation=activation, recurrent_activation=recurrent_activation, x=self.x, y=self.y,
            y_last=self.y_last, mask=mask8, state_in=self.state_in, state_out=self.state_out, reverse_x=reverse,
            recurrent_dropout=None if noise_h is None else np.ascontiguousarray(
                [rows(m.astype(dtype)) for m in noise_h]) if B == n else None,
            zero_output_for_mask=zero_output_for_mask, **self.weights, **backward)  # fmt: skip
        if training:
            program.set_gradient(np.zeros(1, dtype))
        self.n, self.dtype, self.noise_x, self.keep, self.training = n, dtype, noise_x, keep, training

    def check(self, backward=None):
        backward = self.training if backward is None else backward
        n, (output, gradient) = self.n, TOLERANCE[self.dtype]
        self.program.forward(n, training=backward)
        assert_close(self.y[:n], self.expected["y"], output, "y")
        assert_close(self.y_last[:n], self.expected["y_last"], output, "y_last")
        for k, (state, expected) in enumerate(zip(self.state_out, self.expected["state"], strict=True)):
            assert_close(state[:n], expected, output, f"state {k}")
        if backward:
            self.program.backward()
            dx = self.dx[:n]
            if self.noise_x is not None:
                dx = sum(d[:n] * m[:, None] for d, m in zip(self.dx, self.noise_x))
            assert_close(dx, self.expected["x"], gradient, "dx")
            for k, (d, expected) in enumerate(zip(self.dstate_in, self.expected["initial_state"], strict=True)):
                assert_close(d[:n], expected, gradient, f"dstate {k}")
            for name, g in self.gradients.items():
                assert_close(g, self.expected[name], gradient, f"d{name}")
        for array in (self.y, self.y_last, *self.state_out, *([*self.dstate_in] if backward else [])):
            assert (array[n:] == SENTINEL).all(), "rows beyond the batch were written"
        self.arrays.check()


@pytest.fixture(autouse=True)
def uninitialised_memory_is_nan(monkeypatch):
    """The scratch memory of programs starts as NaN, so that reading it before writing shows."""
    empty = np.empty

    def poisoned(*args, **kwargs):
        array = empty(*args, **kwargs)
        array.view(np.uint8)[...] = 255
        return array

    monkeypatch.setattr(np, "empty", lambda *a, **k: poisoned(*a, **k) if a[1:] == (np.uint8,) else empty(*a, **k))


SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 48, 63, 64, 65, 67, 70]


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", FORWARD)
def test_sampled(cell, dtype, seed):
    rng = np.random.default_rng(seed)
    Run(cell, rng, dtype, B=int(rng.choice(SIZES)), T=int(rng.integers(1, 13)), D=int(rng.choice(SIZES)),
        H=int(rng.choice([*SIZES, 96, 97, 113, 127, 128, 129, 130])), mask=bool(rng.random() < 0.4),
        states=bool(rng.random() < 0.6), reverse=bool(rng.random() < 0.3), use_bias=bool(rng.random() < 0.8),
        zero_output_for_mask=bool(rng.random() < 0.3), strided=bool(rng.random() < 0.3)).check()  # fmt: skip


@pytest.mark.parametrize("H", range(1, 36))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", FORWARD)
def test_every_tail(cell, dtype, H):
    """All numbers of units around the vector lengths; rows and features go through their own remainders."""
    rng = np.random.default_rng(H)
    Run(cell, rng, dtype, B=1 + H % 13, T=3, D=1 + H % 7, H=H, mask=H % 3 == 0).check()


@pytest.mark.parametrize("name", [n for n in reference.ELEMENTWISE if n != "gelu_approximate"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", FORWARD)
def test_activations(cell, dtype, name, rng):
    # exp(c) of exp(z) grows beyond all numbers within a few steps
    T, gain = (1, 0.2) if name == "exponential" else (3, 0.5)
    Run(cell, rng, dtype, B=5, T=T, D=4, H=19, activation=name, gain=gain).check()
    if cell != "simple_rnn":
        Run(cell, rng, dtype, B=5, T=T, D=4, H=19, recurrent_activation=name, gain=gain).check()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("B", [1, 9])
@pytest.mark.parametrize("cell", FORWARD)
def test_dropout_masks_for_each_gate(cell, B, masked, reverse, rng):
    """With one sample a masked step is one that the whole batch skips."""
    Run(cell, rng, B=B, T=4, D=5, H=18, dropout=True, mask=masked, reverse=reverse).check()


@pytest.mark.parametrize("cell", FORWARD)
def test_steps_that_the_whole_batch_skips(cell, rng):
    for B in (1, 2):
        Run(cell, rng, B=B, T=9, D=3, H=17, mask=True).check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", FORWARD)
def test_batch_smaller_than_the_buffers(cell, dtype, rng):
    for n, capacity in ((1, 2), (5, 64), (33, 70)):
        Run(cell, rng, dtype, B=n, T=3, D=4, H=17, capacity=capacity, mask=True).check()


@pytest.mark.parametrize("cell", FORWARD)
def test_same_program_runs_again(cell, rng):
    """A second pass in the same buffers, with other weights after their version has changed, gives new results."""
    run = Run(cell, rng, B=7, T=4, D=3, H=20)
    run.check()
    first = {name: g.copy() for name, g in run.gradients.items()}
    y = run.y.copy()
    for g in run.gradients.values():
        g[...] = 0
    run.program.forward(7, training=True)
    run.program.backward()
    np.testing.assert_array_equal(run.y, y)
    for name, g in run.gradients.items():
        np.testing.assert_array_equal(g, first[name])
    run.weights["kernel"][...] *= 2
    run.version.value += 1
    run.program.forward(7, training=True)
    assert np.abs(run.y - y).max() > 1e-3


@pytest.mark.parametrize("cell", FORWARD)
def test_inference_is_training_without_dropout(cell, rng):
    for T in (1, 7, 40):
        run = Run(cell, rng, "float32", B=19, T=T, D=6, H=33, mask=True)
        run.check(backward=False)
        y, states = run.y.copy(), [s.copy() for s in run.state_out]
        run.program.forward(19, training=True)
        np.testing.assert_array_equal(run.y, y)
        for a, b in zip(run.state_out, states):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", FORWARD)
def test_nan_and_inf_stay_in_their_sample(cell, value, rng):
    run = Run(cell, rng, "float32", B=21, T=5, D=4, H=37)
    run.program.forward(21)
    clean = run.y.copy()
    run.x[4, 2, 1] = value
    run.program.forward(21)
    others = np.arange(21) != 4
    np.testing.assert_array_equal(run.y[others], clean[others])
    np.testing.assert_array_equal(run.y[4, :2], clean[4, :2])
    assert np.isnan(value) == np.isnan(run.y[4, 2:]).any()


@pytest.mark.parametrize("cell", FORWARD)
def test_masked_steps_are_not_trained_on(cell, rng):
    """What stands at masked steps does not matter, and gets no gradient."""
    run = Run(cell, rng, "float32", B=12, T=6, D=4, H=17, mask=True)
    run.check()
    skipped = ~run.keep
    assert skipped.any() and (run.dx[skipped] == 0).all()
    gradients = {name: g.copy() for name, g in run.gradients.items()}
    run.x[skipped] = 100.0
    for g in run.gradients.values():
        g[...] = 0
    y = run.y.copy()
    run.program.forward(12, training=True)
    run.program.backward()
    np.testing.assert_array_equal(run.y, y)
    np.testing.assert_array_equal(run.dx[skipped], 0)
    for name, g in run.gradients.items():
        np.testing.assert_array_equal(g, gradients[name], err_msg=name)


@pytest.mark.parametrize(
    "options", [{}, {"mask": True}, {"dropout": True, "mask": True}, {"strided": True, "reverse": True}, {"capacity": 80}, {"capacity": 37, "B": 9}]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", FORWARD)
def test_gradients_in_two_sums(cell, dtype, options, rng):
    """As of layers that are worth two threads, one for each half of the batch; here the halves are of 19 and 18 rows."""
    Run(cell, rng, dtype, **{"B": 37, "T": 40, "D": 50, "H": 60, "gain": 0.7, **options}).check()


@pytest.mark.parametrize("cell", FORWARD)
@pytest.mark.parametrize("skipped", ["both ends", "all of one half", "everything"])
def test_gradients_in_two_sums_of_masked_rows(cell, skipped):
    """Steps that nobody takes are left out of the sums, and a sum of nothing is zero: what a masked step has as input may be anything."""
    results = []
    for noise in (0, 1):
        run = Run(cell, np.random.default_rng(2), "float64", B=37, T=40, D=50, H=60, gain=0.7, mask=True)
        run.mask[...] = 1
        run.mask[:, :9] = run.mask[:, -9:] = 0
        run.mask[19:] &= skipped == "both ends"
        run.mask[...] &= skipped != "everything"
        run.x[run.mask == 0] += noise
        run.program.forward(37, training=True)
        run.program.backward()
        results.append({name: g.copy() for name, g in run.gradients.items()})
    for name, g in results[0].items():
        assert np.isfinite(g).all() and g.any() == (skipped != "everything")
        np.testing.assert_array_equal(g, results[1][name])


@pytest.mark.parametrize("cell", FORWARD)
def test_gradients_in_two_sums_of_a_large_batch(cell, rng):
    """Each half of it is packed in several blocks, and the second has one less."""
    Run(cell, rng, "float64", B=513, T=9, D=33, H=30).check()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"T": 18, "D": 16, "H": 95},
        {"T": 24, "D": 33, "H": 110, "reverse": True, "strided": True},
        {"T": 41, "D": 70, "H": 97, "use_bias": False, "states": False},
        {"T": 30, "D": 300, "H": 96},
        {"T": 25, "D": 20, "H": 98, "activation": "softmax", "recurrent_activation": "hard_sigmoid"},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", FORWARD)
def test_inputs_woven_with_states(cell, dtype, options, training, rng):
    """One sample whose weights exceed L1: where there are 32 registers, the inputs of later steps are multiplied beside the states of earlier ones (but
    for `reset_after=False`), and yet with the same bits as in a program of one step, which has none to come."""
    run = Run(cell, rng, dtype, B=1, training=training, **options)
    if training:
        run.check(backward=False)
    run.check()
    x, y = (np.empty((1, 1, n), dtype) for n in (options["D"], options["H"]))
    states = [s.copy() if run.state_in else np.zeros_like(s) for s in run.state_in or run.state_out]
    step = native.Program(dtype, 1, False, native.Version())
    activations = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    activations.update((name, options[name]) for name in activations if name in options)
    step.add_rnn(cell=cell, x=x, y=y, state_in=states, state_out=states, **activations, **run.weights)
    for t in range(options["T"]):
        x[0, 0] = run.x[0, -1 - t if options.get("reverse") else t]
        step.forward(1)
        np.testing.assert_array_equal(y[0, 0], run.y[0, t])


@pytest.mark.parametrize(
    "options",
    [
        {"T": 48, "D": 1, "H": 128},
        {"T": 49, "D": 3, "H": 95, "use_bias": False},
        {"T": 75, "D": 70, "H": 127, "reverse": True, "strided": True},
        {"T": 131, "D": 40, "H": 100, "states": False},
        {"T": 60, "D": 64, "H": 64, "activation": "softmax"},
        {"T": 60, "D": 33, "H": 112, "activation": "relu", "recurrent_activation": "hard_sigmoid"},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", FORWARD)
def test_gradients_woven_with_steps(cell, dtype, options, rng):
    """One sample whose weights exceed L1: where there are 32 registers, dW and dU of one chunk of time are made beside dz U^T of the next, and what is left
    of them after it."""
    Run(cell, rng, dtype, B=1, gain=0.7, **options).check()


@pytest.mark.parametrize("T", [1, 2, 500])
@pytest.mark.parametrize("cell", FORWARD)
def test_long_and_short(cell, T, rng):
    Run(cell, rng, "float64", B=3, T=T, D=2, H=9, gain=0.7).check()


@pytest.mark.parametrize("cell", FORWARD)
@pytest.mark.parametrize(
    "sizes",
    [
        (70, 9, 33, 65, True),
        (37, 40, 50, 60, True),
        (37, 40, 300, 30, True),  # gradients in two sums, unpacked by several blocks of rows
        (1, 40, 24, 512, True),
        (1, 30, 300, 390, False),  # inputs woven with states, each tile in several goes
        (1, 400, 60, 128, False),  # gradients woven with steps by one thread, beside them by several
        (1, 301, 64, 64, False),
        (1, 100, 60, 200, False),
        (3, 40, 24, 512, True),
        (2, 90, 20, 260, True),
        (12, 5, 24, 512, True),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_threads_do_not_change_a_bit(cell, sizes, training):
    before = native.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 7):
            native.set_num_threads(count)
            run = Run(cell, np.random.default_rng(5), "float32", **dict(zip(("B", "T", "D", "H", "mask"), sizes)), training=training)
            run.check()
            results.append([run.y.copy(), run.dx.copy(), *(g.copy() for g in run.gradients.values())])
    finally:
        native.set_num_threads(before)
    for result in results[1:]:
        for a, b in zip(results[0], result):
            np.testing.assert_array_equal(a, b)


SUMS = {"gelu", "mish", "tanh_shrink", "squareplus", "log_softmax", "hard_sigmoid", "hard_silu", "sparse_plus", "elu",
        "celu", "selu"}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in reference.ACTIVATIONS if n not in ("gelu_approximate", "sparsemax")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation_alone(name, dtype, rng):
    x = np.concatenate([np.linspace(-12, 12, 400), rng.normal(size=97), [0.0, -0.0, 30, -30, 88, -88]]).astype(dtype)
    y = np.empty_like(x)
    native.activate(name, x, y)
    with np.errstate(over="ignore"):
        expected = reference.activate(name, x.astype(float)).astype(dtype).astype(float)
    # relative to each value, apart from where a difference or a sum near one leaves an error of that order
    limit = {"float32": 1e-6, "float64": 4e-15}[dtype]
    scale = np.maximum(np.abs(expected), 0.1 + 0.1 * np.abs(x) if name in SUMS else 1e-30)
    error = np.abs(y - expected) / scale
    assert error.max() < limit, (x[error.argmax()], y[error.argmax()], expected[error.argmax()])


@pytest.mark.parametrize("name", reference.ELEMENTWISE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation_of_extremes(name, dtype):
    """Infinity and NaN come out as the formula's limit, and nothing overflows on the way there."""
    if name in ("gelu_approximate", "squareplus"):  # squareplus: x * x overflows, as it does in Keras
        return
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0], dtype)
    y = np.empty_like(x)
    native.activate(name, x, y)
    assert np.isnan(y[0])
    inf = np.inf
    high = {"sigmoid": 1, "tanh": 1, "hard_sigmoid": 1, "hard_tanh": 1, "softsign": 1, "relu6": 6, "sparse_sigmoid": 1,
            "log_sigmoid": 0}.get(name, inf)  # fmt: skip
    if name != "softsign":  # inf / inf
        assert y[1] == high
    if high != inf:
        assert y[3] == high
    low = {"tanh": -1, "hard_tanh": -1, "elu": -1, "celu": -1, "linear": -1e30, "log_sigmoid": -1e30, "softsign": -1,
           "leaky_relu": -2e29, "tanh_shrink": -1e30, "soft_shrink": -1e30, "hard_shrink": -1e30,
           "selu": -1.7580993408473766}.get(name, 0)  # fmt: skip
    assert abs(y[4] - low) <= 1e-6 * max(abs(low), 0.01), (y[4], low)
    assert abs(y[5] - reference.activate(name, np.zeros(1))[0]) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exponential"])
def test_activations_are_within_four_units_in_the_last_place(K, name, dtype):
    x = np.concatenate([np.linspace(-40, 40, 400_001), np.linspace(-9, 9, 400_001), np.linspace(-0.2, 0.2, 100_001)])
    x = x.astype(dtype)
    wide = x.astype(np.longdouble)
    exact = {"tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v)), "exponential": np.exp}[name](wide)
    y = getattr(K.activations, name)(x)
    ulp = np.abs(y - exact) / np.spacing(np.abs(exact).astype(dtype))
    worst = int(ulp.argmax())
    assert ulp[worst] <= 4, f"{name}({x[worst]!r}) = {y[worst]!r} is off by {float(ulp[worst]):.1f} ulp"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gates_far_out(K, cell, dtype):
    """Gates that share a reciprocal: the product of their denominators may not overflow."""
    forward, gates, _, extra = FORWARD[cell]
    far = [-1e30, -720, -95, -66, -64, -9, 0, 9, 66, 720, 1e30]
    x = np.stack(np.meshgrid(*[far] * gates, indexing="ij"), -1).reshape(-1, 1, gates)
    kernel, bias = np.eye(gates), np.zeros((2, gates) if cell == "gru" else gates)
    layer = {"lstm": K.layers.LSTM, "gru": K.layers.GRU}[cell](1, dtype=dtype)
    model = K.Sequential([K.Input((1, gates), dtype=dtype), layer])
    layer.set_weights([kernel, np.zeros((1, gates)), bias])
    y = model.predict(x.astype(dtype), verbose=0, batch_size=len(x))
    expected = forward(x, kernel, np.zeros((1, gates)), bias, **extra)[1]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [False, True])
def test_a_saturated_gate_stays_within_one(dtype, training, rng):
    """GRU's h is its candidate where z is 0: a tanh that shares a reciprocal may not round above 1, where its slope would be negative."""
    x = np.zeros((20_000, 1, 3), dtype)
    x[:, 0, 0], x[:, 0, 2] = rng.uniform(-60, 0.5, 20_000), rng.uniform(-12, 12, 20_000)
    y = np.empty((20_000, 1, 1), dtype)
    program = native.Program(dtype, 20_000, training, native.Version())
    options = {"dkernel": np.zeros((3, 3), dtype), "drecurrent_kernel": np.zeros((1, 3), dtype), "dy": y} if training else {}
    program.add_rnn(cell="gru", activation="tanh", recurrent_activation="sigmoid", x=x, y=y, kernel=np.eye(3, dtype=dtype),
                    recurrent_kernel=np.zeros((1, 3), dtype), **options)  # fmt: skip
    program.forward(20_000, training=training)
    assert np.abs(y).max() <= 1
