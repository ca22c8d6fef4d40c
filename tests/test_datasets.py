"""`imdb` and `reuters`: against real Keras on self-made files; hostile and damaged files; where files are.

No test touches the network.
"""

import functools
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import urllib.error
import zipfile

import numpy as np
import pytest

from fastrnn.datasets import _npz, imdb, reuters
from fastrnn.preprocessing.sequence import pad_sequences

MODULES = {"imdb": imdb, "reuters": reuters}


def objects(lists):
    array = np.empty(len(lists), dtype=object)
    for i, x in enumerate(lists):
        array[i] = x
    return array


def samples(rng, n, longest=12):
    return objects([rng.integers(1, 30, size=rng.integers(1, longest)).tolist() for _ in range(n)])


def contents(name, rng=None):
    """Arrays as in the public file of this data set, but few."""
    rng = rng or np.random.default_rng(0)
    if name == "imdb":
        return {
            "x_train": samples(rng, 40),
            "y_train": rng.integers(0, 2, 40),
            "x_test": samples(rng, 25),
            "y_test": rng.integers(0, 2, 25),
        }
    return {"x": samples(rng, 50), "y": rng.integers(0, 46, 50)}


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    def urlopen(url, timeout=None):
        raise urllib.error.URLError(OSError("Name or service not known"))

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(params=["imdb", "reuters"])
def dataset(request, tmp_path):
    """Name, module and a good file."""
    path = tmp_path / f"{request.param}.npz"
    np.savez(path, **contents(request.param))
    return request.param, MODULES[request.param], path


# Real Keras

ARGUMENTS = [
    {},
    {"num_words": 12},
    {"num_words": 12, "skip_top": 6},
    {"num_words": 12, "oov_char": None},
    {"skip_top": 9, "oov_char": 0},
    {"maxlen": 7},
    {"maxlen": 7, "num_words": 15},
    {"seed": 5},
    {"start_char": None},
    {"start_char": None, "index_from": 0},
    {"start_char": 99, "index_from": 10, "oov_char": 98, "num_words": 25},
    {"index_from": 0},
    {"maxlen": 5, "start_char": None, "index_from": 0, "oov_char": None, "skip_top": 3},
]


@pytest.fixture
def keras_load(monkeypatch):
    keras = pytest.importorskip("keras")

    def load(name, path, **arguments):
        monkeypatch.setattr(f"keras.src.datasets.{name}.get_file", lambda *a, **k: str(path))
        return getattr(keras.datasets, name).load_data(**arguments)

    return load


def assert_same(actual, expected):
    for (x, y), (expected_x, expected_y) in zip(actual, expected, strict=True):
        assert x.ndim == 1
        assert x.dtype == object
        assert x.shape == expected_x.shape
        assert x.tolist() == expected_x.tolist()
        assert all(type(word) is int for words in x for word in words)
        np.testing.assert_array_equal(y, expected_y, strict=True)


@pytest.mark.parity
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_parity_load_data(dataset, keras_load, arguments):
    name, module, path = dataset
    expected = keras_load(name, path, **arguments)
    assert_same(module.load_data(path=path, **arguments), expected)
    assert len(expected[0][0]) > 3
    if arguments:
        default = keras_load(name, path)
        assert [x.tolist() for x, _ in expected] != [x.tolist() for x, _ in default]


@pytest.mark.parity
@pytest.mark.parametrize("test_split", [0.0, 0.2, 0.33, 0.5, 1.0])
def test_parity_test_split(tmp_path, keras_load, test_split):
    path = tmp_path / "reuters.npz"
    np.savez(path, **contents("reuters"))
    actual = reuters.load_data(path, test_split=test_split)
    assert_same(actual, keras_load("reuters", path, test_split=test_split))
    assert len(actual[0][0]) == int(50 * (1 - test_split))


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(20))
def test_parity_random_files(tmp_path, keras_load, seed):
    rng = np.random.default_rng(seed)
    name = ["imdb", "reuters"][seed % 2]
    path = tmp_path / "data.npz"
    np.savez(path, **contents(name, rng))
    arguments = {
        "num_words": [None, 10, 25][rng.integers(3)],
        "skip_top": [0, 5][rng.integers(2)],
        "maxlen": [None, 8][rng.integers(2)],
        "seed": int(rng.integers(1000)),
        "start_char": [1, None][rng.integers(2)],
        "oov_char": [2, None][rng.integers(2)],
        "index_from": [3, 0, 7][rng.integers(3)],
    }
    assert_same(MODULES[name].load_data(path, **arguments), keras_load(name, path, **arguments))


