"""Temperature, calibration scores against scikit-learn and by hand, and the section."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import perturbed
from matplotlib import pyplot as plt
from ml_collections import ConfigDict
from scipy.special import log_softmax, softmax
from sklearn import metrics

from flowgmm_jax import gmm
from flowgmm_jax.data.base import Dataset, Info
from flowgmm_jax.data.splits import Split
from flowgmm_jax.evaluation import calibration
from flowgmm_jax.evaluation.calibration import (
    bins,
    evaluate,
    fit_temperature,
    held_out,
    mixture_offset,
    scores,
    tempered,
)
from flowgmm_jax.evaluation.statistics import Statistics
from flowgmm_jax.flows import vector_realnvp
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm
from flowgmm_jax.trained import Trained

CLASSES = 3


@pytest.fixture
def table():
    """A joint of the size of log-densities, labels drawn from its posterior, and no offset."""
    rng = np.random.default_rng(0)
    joint = -2000 + 3 * rng.normal(size=(4000, CLASSES))
    posterior = softmax(joint, axis=-1)
    y = (rng.random((4000, 1)) > posterior.cumsum(-1)).sum(-1)
    return joint, y, np.zeros(CLASSES)


# ------------------------------------------------------------------------------ temperature


@pytest.mark.parametrize("temperature", [0.3, 1.0, 7.0])
def test_tempering_is_scaling_the_variances_of_the_mixture(temperature):
    loss = Loss("class_conditional", 1.0, 1.0, "likelihood", 0.0, 0, 0.0)
    model = flowgmm(vector_realnvp(2, (8,)), Info((4,), CLASSES), Prior("random", 1.0), loss)
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    init = jax.jit(model.init)(jax.random.key(0), x, np.zeros(20, np.int32))
    params = perturbed(init, scale=0.3)  # unequal scales and weights too
    prior = params["prior"]
    scaled = prior._replace(log_scale=prior.log_scale + 0.5 * np.log(temperature))
    expected = model.class_log_density(params | {"prior": scaled}, x)
    joint = np.asarray(model.class_log_density(params, x), np.float64)
    found = tempered(joint, mixture_offset(prior), temperature)
    np.testing.assert_allclose(log_softmax(found, -1), log_softmax(expected, -1), atol=2e-4)


@pytest.mark.parametrize("temperature", [0.02, 1.0, 300.0])
def test_the_temperature_of_the_labels_is_found(table, temperature):
    joint, y, offset = table
    found = fit_temperature(temperature * joint, offset, y)
    assert found == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("temperature", [0.02, 50.0])
def test_the_fit_with_unequal_scales_is_the_nearer_end_of_the_likelihood_interval(
    table, temperature
):
    joint, y, _ = table
    offset = np.array([40.0, -20.0, 0.0])
    joint = offset + temperature * (joint - offset)
    found = fit_temperature(joint, offset, y)

    def nll(factor):
        return len(y) * calibration.nll(tempered(joint, offset, factor * found), y)

    toward_one = 0.9995 if temperature > 1 else 1 / 0.9995
    least = min(nll(factor) for factor in np.linspace(0.99, 1.01, 401))
    assert nll(1) - least == pytest.approx(1.92, abs=0.02)
    assert nll(toward_one) > nll(1) > nll(1 / toward_one)


def test_a_single_confident_mistake_among_hundreds_of_nats_is_survived():
    joint = np.tile([0.0, -800.0, -900.0], (200, 1)).astype(np.float32)
    y = np.zeros(200, int)
    y[0] = 1
    found = fit_temperature(joint, np.zeros(CLASSES), y)
    assert 10 < found < 1000
    assert scores(tempered(joint, 0.0, found), y)["nll"] < 0.05


@pytest.mark.parametrize("margin", [5.0, 50.0, 3000.0])
def test_no_mistakes_among_a_hundred_change_nothing(margin):
    y = np.arange(100) % CLASSES
    assert fit_temperature(margin * np.eye(CLASSES)[y], np.zeros(CLASSES), y) == 1.0


def test_no_mistakes_of_an_underconfident_model_do_not_promise_none_ever():
    y = np.arange(100) % CLASSES
    joint = np.eye(CLASSES)[y]  # the posterior of the label is 0.58
    found = fit_temperature(joint, np.zeros(CLASSES), y)
    assert 0 < found < 1
    confidence = softmax(tempered(joint, 0.0, found), axis=-1).max(-1)
    np.testing.assert_allclose(confidence, np.exp(-1.92 / 100), rtol=1e-3)


@pytest.mark.parametrize("examples", [20, 100])
def test_a_calibrated_model_is_left_as_it_is_in_19_of_20_cases(table, examples):
    joint, y, offset = table
    rng = np.random.default_rng(1)
    samples = [rng.choice(len(y), examples, replace=False) for _ in range(200)]
    found = [fit_temperature(joint[rows], offset, y[rows]) for rows in samples]
    assert np.mean(np.array(found) == 1.0) >= 0.9
    before = calibration.nll(joint, y)
    changes = [calibration.nll(tempered(joint, offset, t), y) - before for t in found]
    assert np.mean(changes) < 0.01 * before


# ----------------------------------------------------------------------------------- scores


def test_scores_agree_with_scikit_learn(table):
    joint, y, _ = table
    posterior = softmax(joint, axis=-1)
    found = scores(joint, y)
    assert found["nll"] == pytest.approx(metrics.log_loss(y, posterior))
    assert found["accuracy"] == pytest.approx(100 * metrics.accuracy_score(y, joint.argmax(-1)))
    brier = sum(metrics.brier_score_loss(y == k, posterior[:, k]) for k in range(CLASSES))
    assert found["brier"] == pytest.approx(brier)
    assert found["ece"] < 0.03
    assert found["ece_adaptive"] < 0.03


def logits(confidence):
    """Two classes, the first one with the given probability."""
    confidence = np.asarray(confidence, float)
    return np.stack([np.log(confidence), np.log1p(-confidence)], axis=-1)


def test_ece_by_hand():
    # Bins of 15: (9/15, 10/15] with two, one of them right; (13/15, 14/15] with one, wrong.
    found = scores(logits([0.62, 0.64, 0.9]), np.array([0, 1, 1]))
    expected = 2 / 3 * abs(0.5 - 0.63) + 1 / 3 * 0.9
    assert found["ece"] == pytest.approx(expected)
    # Three examples in 15 bins of equal count: every one has its own.
    assert found["ece_adaptive"] == pytest.approx((0.38 + 0.64 + 0.9) / 3)


def test_a_confidence_of_exactly_one_and_empty_bins():
    found = scores(np.array([[0.0, -5000.0], [0.0, -5000.0]]), np.array([0, 1]))
    assert found["ece"] == pytest.approx(0.5)
    assert found["ece_adaptive"] == pytest.approx(0.5)
    assert found["nll"] == pytest.approx(2500)
    binned = bins(np.array([[0.0, -5000.0]]), np.array([0]))
    assert np.flatnonzero(binned.share).tolist() == [14]


def test_equal_counts():
    rng = np.random.default_rng(0)
    binned = bins(logits(rng.uniform(0.5, 1, 1500)), np.zeros(1500, int), equal_count=True)
    np.testing.assert_allclose(binned.share, 1 / 15)


def test_scores_do_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    joint = logits(rng.choice([0.6, 0.8, 1 - 1e-9], 200))  # many ties
    y = rng.integers(0, 2, 200)
    order = rng.permutation(200)
    assert scores(joint[order], y[order]) == pytest.approx(scores(joint, y))


# ---------------------------------------------------------------------------------- section


class Case(NamedTuple):
    trained: Trained
    test: Statistics


def measure(params, x):
    return Statistics(x.astype(np.float32))


def case(table, unlabeled=(), validation=(), labeled=()):
    """A model that says the table's joint ten times over, the second half of it as test set."""
    joint, y, _ = table
    half = len(y) // 2
    dataset = Dataset(
        10 * joint[:half], y[:half], 10 * joint[half:], y[half:], Info((3,), CLASSES, 0)
    )
    split = Split(*(np.asarray(part, int) for part in (labeled, unlabeled, validation)))
    params = {"prior": gmm.with_means(jnp.zeros((CLASSES, 3)))}
    config = ConfigDict({"model": "flowgmm", "data": {"name": "mnist", "num_labels": 1000}})
    model = Model(None, None, None, prior=lambda params: params["prior"])
    trained = Trained("a run", params, 5, config, model, dataset, split)
    return Case(trained, measure(params, dataset.x_test))


