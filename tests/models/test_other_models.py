"""Models of other kinds pass through the same trainer, checkpoints and report: DIGLM, M1+M2 and a
classifier without a density."""

import json

import jax
import jax.numpy as jnp
import optax
import pytest
import tiny

import flowgmm_jax as fg
from flowgmm_jax.config import complete
from flowgmm_jax.evaluation import ood_scores
from flowgmm_jax.models import build
from flowgmm_jax.models.base import Model


def metrics_of(loss, logits, y):
    return loss, {"loss_labeled": loss, "accuracy": 100.0 * (fg.gmm.classify(logits) == y).mean()}


def classifier_that_draws(config, info):
    """No density: class scores of a linear layer, and samples about a mean per class."""

    def init(key, x, y):
        linear = jax.random.normal(key, (info.size, info.num_classes))
        return {"linear": linear, "means": jnp.zeros((info.num_classes, *info.shape))}

    def class_log_density(params, x):
        return jax.nn.log_softmax(x.reshape(len(x), -1) @ params["linear"])

    def loss(params, batch, key, step):
        logits = class_log_density(params, batch.x_labeled)
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y).mean()
        deviation = jnp.square(batch.x_labeled - params["means"][batch.y]).mean()
        return metrics_of(nll + deviation, logits, batch.y)

    def sample(params, key, labels, temperature=1.0):
        means = params["means"][labels]
        return means + temperature * jax.random.normal(key, means.shape)

    return Model(init, loss, class_log_density, sample=sample)


def experiment_of(name):
    """A config of the model for digits, trained in seconds."""
    experiment = tiny.get_config()
    experiment.model = name
    experiment.train.update(steps=20, eval_every=0)
    experiment.data.update(name="digits", num_labels=100)
    experiment.flow, experiment.prior, experiment.loss = {}, {}, {}
    if name == "diglm":
        experiment.flow = dict(name="glow", stages=((1, 1),), width=4)
    if name == "m1m2":
        experiment.m1m2 = dict(hidden=(8,), features=3, latents=2, class_hidden=(8,))
    return complete(experiment)


PARTS = {
    "diglm": {"density", "flow"},
    "m1m2": {"density", "bound", "samples"},
    "draws": {"samples"},
}


@pytest.mark.parametrize("name", PARTS)
def test_another_model_is_trained_restored_and_evaluated(tmp_path, monkeypatch, name):
    monkeypatch.setitem(build.MODELS, "draws", classifier_that_draws)
    monkeypatch.setattr(ood_scores, "COMPONENTS", (1, 2))  # fewer mixtures to fit
    parts = PARTS[name]
    result = fg.train(experiment_of(name), tmp_path)
    assert (result.bits_per_dim is not None) == ("density" in parts)
    model, params = fg.load(tmp_path)
    assert model.classify(params, jnp.full((3, 8, 8, 1), 8.0)).shape == (3,)
    metrics = fg.evaluate(tmp_path, ood=["inverted"], save_arrays=True)
    assert metrics["accuracy"] == pytest.approx(result.accuracy)
    assert ("ood" in metrics) == ("density" in parts)
    assert ("health" in metrics) == ("flow" in parts)
    assert ("samples" in metrics) == ("samples" in parts)
    assert "boundary" not in metrics
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text()).keys() == metrics.keys()
    assert (tmp_path / "eval" / "samples.png").exists() == ("samples" in parts)
    saved = {path.stem for path in (tmp_path / "eval" / "arrays").iterdir()}
    assert ("log_density" in saved) == ("density" in parts)
    assert ("latents" in saved) == ("flow" in parts)
    assert ("samples_1" in saved) == ("samples" in parts)
    report = (tmp_path / "eval" / "report.html").read_text()
    assert ("bits per dimension, upper bound" in report) == ("bound" in parts)
    if "density" in parts:
        assert metrics["bits_per_dim"] == pytest.approx(result.bits_per_dim, rel=1e-4)
    assert ("bits_per_dim_estimate" in metrics) == ("bound" in parts)
    if "bound" in parts:
        assert metrics["bits_per_dim_estimate"] < metrics["bits_per_dim"]
