"""Weights and models from and to PyTorch: the same outputs from the same weights."""

import builtins

import numpy as np
import pytest
from conftest import assert_close

from fastrnn import Sequential
from fastrnn.interop import from_torch, load_torch_weights, to_torch_state_dict
from fastrnn.layers import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Input,
    LSTMCell,
    SimpleRNN,
    StackedRNNCells,
)

pytestmark = pytest.mark.fastrnn_only
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch", reason="PyTorch is not installed (it comes with the extra `parity`)")
    module.manual_seed(0)
    return module


def cells(torch):
    return {"RNN": (torch.nn.RNN, SimpleRNN), "LSTM": (torch.nn.LSTM, LSTM), "GRU": (torch.nn.GRU, GRU)}


def outputs(torch, module, x):
    """What a module makes of an array; the first of several outputs."""
    with torch.no_grad():
        y = module.eval()(torch.as_tensor(x))
    return (y[0] if isinstance(y, tuple) else y).numpy()


def sequences(rng, features=3):
    return rng.normal(size=(4, 6, features)).astype("float32")


def ones_state(gates, features=3, units=2):
    """A state dict of NumPy arrays for a recurrent module."""
    rng = np.random.default_rng(1)
    shapes = {"weight_ih_l0": (gates * units, features), "weight_hh_l0": (gates * units, units), "bias_ih_l0": (gates * units,),
              "bias_hh_l0": (gates * units,)}
    return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}


class TestFromTorch:
    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
    @pytest.mark.parametrize("bidirectional", [False, True], ids=["one_way", "both_ways"])
    @pytest.mark.parametrize("layers", [1, 3])
    @pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
    def test_recurrent_modules(self, K, torch, rng, cell, layers, bidirectional, bias):
        module = cells(torch)[cell][0](3, 5, num_layers=layers, bidirectional=bidirectional, bias=bias, batch_first=True)
        x = sequences(rng)
        expected = outputs(torch, module, x)
        for source in (module, module.state_dict()):
            model = from_torch(source)
            assert len(model.layers) == layers
            assert_close(model.predict(x, verbose=0), expected, TOLERANCE, floor=1)

    @pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
    def test_last_outputs_are_the_final_states(self, K, torch, rng, cell):
        module = cells(torch)[cell][0](3, 5, num_layers=2, bidirectional=True, batch_first=True)
        x = sequences(rng)
        with torch.no_grad():
            states = module(torch.as_tensor(x))[1]
        h = (states[0] if cell == "LSTM" else states).numpy()
        model = from_torch(module, return_sequences=False)
        assert_close(model.predict(x, verbose=0), np.concatenate([h[-2], h[-1]], axis=1), TOLERANCE, floor=1)

    def test_time_major_modules_take_the_batch_first(self, K, torch, rng):
        module = torch.nn.LSTM(3, 5)
        x = sequences(rng)
        expected = outputs(torch, module, x.swapaxes(0, 1)).swapaxes(0, 1)
        assert_close(from_torch(module).predict(x, verbose=0), expected, TOLERANCE, floor=1)

    def test_relu_rnn(self, K, torch, rng):
        module = torch.nn.RNN(3, 5, nonlinearity="relu", batch_first=True)
        x = sequences(rng)
        assert_close(from_torch(module).predict(x, verbose=0), outputs(torch, module, x), TOLERANCE, floor=1)

    @pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
    def test_cells(self, K, torch, rng, cell):
        module = getattr(torch.nn, f"{cell}Cell")(3, 5)
        x, h = sequences(rng), None
        with torch.no_grad():
            for t in range(x.shape[1]):
                h = module(torch.as_tensor(x[:, t]), h)
        expected = (h[0] if cell == "LSTM" else h).numpy()
        assert_close(from_torch(module, return_sequences=False).predict(x, verbose=0), expected, TOLERANCE, floor=1)

    def test_classifier(self, K, torch, rng):
        class Classifier(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = torch.nn.Embedding(20, 4)
                self.encoder = torch.nn.GRU(4, 6, num_layers=2, dropout=0.5, batch_first=True)
                self.head = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.SiLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 3),
                                                torch.nn.Softmax(dim=1))

            def forward(self, ids):
                return self.head(self.encoder(self.embedding(ids))[0][:, -1])

        module = Classifier()
        ids = rng.integers(0, 20, (5, 7))
        model = from_torch(module, return_sequences=False)
        assert_close(model.predict(ids, verbose=0), outputs(torch, module, ids), TOLERANCE, floor=1)
        kinds = ["Embedding", "GRU", "Dropout", "GRU", "Dense", "Activation", "Dropout", "Dense", "Activation"]
        assert [type(layer).__name__ for layer in model.layers] == kinds
        assert model.layers[0].name == "embedding"
        assert model.layers[2].rate == 0.5
        # a state dict knows the weights alone
        assert [type(layer).__name__ for layer in from_torch(module.state_dict()).layers] == ["Embedding", "GRU", "GRU", "Dense", "Dense"]

    def test_activations(self, K, torch, rng):
        x = rng.normal(0, 3, size=(50, 4)).astype("float32")
        nn = torch.nn
        for activation in (nn.ReLU(), nn.ReLU6(), nn.Tanh(), nn.Sigmoid(), nn.Softmax(-1), nn.LogSoftmax(-1), nn.ELU(), nn.SELU(),
                           nn.CELU(), nn.Softplus(), nn.Softsign(), nn.LogSigmoid(), nn.SiLU(), nn.GELU(), nn.Mish(), nn.Hardsigmoid(),
                           nn.Hardtanh(), nn.Hardswish(), nn.LeakyReLU(0.2), nn.Tanhshrink(), nn.Softshrink(), nn.Hardshrink()):
            module = nn.Sequential(nn.Linear(4, 4), activation)
            y = outputs(torch, module, x)
            assert_close(from_torch(module).predict(x, verbose=0), y, TOLERANCE, str(activation), floor=1)

    def test_types_of_weights(self, K, torch):
        assert from_torch(torch.nn.LSTM(3, 5).double()).layers[0].dtype == "float64"
        half = torch.nn.LSTM(3, 5).bfloat16()
        model = from_torch(half)
        assert model.layers[0].dtype == "float32"
        assert np.array_equal(model.get_weights()[0], half.weight_ih_l0.detach().float().numpy().T)

    def test_the_model_does_not_share_memory_with_the_module(self, K, torch):
        module = torch.nn.Linear(3, 2)
        model = from_torch(module)
        before = model.get_weights()[0]
        with torch.no_grad():
            module.weight.fill_(7)
        assert np.array_equal(model.get_weights()[0], before)


