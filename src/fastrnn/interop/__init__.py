"""Models and weights from and to others: PyTorch modules and state dicts. `torch` is imported only to make tensors."""

from .pytorch import from_torch as from_torch
from .pytorch import load_torch_weights as load_torch_weights
from .pytorch import to_torch_state_dict as to_torch_state_dict

__all__ = ["from_torch", "load_torch_weights", "to_torch_state_dict"]
