"""`fastrnn.utils`: one-hot rows, norms, seeds, and files from the internet (no test touches the network)."""

import hashlib
import io
import os
import random as python_random
import urllib.error
from email.message import Message

import numpy as np
import pytest

from fastrnn import random, utils

URL = "https://example.org/data/words.txt"
CONTENT = b"word " * 50_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(40))
def test_parity_to_categorical(seed):
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(seed)
    shape = [(5,), (4, 1), (2, 3), (2, 3, 1), (1,), ()][seed % 6]
    x = rng.integers(0, 4, size=shape)
    if seed % 4 == 1:
        x = x.astype(float) + 0.5
    if seed % 4 == 2:
        x = x.tolist()
    num_classes = [None, 4, 9][seed % 3]
    expected = keras.utils.to_categorical(x, num_classes)
    actual = utils.to_categorical(x, num_classes)
    np.testing.assert_array_equal(actual, expected, strict=True)
    assert actual.sum() == max(1, np.prod(shape))


def test_to_categorical_dtype():
    assert utils.to_categorical([1, 0], dtype="float32").tolist() == [[0, 1], [1, 0]]
    assert utils.to_categorical([1, 0], dtype="float32").dtype == np.float32


@pytest.mark.parametrize("x", [[0, 3], [-1, 0], [[7]]], ids=str)
def test_classes_out_of_range(x):
    with pytest.raises(ValueError, match=r"Expected classes from 0 to 2 \(`num_classes`=3\). Received: `x`"):
        utils.to_categorical(x, 3)


def test_no_classes():
    assert utils.to_categorical([], 3).shape == (0, 3)
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        utils.to_categorical([])


@pytest.mark.parity
@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("axis", [-1, 1])
def test_parity_normalize(order, axis):
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).normal(size=(5, 7))
    x[2] = 0
    actual = utils.normalize(x, axis, order)
    np.testing.assert_allclose(actual, keras.utils.normalize(x, axis, order), rtol=1e-14)
    assert not actual[2].any()
    assert actual[0].any()


def test_normalize_columns():
    x = np.array([[3.0, 1.0, 0.0], [4.0, 1.0, 0.0]])
    np.testing.assert_allclose(utils.normalize(x, axis=0), [[0.6, 0.5**0.5, 0], [0.8, 0.5**0.5, 0]])
    assert utils.normalize([3, 4]).tolist() == [0.6, 0.8]


def test_set_random_seed():
    def draw():
        return python_random.random(), np.random.rand(), random.normal((3,)).tolist()

    utils.set_random_seed(7)
    first, second = draw(), draw()
    assert all(a != b for a, b in zip(first, second))
    utils.set_random_seed(7)
    assert draw() == first
    utils.set_random_seed(8)
    assert all(a != b for a, b in zip(first, draw()))
    utils.set_random_seed(np.int64(7))
    assert draw() == first


@pytest.mark.parity
def test_parity_set_random_seed_leaves_the_same_numpy_state():
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(3)
    expected = np.random.rand(4).tolist(), python_random.random()
    utils.set_random_seed(3)
    assert (np.random.rand(4).tolist(), python_random.random()) == expected


@pytest.mark.parity
@pytest.mark.parametrize("seed", [1.0, "1", None], ids=str)
def test_parity_bad_seed(seed):
    keras = pytest.importorskip("keras")
    with pytest.raises(ValueError) as expected:
        keras.utils.set_random_seed(seed)
    with pytest.raises(ValueError) as actual:
        utils.set_random_seed(seed)
    assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_bad_seed_changes_nothing(seed):
    utils.set_random_seed(1)
    expected = python_random.random(), np.random.rand(), random.normal((2,)).tolist()
    utils.set_random_seed(1)
    with pytest.raises(ValueError, match="between 0 and"):
        utils.set_random_seed(seed)
    assert (python_random.random(), np.random.rand(), random.normal((2,)).tolist()) == expected


class Response(io.BytesIO):
    """What `urlopen` returns, cut off after `sent` bytes."""

    def __init__(self, content, sent=None, length=True):
        super().__init__(content[:sent])
        self.headers = Message()
        if length:
            self.headers["Content-Length"] = str(len(content))


