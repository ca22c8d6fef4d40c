"""`Sequential.summary` against real Keras's, character by character."""

import io
import sys

import numpy as np
import pytest

OPTIONS = [
    {}, {"expand_nested": True}, {"expand_nested": True, "show_trainable": True},
    {"line_length": 60}, {"line_length": 33}, {"line_length": 20}, {"positions": [0.3, 0.6, 1.0]}, {"show_trainable": True},
    {"show_trainable": True, "line_length": 71}, {"layer_range": ("l", "d")}, {"layer_range": ("dense", "e")},
    {"layer_range": ("x", "d")}, {"layer_range": ("x",)}, {"layer_range": (1, 2)},
]  # fmt: skip


def stack(K):
    L = K.layers
    bidirectional = L.Bidirectional(L.LSTM(32, return_sequences=True), name="a_very_long_layer_name_for_the_table")
    return K.Sequential([K.Input((None, 12)), bidirectional, L.LSTM(3), L.Dense(3, trainable=False)])


def nested(K):
    """Models in models, with an input shape of their own and without."""
    L = K.layers
    first = K.Sequential([K.Input((None, 4)), L.LSTM(6, return_sequences=True), L.GRU(3, return_sequences=True)], name="first")
    second = K.Sequential([L.TimeDistributed(L.Dense(7)), K.Sequential([L.LSTM(3)])])
    return K.Sequential([K.Input((5, 4)), first, second, L.Dense(2, trainable=False)])


MODELS = {
    "stack": stack,
    "embedding": lambda K: K.Sequential(
        [K.Input(batch_shape=(2, 3)), K.layers.Embedding(1000, 200), K.layers.Dropout(0.1), K.layers.GRU(70), K.layers.Dense(5)]
    ),
    "images": lambda K: K.Sequential([K.Input((8, 8, 1)), K.layers.Conv2D(3, 3), K.layers.Flatten(), K.layers.Dense(5)]),
    "states": lambda K: K.Sequential([K.Input((3, 4)), K.layers.LSTM(3, return_state=True)]),
    "nested": nested,
    "nested, not built": lambda K: K.Sequential([K.Sequential([K.layers.LSTM(3)]), K.layers.Dense(2)]),
    "not built": lambda K: K.Sequential([K.layers.LSTM(3), K.layers.Dense(2)]),
    "empty": lambda K: K.Sequential(),
}


def printed(library, build, **options):
    """What `print_fn` gets, or the error."""
    library.utils.clear_session()
    out = []
    try:
        build(library).summary(print_fn=out.append, **options)
    except ValueError as error:
        return str(error)
    assert len(out) == 1
    return out[0]


@pytest.mark.parity
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_as_keras(K, name, options):
    keras = pytest.importorskip("keras")
    assert printed(K, MODELS[name], **options) == printed(keras, MODELS[name], **options)


@pytest.mark.parity
@pytest.mark.parametrize("options", [{}, {"use_ema": True}, {"gradient_accumulation_steps": 2}, {"schedule": True}], ids=str)
@pytest.mark.parametrize("optimizer", ["SGD", "RMSprop", "Adam", "Nadam", "Lion", "Ftrl"])
def test_parameters_of_the_optimizer(K, optimizer, options):
    keras = pytest.importorskip("keras")

    def trained(library):
        arguments = {k: v for k, v in options.items() if k != "schedule"}
        if "schedule" in options:
            arguments["learning_rate"] = library.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
        model = stack(library)
        model.compile(getattr(library.optimizers, optimizer)(**arguments), "mse")
        before = []
        model.summary(print_fn=before.append)
        assert "Optimizer" not in before[0]
        model.fit(np.zeros((2, 3, 12)), np.zeros((2, 3)), verbose=0)
        return model

    text = printed(K, trained)
    assert "Optimizer params" in text and text == printed(keras, trained)


def test_goes_to_standard_output(K, capsys):
    stack(K).summary()
    printed = capsys.readouterr().out
    assert "┃ Layer (type)" in printed and printed.endswith(" Non-trainable params: 12 (48.00 B)\n")


@pytest.mark.fastrnn_only
def test_an_output_without_box_characters(K, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    stack(K).summary()
    sys.stdout.flush()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert lines[1].startswith("+----") and lines[2].startswith("| Layer (type)") and lines[3].startswith("+----")
    assert len({len(line) for line in lines[1:-3]}) == 1
