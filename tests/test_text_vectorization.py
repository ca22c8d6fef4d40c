"""TextVectorization against Keras's (which needs TensorFlow), and against its documentation."""

import numpy as np
import pytest

DATA = ["Ärger ÜBER Foo bar\u00a0x", "bar baz's", "baz bada\x1cboom  a\vb", "", "the the the, The!", "foo [UNK] foo", "日本 語"]
OPTIONS = [
    {}, {"output_mode": "multi_hot"}, {"output_mode": "count", "ngrams": 2}, {"output_mode": "tf_idf"},
    {"output_mode": "tf-idf", "ngrams": 3},
    {"output_mode": "binary", "max_tokens": 4}, {"max_tokens": 5}, {"output_mode": "count", "max_tokens": 40, "pad_to_max_tokens": True},
    {"output_mode": "tf_idf", "max_tokens": 40, "pad_to_max_tokens": True}, {"split": "character"}, {"standardize": None},
    {"standardize": "lower", "output_sequence_length": 3}, {"standardize": "strip_punctuation"}, {"ngrams": (2,)},
    {"ngrams": (3, 1), "output_sequence_length": 4}, {"output_sequence_length": 0}, {"standardize": np.char.upper},
    {"split": None}, {"split": None, "output_mode": "multi_hot"}, {"split": None, "ngrams": 2},
    {"split": None, "output_sequence_length": 2}, {"split": None, "output_mode": "tf_idf"}, {"split": None, "output_mode": "one_hot"},
]  # fmt: skip
CALLS = [
    ["foo bar nope", "", "THE the"], [["foo"], ["bar baz b"]], "foo the foo", np.array([b"foo", b"x y"]), np.array(["foo", None, "a"])[::2],
    [["foo", "the"], ["a", ""]], ["only"], [["日本"]],
]  # fmt: skip


def result(function):
    """What a call gives, or the type of its error."""
    try:
        value = function()
    except Exception as error:
        return type(error)
    return value if isinstance(value, dict | list) else np.asarray(value)


def same(ours, theirs):
    if isinstance(theirs, type):
        assert ours is not None and isinstance(ours, type), f"an error was expected: {theirs}"
        return
    assert not isinstance(ours, type), ours
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.fixture
def keras():
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


