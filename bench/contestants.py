"""The frameworks of `bench/peers.py`: one class each that runs a layer, forward and one training step.

A contestant is made of the cell's name, the shape, weights in Keras's layout and batch-major data.
`forward()` and `train()` do one call; `output()` and `weights()` give NumPy, batch-major and in Keras's
layout, for comparison. Frameworks are imported when a contestant is made, after `bench/peers.py` has chosen
threads and cores.
"""

from __future__ import annotations

# Gate orders of the others, as indices into Keras's: LSTM i, f, c, o and GRU z, r, h.
TORCH_GATES = {"lstm": [0, 1, 2, 3], "gru": [1, 0, 2], "simple_rnn": [0]}
ONNX_GATES = {"lstm": [0, 3, 1, 2], "gru": [0, 1, 2], "simple_rnn": [0]}


def make_weights(cell: str, features: int, units: int, gates: int, rng):
    """[kernel, recurrent_kernel, bias] of moderate size, in Keras's layout, with GRU's two rows of bias."""
    import numpy as np

    def uniform(*shape, limit):
        return rng.uniform(-limit, limit, shape).astype(np.float32)

    bias = (2, gates * units) if cell == "gru" else (gates * units,)
    return [
        uniform(features, gates * units, limit=(3 / (features + units)) ** 0.5),
        uniform(units, gates * units, limit=(2 / units) ** 0.5),
        uniform(*bias, limit=0.1),
    ]


def regate(array, order):
    """Reorder the gates, which are equal blocks of the last axis."""
    blocks = array.reshape(*array.shape[:-1], len(order), -1)
    return blocks[..., order, :].reshape(array.shape)


class Fastrnn:
    name = "fastrnn"

    def __init__(self, cell, shape, weights, x, y, threads):
        import fastrnn

        fastrnn.set_num_threads(threads)
        layer = {
            "lstm": fastrnn.layers.LSTM,
            "gru": fastrnn.layers.GRU,
            "simple_rnn": fastrnn.layers.SimpleRNN,
        }[cell]
        inputs = fastrnn.Input((shape.steps, shape.features))
        self.model = fastrnn.Sequential([inputs, layer(shape.units, return_sequences=True)])
        self.model.compile(optimizer=fastrnn.optimizers.SGD(0.01), loss="mse")
        self.model.set_weights(weights)
        self.x, self.y = x, y

    def forward(self):
        return self.model.predict_on_batch(self.x)

    def train(self):
        return self.model.train_on_batch(self.x, self.y)

    def output(self):
        return self.forward()

    def set_rate(self, rate):
        self.model.optimizer.learning_rate = rate

    def weights(self):
        return self.model.get_weights()


class Torch:
    name = "PyTorch"

    def __init__(self, cell, shape, weights, x, y, threads):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.cell = torch, cell
        self.rnn = torch_rnn(cell, shape.features, shape.units, weights)
        self.x, self.y = (torch.from_numpy(a.transpose(1, 0, 2).copy()) for a in (x, y))
        self.optimizer = torch.optim.SGD(self.rnn.parameters(), lr=0.01)

    def forward(self):
        with self.torch.inference_mode():
            return self.rnn(self.x)[0]

    def train(self):
        self.optimizer.zero_grad()
        self.torch.nn.functional.mse_loss(self.rnn(self.x)[0], self.y).backward()
        self.optimizer.step()

    def output(self):
        return self.forward().numpy().transpose(1, 0, 2)

    def set_rate(self, rate):
        self.optimizer.param_groups[0]["lr"] = rate

    def weights(self):
        return torch_weights(self.cell, self.rnn)


def torch_rnn(cell, features, units, weights, batch_first=False):
    import numpy as np
    import torch

    order = TORCH_GATES[cell]
    kernel, recurrent, bias = (regate(w, order) for w in weights)
    b_input, b_recurrent = bias if cell == "gru" else (bias, np.zeros_like(bias))
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}[cell]
    rnn = module(features, units, batch_first=batch_first)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.from_numpy(kernel.T.copy()))
        rnn.weight_hh_l0.copy_(torch.from_numpy(recurrent.T.copy()))
        rnn.bias_ih_l0.copy_(torch.from_numpy(b_input.copy()))
        rnn.bias_hh_l0.copy_(torch.from_numpy(b_recurrent.copy()))
    return rnn


