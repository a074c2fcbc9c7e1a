"""One pass over the examples: what it holds, and that neither batches nor files change it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import perturbed

from flowgmm_jax import gmm
from flowgmm_jax.data.base import Info
from flowgmm_jax.evaluation import passes
from flowgmm_jax.evaluation.passes import dequantized
from flowgmm_jax.evaluation.statistics import make_statistics
from flowgmm_jax.flows import vector_realnvp
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm

CLASSES, DIMENSIONS = 3, 4
LOSS = Loss("class_conditional", 1.0, 1.0, "class_conditional", 0.0, 0, 0.0)


@pytest.fixture(scope="module")
def flow_model():
    flow = vector_realnvp(steps=2, hidden=(8,))
    model = flowgmm(flow, Info((DIMENSIONS,), CLASSES), Prior("random", 1.0), LOSS)
    x = np.random.default_rng(0).normal(size=(37, DIMENSIONS)).astype(np.float32)
    params = jax.jit(model.init)(jax.random.key(0), x, np.zeros(37, np.int32))
    return model, perturbed(params), x


def test_parts_of_the_density(flow_model):
    model, params, x = flow_model
    found = make_statistics(model, levels=0)(params, x)
    assert found.joint.shape == (37, CLASSES)
    np.testing.assert_allclose(found.joint, model.class_log_density(params, x), rtol=1e-5)
    np.testing.assert_allclose(found.log_density, jax.nn.logsumexp(found.joint, axis=-1), rtol=1e-5)
    jacobian = jax.vmap(jax.jacobian(lambda x: model.encode(params, x[None])[0]))(x)
    np.testing.assert_allclose(found.log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [5, 37, 100])
def test_statistics_do_not_depend_on_the_batch_or_the_storage(
    flow_model, batch, monkeypatch, tmp_path
):
    model, params, x = flow_model
    whole = make_statistics(model, levels=0)(params, x)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(passes, "BATCH", batch)
    parts = make_statistics(model, levels=0)(params, np.load(tmp_path / "x.npy", mmap_mode="r"))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), parts, whole)


def pixel_sum_model(density):
    def joint(params, x):
        total = x.reshape(len(x), -1).astype(jnp.float32).sum(-1, keepdims=True)
        return jnp.concatenate([total, -total], axis=-1)

    def log_density(params, x):
        return jax.nn.logsumexp(joint(params, x), axis=-1)

    def encode(params, x):
        return x.reshape(len(x), -1)

    if not density:
        return Model(None, None, joint)
    return Model(None, None, joint, log_density, encode, prior=lambda params: params["prior"])


def test_images_classify_as_they_are_and_have_the_density_of_their_dequantisation():
    x = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    params = {"prior": gmm.with_means(jnp.zeros((2, 12)))}
    found = make_statistics(pixel_sum_model(density=True), levels=256)(params, x)
    totals = x.reshape(2, -1).sum(-1).astype(np.float32)
    np.testing.assert_array_equal(found.joint, np.stack([totals, -totals], -1))
    noisy = dequantized(np.arange(2), jnp.asarray(x), 256).reshape(2, -1)
    np.testing.assert_allclose(found.log_density, noisy.sum(-1), rtol=1e-6)
    np.testing.assert_allclose(found.log_prior, gmm.marginal(params["prior"], noisy), rtol=1e-6)


def test_a_model_without_a_density_has_the_joint_alone():
    x = np.zeros((3, 2, 2, 1), np.uint8)
    found = make_statistics(pixel_sum_model(density=False), levels=256)({}, x)
    assert found.joint.shape == (3, 2)
    assert found.log_density is None
    assert found.log_prior is None


def test_a_second_set_of_the_same_model_is_not_traced_again(flow_model):
    model, params, x = flow_model
    traced = []

    def joint(params, x):
        traced.append(x.shape)
        return model.class_log_density(params, x)

    measure = make_statistics(Model(None, None, joint), levels=0)
    measure(params, x)
    measure(params, x + 1)
    assert len(traced) == 1
