"""Test metrics, and the report; of one run as eval.py writes it, of the others in this process."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from PIL import Image
from sklearn import metrics as sklearn_metrics

import flowgmm_jax as fg
from flowgmm_jax.config import complete
from flowgmm_jax.data import datasets
from flowgmm_jax.evaluation import ood_scores, passes, poster
from flowgmm_jax.evaluation.statistics import make_evaluator
from flowgmm_jax.models.base import Model
from flowgmm_jax.trained import load_trained
from flowgmm_jax.training.trainer import train

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
    monkeypatch.setattr(passes, "BATCH", batch)
    parts = make_evaluator(linear_model(), levels=0)(params, x, y)
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config = tiny.complete_config()
    config.train.steps = 20
    path = tmp_path_factory.mktemp("run")
    train(config, path)
    return path


@pytest.fixture(scope="module")
def image_workdir(tmp_path_factory):
    experiment = tiny.get_config()
    experiment.data.update(name="digits", num_labels=100)
    experiment.flow = dict(name="glow", stages=((1, 2),), width=4)
    experiment.train.steps = 5
    config = complete(experiment)
    path = tmp_path_factory.mktemp("images")
    train(config, path)
    return path


@pytest.fixture(scope="module")
def evaluated(workdir):
    flags = (f"--workdir={workdir}", f"--compare={workdir}", "--ood=noise", "--save_arrays")
    done = subprocess.run(
        [sys.executable, "eval.py", *flags], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return workdir / "eval"


@pytest.fixture(scope="module")
def image_evaluated(image_workdir):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ood_scores, "COMPONENTS", (1, 2))  # fewer mixtures to fit
        fg.evaluate(image_workdir, ood=["inverted"])
    return image_workdir / "eval"


def test_eval_recomputes_the_test_metrics_from_the_checkpoint(workdir, evaluated):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    result = json.loads((workdir / "result.json").read_text())
    assert metrics["accuracy"] == pytest.approx(result["accuracy"])
    assert metrics["bits_per_dim"] == pytest.approx(result["bits_per_dim"], rel=1e-5)
    assert metrics["inverse_error_max"] < 1e-3


def test_the_metrics_of_every_part_are_written(evaluated):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert metrics.keys() >= {"accuracy", "class_accuracy", "confusion", "nll", "ece", "brier"}
    assert metrics["calibrated"].keys() >= {"temperature", "nll", "ece", "brier", "accuracy"}
    assert metrics["ood"]["noise"]["likelihood"].keys() == {"auroc", "aupr", "fpr95"}
    assert metrics["boundary"]["density_ratio"] > 0
    assert metrics["boundary"]["compared"]["median"] == metrics["boundary"]["median"]
    assert metrics["interpolation"]["different"]["drop"] >= 0
    assert metrics["health"]["nonfinite"] == 0
    assert metrics["health"]["log_det_error"] < 1e-3


def test_the_metrics_are_json_that_every_reader_takes(image_evaluated):
    def refuse(word):
        raise AssertionError(word)

    text = (image_evaluated / "metrics.json").read_text()
    layers = json.loads(text, parse_constant=refuse)["health"]["layers"]
    assert layers[0]["log_scale"] == [None, None]  # the logit has no coupling


def test_the_confusion_matrix_counts_the_test_examples(evaluated):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    counts = np.array(metrics["confusion"])
    assert metrics["accuracy"] == pytest.approx(100 * counts.trace() / counts.sum())
    np.testing.assert_allclose(metrics["class_accuracy"], 100 * counts.diagonal() / counts.sum(1))


def pictures(page):
    return set(re.findall(r'<figure id="(\w+)">', page))


def test_the_report_of_points_has_the_figures_of_points(evaluated):
    page = (evaluated / "report.html").read_text()
    assert pictures(page) >= {"boundary", "samples", "paths", "distances", "health", "reliability"}
    assert not pictures(page) & {"means", "temperatures", "mistakes", "interpolations_same"}
    with Image.open(evaluated / "boundary.png") as image:
        assert image.size == (1200, 600)
    assert (evaluated / "boundary.svg").exists()


def test_the_report_of_images_has_the_figures_of_images(image_evaluated):
    page = (image_evaluated / "report.html").read_text()
    assert pictures(page) >= {
        *("confusion", "mistakes", "reliability", "likelihoods", "detection", "means", "samples"),
        *("temperatures", "interpolations_same", "interpolations_different", "paths"),
        *("distances", "health"),
    }
    assert "boundary" not in pictures(page)
    for name in pictures(page):
        assert (image_evaluated / f"{name}.png").exists()


def test_the_report_needs_nothing_beside_itself(image_evaluated):
    page = (image_evaluated / "report.html").read_text()
    sources = re.findall(r'src="([^"]{0,30})', page)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"<(link|script|iframe)", page)


def test_arrays_are_what_the_model_gives(workdir, evaluated):
    folder = evaluated / "arrays"
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
    model, params = fg.load(workdir)
    x, y = datasets.load_test(load_trained(workdir).config.data)
    np.testing.assert_array_equal(arrays["labels"], y)
    np.testing.assert_allclose(arrays["latents"], model.encode(params, x), atol=1e-5)
    np.testing.assert_allclose(arrays["means"], params["prior"].means)
    expected = model.class_log_density(params, x)
    np.testing.assert_allclose(arrays["class_log_density"], expected, rtol=1e-4, atol=1e-4)
    assert arrays["samples_0.25"].shape == (2, 100, 2)


def test_eval_of_no_run_is_one_line(tmp_path):
    refused(tmp_path / "nothing", parts=["config.json does not exist"])


def test_an_unknown_out_of_domain_set_is_one_line(workdir):
    refused(workdir, ood=["nothing"], parts=["nothing"])


def test_a_model_of_other_data_cannot_be_compared(workdir, image_workdir):
    refused(workdir, compare=image_workdir, parts=["--compare", "(8, 8, 1)", "(2,)"])


def test_data_that_the_run_was_not_trained_on_are_refused(tmp_path):
    def write_data(seed):
        x = np.random.default_rng(seed).normal(size=(40, 2)).astype(np.float32)
        np.savez(tmp_path / "data.npz", x_train=x, y_train=np.arange(40) % 2)

    config = tiny.complete_config()
    config.data.name = "npz"
    config.data.data_dir = str(tmp_path / "data.npz")
    config.data.num_labels = 8
    config.train.steps = 5
    write_data(0)
    train(config, tmp_path / "run")
    write_data(1)
    refused(tmp_path / "run", parts=["trained on other data"])


def refused(workdir, *, parts, **arguments):
    """By one line that has these parts, which eval.py prints."""
    with pytest.raises(fg.InputError) as caught:
        fg.evaluate(workdir, **arguments)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line


def test_a_small_test_set_of_one_class_without_unlabelled_examples(tmp_path):
    """What a user's own data may be: nothing that can be evaluated is lost to what it cannot."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    data = tmp_path / "data.npz"
    np.savez(data, x_train=x, y_train=y, x_test=x[:7], y_test=np.zeros(7, int))
    config = tiny.complete_config()
    config.data.name, config.data.data_dir, config.data.num_labels = "npz", str(data), -1
    config.loss.consistency_weight = 0.0
    config.train.steps, config.train.batch_unlabeled = 5, 0
    train(config, tmp_path / "run")
    fg.evaluate(tmp_path / "run", ood=["noise"])
    metrics = json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())
    assert metrics["class_accuracy"][1] is None
    assert metrics["calibrated"] is None
    assert metrics["interpolation"].keys() == {"same"}
    assert metrics["health"]["nonfinite"] == 0


@pytest.mark.parametrize(
    ("spec", "row", "accuracy"),
    [
        ("mnist_1k", "FlowGMM-cons", 99.0),
        ("mnist_1k:sup", "FlowGMM Sup (n_l labels)", 97.36),
        ("diglm:mnist", "DIGLM SSL", 97.79),
        ("diglm:mnist_sup", "DIGLM Sup (all labels)", 99.33),
        ("m1m2:mnist", "M1+M2 VAE SSL", 97.60),
    ],
)
def test_an_experiment_has_its_row_of_table_1(spec, row, accuracy):
    config = fg.load_config(spec)
    assert poster.table_1(config) == (row, accuracy)
    assert (poster.table_2(config) is None) == (config.model != "flowgmm")


def test_what_the_poster_does_not_have_has_no_row():
    fields = {"train.batch_unlabeled": 0, "data.num_labels": 1000}
    assert poster.table_1(fg.load_config("diglm:mnist_sup", **fields)) is None
    assert poster.table_1(fg.load_config("m1m2")) is None
