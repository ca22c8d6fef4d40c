"""Losses: values, reductions and derivatives against real Keras and against finite differences."""

import os

import numpy as np
import pytest

from fastrnn import _identifiers, losses

os.environ.setdefault("KERAS_BACKEND", "torch")

# name of the function, class arguments, kind of data
CASES = [
    ("mean_squared_error", {}, "real"),
    ("mean_absolute_error", {}, "real"),
    ("mean_absolute_percentage_error", {}, "real"),
    ("mean_squared_logarithmic_error", {}, "positive"),
    ("huber", {}, "real"),
    ("huber", {"delta": 0.4}, "real"),
    ("log_cosh", {}, "real"),
    ("cosine_similarity", {}, "real"),
    ("hinge", {}, "binary"),
    ("hinge", {}, "real"),
    ("squared_hinge", {}, "binary"),
    ("categorical_hinge", {}, "one_hot"),
    ("kl_divergence", {}, "one_hot"),
    ("kl_divergence", {}, "soft"),
    ("poisson", {}, "positive"),
    ("binary_crossentropy", {}, "binary"),
    ("binary_crossentropy", {"label_smoothing": 0.2}, "binary"),
    ("binary_crossentropy", {"from_logits": True}, "binary_logits"),
    ("categorical_crossentropy", {}, "one_hot"),
    ("categorical_crossentropy", {}, "soft"),
    ("categorical_crossentropy", {"label_smoothing": 0.1}, "one_hot"),
    ("categorical_crossentropy", {"from_logits": True}, "one_hot_logits"),
    ("sparse_categorical_crossentropy", {}, "labels"),
    ("sparse_categorical_crossentropy", {"ignore_class": 1}, "labels"),
    ("sparse_categorical_crossentropy", {"from_logits": True}, "labels_logits"),
    ("sparse_categorical_crossentropy", {"from_logits": True, "ignore_class": -1}, "labels_logits"),
    ("binary_focal_crossentropy", {}, "binary"),
    ("binary_focal_crossentropy", {"apply_class_balancing": True, "gamma": 3.0}, "binary"),
    ("binary_focal_crossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary_logits"),
    ("categorical_focal_crossentropy", {"alpha": 0.4}, "one_hot"),
    ("categorical_focal_crossentropy", {"from_logits": True, "label_smoothing": 0.1}, "one_hot_logits"),
    ("categorical_generalized_cross_entropy", {"q": 0.3}, "labels"),
]
IDS = [f"{n}-{'-'.join(f'{k}={v}' for k, v in kw.items())}-{d}" for n, kw, d in CASES]
CLASS_NAME = {
    "mean_squared_error": "MeanSquaredError",
    "mean_absolute_error": "MeanAbsoluteError",
    "mean_absolute_percentage_error": "MeanAbsolutePercentageError",
    "mean_squared_logarithmic_error": "MeanSquaredLogarithmicError",
    "huber": "Huber",
    "log_cosh": "LogCosh",
    "cosine_similarity": "CosineSimilarity",
    "hinge": "Hinge",
    "squared_hinge": "SquaredHinge",
    "categorical_hinge": "CategoricalHinge",
    "kl_divergence": "KLDivergence",
    "poisson": "Poisson",
    "binary_crossentropy": "BinaryCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "categorical_generalized_cross_entropy": "CategoricalGeneralizedCrossEntropy",
    "dice": "Dice",
    "tversky": "Tversky",
}


def make(kind, shape=(5, 4), seed=0, dtype="float64"):
    """Targets and predictions that suit the loss."""
    rng = np.random.default_rng(seed)
    classes = shape[-1]
    labels = rng.integers(0, classes, shape[:-1])
    y_true, y_pred = {
        "real": lambda: (rng.normal(size=shape), rng.normal(size=shape)),
        "positive": lambda: (rng.uniform(0.1, 3, shape), rng.uniform(0.1, 3, shape)),
        "binary": lambda: (rng.integers(0, 2, shape), rng.uniform(0.05, 0.95, shape)),
        "binary_logits": lambda: (rng.integers(0, 2, shape), 3 * rng.normal(size=shape)),
        "one_hot": lambda: (np.eye(classes)[labels], rng.uniform(0.05, 1, shape)),
        "soft": lambda: (rng.dirichlet(np.ones(classes), shape[:-1]), rng.uniform(0.05, 1, shape)),
        "one_hot_logits": lambda: (np.eye(classes)[labels], 3 * rng.normal(size=shape)),
        "labels": lambda: (labels, rng.uniform(0.05, 1, shape)),
        "labels_logits": lambda: (labels, 3 * rng.normal(size=shape)),
    }[kind]()
    return y_true.astype(dtype), y_pred.astype(dtype)


def build(module, name, kwargs, **more):
    return getattr(module, CLASS_NAME[name])(**kwargs, **more)


