"""What the tests of ONNX files share: running them, and comparing what they compute."""

from conftest import assert_close

from fastrnn.interop import export_onnx, import_onnx

TOLERANCE = 1e-5


def run(onnxruntime, path, x):
    """The outputs of a file for an array."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def predict(model, x):
    """The outputs of a model, as a list."""
    y = model.predict(x, verbose=0)
    return list(y) if isinstance(y, (list, tuple)) else [y]


def irregular(model, rng):
    """The model with weights that are nowhere zero, biases included."""
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return model


def same(ours, theirs, tolerance=TOLERANCE):
    assert len(ours) == len(theirs)
    for k, (a, b) in enumerate(zip(ours, theirs)):
        assert_close(b, a, tolerance, f"output {k}", floor=1)


def exported(onnxruntime, path, model, x):
    """Export, and compare what ONNX Runtime computes."""
    export_onnx(model, path)
    same(predict(model, x), run(onnxruntime, path, x))


def padded(rng, features=3):
    """Sequences with steps of zeros on the left, on the right, in between, everywhere and nowhere."""
    x = rng.normal(size=(6, 7, features)).astype("float32")
    x[0, :3] = x[1, 4:] = x[2, [0, 2, 3, 6]] = x[3] = x[4, [1, 5]] = 0
    return x


def round_trip(path, model, x):
    """The model that is read from what is written of a model; it must compute the same."""
    export_onnx(model, path)
    again = import_onnx(path)
    same(predict(model, x), predict(again, x), 1e-6)
    return again
