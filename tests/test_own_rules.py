"""Losses, metrics and optimizers that a user writes: in the same training loop as those of the package."""

import numpy as np
import pytest

pytestmark = pytest.mark.fastrnn_only


def model(K, units=2, activation=None, sequences=False):
    made = K.Sequential([K.Input((4, 3)), K.layers.GRU(5, return_sequences=sequences), K.layers.Dense(units, activation=activation)])
    made.set_weights([np.random.default_rng(k).normal(0, 0.4, w.shape).astype(w.dtype) for k, w in enumerate(made.get_weights())])
    return made


def data(rng, units=2, n=20, sequences=False):
    shape = (n, 4, units) if sequences else (n, units)
    return rng.normal(size=(n, 4, 3)).astype("float32"), rng.normal(size=shape).astype("float32")


def fit(made, x, y, **options):
    return made.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0, **options).history


def squared_loss(K, how):
    """Mean squared error, written by a user in one of the ways that there are."""
    from fastrnn.losses import LossFunctionWrapper, with_gradient

    def value(y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2, axis=-1)

    def derivative(y_true, y_pred):
        return 2 * (y_pred - y_true) / y_pred.shape[-1]

    class Squares(K.losses.Loss):
        def call(self, y_true, y_pred):
            return value(y_true, y_pred)

        def gradient(self, y_true, y_pred):
            return derivative(y_true, y_pred)

    return {
        "function": lambda: with_gradient(derivative)(value), "numeric": lambda: with_gradient("numeric")(value),
        "wrapper": lambda: LossFunctionWrapper(with_gradient(derivative)(value)), "class": Squares,
    }[how]()  # fmt: skip


@pytest.mark.parametrize("how", ["function", "numeric", "wrapper", "class"])
@pytest.mark.parametrize("sequences", [False, True])
def test_own_loss_trains_like_the_packages(K, rng, how, sequences):
    x, y = data(rng, sequences=sequences)
    weights = rng.uniform(0, 2, y.shape[:-1]).astype("float32")
    ours, theirs = (model(K, sequences=sequences) for _ in range(2))
    ours.compile(K.optimizers.SGD(0.3), squared_loss(K, how), metrics=["mae"])
    theirs.compile(K.optimizers.SGD(0.3), "mse", metrics=["mae"])
    histories = [fit(m, x, y, sample_weight=weights, validation_split=0.2) for m in (ours, theirs)]
    assert histories[0].keys() == histories[1].keys()
    for key, values in histories[1].items():
        np.testing.assert_allclose(histories[0][key], values, rtol=1e-5, err_msg=key)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_loss_of_targets_in_another_shape(K, rng):
    """A loss that knows what its targets mean: two bounds for one prediction."""

    @K.losses.with_gradient("numeric")
    def outside(y_true, y_pred):
        low, high = y_true[..., 0], y_true[..., 1]
        return np.maximum(low - y_pred[..., 0], 0) + np.maximum(y_pred[..., 0] - high, 0)

    x, _ = data(rng)
    y = np.array([[3.0, 4.0]] * len(x), "float32")
    made = model(K, units=1)
    made.compile(K.optimizers.Adam(0.1), outside)
    losses = made.fit(x, y, epochs=40, verbose=0).history["loss"]
    assert losses[0] > 2 and losses[-1] < 0.2


def test_loss_with_arguments_and_config(K):
    from fastrnn.losses import LossFunctionWrapper, with_gradient

    @with_gradient("numeric")
    def pinball(y_true, y_pred, quantile):
        error = y_true - y_pred
        return np.mean(np.maximum(quantile * error, (quantile - 1) * error), axis=-1)

    loss = LossFunctionWrapper(pinball, quantile=0.75, name="upper")
    config = loss.get_config()
    assert config.pop("fn")["config"] == "pinball"
    assert config == {"name": "upper", "reduction": "sum_over_batch_size", "quantile": 0.75}
    value, gradient = loss.value_and_gradient([[1.0], [0.0]], [[0.0], [1.0]])
    assert value == 0.5
    np.testing.assert_allclose(gradient, [[-0.375], [0.125]], atol=1e-6)


