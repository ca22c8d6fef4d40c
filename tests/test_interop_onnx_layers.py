"""ONNX files of layers that are not recurrent: what ONNX Runtime computes from them, and what we read from them."""

import numpy as np
import pytest
from conftest import assert_close
from onnx_files import exported, irregular, padded, round_trip

from fastrnn import Sequential
from fastrnn.interop import export_onnx, import_onnx
from fastrnn.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Embedding,
    Input,
    Masking,
    TimeDistributed,
)

pytestmark = pytest.mark.fastrnn_only

LAYERS = [
    ("Conv1D", {"filters": 4, "kernel_size": 3}, (None, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2, "activation": "relu"}, (None, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "padding": "same", "strides": 2, "use_bias": False}, (None, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "data_format": "channels_first", "activation": "softmax"}, (5, 7)),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "groups": 2, "activation": "gelu"}, (None, 6)),
    ("Conv2D", {"filters": 4, "kernel_size": (2, 3), "padding": "same", "activation": "tanh"}, (6, 7, 2)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": (2, 1)}, (7, 7, 2)),
    ("MaxPooling1D", {"pool_size": 2}, (None, 3)),
    ("MaxPooling1D", {"pool_size": 3, "strides": 2, "padding": "same"}, (None, 3)),
    ("MaxPooling2D", {"pool_size": (2, 3), "padding": "same"}, (5, 7, 2)),
    ("AveragePooling1D", {"pool_size": 3, "strides": 2, "padding": "same"}, (None, 3)),
    ("AveragePooling2D", {"pool_size": 2}, (5, 7, 2)),
    ("GlobalMaxPooling1D", {}, (None, 3)),
    ("GlobalAveragePooling1D", {"keepdims": True}, (None, 3)),
    ("GlobalMaxPooling2D", {}, (5, 7, 2)),
    ("GlobalAveragePooling2D", {"data_format": "channels_first"}, (5, 7, 2)),
    ("Flatten", {"data_format": "channels_first"}, (5, 3)),
    ("Permute", {"dims": (2, 1)}, (None, 3)),
    ("RepeatVector", {"n": 4}, (3,)),
    ("UpSampling1D", {"size": 3}, (None, 3)),
    ("Cropping1D", {"cropping": (2, 1)}, (None, 3)),
    ("Cropping1D", {"cropping": (2, 0)}, (None, 3)),
    ("ZeroPadding1D", {"padding": (2, 1)}, (None, 3)),
    ("ZeroPadding2D", {"padding": ((1, 2), (3, 0))}, (5, 7, 2)),
    ("BatchNormalization", {}, (None, 3)),
    ("BatchNormalization", {"axis": 1, "scale": False}, (7, 3)),
    ("LayerNormalization", {}, (None, 3)),
    ("LayerNormalization", {"axis": [1, 2], "center": False}, (7, 3)),
    ("RMSNormalization", {}, (None, 3)),
    ("UnitNormalization", {}, (None, 3)),
    ("Rescaling", {"scale": 0.5, "offset": [1.0, 2.0, 3.0]}, (None, 3)),
    ("ReLU", {"max_value": 0.5, "negative_slope": 0.1, "threshold": 0.2}, (None, 3)),
    ("ReLU", {"max_value": 0.1, "threshold": 0.2}, (None, 3)),
    ("LeakyReLU", {}, (None, 3)),
    ("LeakyReLU", {"negative_slope": 0.2}, (None, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "data_format": "channels_first", "groups": 2, "dilation_rate": 2}, (4, 7, 8)),
    ("MaxPooling2D", {"pool_size": 2, "strides": 1, "data_format": "channels_first"}, (2, 5, 7)),
    ("Permute", {"dims": (3, 1, 2)}, (4, 5, 3)),
    ("BatchNormalization", {"axis": 2, "center": False, "epsilon": 1e-5}, (4, 5, 3)),
    ("BatchNormalization", {"scale": False, "center": False}, (3,)),
    ("LayerNormalization", {"scale": False, "center": False, "epsilon": 1e-5}, (3,)),
    ("RMSNormalization", {"axis": [1, 2]}, (7, 3)),
    ("UnitNormalization", {"axis": 1}, (7, 3)),
    ("Rescaling", {"scale": 1 / 127.5, "offset": -1.0}, (5, 7, 2)),
    ("ReLU", {}, (None, 3)),
    ("PReLU", {}, (4, 3)),
    ("Softmax", {}, (3,)),
    ("ZeroPadding2D", {"padding": 1, "data_format": "channels_first"}, (2, 5, 7)),
    ("Cropping1D", {"cropping": (0, 2)}, (None, 3)),
    ("ELU", {"alpha": 0.5}, (None, 3)),
    ("PReLU", {"shared_axes": [1]}, (None, 3)),
    ("Softmax", {"axis": 1}, (None, 3)),
    ("SpatialDropout1D", {"rate": 0.5}, (None, 3)),
    ("GaussianNoise", {"stddev": 0.5}, (None, 3)),
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    pytest.importorskip("onnx", reason="the package onnx is not installed (extra `onnx`)")
    return tmp_path / "model.onnx"


def model_and_data(K, rng, name, options, shape):
    layer = getattr(K.layers, name)(**options)
    model = Sequential([Input(shape), layer])
    for v in layer.variables:
        v.assign(rng.uniform(0.2, 1.5, v.shape))
    return model, rng.normal(size=(3, *[n or 7 for n in shape])).astype("float32")


@pytest.mark.parametrize(("name", "options", "shape"), LAYERS)
class TestLayers:
    def test_export(self, K, onnxruntime, path, rng, name, options, shape):
        exported(onnxruntime, path, *model_and_data(K, rng, name, options, shape))

    def test_round_trip(self, K, path, rng, name, options, shape):
        model, x = model_and_data(K, rng, name, options, shape)
        if name in ("SpatialDropout1D", "GaussianNoise"):
            model.add(Dense(2))  # a file without any layer is refused
        round_trip(path, model, x)


def stack(K, *entries, shape):
    """A model of layers given as (name, options), or made already."""
    return Sequential([Input(shape), *(getattr(K.layers, e[0])(**e[1]) if isinstance(e, tuple) else e for e in entries)])


class TestStacks:
    @pytest.mark.parametrize(
        ("shape", "entries"),
        [
            ((12, 3), [("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "activation": "relu"}), ("BatchNormalization", {}),
                       ("MaxPooling1D", {}), ("LSTM", {"units": 5, "return_sequences": True}), ("LayerNormalization", {}),
                       ("GlobalAveragePooling1D", {}), ("Dense", {"units": 2, "activation": "softmax"})]),
            ((8, 9, 2), [("Conv2D", {"filters": 4, "kernel_size": 3, "activation": "softmax"}), ("MaxPooling2D", {}), ("Flatten", {}),
                         ("Dense", {"units": 5}), ("LeakyReLU", {"negative_slope": 0.1}), ("Dense", {"units": 2})]),
            ((5, 3), [("GRU", {"units": 4}), ("RepeatVector", {"n": 6}), ("LSTM", {"units": 4})]),
            ((5, 3), [("Rescaling", {"scale": 0.5, "offset": 1}), ("Rescaling", {"scale": 2.0, "offset": -1}), ("BatchNormalization", {}),
                      ("BatchNormalization", {}), ("Rescaling", {"scale": 3.0, "offset": 1}), ("ReLU", {"max_value": 2}),
                      ("UnitNormalization", {}), ("RMSNormalization", {}), ("RMSNormalization", {})]),
            ((6, 3), [("Dense", {"units": 4, "use_bias": False}), ("BatchNormalization", {"scale": False}), ("ELU", {"alpha": 0.3})]),
            ((6, 1), [("BatchNormalization", {}), ("LayerNormalization", {}), ("PReLU", {"shared_axes": [1]}), ("LSTM", {"units": 3})]),
            ((5, 3), [("Masking", {}), ("Bidirectional", {"layer": LSTM(4, return_sequences=True)}), ("LayerNormalization", {}),
                      ("Dense", {"units": 4, "activation": "relu"}), ("GRU", {"units": 3})]),
            ((None, 3), [("GRU", {"units": 4, "return_sequences": True}), ("RMSNormalization", {}),
                         ("Bidirectional", {"layer": LSTM(4, return_sequences=True)}), ("UnitNormalization", {})]),
            ((None, 3), [("TimeDistributed", {"layer": Dense(4, activation="relu")}), ("LSTM", {"units": 3})]),
            ((None, 4, 3), [("TimeDistributed", {"layer": LSTM(4)}), ("LSTM", {"units": 3})]),
            ((5, 3), [("Masking", {}), ("TimeDistributed", {"layer": Dense(4)}), ("LSTM", {"units": 3})]),
        ],
    )  # fmt: skip
    def test_keep_their_layers(self, K, path, rng, shape, entries):
        model = stack(K, *entries, shape=shape)
        for v in model.variables:
            v.assign(rng.uniform(0.2, 0.9, v.shape))
        again = round_trip(path, model, rng.normal(size=(4, *[n or 6 for n in shape])).astype("float32"))
        assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]

    @pytest.mark.parametrize("end", ["LSTM", "Conv1D", "Flatten", "BatchNormalization", "Softmax", "Dense"])
    def test_axes_that_were_moved(self, K, path, rng, end):
        options = {"LSTM": {"units": 4}, "Conv1D": {"filters": 4, "kernel_size": 2}, "Dense": {"units": 2}}.get(end, {})
        model = stack(K, ("Permute", {"dims": (2, 1)}), (end, options), shape=(5, 3))
        for v in model.variables:
            v.assign(rng.uniform(0.2, 0.9, v.shape))
        round_trip(path, model, rng.normal(size=(4, 5, 3)).astype("float32"))

    def test_models_on_every_step(self, K, path, rng):
        inner = Sequential([Input((6, 6, 2)), K.layers.Conv2D(3, 2, activation="relu"), K.layers.Flatten(), Dense(2)])
        model = irregular(Sequential([Input((5, 6, 6, 2)), TimeDistributed(inner), LSTM(3)]), rng)
        again = round_trip(path, model, rng.normal(size=(2, 5, 6, 6, 2)).astype("float32"))
        assert [type(layer) for layer in again.layers] == [TimeDistributed, LSTM]

    @pytest.mark.parametrize("keepdims", [False, True])
    def test_means_under_a_mask(self, K, path, rng, keepdims):
        mean = K.layers.GlobalAveragePooling1D(keepdims=keepdims)
        model = Sequential([Input((None, 3)), Masking(), LSTM(4, return_sequences=True), mean])
        round_trip(path, irregular(model, rng), np.delete(padded(rng), 3, axis=0))
        mean = K.layers.GlobalAveragePooling1D(keepdims=keepdims)
        words = irregular(Sequential([Input((None,)), Embedding(6, 4, mask_zero=True), mean, Dense(2)]), rng)
        ids = rng.integers(0, 3, (4, 7)).astype("int32")
        ids[:, 2] = 1
        round_trip(path, words, ids)

    @pytest.mark.parametrize("mode", ["concat", "sum", None])
    @pytest.mark.parametrize("cell", [LSTM, GRU])
    def test_states_of_both_directions_under_a_mask(self, K, path, rng, cell, mode):
        for sequences in (False, True):
            for state in (False, True):
                layer = Bidirectional(cell(4, return_sequences=sequences, return_state=state), merge_mode=mode)
                model = irregular(Sequential([Input((None, 3)), Masking(), layer]), rng)
                again = round_trip(path, model, padded(rng))
                assert again.layers[-1].merge_mode == mode


    def test_flipped_bytes(self, K, path, rng):
        """Whatever the damage, a ValueError or a model; never another exception."""
        export_onnx(stack(
            K, ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal"}), ("BatchNormalization", {}), ("MaxPooling1D", {}),
            ("LayerNormalization", {}), ("ZeroPadding1D", {}), ("UpSampling1D", {}), ("PReLU", {}), ("GlobalAveragePooling1D", {}),
            ("RepeatVector", {"n": 3}), ("TimeDistributed", {"layer": Dense(2)}), ("Cropping1D", {}), shape=(12, 3),
        ), path)  # fmt: skip
        genuine = np.frombuffer(path.read_bytes(), np.uint8)
        refused = 0
        for _ in range(300):
            data = genuine.copy()
            data[rng.integers(0, data.size, 3)] = rng.integers(0, 256, 3)
            path.write_bytes(data.tobytes())
            try:
                import_onnx(path)
            except ValueError as error:
                assert str(path) in str(error)
                refused += 1
        assert refused


class TestFromPyTorch:
    @pytest.fixture(scope="class")
    def torch(self):
        module = pytest.importorskip("torch", reason="PyTorch is not installed (it comes with the extra `parity`)")
        module.manual_seed(0)
        return module

    def check(self, torch, path, rng, modules, shape, forward=None, **options):
        """Compare a module with what is read from its file; returns the names of the layers."""

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.parts = torch.nn.Sequential(*modules)

            def forward(self, x):
                return forward(self.parts, x) if forward else self.parts(x)

        network, x = Network().eval(), rng.normal(size=shape).astype("float32")
        for module in network.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.3, 1.5)
        with torch.no_grad():
            y = network(torch.as_tensor(x)).numpy()
        names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
        torch.onnx.export(network, (torch.as_tensor(x),), path, dynamo=False, **names, **options)
        model = import_onnx(path)
        assert_close(model.predict(x, verbose=0), y, 2e-6, floor=1)
        return [type(layer).__name__ for layer in model.layers]

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("padding", [0, 1, 2])
    @pytest.mark.parametrize("channels_first", [False, True])
    def test_convolutions_before_an_lstm(self, K, torch, path, rng, padding, channels_first):
        nn = torch.nn

        def forward(parts, x):
            y = parts[:4](x if channels_first else x.transpose(1, 2))
            return parts[5](parts[4](y.transpose(1, 2))[0][:, -1])

        parts = [nn.Conv1d(3, 4, 3, padding=padding), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.LSTM(4, 5, batch_first=True),
                 nn.Linear(5, 2)]  # fmt: skip
        shape = (2, 3, 8) if channels_first else (2, 8, 3)
        for fold in (True, False):
            found = self.check(torch, path, rng, parts, shape, forward, do_constant_folding=fold)
            assert found[-2:] == ["LSTM", "Dense"]
            assert ("Permute" in found) == channels_first
            assert ("ZeroPadding1D" in found) == (padding == 2)

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("opset", [13, 17])
    def test_other_modules(self, K, torch, path, rng, opset):
        nn = torch.nn
        for modules, shape in (
            ([nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Flatten(),
              nn.Linear(16, 3)], (2, 2, 8, 8)),
            ([nn.Conv1d(4, 4, 3, groups=2), nn.PReLU(4), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)], (2, 4, 8)),
            ([nn.Linear(3, 4), nn.LayerNorm(4), nn.ELU(0.5), nn.Linear(4, 2)], (2, 5, 3)),
            ([nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2), nn.Softmax(-1)], (2, 3)),
        ):  # fmt: skip
            self.check(torch, path, rng, modules, shape, opset_version=opset)

    @pytest.mark.filterwarnings("ignore")
    def test_what_no_layer_computes(self, K, torch, path, rng):
        nn = torch.nn
        for module, message in (
            (nn.MaxPool1d(3, 2, padding=1), r"\(MaxPool\): pads=\[1, 1\]"),
            (nn.AvgPool1d(3, 1, padding=1), r"\(AveragePool\): its attributes .*`count_include_pad`"),
            (nn.MaxPool1d(2, ceil_mode=True), r"\(MaxPool\): its attributes `ceil_mode`"),
            (nn.InstanceNorm1d(4), r"\(InstanceNormalization\): there is no layer"),
        ):
            with pytest.raises(ValueError, match=message):
                self.check(torch, path, rng, [nn.Conv1d(3, 4, 3), module], (2, 3, 8))
