"""TextVectorization: texts to numbers, before a model sees them."""

import re
from collections import Counter

import numpy as np

from ..config import floatx
from .base import Layer, from_tensor

_PUNCTUATION = str.maketrans(dict.fromkeys("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'", ""))
_LOWER = str.maketrans({chr(c): chr(c + 32) for c in range(ord("A"), ord("Z") + 1)})  # of ASCII only, as TensorFlow does
_WORDS = re.compile(r"[^ \t\n\v\f\r]+")
_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_OLD_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}
_UNKNOWN = "[UNK]"


class TextVectorization(Layer):
    """Turns texts into numbers of their words, or into one vector per text.

    Each text is standardized, split into tokens, these are joined to n-grams if wanted and looked up in a vocabulary, which `adapt` learns
    or `vocabulary` gives. Call it on texts, and give what it returns to a model: it cannot be a layer of one, since models read numbers.

    Args:
        max_tokens: largest size of the vocabulary, with its special tokens; None for any.
        standardize: "lower_and_strip_punctuation", "lower", "strip_punctuation" (of ASCII characters, as in Keras), None, or a function
            from an array of str to another of the same shape.
        split: "whitespace", "character", None, or a function from an array of str to a list of tokens for each.
        ngrams: None; an int for n-grams up to that length; or a tuple of lengths.
        output_mode: "int" for the number of each token (0 for padding, 1 for unknown tokens); "multi_hot", "count" or "tf_idf" for a
            vector with an entry for each token of the vocabulary (the first for unknown ones); "one_hot" for such a vector per token.
        output_sequence_length: with "int", pad and cut to this length; None for the longest text of the call.
        pad_to_max_tokens: make those vectors `max_tokens` long.
        vocabulary: list of tokens, or the path of a file with one per line.
        idf_weights: with "tf_idf" and `vocabulary`, the weight of each token.
        sparse, ragged: only False.
        encoding: of texts given as bytes.

    >>> layer = TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["foo bar", "bar baz", "baz bada boom"])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'baz', 'bar', 'foo', 'boom', 'bada']
    >>> layer(["Foo, qux bar!", "qux baz"])
    array([[4, 1, 3, 0],
           [1, 2, 0, 0]])
    """

    def __init__(self, max_tokens=None, standardize="lower_and_strip_punctuation", split="whitespace", ngrams=None, output_mode="int",
                 output_sequence_length=None, pad_to_max_tokens=False, vocabulary=None, idf_weights=None, sparse=False, ragged=False,
                 encoding="utf-8", name=None, **kwargs):
        for argument, value in (("sparse", sparse), ("ragged", ragged)):
            if value:
                raise ValueError(f"`{argument}=True` can only be used with the TensorFlow backend.")
        output_mode = _OLD_MODES.get(output_mode, output_mode)
        _check_choice("standardize", standardize, ("lower_and_strip_punctuation", "lower", "strip_punctuation"), functions=True)
        _check_choice("split", split, ("whitespace", "character"), functions=True)
        _check_choice("output_mode", output_mode, _MODES)
        if not (ngrams is None or isinstance(ngrams, int) or (isinstance(ngrams, tuple) and all(isinstance(n, int) for n in ngrams))):
            raise ValueError(f"`ngrams` must be None, an integer, or a tuple of integers. Received: ngrams={ngrams}")
        if output_mode == "int" and not (output_sequence_length is None or isinstance(output_sequence_length, int)):
            raise ValueError("`output_sequence_length` must be either None or an integer when `output_mode` is 'int'. "
                             f"Received: output_sequence_length={output_sequence_length}")
        if output_mode != "int" and output_sequence_length is not None:
            raise ValueError("`output_sequence_length` must not be set if `output_mode` is not 'int'. "
                             f"Received output_sequence_length={output_sequence_length}.")
        kwargs.pop("vocabulary_size", None)  # of a configuration
        self._fixed = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        super().__init__(name=name, **kwargs)
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(f"If set, `max_tokens` must be greater than 1. Received: max_tokens={max_tokens}")
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"If pad_to_max_tokens is True, must set `max_tokens`. Received: max_tokens={max_tokens}")
        if idf_weights is not None and output_mode != "tf_idf":
            raise ValueError(f"`idf_weights` should only be set if `output_mode` is `'tf_idf'`. Received: idf_weights={idf_weights} and "
                             f"output_mode={output_mode}")
        if output_mode == "tf_idf" and vocabulary is not None and idf_weights is None:
            raise ValueError("When specifying the `vocabulary` argument, in TF-IDF output mode, the `idf_weights` argument must also be "
                             "provided.")
        self.max_tokens, self.standardize, self.split, self.ngrams = max_tokens, standardize, split, ngrams
        self.output_mode, self.output_sequence_length, self.pad_to_max_tokens = output_mode, output_sequence_length, pad_to_max_tokens
        self.encoding = encoding
        self._given = None if isinstance(vocabulary, str) else _as_list(vocabulary), _as_list(idf_weights)
        self._specials = ["", _UNKNOWN] if output_mode == "int" else [_UNKNOWN]
        self._numbers = None  # of the tokens, once they are known
        self._idf = None
        self.built = True
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # -- the vocabulary ------------------------------------------------------------------------------------------------------

    def adapt(self, data, batch_size=None, steps=None):
        """Learn the vocabulary: the most frequent tokens, those of equal frequency from the last in the alphabet to the first.

        Args:
            data: list or array of texts, or an iterable of batches of them.
            batch_size: ignored.
            steps: number of batches to read of an iterable; None for all.

        Raises:
            ValueError: if the layer was given its `vocabulary`.
            RuntimeError: if the size of the vocabulary changes, in another mode than "int" without `pad_to_max_tokens`.
        """
        if self._fixed:
            raise ValueError(f"Cannot adapt layer '{self.name}' after setting a static vocabulary via `vocabulary` argument or "
                             "`set_vocabulary()` method.")
        counts, documents, number = Counter(), Counter(), 0
        for batch in self._batches(data, steps):
            for tokens in self._tokens(batch)[0]:
                counts.update(tokens)
                documents.update(set(tokens))
                number += 1
        for token in ("", _UNKNOWN):
            counts.pop(token, None)
        tokens = sorted(counts, key=lambda token: (counts[token], token.encode()), reverse=True)
        if self.max_tokens is not None:
            tokens = tokens[: self.max_tokens - len(self._specials)]
        idf = np.log(1 + number / (1 + np.array([documents[token] for token in tokens])))
        self._assign(tokens, idf.astype(floatx()) if self.output_mode == "tf_idf" else None)

    def _batches(self, data, steps):
        if hasattr(data, "__iter__") and not isinstance(data, (str, list, tuple)) and not hasattr(data, "__array__"):
            for k, batch in enumerate(data):
                if steps is not None and k >= steps:
                    return
                yield batch
        else:
            texts = self._texts(data)
            yield texts[:, None] if texts.ndim == 1 else texts

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Set the tokens, and their weights with output_mode="tf_idf".

        Args:
            vocabulary: list or array of tokens, or the path of a file with one per line; a list may begin with the special tokens.
            idf_weights: as many weights.

        Raises:
            ValueError: for tokens that repeat, are too many, or reserved, and if weights are missing, too many, or not wanted.
        """
        if self.output_mode == "tf_idf" and idf_weights is None:
            raise ValueError("`idf_weights` must be set if output_mode is 'tf_idf'.")
        if self.output_mode != "tf_idf" and idf_weights is not None:
            raise ValueError(f"`idf_weights` should only be set if output_mode is `'tf_idf'`. Received: output_mode={self.output_mode} and "
                             f"idf_weights={idf_weights}")
        specials = self._specials
        if isinstance(vocabulary, str):
            tokens, given = self._read(vocabulary), 0
        else:
            tokens = self._texts(vocabulary).reshape(-1).tolist()
            given = len(specials) if tokens[: len(specials)] == specials else 0
        if not tokens:
            raise ValueError(f"Cannot set an empty vocabulary. Received: vocabulary={vocabulary}")
        if idf_weights is not None and len(idf_weights) != len(tokens):
            raise ValueError("`idf_weights` must be the same length as vocabulary. "
                             f"len(idf_weights) is {len(idf_weights)}; len(vocabulary) is {len(tokens)}")
        tokens = tokens[given:]
        repeated = [token for token, count in Counter(tokens).items() if count > 1]
        if repeated:
            raise ValueError("The passed vocabulary has at least one repeated term. Please uniquify your dataset. The repeated terms are: "
                             f"{repeated}")
        if "" in tokens:
            raise ValueError(
                "Found reserved mask token at unexpected location in `vocabulary`. Note that passed `vocabulary` does not need to include "
                "the OOV and mask tokens. Either remove all mask and OOV tokens, or include them only at the start of the vocabulary in "
                f"precisely this order: {specials}. Received: mask_token= at vocabulary index {given + tokens.index('')}"
            )
        size = len(specials) + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError("Attempted to set a vocabulary larger than the maximum vocab size. "
                             f"Received vocabulary size is {size}; `max_tokens` is {self.max_tokens}.")
        self._assign(tokens, None if idf_weights is None else np.asarray(idf_weights, floatx()), given)

    def _read(self, path):
        import os

        if not os.path.exists(path):
            raise ValueError(f"Vocabulary file {path} does not exist.")
        with open(path, encoding=self.encoding) as file:
            return file.read().splitlines()

    def _assign(self, tokens, idf, given=0):
        """Take these tokens; `idf` holds the weights of the special tokens too if there are `given` of them, else they get the mean."""
        start = len(self._specials)
        if self._numbers is not None and self._has_vectors() and len(tokens) != len(self._numbers):
            raise RuntimeError(
                f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, the vocabulary size cannot be changed after "
                f"the layer is called. Old vocab size is {self.vocabulary_size()}, new vocab size is {start + len(tokens)}"
            )
        if idf is not None:
            if not given:
                idf = np.concatenate([np.full(start, idf.mean() if len(idf) else 0, idf.dtype), idf])
            if self.pad_to_max_tokens:
                idf = np.pad(idf, (0, self.max_tokens - len(idf)))
        self._numbers = {token: start + k for k, token in enumerate(tokens)}
        self._idf = idf

    def _has_vectors(self):
        return self.output_mode != "int" and not self.pad_to_max_tokens

    def get_vocabulary(self, include_special_tokens=True):
        """The tokens, a list in the order of their numbers.

        Args:
            include_special_tokens: whether those for padding ("") and unknown tokens ("[UNK]") come first.
        """
        return (self._specials if include_special_tokens else []) + list(self._numbers or ())

    def vocabulary_size(self):
        """Number of tokens, with the special ones."""
        return len(self._specials) + len(self._numbers or ())

    # -- the texts -----------------------------------------------------------------------------------------------------------

    def __call__(self, inputs, training=False):
        """Numbers of texts.

        Args:
            inputs: a text, a list or array of texts, (n,) or (n, 1); without `split` also (n, tokens).

        Returns: int64 array (n, length) or (n, vocabulary), float with "tf_idf"; without the first axis for a single text.

        Raises:
            RuntimeError: before the vocabulary is known.
        """
        if self._numbers is None:
            condition = f"When using `output_mode={self.output_mode}`" + " and `pad_to_max_tokens=False`" * self._has_vectors()
            raise RuntimeError(f"{condition}, you must set the layer's vocabulary before calling it. Either pass a `vocabulary` argument "
                               "to the layer, or call `adapt` with some sample data.")
        rows, single = self._tokens(inputs)
        unknown = len(self._specials) - 1
        numbers = [[0 if token == "" else self._numbers.get(token, unknown) for token in row] for row in rows]
        if self.output_mode == "int":
            out = self._padded(numbers)
        elif self.output_mode == "one_hot":
            out = self._one_hot(rows, numbers, single)
        else:
            out = self._counted(rows, numbers)
        return out[0] if single else out

    def _padded(self, numbers):
        length = self.output_sequence_length
        length = max(map(len, numbers), default=0) if length is None else length
        out = np.zeros((len(numbers), length), np.int64)
        for row, values in zip(out, numbers):
            row[: len(values)] = values[:length]
        return out

    def _depth(self):
        return self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()

    def _counted(self, rows, numbers):
        out = np.zeros((len(rows), self._depth()), np.int64)
        for counts, tokens, values in zip(out, rows, numbers):
            for token, value in zip(tokens, values):
                if token != "":
                    counts[value] += 1
        if self.output_mode == "multi_hot":
            return np.minimum(out, 1)
        return out if self.output_mode == "count" else out.astype(floatx()) * self._idf

    def _one_hot(self, rows, numbers, single):
        if self.split is not None and not single:
            raise ValueError("`output_mode='one_hot'` needs texts of one token each: use `split=None`, or another mode.")
        out = np.zeros((len(rows), len(rows[0]) if rows else 0, self._depth()), np.int64)
        for vectors, tokens, values in zip(out, rows, numbers):
            for vector, token, value in zip(vectors, tokens, values):
                vector[value] = token != ""
        return out[:, 0] if out.shape[1] == 1 and not single else out

    def _tokens(self, inputs):
        """A list of tokens for each text; and whether it stands for a single text (or, without `split`, for a list of tokens)."""
        texts = self._standardized(self._texts(inputs))
        if self.split is not None:
            if texts.ndim > 1 and (texts.shape[-1] != 1 or texts.ndim > 2):
                raise ValueError("When using `TextVectorization` to tokenize strings, the input rank must be 1 or the last shape dimension "
                                 f"must be 1. Received: inputs.shape={texts.shape} with rank={texts.ndim}")
            single = texts.ndim == 0
            texts = texts.reshape(-1)
            if self.split == "whitespace":
                rows = [_WORDS.findall(text) for text in texts]
            elif self.split == "character":
                rows = [list(text) for text in texts]
            else:
                rows = [self._texts(row).reshape(-1).tolist() for row in self.split(texts.astype(str))]
        else:
            single = texts.ndim < 2
            rows = texts.reshape(1, -1).tolist() if single else texts.reshape(-1, texts.shape[-1]).tolist()
        if self.ngrams is not None:
            lengths = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams
            rows = [[" ".join(row[k : k + n]) for n in lengths for k in range(len(row) - n + 1)] for row in rows]
        return rows, single

    def _texts(self, inputs):
        """An array of str objects."""
        array = np.asarray(from_tensor(inputs), dtype=object)
        flat = [text.decode(self.encoding) if isinstance(text, bytes) else text for text in array.reshape(-1).tolist()]
        if all(isinstance(text, str) for text in flat):
            texts = np.empty(len(flat), object)
            texts[:] = flat
            return texts.reshape(array.shape)
        raise ValueError(f"{self.name}: expected texts (str), got {type(inputs).__name__} {inputs!r:.60}")

    def _standardized(self, texts):
        if callable(self.standardize):
            return self._texts(self.standardize(texts.astype(str)))
        tables = [table for table, word in ((_LOWER, "lower"), (_PUNCTUATION, "strip_punctuation")) if word in (self.standardize or "")]
        out = texts.copy()
        for k, text in enumerate(texts.flat):
            for table in tables:
                text = text.translate(table)
            out.flat[k] = text
        return out

    # -- as a layer ----------------------------------------------------------------------------------------------------------

    implicit_input_shape = (None, 1)  # so that a model refuses it at once

    def check_input(self, input_shape):
        """Raise ValueError: it cannot be part of a model."""
        raise ValueError(
            f"Layer '{self.name}' turns texts into numbers and cannot be a layer of a model, which reads numbers. Map the texts first: "
            f"model.fit(layer(texts), y)."
        )

    def compute_output_shape(self, input_shape):
        """Shape of what a call on texts of this shape returns."""
        shape = tuple(input_shape)
        if self.output_mode == "int":
            return shape[0], self.output_sequence_length
        if self.split is not None or len(shape) <= 1:
            shape = (*shape, 1 if self.split is None else None)
        if self.output_mode == "one_hot" and shape[-1] != 1:
            return (*shape, self._depth())
        return (*shape[:-1], self._depth())

    def get_config(self):
        """The arguments of the constructor, as a dict; what `adapt` learned is not part of it."""
        names = ("max_tokens", "standardize", "split", "ngrams", "output_mode", "output_sequence_length", "pad_to_max_tokens")
        vocabulary, idf_weights = self._given
        return super().get_config() | {name: getattr(self, name) for name in names} | {
            "sparse": False, "ragged": False, "vocabulary": vocabulary, "idf_weights": idf_weights, "encoding": self.encoding,
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        ngrams = config.get("ngrams")
        return cls(**{**config, "ngrams": tuple(ngrams) if isinstance(ngrams, list) else ngrams})


def _check_choice(name, value, choices, functions=False):
    if value in choices or (functions and (value is None or callable(value))):
        return
    raise ValueError(f"Unknown value for `{name}` argument of TextVectorization. Allowed values are: {choices}. Received: {name}={value}")


def _as_list(values):
    return values if values is None else np.asarray(from_tensor(values)).tolist()
