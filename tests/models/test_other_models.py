"""Models of other kinds pass through the same trainer, checkpoints and report."""

import json

import jax
import jax.numpy as jnp
import optax
import pytest
import tiny
from jax.scipy.stats import norm

import flowgmm_jax as fg
from flowgmm_jax.config import complete
from flowgmm_jax.models import build
from flowgmm_jax.models.base import Model


def metrics_of(loss, logits, y):
    return loss, {"loss_labeled": loss, "accuracy": 100.0 * (fg.gmm.classify(logits) == y).mean()}


def flow_with_a_linear_classifier(config, info):
    """log p(y | z) of a linear layer on the latents, and their density, a standard normal."""
    flow = build.build_flow(config, info)

    def init(key, x, y):
        linear = jnp.zeros((info.size + 1, info.num_classes))
        return {"flow": flow.init(key, x), "linear": linear}

    def encode(params, x):
        return flow.forward(params["flow"], x)[0]

    def log_density(params, x):
        z, log_det = flow.forward(params["flow"], x)
        return norm.logpdf(z).sum(-1) + log_det

    def class_log_density(params, x):
        logits = encode(params, x) @ params["linear"][:-1] + params["linear"][-1]
        return jax.nn.log_softmax(logits) + log_density(params, x)[:, None]

    def loss(params, batch, key, step):
        joint = class_log_density(params, batch.x_labeled)
        total = -jnp.take_along_axis(joint, batch.y[:, None], axis=1).mean()
        return metrics_of(total - log_density(params, batch.x_student).mean(), joint, batch.y)

    return Model(
        init,
        loss,
        class_log_density,
        log_density,
        encode,
        decode=lambda params, z: flow.inverse(params["flow"], z)[0],
        flow=lambda params: (flow, params["flow"]),
    )


def classifier_that_draws(config, info):
    """No density: class scores of a linear layer, and samples about a mean per class."""

    def init(key, x, y):
        linear = jax.random.normal(key, (info.size, info.num_classes))
        return {"linear": linear, "means": jnp.zeros((info.num_classes, *info.shape))}

    def class_log_density(params, x):
        return jax.nn.log_softmax(x @ params["linear"])

    def loss(params, batch, key, step):
        logits = class_log_density(params, batch.x_labeled)
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y).mean()
        deviation = jnp.square(batch.x_labeled - params["means"][batch.y]).mean()
        return metrics_of(nll + deviation, logits, batch.y)

    def sample(params, key, labels, temperature=1.0):
        means = params["means"][labels]
        return means + temperature * jax.random.normal(key, means.shape)

    return Model(init, loss, class_log_density, sample=sample)


MODELS = {"linear": flow_with_a_linear_classifier, "draws": classifier_that_draws}


@pytest.mark.parametrize("name", MODELS)
def test_another_model_is_trained_restored_and_evaluated(tmp_path, monkeypatch, name):
    monkeypatch.setitem(build.MODELS, name, MODELS[name])
    experiment = tiny.get_config()
    experiment.model = name
    experiment.train.update(steps=20, eval_every=0)
    if name == "draws":
        experiment.flow = {}
    result = fg.train(complete(experiment), tmp_path)
    assert (result.bits_per_dim is None) == (name == "draws")
    model, params = fg.load(tmp_path)
    assert model.classify(params, jnp.zeros((3, 2))).shape == (3,)
    metrics = fg.evaluate(tmp_path, ood=["noise"])
    assert metrics["accuracy"] == pytest.approx(result.accuracy)
    assert ("bits_per_dim" in metrics) == (name == "linear")
    assert ("health" in metrics) == (name == "linear")
    assert "boundary" not in metrics
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text()).keys() == metrics.keys()
    assert (tmp_path / "eval" / "samples.png").exists() == (name == "draws")