@pytest.mark.parity
def test_parity_hashes_origins_and_signatures(monkeypatch):
    keras = pytest.importorskip("keras")
    import inspect

    from fastrnn.datasets import _download

    class Asked(Exception):
        pass

    def record(fname, origin, file_hash):
        raise Asked(fname, origin, file_hash)

    monkeypatch.setattr(_download, "get_file", record)
    for name, module in MODULES.items():
        monkeypatch.setattr(f"keras.src.datasets.{name}.get_file", record)
        theirs = getattr(keras.datasets, name)
        for function in ("load_data", "get_word_index"):
            with pytest.raises(Asked) as expected:
                getattr(theirs, function)()
            with pytest.raises(Asked) as actual:
                getattr(module, function)()
            assert actual.value.args == expected.value.args
            parameters = dict(inspect.signature(getattr(theirs, function)).parameters)
            parameters.pop("kwargs", None)
            assert dict(inspect.signature(getattr(module, function)).parameters) == parameters


@pytest.mark.parity
def test_parity_label_names():
    keras = pytest.importorskip("keras")
    assert reuters.get_label_names() == keras.datasets.reuters.get_label_names()
    assert len(reuters.get_label_names()) == 46


# What comes out


def test_same_order_twice_and_use_with_pad_sequences(dataset):
    _, module, path = dataset
    (x_train, y_train), (x_test, y_test) = module.load_data(path=str(path), num_words=20)
    (again, _), _ = module.load_data(path=str(path), num_words=20)
    assert x_train.tolist() == again.tolist()
    assert len(x_train) == len(y_train) == x_train.shape[0]
    padded = pad_sequences(x_train, maxlen=500)
    assert padded.shape == (len(x_train), 500)
    assert padded.max() < 20
    assert (padded[:, -12:] == 1).any()


def test_lists_of_equal_length_stay_lists(tmp_path):
    path = tmp_path / "equal.npz"
    np.savez(path, x=objects([[1, 2], [3, 4], [5, 6]]), y=np.arange(3))
    (x, y), (x_test, _) = reuters.load_data(path, test_split=0.0, num_words=100)
    assert x.shape == (3,)
    assert sorted(x.tolist()) == [[1, 4, 5], [1, 6, 7], [1, 8, 9]]
    assert [words[1] for words in x.tolist()] == [2 * label + 4 for label in y]
    assert x_test.shape == (0,)


def test_maxlen_that_leaves_nothing(dataset):
    _, module, path = dataset
    message = "After filtering for sequences shorter than maxlen=1, no sequence was kept. Increase maxlen."
    with pytest.raises(ValueError, match=message):
        module.load_data(path, maxlen=1)


@pytest.mark.parametrize("test_split", [-0.1, 1.5, float("nan")])
def test_bad_test_split(test_split):
    with pytest.raises(ValueError, match="`test_split` must be a float from 0 to 1"):
        reuters.load_data(test_split=test_split)


# The pickles that NumPy writes, of every age