def test_loss_without_gradient_says_what_to_do(K, rng):
    def lonely(y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2, axis=-1)

    x, y = data(rng)
    made = model(K)
    made.compile("sgd", lonely)
    assert np.isfinite(made.evaluate(x, y, verbose=0))
    with pytest.raises(NotImplementedError, match="Loss 'lonely' cannot be trained with.*with_gradient"):
        made.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="lonely"):
        K.utils.check_loss_gradient(lonely, y, y + 1)
    with pytest.raises(ValueError, match="Argument `gradient` must be"):
        K.losses.with_gradient("auto")


def test_gradients_of_wrong_shapes_and_values_are_found(K, rng):
    from fastrnn.losses import with_gradient

    def value(y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2, axis=-1)

    _, y = data(rng)
    x, _ = data(rng)
    wrong = with_gradient(lambda y_true, y_pred: y_pred - y_true)(value)
    K.utils.check_loss_gradient(wrong, y[:, :1] * 0, y[:, :1] * 0)  # where it is right
    with pytest.raises(ValueError, match=r"the gradient of y_pred is wrong at \[\d+, 0\]: `gradient` gives"):
        K.utils.check_loss_gradient(wrong, y[:, :1], y[:, :1] + 1)
    short = with_gradient(lambda y_true, y_pred: np.ones(3))(value)
    made = model(K)
    made.compile("sgd", short)
    with pytest.raises(ValueError, match=r"Loss 'value': `gradient` must have the shape of y_pred, \(20, 2\)"):
        made.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="one value per row"):
        K.losses.LossFunctionWrapper(with_gradient("numeric")(lambda t, p: np.mean(p - t))).value_and_gradient(y, y)


@pytest.mark.parametrize("name", ["MeanSquaredError", "Huber", "CategoricalFocalCrossentropy", "Circle", "CTC", "Tversky", "LogCosh"])
def test_the_packages_own_losses_pass_the_check(K, rng, name):
    y_true, y_pred = rng.normal(size=(6, 4)), rng.uniform(0.1, 0.9, size=(6, 4))
    if name == "Circle":
        y_true, y_pred = np.array([0, 1, 0, 2, 1, 0]), y_pred / np.linalg.norm(y_pred, axis=-1, keepdims=True)
    if name == "CTC":
        y_true, y_pred = np.array([[1, 2, 2], [3, 0, 0]]), rng.normal(size=(2, 6, 4))
    if name == "CategoricalFocalCrossentropy":
        y_true = np.eye(4)[[0, 1, 2, 3, 0, 1]]
    K.utils.check_loss_gradient(getattr(K.losses, name)(), y_true, y_pred)


def test_ctc_counts_all_alignments(K, rng):
    """Against the sum over every path, one by one."""
    from itertools import product

    logits = rng.normal(size=(1, 4, 3))
    p = np.exp(logits[0]) / np.exp(logits[0]).sum(-1, keepdims=True)
    for labels in ([1], [2, 1], [1, 1], []):
        total = 0.0
        for path in product(range(3), repeat=4):
            read = [s for k, s in enumerate(path) if s and (k == 0 or path[k - 1] != s)]
            total += np.prod([p[t, s] for t, s in enumerate(path)]) if read == labels else 0
        target = np.array([labels + [0] * (3 - len(labels))])
        np.testing.assert_allclose(K.losses.ctc(target, logits), [-np.log(total)], rtol=1e-9)
    assert np.isinf(K.losses.ctc([[1, 1, 1]], logits))


def test_ctc_trains(K, rng):
    made = K.Sequential([K.Input((8, 3)), K.layers.LSTM(12, return_sequences=True), K.layers.Dense(4)])
    x, y = rng.normal(size=(6, 8, 3)), np.array([[1, 2, 3], [3, 1, 0], [2, 2, 0], [1, 0, 0], [3, 3, 2], [2, 0, 0]])
    made.compile(K.optimizers.Adam(0.05), K.losses.CTC())
    losses = made.fit(x, y, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]


