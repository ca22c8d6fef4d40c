"""Texts as sequences of numbers, as `tf.keras.preprocessing.text` of Keras 2."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

import numpy as np

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(input_text, filters=_FILTERS, lower=True, split=" ") -> list[str]:
    """The words of a text.

    Args:
        input_text: str.
        filters: characters that stand between words, as `split` does.
        lower: whether to put the text into lower case.
        split: what stands between words.

    >>> text_to_word_sequence("The cat, the dog!")
    ['the', 'cat', 'the', 'dog']
    """
    if lower:
        input_text = input_text.lower()
    return [word for word in input_text.translate(str.maketrans(dict.fromkeys(filters, split))).split(split) if word]


def hashing_trick(text, n, hash_function=None, filters=_FILTERS, lower=True, split=" ", analyzer=None) -> list[int]:
    """Numbers from 1 to n - 1 for the words of a text, by their hash: different words may share a number.

    Args:
        text: str.
        n: how many numbers there are, with 0, which no word gets.
        hash_function: None for Python's `hash` (which differs from process to process), "md5", or a function from str to int.
        filters, lower, split: as for `text_to_word_sequence`.
        analyzer: None, or a function from the text to its words, instead of `text_to_word_sequence`.

    >>> hashing_trick("the cat, the dog", 100, "md5")
    [51, 3, 51, 33]
    """
    if hash_function is None:
        hash_function = hash
    elif hash_function == "md5":
        from hashlib import md5

        hash_function = lambda word: int(md5(word.encode(), usedforsecurity=False).hexdigest(), 16)
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [hash_function(word) % (n - 1) + 1 for word in words]


def one_hot(input_text, n, filters=_FILTERS, lower=True, split=" ", analyzer=None) -> list[int]:
    """`hashing_trick` with Python's `hash`: the numbers differ from process to process.

    >>> numbers = one_hot("the cat, the dog", 100)
    >>> numbers[0] == numbers[2]
    True
    """
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


class Tokenizer:
    """Numbers the words of texts: the most frequent is 1, and 0 is no word.

    Args:
        num_words: only the `num_words - 1` most frequent words are used; None for all.
        filters, lower, split: as for `text_to_word_sequence`.
        char_level: take every character as a word.
        oov_token: a word that stands for all unknown ones and gets number 1; None leaves them out.
        analyzer: None, or a function from a text to its words, instead of `text_to_word_sequence`.

    A text is a str, or a list of words.

    Attributes:
        word_index, index_word: dicts from word to number and back, of all words, whatever `num_words` is.
        word_counts, word_docs, index_docs: how often each word was seen; in how many texts, by word and by number.
        document_count: number of texts seen.

    >>> tokenizer = Tokenizer(oov_token="?")
    >>> tokenizer.fit_on_texts(["The cat and the dog.", "The cat!"])
    >>> tokenizer.word_index
    {'?': 1, 'the': 2, 'cat': 3, 'and': 4, 'dog': 5}
    >>> tokenizer.texts_to_sequences(["the cow and the dog"])
    [[2, 1, 4, 2, 5]]
    """

    def __init__(self, num_words=None, filters=_FILTERS, lower=True, split=" ", char_level=False, oov_token=None, analyzer=None, **kwargs):
        if "nb_words" in kwargs:
            import warnings

            warnings.warn("The `nb_words` argument in `Tokenizer` has been renamed `num_words`.", stacklevel=2)
            num_words = kwargs.pop("nb_words")
        document_count = kwargs.pop("document_count", 0)
        if kwargs:
            raise TypeError(f"Unrecognized keyword arguments: {kwargs}")
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.document_count = document_count
        self.word_counts = OrderedDict()
        self.word_docs, self.index_docs = defaultdict(int), defaultdict(int)
        self.word_index, self.index_word = {}, {}

    def fit_on_texts(self, texts):
        """Count the words of texts (an iterable), and number all that were seen so far anew."""
        for text in texts:
            self.document_count += 1
            words = self._words(text)
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in set(words):
                self.word_docs[word] += 1
        ranked = sorted(self.word_counts, key=self.word_counts.get, reverse=True)
        if self.oov_token is not None:
            ranked.insert(0, self.oov_token)
        self.word_index = {word: number for number, word in enumerate(ranked, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        for word, count in self.word_docs.items():
            self.index_docs[self.word_index[word]] = count

    def fit_on_sequences(self, sequences):
        """Count in how many of these sequences each number occurs, for `sequences_to_matrix(mode="tfidf")` without texts."""
        self.document_count += len(sequences)
        for sequence in sequences:
            for number in set(sequence):
                self.index_docs[number] += 1

    def texts_to_sequences(self, texts):
        """A list of numbers for each text."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts):
        """`texts_to_sequences`, one text after the other."""
        unknown = self.word_index.get(self.oov_token)
        for text in texts:
            numbers = (self._known(self.word_index.get(word), unknown) for word in self._words(text))
            yield [number for number in numbers if number is not None]

    def sequences_to_texts(self, sequences):
        """For each sequence of numbers a text, its words with blanks between them."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences):
        """`sequences_to_texts`, one sequence after the other."""
        unknown = self.word_index.get(self.oov_token)
        for sequence in sequences:
            numbers = (self._known(number if number in self.index_word else None, unknown) for number in sequence)
            yield " ".join(self.index_word[number] for number in numbers if number is not None)

    def texts_to_matrix(self, texts, mode="binary"):
        """`sequences_to_matrix` of texts."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences, mode="binary"):
        """A row for each sequence with a column for each number.

        Args:
            sequences: list of lists of numbers.
            mode: "binary" (1 where the number occurs), "count", "freq" (count by length), or "tfidf".

        Returns: float64 array (sequences, `num_words`, or number of words + 1).

        Raises:
            ValueError: for another mode, and before anything was fitted that the result depends on.

        >>> Tokenizer(num_words=4).sequences_to_matrix([[1, 3, 3]], mode="count")
        array([[0., 1., 0., 2.]])
        """
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(f"Unknown vectorization mode: {mode}. Expected 'binary', 'count', 'freq' or 'tfidf'.")
        if not self.num_words and not self.word_index:
            raise ValueError("Specify a dimension (`num_words` argument), or fit on some text data first.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Fit the Tokenizer on some data before using tfidf mode.")
        columns = self.num_words or len(self.word_index) + 1
        matrix = np.zeros((len(sequences), columns))
        for row, sequence in zip(matrix, sequences):
            for number in sequence:
                if number < columns:
                    row[number] += 1
            if mode == "freq" and len(sequence):
                row /= len(sequence)
        if mode == "binary":
            return (matrix > 0).astype(float)
        if mode == "tfidf":
            seen = np.array([self.index_docs.get(number, 0) for number in range(columns)])
            there = matrix > 0
            matrix[there] = 1 + np.log(matrix[there])
            matrix *= np.log(1 + self.document_count / (1 + seen))
        return matrix

    def _words(self, text):
        if not self.char_level and not isinstance(text, list):
            return text_to_word_sequence(text, self.filters, self.lower, self.split) if self.analyzer is None else self.analyzer(text)
        if not self.lower:
            return text
        return [word.lower() for word in text] if isinstance(text, list) else text.lower()

    def _known(self, number, unknown):
        """The number if it is one of the `num_words`, else what stands for unknown words."""
        return unknown if number is None or (self.num_words and number >= self.num_words) else number

    def get_config(self):
        """Arguments and counts, the dicts as JSON. `analyzer` is not part of it."""
        import json

        config = {name: getattr(self, name) for name in
                  ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")}
        return config | {name: json.dumps(getattr(self, name)) for name in
                         ("word_counts", "word_docs", "index_docs", "index_word", "word_index")}

    def to_json(self, **kwargs):
        """The tokenizer as JSON, for `tokenizer_from_json`.

        Args:
            **kwargs: for `json.dumps`.
        """
        import json

        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string) -> Tokenizer:
    """The tokenizer of `Tokenizer.to_json`, of this package or of Keras.

    >>> tokenizer = Tokenizer(num_words=10)
    >>> tokenizer.fit_on_texts(["so it goes"])
    >>> tokenizer_from_json(tokenizer.to_json()).word_index
    {'so': 1, 'it': 2, 'goes': 3}
    """
    import json

    config = json.loads(json_string)["config"]
    dicts = {name: json.loads(config.pop(name)) for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index")}
    tokenizer = Tokenizer(**config)
    tokenizer.word_counts = OrderedDict(dicts["word_counts"])
    tokenizer.word_docs = defaultdict(int, dicts["word_docs"])
    tokenizer.word_index = dicts["word_index"]
    tokenizer.index_docs = defaultdict(int, {int(number): count for number, count in dicts["index_docs"].items()})
    tokenizer.index_word = {int(number): word for number, word in dicts["index_word"].items()}
    return tokenizer
