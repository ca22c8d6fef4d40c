"""ONNX files of layers that are not recurrent: what ONNX Runtime computes from them, and what we read from them."""

import numpy as np
import pytest
from conftest import assert_close
from onnx_files import exported, irregular, padded, round_trip

from fastrnn import Sequential
from fastrnn.interop import import_onnx
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Dropout, Embedding, Input, Masking, TimeDistributed

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


@pytest.fixture(scope="module")
def onnxruntime():
    pytest.importorskip("onnx", reason="the package onnx is not installed (extra `onnx`)")
    return pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (it comes with the extra `parity`)")


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
