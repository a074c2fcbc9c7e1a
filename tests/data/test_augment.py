"""Views of one example: what each leaves alone, and dequantisation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled

from flowgmm_jax.data import augment

IMAGE = np.random.default_rng(0).integers(1, 256, size=(7, 6, 2)).astype(np.uint8)
TRANSFORMS = {
    "crop": partial(augment.random_crop, pad=2),
    "flip": augment.random_flip,
    "affine": partial(augment.random_warp, angle=20.0, scale=0.2, shear=0.2),
    "elastic": partial(augment.random_warp, angle=0.0, scale=0.0, shear=0.0, elastic=1.0),
    "cutout": partial(augment.cutout, side=3),
}


def draws(transform, number=64, image=IMAGE):
    keys = jax.random.split(jax.random.key(0), number)
    return np.asarray(compiled(jax.vmap(transform, in_axes=(0, None)))(keys, jnp.asarray(image)))


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_keeps_shape_dtype_and_range(transform):
    images = draws(transform)
    assert images.shape == (64, *IMAGE.shape)
    assert images.dtype == np.uint8
    assert images.max() <= IMAGE.max()


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_depends_on_its_key(transform):
    assert len(np.unique(draws(transform).reshape(64, -1), axis=0)) > 1


def test_a_crop_is_a_window_of_the_padded_image():
    padded = np.pad(IMAGE, ((2, 2), (2, 2), (0, 0)))
    windows = {padded[i : i + 7, j : j + 6].tobytes() for i in range(5) for j in range(5)}
    crops = {image.tobytes() for image in draws(TRANSFORMS["crop"], 400)}
    assert crops == windows


def test_a_crop_without_padding_is_the_image():
    np.testing.assert_array_equal(draws(partial(augment.random_crop, pad=0), 2), [IMAGE] * 2)


def test_a_flip_is_the_image_or_its_mirror_with_even_odds():
    images = draws(augment.random_flip, 400)
    mirrored = (images == IMAGE[:, ::-1]).all(axis=(1, 2, 3))
    plain = (images == IMAGE).all(axis=(1, 2, 3))
    assert (mirrored ^ plain).all()
    assert 140 < mirrored.sum() < 260


def test_an_affine_map_of_nothing_is_the_identity():
    images = draws(partial(augment.random_warp, angle=0.0, scale=0.0, shear=0.0), 4)
    np.testing.assert_array_equal(images, [IMAGE] * 4)


@pytest.mark.parametrize("magnitudes", [(45.0, 0, 0), (0, 0.5, 0), (0, 0, 0.5)], ids=str)
def test_an_affine_map_leaves_the_centre_alone(magnitudes):
    image = np.zeros((7, 7, 1), np.uint8)
    image[3, 3] = 200
    angle, scale, shear = magnitudes
    images = draws(partial(augment.random_warp, angle=angle, scale=scale, shear=shear), 16, image)
    assert (images[:, 3, 3, 0] == 200).all()


def test_a_rotation_moves_a_pixel_along_a_circle_both_ways():
    image = np.zeros((21, 21, 1), np.uint8)
    image[9:12, 18:21] = 240
    images = draws(partial(augment.random_warp, angle=30.0, scale=0.0, shear=0.0), 200, image)
    rows, columns = np.indices((21, 21)) - 10
    mass = images[..., 0].sum(axis=(1, 2))
    angle = np.degrees(
        np.arctan2((images[..., 0] * rows).sum((1, 2)), (images[..., 0] * columns).sum((1, 2)))
    )
    assert (mass > 0).all()
    assert np.abs(angle).max() < 32
    assert angle.min() < -20 and angle.max() > 20


def test_zooms_in_and_out_are_as_likely():
    image = np.full((9, 9, 1), 100, np.uint8)
    image = np.pad(image, ((10, 10), (10, 10), (0, 0)))
    areas = draws(partial(augment.random_warp, angle=0.0, scale=0.5, shear=0.0), 400, image).astype(
        float
    ).sum(axis=(1, 2, 3)) / (100 * 81)
    assert areas.min() > 1 / 1.5**2 - 0.1 and areas.max() < 1.5**2 + 0.1
    assert 140 < (areas > 1).sum() < 260


def test_an_elastic_deformation_moves_pixels_by_its_deviation_and_neighbours_alike():
    """Of a ramp, whose grey levels tell where they come from."""
    image = np.tile(np.arange(60, 200, 5, dtype=np.uint8)[:, None, None], (1, 28, 1))
    elastic = partial(augment.random_warp, angle=0.0, scale=0.0, shear=0.0, elastic=1.0)
    moved = (draws(elastic, 200, image).astype(float) - image)[:, 6:-6, 6:-6, 0] / 5
    assert 0.6 < moved.std() < 1.2
    neighbours = np.corrcoef(moved[:, :, 1:].ravel(), moved[:, :, :-1].ravel())[0, 1]
    assert neighbours > 0.85


def test_a_cutout_is_one_square_that_may_hang_over_the_border():
    side = 3
    images = draws(partial(augment.cutout, side=side), 400)
    holes = (images == 0).all(-1)
    np.testing.assert_array_equal(np.where(holes[..., None], IMAGE, images), [IMAGE] * 400)
    rows, columns = holes.any(2).sum(1), holes.any(1).sum(1)
    np.testing.assert_array_equal(holes.sum((1, 2)), rows * columns)
    assert set(rows) == set(columns) == {2, 3}
    assert holes.mean(0).min() > 0


def test_dequantised_images_lie_in_their_bins():
    x = np.asarray(augment.dequantize(jax.random.key(0), jnp.asarray(IMAGE)))
    assert x.dtype == np.float32
    noise = x - IMAGE
    assert noise.min() >= 0 and noise.max() < 1
    assert abs(noise.mean() - 0.5) < 0.1


def test_dequantised_images_never_leave_their_bin_by_rounding():
    image = jnp.full((1000, 1000, 1), 255, jnp.uint8)
    assert float(augment.dequantize(jax.random.key(0), image).max()) < 256


def test_a_view_of_integers_dequantises_after_its_transforms():
    flip_always = augment.view([lambda key, x: x[:, ::-1]], 256)
    x = np.asarray(flip_always(jax.random.key(0), jnp.asarray(IMAGE)))
    np.testing.assert_array_equal(np.floor(x), IMAGE[:, ::-1])


def test_a_view_of_vectors_adds_nothing():
    x = jnp.array([0.5, -1.0])
    np.testing.assert_array_equal(augment.view([], 0)(jax.random.key(0), x), x)


def test_jitter_adds_noise_of_its_scale():
    x = jnp.zeros(10_000)
    noise = np.asarray(augment.jitter(jax.random.key(0), x, 0.2))
    assert noise.std() == pytest.approx(0.2, rel=0.05)
    assert abs(noise.mean()) < 0.01
