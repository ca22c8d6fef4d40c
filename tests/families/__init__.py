"""What the differential run draws: families of random cases, each a function that does the same with either library.

A family is a function of a `Case`. It draws its configuration from `case.rng`, builds things from `case.L` (fastrnn or real Keras) and
reports what came out by `case.see`. It is run twice with the same seed, once for each library; whatever was seen must agree, and
where one raises the other must raise too. To cover something new, write such a function under `@family`.
"""

import zlib

import numpy as np

FAMILIES = {}


class Skip(Exception):
    """Raised by a family for a configuration that real Keras gets wrong or cannot run on this backend; says why."""


def family(function):
    """Register a family under the name of its function."""
    FAMILIES[function.__name__] = function
    return function


class Case:
    """One run of a family with one library.

    Attributes:
        L: the library.
        rng: the case's generator; both libraries must draw the same from it.
        seen: {name: (value, tolerance)} of what came out.
        notes: what was drawn, in words.
    """

    def __init__(self, library, name, seed):
        self.L = library
        self.is_keras = library.__name__ == "keras"
        self.rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
        self.seen, self.notes = {}, []
        library.utils.clear_session(**({"free_memory": False} if self.is_keras else {}))  # collecting garbage takes 0.1 s
        self.use_float64(False)

    def use_float64(self, yes):
        """Compute in float64 from here on, where formulas can be told from rounding."""
        self.float64 = bool(yes)
        self.L.config.set_floatx("float64" if yes else "float32")
        if self.is_keras:
            # but for TensorFlow Keras computes products of float64 in float32; no formula could be told from that rounding
            from keras.src.backend.common import dtypes

            dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64" if yes else "float32"
        if yes:
            self.note("float64")

    # -- drawing --------------------------------------------------------------------------------------------------------

    def note(self, *what):
        self.notes.append(" ".join(str(w) for w in what))

    def pick(self, values):
        values = list(values)
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share):
        return bool(self.rng.random() < share)

    def integer(self, low, high):
        return int(self.rng.integers(low, high))

    def options(self, share=0.5, **choices):
        """A dict with some of the arguments, each one of the values listed for it."""
        drawn = {name: self.pick(values) for name, values in choices.items() if self.chance(share)}
        self.note(drawn)
        return drawn

    def normal(self, *shape):
        return self.rng.normal(size=shape).astype(self.dtype)

    def irregular(self, thing):
        """Give a layer or model weights that are drawn from the case, none of them special."""
        thing.set_weights([self.rng.normal(0, 0.4, w.shape).astype(w.dtype) for w in thing.get_weights()])
        return thing

    @property
    def dtype(self):
        return "float64" if self.float64 else "float32"

    def dtype_of(self, number):
        """A number in the case's type, which does not widen what it is multiplied with."""
        return np.dtype(self.dtype).type(number)

    # -- seeing ---------------------------------------------------------------------------------------------------------

    def see(self, name, value, tolerance=None):
        """Report a result: numbers, arrays, tensors, strings, None, and lists, tuples and dicts of them."""
        if tolerance is None:
            tolerance = 1e-9 if self.float64 else 2e-5
        self.seen[f"{name}#{len(self.seen)}"] = (plain(value), tolerance)

    def attempt(self, name, action):
        """Report what ``action()`` gives, or that it raises; the case goes on."""
        try:
            self.see(name, action())
        except Exception as error:
            self.see(name, Raised(error))

    def array(self, value):
        """An argument that Keras wants as a tensor (layers called with states)."""
        return self.L.ops.convert_to_tensor(value) if self.is_keras else value


class Raised:
    """Stands for a result where there was none."""

    def __init__(self, error):
        self.error = error

    def __repr__(self):
        return f"{type(self.error).__name__}: {str(self.error)[:300]}"


def plain(value):
    """Tensors and variables as NumPy arrays, containers kept."""
    if isinstance(value, Raised) or value is None or isinstance(value, (str, bool, type)):
        return value
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.array(value.numpy() if hasattr(value, "numpy") else value)  # a copy: Keras's metrics return their variables


