"""Optimizers: every rule, clipping, weight decay, averaging, accumulation against real Keras."""

import copy
import os
import pickle

import numpy as np
import pytest

from fastrnn import optimizers
from fastrnn.optimizers import schedules

os.environ.setdefault("KERAS_BACKEND", "torch")

RULES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.8}),
    ("RMSprop", {"centered": True, "rho": 0.8}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "epsilon": 1e-3}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "beta_2": 0.9}),
    ("Adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Lion", {}),
    ("Ftrl", {"learning_rate": 0.1}),
    (
        "Ftrl",
        {
            "learning_rate": 0.1,
            "l1_regularization_strength": 0.05,
            "l2_regularization_strength": 0.02,
            "l2_shrinkage_regularization_strength": 0.1,
            "beta": 0.3,
            "learning_rate_power": -0.7,
        },
    ),
]
COMMON = [
    {},
    {"clipnorm": 0.7},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.9},
    {"weight_decay": 0.05},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.5},
    {"loss_scale_factor": 4.0},
]
SHAPES = [(3, 4), (4,), (2, 3, 2)]


def ident(kwargs):
    return "-".join(f"{k}={v}" for k, v in kwargs.items())


def run_mine(optimizer, gradients, dtype, names=None):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s).astype(dtype) for s in SHAPES]
    trace = []
    for step in gradients:
        optimizer.apply([g.astype(dtype) for g in step], weights, names)
        trace.append([w.copy() for w in weights])
    return trace, weights


def run_keras(keras, optimizer, gradients, dtype, names=("a", "b", "c")):
    rng = np.random.default_rng(0)
    weights = [
        keras.Variable(rng.normal(size=s).astype(dtype), dtype=dtype, name=n) for s, n in zip(SHAPES, names)
    ]
    optimizer.build(weights)
    trace = []
    for step in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g.astype(dtype)) for g in step], weights)
        trace.append([w.numpy().copy() for w in weights])
    return trace, weights


def random_gradients(steps=24, seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=s) * 10 ** rng.uniform(-2, 0.5) for s in SHAPES] for _ in range(steps)]


def compare(mine, theirs, tol):
    for step, (a, b) in enumerate(zip(mine, theirs)):
        for x, y in zip(a, b):
            np.testing.assert_allclose(x, y, rtol=tol, atol=tol, err_msg=f"step {step}")


@pytest.mark.parity
@pytest.mark.parametrize("common", COMMON, ids=ident)
@pytest.mark.parametrize("name,kwargs", RULES, ids=lambda v: v if isinstance(v, str) else ident(v))
def test_as_keras(name, kwargs, common):
    keras = pytest.importorskip("keras")
    gradients = random_gradients()
    mine = getattr(optimizers, name)(**kwargs, **common)
    theirs = getattr(keras.optimizers, name)(**kwargs, **common)
    a, weights = run_mine(mine, gradients, "float32")
    b, variables = run_keras(keras, theirs, gradients, "float32")
    # Keras computes 1 - beta_2**t in float32, which is good to 1e-5 at the first steps
    compare(a, b, 3e-5)
    assert mine.iterations == int(theirs.iterations)
    if common.get("use_ema"):
        mine.finalize_variable_values(weights)
        theirs.finalize_variable_values(variables)
        compare([weights], [[v.numpy() for v in variables]], 3e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name,kwargs", RULES, ids=lambda v: v if isinstance(v, str) else ident(v))
def test_in_double_precision_as_keras(name, kwargs):
    keras = pytest.importorskip("keras")
    if name == "Lion":  # the sign of a sum near zero may differ by rounding
        pytest.skip("sign function")
    gradients = random_gradients(40)
    kwargs = {"learning_rate": 0.0078125, **kwargs}  # a float32 number
    a, _ = run_mine(getattr(optimizers, name)(**kwargs), gradients, "float64")
    b, _ = run_keras(keras, getattr(keras.optimizers, name)(**kwargs), gradients, "float64")
    compare(a, b, 2e-6 if name in ("Nadam", "AdamW") else 2e-7)


@pytest.mark.parametrize("name,kwargs", RULES, ids=lambda v: v if isinstance(v, str) else ident(v))
def test_update_keeps_the_dtype_and_is_pure_in_step(name, kwargs):
    optimizer = getattr(optimizers, name)(**kwargs)
    assert optimizer.kind in "sgd rmsprop adam adamax nadam adagrad adadelta lion ftrl".split()
    first = optimizer.scalars(0)
    assert all(type(value) is float for value in first.values())
    assert first["lr"] == optimizer.learning_rate
    optimizer.scalars(17)
    assert optimizer.scalars(0) == first
    for dtype in ["float32", "float64"]:
        w, g = np.ones(5, dtype), np.linspace(-1, 1, 5).astype(dtype)
        slots = [np.full(5, value, dtype) for _, value in optimizer.slots]
        before = g.copy()
        optimizer.update(w, g, slots, first)
        assert w.dtype == dtype and all(s.dtype == dtype for s in slots)
        assert (g == before).all() and np.isfinite(w).all()


@pytest.mark.parity
def test_weight_decay_can_leave_weights_out():
    keras = pytest.importorskip("keras")
    gradients, names = random_gradients(), ("dense_kernel", "dense_bias", "gamma")
    mine, theirs = optimizers.AdamW(weight_decay=0.1), keras.optimizers.AdamW(weight_decay=0.1)
    for optimizer in (mine, theirs):
        optimizer.exclude_from_weight_decay(var_names=["bias", "^gam"])
    assert [mine.uses_weight_decay(n) for n in names] == [True, False, False]
    a, _ = run_mine(mine, gradients, "float32", names)
    b, _ = run_keras(keras, theirs, gradients, "float32", names)
    compare(a, b, 3e-5)
    with pytest.raises(ValueError, match="before the optimizer is built"):
        mine.exclude_from_weight_decay(var_names=["x"])


@pytest.mark.parity
def test_a_schedule_counts_from_zero_also_when_accumulating():
    keras = pytest.importorskip("keras")
    gradients = random_gradients()
    for steps in (None, 3):
        mine = optimizers.SGD(schedules.ExponentialDecay(0.1, 5, 0.5), gradient_accumulation_steps=steps)
        theirs = keras.optimizers.SGD(
            keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), gradient_accumulation_steps=steps
        )
        compare(
            run_mine(mine, gradients, "float32")[0], run_keras(keras, theirs, gradients, "float32")[0], 1e-5
        )


