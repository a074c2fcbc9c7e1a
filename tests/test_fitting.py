"""fg.fit: from arrays to a model."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import flowgmm_jax as fg
from flowgmm_jax.data.base import Info
from flowgmm_jax.fit_settings import settings_for
from flowgmm_jax.fitting import fit_arrays
from flowgmm_jax.trained import model_of

QUICK = {"progress": False, "steps": 20, "flow.steps": 1, "flow.hidden": (4,)}
RNG = np.random.default_rng(0)
Y = np.arange(120) % 3
X = np.eye(3, 5)[Y] * 6 + RNG.normal(size=(120, 5))
TABLE = X * [1, 1e-3, 1e3, 1, 1] + [0, 0, 1e6, 0, 0]  # columns in units of their own
PARTLY = np.where(np.arange(120) < 24, Y, -1)


@pytest.fixture(scope="module")
def fitted():
    return fg.fit(TABLE, np.array(["a", "b", "c", ""])[PARTLY], **QUICK | {"steps": 100})


def test_a_fitted_model_classifies_scores_and_samples_raw_rows(fitted):
    model, params = fitted
    assert model.classes == ("a", "b", "c")
    assert np.mean(np.asarray(model.classify(params, TABLE)) == Y) > 0.9
    log_density = np.asarray(model.log_density(params, TABLE))
    far = model.log_density(params, TABLE + 100 * TABLE.std(0))
    assert np.isfinite(log_density).all() and log_density.min() > np.asarray(far).max()
    samples = model.sample(params, jax.random.key(0), [0, 1, 2])
    assert np.abs((samples - TABLE.mean(0)) / TABLE.std(0)).max() < 10
    back = model.decode(params, model.encode(params, TABLE))
    np.testing.assert_allclose((back - TABLE) / TABLE.std(0), 0, atol=1e-3)


def test_a_fit_depends_on_the_seed_only(fitted):
    first, again, other = (
        fg.fit(X, PARTLY, **QUICK, seed=seed)[1]["prior"].means for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_start_is_kept_if_training_does_not_improve_on_it():
    destructive = {"optimizer.learning_rate": 10.0, "prior.learning_rate": 10.0}
    fitted = fit_arrays(X, PARTLY, **QUICK, **destructive)
    assert fitted.step == 0
    classes = model_of(fitted.config, fitted.facts).classify(fitted.params, X)
    known = PARTLY >= 0
    linear = LogisticRegression().fit(X[known], Y[known])
    assert np.mean(np.asarray(classes) == Y) >= linear.score(X, Y)


def test_one_class_is_a_density():
    model, params = fg.fit(X, np.where(PARTLY < 0, -1, 0), **QUICK)
    assert np.isfinite(model.log_density(params, X)).all()


@pytest.mark.parametrize("shape", [(4, 4), (7, 5, 3)])
def test_images_are_taken_as_they_are_stored(shape):
    x = np.random.default_rng(1).integers(0, 256, (40, *shape)).astype(np.uint8)
    shape = (*shape, 1)[:3]
    flow = dict(settings_for(Info(shape, 5, 256), 40).flow)
    small = {"stages": ((1, 1),), "width": 4, "widths": (4,), "blocks": 1}
    small = {f"flow.{name}": value for name, value in small.items() if name in flow}
    model, params = fg.fit(
        x,
        np.arange(40) % 5,
        progress=False,
        steps=2,
        batch_labeled=8,
        batch_unlabeled=8,
        **small,
    )
    assert model.posterior(params, x).shape == (40, 5)


def test_minutes_end_a_fit():
    fg.fit(X, PARTLY, **QUICK | {"steps": 2**31 - 1}, minutes=1e-3)


def test_settings_follow_the_shape():
    assert settings_for(Info((2,), 2, 0), 100).flow.name == "vector_realnvp"
    small, large = (settings_for(Info((9,), 2, 0), n) for n in (100, 10_000))
    assert small.flow.name == large.flow.name == "table_realnvp"
    assert small.flow.steps < large.flow.steps and large.data.validation == 2000
    assert settings_for(Info((28, 28, 1), 10, 256), 100).flow.squeezes == 2
    assert settings_for(Info((8, 8, 1), 17, 256), 100).flow.name == "glow"
    assert settings_for(Info((9, 9, 1), 10, 256), 100).flow.name == "image_realnvp"


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (np.where(X > 5, np.nan, X), Y, {}, "fit: x has values that are not finite"),
        (X[:0], Y[:0], {}, r"fit: x is float64 \(0, 5\)"),
        (X, Y[:5], {}, r"fit: y is int64 \(5,\)"),
        (X, np.full(120, -1), {}, "fit: y has no known label"),
        ([[1, 2], [3]], [0, 1], {}, "fit: x is no array"),
        (X, Y, {"minutes": 0}, "minutes is 0"),
        (X, Y, {"flow.step": 3}, "config.flow.step is no field"),
        (X, Y, {"num_labels": 3}, "config.data.num_labels is 3: fit takes arrays only"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(x, y, options, message):
    with pytest.raises(fg.InputError, match=message) as caught:
        fg.fit(x, y, progress=False, **options)
    assert "\n" not in str(caught.value)
