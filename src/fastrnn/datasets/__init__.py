"""Data sets: `imdb` and `reuters` as in `keras.datasets`, and `sunspots`, which comes with the package."""

from . import imdb as imdb, reuters as reuters, sunspots as sunspots
