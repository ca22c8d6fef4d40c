"""Random configurations that build the same thing from fastrnn and from real Keras; used by the parity tests."""

import os

import numpy as np

SEED = int(os.environ.get("FASTRNN_PARITY_SEED", "20260"))

ACTIVATIONS = ["tanh", "tanh", "sigmoid", "softsign", "relu", "elu", "hard_sigmoid", "gelu", "silu", "linear"]


TASKS = {  # loss: (last activation, kind of target, metrics)
    "mse": (None, "real", ["mae", "mse"]),
    "mean_absolute_error": (None, "real", ["mse"]),
    "huber": (None, "real", ["mean_absolute_percentage_error", "cosine_similarity"]),
    "log_cosh": (None, "real", ["accuracy"]),
    "poisson": ("softplus", "positive", ["poisson", "mean_squared_logarithmic_error"]),
    "mean_squared_logarithmic_error": ("softplus", "positive", ["mse"]),
    "binary_crossentropy": ("sigmoid", "binary", ["acc", "AUC", "Precision", "Recall"]),
    "categorical_crossentropy": ("softmax", "one-hot", ["accuracy", "kl_divergence"]),
    "sparse_categorical_crossentropy": ("softmax", "class", ["acc", "sparse_categorical_accuracy"]),
    "kl_divergence": ("softmax", "one-hot", ["categorical_accuracy"]),
    "hinge": ("tanh", "sign", ["squared_hinge"]),
    "squared_hinge": ("tanh", "sign", ["hinge"]),
    "categorical_hinge": (None, "one-hot", ["categorical_accuracy"]),
    "cosine_similarity": (None, "real", ["mae"]),
    "mean_absolute_percentage_error": (None, "away from zero", ["mae"]),
}


def generator(*key):
    """A generator of the run's seed and the case's own key; the seed is printed, and shown when a test fails."""
    print(f"case {key}; repeat with FASTRNN_PARITY_SEED={SEED}")
    return np.random.default_rng([SEED, *key])


def pick(rng, values):
    return values[int(rng.integers(len(values)))]


def recurrent(rng, sequences):
    """(class, arguments) of a random recurrent layer."""
    cls = pick(rng, ["SimpleRNN", "LSTM", "GRU"])
    options = {"units": int(rng.integers(1, 20)), "return_sequences": sequences, "activation": pick(rng, ACTIVATIONS),
               "use_bias": bool(rng.random() < 0.8), "go_backwards": bool(rng.random() < 0.2)}  # fmt: skip
    if cls != "SimpleRNN":
        options["recurrent_activation"] = pick(rng, ["sigmoid", "sigmoid", "hard_sigmoid"])
    if cls == "GRU":
        options["reset_after"] = bool(rng.random() < 0.5)
    return cls, options


def stack(rng, outputs=3, last=None, max_steps=7):
    """((input shape, integer ids or None), [layer configurations]) of a random small recurrent model."""
    steps = int(rng.integers(1, max_steps))
    layers, ids = [], None
    if rng.random() < 0.4:
        ids = int(rng.integers(3, 30))
        shape = (steps,)
        layers.append(("Embedding", {"input_dim": ids, "output_dim": int(rng.integers(1, 9)),
                                     "mask_zero": bool(rng.random() < 0.5)}))  # fmt: skip
    else:
        shape = (steps, int(rng.integers(1, 9)))
        if rng.random() < 0.3:
            layers.append(("Dense", {"units": int(rng.integers(1, 9)), "activation": pick(rng, ACTIVATIONS)}))
    depth = int(rng.integers(1, 4))
    for level in range(depth):
        sequences = level < depth - 1
        layer = recurrent(rng, sequences)
        if rng.random() < 0.3:
            layer = ("Bidirectional", {"merge_mode": pick(rng, ["concat", "sum", "ave", "mul"])}, layer)
            layer[2][1]["go_backwards"] = False
        layers.append(layer)
    if rng.random() < 0.5:
        layers.append(("Dense", {"units": int(rng.integers(1, 20)), "activation": pick(rng, ACTIVATIONS)}))
    layers.append(("Dense", {"units": outputs, "activation": last}))
    return (shape, ids), layers


def build(library, config):
    """The Sequential of a configuration."""
    (shape, _), layers = config

    def layer(name, options, inner=None):
        arguments = [layer(*inner)] if inner else []
        return getattr(library.layers, name)(*arguments, **options)

    return library.Sequential([library.Input(shape), *(layer(*entry) for entry in layers)])


def pair(K, keras, config, rng):
    """The model in both libraries with the same weights: Keras's own, made a little irregular."""
    theirs = build(keras, config)
    theirs.set_weights([w + rng.normal(0, 0.1, w.shape).astype(w.dtype) for w in theirs.get_weights()])
    ours = build(K, config)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    ours.set_weights(theirs.get_weights())
    assert ours.count_params() == theirs.count_params() and ours.output_shape == theirs.output_shape
    return ours, theirs


def inputs(rng, config, count):
    """Samples of a configuration; ids hold zeros (masked where the Embedding masks), but no row of zeros only."""
    (shape, ids), _ = config
    if ids is None:
        return rng.normal(size=(count, *shape)).astype(np.float32)
    x = rng.integers(0, ids, size=(count, *shape))
    x[:, 0] = np.maximum(x[:, 0], 1)
    return x


def targets(rng, kind, count, outputs):
    classes = rng.integers(0, outputs, size=count)
    return {
        "real": rng.normal(size=(count, outputs)),
        "positive": rng.uniform(0.1, 3, size=(count, outputs)),
        "binary": rng.integers(0, 2, size=(count, outputs)),
        "sign": rng.choice([-1.0, 1.0], size=(count, outputs)),
        "one-hot": np.eye(outputs)[classes],
        "class": classes,
        "away from zero": rng.choice([-1, 1], size=(count, outputs)) * rng.uniform(0.5, 2, size=(count, outputs)),
    }[kind]
