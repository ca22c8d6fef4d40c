"""What convolutions and pooling share: steps and pixels, windows that move over them, and the order of axes."""

from ._arguments import checked_data_format
from .base import Layer
from .reshaping import channels_first, channels_last


class Spatial(Layer):
    """Base of layers on (batch, ..., channels) with `rank` axes of steps or pixels; the mask is dropped.

    Native operations are on (batch, height, width, channels): a sequence is an image of height 1. With data_format="channels_first" the
    input is brought into that order, and the output back.
    """

    takes_ids = False
    keeps_mask = supports_masking = False
    rank = 2

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = checked_data_format(data_format)

    def _split(self, shape):
        """Axes of steps or pixels, and channels, of an input shape."""
        if self.data_format == "channels_last":
            return tuple(shape[1:-1]), shape[-1]
        return tuple(shape[2:]), shape[1]

    def _joined(self, batch, spatial, channels):
        """The inverse of `_split`."""
        return (batch, *spatial, channels) if self.data_format == "channels_last" else (batch, channels, *spatial)

    def lower(self, plan, x, **options):
        first = self.data_format == "channels_first"
        mask = x.mask
        if first:
            x = channels_last(plan, x)
        image = x.reshape(*[1] * (2 - self.rank), *x.shape[1:])
        image.mask = mask
        y = self._lower_image(plan, image, **options)
        y = y.reshape(*y.shape[3 - self.rank :])
        return channels_first(plan, y) if first else y

    def _lower_image(self, plan, x):
        """`lower` from and to (batch, height, width, channels)."""
        raise NotImplementedError


def window(n, size, stride, padding):
    """Number of windows along an axis of length n, and cells of padding before it: with "same" an odd cell of padding comes after, with
    "causal" all come before."""
    if padding == "valid":
        return (n - size) // stride + 1, 0
    count = -(-n // stride)
    return count, size - 1 if padding == "causal" else max(0, (count - 1) * stride + size - n) // 2


def windows(spatial, sizes, strides, padding):
    """`window` of each axis; (None, None) where its length is unknown."""
    return [
        (None, None) if n is None else window(n, size, stride, padding) for n, size, stride in zip(spatial, sizes, strides, strict=True)
    ]


def as_image(values):
    """One number for the steps, or two for the rows and columns of an image, as two: a sequence is an image of height 1."""
    return (1, *values) if len(values) == 1 else tuple(values)
