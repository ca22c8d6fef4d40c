"""Files that are damaged, or made to harm: a ValueError, soon, and without much memory; and never a line of code out of them."""

import base64
import io
import json
import marshal
import time
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.fastrnn_only

SECONDS, BYTES = 5.0, 96 << 20  # several times what it takes on a quiet machine


@contextmanager
def refused(match=""):
    """A ValueError, within bounds."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(ValueError, match=match):
            yield
        assert time.process_time() - start < SECONDS
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()


@pytest.fixture
def model(K):
    model = K.Sequential([K.Input((5, 3)), K.layers.GRU(4, name="gru"), K.layers.Dense(2, name="dense")])
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 5, 3)), np.ones((2, 2)))
    return model


@pytest.fixture
def archive(model, tmp_path):
    """The members of a good `.keras` file."""
    model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def changed(archive, change):
    """The members with another configuration."""
    config = json.loads(archive["config.json"])
    change(config)
    return {**archive, "config.json": json.dumps(config)}


def layer(config, name):
    return next(c for c in config["config"]["layers"] if c["config"]["name"] == name)


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5", "npz"])
def test_cut_and_flipped(K, model, tmp_path, ending, rng):
    """Every cut is noticed. A flipped bit may go unnoticed, but never does worse than an error that says so."""
    path = tmp_path / f"good.{ending}"
    (model.save_weights if "weights" in ending else model.save)(path)
    whole = path.read_bytes()
    bad = tmp_path / f"bad.{ending}"

    def load():
        if "weights" in ending:
            return model.load_weights(bad)
        return K.models.load_model(bad)

    for n in [0, 1, 7, 100, len(whole) // 2, len(whole) * 9 // 10]:
        bad.write_bytes(whole[:n])
        with refused():
            load()
    for _ in range(40):
        data = bytearray(whole)
        for place in rng.integers(0, len(whole), size=3):
            data[place] ^= 1 << rng.integers(8)
        bad.write_bytes(data)
        try:
            load()
        except ValueError:
            pass


def test_not_what_its_name_says(K, model, tmp_path):
    for ending in ("keras", "h5", "npz"):
        path = tmp_path / f"m.{ending}"
        path.write_bytes(b"PK\x03\x04 this is no archive, and no HDF5 either" * 10)
        with refused("damaged"):
            K.models.load_model(path)
    path = tmp_path / "w.weights.h5"
    path.write_bytes(b"nothing")
    with refused("damaged"):
        model.load_weights(path)
    for missing in ("x.h5", "x.npz"):
        with pytest.raises(FileNotFoundError):
            K.models.load_model(tmp_path / missing)


def test_missing_members(K, archive, tmp_path):
    for name in ("config.json", "model.weights.h5"):
        members = {k: v for k, v in archive.items() if k != name}
        with refused(f"it has no '{name}'"):
            K.models.load_model(write(tmp_path / "m.keras", members))
    assert K.models.load_model(write(tmp_path / "m.keras", {**archive, "../../evil": "x", "/etc/evil": "x"})).built
    assert [p.name for p in tmp_path.parent.glob("evil")] == []


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_zip_bombs(K, archive, tmp_path, name):
    bomb = {**archive, name: archive[name].ljust(64 << 20, b" ")}
    with refused("claims 67108864 bytes"):
        K.models.load_model(write(tmp_path / "m.keras", bomb, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, '{"a":' * 100_000, "{", "3", "[]", "{}", '{"class_name": "Sequential"}', '{"class_name": "Sequential", "config": 3}',
        '{"class_name": ["Sequential"], "config": {}}', '{"class_name": "Sequential", "config": {"layers": {"a": 1}}}',
        '{"class_name": "Sequential", "config": {"name": 3, "layers": [3]}}', '{"class_name": "Sequential", "config": {"layers": [{}]}}',
        '{"class_name": "os.system", "module": "os", "config": {"command": "true"}}',
        '{"class_name": "Sequential", "config": {"layers": [' + '{"class_name": "Flatten", "config": {}},' * 100_000 + '{}]}}',
        '{"class_name": "Sequential", "config": {"layers": [' * 300 + "]}}" * 300,
        '{"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"units": ' + "9" * 5000 + "}}]}}",
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_configurations_that_are_none(K, archive, tmp_path, text):
    with refused():
        K.models.load_model(write(tmp_path / "m.keras", {**archive, "config.json": text}))


@pytest.mark.parametrize(
    "options",
    [{"units": 10**9}, {"units": 30_000}, {"units": 10**30}, {"units": -1}, {"units": "4"}, {"units": None}, {"units": [4]},
     {"units": 1e9}, {"bogus": 1}, {"activation": {"a": 1}},
     {"kernel_initializer": {"class_name": "Constant", "config": {"value": 1, "x": 2}}},
     {"kernel_initializer": {"class_name": {}, "config": 3}}, {"dtype": {"class_name": "x"}}, {"name": 3}, {"dtype": "S8"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_absurd_layers(K, model, archive, tmp_path, options, ending):
    if ending == "keras":
        path = write(tmp_path / "m.keras", changed(archive, lambda c: layer(c, "gru")["config"].update(options)))
    else:
        path = tmp_path / "m.h5"
        model.save(path)
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            layer(config, "gru")["config"].update(options)
            file.attrs["model_config"] = json.dumps(config)
    with refused():
        K.models.load_model(path)


def test_absurd_input_shapes(K, archive, tmp_path):
    for shape in ([None, 5, 10**12], [None, 5], [], None, "ab", [None, 5, -3], [None, 5, 1e9]):
        def change(config, shape=shape):
            config["config"]["layers"][0]["config"]["batch_shape"] = shape

        with refused():
            K.models.load_model(write(tmp_path / "m.keras", changed(archive, change)))


def test_states_without_end(K, archive, tmp_path):
    def change(config):
        config["config"]["layers"][0]["config"]["batch_shape"] = [10**15, 5, 3]
        layer(config, "gru")["config"]["stateful"] = True

    with pytest.raises(ValueError, match="MemoryError"):
        K.models.load_model(write(tmp_path / "m.keras", changed(archive, change)))


def test_unknown_classes_and_functions(K, archive, tmp_path):
    """Names are looked up in our own tables alone, whatever module they are said to be of."""

    def load(change):
        return K.models.load_model(write(tmp_path / "m.keras", changed(archive, change)))

    for module, name in [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("fastrnn.utils", "get_file"),
                         ("keras.utils", "get_file"), ("keras.layers", "TFSMLayer"), ("mine", "Dense"), (None, "__import__")]:  # fmt: skip
        with refused("Unknown layer"):
            load(lambda c: c["config"]["layers"].append({"module": module, "class_name": name, "config": {}}))  # noqa: B023
        with refused():
            load(lambda c: c["compile_config"].update(loss={"module": module, "class_name": "function", "config": name}))  # noqa: B023
        with refused():
            load(lambda c: c["compile_config"].update(optimizer={"module": module, "class_name": name, "config": {}}))  # noqa: B023
        with refused():
            function = {"module": module, "class_name": "function", "config": name}
            load(lambda c: layer(c, "dense")["config"].update(activation=function))  # noqa: B023
        with refused("Unknown"):
            load(lambda c: c.update(module=module, class_name=name))  # noqa: B023
    with refused("Unknown layer"):  # a class of somebody's that is called as one of ours
        load(lambda c: layer(c, "dense").update(registered_name="mine>Dense"))


def test_lambdas_run_only_if_allowed(K, archive, tmp_path):
    """Keras's form, and that of Keras 2, in a layer and as a loss."""
    ran = tmp_path / "ran"
    source = f"lambda x, y=None: (open({str(ran)!r}, 'w').close(), x)[1]"
    code = eval(source).__code__
    text = base64.b64encode(marshal.dumps(code)).decode()
    value = {"class_name": "__lambda__", "config": {"value": [text, [None], None]}}
    flat = {"class_name": "__lambda__", "config": {"code": text, "defaults": [None], "closure": None}}
    config = {"name": "f", "function": flat, "output_shape": [2], "arguments": {}}
    entry = {"module": "keras.layers", "class_name": "Lambda", "config": config}
    paths = [
        write(tmp_path / "a.keras", changed(archive, lambda c: c["config"]["layers"].append(entry))),
        write(tmp_path / "b.keras", changed(archive, lambda c: c["compile_config"].update(loss=value))),
    ]
    for path in paths:
        with refused("safe_mode=False"):
            K.models.load_model(path)
    assert not ran.exists()
    model = K.models.load_model(paths[0], safe_mode=False, compile=False)
    model.predict(np.ones((1, 5, 3)), verbose=0)
    assert ran.exists()
    broken = {"class_name": "__lambda__", "config": {"value": ["no base64 at all", None, None]}}
    path = write(tmp_path / "c.keras", changed(archive, lambda c: c["compile_config"].update(loss=broken)))
    with refused("damaged"):
        K.models.load_model(path, safe_mode=False)


