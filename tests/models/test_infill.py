"""Pixels filled in: exact weights, against all images of a tiny size."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, initialised

from flowgmm_jax import density, flows, gmm
from flowgmm_jax.flows.autoregressive import Known
from flowgmm_jax.flows.pixel_groups import groups_of
from flowgmm_jax.models.infill import Infilling, candidates

LEVELS, SHAPE = 2, (2, 4, 1)


@pytest.fixture(scope="module")
def setting():
    """A flow with a code, how it fills in, its parameters, all images, and log p(x, y)."""
    make = partial(
        flows.pixel_groups, LEVELS, 2, 2.0, 1, True, 4, 1, 1, 2, class_width=4, class_blocks=1
    )
    images = np.array(list(product(range(LEVELS), repeat=8)), np.float32).reshape(-1, *SHAPE) + 0.5
    flow = make()
    params = {"flow": initialised(flow, images[:2]), "prior": gmm.with_means(2 * jnp.eye(2))}
    # Within a grey level the density given a class is not constant, as the code lies in it.
    table = compiled(lambda params, x: density.class_log_density(flow, params, x))
    infilling = Infilling(lambda known: make(known=known), partial(groups_of, squeezes=1))
    return flow, infilling, params, images, partial(table, params)


@pytest.fixture(scope="module")
def drawn(setting):
    """Candidates for a mask of known pixels of one image, as class 1, and their weights."""
    flow, infilling, params, images, _ = setting
    image = np.repeat(images[37:38], 10_000, 0)
    labels = np.ones(len(image), int)

    @compiled
    def draw(params, is_known):
        known = Known(image, jnp.broadcast_to(is_known, image.shape))
        return candidates(flow, infilling, params, known, labels, jax.random.key(0))

    return lambda is_known: (image, *draw(params, is_known))


def test_with_nothing_known_candidates_weigh_their_class(drawn):
    _, _, log_weight = drawn(np.zeros(SHAPE, bool))
    # But for latents that no image has, which are taken to the end of the range.
    assert np.isclose(log_weight, np.log(0.5), atol=1e-3).mean() > 0.95


def test_known_pixels_stay_and_the_others_have_the_conditional_distribution(setting, drawn):
    *_, images, log_density = setting
    is_known = np.zeros(SHAPE, bool)
    is_known[0, :3] = True  # among them a pixel of the last group, where the code lies
    image, x, log_weight = drawn(is_known)
    np.testing.assert_array_equal(x[:, is_known], image[:, is_known])
    weight = np.exp(log_weight - log_weight.max())
    number = np.floor(x[:, ~is_known]) @ 2 ** np.arange(5)
    found = np.bincount(number.astype(int), weight / weight.sum(), minlength=32)

    # The mass of an image given its known values is a mean over the noise within grey levels.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (32, *images.shape)).astype(np.float32)
    noise[:, :, is_known] = 0
    mass = np.mean([np.exp(log_density(images + n)[:, 1]) for n in noise], axis=0)
    fits = (np.floor(images)[:, is_known] == np.floor(image)[0, is_known]).all(-1)
    numbers = (np.floor(images[fits][:, ~is_known]) @ 2 ** np.arange(5)).astype(int)
    expected = np.bincount(numbers, mass[fits] / mass[fits].sum(), minlength=32)
    np.testing.assert_allclose(found, expected, atol=0.02)
