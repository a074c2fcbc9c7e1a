"""What a model says of itself; equality and pickles of models that were built from a config."""

import pickle

import jax
import numpy as np
import pytest
from helpers import compiled, make_config

import flowgmm_jax as fg
from flowgmm_jax import gmm
from flowgmm_jax.models.base import Model
from flowgmm_jax.trained import model_of

X, Y = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), np.array([0, 1, 2] * 2)
FACTS = {"shape": (3,), "num_classes": 3, "levels": 0, "classes": ("ash", "elm", "oak")}


def make(steps=1, **facts):
    flow = {"name": "vector_realnvp", "steps": steps, "hidden": (4,)}
    return model_of(make_config(flow=flow), FACTS | facts)


@pytest.fixture(scope="module")
def fitted():
    model = make()
    return model, compiled(model.init)(jax.random.key(0), X, Y)


def test_a_model_describes_itself(fitted):
    model, params = fitted
    assert (model.shape, model.num_classes) == ((3,), 3)
    assert model.num_parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert model.config.flow.hidden == (4,)
    expected = "Model(model='flowgmm', flow='vector_realnvp', shape=(3,), num_classes=3, "
    assert repr(model) == expected + "classes=('ash', 'elm', 'oak'))"


def test_models_of_one_config_are_equal_and_compiled_once():
    model, again, other = make(), make(), make(steps=2)
    assert model == again != other
    assert hash(model) == hash(again)
    assert model.log_density == again.log_density != other.log_density
    traces = []

    def count(model):
        traces.append(model)
        return 0

    jax.jit(count, static_argnums=0)(model)
    jax.jit(count, static_argnums=0)(again)
    assert len(traces) == 1


@pytest.mark.parametrize("pick", [lambda model: model, lambda model: (model.sample, model.loss)])
def test_a_model_and_its_functions_can_be_pickled(fitted, pick):
    assert pickle.loads(pickle.dumps(pick(fitted[0]))) == pick(fitted[0])


def test_a_pickle_holds_what_was_replaced(fitted):
    model = fitted[0]._replace(log_density=len)
    assert pickle.loads(pickle.dumps(model)).log_density is len


def test_functions_that_are_made_elsewhere_are_not_pickled(fitted):
    with pytest.raises((AttributeError, pickle.PicklingError), match="<lambda>"):
        pickle.dumps(fitted[0]._replace(log_density=lambda params, x: x))


def test_the_density_of_a_class_and_a_draw_of_any(fitted):
    model, params = fitted
    weights = np.log(np.array([0.2, 0.3, 0.5], np.float32))
    params = params | {"prior": params["prior"]._replace(log_weights=weights)}
    given_class = model.conditional_log_density(params, X)
    joint = given_class + gmm.log_class_weights(model.prior(params))
    np.testing.assert_allclose(joint, model.class_log_density(params, X), rtol=1e-6)
    far = params["prior"]._replace(means=100.0 * np.eye(3, dtype=np.float32))
    draws = model.sample_marginal(params | {"prior": far}, jax.random.key(1), 600)
    counts = np.bincount(model.classify(params | {"prior": far}, draws))
    np.testing.assert_allclose(counts / 600, [0.2, 0.3, 0.5], atol=0.06)


def test_a_model_without_a_prior_says_so(fitted):
    model = Model(*fitted[0][:3])
    with pytest.raises(fg.InputError, match="has no prior"):
        model.conditional_log_density(fitted[1], X)
