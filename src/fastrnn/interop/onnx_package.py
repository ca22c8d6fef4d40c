"""The optional package `onnx`, which reads and writes the files."""


def load_onnx(function):
    """The package, or an ImportError that says which function needs it and how to get it."""
    try:
        import onnx
    except ImportError:
        raise ImportError(f"`{function}` needs the package `onnx`, which is not installed: `pip install 'fastrnn[onnx]'`.") from None
    return onnx
