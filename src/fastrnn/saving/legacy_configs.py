"""Configurations of Keras 2 and 1 in the words of Keras 3."""

# arguments that say where or how fast something is computed, or that have moved elsewhere
_DROPPED = ("implementation", "batch_size", "input_dtype", "use_cudnn", "sparse", "ragged", "expand_nested")
_CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}


def from_keras_2(config, version):
    """(configuration, names of the layers whose weights are in the order of cuDNN).

    Raises:
        ValueError: for layers that compute something else than ours of that name.
    """
    # before Keras 2.2.3 a Sequential was the list of its layers
    if isinstance(config.get("config"), list) and config.get("class_name") == "Sequential":
        config = {**config, "config": {"name": "sequential", "layers": config["config"]}}
    cudnn = set()
    config = _converted(config, cudnn, version)
    return config, cudnn


def _converted(value, cudnn, version):
    if isinstance(value, list):
        return [_converted(entry, cudnn, version) for entry in value]
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("class_name"), str) or not isinstance(value.get("config"), dict):
        return {key: _converted(entry, cudnn, version) for key, entry in value.items()}
    name, config = value["class_name"], {k: _converted(v, cudnn, version) for k, v in value["config"].items()}
    if name in _RULES:
        _RULES[name](config, version)
    if name in _CUDNN:
        cudnn.add(config.get("name"))
        name = _CUDNN[name]
    if "layers" not in config:
        config = {k: v for k, v in config.items() if k not in _DROPPED}
        config = {k: v for k, v in config.items() if k != "batch_input_shape" or v is not None}
    return {**value, "class_name": name, "config": config}


def _input(config, version):
    if "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")


def _recurrent(config, version):
    if config.pop("time_major", False):
        raise ValueError(
            f"Layer '{config.get('name')}' has time_major=True: it takes (timesteps, batch, features), which no layer of Keras 3 does."
        )
    config.pop("input_length", None)
    if config.get("recurrent_activation") == "hard_sigmoid" and version < "3":
        import warnings

        warnings.warn(
            f"Layer '{config.get('name')}' was trained with the hard_sigmoid of Keras 2, clip(0.2 x + 0.5, 0, 1); the one here is that of "
            "Keras 3, clip(x / 6 + 0.5, 0, 1), and gives other numbers, as it does in Keras 3.", stacklevel=2,
        )


def _gru(config, version):
    _recurrent(config, version)
    config.setdefault("reset_after", False)  # as it was before there was the argument


def _cudnn_lstm(config, version):
    _recurrent(config, version)
    config["activation"], config["recurrent_activation"] = "tanh", "sigmoid"


def _cudnn_gru(config, version):
    _cudnn_lstm(config, version)
    config["reset_after"] = True


def _lambda(config, version):
    for name in ("module", "function_type", "output_shape_type", "output_shape_module"):
        config.pop(name, None)
    function = config.get("function")
    if isinstance(function, list):
        config["function"] = {"class_name": "__lambda__", "config": {"value": function}}
    elif isinstance(function, str):
        config["function"] = {"class_name": "function", "config": function}


_RULES = {
    "InputLayer": _input, "SimpleRNN": _recurrent, "LSTM": _recurrent, "GRU": _gru, "CuDNNLSTM": _cudnn_lstm, "CuDNNGRU": _cudnn_gru,
    "Lambda": _lambda,
}
