"""The mixture prior against scipy, and what every placement of its means promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from flowgmm_jax import gmm

K, D = 3, 4
RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(K, D)).astype(np.float32)
LOG_SCALE = np.array([-0.5, 0.0, 0.7], np.float32)
LOG_WEIGHTS = np.array([0.3, -1.0, 2.0], np.float32)  # unnormalised
Z = 2 * RNG.normal(size=(5, D)).astype(np.float32)
PRIOR = gmm.GMM(jnp.asarray(MEANS), jnp.asarray(LOG_SCALE), jnp.asarray(LOG_WEIGHTS))


def scipy_class_conditional():
    columns = [
        multivariate_normal(mean, np.exp(2 * log_scale) * np.eye(D)).logpdf(Z)
        for mean, log_scale in zip(MEANS.astype(float), LOG_SCALE.astype(float), strict=True)
    ]
    return np.stack(columns, axis=1)


def scipy_joint():
    return scipy_class_conditional() + LOG_WEIGHTS - logsumexp(LOG_WEIGHTS)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (gmm.class_conditional, scipy_class_conditional()),
        (gmm.joint, scipy_joint()),
        (gmm.marginal, logsumexp(scipy_joint(), axis=1)),
    ],
    ids=["class_conditional", "joint", "marginal"],
)
def test_densities_are_those_of_scipy(function, expected):
    np.testing.assert_allclose(function(PRIOR, Z), expected, rtol=1e-5, atol=1e-5)


def test_weights_are_normalised():
    np.testing.assert_allclose(np.exp(gmm.log_class_weights(PRIOR)).sum(), 1, rtol=1e-6)


def test_a_new_prior_has_unit_scales_and_equal_weights():
    prior = gmm.with_means(jnp.asarray(MEANS))
    np.testing.assert_array_equal(prior.log_scale, 0)
    np.testing.assert_allclose(gmm.log_class_weights(prior), -np.log(K), rtol=1e-6)


def test_float32_stays_accurate_for_distant_means_in_many_dimensions():
    rng = np.random.default_rng(1)
    means = 100 + 0.01 * rng.normal(size=(2, 3072))
    z = means[:1] + rng.normal(size=(4, 3072))
    with jax.enable_x64(True):
        exact = np.asarray(gmm.class_conditional(gmm.with_means(jnp.asarray(means)), z))
    z, means = z.astype(np.float32), means.astype(np.float32)
    table = gmm.class_conditional(gmm.with_means(jnp.asarray(means)), z)
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, exact, rtol=1e-5)
    # The log-odds of the classes are what classifies: differences of large numbers.
    np.testing.assert_allclose(table[:, 0] - table[:, 1], exact[:, 0] - exact[:, 1], atol=0.05)


@pytest.mark.parametrize(
    "z", [np.zeros(D), np.zeros((5, D - 1)), np.zeros((5, 2, 2))], ids=["rank", "size", "image"]
)
def test_latents_of_another_shape_are_refused(z):
    with pytest.raises(AssertionError):
        gmm.class_conditional(PRIOR, jnp.asarray(z, jnp.float32))


@pytest.mark.parametrize("temperature", [1.0, 0.25, 0.0], ids=str)
def test_samples_have_the_mean_and_deviation_of_their_component(temperature):
    labels = np.repeat(np.arange(K), 20_000)
    z = gmm.sample(PRIOR, jax.random.key(0), labels, D, temperature)
    z = np.asarray(z, np.float64).reshape(K, -1, D)
    deviation = temperature * np.exp(LOG_SCALE)
    np.testing.assert_allclose(z.mean(1), MEANS, atol=0.06 * temperature + 1e-5)
    np.testing.assert_allclose(z.std(1), np.tile(deviation[:, None], D), rtol=0.03, atol=1e-5)


def test_samples_repeat_with_their_key():
    labels = jnp.array([0, 2, 2])
    first, again, other = (gmm.sample(PRIOR, jax.random.key(seed), labels, D) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first[1], first[2])


def test_latents_that_carry_no_class_are_standard_normal():
    rest = RNG.normal(size=(5, 3)).astype(np.float32)
    z = np.concatenate([Z, rest], axis=1)
    expected = scipy_joint() + multivariate_normal(np.zeros(3)).logpdf(rest)[:, None]
    np.testing.assert_allclose(gmm.joint(PRIOR, z), expected, rtol=1e-5, atol=1e-5)
    posteriors = gmm.posterior(gmm.joint(PRIOR, z)), gmm.posterior(gmm.class_logits(PRIOR, Z))
    np.testing.assert_allclose(*posteriors, atol=1e-5)


def test_samples_of_latents_that_carry_no_class_are_standard_normal():
    z = np.asarray(gmm.sample(PRIOR, jax.random.key(0), np.full(20_000, 2), D + 2, 0.5))
    np.testing.assert_allclose(z[:, D:].mean(0), 0, atol=0.02)
    np.testing.assert_allclose(z[:, D:].std(0), 0.5, rtol=0.03)
    np.testing.assert_allclose(z[:, :D].std(0), 0.5 * np.exp(LOG_SCALE[2]), rtol=0.03)


def test_the_decision_rule_is_the_class_of_the_largest_posterior():
    table = gmm.joint(PRIOR, Z)
    posterior = gmm.posterior(table)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(gmm.classify(table), posterior.argmax(axis=1))


def test_a_temperature_multiplies_the_variances():
    tempered = gmm.temper(PRIOR, 4.0)
    np.testing.assert_allclose(np.exp(tempered.log_scale), 2 * np.exp(LOG_SCALE), rtol=1e-6)
    np.testing.assert_array_equal(tempered.means, PRIOR.means)


def place(placement, num_classes=K, radius=2.0, dimension=6, seed=0, num_examples=40):
    rng = np.random.default_rng(5)
    z = rng.normal(size=(num_examples, dimension)).astype(np.float32)
    x = rng.uniform(0, 16, size=(num_examples, 3, 2, 1)).astype(np.float32)
    y = np.arange(num_examples) % (num_classes + 1) - 1  # a class of its own for unlabelled ones
    key = jax.random.key(seed)
    means = gmm.place_means(placement, key, z, jnp.asarray(y), x, num_classes, radius)
    return np.asarray(means), z, y, x


@pytest.mark.parametrize("placement", gmm.PLACEMENTS)
def test_a_placement_gives_a_mean_for_every_class(placement):
    means, *_ = place(placement)
    assert means.shape == (K, 6)
    assert means.dtype == np.float32
    assert len(np.unique(means, axis=0)) == K


@pytest.mark.parametrize("placement", gmm.PLACEMENTS)
def test_means_are_proportional_to_the_radius(placement):
    one, two = (place(placement, radius=radius)[0] for radius in (1.0, 2.0))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5, atol=1e-6)


def test_random_means_depend_on_the_key():
    assert not np.allclose(place("random", seed=0)[0], place("random", seed=1)[0])


def test_random_means_are_normal():
    means, *_ = place("random", num_classes=20, dimension=500)
    assert abs(means.mean()) < 0.1
    assert means.std() == pytest.approx(2.0, rel=0.05)


def test_constant_means_are_the_same_in_every_dimension():
    means, *_ = place("constant", num_classes=5)
    assert (np.ptp(means, axis=1) == 0).all()
    np.testing.assert_allclose(means[:, 0], [-2, -1, 0, 1, 2])


def test_split_means_need_a_dimension_for_each_class():
    with pytest.raises(ValueError, match="at least as many dimensions as the 9 classes, found 3"):
        place("split", num_classes=9, dimension=3)


@pytest.mark.parametrize("dimension", [6, 7, 3])
def test_split_means_have_a_block_of_dimensions_each(dimension):
    means, *_ = place("split", dimension=dimension)
    assert ((means != 0).sum(axis=0) == 1).all()
    blocks = (means != 0).sum(axis=1)
    assert blocks.max() - blocks.min() <= 1
    np.testing.assert_array_equal(means.sum(axis=0), 2.0)


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_circle_means_are_evenly_on_a_circle(num_classes):
    means, *_ = place("circle", num_classes=num_classes)
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 2.0, rtol=1e-5)
    np.testing.assert_array_equal(means[:, 2:], 0)
    steps = np.linalg.norm(means - np.roll(means, 1, axis=0), axis=1)
    np.testing.assert_allclose(steps, 4 * np.sin(np.pi / num_classes), rtol=1e-5)


@pytest.mark.parametrize("label", range(K))
def test_latent_means_are_those_of_the_labelled_latents(label):
    means, z, y, _ = place("latents")
    np.testing.assert_allclose(means[label], 2 * z[y == label].mean(axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("label", range(K))
def test_data_means_are_those_of_the_standardised_labelled_examples(label):
    means, _, y, x = place("data")
    standard = (x.reshape(len(x), -1) - x.mean()) / x.std()
    expected = 2 * standard[y == label].mean(axis=0)
    np.testing.assert_allclose(means[label], expected, rtol=1e-4, atol=1e-5)


def test_a_class_without_labels_gets_a_finite_mean():
    z = np.ones((4, 6), np.float32)
    y = jnp.array([0, 0, -1, -1])
    means = gmm.place_means("latents", jax.random.key(0), z, y, z, K, 1.0)
    np.testing.assert_array_equal(means, [[1] * 6, [0] * 6, [0] * 6])


def test_means_of_constant_examples_are_finite():
    x = np.full((4, 3), 200.0, np.float32)
    means = gmm.place_means("data", jax.random.key(0), x, np.zeros(4, int), x, K, 1.0)
    np.testing.assert_array_equal(means, np.zeros((K, 3)))


def test_an_unknown_placement_is_refused():
    with pytest.raises(ValueError, match="means are 'ring'.*random, .*latents"):
        place("ring")
