"""The event files of the TensorBoard callback, read back record by record."""

import struct
import sys

import numpy as np
import pytest


def model(K):
    made = K.Sequential([K.layers.Embedding(9, 3, name="words"), K.layers.LSTM(3), K.layers.Dense(1)])
    made.compile(K.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return made


def data(rng, count=12):
    return rng.integers(0, 9, size=(count, 4)), rng.normal(size=(count, 1)).astype("float32")


def events(folder):
    """{tag: [(step, value)]} of all event files in a folder; the value is None for what is no scalar."""
    event_pb2 = pytest.importorskip("tensorboardX").proto.event_pb2
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])  # then a checksum, the record, and its checksum, of four bytes each
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                number = value.simple_value if value.HasField("simple_value") else None
                found.setdefault(value.tag, []).append((event.step, number))
    return found


def test_scalars_of_a_fit(K, rng, tmp_path):
    pytest.importorskip("tensorboardX")
    x, y = data(rng)
    made = model(K)
    history = made.fit(x, y, epochs=3, batch_size=4, validation_split=0.25, verbose=0, callbacks=[
        K.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2), K.callbacks.TensorBoard(tmp_path)]).history
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    assert set(train) == {"epoch_loss", "epoch_mae", "epoch_learning_rate"}
    assert set(validation) == {"epoch_loss", "epoch_mae", "evaluation_loss_vs_iterations", "evaluation_mae_vs_iterations"}
    for tags, tag, key in ((train, "epoch_loss", "loss"), (train, "epoch_mae", "mae"), (train, "epoch_learning_rate", "learning_rate"),
                           (validation, "epoch_loss", "val_loss"), (validation, "epoch_mae", "val_mae")):
        assert tags[tag] == [(epoch, float(np.float32(value))) for epoch, value in enumerate(history[key])]
    assert [step for step, _ in validation["evaluation_loss_vs_iterations"]] == [3, 6, 9]
    assert [value for _, value in validation["evaluation_mae_vs_iterations"]] == [value for _, value in validation["epoch_mae"]]


def test_an_evaluation_after_the_fit_adds_to_it(K, rng, tmp_path):
    pytest.importorskip("tensorboardX")
    x, y = data(rng)
    made, callback = model(K), K.callbacks.TensorBoard(tmp_path)
    made.fit(x, y, epochs=1, validation_data=(x, y), verbose=0, callbacks=[callback])
    made.evaluate(x, y, verbose=0, callbacks=[callback])
    assert [step for step, _ in events(tmp_path / "validation")["evaluation_loss_vs_iterations"]] == [1, 1]


@pytest.mark.parametrize("frequency,steps", [("batch", [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (4, [4])])
def test_scalars_of_batches(K, rng, tmp_path, frequency, steps):
    pytest.importorskip("tensorboardX")
    x, y = data(rng)
    seen = []
    callback = K.callbacks.TensorBoard(tmp_path, update_freq=frequency, write_steps_per_second=True)
    note = K.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(float(np.float32(logs["loss"]))))
    model(K).fit(x, y, epochs=2, batch_size=4, verbose=0, callbacks=[callback, note])
    tags = events(tmp_path / "train")
    assert tags["batch_loss"] == [(step, seen[step - 1]) for step in steps]
    assert [step for step, _ in tags["batch_steps_per_second"]] == steps
    assert all(value > 0 for _, value in tags["epoch_steps_per_second"])


def test_batches_are_not_listened_to_without_need(K):
    pytest.importorskip("tensorboardX")
    assert not K.callbacks.CallbackList([K.callbacks.TensorBoard()]).wants_train_batches
    assert K.callbacks.CallbackList([K.callbacks.TensorBoard(update_freq=3)]).wants_train_batches


def test_weights_and_embeddings(K, rng, tmp_path):
    pytest.importorskip("tensorboardX")
    x, y = data(rng)
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"word {k}\n" for k in range(9)))
    made = model(K)
    callback = K.callbacks.TensorBoard(
        tmp_path / "logs", histogram_freq=2, write_images=True, embeddings_freq=1, embeddings_metadata={"words": str(labels)}
    )
    made.fit(x, y, epochs=3, verbose=0, callbacks=[callback])
    tags = events(tmp_path / "logs" / "train")
    assert [step for step, _ in tags["words/embeddings/histogram"]] == [0, 2]
    assert [step for step, _ in tags["words/embeddings/image"]] == [0, 2]
    assert sum(tag.endswith("/histogram") for tag in tags) == len(made.weights)
    (table,) = (tmp_path / "logs" / "train").glob("00002/*/tensors.tsv")
    np.testing.assert_allclose(np.loadtxt(table), made.get_weights()[0], rtol=1e-5)
    assert (table.parent / "metadata.tsv").read_text().split("\n")[0] == "word 0"


def test_wrong_arguments(K, rng):
    pytest.importorskip("tensorboardX")
    with pytest.raises(ValueError, match=r"profile_batch=2 \(must be 0\)"):
        K.callbacks.TensorBoard(profile_batch=2)
    with pytest.raises(ValueError, match="`update_freq` must be 'batch', 'epoch' or a positive integer. Received: update_freq='day'"):
        K.callbacks.TensorBoard(update_freq="day")
    x, y = data(rng)
    callback = K.callbacks.TensorBoard("never", embeddings_freq=1, embeddings_metadata={"word": "labels.txt"})
    with pytest.raises(ValueError, match=r"\['word'\]. The model has: \['words'\]"):
        model(K).fit(x, y, verbose=0, callbacks=[callback])


def test_missing_package_is_said_at_once(K, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"needs the package tensorboardX.*pip install 'fastrnn\[tensorboard\]'"):
        K.callbacks.TensorBoard()
