"""ONNX files: what ONNX Runtime computes from ours, what we compute from ours and PyTorch's, and what is refused."""

import builtins
import os

import numpy as np
import parity
import pytest
from conftest import assert_close
from onnx_files import (
    TOLERANCE,
    exported,
    irregular,
    padded,
    predict,
    round_trip,
    run,
    same,
)

from fastrnn import Sequential
from fastrnn._native import ACTIVATIONS
from fastrnn.interop import export_onnx, import_onnx
from fastrnn.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Lambda,
    Masking,
    Reshape,
    SimpleRNN,
    TimeDistributed,
)

pytestmark = pytest.mark.fastrnn_only

CELLS = {
    "lstm": lambda **options: LSTM(5, **options),
    "gru": lambda **options: GRU(5, **options),
    "gru_reset_before": lambda **options: GRU(5, reset_after=False, **options),
    "simple_rnn": lambda **options: SimpleRNN(5, **options),
}
MODES = ["concat", "sum", "mul", "ave", None]


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx", reason="the package onnx is not installed (extra `onnx`)")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("cell", CELLS)
class TestRecurrentLayers:
    @pytest.mark.parametrize("masked", [False, True], ids=["all_steps", "masked"])
    def test_settings(self, K, onnxruntime, path, rng, cell, masked):
        x = padded(rng)
        for sequences in (False, True):
            for backwards in (False, True):
                for zero in (False, True) if masked else (False,):
                    model = Sequential([Input((None, 3)), *[Masking()] * masked, CELLS[cell](
                        return_sequences=sequences, go_backwards=backwards, return_state=True, zero_output_for_mask=zero)])
                    exported(onnxruntime, path, irregular(model, rng), x)

    @pytest.mark.parametrize("masked", [False, True], ids=["all_steps", "masked"])
    @pytest.mark.parametrize("mode", MODES)
    def test_bidirectional(self, K, onnxruntime, path, rng, cell, mode, masked):
        x = padded(rng)
        for sequences in (False, True):
            for state in (False, True):
                layer = CELLS[cell](return_sequences=sequences, return_state=state)
                model = Sequential([Input((None, 3)), *[Masking()] * masked, Bidirectional(layer, merge_mode=mode)])
                exported(onnxruntime, path, irregular(model, rng), x)

    @pytest.mark.parametrize("masked", [False, True], ids=["all_steps", "masked"])
    def test_bidirectional_the_other_way_round(self, K, onnxruntime, path, rng, cell, masked):
        for sequences in (False, True):
            ways = [CELLS[cell](return_sequences=sequences, go_backwards=backwards) for backwards in (True, False)]
            model = Sequential([Input((None, 3)), *[Masking()] * masked, Bidirectional(ways[0], backward_layer=ways[1])])
            exported(onnxruntime, path, irregular(model, rng), padded(rng))

    def test_without_bias(self, K, onnxruntime, path, rng, cell):
        model = Sequential([Input((None, 3)), Bidirectional(CELLS[cell](use_bias=False))])
        exported(onnxruntime, path, irregular(model, rng), padded(rng))

    @pytest.mark.parametrize(
        "activation", ["linear", "relu", "hard_sigmoid", "sparse_sigmoid", "leaky_relu", "elu", "celu", "softsign", "softplus"]
    )
    def test_activations(self, K, onnxruntime, path, rng, cell, activation):
        options = {} if cell == "simple_rnn" else {"recurrent_activation": "hard_sigmoid"}
        model = Sequential([Input((None, 3)), CELLS[cell](activation=activation, return_sequences=True, **options)])
        model.set_weights([0.3 * w for w in irregular(model, rng).get_weights()])
        exported(onnxruntime, path, model, padded(rng))