@pytest.fixture
def web(monkeypatch, tmp_path):
    """`web(answer)` has every download answered so; `web.asked` lists the addresses."""

    def answer_with(answer):
        def urlopen(url, timeout=None):
            answer_with.asked.append(url)
            assert timeout, "a download without a timeout can hang for ever"
            result = answer()
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr("urllib.request.urlopen", urlopen)

    answer_with.asked = []
    answer_with(lambda: AssertionError("no download expected"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return answer_with


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "home" / "datasets"


@pytest.mark.parametrize(
    "hashes",
    [{}, {"file_hash": SHA256}, {"file_hash": MD5}, {"md5_hash": MD5}],
    ids=["none", "sha256", "md5", "md5_hash"],
)
@pytest.mark.parametrize("length", [True, False])
def test_get_file_downloads_once(web, cache, capsys, hashes, length):
    web(lambda: Response(CONTENT, length=length))
    path = utils.get_file("w.txt", URL, **hashes)
    assert path == str(cache / "w.txt")
    assert (cache / "w.txt").read_bytes() == CONTENT
    assert os.listdir(cache) == ["w.txt"]
    assert f"Downloading data from {URL}" in capsys.readouterr().out
    assert utils.get_file("w.txt", URL, **hashes) == path
    assert web.asked == [URL]
    utils.get_file("w.txt", URL, force_download=True, **hashes)
    assert web.asked == [URL, URL]


def test_get_file_shows_a_bar_on_a_terminal(web, monkeypatch, capsys):
    web(lambda: Response(CONTENT))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    utils.get_file("w.txt", URL)
    out = capsys.readouterr().out
    assert "100%" in out
    assert "250k/250k" in out


def test_get_file_is_quiet_in_a_log(web, capsys):
    web(lambda: Response(CONTENT))
    utils.get_file("w.txt", URL)
    assert capsys.readouterr().out == f"Downloading data from {URL}\n"


def test_get_file_names_and_places(web, cache, tmp_path):
    web(lambda: Response(CONTENT))
    assert utils.get_file(origin=URL + "?raw=1#top") == str(cache / "words.txt")
    assert utils.get_file("a", URL, cache_subdir="b") == str(tmp_path / "home" / "b" / "a")
    assert utils.get_file("a", URL, cache_dir=tmp_path / "c") == str(tmp_path / "c" / "datasets" / "a")


def test_get_file_default_home_is_that_of_keras(web, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    web(lambda: Response(CONTENT))
    assert utils.get_file("a", URL) == str(tmp_path / ".keras" / "datasets" / "a")


def test_get_file_replaces_a_damaged_file(web, cache, capsys):
    cache.mkdir(parents=True)
    (cache / "w.txt").write_bytes(CONTENT[:-1])
    web(lambda: Response(CONTENT))
    assert utils.get_file("w.txt", URL, file_hash=SHA256.upper()) == str(cache / "w.txt")
    assert (cache / "w.txt").read_bytes() == CONTENT
    assert "incomplete or outdated" in capsys.readouterr().out


def test_get_file_rejects_another_content(web, cache):
    web(lambda: Response(b"<html>please log in</html>"))
    with pytest.raises(ValueError, match="Incomplete or corrupted file detected. The sha256 hash"):
        utils.get_file("w.txt", URL, file_hash=SHA256)
    assert os.listdir(cache) == []


FAILURES = {
    "no network": lambda: urllib.error.URLError(OSError("Name or service not known")),
    "404": lambda: urllib.error.HTTPError(URL, 404, "Not Found", Message(), None),
    "timeout": lambda: TimeoutError("timed out"),
    "cut off": lambda: Response(CONTENT, sent=70_000),
    "not http": lambda: __import__("http.client").client.BadStatusLine("garbage"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_get_file_without_network(web, cache, failure):
    web(FAILURES[failure])
    with pytest.raises(OSError) as error:
        utils.get_file("w.txt", URL, file_hash=SHA256)
    message = str(error.value)
    assert f"Could not download {URL}" in message
    assert f"save it as {cache / 'w.txt'} (its sha256 hash is {SHA256})" in message
    assert os.listdir(cache) == []


def test_get_file_keeps_an_old_file_when_the_download_fails(web, cache):
    cache.mkdir(parents=True)
    (cache / "w.txt").write_bytes(b"old")
    web(FAILURES["cut off"])
    with pytest.raises(OSError, match="broke off after 70000 of 250000 bytes"):
        utils.get_file("w.txt", URL, file_hash=SHA256)
    assert (cache / "w.txt").read_bytes() == b"old"
    assert os.listdir(cache) == ["w.txt"]


def test_get_file_interrupted(web, cache):
    web(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        utils.get_file("w.txt", URL)
    assert os.listdir(cache) == []


def test_get_file_when_the_cache_cannot_be_made(web, tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="KERAS_HOME"):
        utils.get_file("w.txt", URL)
    assert web.asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fname": "a"}, 'Please specify the "origin" argument'),
        ({"fname": "../a", "origin": URL}, "Paths are no longer accepted as the `fname` argument"),
        ({"fname": "..", "origin": URL}, "Paths are no longer accepted as the `fname` argument"),
        ({"origin": "https://example.org/"}, "Please specify the `fname` argument"),
        ({"fname": "a", "origin": URL, "hash_algorithm": "crc"}, "`hash_algorithm` must be"),
    ],
    ids=str,
)
def test_get_file_bad_arguments(web, arguments, message):
    with pytest.raises(ValueError, match=message):
        utils.get_file(**arguments)
    assert web.asked == []