def test_norms_that_are_not_finite_show():
    big = [np.float32([np.inf, 1.0]), np.float32([1.0])]
    assert all(np.isnan(g).all() for g in optimizers.SGD(global_clipnorm=1.0).clip(big))
    assert (optimizers.SGD(clipnorm=1.0).clip([np.zeros(3)])[0] == 0).all()


def test_learning_rate():
    optimizer = optimizers.Adam()
    assert optimizer.learning_rate == optimizer.lr == 0.0010000000474974513
    optimizer.learning_rate = 0.5
    assert optimizer.scalars(0)["lr"] == 0.5
    optimizer.learning_rate = np.float64(1)
    assert optimizer.learning_rate == 1.0 and isinstance(optimizer.learning_rate, float)
    assert optimizer.learning_rate.assign(0.125) == optimizer.learning_rate == 0.125
    assert optimizer.learning_rate.numpy() == np.float32(0.125) and optimizer.learning_rate.numpy().dtype == np.float32
    for same in (copy.deepcopy(optimizer.learning_rate), pickle.loads(pickle.dumps(optimizer.learning_rate))):
        assert same == 0.125 and type(same) is float  # a number for the record, which keeps no optimizer
    assert optimizers.SGD(lr=0.25).learning_rate == 0.25
    assert optimizers.SGD(lambda: 0.125).learning_rate == 0.125
    scheduled = optimizers.SGD(schedules.PolynomialDecay(1.0, 10))
    assert scheduled.learning_rate == 1.0
    with pytest.raises(TypeError, match="not settable"):
        scheduled.learning_rate = 0.1


@pytest.mark.parity
@pytest.mark.parametrize("name", "SGD RMSprop Adam AdamW Adamax Nadam Adagrad Adadelta Lion Ftrl".split())
def test_defaults_config_and_names_as_keras(name):
    keras = pytest.importorskip("keras")
    mine, theirs = getattr(optimizers, name)(name="x"), getattr(keras.optimizers, name)(name="x")
    assert mine.get_config() == theirs.get_config()
    again = optimizers.get(optimizers.serialize(mine))
    assert type(again) is type(mine) and again.get_config() == mine.get_config()
    for spelling in (name, name.lower(), name.upper()):
        assert type(optimizers.get(spelling)) is type(mine)
    scheduled = type(mine)(learning_rate=schedules.CosineDecay(0.1, 10))
    again = optimizers.get(optimizers.serialize(scheduled))
    assert again.get_config() == scheduled.get_config()
    assert again.scalars(5) == scheduled.scalars(5)


@pytest.mark.parametrize(
    "build",
    [
        lambda o: o.Adam(learning_rate=1),
        lambda o: o.Adam(learning_rate="0.1"),
        lambda o: o.SGD(momentum=1),
        lambda o: o.SGD(momentum=1.5),
        lambda o: o.Adam(clipnorm=1.0, clipvalue=1.0),
        lambda o: o.Adam(nonsense=3),
        lambda o: o.Adam(use_ema=True, ema_momentum=1.5),
        lambda o: o.Adam(use_ema=True, ema_overwrite_frequency=-1),
        lambda o: o.Adam(gradient_accumulation_steps=1),
        lambda o: o.AdamW(weight_decay=None),
        lambda o: o.Lion(beta_1=0.0),
        lambda o: o.Ftrl(learning_rate_power=0.5),
        lambda o: o.Ftrl(l1_regularization_strength=-1.0),
        lambda o: o.Ftrl(initial_accumulator_value=-1.0),
    ],
)
def test_errors_as_keras(build):
    with pytest.raises(ValueError) as mine:
        build(optimizers)
    keras = pytest.importorskip("keras")
    with pytest.raises(ValueError) as theirs:
        build(keras.optimizers)
    assert str(mine.value) == str(theirs.value)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="Unknown optimizer 'addam'. Did you mean 'adam'"):
        optimizers.get("addam")
    for wrong in (3, optimizers.Adam, len):
        with pytest.raises(ValueError, match="Could not interpret optimizer identifier"):
            optimizers.get(wrong)
    assert optimizers.get(None) is None
    sgd = optimizers.SGD()
    assert optimizers.get(sgd) is sgd