def extreme(kind, seed):
    """Predictions at and beyond the edges of the clipping."""
    y_true, y_pred = make(kind, seed=seed, dtype="float32")
    y_pred[0] = 0.0
    y_pred[0, 0] = 1.0
    y_pred[1] = 1e-9
    y_pred[1, 1] = 1.0
    return y_true, y_pred


@pytest.mark.parity
@pytest.mark.parametrize("name,kwargs,kind", CASES, ids=IDS)
@pytest.mark.parametrize("shape", [(5, 4), (3, 6, 4), (1, 7)])
def test_values_and_reductions_as_keras(name, kwargs, kind, shape):
    keras = pytest.importorskip("keras")
    y_true, y_pred = make(kind, shape, dtype="float32")
    rng = np.random.default_rng(1)
    weights = [None, rng.uniform(size=shape[:-1]).astype("float32"), 2.5]
    weights.append(rng.uniform(size=(shape[0],) + (1,) * (len(shape) - 2)).astype("float32"))
    for reduction in ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None]:
        mine = build(losses, name, kwargs, reduction=reduction)
        theirs = build(keras.losses, name, kwargs, reduction=reduction)
        for weight in weights:
            if "ignore_class" in kwargs and weight is not None and np.shape(weight) != shape[:-1]:
                continue  # Keras multiplies the mask in place and fails on any other shape
            expected = theirs(y_true, y_pred, weight).numpy()
            got = mine(y_true, y_pred, weight)
            np.testing.assert_allclose(got, expected, rtol=3e-6, atol=1e-6)
            assert np.asarray(got).dtype == np.float32


@pytest.mark.parity
@pytest.mark.parametrize("name,kwargs,kind", CASES, ids=IDS)
def test_functions_as_keras(name, kwargs, kind):
    keras = pytest.importorskip("keras")
    y_true, y_pred = make(kind, dtype="float32")
    tensors = map(keras.ops.convert_to_tensor, (y_true, y_pred))
    expected = getattr(keras.losses, name)(*tensors, **kwargs)
    np.testing.assert_allclose(
        getattr(losses, name)(y_true, y_pred, **kwargs), expected, rtol=2e-6, atol=1e-6
    )


@pytest.mark.parity
@pytest.mark.parametrize(
    "name,kind",
    [
        ("binary_crossentropy", "binary"),
        ("categorical_crossentropy", "one_hot"),
        ("sparse_categorical_crossentropy", "labels"),
        ("kl_divergence", "soft"),
        ("poisson", "positive"),
    ],
)
def test_values_and_gradients_at_the_clip(name, kind):
    keras = pytest.importorskip("keras")
    torch = pytest.importorskip("torch")
    for seed in range(5):
        y_true, y_pred = extreme(kind, seed)
        y_pred[0, 1:] += 1e-3 if name == "categorical_crossentropy" else 0
        tensor = torch.tensor(y_pred, requires_grad=True)
        value = getattr(keras.losses, name)(torch.tensor(y_true), tensor)
        value.sum().backward()
        mine = getattr(losses, name)
        np.testing.assert_allclose(mine(y_true, y_pred), value.detach().numpy(), rtol=2e-6, atol=1e-6)
        expected = tensor.grad.numpy()
        expected = np.where(np.isfinite(expected), expected, 0)
        got = mine.gradient(y_true, y_pred)
        assert got.dtype == np.float32
        np.testing.assert_allclose(np.where(np.isfinite(got), got, 0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize(
    "name,kwargs", [("dice", {}), ("tversky", {}), ("tversky", {"alpha": 0.3, "beta": 0.9})]
)
@pytest.mark.parametrize("axis", [None, -1, (1, 2)])
def test_overlap_losses_as_keras(name, kwargs, axis):
    keras = pytest.importorskip("keras")
    torch = pytest.importorskip("torch")
    y_true, y_pred = make("binary", (3, 4, 5), dtype="float32")
    tensor = torch.tensor(y_pred, requires_grad=True)
    expected = build(keras.losses, name, kwargs, axis=axis)(torch.tensor(y_true), tensor)
    expected.backward()
    value, gradient = build(losses, name, kwargs, axis=axis).value_and_gradient(y_true, y_pred)
    assert value == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_wrong_certain_predictions_cost_what_keras_says():
    assert losses.binary_crossentropy(np.float32([[1]]), np.float32([[0]]))[0] == pytest.approx(
        16.118, abs=1e-3
    )
    assert losses.binary_crossentropy(np.float32([[0]]), np.float32([[1]]))[0] == pytest.approx(
        15.942, abs=1e-3
    )


@pytest.mark.parametrize("name,kwargs,kind", CASES, ids=IDS)
@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 5)])
def test_gradient_against_finite_differences(name, kwargs, kind, shape):
    y_true, y_pred = make(kind, shape, seed=3)
    loss = build(losses, name, kwargs, dtype="float64", reduction="sum_over_batch_size")
    weight = np.random.default_rng(4).uniform(size=shape[:-1])
    mask = np.random.default_rng(5).uniform(size=shape[:-1]) > 0.3
    for w, m in [(None, None), (weight, None), (None, mask), (weight, mask)]:
        value, gradient = loss.value_and_gradient(y_true, y_pred, w, m)
        assert value == pytest.approx(loss(y_true, y_pred, w, mask=m))
        assert gradient.shape == shape and gradient.dtype == np.float64
        numeric = np.zeros(shape)
        h = 1e-6
        for i in np.ndindex(shape):
            up, down = y_pred.copy(), y_pred.copy()
            up[i] += h
            down[i] -= h
            numeric[i] = (loss(y_true, up, w, mask=m) - loss(y_true, down, w, mask=m)) / (2 * h)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-7 * max(1, abs(numeric).max()))


