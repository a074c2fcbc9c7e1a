"""Hostile examples, labels and parameters, drawn by hypothesis: what stays finite, and what is
never NaN.

HYPOTHESIS_PROFILE=long pytest tests/test_adversarial.py looks for much longer.
"""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import make_config
from hypothesis import given
from hypothesis import strategies as st

from flowgmm_jax import flows, gmm
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.step import AXIS, TrainState, make_train_steps

BATCH = 4
IMAGE, VECTOR = (4, 4, 1), (5,)
CLASSES = {IMAGE: 3, VECTOR: 7}  # of vectors, more classes than examples in a batch
LOSSES = {
    "glow": Loss("cross_entropy", 1.0, 1.0, "cross_entropy", 1.0, 0, 0.5),
    "image_realnvp": Loss("class_conditional", 1.0, 1.0, "class_conditional", 1.0, 0, 0.0),
    "vector_realnvp": Loss("class_conditional", 1.0, 1.0, "class_conditional", 1.0, 0, 0.0),
}
FLOWS = {
    "glow": (IMAGE, partial(flows.glow, 256, ((1, 2),), width=4)),
    "image_realnvp": (IMAGE, partial(flows.image_realnvp, 256, (4,), 1)),
    "vector_realnvp": (VECTOR, partial(flows.vector_realnvp, 3, (8,))),
}
NAMES = sorted(FLOWS)
HUGE = [1e10, 1e20, 1e30]


# ------------------------------------------------------------------------------- what is drawn

CHECKERBOARD = np.indices(IMAGE).sum(0) % 2 * 255.0
SEEDS = st.integers(0, 2**16)
IMAGES = st.one_of(
    st.sampled_from([np.zeros(IMAGE), np.full(IMAGE, 255), CHECKERBOARD, 255 - CHECKERBOARD]),
    st.integers(0, 255).map(lambda level: np.full(IMAGE, level)),
    SEEDS.map(lambda seed: np.random.default_rng(seed).integers(0, 256, IMAGE)),
)
NOISE = st.sampled_from([0.0, 0.5, 1.0])  # of dequantisation, from one end to the other
BELOW_256 = np.nextafter(np.float32(256), np.float32(0))
MAGNITUDES = [0.0, 1e-45, 1e-38, 1e-7, 1.0, 1e3]  # denormal numbers too


@st.composite
def image_batches(draw):
    images = st.one_of(
        st.lists(IMAGES, min_size=BATCH, max_size=BATCH), IMAGES.map(lambda image: [image] * BATCH)
    )
    x = np.stack(draw(images)) + draw(NOISE)
    return np.minimum(x.astype(np.float32), BELOW_256)


@st.composite
def vector_batches(draw, magnitudes):
    values = st.builds(np.multiply, st.sampled_from([-1.0, 1.0]), st.sampled_from(magnitudes))
    size = BATCH * VECTOR[0]
    several = st.lists(values, min_size=size, max_size=size)
    x = draw(st.one_of(several, values.map(lambda value: [value] * size)))
    return np.array(x).astype(np.float32).reshape(BATCH, *VECTOR)


def batches(name, magnitudes=MAGNITUDES):
    return vector_batches(magnitudes) if FLOWS[name][0] == VECTOR else image_batches()


@st.composite
def training_batches(draw, name, magnitudes=MAGNITUDES):
    """Any labels: all of one class, classes without any, one a class."""
    x, student, teacher = (draw(batches(name, magnitudes)) for _ in range(3))
    most = CLASSES[FLOWS[name][0]] - 1
    y = draw(st.lists(st.integers(0, most), min_size=BATCH, max_size=BATCH))
    return Batch(x, np.array(y, np.int32), student, teacher)


# ------------------------------------------------------------------------------ what is tested


class Case(NamedTuple):
    """A model with parameters from ordinary examples, and what is compiled of it once."""

    model: Model
    params: Any
    init: Any
    probe: Any
    step: Any


@cache
def case(name):
    shape, constructor = FLOWS[name]
    flow = constructor()
    model = flowgmm(flow, Info(shape, CLASSES[shape]), Prior("data", 1.0), LOSSES[name])
    tx = make_optimizer(make_config())

    def probe(params, x):
        joint = model.class_log_density(params, x)
        z, log_det = flow.forward(params["flow"], x)
        x_back, log_det_back = flow.inverse(params["flow"], z)
        return {
            "joint": joint,
            "posterior": jax.nn.softmax(joint, axis=-1),
            "log_density": model.log_density(params, x),
            "log_det": log_det,
            "log_det_back": log_det_back,
            "x_back": x_back,
        }

    def step(params, batch):
        def draw(batch, key, step, microbatch):
            return batch

        train_steps = make_train_steps(model, tx, draw, ema_decay=0.9, max_nonfinite_steps=2)
        zero = jnp.zeros((), jnp.int32)
        state = TrainState(zero, params, params, tx.init(params), skipped=zero, cause=zero)
        on_one_device = jax.vmap(train_steps, in_axes=(0, 0, None, None), axis_name=AXIS)
        state, batch = jax.tree.map(lambda leaf: leaf[None], (state, batch))
        return jax.tree.map(lambda leaf: leaf[0], on_one_device(state, batch, 0, 1))

    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, *shape)) if shape == VECTOR else rng.uniform(0, 256, (64, *shape))
    # Without its optimisations the compiler computes a table of large numbers twice, with different
    # roundings, for the largest entry and for the sum of a logsumexp, which is then -inf.
    probe, step, init = (jax.jit(function) for function in (probe, step, model.init))
    params = init(jax.random.key(0), x.astype(np.float32), np.arange(64) % CLASSES[shape])
    return Case(model, jax.device_get(params), init, probe, step)


