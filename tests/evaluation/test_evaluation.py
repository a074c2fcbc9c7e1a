"""Test metrics, the decision boundary's picture, and eval.py."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sklearn_metrics

from flowgmm_jax.evaluation import classification
from flowgmm_jax.evaluation.classification import inverse_error_max, make_evaluator
from flowgmm_jax.models.base import Model
from flowgmm_jax.training.trainer import train_and_evaluate
from tests.training import tiny

ROOT = Path(__file__).parents[2]


def linear_model(decode=None):
    """A model whose log-densities are linear in x, so that its metrics are easy to compute."""

    def class_log_density(params, x):
        return x @ params

    def log_density(params, x):
        return jax.nn.logsumexp(class_log_density(params, x), axis=-1)

    return Model(
        init=None,
        loss=None,
        class_log_density=class_log_density,
        log_density=log_density,
        encode=lambda params, x: x,
        decode=decode,
    )


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    x, params = rng.normal(size=(37, 4)), rng.normal(size=(4, 3))
    return x.astype(np.float32), rng.integers(0, 3, 37), params.astype(np.float32)


def test_metrics_agree_with_scikit_learn(examples):
    x, y, params = examples
    found = make_evaluator(linear_model(), levels=0)(params, x, y)
    joint = x @ params
    posterior = np.exp(joint) / np.exp(joint).sum(-1, keepdims=True)
    expected = 100 * sklearn_metrics.accuracy_score(y, joint.argmax(-1))
    assert found["accuracy"] == pytest.approx(expected)
    assert found["nll"] == pytest.approx(sklearn_metrics.log_loss(y, posterior), rel=1e-5)
    bits = -np.log(np.exp(joint).sum(-1)).mean() / (4 * np.log(2))
    assert found["bits_per_dim"] == pytest.approx(bits, rel=1e-5)


@pytest.mark.parametrize("batch", [5, 36, 37, 100])
def test_metrics_do_not_depend_on_the_batch(examples, batch, monkeypatch):
    x, y, params = examples
    whole = make_evaluator(linear_model(), levels=0)(params, x, y)
    monkeypatch.setattr(batches, "BATCH", batch)
    parts = make_evaluator(linear_model(), levels=0)(params, x, y)
    assert parts == pytest.approx(whole, rel=1e-5)


def test_the_largest_inverse_error_is_found(examples, monkeypatch):
    x, _, params = examples
    monkeypatch.setattr(batches, "BATCH", 5)
    worst = np.abs(x).max()
    model = linear_model(decode=lambda params, z: z + jnp.where(jnp.abs(z) == worst, 3.0, 0.0))
    assert inverse_error_max(model, params, x, levels=0) == pytest.approx(3.0, rel=1e-5)


def test_an_inverse_that_is_not_finite_is_not_hidden(examples, monkeypatch):
    x, _, params = examples
    monkeypatch.setattr(batches, "BATCH", 5)
    worst = np.abs(x).max()
    model = linear_model(decode=lambda params, z: jnp.where(jnp.abs(z) == worst, jnp.nan, z))
    assert np.isnan(inverse_error_max(model, params, x, levels=0))


def run_eval(*arguments):
    command = [sys.executable, str(ROOT / "eval.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config = tiny.get_config()
    config.train.steps = 20
    path = tmp_path_factory.mktemp("run")
    train_and_evaluate(config, path)
    return path


def test_eval_recomputes_the_test_metrics_from_the_checkpoint(workdir):
    done = run_eval(f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((workdir / "eval" / "metrics.json").read_text())
    result = json.loads((workdir / "result.json").read_text())
    assert metrics.keys() == {"accuracy", "nll", "bits_per_dim", "inverse_error_max"}
    assert metrics["accuracy"] == pytest.approx(result["accuracy"])
    assert metrics["bits_per_dim"] == pytest.approx(result["bits_per_dim"], rel=1e-5)
    assert metrics["inverse_error_max"] < 1e-3


def test_eval_draws_the_decision_boundary_of_two_dimensional_runs(workdir):
    run_eval(f"--workdir={workdir}")
    with Image.open(workdir / "eval" / "boundary.png") as image:
        assert image.size == (1000, 500)


def test_eval_of_no_run_is_one_line(tmp_path):
    done = run_eval(f"--workdir={tmp_path / 'nothing'}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "config.json does not exist" in done.stderr
