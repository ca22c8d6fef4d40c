"""Learning-rate schedules against real Keras."""

import os

import numpy as np
import pytest

from fastrnn.optimizers import schedules

os.environ.setdefault("KERAS_BACKEND", "torch")

CASES = [
    ("ExponentialDecay", (0.1, 7, 0.5), {}),
    ("ExponentialDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 7, 0.5), {}),
    ("InverseTimeDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([3, 10], [1.0, 0.5, 0.1]), {}),
    ("PiecewiseConstantDecay", ([5], [1.0, 0.5]), {}),
    ("PolynomialDecay", (0.1, 10), {}),
    ("PolynomialDecay", (0.1, 10, 0.01, 2.0), {}),
    ("PolynomialDecay", (0.1, 10), {"cycle": True, "power": 0.5}),
    ("CosineDecay", (0.1, 10), {}),
    ("CosineDecay", (0.1, 10), {"alpha": 0.2}),
    ("CosineDecay", (0.0, 10), {"warmup_target": 0.3, "warmup_steps": 5, "alpha": 0.1}),
    ("CosineDecay", (0.0, 10), {"warmup_target": 0.3}),
    ("CosineDecayRestarts", (0.1, 5), {}),
    ("CosineDecayRestarts", (0.1, 5), {"t_mul": 1.0, "m_mul": 0.9, "alpha": 0.05}),
    ("CosineDecayRestarts", (0.1, 7), {"t_mul": 1.5, "m_mul": 0.8}),
]


@pytest.mark.parity
@pytest.mark.parametrize("name,args,kwargs", CASES)
def test_as_keras(name, args, kwargs):
    keras = pytest.importorskip("keras")
    mine = getattr(schedules, name)(*args, **kwargs)
    theirs = getattr(keras.optimizers.schedules, name)(*args, **kwargs)
    got = [mine(step) for step in range(45)]
    assert all(type(value) is float for value in got)
    np.testing.assert_allclose(got, [float(theirs(step)) for step in range(45)], rtol=2e-5, atol=2e-7)
    assert mine.get_config() == theirs.get_config()


@pytest.mark.parametrize("name,args,kwargs", CASES)
def test_config_round_trip(name, args, kwargs):
    mine = getattr(schedules, name)(*args, **kwargs)
    again = schedules.deserialize(schedules.serialize(mine))
    assert type(again) is type(mine)
    assert again.get_config() == mine.get_config() and again(13) == mine(13)


def test_restarts_fall_on_the_exact_step():
    schedule = schedules.CosineDecayRestarts(1.0, 10, t_mul=3.0)
    for start in (0, 10, 40, 130, 400):
        assert schedule(start) == 1.0
    assert schedules.CosineDecayRestarts(1.0, 2, t_mul=1.5)(5) == 1.0


def test_errors():
    for build in (
        lambda s: s.ExponentialDecay(0.1, 0, 0.5),
        lambda s: s.PolynomialDecay(0.1, -1),
        lambda s: s.CosineDecay(0.1, 0),
        lambda s: s.CosineDecayRestarts(0.1, 0),
        lambda s: s.PiecewiseConstantDecay([1], [0.1]),
    ):
        with pytest.raises(ValueError, match="Received"):
            build(schedules)
    with pytest.raises(NotImplementedError):
        schedules.LearningRateSchedule()(0)
    with pytest.raises(ValueError, match="Did you mean 'CosineDecay'"):
        schedules.deserialize({"class_name": "CosinDecay", "config": {}})
