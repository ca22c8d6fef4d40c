"""What a PyTorch module or state dict is made of: parts in order, each the weights and settings of one layer."""

import re
from dataclasses import dataclass, field

import numpy as np

_RECURRENT_KEY = re.compile(r"(weight|bias)_(ih|hh|hr)(?:_l(\d+))?(_reverse)?")
_GATES = {1: "SimpleRNN", 3: "GRU", 4: "LSTM"}
NAMES = {"SimpleRNN": "RNN", "LSTM": "LSTM", "GRU": "GRU"}  # of torch.nn

# modules without weights that are activations: their settings for which ours is the same function
_ACTIVATIONS = {
    "ReLU": ("relu", {}), "ReLU6": ("relu6", {}), "Tanh": ("tanh", {}), "Sigmoid": ("sigmoid", {}), "Softmax": ("softmax", {}),
    "LogSoftmax": ("log_softmax", {}), "ELU": ("elu", {"alpha": 1.0}), "SELU": ("selu", {}), "CELU": ("celu", {"alpha": 1.0}),
    "Softplus": ("softplus", {"beta": 1.0}), "Softsign": ("softsign", {}), "LogSigmoid": ("log_sigmoid", {}), "SiLU": ("silu", {}),
    "GELU": ("gelu", {"approximate": "none"}), "Mish": ("mish", {}), "Hardsigmoid": ("hard_sigmoid", {}),
    "Hardtanh": ("hard_tanh", {"min_val": -1.0, "max_val": 1.0}), "Hardswish": ("hard_silu", {}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": 0.2}), "Tanhshrink": ("tanh_shrink", {}),
    "Softshrink": ("soft_shrink", {"lambd": 0.5}), "Hardshrink": ("hard_shrink", {"lambd": 0.5}),
}


@dataclass
class Part:
    """One layer to be.

    Attributes:
        name: where it is in the module, for messages and as the layer's name.
        kind: "SimpleRNN", "LSTM", "GRU", "Dense", "Embedding", "Dropout", "Activation", "Flatten"; None for a matrix without bias
            in a state dict, which may be a Linear or an Embedding.
        arrays: of a recurrent part one tuple (W, R, input bias, recurrent bias) per direction, else (weight, bias).
        options: arguments of the layer.
        axis: which axis a softmax runs along.
    """

    name: str
    kind: str | None
    arrays: tuple = ()
    options: dict = field(default_factory=dict)
    axis: int = -1

    @property
    def recurrent(self):
        return self.kind in NAMES


def read(source):
    """The parts of a module or state dict, in the order of registration."""
    if hasattr(source, "named_children") and hasattr(source, "state_dict"):
        return list(_of_module(source, ""))
    if not hasattr(source, "items"):
        raise ValueError(f"Expected a torch.nn.Module or its state dict. Received: {source!r:.80} (of type {type(source).__name__})")
    return list(_of_state_dict(source))


def _of_state_dict(state):
    groups = {}
    for key, value in state.items():
        if not isinstance(key, str):
            raise ValueError(f"The keys of a state dict must be strings. Received: {key!r}")
        prefix, _, leaf = key.rpartition(".")
        groups.setdefault(prefix, {})[leaf] = _array(value, key)
    if not groups:
        raise ValueError("The state dict is empty: there are no weights to take over.")
    for prefix, arrays in groups.items():
        if any(_RECURRENT_KEY.fullmatch(leaf) for leaf in arrays):
            yield from _recurrent(prefix, arrays)
        elif arrays.keys() <= {"weight", "bias"} and "weight" in arrays and arrays["weight"].ndim == 2:
            yield _matrix(prefix, arrays, "Dense" if "bias" in arrays else None)
        else:
            shapes = {_key(prefix, leaf): a.shape for leaf, a in arrays.items()}
            raise ValueError(
                f"Cannot tell which layer has the weights {shapes}: those of nn.RNN, nn.LSTM, nn.GRU, nn.Linear and nn.Embedding are known."
            )


def _of_module(module, name):
    known = next((c.__name__ for c in type(module).__mro__ if c.__module__.startswith("torch.nn.modules")), None)
    arrays = {leaf: _array(value, _key(name, leaf)) for leaf, value in module.named_parameters(recurse=False)}
    if known in ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"):
        options = {"activation": module.nonlinearity} if known.startswith("RNN") else {}
        yield from _recurrent(name, arrays, options, getattr(module, "dropout", 0.0))
    elif known == "Linear":
        yield _matrix(name, arrays, "Dense")
    elif known == "Embedding":
        if module.max_norm is not None:
            raise ValueError(f"nn.Embedding '{name}' has max_norm={module.max_norm}: it changes the rows it looks up; no layer does.")
        yield _matrix(name, arrays, "Embedding")
    elif known == "Dropout":
        yield Part(name, "Dropout", options={"rate": module.p})
    elif known == "Flatten" and (module.start_dim, module.end_dim) == (1, -1):
        yield Part(name, "Flatten")
    elif known in _ACTIVATIONS:
        activation, settings = _ACTIVATIONS[known]
        for setting, value in settings.items():
            if getattr(module, setting) != value:
                got = getattr(module, setting)
                raise ValueError(f"nn.{known} '{name}' has {setting}={got}; the activation '{activation}' computes with {value} only.")
        dim = getattr(module, "dim", None)
        yield Part(name, "Activation", options={"activation": activation}, axis=-1 if dim is None else dim)
    elif known == "Identity":
        return
    else:
        children = list(module.named_children())
        if arrays or not children or known not in (None, "Module", "Sequential", "ModuleList", "ModuleDict"):
            raise ValueError(
                f"There is no layer for '{name or 'the module'}' ({type(module).__name__}"
                f"{', which has parameters of its own: ' + ', '.join(arrays) if arrays else ''}). "
                "nn.RNN, nn.LSTM, nn.GRU, nn.Linear, nn.Embedding, nn.Dropout, nn.Flatten and activations are known."
            )
        for child, inner in children:
            yield from _of_module(inner, _key(name, child))


def _recurrent(prefix, arrays, options=None, dropout=0.0):
    """The parts of an nn.RNN, nn.LSTM or nn.GRU (or one of their cells): one for each of its stacked layers."""
    layers = {}
    for leaf, array in arrays.items():
        match = _RECURRENT_KEY.fullmatch(leaf)
        if not match:
            raise ValueError(f"`{_key(prefix, leaf)}` is no weight of an nn.RNN, nn.LSTM or nn.GRU.")
        what, which, index, reverse = match.groups()
        if which == "hr":
            raise ValueError(f"`{_key(prefix, leaf)}`: an nn.LSTM with `proj_size` projects its output; there is no such layer.")
        layers.setdefault(int(index or 0), {}).setdefault(bool(reverse), {})[f"{what}_{which}"] = array
    for k in range(len(layers)):
        name = prefix if len(layers) == 1 else f"{prefix or 'rnn'}_l{k}"
        if k not in layers or False not in layers[k]:
            raise ValueError(f"The weights of layer {k} of '{prefix}' are missing. Received: {', '.join(arrays)}")
        directions = [_direction(prefix, k, layers[k][reverse]) for reverse in sorted(layers[k])]
        if len({kind for kind, _ in directions}) > 1:
            raise ValueError(f"Layer {k} of '{prefix}' has other gates forwards than backwards.")
        yield Part(name, directions[0][0], tuple(d for _, d in directions), dict(options or {}))
        if dropout and k < len(layers) - 1:
            yield Part(f"{name}_dropout", "Dropout", options={"rate": dropout})


def _direction(prefix, k, arrays):
    """(kind, (W, R, input bias, recurrent bias)) of one direction of a layer, with consistent shapes."""
    names = {"weight_ih", "weight_hh"} | ({"bias_ih", "bias_hh"} if any(n.startswith("bias") for n in arrays) else set())
    if arrays.keys() != names:
        raise ValueError(f"Layer {k} of '{prefix}' needs the weights {sorted(names)}. Received: {sorted(arrays)}")
    w, r = arrays["weight_ih"], arrays["weight_hh"]
    b = [arrays.get(name) for name in ("bias_ih", "bias_hh")]
    shapes = {name: a.shape for name, a in arrays.items()}
    gates, rest = divmod(r.shape[0], max(1, r.shape[-1])) if r.ndim == 2 and w.ndim == 2 else (0, 1)
    if rest or gates not in _GATES or w.shape[0] != r.shape[0] or any(a is not None and a.shape != r.shape[:1] for a in b):
        raise ValueError(f"The weights of layer {k} of '{prefix}' fit no nn.RNN, nn.LSTM or nn.GRU. Received: shapes {shapes}")
    return _GATES[gates], (w, r, *b)


def _matrix(prefix, arrays, kind):
    weight, bias = arrays["weight"], arrays.get("bias")
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(f"The weights of '{prefix}' fit no nn.Linear. Received: shapes { {k: a.shape for k, a in arrays.items()} }")
    return Part(prefix, kind, (weight, bias))


def _key(prefix, leaf):
    return f"{prefix}.{leaf}" if prefix else leaf


def _array(value, key):
    """A tensor (of PyTorch or whatever has `numpy` or `__array__`) as an array of floats."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) in ("torch.bfloat16", "torch.float16"):
            value = value.float()
    elif hasattr(value, "numpy"):
        value = value.numpy()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"`{key}` is no array of numbers: {error}") from None
    if array.dtype.kind == "f":
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
    raise ValueError(f"`{key}` must hold floating-point numbers. Received: {array.dtype} of shape {array.shape}")