def differences(ours, theirs, tolerance, where=""):
    """Texts that say where two plain values disagree; numbers may differ by ``tolerance`` times the largest."""
    if isinstance(ours, Raised) or isinstance(theirs, Raised):
        if isinstance(ours, Raised) != isinstance(theirs, Raised):
            yield f"{where}: fastrnn {_short(ours)}, Keras {_short(theirs)}"
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if set(ours) != set(theirs):
            yield f"{where}: keys only in fastrnn {sorted(set(ours) - set(theirs))}, only in Keras {sorted(set(theirs) - set(ours))}"
        for key in [k for k in theirs if k in ours]:
            yield from differences(ours[key], theirs[key], tolerance, f"{where}[{key!r}]")
        return
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        for k, (a, b) in enumerate(zip(ours, theirs)):
            yield from differences(a, b, tolerance, f"{where}[{k}]")
        return
    if not (isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray)):
        if type(ours) is not type(theirs) or ours != theirs:
            yield f"{where}: fastrnn {_short(ours)}, Keras {_short(theirs)}"
        return
    if ours.shape != theirs.shape:
        yield f"{where}: shape fastrnn {ours.shape}, Keras {theirs.shape}"
    elif ours.dtype.kind not in "fiub" or theirs.dtype.kind not in "fiub":
        if not np.array_equal(ours, theirs):
            yield f"{where}: fastrnn {_short(ours)}, Keras {_short(theirs)}"
    elif ours.size:
        yield from _number_differences(ours.astype(np.float64), theirs.astype(np.float64), tolerance, where)


def _number_differences(ours, theirs, tolerance, where):
    finite = np.isfinite(theirs)
    if not np.array_equal(np.where(finite, 0.0, theirs), np.where(np.isfinite(ours), 0.0, ours), equal_nan=True):
        yield f"{where}: not finite in other places: fastrnn {_short(ours)}, Keras {_short(theirs)}"
        return
    error = np.abs(np.where(finite, ours, 0.0) - np.where(finite, theirs, 0.0))
    # next to zero the rounding of the terms that cancelled counts, which were about as large as 0.01
    limit = tolerance * max(np.abs(theirs[finite]).max(initial=0.0), 0.01)
    if error.max() > limit:
        worst = np.unravel_index(error.argmax(), error.shape)
        yield f"{where}: fastrnn {ours[worst]:.9g}, Keras {theirs[worst]:.9g} at {[int(i) for i in worst]} (limit {limit:.2g})"


def _short(value):
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "..."


def run(name, seed, ours, theirs):
    """One case. Returns (outcome, notes, texts); the outcome is "equal", "different", "both raise" or "skipped"."""
    cases, ends = [], []
    for library in (theirs, ours):
        case = Case(library, name, seed)
        try:
            FAMILIES[name](case)
            end = None
        except Skip as reason:
            return "skipped", [str(reason)], []
        except Exception as error:
            end = Raised(error)
        finally:
            library.config.set_floatx("float32")
        cases.append(case)
        ends.append(end)
    expected, actual = cases
    texts = []
    if (ends[0] is None) != (ends[1] is None):
        texts.append(f"raised: fastrnn {ends[1]}, Keras {ends[0]}")
    for key in [k for k in expected.seen if k in actual.seen]:
        texts.extend(differences(actual.seen[key][0], *expected.seen[key], key.rpartition("#")[0]))
    if not texts and set(expected.seen) != set(actual.seen):
        texts.append(f"saw other things: {sorted(set(expected.seen) ^ set(actual.seen))}")
    outcome = "different" if texts else "equal" if ends[0] is None else "both raise"
    return outcome, expected.notes + ([f"both raise: {ends[0]}"] if outcome == "both raise" else []), texts


from . import layers, rules, training  # noqa: E402, F401 (they register their families here)