@pytest.mark.parity
@pytest.mark.parametrize("name,kwargs,kind", CASES, ids=IDS)
def test_gradient_as_autograd(name, kwargs, kind):
    keras = pytest.importorskip("keras")
    torch = pytest.importorskip("torch")
    y_true, y_pred = make(kind, (6, 3), seed=8, dtype="float32")
    tensor = torch.tensor(y_pred, requires_grad=True)
    build(keras.losses, name, kwargs)(torch.tensor(y_true), tensor).backward()
    _, gradient = build(losses, name, kwargs).value_and_gradient(y_true, y_pred)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parity
def test_shapes_are_aligned_as_keras():
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(0)
    for t, p in [
        ((6,), (6, 1)),
        ((6, 1), (6,)),
        ((6, 3), (6, 3, 1)),
        ((6, 3, 1), (6, 3)),
        ((4,), (4, 4)),
        ((6,), (6,)),
    ]:
        y_true, y_pred = rng.normal(size=t).astype("f"), rng.normal(size=p).astype("f")
        expected = keras.losses.MeanSquaredError()(y_true, y_pred).numpy()
        value, gradient = losses.MeanSquaredError().value_and_gradient(y_true, y_pred)
        assert value == pytest.approx(expected, rel=1e-6)
        assert gradient.shape == p


def test_gradient_of_predictions_broadcast_against_larger_targets():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.normal(size=(5, 7)), rng.normal(size=(5, 1))
    loss = losses.MeanSquaredError(dtype="float64")
    _, gradient = loss.value_and_gradient(y_true, y_pred)
    np.testing.assert_allclose(gradient[:, 0], (2 * (y_pred - y_true)).mean(axis=1) / 5)


def test_mask_averages_over_the_valid_values():
    y_true, y_pred = make("real", (4, 6, 3), dtype="float32")
    mask = np.arange(6) < np.array([[6], [2], [0], [3]])
    values = losses.mean_squared_error(y_true, y_pred)
    assert losses.MeanSquaredError()(y_true, y_pred, mask=mask) == pytest.approx(
        values[mask].mean(), rel=1e-6
    )
    total = losses.MeanSquaredError(reduction="sum")(y_true, y_pred, mask=mask)
    assert total == pytest.approx(values[mask].sum(), rel=1e-6)
    assert losses.MeanSquaredError()(y_true, y_pred, mask=np.zeros((4, 6))) == 0


@pytest.mark.parity
def test_mask_as_keras():
    keras = pytest.importorskip("keras")
    y_true, y_pred = make("real", (4, 6, 3), dtype="float32")
    mask = np.arange(6) < np.array([[6], [2], [1], [3]])
    weight = np.random.default_rng(0).uniform(size=(4, 6)).astype("f")
    for reduction in ["sum_over_batch_size", "sum", "mean_with_sample_weight"]:
        for w in [None, weight]:
            tensor = keras.ops.convert_to_tensor(y_pred)
            tensor._keras_mask = keras.ops.convert_to_tensor(mask)
            from keras.src.losses.loss import reduce_weighted_values

            values = losses.mean_squared_error(y_true, y_pred)
            expected = float(reduce_weighted_values(values, w, mask, reduction))
            got = losses.MeanSquaredError(reduction=reduction)(y_true, y_pred, w, mask=mask)
            assert got == pytest.approx(expected, rel=1e-5)


def test_a_weight_per_sample_applies_to_all_of_its_steps():
    y_true, y_pred = make("real", (4, 4, 3), dtype="float32")
    weight = np.float32([1, 0, 0, 2])
    values = losses.mean_squared_error(y_true, y_pred)
    got = losses.MeanSquaredError()(y_true, y_pred, weight)
    assert got == pytest.approx((values * weight[:, None]).mean(), rel=1e-6)