def torch_weights(cell, rnn):
    """The inverse of `torch_rnn`. PyTorch's second bias of LSTM and RNN is left out: Keras has none."""
    import numpy as np

    order = np.argsort(TORCH_GATES[cell])
    kernel, recurrent = (p.detach().numpy().T for p in (rnn.weight_ih_l0, rnn.weight_hh_l0))
    bias = rnn.bias_ih_l0.detach().numpy()
    if cell == "gru":
        bias = np.stack([bias, rnn.bias_hh_l0.detach().numpy()])
    return [regate(np.ascontiguousarray(w), order) for w in (kernel, recurrent, bias)]


class OnnxRuntime:
    name = "ONNX Runtime"
    train = None

    def __init__(self, cell, shape, weights, x, y, threads):
        import numpy as np
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        order = ONNX_GATES[cell]
        kernel, recurrent, bias = (regate(w, order) for w in weights)
        bias = np.concatenate(list(bias) if cell == "gru" else [bias, np.zeros_like(bias)])
        constants = {"W": kernel.T[np.newaxis], "R": recurrent.T[np.newaxis], "B": bias[np.newaxis]}
        operator = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}[cell]
        extra = {"linear_before_reset": 1} if cell == "gru" else {}
        b, t, d, h = shape
        graph = helper.make_graph(
            [helper.make_node(operator, ["X", "W", "R", "B"], ["Y"], hidden_size=h, **extra)],
            "rnn",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, [t, b, d])],
            [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [t, 1, b, h])],
            [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.feed = {"X": x.transpose(1, 0, 2).copy()}

    def forward(self):
        return self.session.run(None, self.feed)[0]

    def output(self):
        return self.forward()[:, 0].transpose(1, 0, 2)


class Jax:
    name = "JAX"

    def __init__(self, cell, shape, weights, x, y, threads):
        import jax
        import jax.numpy as jnp

        units = shape.units
        sigmoid = jax.nn.sigmoid

        def step_lstm(state, z, recurrent, _):
            h, c = state
            i, f, g, o = jnp.split(z + h @ recurrent, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            h = sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        def step_gru(state, z, recurrent, bias):
            (h,) = state
            a = h @ recurrent + bias[1]
            update, reset = jnp.split(sigmoid(z[:, : 2 * units] + a[:, : 2 * units]), 2, axis=-1)
            candidate = jnp.tanh(z[:, 2 * units :] + reset * a[:, 2 * units :])
            h = update * h + (1 - update) * candidate
            return (h,), h

        def step_simple_rnn(state, z, recurrent, _):
            h = jnp.tanh(z + state[0] @ recurrent)
            return (h,), h

        step = {"lstm": step_lstm, "gru": step_gru, "simple_rnn": step_simple_rnn}[cell]

        def run(weights, x):
            kernel, recurrent, bias = weights
            z = x @ kernel + (bias[0] if cell == "gru" else bias)
            zeros = jnp.zeros((shape.batch, units), jnp.float32)
            state = (zeros, zeros) if cell == "lstm" else (zeros,)
            return jax.lax.scan(lambda s, zt: step(s, zt, recurrent, bias), state, z)[1]

        def update(weights, x, y, rate):
            gradients = jax.grad(lambda w: jnp.mean((run(w, x) - y) ** 2))(weights)
            return [w - rate * g for w, g in zip(weights, gradients, strict=True)]

        self.jax, self.rate = jax, 0.01
        self.run, self.update = jax.jit(run), jax.jit(update, donate_argnums=0)
        self.x, self.y = (jnp.asarray(a.transpose(1, 0, 2)) for a in (x, y))
        self.parameters = [jnp.array(w) for w in weights]

    def forward(self):
        return self.run(self.parameters, self.x).block_until_ready()

    def train(self):
        self.parameters = self.update(self.parameters, self.x, self.y, self.rate)
        self.jax.block_until_ready(self.parameters)

    def output(self):
        import numpy as np

        return np.asarray(self.forward()).transpose(1, 0, 2)

    def set_rate(self, rate):
        self.rate = rate

    def weights(self):
        import numpy as np

        return [np.asarray(w) for w in self.parameters]


CONTESTANTS = {"fastrnn": Fastrnn, "torch": Torch, "onnxruntime": OnnxRuntime, "jax": Jax}
