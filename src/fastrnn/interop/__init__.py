"""Models and weights from and to others: PyTorch state dicts and ONNX files.

`torch` is imported only to make tensors, `onnx` only to read and write its files (`pip install 'fastrnn[onnx]'`).
"""

from .onnx_export import export_onnx as export_onnx
from .onnx_import import import_onnx as import_onnx
from .pytorch import from_torch as from_torch
from .pytorch import load_torch_weights as load_torch_weights
from .pytorch import to_torch_state_dict as to_torch_state_dict

__all__ = ["export_onnx", "from_torch", "import_onnx", "load_torch_weights", "to_torch_state_dict"]
