"""Models that share layers train the same weights, and keep their optimizers' state when the weights move."""

import numpy as np


def make(K, shared):
    model = K.Sequential([shared, K.layers.Dense(1)])
    model.compile(optimizer=K.optimizers.Adam(learning_rate=0.01), loss="mse")
    return model


def test_optimizer_state_survives_another_model_taking_the_weights(K, rng):
    x, y = rng.normal(size=(8, 4, 3)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    results = []
    for disturb in (False, True):
        K.utils.set_random_seed(1)
        shared = K.layers.LSTM(5)
        model = make(K, shared)
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
        other = make(K, shared) if disturb else None
        if disturb:
            other.predict(x, verbose=0)  # the weights of the shared layer move to this model's vector
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
        results.append(model.get_weights())
        if disturb:
            np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    for undisturbed, disturbed in zip(*results):
        np.testing.assert_array_equal(undisturbed, disturbed)
