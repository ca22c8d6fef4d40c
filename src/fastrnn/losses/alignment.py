"""CTC: labels of a sequence whose places in it are not known (Graves et al., 2006). In NumPy, without a native kernel."""

import numpy as np

from .base import BuiltinLoss, with_gradient
from .probability import _log_softmax


def _check(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim == 3 and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    if y_true.ndim != 2:
        raise ValueError(
            "Targets `y_true` are expected to be a tensor of shape `(batch_size, max_length)` in integer format. "
            f"Received: y_true.shape={y_true.shape}"
        )
    if y_pred.ndim != 3:
        raise ValueError(
            "Logits `y_pred` are expected to be a tensor of shape `(batch_size, max_length, num_classes)`. "
            f"Received: y_pred.shape={y_pred.shape}"
        )
    labels = y_true.astype(np.int64)
    if labels.size and not (labels.min() >= 0 and labels.max() < y_pred.shape[-1]):
        raise ValueError(f"Labels must lie in [0, {y_pred.shape[-1]}). Received: labels from {labels.min()} to {labels.max()}")
    return labels, y_pred


def _alignments(labels, log_p, lengths):
    """Negative log-likelihoods (batch,), and where paths pass, as log-probabilities (steps, batch, states), of the states
    blank, label, blank, label, ..., blank."""
    batch, steps, _ = log_p.shape
    states = np.zeros((batch, 2 * labels.shape[1] + 1), np.int64)
    states[:, 1::2] = labels
    emitted = np.moveaxis(np.take_along_axis(log_p, np.repeat(states[:, None], steps, 1), 2), 1, 0)
    may_skip = np.zeros(states.shape, bool)
    may_skip[:, 2:] = (states[:, 2:] != 0) & (states[:, 2:] != states[:, :-2])
    ends = (2 * lengths)[:, None]
    number = np.arange(states.shape[1])[None]

    def pass_over(start, emitted, may_skip):
        paths = np.empty_like(emitted)
        paths[0] = np.where(start, emitted[0], -np.inf)
        for t in range(1, steps):
            sums = paths[t - 1].copy()
            sums[:, 1:] = np.logaddexp(sums[:, 1:], paths[t - 1][:, :-1])
            sums[:, 2:] = np.logaddexp(sums[:, 2:], np.where(may_skip[:, 2:], paths[t - 1][:, :-2], -np.inf))
            paths[t] = sums + emitted[t]
        return paths

    before = pass_over(number <= np.minimum(1, ends), emitted, may_skip)
    # the same backwards: a skip from s to s + 2 is seen from its other end
    skip_back = np.zeros_like(may_skip)
    skip_back[:, :-2] = may_skip[:, 2:]
    last = (number == ends) | (number == ends - 1)
    after = pass_over(last[:, ::-1], emitted[::-1, :, ::-1], skip_back[:, ::-1])[::-1, :, ::-1]
    likelihood = np.logaddexp.reduce(np.where(last, before[-1], -np.inf), axis=-1)
    with np.errstate(invalid="ignore"):
        return -likelihood, states, before + after - emitted - likelihood[:, None]


def _d_ctc(y_true, y_pred):
    labels, y_pred = _check(y_true, y_pred)
    log_p = _log_softmax(y_pred, -1)
    _, states, passing = _alignments(labels, log_p, np.count_nonzero(labels, axis=1))
    gradient = np.exp(log_p)
    for sample in range(len(labels)):
        np.subtract.at(gradient[sample], (slice(None), states[sample]), np.exp(passing[:, sample]))
    return gradient


@with_gradient(_d_ctc)
def ctc(y_true, y_pred):
    """Minus the log-probability of all ways to read the labels out of the sequence, with repetitions and blanks dropped.

    Args:
        y_true: labels (batch, length) from 1 on, 0 behind the last one: it is the blank.
        y_pred: logits (batch, timesteps, classes).

    Returns:
        Values (batch,); infinite where the sequence is too short for its labels.

    >>> ctc([[1]], [[[0.0, 0.0], [0.0, 0.0]]]).round(4).tolist()
    [0.2877]
    """
    labels, y_pred = _check(y_true, y_pred)
    return _alignments(labels, _log_softmax(y_pred, -1), np.count_nonzero(labels, axis=1))[0]


class CTC(BuiltinLoss):
    """Connectionist temporal classification; see `ctc`."""

    function = ctc
    has_kernel = False
    fixed_shapes = False

    def call(self, y_true, y_pred):
        return ctc(y_true, y_pred)

    def gradient(self, y_true, y_pred):
        return _d_ctc(y_true, y_pred)