@pytest.mark.parity
@pytest.mark.parametrize("how", ["list", "array", "batches", "vocabulary"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_calls(K, keras, options, how):
    layers = []
    for L in (K, keras):
        extra = {}
        if how == "vocabulary":
            extra = {"vocabulary": ["foo", "the", "a"]}
            if "tf" in options.get("output_mode", ""):
                extra["idf_weights"] = [1.0, 0.5, 4.0]
        layers.append(layer := L.layers.TextVectorization(**options, **extra))
        if how == "batches":
            layer.adapt(iter([DATA[:3], DATA[3:5], DATA[5:]]), steps=2)
        elif how != "vocabulary":
            layer.adapt(np.array(DATA) if how == "array" else DATA)
    ours, theirs = layers
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    assert ours.get_vocabulary(include_special_tokens=False) == theirs.get_vocabulary(include_special_tokens=False)
    assert ours.vocabulary_size() == theirs.vocabulary_size()
    for inputs in CALLS:
        if isinstance(inputs, str) and "split" in options and "output_mode" not in options:
            continue  # a single text that is not split: Keras mostly fails
        same(result(lambda: ours(inputs)), result(lambda: theirs(inputs)))  # noqa: B023
    for shape in ((None,), (None, 1)):
        assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)


@pytest.mark.parity
@pytest.mark.parametrize("options", [o for o in OPTIONS if not callable(o.get("standardize"))], ids=str)
def test_config(K, keras, options):
    configs = [L.layers.TextVectorization(**options, name="texts").get_config() for L in (K, keras)]
    for config in configs:
        config.pop("dtype")
    assert configs[0] == configs[1]
    again = K.layers.TextVectorization.from_config(K.layers.TextVectorization(**options).get_config())
    assert again.get_config() == K.layers.TextVectorization.from_config(again.get_config()).get_config()


ERRORS = [
    {"vocabulary": ["a", "b", "a"]}, {"vocabulary": []}, {"vocabulary": ["a", ""]}, {"vocabulary": ["a", "b"], "max_tokens": 3},
    {"vocabulary": ["a"], "output_mode": "tf_idf"}, {"vocabulary": ["a", "b"], "output_mode": "tf_idf", "idf_weights": [1.0]},
    {"max_tokens": 1}, {"pad_to_max_tokens": True}, {"standardize": "x"}, {"split": "x"}, {"output_mode": "x"}, {"ngrams": "x"},
    {"output_sequence_length": "x"}, {"output_sequence_length": 3, "output_mode": "count"}, {"ragged": True}, {"sparse": True},
    {"vocabulary": "/no/such/file"}, {"idf_weights": [1.0]}, {"foo": 3},
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("options", ERRORS, ids=str)
def test_errors(K, keras, options):
    messages = []
    for L in (K, keras):
        with pytest.raises(ValueError) as error:
            L.layers.TextVectorization(**options)
        messages.append(str(error.value).replace("np.str_('a')", "'a'").replace("index [1]", "index 1"))
    assert messages[0] == messages[1]


@pytest.mark.fastrnn_only
class TestByTheDocumentation:
    def test_vocabulary(self, K):
        layer = K.layers.TextVectorization(max_tokens=5000, output_sequence_length=4, vocabulary=["earth", "wind", "and", "fire"])
        assert layer.get_vocabulary() == ["", "[UNK]", "earth", "wind", "and", "fire"]
        assert layer([["Earth, fire; rain"], [""]]).tolist() == [[2, 5, 1, 0], [0, 0, 0, 0]]
        again = K.layers.TextVectorization(vocabulary=layer.get_vocabulary())
        assert again.get_vocabulary() == layer.get_vocabulary()

    def test_order_of_the_vocabulary(self, K):
        layer = K.layers.TextVectorization(max_tokens=5, standardize=None)
        layer.adapt(["b a c c", "d c A", "a"])
        assert layer.get_vocabulary() == ["", "[UNK]", "c", "a", "d"]

    def test_vectors(self, K):
        for mode, expected in (("count", [1, 2, 1]), ("multi_hot", [1, 1, 1])):
            layer = K.layers.TextVectorization(vocabulary=["x", "y"], output_mode=mode)
            assert layer(["x y x z"]).tolist() == [expected]
        layer = K.layers.TextVectorization(output_mode="tf_idf")
        layer.adapt(["x x y", "x"])
        assert layer.get_vocabulary() == ["[UNK]", "x", "y"]
        x, y = np.log(1 + 2 / 3), np.log(1 + 2 / 2)
        np.testing.assert_allclose(layer(["x x y z"]), [[(x + y) / 2, 2 * x, y]], rtol=1e-6)

    def test_file(self, K, tmp_path):
        path = tmp_path / "words.txt"
        path.write_text("über\nfoo\n", encoding="utf-8")
        layer = K.layers.TextVectorization(vocabulary=str(path))
        assert layer(["foo über bar"]).tolist() == [[3, 2, 1]] and layer.get_config()["vocabulary"] is None

    def test_functions(self, K):
        layer = K.layers.TextVectorization(standardize=np.char.upper, split=lambda texts: [text.split("_") for text in texts])
        layer.adapt(["a_b", "b_c_B"])
        assert layer.get_vocabulary() == ["", "[UNK]", "B", "C", "A"]

    def test_states(self, K):
        layer = K.layers.TextVectorization()
        with pytest.raises(RuntimeError, match="must set the layer's vocabulary"):
            layer(["a"])
        layer.adapt(["a"])
        layer.adapt(["b c"])
        assert layer.get_vocabulary() == ["", "[UNK]", "c", "b"]
        layer = K.layers.TextVectorization(output_mode="count")
        layer.adapt(["a"])
        with pytest.raises(RuntimeError, match="Old vocab size is 2, new vocab size is 3"):
            layer.adapt(["b c"])
        assert layer.get_vocabulary() == ["[UNK]", "a"]
        with pytest.raises(ValueError, match="after setting a static vocabulary"):
            K.layers.TextVectorization(vocabulary=["a"]).adapt(["b"])

    def test_wrong_texts(self, K):
        layer = K.layers.TextVectorization(vocabulary=["a"])
        for wrong in ([1, 2], None, ["a", 3], [["a"], ["b", "c"]]):
            with pytest.raises(ValueError, match="expected texts"):
                layer(wrong)

    def test_is_no_layer_of_a_model(self, K):
        with pytest.raises(ValueError, match="Map the texts first"):
            K.Sequential([K.layers.TextVectorization(), K.layers.Embedding(3, 2)])

    def test_with_a_model(self, K):
        texts, labels = ["good fine", "bad", "fine fine", "bad awful", "good"] * 4, np.array([1, 0, 1, 0, 1] * 4)
        layer = K.layers.TextVectorization(output_sequence_length=4)
        layer.adapt(texts)
        size = layer.vocabulary_size()
        model = K.Sequential([K.Input((4,)), K.layers.Embedding(size, 4), K.layers.LSTM(4), K.layers.Dense(1, "sigmoid")])
        model.compile(K.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
        history = model.fit(layer(texts), labels, epochs=15, verbose=0)
        assert history.history["accuracy"][-1] == 1.0