def npy(payload, shape, descr="|O"):
    """A .npy file whose data are the given bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + payload


def write(path, x, y=None, name="x"):
    """A Reuters file with this pickle for its lists (or these bytes for a whole member)."""
    n = 3
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", x if x.startswith(b"\x93NUMPY") else npy(x, (n,)))
        label_file = io.BytesIO()
        np.save(label_file, np.arange(n) if y is None else y)
        archive.writestr("y.npy", label_file.getvalue())
    return path


LISTS = [[1, 2, 300], [70000], []]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("package", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_all_protocols_and_both_numpy_spellings(tmp_path, protocol, package):
    payload = pickle.dumps(objects(LISTS), protocol=protocol)
    for spelling in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        if spelling in payload:
            if protocol == 4 or protocol == 5:  # frames and strings carry their length
                old, new = (bytes([0x8C, len(s)]) + s for s in (spelling, package))
                payload = payload.replace(old, new)
                frame = payload.index(b"\x95")
                size = struct.pack("<Q", len(payload) - frame - 9)
                payload = payload[: frame + 1] + size + payload[frame + 9 :]
            else:
                payload = payload.replace(spelling, package)
            break
    assert package in payload
    arrays = _npz.load_npz(write(tmp_path / "a.npz", payload), ("x",), ("y",))
    assert arrays["x"].tolist() == LISTS
    assert arrays["x"].shape == (3,)


def test_python_2_pickle(tmp_path):
    # numpy 1.x under Python 2: byte strings are STRING opcodes, longs have an L.
    payload = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I3\nt"
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntbI00\n"
        b"((lI1\naI2\naI300\na(lL70000L\na(lltb."
    )
    assert pickle.loads(payload, encoding="latin1").tolist() == LISTS
    assert _npz.load_npz(write(tmp_path / "a.npz", payload), ("x",), ("y",))["x"].tolist() == LISTS


def test_version_2_header(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array(file, objects(LISTS), version=(2, 0))
    assert _npz.load_npz(write(tmp_path / "a.npz", file.getvalue()), ("x",), ("y",))["x"].tolist() == LISTS


# Hostile files


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def attacks(marker):
    create = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, create),
        "exec": Call(exec, create),
        "open": Call(open, str(marker), "w"),
        "os.mkdir": Call(os.mkdir, str(marker)),
        "subprocess": Call(subprocess.call, ["touch", str(marker)]),
        "partial": Call(functools.partial(os.mkdir, str(marker))),
        "numpy's own": Call(np.save, str(marker), 1),
    }


RUNS_CODE = ["os.system", "eval", "exec", "open", "os.mkdir", "subprocess", "partial", "numpy's own"]


def hide(attack, place):
    """The attack in place of, or inside, a proper array."""
    if place == "array":
        return attack
    lists = [list(x) for x in LISTS]
    if place == "list":
        lists[1] = attack
    elif place == "word":
        lists[1][0] = attack
    elif place == "beside":
        return (objects(lists), attack)
    return objects(lists)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", ["array", "list", "word", "beside"])
@pytest.mark.parametrize("name", RUNS_CODE)
def test_hostile_pickles_run_nothing(tmp_path, name, place, protocol):
    marker = tmp_path / "marker"
    payload = pickle.dumps(hide(attacks(marker)[name], place), protocol=protocol)

    pickle.loads(payload)  # it is a real attack
    made = [path for path in (marker, tmp_path / "marker.npy") if path.exists()]
    assert len(made) == 1
    made[0].rmdir() if made[0].is_dir() else made[0].unlink()

    path = write(tmp_path / "a.npz", payload)
    with pytest.raises(ValueError, match="which is refused; the file may be corrupted or malicious"):
        reuters.load_data(path)
    assert not marker.exists()
    assert not (tmp_path / "marker.npy").exists()


HAND_MADE = {
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tobytes\x93.",
    "method of ours": b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.",
    "numpy module": b"cnumpy\nload\n.",
    "the array class called": b"cnumpy\nndarray\n((I1000000000000\nttR.",
    "the array class made": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "the dtype class made": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85\x81.",
    "a function changed": b"cnumpy.core.multiarray\n_reconstruct\n}S'__defaults__'\nNsb.",
    "a class changed": b"cnumpy\ndtype\n(N}S'__call__'\nI1\nstb.",
    "a class changed by a tuple": b"cnumpy\nndarray\n(}S'a'\nI1\ns}tb.",
    "codecs.decode": b"c_codecs\ndecode\n(S'YQ=='\nS'base64'\ntR.",
    "encode with another codec": b"c_codecs\nencode\n(VYQ\nVrot13\ntR.",
    "persistent id": b"S'a'\nQ.",
    "persistent id in text": b"Pabc\n.",
    "extension": b"\x80\x02\x82\x01.",
    "copyreg": b"ccopyreg\n_reconstructor\n(cnumpy\nndarray\ncnumpy\nndarray\nNtR.",
    "memo that is not there": b"h\x05.",
    "nothing": b"",
    "only a stop": b".",
    "an int": b"I5\n.",
    "an array without contents": b"cnumpy.core.multiarray\n_reconstruct\n)R.",
    "contents of the wrong kind": b"cnumpy.core.multiarray\n_reconstruct\n)RI5\nb.",
}


@pytest.mark.parametrize("case", HAND_MADE)
def test_hand_made_pickles(tmp_path, case):
    before = dict(_npz._RECORDERS), _npz._Dtype.__dict__.copy(), _npz._Array.__dict__.copy()
    path = write(tmp_path / "a.npz", HAND_MADE[case])
    message = "Cannot read .*a.npz as a data set: its array 'x' is damaged or not what was expected"
    with pytest.raises(ValueError, match=message):
        reuters.load_data(path)
    assert before == (dict(_npz._RECORDERS), _npz._Dtype.__dict__.copy(), _npz._Array.__dict__.copy())


def array_pickle(shape=b"(I3\nt", dtype=b"S'O8'", lists=b"((lI1\na(lI2\na(ll"):
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape
        + b"cnumpy\ndtype\n(" + dtype + b"\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntbI00\n" + lists + b"tb."
    )


@pytest.mark.parametrize(
    "payload",
    [
        array_pickle(shape=b"(I4\nt"),
        array_pickle(shape=b"(I1000000000000\nt"),
        array_pickle(shape=b"I3\n"),
        array_pickle(dtype=b"S'V8'"),
        array_pickle(dtype=b"I8"),
        array_pickle(lists=b"S'0123456789abcdef01234567'\n"),
        array_pickle(lists=b"((lI1\na(lI2\na"),
        array_pickle(lists=b"I3\n"),
        array_pickle(lists=b"}"),
    ],
)
def test_arrays_that_lie_about_themselves(tmp_path, payload):
    good = write(tmp_path / "good.npz", array_pickle())
    assert _npz.load_npz(good, ("x",), ("y",))["x"].tolist() == [[1], [2], []]
    with pytest.raises(ValueError, match="Cannot read"):
        reuters.load_data(write(tmp_path / "a.npz", payload))


@pytest.mark.parametrize(
    "elements",
    [
        [[1], [2.0], [3]],
        [[1], ["a"], [3]],
        [[1], [True], [3]],
        [[1], [None], [3]],
        [[1], [[2]], [3]],
        [[1], (2,), [3]],
        [[1], "ab", [3]],
        [[1], None, [3]],
        [[1], {2: 2}, [3]],
        [[1], b"ab", [3]],
    ],
    ids=str,
)
def test_only_lists_of_ints(tmp_path, elements):
    path = tmp_path / "a.npz"
    np.savez(path, x=objects(elements), y=np.arange(3))
    with pytest.raises(ValueError, match="expected a list of ints at position 1"):
        reuters.load_data(path)


# Damaged and other files


def test_truncated_at_every_place(tmp_path, dataset):
    _, module, path = dataset
    whole = path.read_bytes()
    cut = tmp_path / "cut.npz"
    for n in range(0, len(whole), 37):
        cut.write_bytes(whole[:n])
        with pytest.raises(ValueError, match="Cannot read .*cut.npz as a data set"):
            module.load_data(cut)


def test_truncated_members(tmp_path):
    file = io.BytesIO()
    np.save(file, objects(LISTS), allow_pickle=True)
    whole = file.getvalue()
    assert _npz.load_npz(write(tmp_path / "a.npz", whole), ("x",), ("y",))["x"].tolist() == LISTS
    for n in range(6, len(whole)):
        with pytest.raises(ValueError, match="Cannot read"):
            reuters.load_data(write(tmp_path / "a.npz", whole[:n]))


FLIPS = """
import io, pickle, resource, sys, zipfile
import numpy as np
from fastrnn.datasets import _npz

resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))  # a flipped size may ask for any amount of memory
lists = [[1, 2, 300], [70000], []]
array = np.empty(3, dtype=object)
array[0], array[1], array[2] = lists
rng = np.random.default_rng(0)
refused = 0
for i in range(3000):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (3,)})
    start = file.tell()
    pickle.dump(array, file, protocol=i % 5)
    damaged = bytearray(file.getvalue())
    for place in rng.integers(start, len(damaged), size=rng.integers(1, 4)):
        damaged[place] = rng.integers(256)
    with zipfile.ZipFile(sys.argv[1], "w") as archive:
        archive.writestr("x.npy", bytes(damaged))
    try:
        x = _npz.load_npz(sys.argv[1], ("x",), ())["x"]
    except ValueError:
        refused += 1
    else:
        assert x.shape == (3,) and all(type(word) is int for words in x for word in words)
print(refused)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
@pytest.mark.skipif("FASTRNN_SANITIZED" in os.environ, reason="AddressSanitizer cannot live with a limit on memory")
def test_flipped_bytes_never_do_anything_but_raise(tmp_path):
    arguments = [sys.executable, "-c", FLIPS, str(tmp_path / "a.npz")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 1000 < int(done.stdout) < 3000


def test_checksums_are_verified(tmp_path):
    path = write(tmp_path / "a.npz", pickle.dumps(objects(LISTS), protocol=2))
    damaged = bytearray(path.read_bytes())
    place = damaged.index(struct.pack("<H", 300))
    damaged[place : place + 2] = struct.pack("<H", 301)
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        reuters.load_data(path)


def test_members_that_claim_to_be_huge(tmp_path, monkeypatch):
    path = write(tmp_path / "a.npz", pickle.dumps(objects(LISTS), protocol=2))
    monkeypatch.setattr(_npz, "_LARGEST", 100)
    with pytest.raises(ValueError, match="it claims .* bytes"):
        reuters.load_data(path)


def test_wrong_members(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **contents("imdb"))
    members = "x_train.npy, y_train.npy, x_test.npy, y_test.npy"
    with pytest.raises(ValueError, match=f"it has no x.npy, only {members}"):
        reuters.load_data(path)
    np.savez(path)
    with pytest.raises(ValueError, match="it has no x_train.npy, only nothing"):
        imdb.load_data(path)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (objects(LISTS), np.arange(4), "'x' has 3 samples, 'y' has 4"),
        (objects(LISTS), np.array(["a", "b", "c"]), "expected a 1-D array of numbers, got <U1"),
        (objects(LISTS), np.zeros((3, 1)), r"expected a 1-D array of numbers, got float64 of shape \(3, 1\)"),
        (objects(LISTS), objects([1, 2, 3]), "array 'y' is damaged or not what was expected"),
        (np.arange(3), np.arange(3), r"expected a 1-D object array of lists, got int64 of shape \(3,\)"),
        (np.array([[[1], [2]]], object), np.arange(1), "expected a 1-D object array of lists, got object"),
    ],
)
def test_wrong_contents(tmp_path, x, y, message):
    path = tmp_path / "a.npz"
    np.savez(path, x=x, y=y)
    with pytest.raises(ValueError, match=message):
        reuters.load_data(path)


