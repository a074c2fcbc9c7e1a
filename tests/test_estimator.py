"""FlowGMMClassifier: scikit-learn's own checks, and what they do not check."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from flowgmm_jax import FlowGMMClassifier

RNG = np.random.default_rng(0)
Y = np.arange(90) % 3
X = np.eye(3, 4)[Y] * 6 + RNG.normal(size=(90, 4))
NAMES = np.array(["cat", "dog", "owl", "-1"])[np.where(np.arange(90) < 30, Y, -1)]
# The flow of a table for two columns too: that of a plane learns nothing from so few parameters.
TINY = {
    "flow.name": "table_realnvp",
    "flow.steps": 1,
    "flow.hidden": (2,),
    "prior.means": "latents",
}


def tiny(steps=2):
    return FlowGMMClassifier(steps=steps, random_state=0, validation=0, overrides=TINY)


@pytest.fixture(scope="module")
def fitted():
    return tiny(60).fit(X, NAMES)


def test_words_are_classes(fitted):
    assert fitted.classes_.tolist() == ["cat", "dog", "owl"]
    assert np.mean(fitted.predict(X) == np.array(["cat", "dog", "owl"])[Y]) > 0.9
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    x, y = fitted.sample(5)
    assert x.shape == (5, 4) and set(y) <= {"cat", "dog", "owl"}
    assert fitted.score_samples(X).min() > fitted.score_samples(X + 50).max()


def test_a_pickle_predicts_the_same(fitted):
    fitted.predict(X)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert clone(fitted).get_params() == fitted.get_params()


def test_pipelines_and_grid_search_take_it():
    search = GridSearchCV(tiny(), {"random_state": [0, 1]}, cv=2).fit(X, Y)
    assert search.best_params_["random_state"] in (0, 1)
    assert make_pipeline(StandardScaler(), tiny()).fit(X, Y).score(X, Y) > 0.5


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.where(X > 5, np.nan, X), Y, "Input X contains NaN"),
        (X[:0], Y[:0], "0 sample"),
        (X, np.zeros(90, int), "y has 1 class: expected 2 or more classes"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        tiny().fit(x, y)


def test_another_width_is_refused(fitted):
    with pytest.raises(ValueError, match="X has 3 features, but .* expecting 4"):
        fitted.predict(X[:, :3])


# scikit-learn's checks that fail, and why; docs/arrays.md has the same table.
EXPECTED_FAILURES = {
    "check_classifiers_classes": "takes -1 for a class; here it is no label, as it is for "
    "scikit-learn's own semi-supervised classifiers, which this check excepts by their names",
}

# Most of scikit-learn's checks train, for minutes in all: by hand. These do not.
QUICK = {
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_do_not_raise_errors_in_init_or_set_param",
    "check_estimators_unfitted",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_complex_data",
    "check_estimators_empty_data_messages",
    "check_fit2d_1sample",
    "check_fit1d",
    "check_classifiers_one_label",
}


@pytest.mark.parametrize(
    "check",
    [check for _, check in estimator_checks_generator(tiny()) if check.func.__name__ in QUICK],
    ids=lambda check: check.func.__name__,
)
def test_quick_checks_of_scikit_learn(check):
    check(tiny())


@pytest.mark.skipif("FLOWGMM_ALL_CHECKS" not in os.environ, reason="FLOWGMM_ALL_CHECKS=1: minutes")
def test_all_checks_of_scikit_learn():
    check_estimator(tiny(300), expected_failed_checks=EXPECTED_FAILURES)


def test_the_documentation_names_the_checks_that_fail():
    page = (Path(__file__).parents[1] / "docs" / "arrays.md").read_text()
    assert all(f"| `{name}` |" in page for name in EXPECTED_FAILURES)


def test_an_impossible_class_has_the_smallest_probability_that_has_a_logarithm(fitted):
    far = 1e3 * X
    probabilities = fitted.predict_proba(far)
    assert probabilities.min() > 0
    np.testing.assert_allclose(np.log(probabilities), fitted.predict_log_proba(far))


def test_samples_are_of_the_classes_in_their_proportions(fitted):
    _, y = fitted.sample(300)
    weights = np.exp(fitted._functions().prior(fitted.fitted_.params).log_weights)
    shares = np.array([(y == name).mean() for name in fitted.classes_])
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.1)