class TestExport:
    def test_a_bidirectional_layer_is_one_node(self, K, onnx, path):
        model = Sequential([Input((None, 3)), Bidirectional(LSTM(5))])
        export_onnx(model, path)
        (node,) = (n for n in onnx.load(path).graph.node if n.op_type == "LSTM")
        assert {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}["direction"] == b"bidirectional"

    def test_directions_of_different_layers(self, K, onnxruntime, path, rng):
        layer = Bidirectional(LSTM(5), backward_layer=GRU(4, go_backwards=True))
        exported(onnxruntime, path, irregular(Sequential([Input((None, 3)), layer]), rng), padded(rng))

    def test_masked_words(self, K, onnxruntime, path, rng):
        ids = rng.integers(0, 6, (8, 9)).astype("int32")
        ids[0] = 0
        model = Sequential([
            Input((None,)), Embedding(6, 4, mask_zero=True), Dropout(0.3), Bidirectional(LSTM(5, return_sequences=True), merge_mode="ave"),
            Dense(4, activation="relu"), GRU(6, return_sequences=True, go_backwards=True), SimpleRNN(4, return_sequences=True),
            Activation("selu"),
        ])  # fmt: skip
        exported(onnxruntime, path, irregular(model, rng), ids)

    def test_every_activation(self, K, onnxruntime, path, rng):
        for name in ACTIVATIONS:
            model = Sequential([Input((None, 3)), Dense(4, activation=name), Activation(name)])
            exported(onnxruntime, path, irregular(model, rng), padded(rng))

    def test_shapes(self, K, onnxruntime, path, rng):
        model = Sequential([
            Input((7, 3)), LSTM(4, return_sequences=True), Reshape((-1, 2)), Reshape((14, 2)), Flatten(), Dense(6), Reshape((2, 3)), GRU(2)
        ])  # fmt: skip
        exported(onnxruntime, path, irregular(model, rng), padded(rng))

    def test_the_mean_of_the_steps_that_count(self, K, onnxruntime, path, rng):
        model = Sequential([Input((None, 3)), Masking(), K.layers.GlobalAveragePooling1D()])
        x = padded(rng)
        exported(onnxruntime, path, model, np.delete(x, 3, axis=0))  # one of none is NaN in both

    def test_models_as_layers_and_layers_of_steps(self, K, onnxruntime, path, rng):
        inner = Sequential([Input((4, 3)), LSTM(5), Dense(2)], name="inner")
        model = Sequential([Input((None, 4, 3)), TimeDistributed(inner), Sequential([Input((None, 2)), GRU(3)])])
        exported(onnxruntime, path, irregular(model, rng), rng.normal(size=(2, 6, 4, 3)).astype("float32"))

    def test_batch_and_time_may_have_any_length(self, K, onnxruntime, path, rng):
        model = irregular(Sequential([Input((None, 3)), Masking(), Bidirectional(LSTM(5, return_sequences=True)), GRU(4)]), rng)
        export_onnx(model, path)
        for batch, steps in ((1, 1), (5, 2), (2, 30)):
            x = rng.normal(size=(batch, steps, 3)).astype("float32")
            same(predict(model, x), run(onnxruntime, path, x))

    @pytest.mark.parametrize("opset", [17, 18, 21])
    def test_versions_of_operators(self, K, onnxruntime, path, rng, opset):
        """And what is written in them can be read back."""
        model = Sequential([Input((None, 3)), Masking(), Bidirectional(LSTM(5), merge_mode="ave"), Dense(2, activation="gelu")])
        twin = Sequential([Input((None, 3)), Bidirectional(LSTM(5), merge_mode="mul")])
        x = padded(rng)
        for each in (model, twin):
            irregular(each, rng)
            each.export(path, format="onnx", verbose=False, opset_version=opset)
            same(predict(each, x), run(onnxruntime, path, x))
            same(predict(each, x), predict(import_onnx(path), x), 1e-6)

    def test_float64_is_written_as_float32(self, K, onnxruntime, path, rng, float64):
        model = irregular(Sequential([Input((None, 3)), LSTM(5)]), rng)
        x = padded(rng)
        export_onnx(model, path)
        (y,) = run(onnxruntime, path, x)
        assert y.dtype == np.float32
        assert_close(y, model.predict(x, verbose=0), TOLERANCE, floor=1)

    def test_names(self, K, onnx, path):
        export_onnx(Sequential([Input((7, 3), name="series"), LSTM(5, name="memory")], name="net"), path)
        graph = onnx.load(path).graph
        assert (graph.name, graph.input[0].name, graph.output[0].name) == ("net", "series", "memory")
        assert [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == ["batch", 7, 3]

    def test_says_where_the_file_is(self, K, onnx, path, capsys):
        model = Sequential([Input((None, 3)), LSTM(5)])
        model.export(path, format="onnx")
        assert capsys.readouterr().out == f"Saved artifact at '{path}'.\n"
        model.export(path, format="onnx", verbose=False)
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: LSTM(5, activation="gelu"), r"'lstm' \(LSTM\) .* activation='gelu' is none of"),
            (lambda: GRU(5, recurrent_activation="silu"), r"'gru' \(GRU\) .* recurrent_activation='silu'"),
            (lambda: Bidirectional(SimpleRNN(5, activation="mish")), "activation='mish'"),
            (lambda: LSTM(5, stateful=True), "'lstm' .* stateful=True"),
            (lambda: Lambda(lambda x: x), r"'lambda' \(Lambda\) cannot be exported to ONNX. These can: Activation, "),
        ],
        ids=["gelu", "silu", "mish", "stateful", "lambda"],
    )  # fmt: skip
    def test_what_onnx_does_not_know(self, K, onnx, path, make, message):
        with pytest.raises(ValueError, match=message):
            export_onnx(Sequential([Input((None, 3), batch_size=2), make()]), path)
        assert not path.exists()

    def test_wrong_arguments(self, K, onnx, path):
        model = Sequential([Input((None, 3)), LSTM(5)])
        with pytest.raises(ValueError, match="Unrecognized format=tf_saved_model"):
            model.export(path, format="tf_saved_model")
        with pytest.raises(ValueError, match="`input_signature` must be None"):
            model.export(path, input_signature=[None])
        for opset in (16, 9999, "17", True):
            with pytest.raises(ValueError, match=f"`opset_version` must be an integer from 17 .* opset_version={opset!r}"):
                export_onnx(model, path, opset_version=opset)
        with pytest.raises(ValueError, match="has not been built"):
            export_onnx(Sequential([LSTM(5)]), path)
        with pytest.raises(ValueError, match="must be a Sequential. Received: model=<LSTM"):
            export_onnx(LSTM(5), path)
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            export_onnx(model, path.parent / "nowhere" / "model.onnx")

    @pytest.mark.parametrize("function", [lambda path: export_onnx(Sequential([Input((3,)), Dense(1)]), path), import_onnx])
    def test_without_the_package(self, K, path, monkeypatch, function):
        genuine = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name.partition(".")[0] == "onnx":
                raise ImportError(name)
            return genuine(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(ImportError, match=r"needs the package `onnx`.*pip install 'fastrnn\[onnx\]'"):
            function(path)


@pytest.mark.parity
class TestAgainstKeras:
    """What ONNX Runtime computes from our file is what Keras computes from the same weights."""

    @pytest.mark.parametrize("case", range(8))
    def test_random_models(self, K, onnxruntime, path, case):
        keras = pytest.importorskip("keras", reason="Keras is not installed (extra `parity`)")
        known = {"tanh", "sigmoid", "softsign", "relu", "elu", "hard_sigmoid", "linear"}
        rng = parity.generator(77, case)
        while True:
            config = parity.stack(rng)
            inner = [entry[2] if len(entry) == 3 else entry for entry in config[1]]
            if all(options.get("activation") in known for name, options in inner if name in ("LSTM", "GRU", "SimpleRNN")):
                break
        ours, theirs = parity.pair(K, keras, config, rng)
        x = parity.inputs(rng, config, 5)
        export_onnx(ours, path)
        (y,) = run(onnxruntime, path, x.astype("float32" if x.dtype.kind == "f" else "int32"))
        assert_close(y, theirs.predict(x, verbose=0), 2e-5, floor=1)


class TestRoundTrip:
    back = staticmethod(lambda onnx, path, model, x: round_trip(path, model, x))

    @pytest.mark.parametrize("cell", CELLS)
    def test_recurrent_layers_keep_their_configuration(self, K, onnx, path, rng, cell):
        for sequences in (False, True):
            for backwards in (False, True):
                for state in (False, True):
                    layer = CELLS[cell](return_sequences=sequences, go_backwards=backwards, return_state=state)
                    model = Sequential([Input((None, 3)), layer])
                    again = self.back(onnx, path, irregular(model, rng), padded(rng))
                    assert again.get_config() == model.get_config()
                for mode in MODES if not backwards else []:
                    model = Sequential([Input((None, 3)), Bidirectional(CELLS[cell](return_sequences=sequences), merge_mode=mode)])
                    again = self.back(onnx, path, irregular(model, rng), padded(rng))
                    assert again.layers[0].merge_mode == mode

    @pytest.mark.parametrize("cell", CELLS)
    def test_masks(self, K, onnx, path, rng, cell):
        x = padded(rng)
        for sequences in (False, True):
            for zero in (False, True):
                options = {"return_sequences": sequences, "zero_output_for_mask": zero}
                for backwards in (False, True):
                    layer = CELLS[cell](**options, go_backwards=backwards, return_state=zero)
                    model = Sequential([Input((None, 3)), Masking(0.0), layer])
                    assert self.back(onnx, path, irregular(model, rng), x).get_config() == model.get_config()
                for mode in MODES[:-1]:
                    layers = [Bidirectional(CELLS[cell](**options), merge_mode=mode), *[GRU(3)] * sequences]
                    model = Sequential([Input((None, 3)), Dense(3, use_bias=False), Masking(0.0), *layers])
                    self.back(onnx, path, irregular(model, rng), x)

    def test_masked_words(self, K, onnx, path, rng):
        model = Sequential([
            Input((None,)), Embedding(6, 4, mask_zero=True), Bidirectional(LSTM(5, return_sequences=True), merge_mode="ave"),
            Dense(4, activation="relu"), GRU(6, return_sequences=True, go_backwards=True), SimpleRNN(4, return_sequences=True), LSTM(3),
            Dense(2),
        ])  # fmt: skip
        again = self.back(onnx, path, irregular(model, rng), rng.integers(0, 4, (8, 9)).astype("int32"))
        assert again.layers[0].mask_zero

    def test_a_model_of_everything(self, K, onnx, path, rng):
        model = Sequential([
            Input((9,)), Embedding(6, 4), Bidirectional(LSTM(5, return_sequences=True), merge_mode="ave"),
            GRU(6, return_sequences=True, go_backwards=True), Dense(3, activation="gelu"), LSTM(4, return_sequences=True),
            Activation("selu"), Flatten(), Dense(4), Reshape((2, 2)), SimpleRNN(3), Dense(2, activation="softmax", use_bias=False),
        ], name="everything")  # fmt: skip
        again = self.back(onnx, path, irregular(model, rng), rng.integers(0, 6, (5, 9)))
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
        assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), model.get_weights()))

    def test_every_activation(self, K, onnx, path, rng):
        for name in ACTIVATIONS:
            model = irregular(Sequential([Input((3,)), Dense(4, activation=name)]), rng)
            again = self.back(onnx, path, model, rng.normal(size=(5, 3)).astype("float32"))
            assert again.layers[0].activation is model.layers[0].activation

    def test_an_imported_model_trains_and_streams(self, K, onnx, path, rng):
        model = Sequential([Input((None, 3)), LSTM(5, return_sequences=True), GRU(4, return_sequences=True), Dense(2)])
        x = rng.normal(size=(4, 6, 3)).astype("float32")
        again = self.back(onnx, path, irregular(model, rng), x)
        state = again.initial_state(batch_size=4)
        steps = [again.step(x[:, t], state)[0].copy() for t in range(6)]
        assert_close(np.stack(steps, axis=1), model.predict(x, verbose=0), 1e-6, floor=1)
        for each in (model, again):
            each.compile("sgd", "mse")
            each.fit(x, np.ones((4, 6, 2)), epochs=2, shuffle=False, verbose=0)
        same(predict(model, x), predict(again, x), 1e-6)