def changed(params, seed, scale):
    """Parameters plus noise. Exponents, the log_scale of actnorm and prior, get at most 1 of it:
    no number is as large as exp(1000)."""
    rng = np.random.default_rng(seed)

    def change(path, leaf):
        is_exponent = jax.tree_util.keystr(path).endswith(("['log_scale']", ".log_scale"))
        noise = min(scale, 1.0) if is_exponent else scale
        return (leaf + noise * rng.normal(size=leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(change, params)


def assert_finite(tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


SMALL, MODERATE = st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.1, 0.3])
ANY_SCALE = st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0, 1000.0])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), seed=SEEDS, scale=MODERATE)
def test_densities_and_posteriors_are_finite(name, data, seed, scale):
    x = data.draw(batches(name))
    _, params, _, probe, _ = case(name)
    result = jax.device_get(probe(changed(params, seed, scale), x))
    assert_finite(result)
    np.testing.assert_allclose(result["posterior"].sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), seed=SEEDS, scale=SMALL)
def test_the_inverse_holds(name, data, seed, scale):
    x = data.draw(batches(name))
    _, params, _, probe, _ = case(name)
    result = jax.device_get(probe(changed(params, seed, scale), x))
    np.testing.assert_allclose(result["log_det_back"], -result["log_det"], rtol=1e-4, atol=1e-3)
    largest = 256.0 if name != "vector_realnvp" else max(1.0, np.abs(x).max())
    np.testing.assert_allclose(result["x_back"], x, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), seed=SEEDS, scale=ANY_SCALE)
def test_no_density_is_nan_whatever_the_parameters(name, data, seed, scale):
    """It may be -inf, where the square of a latent is larger than any number."""
    x = data.draw(batches(name, MAGNITUDES + HUGE))
    _, params, _, probe, _ = case(name)
    result = jax.device_get(probe(changed(params, seed, scale), x))
    assert not np.isnan(result["log_density"]).any()
    assert not np.isnan(result["joint"]).any()
    assert not (result["joint"] == np.inf).any()
    known = np.isfinite(result["joint"]).any(axis=-1)
    np.testing.assert_array_equal(np.isfinite(result["log_density"]), known)
    np.testing.assert_allclose(result["posterior"][known].sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), seed=SEEDS, scale=MODERATE)
def test_losses_and_gradients_are_finite(name, data, seed, scale):
    batch = data.draw(training_batches(name))
    _, params, _, _, step = case(name)
    state, metrics = jax.device_get(step(changed(params, seed, scale), batch))
    assert metrics["finite"] == 1
    assert_finite((state, metrics))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), seed=SEEDS, scale=ANY_SCALE)
def test_a_step_leaves_finite_parameters_whatever_they_were(name, data, seed, scale):
    batch = data.draw(training_batches(name, MAGNITUDES + HUGE))
    _, params, _, _, step = case(name)
    state, metrics = jax.device_get(step(changed(params, seed, scale), batch))
    assert_finite((state, metrics))
    assert metrics["finite"] in (0, 1)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_model_starts_from_any_batch(name, data):
    batch = data.draw(training_batches(name, MAGNITUDES + HUGE))
    _, _, init, _, step = case(name)
    params = jax.device_get(init(jax.random.key(0), batch.x_labeled, batch.y))
    assert_finite(params)
    state, metrics = jax.device_get(step(params, batch))
    assert_finite((state, metrics))


@pytest.mark.parametrize("name", ["glow", "vector_realnvp"])
def test_a_model_of_one_example_is_finite_and_invertible(name):
    _, _, init, probe, _ = case(name)
    x = np.full((1, *FLOWS[name][0]), 200, np.float32)
    params = jax.device_get(init(jax.random.key(0), x, np.zeros(1, np.int32)))
    result = jax.device_get(probe(params, x))
    assert_finite((params, result))
    np.testing.assert_allclose(result["x_back"], x, rtol=1e-4)


def test_a_step_on_one_example_is_finite():
    _, params, _, _, step = case("vector_realnvp")
    x = np.full((1, *VECTOR), 200, np.float32)
    state, metrics = jax.device_get(step(params, Batch(x, np.zeros(1, np.int32), x, x)))
    assert_finite((state, metrics))
    assert metrics["finite"] == 1


@given(
    z=st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=6, max_size=6),
    scale=st.floats(-20, 20, width=32),
    weight=st.floats(-10000, 10000, width=32),
)
def test_the_mixture_is_a_distribution_over_classes(z, scale, weight):
    prior = gmm.GMM(
        np.array([[0.0, 0, 0], [1, 2, 3]], np.float32),
        np.array([scale, 0], np.float32),
        np.array([weight, 0], np.float32),
    )
    z = np.array(z, np.float32).reshape(2, 3)
    joint, marginal = (np.asarray(f(prior, z)) for f in (gmm.joint, gmm.marginal))
    assert not np.isnan(joint).any() and not np.isnan(marginal).any()
    np.testing.assert_allclose(np.logaddexp(*joint.T), marginal, rtol=1e-5)
    np.testing.assert_allclose(np.exp(gmm.log_class_weights(prior)).sum(), 1, rtol=1e-5)
