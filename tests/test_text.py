"""Tokenizer and the other functions of Keras 2 on texts and sequences of words, against Keras's own."""

import json
import random

import numpy as np
import pytest

from fastrnn.preprocessing import sequence, text

TEXTS = [
    "The cat sat on the mat.", "The dog, the DOG; and the cat!", "", "a\tb\nc  d", "Ärger über Öl -- naïve café", "x_y [z] {w} ~q",
    "the", ["Pre", "split", "the", "Words words"], "one two three four five six seven eight nine ten the",
]  # fmt: skip
OPTIONS = [
    {}, {"num_words": 5}, {"oov_token": "<OOV>"}, {"num_words": 4, "oov_token": "<OOV>"}, {"lower": False}, {"filters": "", "split": " "},
    {"filters": "aeiou", "split": ","}, {"char_level": True}, {"char_level": True, "lower": False, "num_words": 9, "oov_token": "#"},
    {"num_words": 1}, {"num_words": 1000}, {"analyzer": lambda t: t.split("t")}, {"oov_token": "the"},
]  # fmt: skip


def legacy(name):
    pytest.importorskip("keras")
    import importlib

    return importlib.import_module(f"keras.src.legacy.preprocessing.{name}")


@pytest.mark.parity
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_tokenizer(options):
    theirs, ours = legacy("text").Tokenizer(**options), text.Tokenizer(**options)
    for part in (TEXTS[:4], TEXTS[4:-1]):
        theirs.fit_on_texts(part)
        ours.fit_on_texts(part)
    for name in ("word_index", "index_word", "word_counts", "word_docs", "index_docs", "document_count"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert list(ours.word_index) == list(theirs.word_index)
    assert list(ours.word_counts) == list(theirs.word_counts)
    sequences = theirs.texts_to_sequences(TEXTS)
    assert ours.texts_to_sequences(TEXTS) == sequences
    assert list(ours.texts_to_sequences_generator(iter(TEXTS))) == sequences
    numbers = [*sequences, [0, 1, 2, 3, 500], []]
    assert ours.sequences_to_texts(numbers) == theirs.sequences_to_texts(numbers)
    for mode in ("binary", "count", "freq", "tfidf"):
        np.testing.assert_allclose(ours.texts_to_matrix(TEXTS, mode), theirs.texts_to_matrix(TEXTS, mode), rtol=1e-12)
        np.testing.assert_allclose(ours.sequences_to_matrix(numbers, mode), theirs.sequences_to_matrix(numbers, mode), rtol=1e-12)
    ours.fit_on_sequences([[1, 2, 2], [2]])
    theirs.fit_on_sequences([[1, 2, 2], [2]])
    assert ours.index_docs == theirs.index_docs and ours.document_count == theirs.document_count


@pytest.mark.parity
@pytest.mark.parametrize("options", [o for o in OPTIONS if "analyzer" not in o], ids=str)
def test_tokenizer_json(options):
    """Either reads what the other writes, and the configurations are equal."""
    theirs, ours = legacy("text").Tokenizer(**options), text.Tokenizer(**options)
    for tokenizer in (theirs, ours):
        tokenizer.fit_on_texts(TEXTS)
    configs = [{k: json.loads(v) if k.startswith(("word_", "index_")) else v for k, v in t.get_config().items()} for t in (ours, theirs)]
    assert configs[0] == configs[1]
    for other in (text.tokenizer_from_json(theirs.to_json()), legacy("text").tokenizer_from_json(ours.to_json(indent=1)),
                  text.tokenizer_from_json(ours.to_json())):  # fmt: skip
        assert other.texts_to_sequences(TEXTS) == ours.texts_to_sequences(TEXTS)
        assert (other.texts_to_matrix(TEXTS, "tfidf") == ours.texts_to_matrix(TEXTS, "tfidf")).all()
    text.tokenizer_from_json(theirs.to_json()).fit_on_texts(["one more text"])


@pytest.mark.parity
def test_words_and_hashes():
    theirs = legacy("text")
    for t in TEXTS[:7]:
        for options in ({}, {"lower": False}, {"filters": "t", "split": "x"}, {"split": "the"}):
            assert text.text_to_word_sequence(t, **options) == theirs.text_to_word_sequence(t, **options)
            assert text.one_hot(t, 20, **options) == theirs.one_hot(t, 20, **options)
            for function in (None, "md5", len):
                assert text.hashing_trick(t, 20, function, **options) == theirs.hashing_trick(t, 20, function, **options)
        assert text.one_hot(t, 20, analyzer=list) == theirs.one_hot(t, 20, analyzer=list)


def test_tokenizer_errors():
    tokenizer = text.Tokenizer()
    with pytest.raises(ValueError, match="Specify a dimension"):
        tokenizer.sequences_to_matrix([[1]])
    with pytest.raises(ValueError, match="before using tfidf mode"):
        text.Tokenizer(num_words=3).sequences_to_matrix([[1]], "tfidf")
    with pytest.raises(ValueError, match="Unknown vectorization mode: tf"):
        text.Tokenizer(num_words=3).sequences_to_matrix([[1]], "tf")
    with pytest.raises(TypeError, match="Unrecognized keyword arguments: {'words': 3}"):
        text.Tokenizer(words=3)
    with pytest.warns(UserWarning, match="renamed `num_words`"):
        assert text.Tokenizer(nb_words=3).num_words == 3


GENERATORS = [
    {"length": 3}, {"length": 4, "sampling_rate": 2, "batch_size": 5}, {"length": 3, "stride": 3, "batch_size": 2},
    {"length": 5, "start_index": 4, "end_index": 17, "reverse": True, "batch_size": 3}, {"length": 19},
    {"length": 3, "shuffle": True, "batch_size": 4},
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("options", GENERATORS, ids=str)
@pytest.mark.parametrize("kind", [np.asarray, list])
def test_timeseries_generator(options, kind):
    data, targets = kind(np.random.default_rng(0).normal(size=(20, 2))), kind(np.arange(20))
    results = []
    for cls in (sequence.TimeseriesGenerator, legacy("sequence").TimeseriesGenerator):
        np.random.seed(3)
        generator = cls(data, targets, **options)
        results.append([len(generator), *(generator[k] for k in range(len(generator)))])
    assert results[0][0] == results[1][0]
    for (a, b), (c, d) in zip(results[0][1:], results[1][1:], strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)


def test_timeseries_generator_as_json():
    generator = sequence.TimeseriesGenerator(np.arange(9.0), list(range(9)), 3, start_index=1, workers=2)
    config = json.loads(generator.to_json())
    assert config["class_name"] == "TimeseriesGenerator"
    assert json.loads(config["config"].pop("data")) == list(range(9))
    assert json.loads(config["config"].pop("targets")) == list(range(9))
    assert config["config"] == {"length": 3, "sampling_rate": 1, "stride": 1, "start_index": 4, "end_index": 8, "shuffle": False,
                                "reverse": False, "batch_size": 128}  # fmt: skip
    with pytest.raises(TypeError, match="Data not JSON Serializable"):
        sequence.TimeseriesGenerator([object()] * 5, np.arange(5), 2).to_json()


def test_timeseries_generator_trains(K):
    series = np.sin(np.arange(60.0))[:, None]
    generator = sequence.TimeseriesGenerator(series, series, 8, batch_size=16)
    model = K.Sequential([K.Input((8, 1)), K.layers.LSTM(4), K.layers.Dense(1)])
    model.compile("adam", "mse")
    history = model.fit(generator, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert model.predict(generator, verbose=0).shape == (52, 1)


@pytest.mark.parametrize(("arguments", "message"), [
    ((range(4), range(5), 2), "Data length is 4 while target length is 5"),
    ((range(4), range(4), 4), "start_index\\+length=4 > end_index=3"),
])  # fmt: skip
def test_timeseries_generator_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        sequence.TimeseriesGenerator(*arguments)


@pytest.mark.parity
@pytest.mark.parametrize("options", [
    {}, {"window_size": 1, "negative_samples": 0}, {"negative_samples": 2.5, "categorical": True}, {"shuffle": False}, {"seed": 4},
    {"sampling_table": np.linspace(0, 1, 12)},
], ids=str)  # fmt: skip
def test_skipgrams(options):
    words = [3, 0, 5, 11, 2, 2, 7, 0, 1]
    results = []
    for function in (sequence.skipgrams, legacy("sequence").skipgrams):
        random.seed(8)
        results.append(function(words, 12, **options))
    assert results[0] == results[1]


def test_skipgrams_of_nothing():
    assert sequence.skipgrams([], 5) == ([], [])
    assert sequence.skipgrams([0, 0], 5) == ([], [])


@pytest.mark.parity
def test_sampling_table():
    np.testing.assert_allclose(sequence.make_sampling_table(1000), legacy("sequence").make_sampling_table(1000), rtol=1e-12)
    np.testing.assert_allclose(sequence.make_sampling_table(9, 0.1), legacy("sequence").make_sampling_table(9, 0.1), rtol=1e-12)