class TestFromPyTorch:
    """Files of PyTorch's own exporter."""

    @pytest.fixture(scope="class")
    def torch(self):
        module = pytest.importorskip("torch", reason="PyTorch is not installed (it comes with the extra `parity`)")
        pytest.importorskip("onnx", reason="the package onnx is not installed (extra `onnx`)")
        module.manual_seed(0)
        return module

    def imported(self, torch, module, x, path, **options):
        """(model, output of the module)."""
        x = torch.as_tensor(x)
        with torch.no_grad():
            y = module.eval()(x)
        names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch", 1: "time"}}}
        torch.onnx.export(module, (x,), path, dynamo=False, **(names | options))
        return import_onnx(path), y.numpy()

    def network(self, torch, end, cell="LSTM", **options):
        """A recurrent module and a Linear on what `end` makes of its output and final states."""

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = getattr(torch.nn, cell)(3, 5, **({"batch_first": True} | options))
                self.fc = torch.nn.Linear(5 + 5 * self.rnn.bidirectional, 2)

            def forward(self, x):
                y, h = self.rnn(x)
                return end(self.fc, y, h[0] if isinstance(h, tuple) else h)

        return Network()

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("layers", [1, 2])
    @pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
    def test_recurrent_modules(self, K, torch, path, rng, cell, layers):
        x = rng.normal(size=(4, 6, 3)).astype("float32")
        ends = {
            "all steps": (False, lambda fc, y, h: torch.relu(fc(y))),
            "all steps, both ways": (True, lambda fc, y, h: torch.tanh(fc(y))),
            "last step": (False, lambda fc, y, h: fc(y[:, -1])),
            "last step of the Linear": (False, lambda fc, y, h: fc(y)[:, -1, :]),
            "last state": (False, lambda fc, y, h: fc(h[-1])),
            "last states of both ways": (True, lambda fc, y, h: fc(torch.cat([h[-2], h[-1]], dim=1))),
        }
        for what, (both, end) in ends.items():
            for fold in (True, False):
                module = self.network(torch, end, cell, num_layers=layers, bidirectional=both, bias=fold)
                model, y = self.imported(torch, module, x, path, do_constant_folding=fold)
                assert_close(model.predict(x, verbose=0), y, 1e-6, what, floor=1)
                assert len(model.layers) == layers + 1
                other = rng.normal(size=(2, 9, 3)).astype("float32")
                with torch.no_grad():
                    assert_close(model.predict(other, verbose=0), module(torch.as_tensor(other)).numpy(), 1e-6, what, floor=1)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_time_major(self, K, torch, path, rng):
        x = rng.normal(size=(4, 6, 3)).astype("float32")
        module = self.network(torch, lambda fc, y, h: fc(y), batch_first=False)
        with pytest.warns(UserWarning, match=r"the imported model takes \(batch, timesteps, features\)"):
            model, y = self.imported(torch, module, x.swapaxes(0, 1).copy(), path)
        assert_close(model.predict(x, verbose=0), y.swapaxes(0, 1), 1e-6, floor=1)

    @pytest.mark.filterwarnings("ignore")
    def test_words_and_activations(self, K, torch, path, rng):
        class Classifier(torch.nn.Module):
            def __init__(self, activation):
                super().__init__()
                self.words = torch.nn.Embedding(9, 3)
                self.encoder = torch.nn.GRU(3, 5, batch_first=True)
                self.hidden = torch.nn.Linear(5, 4)
                self.activation = activation
                self.scores = torch.nn.Linear(4, 2)

            def forward(self, ids):
                last = self.encoder(self.words(ids))[0][:, -1]
                return self.scores(self.activation(self.hidden(last))).softmax(-1)

        nn = torch.nn
        for activation in (nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.SELU(), nn.ELU(), nn.Hardtanh(), nn.ReLU6(), nn.LogSigmoid(),
                           nn.Softplus(), nn.Softsign(), nn.Hardsigmoid(), nn.LeakyReLU(0.2), nn.Tanhshrink(), nn.Dropout(0.5)):
            ids = rng.integers(0, 9, (4, 6))
            for opset in (13, 18):
                model, y = self.imported(torch, Classifier(activation), ids, path, opset_version=opset)
                assert_close(model.predict(ids, verbose=0), y, 1e-6, str(activation), floor=1)
            assert [layer.name for layer in model.layers] == ["words", "encoder", "hidden", "scores"]

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize(
        ("both", "end", "message"),
        [
            (True, lambda fc, y, h: fc(y[:, -1]), r"\(Gather\): it picks a time step of both directions.*h_n in PyTorch"),
            (False, lambda fc, y, h: fc(y[:, 2]), r"\(Gather\): it picks time step 2, not the last one"),
            (False, lambda fc, y, h: fc(y.mean(0)), r"\(ReduceMean\): it reduces something else"),
            (False, lambda fc, y, h: fc(y) + y.sum(2, keepdim=True), r"\(Add\): it joins two different branches"),
            (False, lambda fc, y, h: fc(y.sin()), r"\(Sin\): there is no layer for this operator"),
        ],
    )  # fmt: skip
    def test_what_no_layer_computes(self, K, torch, path, rng, both, end, message):
        with pytest.raises(ValueError, match=message):
            self.imported(torch, self.network(torch, end, bidirectional=both), rng.normal(size=(4, 6, 3)).astype("float32"), path)


