"""`pad_sequences`: against real Keras, and its corner cases."""

import numpy as np
import pytest

import fastrnn.utils
from fastrnn.preprocessing import sequence
from fastrnn.preprocessing.sequence import pad_sequences


def random_case(rng):
    element_shape = [(), (), (3,), (2, 2)][rng.integers(4)]
    lengths = rng.integers(0, 9, size=rng.integers(1, 7))
    sequences = [rng.integers(-50, 50, size=(n, *element_shape)) for n in lengths]
    form = rng.integers(3)
    if form == 0:
        sequences = [s.tolist() for s in sequences]
    elif form == 1:
        array = np.empty(len(sequences), dtype=object)
        for i, s in enumerate(sequences):
            array[i] = s.tolist()
        sequences = array
    arguments = {
        "maxlen": [None, 1, 3, 5, 12][rng.integers(5)],
        "padding": ["pre", "post"][rng.integers(2)],
        "truncating": ["pre", "post"][rng.integers(2)],
        "value": [0.0, 7, -1.0][rng.integers(3)],
        "dtype": ["int32", "int64", "float32", np.float64, object][rng.integers(5)],
    }
    return sequences, arguments


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(300))
def test_parity(seed):
    keras = pytest.importorskip("keras")
    sequences, arguments = random_case(np.random.default_rng(seed))
    expected = keras.preprocessing.sequence.pad_sequences(sequences, **arguments)
    actual = pad_sequences(sequences, **arguments)
    assert actual.dtype == expected.dtype
    assert actual.tolist() == expected.tolist()
    assert actual.shape == expected.shape


@pytest.mark.parity
@pytest.mark.parametrize(
    ("sequences", "arguments"),
    [
        (5, {}),
        ([1, 2], {}),
        ([[1], 3.5], {}),
        ([[1], [2, 3]], {"padding": "left"}),
        ([[1], [2, 3]], {"truncating": None}),
        ([[1], [2, 3]], {"value": "x"}),
        ([[[1, 2]], [[3]]], {}),
    ],
    ids=str,
)
def test_parity_errors(sequences, arguments):
    keras = pytest.importorskip("keras")
    with pytest.raises(ValueError) as expected:
        keras.preprocessing.sequence.pad_sequences(sequences, **arguments)
    with pytest.raises(ValueError) as actual:
        pad_sequences(sequences, **arguments)
    assert str(actual.value) == str(expected.value)


def test_defaults():
    padded = pad_sequences([[1], [], [2, 3, 4], [5, 6]], maxlen=2)
    assert padded.dtype == np.int32
    assert padded.tolist() == [[0, 1], [0, 0], [3, 4], [5, 6]]
    assert padded.flags.c_contiguous


def test_padding_and_truncating_are_independent():
    sequences = [[1], [2, 3, 4]]
    assert pad_sequences(sequences, 2, padding="pre", truncating="post").tolist() == [[0, 1], [2, 3]]
    assert pad_sequences(sequences, 2, padding="post", truncating="pre").tolist() == [[1, 0], [3, 4]]


def test_object_array_of_lists_as_from_imdb():
    reviews = np.array([[1, 14, 22], [1, 194]], dtype=object)
    assert pad_sequences(reviews, maxlen=4).tolist() == [[0, 1, 14, 22], [0, 0, 1, 194]]
    assert reviews[1] == [1, 194]


def test_floats_are_truncated_to_int32_unless_asked_otherwise():
    assert pad_sequences([[1.7, -2.7]]).tolist() == [[1, -2]]
    assert pad_sequences([[1.5]], dtype="float32").tolist() == [[1.5]]


def test_strings():
    padded = pad_sequences([["a"], ["bcd", "e"]], dtype=object, value="-")
    assert padded.tolist() == [["-", "a"], ["bcd", "e"]]


@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_length_zero(truncating):
    assert pad_sequences([[1, 2], []], maxlen=0, truncating=truncating).shape == (2, 0)


def test_no_sequences():
    assert pad_sequences([], maxlen=3).shape == (0, 3)
    with pytest.raises(ValueError, match="`sequences` is empty: `maxlen` must be given"):
        pad_sequences([])


def test_numbers_beyond_the_dtype():
    with pytest.raises(OverflowError):
        pad_sequences([[2**40]])


def test_input_is_not_changed():
    row = np.arange(3)
    padded = pad_sequences([row, row])
    padded[:] = 9
    assert row.tolist() == [0, 1, 2]


def test_all_the_places_it_is_exported():
    assert fastrnn.utils.pad_sequences is sequence.pad_sequences is pad_sequences
