"""The class network by itself, with FixMatch's loss, through the trainer and the report."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flowgmm_jax as fg
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.errors import InputError

SMALL = {"flow.class_width": 8, "flow.class_blocks": 1}


@pytest.fixture
def config():
    return fg.load_config("digits", model="classifier", steps=3, batch_density=0, **SMALL)


def test_it_is_trained_and_evaluated_like_any_model(config, tmp_path):
    result = fg.train(config, tmp_path)
    assert result.bits_per_dim is None
    metrics = fg.evaluate(tmp_path)
    assert metrics["accuracy"] == pytest.approx(result.accuracy)
    assert "nll" in metrics
    assert "samples" not in metrics


def test_the_loss_is_that_of_fixmatch(config):
    config.loss.update(labeled_weight=2.0, consistency_weight=3.0, confidence=0.5)
    model = fg.build(config)
    key = jax.random.key(0)
    x = 17 * jax.random.uniform(key, (12, 8, 8, 1))
    labeled, student, teacher = x[:4], x[4:8], x[8:]
    y = jnp.array([0, 1, 2, 3])
    params = jax.jit(model.init)(key, labeled, y)
    # A new network says the same of every image; its last layer at random tells them apart.
    params["Dense_0"]["kernel"] = 0.2 * jax.random.normal(key, params["Dense_0"]["kernel"].shape)
    posterior = np.asarray(model.posterior(params, x))
    guess, sure = posterior[8:].argmax(-1), posterior[8:].max(-1) >= np.float32(0.5)
    assert 0 < sure.sum() < 4
    cross_entropy = -np.log(posterior[np.arange(8), [*range(4), *guess]])
    expected = 2 * cross_entropy[:4].mean() + 3 * (sure * cross_entropy[4:]).mean()
    loss, metrics = jax.jit(model.loss)(params, Batch(labeled, y, student, teacher), key, 0)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert metrics["confident"] == pytest.approx(sure.mean())


def test_a_flow_without_such_a_network_is_refused():
    with pytest.raises(InputError, match="flow.name is 'glow', expected 'pixel_groups'"):
        fg.build(fg.load_config("digits:glow", model="classifier"))
