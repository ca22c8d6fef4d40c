"""Cells whose step is Python: the `forward` and `backward` of a user's own class, run over a sequence as one operation of a program."""

import numpy as np

from .in_python import assign, options, unwritable


class PythonCell:
    """What `RNN` asks of a cell, for a user's own layer with `state_size`, `forward(x, states)` and `backward(x, states, y, dy, dstates)`.

    `forward` returns the output and a list of the new states; `backward` returns the gradients of x and of the states from those of the
    output y and of the new states, and hands those of weights to `add_gradient`.
    """

    def __init__(self, cell):
        self.cell = cell
        self.dtype = cell.dtype
        self.sizes = list(cell.state_size) if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
        self.states = len(self.sizes)
        self.units = output_size(cell)

    def lower_sequence(self, plan, x, *, sequence=None, last=None, mask=None, state_in=(), state_out=(), add_dx=False,
                       reverse_x=False, reverse_y=False, zero_output=False):
        """As in `Cell`."""
        run = _Run(self, x, mask, zero_output)
        steps = x.shape[1]
        reads, writes = (range(steps)[::-1] if reverse else range(steps) for reverse in (reverse_x, reverse_y))
        outputs = [t for t in (sequence, last) if t is not None]
        if plan.training:
            self.cell.check_differentiable()

        def forward(n, training):
            run.start(n, state_in, training)
            for read, write in zip(reads, writes):
                run.step(n, read)
                if sequence is not None:
                    sequence.value[:n, write] = run.output
            if last is not None:
                last.value[:n] = run.output
            for to, state in zip(state_out, run.states):
                to[:n] = state

        def backward(n):
            run.start_backward(n, None if last is None else last.gradient)
            for read, write in zip(reads[::-1], writes[::-1]):
                dx = run.step_backward(n, read, None if sequence is None else sequence.gradient[:n, write])
                if x.gradient is not None:
                    x.gradient[:n, read] = x.gradient[:n, read] + dx if add_dx else dx

        plan.call(forward, backward, x.value, *(t.value for t in outputs), *state_in, *state_out)


class _Run:
    """One pass over a sequence: a skipped step copies the states and repeats the output, as in csrc/rnn_step.inc.h."""

    def __init__(self, lowered, x, mask, zero_output):
        self.cell, self.sizes, self.units, self.dtype = lowered.cell, lowered.sizes, lowered.units, lowered.dtype
        self.x, self.mask, self.zero_output = x, mask, zero_output

    def _zeros(self, n):
        return [np.zeros((n, size), self.dtype) for size in self.sizes]

    def _checked(self, n, states, method):
        """The states, or their gradients, that a method of the cell returned."""
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        if len(states) != len(self.sizes):
            raise ValueError(f"Layer '{self.cell.name}': `{method}` must return {len(self.sizes)} states. Received: {len(states)}")
        checked = self._zeros(n)
        for to, state in zip(checked, states):
            assign(to, state, self.cell, method, "state_size")
        return checked

    def _keep(self, n, t):
        """Which samples take part in a step, to choose with."""
        return True if self.mask is None else self.mask[:n, t, None].view(bool)

    def start(self, n, state_in, training):
        self.options = options(self.cell, training, None)
        self.states = [state[:n].copy() for state in state_in] or self._zeros(n)
        self.output = np.zeros((n, self.units), self.dtype)
        self.tape = []

    def step(self, n, t):
        y = np.empty_like(self.output)
        value, states = self.cell.forward(unwritable(self.x.value[:n, t]), [unwritable(s) for s in self.states], **self.options)
        assign(y, value, self.cell, "forward", "output_size")
        new = self._checked(n, states, "forward")
        self.tape.append((self.states, y))
        keep = self._keep(n, t)
        self.output = np.where(keep, y, np.zeros_like(y) if self.zero_output else self.output)
        self.states = [np.where(keep, after, before) for after, before in zip(new, self.states)]

    def start_backward(self, n, dlast):
        self.doutput = np.zeros((n, self.units), self.dtype) if dlast is None else dlast[:n].copy()
        self.dstates = self._zeros(n)

    def step_backward(self, n, t, dy):
        """The gradient of x at a step."""
        keep, nothing = self._keep(n, t), np.zeros_like(self.doutput)
        dy = self.doutput if dy is None else self.doutput + dy
        self.doutput = nothing if self.zero_output else np.where(keep, nothing, dy)
        past = [np.where(keep, np.zeros_like(d), d) for d in self.dstates]
        states, y = self.tape.pop()
        dx = np.empty_like(self.x.value[:n, t])
        value, dstates = self.cell.backward(
            unwritable(self.x.value[:n, t]), [unwritable(s) for s in states], unwritable(y), np.where(keep, dy, nothing),
            [d - skipped for d, skipped in zip(self.dstates, past)],
        )
        assign(dx, value, self.cell, "backward", "x")
        self.dstates = [d + skipped for d, skipped in zip(self._checked(n, dstates, "backward"), past)]
        return dx


def output_size(cell):
    """Units of a cell's output: those of its first state where it does not say."""
    size = getattr(cell, "output_size", None) or cell.state_size
    return size[0] if isinstance(size, (list, tuple)) else size


def initial_state(cell, batch_size):
    """A list of the states of a cell before the first step."""
    if hasattr(cell, "get_initial_state"):
        states = cell.get_initial_state(batch_size=batch_size)
        return list(states) if isinstance(states, (list, tuple)) else [states]
    return [np.zeros((batch_size, size), cell.dtype) for size in PythonCell(cell).sizes]