def test_own_metrics_in_training(K, rng):
    class Largest(K.metrics.Metric):
        def __init__(self, name="largest", **kwargs):
            super().__init__(name=name, **kwargs)
            self.value = self.add_variable((), "zeros", name="value")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(np.maximum(self.value, np.max(np.abs(y_pred - y_true))))

        def result(self):
            return self.value

    class Both(K.metrics.Metric):
        def __init__(self):
            super().__init__(name="both")
            self.totals = self.add_weight((2,), name="totals")
            self.count = self.add_variable((), name="count")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.totals.assign_add(np.stack([np.sum(y_pred), np.sum(y_true)]))
            self.count.assign_add(y_pred.size)

        def result(self):
            predicted, true = self.totals / self.count
            return {"mean_prediction": predicted, "mean_target": true}

    def first_error(y_true, y_pred):
        return np.abs(y_true[:, 0] - y_pred[:, 0])

    x, y = data(rng)
    made = model(K)
    made.compile(K.optimizers.SGD(0.0), "mse", metrics=[Largest(), Both(), first_error, "mae"])
    history = fit(made, x, y)
    predicted = made.predict(x, verbose=0)
    expected = {"largest": np.abs(predicted - y).max(), "mean_prediction": predicted.mean(), "mean_target": y.mean(),
                "first_error": np.abs(predicted - y)[:, 0].mean(), "mae": np.abs(predicted - y).mean()}  # fmt: skip
    assert set(history) == {"loss", *expected}
    for name, value in expected.items():
        np.testing.assert_allclose(history[name], [value, value], rtol=1e-5, err_msg=name)
    assert made.evaluate(x, y, verbose=0, return_dict=True).keys() == history.keys()


def test_variables_of_metrics(K):
    metric = K.metrics.Metric(name="plain")
    a, b = metric.add_variable((2,), "ones", name="a"), metric.add_variable((), name="b", dtype="int32")
    assert [v.name for v in metric.variables] == ["a", "b"] and a != b and len({a, b}) == 2
    a.assign_sub([1.0, 0.5])
    b.assign_add(3)
    np.testing.assert_array_equal(1 + a * 2, [1.0, 2.0])
    np.testing.assert_array_equal(np.maximum(a, 0.25), [0.25, 0.5])
    assert float(b) == 3.0 and b.dtype == "int32" and (b > 2) and (a / b).shape == (2,)
    metric.reset_state()
    np.testing.assert_array_equal(a.numpy(), [0.0, 0.0])
    assert float(b) == 0


def test_masks_reach_the_metrics_that_are_means_of_values(K, rng):
    """As in Keras: a mean over values leaves out the steps that the model skipped, other metrics see them."""

    class Counting(K.metrics.Metric):
        def reset_state(self):
            self.seen = 0

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.seen += y_pred.shape[0] * y_pred.shape[1]

        def result(self):
            return self.seen

    x = rng.normal(size=(6, 4, 3)).astype("float32")
    x[:, 2:] = 0
    y = rng.normal(size=(6, 4, 1)).astype("float32")
    made = K.Sequential([K.Input((4, 3)), K.layers.Masking(), K.layers.GRU(2, return_sequences=True), K.layers.Dense(1)])
    made.compile("sgd", "mse", metrics=["mae", K.metrics.RootMeanSquaredError(name="rmse"), Counting(name="seen")])
    logs = made.evaluate(x, y, verbose=0, return_dict=True)
    error = np.abs(made.predict(x, verbose=0) - y)
    np.testing.assert_allclose([logs["mae"], logs["rmse"]], [error[:, :2].mean(), np.sqrt((error**2).mean())], rtol=1e-5)
    assert logs["seen"] == 24


