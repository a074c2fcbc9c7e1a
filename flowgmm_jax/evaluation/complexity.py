"""How complex an image is: the length of its shortest lossless code among a few general ones."""

import io
import lzma
import math
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from flowgmm_jax.evaluation.passes import progress

NATS_PER_BYTE = 8 * math.log(2)
# Signature, header, end, and the frame of one data chunk: the same for every image.
_PNG_FRAME = 57


def _residuals(image: np.ndarray) -> list[np.ndarray]:
    """The image (H, W, C), and what is left of it when a pixel is predicted, modulo 256: from the
    left, from above, and from both and the corner (the median predictor of JPEG-LS)."""
    padded = np.pad(image, ((1, 0), (1, 0), (0, 0))).astype(np.int16)
    left, up, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    median = np.clip(left + up - corner, np.minimum(left, up), np.maximum(left, up))
    return [image, *((image - prediction).astype(np.uint8) for prediction in (left, up, median))]


def _png(image: np.ndarray) -> int:
    """Bytes of a PNG without its frame; channels that PNG does not have lie side by side."""
    if image.shape[-1] != 3:
        image = image.reshape(len(image), -1)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return file.tell() - _PNG_FRAME


def _lzma(data: bytes) -> int:
    """Bytes of an LZMA stream without container, with contexts for kilobytes of data."""
    options = {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, len(data)), "lc": 0, "pb": 0}
    return len(lzma.compress(data, lzma.FORMAT_RAW, filters=[options]))


def _shortest(image: np.ndarray) -> int:
    """Bytes of the shortest code of an image (H, W, C)."""
    deflate = len(zlib.compress(image.tobytes(), level=9, wbits=-15))  # without container
    return min(_png(image), deflate, *(_lzma(residual.tobytes()) for residual in _residuals(image)))


def code_length(x: np.ndarray) -> np.ndarray:
    """Nats of each image's shortest code (Serra et al. 2020, https://arxiv.org/abs/1909.11480).

    The codes are PNG, Deflate of the pixels, and LZMA of the pixels and of three predictions'
    residuals. What is the same for all images is not counted: containers, the shape, and the choice
    of the code.

    Args:
      x: uint8 (N, H, W, C).

    Returns:
      float64 (N,).
    """
    length = np.empty(len(x))
    with ThreadPoolExecutor(os.cpu_count()) as threads, progress(len(x), "code lengths") as bar:
        for i, found in enumerate(threads.map(_shortest, x)):
            length[i] = found * NATS_PER_BYTE
            bar.update()
    return length
