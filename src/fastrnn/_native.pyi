"""Types of the compiled module; `_native.pyx` has the explanations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from numpy import float64, int32, int64, uint8, uint64
from numpy.typing import NDArray

# float32 or float64, C-contiguous unless said otherwise
_Real = NDArray

ACTIVATIONS: Final[tuple[str, ...]]
NEEDS_INPUT: Final[frozenset[str]]
CELLS: Final[tuple[str, ...]]
GATES: Final[dict[str, int]]
LOSSES: Final[tuple[str, ...]]
FEW_ROWS: Final[int]
ONE_HOT: Final[frozenset[str]]
OPTIMIZERS: Final[tuple[str, ...]]
MERGE_MODES: Final[tuple[str, ...]]
POOL_MODES: Final[tuple[str, ...]]
NORMALIZE_MODES: Final[tuple[str, ...]]
RECTIFIERS: Final[tuple[str, ...]]
NOISES: Final[tuple[str, ...]]
REDUCTIONS: Final[tuple[str, ...]]
isa: Final[str]

def available_isas() -> tuple[str, ...]: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int | None) -> None: ...
def openmp_version() -> int: ...
def activate(name: str, x: _Real, y: _Real) -> None: ...
def update(
    kind: str,
    w: _Real,
    g: _Real,
    slots: Sequence[_Real],
    scalars: Iterable[float],
    g_scale: float = 1.0,
    clipvalue: float = 0.0,
    decay: float = 0.0,
) -> None: ...
def fma_peak(seconds: float = 0.1, dtype: str = "float32", threads: int = 1) -> float: ...
def read_bandwidth(size: int, seconds: float = 0.1) -> float: ...

class Version:
    value: int
    retired: bool
    def __init__(self) -> None: ...

class Operations:
    @property
    def dtype(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def training(self) -> bool: ...
    repeat: int
    def __init__(self, dtype: str, batch: int, training: bool) -> None: ...
    def add_rnn(
        self,
        *,
        cell: str,
        activation: str,
        recurrent_activation: str,
        x: _Real,
        kernel: _Real,
        recurrent_kernel: _Real,
        bias: _Real | None = None,
        y: _Real | None = None,
        y_last: _Real | None = None,
        dx: _Real | None = None,
        dy: _Real | None = None,
        dy_last: _Real | None = None,
        add_dx: bool = False,
        dkernel: _Real | None = None,
        drecurrent_kernel: _Real | None = None,
        dbias: _Real | None = None,
        mask: NDArray[uint8] | None = None,
        recurrent_dropout: _Real | None = None,
        state_in: Sequence[_Real] = (),
        state_out: Sequence[_Real] = (),
        dstate_in: Sequence[_Real] = (),
        dstate_out: Sequence[_Real] = (),
        reverse_x: bool = False,
        reverse_y: bool = False,
        zero_output_for_mask: bool = False,
    ) -> None: ...
    def add_dense(
        self,
        *,
        activation: str,
        x: _Real,
        kernel: _Real,
        y: _Real,
        bias: _Real | None = None,
        dx: _Real | None = None,
        dy: _Real | None = None,
        dkernel: _Real | None = None,
        dbias: _Real | None = None,
    ) -> None: ...
    def add_conv2d(
        self,
        *,
        activation: str,
        x: _Real,
        kernel: _Real,
        y: _Real,
        strides: tuple[int, int],
        dilation: tuple[int, int],
        padding: tuple[int, int],
        bias: _Real | None = None,
        dx: _Real | None = None,
        dy: _Real | None = None,
        dkernel: _Real | None = None,
        dbias: _Real | None = None,
    ) -> None: ...
    def add_pool(
        self,
        *,
        mode: str,
        x: _Real,
        y: _Real,
        pool_size: tuple[int, int],
        strides: tuple[int, int],
        padding: tuple[int, int],
        dx: _Real | None = None,
        dy: _Real | None = None,
    ) -> None: ...
    def add_global_pool(
        self,
        *,
        mode: str,
        x: _Real,
        y: _Real,
        mask: NDArray[uint8] | None = None,
        dx: _Real | None = None,
        dy: _Real | None = None,
    ) -> None: ...
    def add_rearrange(
        self,
        *,
        x: NDArray,
        y: NDArray,
        axes: Sequence[tuple[int, int, int]],
        dx: _Real | None = None,
        dy: _Real | None = None,
    ) -> None: ...
    def add_embedding(
        self, *, ids: NDArray[int32], table: _Real, y: _Real, dtable: _Real | None = None, dy: _Real | None = None
    ) -> None: ...
    def add_mask(
        self,
        *,
        mask: NDArray[uint8],
        ids: NDArray[int32] | None = None,
        x: _Real | None = None,
        y: _Real | None = None,
        value: float = 0.0,
        dx: _Real | None = None,
        dy: _Real | None = None,
    ) -> None: ...
    def add_dropout(
        self,
        *,
        rate: float,
        noise: _Real,
        x: _Real | None = None,
        y: _Real | None = None,
        dx: _Real | None = None,
        dy: _Real | None = None,
        add_dx: bool = False,
        repeat: int = 1,
    ) -> None: ...
    def add_activation(
        self, *, activation: str, x: _Real, y: _Real, dx: _Real | None = None, dy: _Real | None = None
    ) -> None: ...
    def add_merge(
        self,
        *,
        mode: str,
        a: _Real,
        b: _Real,
        y: _Real,
        da: _Real | None = None,
        db: _Real | None = None,
        dy: _Real | None = None,
    ) -> None: ...
    def add_function(self, forward: Callable[[int, bool], None], backward: Callable[[int], None] | None = None) -> None: ...
    def add_normalize(
        self,
        *,
        mode: str,
        x: _Real,
        y: _Real,
        size: int,
        epsilon: float = 0.0,
        gamma: _Real | None = None,
        beta: _Real | None = None,
        dx: _Real | None = None,
        dy: _Real | None = None,
        dgamma: _Real | None = None,
        dbeta: _Real | None = None,
        order: NDArray[int64] | None = None,
        weight: NDArray[int64] | None = None,
        keep: NDArray[uint8] | None = None,
    ) -> None: ...
    def add_batch_norm(
        self,
        *,
        x: _Real,
        y: _Real,
        axis: int,
        epsilon: float,
        momentum: float,
        moving_mean: _Real,
        moving_variance: _Real,
        gamma: _Real | None = None,
        beta: _Real | None = None,
        dx: _Real | None = None,
        dy: _Real | None = None,
        dgamma: _Real | None = None,
        dbeta: _Real | None = None,
        mask: NDArray[uint8] | None = None,
        mask_epsilon: float = 0.0,
        trains: bool = True,
    ) -> None: ...
    def add_affine(
        self,
        *,
        x: _Real,
        y: _Real,
        shift: _Real | None = None,
        scale: _Real | None = None,
        offset: _Real | None = None,
        mean: _Real | None = None,
        variance: _Real | None = None,
        index: NDArray[int64] | None = None,
        epsilon: float = 0.0,
        invert: bool = False,
        dx: _Real | None = None,
        dy: _Real | None = None,
    ) -> None: ...
    def add_rectifier(
        self,
        *,
        kind: str,
        x: _Real,
        y: _Real,
        dx: _Real | None = None,
        dy: _Real | None = None,
        slope: float = 0.0,
        max_value: float = ...,
        threshold: float = 0.0,
        alpha: _Real | None = None,
        dalpha: _Real | None = None,
        index: NDArray[int64] | None = None,
    ) -> None: ...
    def add_noise(
        self,
        *,
        kind: str,
        rate: float,
        x: _Real,
        y: _Real,
        draws: int,
        dx: _Real | None = None,
        dy: _Real | None = None,
        index: NDArray[int64] | None = None,
        shared: bool = False,
        state: NDArray[uint64] | None = None,
    ) -> None: ...

class Program(Operations):
    in_place_inputs: bool
    in_place_targets: bool
    @property
    def last_loss(self) -> float: ...
    @property
    def steps_done(self) -> int: ...
    def __init__(self, dtype: str, batch: int, training: bool, version: Version) -> None: ...
    def set_loss(
        self,
        kind: str,
        params: Mapping[str, float],
        *,
        y_true: _Real,
        y_pred: _Real,
        dy_pred: _Real | None = None,
        reduction: str = "sum_over_batch_size",
        weights: _Real | None = None,
        mask: NDArray[uint8] | None = None,
        epsilon: float = 1e-7,
    ) -> None: ...
    def set_targets(
        self, *, y_true: _Real, y_pred: _Real, weights: _Real | None = None, mask: NDArray[uint8] | None = None
    ) -> None: ...
    def add_metric(
        self, kind: str, params: Mapping[str, float], *, weighted: bool = False, epsilon: float = 1e-7
    ) -> int: ...
    def set_optimizer(
        self,
        kind: str,
        weights: _Real,
        gradient: _Real,
        slots: Sequence[_Real],
        segments: Sequence[tuple[int, int, bool]],
        *,
        clipnorm: float = 0.0,
        global_clipnorm: float = 0.0,
        clipvalue: float = 0.0,
    ) -> None: ...
    def set_gradient(self, gradient: _Real) -> None: ...
    def set_source(self, i: int, buffer: NDArray | None, data: NDArray | None) -> None: ...
    def set_step(self, x: NDArray, y: _Real, vocabulary: int = 0) -> None: ...
    def forward(
        self,
        n: int,
        *,
        order: NDArray[int64] | None = None,
        start: int = 0,
        training: bool = False,
        score: bool = False,
        result: _Real | None = None,
    ) -> None: ...
    def set_output(self, buffer: _Real) -> None: ...
    def step(self, x: NDArray, out: _Real | None = None) -> _Real: ...
    def backward(self) -> None: ...
    def apply(self, decay: float, scalars: Iterable[float]) -> None: ...
    def train_steps(
        self,
        order: NDArray[int64] | None,
        start: int,
        stop: int,
        n: int,
        decay: float,
        scalars: Iterable[float],
        most: int = 1,
    ) -> None: ...
    def reset_metrics(self) -> None: ...
    def sums(self) -> list[tuple[float, float]]: ...
    def add_loss(self, value: float) -> None: ...
    def add_penalty(self, value: float) -> None: ...
    def take_sums(self, other: Program) -> None: ...
    def set_seed(self, seed: int) -> None: ...