class TestOddFiles:
    """Each is refused by a ValueError that names the file and, where there is one, the node and its operator."""

    @pytest.fixture
    def write(self, onnx, path):
        """write(nodes, weights, outputs=...): a file of these nodes on an input x (batch, timesteps, 3)."""

        def write(nodes, weights=(), outputs=("y",), shape=("batch", "timesteps", 3), opset=17, inputs=("x",), domains=()):
            h = onnx.helper
            kind = onnx.TensorProto.FLOAT
            graph = h.make_graph(
                nodes, "g", [h.make_tensor_value_info(name, kind, shape) for name in inputs],
                [h.make_tensor_value_info(name, kind, ["rows", "columns"]) for name in outputs],
                [w if isinstance(w, onnx.TensorProto) else onnx.numpy_helper.from_array(*w) for w in weights],
            )  # fmt: skip
            sets = [h.make_opsetid("", opset), *[h.make_opsetid(d, 1) for d in domains]]
            path.write_bytes(h.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString())
            return path

        return write

    @staticmethod
    def refused(path, message):
        with pytest.raises(ValueError, match=message) as error:
            import_onnx(path)
        assert str(path) in str(error.value)

    def recurrent(self, onnx, write, op="LSTM", gates=4, weights=(), inputs=(), arrays=None, **attributes):
        """A file of one recurrent operator, of 2 units, with extra inputs and attributes."""
        node = onnx.helper.make_node
        arrays = arrays or [np.ones((1, 2 * gates, 3), "f"), np.ones((1, 2 * gates, 2), "f")]
        nodes = [
            node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            node(op, ["t", "W", "R", *inputs], ["", "h"], name="core", hidden_size=2, **attributes),
            node("Squeeze", ["h", "zero"], ["y"], name="squeeze"),
        ]
        return write(nodes, [*zip(arrays, "WR"), (np.array([0]), "zero"), *weights])

    def test_the_recurrent_file_is_read_without_the_oddities(self, K, onnx, write):
        assert import_onnx(self.recurrent(onnx, write)).output_shape == (None, 2)

    @pytest.mark.parametrize("content", [b"", b"not ONNX", b"\x08\x08\x12\x02", b"PK\x03\x04" * 100, bytes(range(256)) * 10], ids=range(5))
    def test_no_onnx(self, K, onnx, path, content):
        path.write_bytes(content)
        self.refused(path, "is not an ONNX model, or is damaged")

    def test_cut_off(self, K, onnx, path):
        export_onnx(Sequential([Input((None, 3)), LSTM(5)]), path)
        data = path.read_bytes()
        for end in range(len(data) // 10, len(data), len(data) // 10):
            path.write_bytes(data[:end])
            self.refused(path, "model.onnx")

    def test_flipped_bytes(self, K, onnx, path, rng):
        """Whatever the damage, a ValueError or a model; never another exception."""
        export_onnx(Sequential([Input((None, 3)), Bidirectional(GRU(3)), Dense(2, activation="gelu")]), path)
        genuine = np.frombuffer(path.read_bytes(), np.uint8)
        refused = 0
        for _ in range(300):
            data = genuine.copy()
            places = rng.integers(0, data.size, 3)
            data[places] = rng.integers(0, 256, 3)
            path.write_bytes(data.tobytes())
            try:
                import_onnx(path)
            except ValueError as error:
                assert str(path) in str(error)
                refused += 1
        assert refused

    def test_no_file(self, K, onnx, path):
        with pytest.raises(FileNotFoundError):
            import_onnx(path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"clip": 1.0}, r"node 'core' \(LSTM\): its attributes `clip`"),
            ({"input_forget": 1}, "input_forget"),
            ({"direction": "sideways"}, "direction='sideways', with weights for 1"),
            ({"direction": "bidirectional"}, "direction='bidirectional', with weights for 1"),
            ({"activations": ["Sigmoid", "Tanh", "Relu"]}, "differ between directions, or between candidate and output"),
            ({"activations": ["Sigmoid", "Tanh"]}, "activations="),
            ({"activations": ["Sigmoid", "ScaledTanh", "ScaledTanh"]}, "there is no activation ScaledTanh alpha=1 beta=1"),
            ({"activations": ["HardSigmoid", "Tanh", "Tanh"]}, "no activation HardSigmoid alpha=0.2 beta=0.5"),
            ({"activations": ["LeakyRelu", "Tanh", "Tanh"], "activation_alpha": [0.7]}, "no activation LeakyRelu alpha=0.7"),
            ({"arrays": [np.ones((1, 8, 3), "f"), np.ones((1, 8, 3), "f")]}, r"shapes W \(1, 8, 3\), R \(1, 8, 3\)"),
            ({"arrays": [np.ones((1, 8, 4), "f"), np.ones((1, 8, 2), "f")]}, "weights are for 4 features, and its input has 3"),
            ({"inputs": ["B"], "weights": [(np.ones((1, 3), "f"), "B")]}, r"bias has shape \(1, 3\)"),
            ({"inputs": ["", "n"], "weights": [(np.ones(1, "i"), "n")]}, "sequence_lens"),
            ({"inputs": ["", "", "s"], "weights": [(np.ones((1, 1, 2), "f"), "s")]}, "initial_h"),
            ({"inputs": ["", "", "", "s"], "weights": [(np.ones((1, 1, 2), "f"), "s")]}, "initial_c"),
            ({"inputs": ["", "", "", "", "p"], "weights": [(np.ones((1, 6), "f"), "p")]}, "input P"),
        ],
    )  # fmt: skip
    def test_recurrent_operators_that_no_layer_is(self, K, onnx, write, options, message):
        self.refused(self.recurrent(onnx, write, **options), message)

    def test_zeros_as_initial_states_are_what_layers_do(self, K, onnx, write):
        zeros = (np.zeros((1, 1, 2), "f"), "s")
        assert import_onnx(self.recurrent(onnx, write, inputs=["", "", "s", "s"], weights=[zeros])).output_shape == (None, 2)

    def nodes(self, onnx, *entries):
        return [
            onnx.helper.make_node(op, inputs, outputs, name=f"odd{k}", **attributes)
            for k, (op, inputs, outputs, attributes) in enumerate(entries)
        ]

    @pytest.mark.parametrize(
        ("entries", "options", "message"),
        [
            ([("NonZero", ["x"], ["y"], {})], {}, r"node 'odd0' \(NonZero\): there is no layer for this operator"),
            ([("Magic", ["x"], ["y"], {"domain": "com.example"})], {"domains": ["com.example"]}, r"\(Magic\): its domain 'com.example'"),
            ([("Add", ["a", "x"], ["y"], {})], {"inputs": ["a", "x"]}, r"it has 2 inputs \(a, x\)"),
            ([("Add", ["w", "w"], ["y"], {})], {"weights": [(np.ones(2, "f"), "w")]}, "output 'y' does not depend on the input"),
            ([("Identity", ["x"], ["y"], {})], {}, "no layer is between"),
            ([("MatMul", ["x", "x"], ["y"], {})], {}, "something else than a matrix of weights"),
            ([("MatMul", ["x", "w"], ["y"], {})], {"weights": [(np.ones((4, 2), "f"), "w")]}, "for 4 features, and its input has 3"),
            ([("MatMul", ["w", "x"], ["y"], {})], {"weights": [(np.ones((4, 2), "f"), "w")]}, r"node 'odd0' \(MatMul\)"),
            ([("Erf", ["x"], ["y"], {})], {}, r"node 'odd0' \(Erf\) ends a formula, Erf\(x\), that is no known activation"),
            ([("Add", ["x", "w"], ["y"], {})], {"weights": [(np.ones(3, "f"), "w")]}, r"\(Add\) ends a formula, Add\(#, x\)"),
            ([("LogSoftmax", ["x"], ["y"], {"axis": 1})], {}, r"\(LogSoftmax\) ends a formula"),
            ([("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}), ("Relu", ["t"], ["y"], {})], {}, "output has the axes"),
            ([("Transpose", ["x"], ["y"], {"perm": [0, 0, 9]})], {}, "do not fit it"),
            ([("Reshape", ["x", "w"], ["y"], {})], {"weights": [(np.array([5, 2, 3]), "w")]}, "must leave the batch where it is"),
            ([("Reshape", ["x", "w"], ["y"], {})], {"weights": [(np.array([-1, -1, 3]), "w")]}, "more than one length"),
            ([("Relu", ["x"], ["y"], {})], {"opset": 11}, "opset 11; 13 and later"),
            ([("Relu", ["x"], ["y"], {})], {"shape": ("batch",)}, "has 1 axes"),
            ([("Slice", ["x", "m", "e", "a", "m"], ["f"], {}), ("Relu", ["f"], ["y"], {})],
             {"weights": [(np.array([-1]), "m"), (np.array([-(2**62)]), "e"), (np.array([1]), "a")]}, "it reverses its input in time"),
            ([("Slice", ["x", "z", "e"], ["y"], {})], {"weights": [(np.array([0]), "z"), (np.array([3]), "e")]}, "a piece of the batch"),
            ([("Relu", ["y"], ["y"], {})], {}, "not an ONNX model, or is damaged"),
            ([("ConstantOfShape", ["w"], ["c"], {}), ("Reshape", ["c", "m"], ["d"], {}), ("MatMul", ["x", "d"], ["y"], {})],
             {"weights": [(np.array([3, 10**9]), "w"), (np.array([-1]), "m")]}, r"'odd1' \(Reshape\): .* 3000000000 elements"),
        ],
    )  # fmt: skip
    def test_graphs_that_no_model_is(self, K, onnx, write, entries, options, message):
        self.refused(write(self.nodes(onnx, *entries), **options), message)

    def test_graphs_inside_the_graph(self, K, onnx, write):
        h = onnx.helper
        inner = h.make_graph([h.make_node("Identity", ["x"], ["z"])], "inner", [], [h.make_tensor_value_info("z", 1, ["rows", "columns"])])
        condition = (np.array(True), "c")
        node = h.make_node("If", ["c"], ["y"], name="branch", then_branch=inner, else_branch=inner)
        self.refused(write([node], [condition]), r"'branch' \(If\)")

    def test_a_formula_that_doubles_with_every_node(self, K, onnx, write):
        entries = [("Mul", [f"v{k - 1}" if k else "x"] * 2, [f"v{k}"], {}) for k in range(64)]
        self.refused(write(self.nodes(onnx, *entries, ("Identity", ["v63"], ["y"], {}))), r"\(Mul\)")

    def test_weights_that_claim_another_shape(self, K, onnx, write):
        lying = onnx.numpy_helper.from_array(np.ones((3, 2), "f"), "w")
        lying.dims[0] = 3_000_000_000
        self.refused(write(self.nodes(onnx, ("MatMul", ["x", "w"], ["y"], {})), [lying]), "model.onnx")

    def test_weights_in_another_file_that_is_not_there(self, K, onnx, write):
        tensor = onnx.TensorProto(name="w", data_type=1, dims=[3, 2], data_location=onnx.TensorProto.EXTERNAL)
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", os.path.join("..", "..", "weights.bin")
        self.refused(write(self.nodes(onnx, ("MatMul", ["x", "w"], ["y"], {})), [tensor]), "not an ONNX model, or is damaged")