class TestWithoutTorch:
    """State dicts of plain arrays need no PyTorch."""

    @pytest.mark.parametrize(("gates", "kind"), [(1, SimpleRNN), (3, GRU), (4, LSTM)])
    def test_the_cell_follows_from_the_shapes(self, K, gates, kind):
        model = from_torch(ones_state(gates))
        assert type(model.layers[0]) is kind
        assert model.input_shape == (None, None, 3)

    def test_torch_is_not_imported(self, K, monkeypatch):
        genuine = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name.partition(".")[0] == "torch":
                raise ImportError(name)
            return genuine(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        model = from_torch(ones_state(4))
        load_torch_weights(model, ones_state(4))
        with pytest.raises(ImportError, match="pip install torch"):
            to_torch_state_dict(model)

    def test_an_embedding_is_told_from_a_linear_by_what_follows(self, K):
        head = {"rnn." + name: value for name, value in ones_state(3, features=4).items()}
        assert type(from_torch({"first.weight": np.ones((9, 4), "float32"), **head}).layers[0]) is Embedding
        assert type(from_torch({"first.weight": np.ones((4, 9), "float32"), **head}).layers[0]) is Dense
        with pytest.raises(ValueError, match="'first.weight' of shape .* nn.Embedding or to an nn.Linear"):
            from_torch({"first.weight": np.ones((4, 4), "float32"), **head})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"weight_hr_l0": np.ones((2, 2), "float32")}, "proj_size"),
            ({"weight_hh_l0": None}, r"needs the weights \['bias_hh', 'bias_ih', 'weight_hh', 'weight_ih'\]"),
            ({"bias_hh_l0": None}, "needs the weights"),
            ({"weight_ih_l0": np.ones((7, 3), "float32")}, r"fit no nn.RNN, nn.LSTM or nn.GRU.*\(7, 3\)"),
            ({"weight_ih_l2": np.ones((8, 2), "float32")}, "layer 1 .* are missing"),
            ({"bias_ih_l0": np.ones(3, "float32")}, "fit no"),
            ({"bias_ih_l0": np.ones(8, "int64")}, "`bias_ih_l0` must hold floating-point numbers. Received: int64"),
            ({"bias_ih_l0": "many"}, "`bias_ih_l0` must hold floating-point"),
            ({"conv.weight": np.ones((2, 3, 4), "float32")}, "conv.weight"),
            ({"norm.weight": np.ones(2, "float32"), "norm.bias": np.ones(2, "float32")}, "norm.weight"),
            ({"fc.weight": np.ones((2, 3), "float32"), "fc.bias": np.ones(3, "float32")}, "'fc' fit no nn.Linear"),
            ({"weight_ih_l0_reverse": np.ones((8, 3), "float32")}, "needs the weights"),
        ],
    )  # fmt: skip
    def test_damaged_state_dicts(self, K, change, message):
        state = {name: value for name, value in {**ones_state(4), **change}.items() if value is not None}
        with pytest.raises(ValueError, match=message):
            from_torch(state)

    @pytest.mark.parametrize("source", [{}, None, 3, "model.pt", [1], {1: np.ones(3)}], ids=repr)
    def test_no_state_dict(self, K, source):
        with pytest.raises(ValueError, match="state dict"):
            from_torch(source)