def test_the_section_mends_an_overconfident_model(table):
    section = evaluate(*case(table, np.arange(100, 2000), labeled=range(100)), measure)
    calibrated = section.metrics["calibrated"]
    assert calibrated["temperature"] == pytest.approx(10, rel=0.15)
    assert calibrated["examples"] == calibration.FIT_EXAMPLES
    assert calibrated["fitted_on"] == "training labels that training did not see"
    assert calibrated["nll"] < section.metrics["nll"]
    assert calibrated["ece"] < 0.05 < section.metrics["ece"]
    assert calibrated["accuracy"] == section.metrics["accuracy"]  # scales are equal
    assert {row.label: row.poster for row in section.rows}["ECE with temperature"] == "0.004"
    for picture in section.pictures:
        plt.close(picture.figure)


def test_the_validation_examples_come_first(table):
    found = held_out(case(table, range(100, 1900), range(1900, 2000), range(100)).trained)
    assert found.description == "validation"
    np.testing.assert_array_equal(found.index, np.arange(1900, 2000))


def test_unknown_and_used_labels_are_never_fitted_on(table):
    trained, _ = case(table, unlabeled=range(50, 2000), labeled=range(100))
    trained.dataset.y_train[200:] = -1
    np.testing.assert_array_equal(held_out(trained).index, np.arange(100, 200))


def test_without_held_out_labels_there_is_no_temperature(table):
    everything = range(2000)
    section = evaluate(*case(table, unlabeled=everything, labeled=everything), measure)
    assert section.metrics["calibrated"] is None
    assert "data.validation" in section.note
    for picture in section.pictures:
        plt.close(picture.figure)


def test_test_labels_do_not_touch_the_temperature(table):
    trained, test = case(table, validation=range(500))
    dataset = trained.dataset._replace(y_test=1 - np.minimum(trained.dataset.y_test, 1))
    changed = trained._replace(dataset=dataset)
    first, second = (
        evaluate(s, test, measure).metrics["calibrated"]["temperature"] for s in (trained, changed)
    )
    plt.close("all")
    assert first == second
