"""Corners of Keras's interface that models reach seldom: masks asked of layers, weights of losses of a whole batch, arguments Keras ignores."""

import numpy as np
import pytest
from conftest import to_numpy

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity

MASK = np.array([[True, False, True], [False, False, False]])
X = np.array([[[1.0, 2.0], [0.0, 0.0], [-1.0, -1.0]], [[0.0, 0.0], [-1.0, 3.0], [2.0, 0.0]]], "float32")

MASKED = {
    "padding": lambda L: L.Embedding(4, 2, mask_zero=True).compute_mask(np.array([[1, 0, 3]])),
    "no padding": lambda L: L.Embedding(4, 2).compute_mask(np.array([[1, 0, 3]])),
    "masking": lambda L: L.Masking(-1.0).compute_mask(X),
    "dense": lambda L: L.Dense(2).compute_mask(X, MASK),
    "pooling": lambda L: L.GlobalAveragePooling1D().compute_mask(X, MASK),
    "last": lambda L: L.GRU(2).compute_mask(X, MASK),
    "sequences": lambda L: L.LSTM(2, return_sequences=True).compute_mask(X, MASK),
    "states": lambda L: L.LSTM(2, return_sequences=True, return_state=True).compute_mask(X, MASK),
    "both ways": lambda L: L.Bidirectional(L.GRU(2, return_sequences=True)).compute_mask(X, MASK),
    "two outputs": lambda L: list(L.Bidirectional(L.GRU(2, return_sequences=True), merge_mode=None).compute_mask(X, MASK)),
}


@pytest.mark.parametrize("case", MASKED)
def test_compute_mask(K, case):
    ours, theirs = (MASKED[case](library.layers) for library in (K, keras))
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
    else:
        ours, theirs = [ours], [theirs]
    for a, b in zip(ours, theirs):
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_array_equal(a, to_numpy(b))


def test_time_distributed_takes_a_mask(K):
    ours, theirs = (library.layers.TimeDistributed(library.layers.Dense(3)) for library in (K, keras))
    theirs.build(X.shape)
    ours.build(X.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(X, mask=MASK), to_numpy(theirs(X, mask=MASK)), atol=1e-6)


@pytest.mark.parametrize("loss", ["Dice", "Tversky"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none", "mean_with_sample_weight"])
def test_weights_of_a_loss_of_the_whole_batch(K, loss, reduction):
    y, p, weights = np.eye(2, dtype="float32"), np.array([[0.2, 0.8], [0.6, 0.4]], "float32"), np.array([1.0, 3.0])
    ours, theirs = (getattr(library.losses, loss)(reduction=reduction)(y, p, sample_weight=weights) for library in (K, keras))
    np.testing.assert_allclose(ours, to_numpy(theirs), rtol=1e-5)


def trained(library, weights, layers, loss, y, **fit):
    model = library.Sequential([library.Input((3, 2)), *layers(library.layers)])
    model.set_weights(weights or model.get_weights())
    start = model.get_weights()
    model.compile("sgd", loss)
    return start, model.fit(X, y, epochs=2, shuffle=False, verbose=0, **fit).history["loss"], model.get_weights()


def same_training(K, *args, **fit):
    start, *theirs = trained(keras, None, *args, **fit)
    _, *ours = trained(K, start, *args, **fit)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    for a, b in zip(ours[1], theirs[1]):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_training_with_weights_and_a_loss_of_the_whole_batch(K):
    targets = np.eye(2)[[[0, 1, 1], [1, 0, 1]]]
    same_training(K, lambda L: [L.LSTM(3, return_sequences=True), L.Dense(2, "softmax")], "dice", targets, sample_weight=np.array([1.0, 3.0]))


def test_simple_rnn_ignores_activity_regularizer(K):
    with pytest.warns(UserWarning, match="activity_regularizer"):
        same_training(K, lambda L: [L.SimpleRNN(3, activity_regularizer="l2"), L.Dense(1)], "mse", np.ones((2, 1)))
    same_training(K, lambda L: [L.RNN(L.SimpleRNNCell(3), activity_regularizer="l2"), L.Dense(1)], "mse", np.ones((2, 1)))


def test_input_takes_one_shape(K):
    for library in (K, keras):
        with pytest.raises(ValueError, match="both"):
            library.Input((3,), batch_shape=(2, 3))
