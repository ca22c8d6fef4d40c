"""Pictures of trainings and models: what they show, not how they look."""

import re
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.fastrnn_only


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def model(K):
    return K.Sequential([K.Input((5, 2)), K.layers.GRU(7, name="memory"), K.layers.Dense(1, trainable=False)])


def curves(figure):
    """{(title, label): (epochs, values)} of all lines."""
    return {(field.get_title(), line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
            for field in figure.axes for line in field.get_lines()}


def test_history_of_a_fit(K, pyplot, tmp_path):
    made = model(K)
    made.compile("adam", "mse", metrics=["mae"])
    history = made.fit(np.ones((8, 5, 2)), np.ones(8), epochs=6, initial_epoch=2, verbose=0, validation_split=0.25, validation_freq=2)
    figure = K.utils.plot_history(history, to_file=tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert curves(figure) == {
        ("loss", "training"): ([3, 4, 5, 6], history.history["loss"]), ("loss", "validation"): ([4, 6], history.history["val_loss"]),
        ("mae", "training"): ([3, 4, 5, 6], history.history["mae"]), ("mae", "validation"): ([4, 6], history.history["val_mae"]),
    }


def test_history_of_a_dict_and_of_several_fits(K, pyplot):
    lists = {"loss": [3.0, 2.0], "val_loss": [4.0, 3.0], "acc": [0.0, 1.0]}
    drawn = curves(K.utils.plot_history(lists, metrics="loss"))
    assert {key[0] for key in drawn} == {"loss"} and drawn["loss", "validation"] == ([1, 2], [4.0, 3.0])
    history = K.callbacks.History()
    history.history, history.epoch = lists, [0]  # as after two fits of one epoch
    assert curves(K.utils.plot_history(history))["loss", "training"][0] == [1, 2]


def test_history_wants_something_to_draw(K, pyplot):
    with pytest.raises(ValueError, match="`history` is empty"):
        K.utils.plot_history({})
    with pytest.raises(ValueError, match=r"`metrics` must be names out of \['loss'\]. Received: metrics='acc'"):
        K.utils.plot_history({"loss": [1.0]}, metrics="acc")
    with pytest.raises(ValueError, match="must be what `fit` returned"):
        K.utils.plot_history([1.0])


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_model_as_picture(K, pyplot, tmp_path, rankdir):
    figure = K.utils.plot_model(
        model(K), tmp_path / "model.svg", show_shapes=True, show_layer_names=True, rankdir=rankdir, show_layer_activations=True,
        show_trainable=True, show_dtype=True,
    )
    assert "<svg" in (tmp_path / "model.svg").read_text()
    boxes = [text for text in figure.axes[0].texts if text.get_text()]
    assert [box.get_text().split("\n") for box in boxes] == [
        ["memory (GRU)", "Activation: tanh", "Input shape: (None, 5, 2), Output shape: (None, 7)", "Output dtype: float32", "Trainable"],
        ["dense (Dense)", "Activation: linear", "Input shape: (None, 7), Output shape: (None, 1)", "Output dtype: float32",
         "Non-trainable"],
    ]  # fmt: skip
    places = np.array([box.get_position() for box in boxes])
    assert np.argmax(np.ptp(places, axis=0)) == (0 if rankdir == "LR" else 1)
    figure.canvas.draw()
    for box in boxes:  # everything lies within the picture
        extent = box.get_bbox_patch().get_window_extent()
        assert extent.x0 >= 0 and extent.y0 >= 0 and extent.x1 <= figure.bbox.x1 and extent.y1 <= figure.bbox.y1


def test_model_as_text(K, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # not needed for text
    assert K.utils.plot_model(model(K), tmp_path / "model.dot", show_shapes=True) is None
    text = (tmp_path / "model.dot").read_text()
    assert re.findall(r"(\d) -> (\d)", text) == [("0", "1")]
    assert '[label="Dense\\nInput shape: (None, 7), Output shape: (None, 1)"]' in text


def test_nested_models(K):
    nested = K.Sequential([K.Input((5, 2)), K.Sequential([K.layers.LSTM(3), K.layers.Dense(2)], name="inner"), K.layers.Dense(1)])
    assert re.findall(r'label="(.*?)"', K.utils.model_to_dot(nested)) == ["inner (Sequential)", "dense_1 (Dense)"]
    labels = re.findall(r'label="(.*?)"', K.utils.model_to_dot(nested, expand_nested=True, show_shapes=True))
    assert [label.split("\\n")[0] for label in labels] == ["lstm (LSTM)", "dense (Dense)", "dense_1 (Dense)"]
    assert labels[1].endswith("Input shape: (None, 3), Output shape: (None, 2)")


def test_wrong_arguments(K):
    with pytest.raises(ValueError, match="This model has not yet been built"):
        K.utils.model_to_dot(K.Sequential([K.layers.LSTM(3)]))
    with pytest.raises(ValueError, match="`rankdir` must be 'TB' or 'LR'"):
        K.utils.model_to_dot(model(K), rankdir="up")


@pytest.mark.parametrize("function", ["plot_history", "plot_model"])
def test_missing_matplotlib_is_said(K, monkeypatch, tmp_path, function):
    for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    arguments = (model(K), tmp_path / "model.png") if function == "plot_model" else ({"loss": [1.0]},)
    with pytest.raises(ImportError, match=rf"`{function}` draws with matplotlib.*pip install 'fastrnn\[plot\]'"):
        getattr(K.utils, function)(*arguments)