class TestModulesThatNoLayerStandsFor:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda nn: nn.LSTM(3, 5, proj_size=2), "proj_size"),
            (lambda nn: nn.Sequential(nn.Conv1d(3, 3, 2)), r"'0' \(Conv1d, which has parameters of its own: weight, bias\)"),
            (lambda nn: nn.Embedding(3, 5, max_norm=1.0), "max_norm=1.0"),
            (lambda nn: nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU()), "negative_slope=0.01"),
            (lambda nn: nn.Sequential(nn.Linear(3, 3), nn.GELU("tanh")), "approximate=tanh"),
            (lambda nn: nn.Sequential(nn.Linear(3, 3), nn.Softmax(dim=0)), "axis 0"),
            (lambda nn: nn.Sequential(nn.ReLU()), "no weights"),
            (lambda nn: nn.MultiheadAttention(4, 2), "MultiheadAttention"),
        ],
    )  # fmt: skip
    def test_says_which(self, K, torch, make, message):
        with pytest.raises(ValueError, match=message):
            from_torch(make(torch.nn))


class TestLoad:
    def test_into_a_model_with_other_settings(self, K, torch, rng):
        """Layers without weights, their names and what follows the weights are the model's own."""
        module = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(3, 5, batch_first=True, bidirectional=True), "fc": torch.nn.Linear(10, 2)})
        model = Sequential([Input((6, 3)), Bidirectional(LSTM(5)), Dropout(0.5), Dense(2, activation="softmax")])
        load_torch_weights(model, module.state_dict())
        x = sequences(rng)
        with torch.no_grad():
            h = module["lstm"](torch.as_tensor(x))[1][0]
            expected = module["fc"](torch.cat([h[0], h[1]], dim=1)).softmax(-1).numpy()
        assert_close(model.predict(x, verbose=0), expected, TOLERANCE, floor=1)

    def test_into_a_layer(self, K):
        layer = SimpleRNN(2)
        layer.build((None, None, 3))
        state = ones_state(1)
        load_torch_weights(layer, state)
        assert np.array_equal(layer.get_weights()[2], state["bias_ih_l0"] + state["bias_hh_l0"])

    @pytest.mark.parametrize(
        ("layers", "message"),
        [
            ([GRU(2)], r"has the weights of an nn.LSTM, layer 'gru' is made of GRU"),
            ([LSTM(3)], r"does not fit layer 'lstm': its kernel has shape \(3, 8\), the layer expects \(3, 12\)"),
            ([Bidirectional(LSTM(2))], "has 1 directions, layer 'bidirectional' .* has 2"),
            ([LSTM(2, use_bias=False)], "use_bias=False"),
            ([LSTM(2, activation="relu")], "activation='relu'"),
            ([LSTM(2, recurrent_activation="hard_sigmoid")], "recurrent_activation='hard_sigmoid'"),
            ([LSTM(2, go_backwards=True)], "go_backwards=True"),
            ([LSTM(2), Dense(1)], r"has 1 layers with weights .*, 'm' has 2 \(lstm, dense\)"),
            ([Dense(2)], "nn.LSTM, layer 'dense' is Dense"),
        ],
        ids=lambda value: "+".join(layer.name for layer in value) if isinstance(value, list) else "",
    )  # fmt: skip
    def test_what_does_not_fit_changes_nothing(self, K, layers, message):
        fresh = [type(layer).from_config({**layer.get_config(), "name": layer.name.rstrip("_0123456789")}) for layer in layers]
        model = Sequential([Input((6, 3)), *fresh], name="m")
        before = model.get_weights()
        with pytest.raises(ValueError, match=message):
            load_torch_weights(model, ones_state(4))
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))

    def test_gru_without_reset_after(self, K):
        model = Sequential([Input((6, 3)), GRU(2, reset_after=False)])
        with pytest.raises(ValueError, match="reset_after=False"):
            load_torch_weights(model, ones_state(3))

    def test_a_model_without_weights(self, K):
        with pytest.raises(ValueError, match="has none yet"):
            load_torch_weights(Sequential([LSTM(2)]), ones_state(4))