def hdf5(change):
    """Bytes of a weights file, changed."""

    def edit(data):
        buffer = io.BytesIO(data)
        with h5py.File(buffer, "a") as file:
            change(file)
        return buffer.getvalue()

    return edit


KERNEL = "layers/dense/vars/0"


def _replace(file, **options):
    del file[KERNEL]
    file.create_dataset(KERNEL, **options)


CHANGES = {
    "external link": lambda f, t: (f.__delitem__(KERNEL), f.__setitem__(KERNEL, h5py.ExternalLink(str(t / "other.h5"), "secret"))),
    "external link to a group": lambda f, t: (
        f.__delitem__("layers/dense"), f.__setitem__("layers/dense", h5py.ExternalLink("other.h5", "/"))
    ),
    "soft link": lambda f, t: (f.__delitem__(KERNEL), f.__setitem__(KERNEL, h5py.SoftLink("/layers/gru/cell/vars/0"))),
    "external storage": lambda f, t: _replace(f, shape=(4, 2), dtype="f4", external=[(str(t / "secret.bin"), 0, 32)]),
    "virtual": lambda f, t: (f.__delitem__(KERNEL), f.create_virtual_dataset(KERNEL, _virtual())),
    "shape bomb": lambda f, t: _replace(f, shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000), compression="gzip"),
    "chunk bomb": lambda f, t: _replace(f, shape=(4, 2), maxshape=(None, None), dtype="f4", chunks=(10**4, 10**4), compression="gzip"),
    "objects": lambda f, t: _replace(f, shape=(4, 2), dtype=h5py.string_dtype()),
    "compound": lambda f, t: _replace(f, shape=(4, 2), dtype=[("a", "f4"), ("b", "f4")]),
    "wrong shape": lambda f, t: _replace(f, data=np.zeros((2, 4), "f4")),
    "a group": lambda f, t: (f.__delitem__(KERNEL), f.create_group(KERNEL)),
    "missing": lambda f, t: f.__delitem__(KERNEL),
    "one more": lambda f, t: f.__setitem__("layers/dense/vars/2", np.zeros(3, "f4")),
    "badly numbered": lambda f, t: f.move(KERNEL, "layers/dense/vars/x"),
}