def test_ignored_labels_leave_the_mean_and_the_gradient():
    y_true, y_pred = np.float64([0, -1, 2]), np.random.default_rng(0).uniform(0.1, 1, (3, 3))
    y_pred[1] = np.nan
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1, dtype="float64")
    rest = losses.SparseCategoricalCrossentropy(dtype="float64")(y_true[[0, 2]], y_pred[[0, 2]])
    value, gradient = loss.value_and_gradient(y_true, y_pred)
    assert value == pytest.approx(rest)
    assert (gradient[1] == 0).all() and np.isfinite(gradient).all()


def test_native_description():
    assert losses.MeanSquaredError().native == ("mean_squared_error", {})
    assert losses.Huber(0.5).native == ("huber", {"delta": 0.5})
    assert losses.BinaryCrossentropy(label_smoothing=0.1).native == (
        "binary_crossentropy",
        {"from_logits": 0.0, "label_smoothing": 0.1},
    )
    assert losses.SparseCategoricalCrossentropy(ignore_class=-1).native == (
        "sparse_categorical_crossentropy",
        {"from_logits": 0.0, "ignore_class": -1.0},
    )
    assert losses.CosineSimilarity(axis=1).native is None
    assert losses.Dice().native is None
    assert losses.LossFunctionWrapper(lambda a, b: 0).native is None


@pytest.mark.parity
@pytest.mark.parametrize("name", sorted(CLASS_NAME))
def test_config_and_names_as_keras(name):
    keras = pytest.importorskip("keras")
    mine, theirs = getattr(losses, CLASS_NAME[name])(), getattr(keras.losses, CLASS_NAME[name])()
    assert mine.name == theirs.name
    # Keras forgets delta and axis in some configs; a config here always rebuilds the object
    assert theirs.get_config().items() <= mine.get_config().items()
    assert type(mine).from_config(mine.get_config()).get_config() == mine.get_config()
    again = losses.get(losses.serialize(mine))
    assert type(again) is type(mine) and again.get_config() == mine.get_config()


def test_every_keras_spelling_is_known():
    for (
        name
    ) in "mse MSE mae MAE mape MAPE msle MSLE bce BCE kld KLD huber log_cosh mean_squared_error".split():
        assert callable(losses.get(name))
        assert isinstance(losses.as_loss(name), losses.Loss)
    assert losses.get("mse") is losses.mean_squared_error
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert losses.get(None) is None and losses.as_loss(None) is None


@pytest.mark.parametrize(
    "wrong,right",
    [("binarycrossentropy", "binary_crossentropy"), ("mean_square_error", "mean_squared_error")],
)
def test_unknown_name_suggests_the_nearest(wrong, right):
    with pytest.raises(ValueError, match=f"Unknown loss '{wrong}'. Did you mean '{right}'"):
        losses.get(wrong)


@pytest.mark.parity
def test_default_names_as_keras():
    keras = pytest.importorskip("keras")
    from keras.src.utils.naming import to_snake_case

    for module in (keras.losses, keras.metrics, keras.optimizers, keras.layers, keras.callbacks):
        for name in dir(module):
            assert _identifiers.to_snake_case(name) == to_snake_case(name)


def test_bad_arguments():
    with pytest.raises(ValueError, match="reduction=average"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ValueError, match=r"label value of 3 .* \[0, 3\)"):
        losses.SparseCategoricalCrossentropy()([3], [[0.1, 0.2, 0.7]])
    with pytest.raises(ValueError, match="label value of -1"):
        losses.sparse_categorical_crossentropy([-1], [[0.1, 0.2, 0.7]])
    with pytest.raises(ValueError, match="same shape"):
        losses.CategoricalCrossentropy()(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="sample_weight"):
        losses.MeanSquaredError()(np.zeros((4, 3)), np.zeros((4, 3)), np.ones(5))


def test_a_user_function():
    def absolute(y_true, y_pred):
        return np.abs(y_pred - y_true).mean(axis=-1)

    loss = losses.as_loss(absolute)
    assert loss.name == "absolute" and loss.native is None
    assert loss([[1.0]], [[3.0]]) == 2
    with pytest.raises(NotImplementedError, match="gradient"):
        loss.value_and_gradient([[1.0]], [[3.0]])
    absolute.gradient = lambda y_true, y_pred: np.sign(y_pred - y_true) / y_pred.shape[-1]
    assert loss.value_and_gradient([[1.0]], [[3.0]])[1] == 1


def test_crossentropy_by_shape():
    assert type(losses.as_loss("ce", (8, 1), (8, 1))) is losses.BinaryCrossentropy
    assert type(losses.as_loss("crossentropy", (8,), (8, 3))) is losses.SparseCategoricalCrossentropy
    assert type(losses.as_loss("ce", (8, 3), (8, 3))) is losses.CategoricalCrossentropy