def test_zip_of_an_unknown_version(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **contents("reuters"))
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"PK\x01\x02") + 6] = 99
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="Cannot read .*a.npz as a data set: zip file version 9.9"):
        reuters.load_data(path)


def test_something_else_altogether(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("<html>please log in</html>")
    with pytest.raises(ValueError, match="Cannot read .*a.npz as a data set: File is not a zip file"):
        imdb.load_data(path)


# Where files come from


def test_file_in_the_cache_of_keras(tmp_path, monkeypatch, dataset):
    import hashlib

    name, module, path = dataset
    cache = tmp_path / "home" / "datasets"
    cache.mkdir(parents=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (cache / f"{name}.npz").write_bytes(path.read_bytes())
    from fastrnn.datasets import _download

    get_file = _download.get_file
    monkeypatch.setattr(_download, "get_file", lambda *a, **k: get_file(*a, **{**k, "file_hash": digest}))
    assert_same(module.load_data(), module.load_data(path))


def test_file_in_the_working_folder(dataset):
    name, module, path = dataset
    os.rename(path, f"{name}.npz")
    assert len(module.load_data()[0][0]) == 40


@pytest.mark.parametrize("function", ["load_data", "get_word_index"])
def test_without_network(tmp_path, dataset, function):
    name, module, _ = dataset
    file = f"{name}.npz" if function == "load_data" else f"{name}_word_index.json"
    with pytest.raises(OSError) as error:
        getattr(module, function)()
    message = str(error.value)
    url = f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{file}"
    assert f"Could not download {url}" in message
    assert f"save it as {tmp_path / 'home' / 'datasets' / file} (its " in message
    assert "the argument `path`" in message
    assert "Name or service not known" in message


def test_path_that_does_not_exist(tmp_path, dataset):
    _, module, _ = dataset
    message = "There is no file .*nowhere.npz. Leave `path` out to download"
    with pytest.raises(FileNotFoundError, match=message):
        module.load_data(tmp_path / "nowhere.npz")


def test_word_index(tmp_path, dataset):
    _, module, _ = dataset
    path = tmp_path / "words.json"
    path.write_text(json.dumps({"the": 1, "café": 2}), encoding="utf-8")
    assert module.get_word_index(path) == {"the": 1, "café": 2}
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="Expected .* to hold a JSON object that maps words to integers"):
        module.get_word_index(path)
    path.write_text('{"a": "b"}')
    with pytest.raises(ValueError, match="maps words to integers"):
        module.get_word_index(path)
    path.write_text('{"a": 1')
    with pytest.raises(ValueError, match="is not a JSON file"):
        module.get_word_index(path)