def _virtual():
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (4, 2))
    return layout


@pytest.mark.parametrize("name", CHANGES)
def test_hostile_hdf5(K, model, archive, tmp_path, name):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.ones((4, 2), "f4")
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    data = hdf5(lambda file: CHANGES[name](file, tmp_path))(archive["model.weights.h5"])
    with refused():
        K.models.load_model(write(tmp_path / "m.keras", {**archive, "model.weights.h5": data}))
    (tmp_path / "m.weights.h5").write_bytes(data)
    before = model.get_weights()
    with refused():
        model.load_weights(tmp_path / "m.weights.h5")
    assert all((a == b).all() for a, b in zip(model.get_weights(), before))


@pytest.mark.parametrize("name", ["external link", "shape bomb", "chunk bomb", "external storage", "objects"])
def test_hostile_legacy_hdf5(K, model, tmp_path, name):
    model.save(tmp_path / "m.h5")
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    with h5py.File(tmp_path / "m.h5", "a") as file:
        group = file["model_weights/dense"]
        group.move(group.attrs["weight_names"][0].decode(), KERNEL)
        group.attrs["weight_names"] = [KERNEL.encode(), group.attrs["weight_names"][1]]
        CHANGES[name](group, tmp_path)
    with refused():
        K.models.load_model(tmp_path / "m.h5")


