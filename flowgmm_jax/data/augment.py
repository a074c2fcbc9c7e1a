"""Random views of one example on the device, and dequantisation.

A view is ``(key, x) -> x`` for one example, integer image (H, W, C) or float vector (D,), with a
float32 result; it is mapped over a batch with one key an example.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowgmm_jax.data.base import Info

View = Callable[[jax.Array, jax.Array], jax.Array]

ELASTIC_POINTS = 7  # of the coarse grid of a deformation, along each side


def dequantize(key: jax.Array, x: jax.Array) -> jax.Array:
    """Integer grey levels plus uniform noise in [0, 1), float32: a density of the result bounds
    the probability of the integers (Theis et al. 2016, https://arxiv.org/abs/1511.01844, eq. 5)."""
    x = x.astype(jnp.float32)
    # The sum may round up to the next grey level.
    return jnp.minimum(x + jax.random.uniform(key, x.shape), jnp.nextafter(x + 1, 0.0))


def random_crop(key: jax.Array, image: jax.Array, pad: int) -> jax.Array:
    """A window of the image's own size, anywhere within a border of ``pad`` zeros."""
    padded = jnp.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    top, left = jax.random.randint(key, (2,), 0, 2 * pad + 1)
    return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)


def random_flip(key: jax.Array, image: jax.Array) -> jax.Array:
    """Mirrored left to right, or not, with even odds."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def random_warp(
    key: jax.Array, image: jax.Array, angle: float, scale: float, shear: float, elastic: float = 0.0
) -> jax.Array:
    """A small rotation, zoom and shear about the centre and a smooth deformation, in one bilinear
    interpolation, rounded to grey levels.

    Args:
      key: a PRNG key.
      image: (H, W, C), integers.
      angle: largest rotation, in degrees.
      scale: largest relative zoom, in or out.
      shear: largest horizontal shear, in pixels a pixel.
      elastic: standard deviation, in pixels, of normal displacements on a coarse grid, with cubic
        interpolation between (0.8 of it on average); smooth for images much larger than the grid
        (Simard et al. 2003, "Best practices for convolutional neural networks applied to visual
        document analysis", section 2).
    """
    height, width, _ = image.shape
    rotation, zoom, slant = jax.random.uniform(key, (3,), minval=-1.0)
    turn = rotation * jnp.deg2rad(angle)
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    matrix = jnp.array([[cos, -sin], [sin, cos]]) @ jnp.array([[1.0, 0.0], [slant * shear, 1.0]])
    matrix = matrix * jnp.exp(zoom * jnp.log1p(scale))
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"))
    offsets = jnp.einsum("ij,jhw->ihw", matrix, grid - centre[:, None, None])
    coordinates = offsets + centre[:, None, None]
    if elastic:
        # A key of its own, so that the other draws are those of a warp without a deformation.
        coarse = jax.random.normal(jax.random.fold_in(key, 1), (2, ELASTIC_POINTS, ELASTIC_POINTS))
        coordinates += elastic * jax.image.resize(coarse, grid.shape, "cubic")
    rows, columns = coordinates

    def warp(plane):
        return jax.scipy.ndimage.map_coordinates(
            plane.astype(jnp.float32), [rows, columns], order=1
        )

    warped = jax.vmap(warp, in_axes=-1, out_axes=-1)(image)
    return jnp.round(warped).astype(image.dtype)


def cutout(key: jax.Array, image: jax.Array, side: int) -> jax.Array:
    """A square of zeros of ``side`` pixels, centred anywhere, cut off at the border (DeVries &
    Taylor 2017, https://arxiv.org/abs/1708.04552)."""
    height, width, _ = image.shape
    key_row, key_column = jax.random.split(key)
    top = jax.random.randint(key_row, (), 0, height) - side // 2
    left = jax.random.randint(key_column, (), 0, width) - side // 2
    rows, columns = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    return jnp.where(inside, jnp.zeros_like(image), image)


def jitter(key: jax.Array, x: jax.Array, scale: float) -> jax.Array:
    """A float vector plus Gaussian noise of standard deviation ``scale``."""
    return x + scale * jax.random.normal(key, x.shape)


class Views(NamedTuple):
    """The views of one example that a batch holds.

    Attributes:
      student: the view x' that is trained on.
      teacher: the view x'' that gives pseudo-labels.
      density: the view whose density is trained: the example itself, dequantised; or None.
    """

    student: View
    teacher: View
    density: View | None = None


def pixel_centres(key: jax.Array, x: jax.Array) -> jax.Array:
    """Integer grey levels at the centres of their bins, float32, as images are classified."""
    del key
    return x.astype(jnp.float32) + 0.5


def view(transforms: Sequence[View], levels: int, to_float: View = dequantize) -> View:
    """The transforms in order, then ``to_float`` if the data are integers (``levels`` > 0).

    The random numbers of the transforms do not depend on ``to_float``.
    """

    if not transforms and not levels:  # nothing is random: a program without keys
        return lambda key, x: x

    def apply(key, x):
        *keys, key_noise = jax.random.split(key, len(transforms) + 1)
        for transform, key_i in zip(transforms, keys, strict=True):
            x = transform(key_i, x)
        return to_float(key_noise, x) if levels else x

    return apply


def make_views(config: ConfigDict, info: Info) -> Views:
    """The views that ``config.augment`` describes.

    If the density has a view of its own (``config.train.batch_density``), only that one is
    dequantised; the others, which are classified, have pixels at the centres of their grey levels.
    """
    weak, strong = _transforms(config.augment)
    to_float = pixel_centres if config.train.batch_density else dequantize
    return Views(
        view(strong, info.levels, to_float),
        view(weak, info.levels, to_float),
        view([], info.levels) if config.train.batch_density else None,
    )


def _transforms(fields: ConfigDict) -> tuple[list[View], list[View]]:
    """The weak transforms of the teacher and the strong ones of the student."""
    if any(fields.jitter):
        student, teacher = (
            [partial(jitter, scale=scale)] if scale else [] for scale in fields.jitter
        )
        return teacher, student
    weak, strong = [], []
    if fields.crop:
        weak.append(partial(random_crop, pad=fields.crop))
    if fields.flip:
        weak.append(random_flip)
    if fields.affine or fields.elastic:
        angle, scale, shear = fields.affine or (0.0, 0.0, 0.0)
        strong.append(
            partial(random_warp, angle=angle, scale=scale, shear=shear, elastic=fields.elastic)
        )
    strong += weak
    if fields.cutout:
        strong.append(partial(cutout, side=fields.cutout))
    return weak, strong