class Halfway:
    """Builds the optimizer under test, which moves the weights against the sign of a decaying mean gradient."""

    def __new__(cls, K, **options):
        class SignOfMean(K.optimizers.Optimizer):
            slots = (("mean", 0.0),)

            def update(self, w, g, slots, scalars):
                (mean,) = slots
                mean += (g - mean) * 0.5
                w -= scalars["lr"] * np.sign(mean)

        return SignOfMean(0.01, **options)


def test_own_optimizer_trains(K, rng):
    x, y = data(rng)
    made = model(K)
    made.compile(Halfway(K), "mse")
    before = made.get_weights()
    made.train_on_batch(x, y)
    for a, b in zip(made.get_weights(), before):
        np.testing.assert_allclose(np.abs(a - b), 0.01, atol=1e-6)
    losses = made.fit(x, y, epochs=20, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0] and made.optimizer.iterations == 21


def test_rules_in_python_take_part_in_everything_around_them(K, rng):
    """Clipping, decay, averages, accumulation: a rule without a kernel against the same rule with one."""

    class Plain(K.optimizers.SGD):
        kind = None

    x, y = data(rng)
    for options in ({"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"weight_decay": 0.2, "momentum": 0.9},
                    {"use_ema": True, "ema_overwrite_frequency": 2}, {"gradient_accumulation_steps": 2}):  # fmt: skip
        results = []
        for cls in (Plain, K.optimizers.SGD):
            made = model(K)
            made.compile(cls(0.1, **options), "mse")
            fit(made, x, y)
            results.append(made.get_weights())
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, atol=1e-6, err_msg=str(options))


def test_what_a_subclass_changes_of_a_rule_with_a_kernel_counts(K, rng):
    Adam, SGD = K.optimizers.Adam, K.optimizers.SGD

    class Descent(Adam):
        def update(self, w, g, slots, scalars):
            w -= scalars["lr"] * g

    class Still(Adam):
        def clip(self, gradients):
            return [0 * g for g in gradients]

    class Warming(Adam):
        def scalars(self, step):
            return {**super().scalars(step), "beta_1": 0.5 if step < 3 else 0.9}

    class ToZero:
        def clip(self, gradients):
            return [0 * g for g in gradients]

    class Mixed(ToZero, Adam):
        pass

    class Property(Adam):
        beta_1 = property(lambda self: 0.5 if self.iterations < 3 else 0.9, lambda self, value: None)

    x, y = data(rng, n=48)

    def trained(optimizer):
        made = model(K)
        made.compile(optimizer, "mse")
        fit(made, x, y)
        assert made.optimizer.iterations == 12
        return made.get_weights()

    one_by_one = model(K)
    one_by_one.compile(Adam(0.05), "mse")
    for step in range(12):
        one_by_one.optimizer.beta_1 = 0.5 if step < 3 else 0.9
        rows = slice(step % 6 * 8, step % 6 * 8 + 8)
        one_by_one.train_on_batch(x[rows], y[rows])
    warmed, start = one_by_one.get_weights(), model(K).get_weights()
    cases = [(Descent(0.05), trained(SGD(0.05))), (Still(0.05), start), (Mixed(0.05), start), (Warming(0.05), warmed), (Property(0.05), warmed)]
    for found, expected in cases:
        for a, b in zip(trained(found), expected):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7, err_msg=type(found).__name__)