class TestToTorch:
    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
    @pytest.mark.parametrize("bidirectional", [False, True], ids=["one_way", "both_ways"])
    @pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
    def test_stacks(self, K, torch, rng, cell, bidirectional, bias):
        theirs, ours = cells(torch)[cell]
        model = Sequential([Input((None, 3))])
        for _ in range(2):
            layer = ours(5, return_sequences=True, use_bias=bias, bias_initializer="glorot_uniform")
            model.add(Bidirectional(layer) if bidirectional else layer)
            model.add(Dropout(0.1))
        module = theirs(3, 5, num_layers=2, batch_first=True, bidirectional=bidirectional, bias=bias)
        module.load_state_dict(to_torch_state_dict(model))
        x = sequences(rng)
        assert_close(model.predict(x, verbose=0), outputs(torch, module, x), TOLERANCE, floor=1)

    def test_names(self, K, torch, rng):
        model = Sequential([Input((None,)), Embedding(9, 4), LSTM(5, name="memory"), Dense(2), Dense(1, use_bias=False)])
        keys = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        state = to_torch_state_dict(model)
        assert [*state] == ["embedding.weight", *[f"memory.{k}" for k in keys], "dense.weight", "dense.bias", "dense_1.weight"]
        state = to_torch_state_dict(model, names=["e", "rnn", "fc.0", "fc.1"])
        assert [*state] == ["e.weight", *[f"rnn.{k}" for k in keys], "fc.0.weight", "fc.0.bias", "fc.1.weight"]
        again = Sequential.from_config(model.get_config())
        load_torch_weights(again, state)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights()))
        with pytest.raises(ValueError, match=r"each of the 4 modules \(embedding, memory, dense, dense_1\)"):
            to_torch_state_dict(model, names=["e"])

    def test_a_last_output_between_recurrent_layers_ends_a_stack(self, K, torch):
        layers = [LSTM(5), LSTM(5, return_sequences=True)]
        for layer in layers:
            layer.build((None, None, 5))
        assert len(to_torch_state_dict(layers)) == 8
        assert {key.partition(".")[0] for key in to_torch_state_dict(layers)} == {layer.name for layer in layers}

    @pytest.mark.parametrize(
        ("layer", "message"),
        [
            (GRU(2, reset_after=False), "reset_after=False"),
            (LSTM(2, activation="relu"), "activation='relu'; nn.LSTM computes with 'tanh' only"),
            (SimpleRNN(2, activation="sigmoid"), "activation='sigmoid'; nn.RNN computes with 'tanh' or 'relu' only"),
            (LSTM(2, go_backwards=True), "go_backwards=True"),
            (Bidirectional(LSTM(2), merge_mode="sum"), "merge_mode='sum'"),
            (Bidirectional(LSTM(2), backward_layer=LSTM(3, go_backwards=True)), "directions .* differ"),
            (RNN(StackedRNNCells([LSTMCell(2), LSTMCell(2)])), "'rnn.*' \\(RNN\\) has no counterpart"),
            (Bidirectional(RNN(LSTMCell(2))), "'bidirectional.*' runs RNN; PyTorch has LSTM, GRU and RNN"),
            (LSTM(2), "has no weights yet"),
        ],
        ids=["reset_before", "relu", "sigmoid", "backwards", "sum", "unequal", "rnn", "both ways of rnn", "unbuilt"],
    )  # fmt: skip
    def test_what_pytorch_does_not_compute(self, K, torch, layer, message):
        if "yet" not in message:
            layer.build((None, None, 3))
        with pytest.raises(ValueError, match=message):
            to_torch_state_dict(layer)
