"""Code lengths: of what is simple, of what is not, and that they really are lengths of codes."""

import math

import numpy as np
import pytest

from flowgmm_jax.evaluation.ood_scores import NATS_PER_BYTE, code_length

SHAPES = [(28, 28, 1), (32, 32, 3), (8, 6, 2)]


def noise(shape, levels=256):
    return np.random.default_rng(0).integers(0, levels, (4, *shape)).astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_cannot_be_shortened_and_no_image_takes_much_more(shape):
    found = code_length(noise(shape))
    assert found.shape == (4,)
    entropy = math.prod(shape) * math.log(256)
    assert (found >= 0.99 * entropy).all()
    assert (found <= 1.1 * entropy).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_blank_image_takes_a_few_bytes(shape):
    assert (code_length(np.full((2, *shape), 7, np.uint8)) < 30 * NATS_PER_BYTE).all()


def test_simple_images_are_shorter_than_complex_ones():
    ramp = np.tile(np.arange(28, dtype=np.uint8)[:, None], (28, 1, 1))
    square = np.zeros((28, 28, 1), np.uint8)
    square[8:20, 8:20] = 255
    images = np.stack([square, np.roll(ramp, 3), noise((28, 28, 1), levels=4)[0]])
    assert (np.diff(code_length(images)) > 0).all()
    assert code_length(images)[2] >= 0.99 * 784 * math.log(4)


def test_the_length_is_that_of_the_image_whatever_is_beside_it():
    images = noise((8, 8, 1), levels=3)
    np.testing.assert_array_equal(code_length(images)[1:2], code_length(images[1:2]))


def test_a_gradient_is_found_by_the_predictors():
    rng = np.random.default_rng(0)
    steps = rng.integers(-1, 2, (1, 28, 28, 1))
    smooth = (128 + steps.cumsum(2)).astype(np.uint8)
    shuffled = rng.permuted(smooth, axis=2)
    assert code_length(smooth) < 0.8 * code_length(shuffled)