def test_activations_without_kernels(K, rng):
    """By their definitions: a distribution nearest to x, a gate, a step."""
    activations = K.activations
    for shape, axis in (((4, 6), -1), ((5, 3, 2), 1), ((7,), 0)):
        x = rng.normal(size=shape) * 2
        y = np.moveaxis(activations.sparsemax(x, axis=axis), axis, -1)
        x = np.moveaxis(x, axis, -1)
        np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-12)
        # where something stays, x - y is one number, and no x above it was set to 0
        shift = np.where(y > 0, x - y, -np.inf).max(axis=-1, keepdims=True)
        np.testing.assert_allclose(y, np.maximum(x - shift, 0), atol=1e-12)
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(activations.glu(x), x[:, :2] / (1 + np.exp(-x[:, 2:])), rtol=1e-12)
    np.testing.assert_array_equal(activations.threshold(x, 0.5, -1.0), np.where(x > 0.5, x, -1.0))
    with pytest.raises(ValueError, match="divisible by 2"):
        activations.glu(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Argument `activation` must be the name of an activation"):
        K.layers.Dense(2, activation="sparsemax")


def test_what_a_subclass_changes_of_a_loss_with_a_kernel_counts(K, rng):
    Squares = K.losses.MeanSquaredError

    class Tenfold(Squares):
        def call(self, y_true, y_pred):
            return 10 * super().call(y_true, y_pred)

        def gradient(self, y_true, y_pred):
            return 10 * super().gradient(y_true, y_pred)

    class Named(Squares):
        native = None

    class Same(Squares):
        pass

    class WithoutDerivative(Squares):
        def call(self, y_true, y_pred):
            return 10 * super().call(y_true, y_pred)

    class Numeric(K.losses.Loss):
        def gradient(self, y_true, y_pred):
            steps = 1e-2 * np.eye(y_pred.shape[-1], dtype=y_pred.dtype)
            return np.stack([(self.call(y_true, y_pred + h) - self.call(y_true, y_pred - h)) / 2e-2 for h in steps], axis=-1)

    class OfNumeric(Numeric):
        def call(self, y_true, y_pred):
            return np.mean((y_true - y_pred) ** 2, axis=-1)

    x, y = data(rng)

    def trained(loss, rate=0.01):
        made = model(K)
        made.compile(K.optimizers.SGD(rate), loss)
        return fit(made, x, y)["loss"], made.get_weights()

    usual, fast = trained("mse"), trained("mse", 0.1)
    assert Same().native == Squares().native is not None
    for loss, expected, factor, atol in ((Tenfold(), fast, 10, 1e-6), (Named(), usual, 1, 1e-6), (Same(), usual, 1, 1e-6), (OfNumeric(), usual, 1, 1e-4)):
        losses, weights = trained(loss)
        np.testing.assert_allclose(losses, np.multiply(expected[0], factor), rtol=100 * atol, err_msg=type(loss).__name__)
        for a, b in zip(weights, expected[1]):
            np.testing.assert_allclose(a, b, atol=atol, err_msg=type(loss).__name__)
    with pytest.raises(NotImplementedError, match="no derivative"):
        trained(WithoutDerivative())


def test_what_a_subclass_changes_of_a_metric_with_a_kernel_counts(K, rng):
    class Twice(K.metrics.MeanAbsoluteError):
        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(2 * y_true, 2 * y_pred, sample_weight)

    x, y = data(rng)
    made = model(K)
    made.compile("sgd", "mse", metrics=[Twice(name="twice"), K.metrics.MeanAbsoluteError(name="once")])
    history = fit(made, x, y)
    np.testing.assert_allclose(history["twice"], np.multiply(history["once"], 2), rtol=1e-5)


def test_python_rules_continue_after_a_file(K, rng, tmp_path):
    """Their state is written and read like that of rules with kernels."""
    x, y = data(rng)
    for name in ("Lamb", "Adafactor", "Muon"):
        made = model(K)
        made.compile(getattr(K.optimizers, name)(0.01), "mse")
        fit(made, x, y)
        made.save(tmp_path / f"{name}.npz")
        read = K.models.load_model(tmp_path / f"{name}.npz")
        assert read.optimizer.iterations == 6
        fit(made, x, y)
        fit(read, x, y)
        for a, b in zip(made.get_weights(), read.get_weights()):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_class_weight_stays_out_of_the_validation_split(K, rng):
    x, y = data(rng, units=1)
    labels = (y[:, 0] > 0).astype("float32")
    made = model(K, units=1, activation="sigmoid")
    made.compile(K.optimizers.SGD(0.0), "binary_crossentropy")
    history = fit(made, x, labels, class_weight={0: 5.0, 1: 0.1}, validation_split=0.5)
    np.testing.assert_allclose(history["val_loss"][-1], made.evaluate(x[10:], labels[10:], verbose=0), rtol=1e-5)