def test_hostile_names_in_legacy_hdf5(K, model, tmp_path):
    for names in ([b"../../optimizer_weights"], [b"/etc/passwd"], [b""], [b"x" * 1000], np.zeros((30, 30), "i4")):
        model.save(tmp_path / "m.h5")
        with h5py.File(tmp_path / "m.h5", "a") as file:
            file["model_weights"].attrs["layer_names"] = names
        with refused():
            K.models.load_model(tmp_path / "m.h5")


def test_optimizer_state_of_another_model_is_left_out(K, archive, tmp_path):
    """Everything else is read, with a warning."""
    data = hdf5(lambda file: file.__delitem__("optimizer/vars/5"))(archive["model.weights.h5"])
    with refused("not numbered"):
        K.models.load_model(write(tmp_path / "m.keras", {**archive, "model.weights.h5": data}))
    data = hdf5(lambda file: file.__delitem__("optimizer/vars/11"))(archive["model.weights.h5"])
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer 'adam'"):
        model = K.models.load_model(write(tmp_path / "m.keras", {**archive, "model.weights.h5": data}))
    assert model.optimizer.iterations == 0

    def bomb(file):
        del file["optimizer/vars/11"]
        file.create_dataset("optimizer/vars/11", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")

    def many(file):
        for i in range(12, 500):
            file.create_dataset(f"optimizer/vars/{i}", (1000, 1000), "f4", chunks=True, compression="gzip")

    for change in (bomb, many):
        data = hdf5(change)(archive["model.weights.h5"])
        tracemalloc.start()
        with pytest.warns(UserWarning, match="Skipping variable loading for optimizer 'adam'"):
            K.models.load_model(write(tmp_path / "m.keras", {**archive, "model.weights.h5": data}))
        assert tracemalloc.get_traced_memory()[1] < BYTES
        tracemalloc.stop()


def test_absurd_metrics_and_arrays(K, archive, tmp_path):
    for entry in ({"module": "keras.metrics", "class_name": "AUC", "config": {"num_thresholds": 10**9}},
                  {"class_name": "__numpy__", "config": {"value": ["a"] * 10, "dtype": "S100000000"}}):  # fmt: skip
        path = write(tmp_path / "m.keras", changed(archive, lambda c: c["compile_config"].update(metrics=[entry])))  # noqa: B023
        with refused():
            K.models.load_model(path)


def test_pickles_in_npz(K, model, tmp_path):
    """An array of objects is a pickle, which runs what it likes."""
    model.save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as good:
        arrays = dict(good)
    for name in ("format", "config", "weights/0", "optimizer/momentum/0"):
        np.savez(tmp_path / "m.npz", **{**arrays, name: np.array([{"a": 1}], object)})
        with refused():
            K.models.load_model(tmp_path / "m.npz")


def test_lying_headers_in_npz(K, model, tmp_path):
    model.save(tmp_path / "good.npz")
    with zipfile.ZipFile(tmp_path / "good.npz") as file:
        members = {name: file.read(name) for name in file.namelist()}
    for shape in ("(10000000000000,)", "(3, 100000000000)", "(-4, 3)", "(3, 12, 1, 1, 1)"):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        data = b"\x93NUMPY\x01\x00v\x00" + header.encode() + members["weights/0.npy"][128:]
        with refused():
            K.models.load_model(write(tmp_path / "m.npz", {**members, "weights/0.npy": data}))
