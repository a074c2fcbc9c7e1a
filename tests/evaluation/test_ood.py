"""Detection measures against cases known by hand, scores, sets by name, and the section."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from ml_collections import ConfigDict

from flowgmm_jax.data.base import Dataset, Info
from flowgmm_jax.data.splits import Split
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation import ood, ood_scores, ood_sets
from flowgmm_jax.evaluation.ood_scores import Examples, detection
from flowgmm_jax.evaluation.statistics import Statistics
from flowgmm_jax.trained import Trained


def statistics(log_prior, log_det):
    log_prior, log_det = np.float32(log_prior), np.float32(log_det)
    joint = np.stack([log_prior + log_det, np.full_like(log_det, -1e6)], -1)
    return Statistics(joint, log_prior + log_det, log_prior)


# ------------------------------------------------------------------------------ detection


def test_separation_is_perfect_or_perfectly_wrong():
    low, high = np.arange(10.0), np.arange(10.0) + 100
    assert detection(low, high) == {"auroc": 1.0, "aupr": pytest.approx(1), "fpr95": 0.0}
    assert detection(high, low)["auroc"] == 0.0
    assert detection(high, low)["fpr95"] == 1.0


def test_ties_count_half():
    found = detection(np.zeros(30), np.zeros(10))
    assert found == {"auroc": 0.5, "aupr": pytest.approx(0.25), "fpr95": 1.0}
    assert detection(np.array([0.0, 1.0]), np.array([1.0, 2.0]))["auroc"] == 0.875


def test_chance():
    rng = np.random.default_rng(0)
    found = detection(rng.normal(size=20_000), rng.normal(size=20_000))
    assert found["auroc"] == pytest.approx(0.5, abs=0.02)
    assert found["aupr"] == pytest.approx(0.5, abs=0.02)
    assert found["fpr95"] == pytest.approx(0.95, abs=0.02)


def test_fpr95_by_hand():
    # 19 of 20 are at or above 2; of the insiders, 3 in 10 are.
    outside = np.array([0.5, *[2.0] * 19])
    inside = np.array([0.0] * 7 + [2.0, 3.0, 4.0])
    assert detection(inside, outside)["fpr95"] == pytest.approx(0.3)


def test_what_has_no_likelihood_is_outside():
    found = detection(np.arange(5.0), np.array([np.inf, np.nan, np.inf]))
    assert found["auroc"] == 1.0
    assert detection(np.array([np.nan]), np.array([0.0]))["auroc"] == 0.0


# --------------------------------------------------------------------------------- scores


def test_scores_by_hand():
    training = statistics([-1.0, -3.0], [0.0, 0.0])
    found = statistics([-2.0, 1.0, -5.0], [0.0, 0.0, 1.0])
    np.testing.assert_allclose(ood_scores.likelihood(found), [2, -1, 4])
    typical = ood_scores.typicality(found.log_density, training.log_density)
    np.testing.assert_allclose(typical, [0, 3, 2])
    np.testing.assert_allclose(ood_scores.complexity(found, np.array([1.0, 2.0, 3.0])), [1, -3, 1])


def normal_states(size, prior=0.0, det=0.0, seed=0):
    noise = np.random.default_rng(seed).normal(size=(2, size))
    return statistics(noise[0] - 1000 + prior, 30 * noise[1] - 500 + 30 * det)


def test_the_density_of_states_finds_the_too_likely_and_the_too_unlikely():
    scores = ood_scores.make_scores(Examples(normal_states(500), None))
    assert set(scores(Examples(normal_states(3), None))) == {
        "likelihood",
        "typicality",
        "latent typicality",
        "density of states",
    }
    inside = scores(Examples(normal_states(300, seed=1), None))["density of states"]
    for shift in ({"det": 6.0}, {"det": -6.0}, {"prior": 6.0}, {"prior": -6.0}):
        outside = scores(Examples(normal_states(300, **shift), None))["density of states"]
        assert detection(inside, outside)["auroc"] > 0.98
    again = scores(Examples(normal_states(300, seed=2), None))["density of states"]
    assert detection(inside, again)["auroc"] == pytest.approx(0.5, abs=0.1)


def test_parts_that_cancel_in_the_likelihood_are_found():
    scores = ood_scores.make_scores(Examples(normal_states(500), None))
    inside, outside = (
        scores(Examples(s, None))
        for s in (normal_states(300, seed=1), normal_states(300, prior=60, det=-2, seed=2))
    )
    assert detection(inside["likelihood"], outside["likelihood"])["auroc"] < 0.6
    assert detection(inside["density of states"], outside["density of states"])["auroc"] == 1.0


def test_states_that_are_not_finite_are_infinitely_odd_and_do_not_spoil_the_fit():
    training = normal_states(200)
    training.log_prior[0] = np.nan
    score = ood_scores.fit_density_of_states(ood_scores.states(Examples(training, None)))
    odd = ood_scores.states(Examples(normal_states(3), None))
    odd[1, 0] = -np.inf
    np.testing.assert_array_equal(np.isinf(score(odd)), [False, True, False])


# ----------------------------------------------------------------------------------- sets


LEVELS = 16


def trained(x, validation=(), name="digits"):
    levels = LEVELS if x.dtype == np.uint8 else 0
    half = len(x) // 2
    y = np.zeros(half, np.int32)
    dataset = Dataset(x[:half], y, x[half:], y, Info(x.shape[1:], 2, levels))
    rest = np.setdiff1d(np.arange(half), validation)
    config = ConfigDict({"data": {"name": name, "data_dir": ""}})
    split = Split(rest[:2], rest[2:], np.asarray(validation, int))
    return Trained("a run", None, 5, config, None, dataset, split)


@pytest.fixture
def images():
    """Blots of different sizes: what is bright is also complex."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, LEVELS, (800, 8, 8, 1)).astype(np.uint8)
    return x * (np.arange(8) < rng.integers(2, 8, (800, 1, 1)))[..., None].astype(np.uint8)


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)


def test_synthetic_images(images):
    run = trained(images)
    x = run.dataset.x_test
    found = ood_sets.load(["noise", "shuffled", "inverted"], run)
    assert all(a.shape == x.shape and a.dtype == np.uint8 for a in found.values())
    assert found["noise"].max() == LEVELS - 1
    np.testing.assert_array_equal(found["inverted"], LEVELS - 1 - x)
    np.testing.assert_array_equal(
        np.sort(found["shuffled"].reshape(len(x), -1)), np.sort(x.reshape(len(x), -1))
    )
    assert (found["shuffled"] != x).any()


def test_shuffling_keeps_the_colours_of_a_pixel():
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(1, 2, 4, 3) // 2
    run = trained(np.concatenate([pixels, pixels]))
    (found,) = ood_sets.load(["shuffled"], run).values()
    assert set(map(tuple, found.reshape(-1, 3))) == set(map(tuple, pixels.reshape(-1, 3)))


def test_synthetic_vectors(vectors):
    run = trained(vectors)
    x = run.dataset.x_test
    found = ood_sets.load(["noise", "shuffled"], run)
    assert (found["noise"] >= x.min(0)).all()
    assert (found["noise"] <= x.max(0)).all()
    np.testing.assert_array_equal(np.sort(found["shuffled"], 0), np.sort(x, 0))
    assert abs(np.corrcoef(found["shuffled"].T[0], x.T[0])[0, 1]) < 0.3


def test_sets_by_name(vectors):
    assert ood_sets.load(["circles"], trained(vectors, name="moons"))["circles"].shape == (1000, 2)


@pytest.mark.parametrize("field", ["x", "x_test"])
def test_own_files(images, field, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, **{field: images[:5, ..., 0]})
    found = ood_sets.load([str(path)], trained(images))
    np.testing.assert_array_equal(found["mine"], images[:5])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mnits", None, "expected a .npz file or one of noise, .*fashion_mnist"),
        ("moons", None, r"float32 \(1000, 2\); the model takes uint8 \(N, 8, 8, 1\)"),
        ("none.npz", None, "none.npz': expected a .npz file with x_test or x"),
        ("a.npz", {"y": np.zeros(3)}, "expected a .npz file with x_test or x"),
        ("a.npz", {"x": np.zeros((3, 9, 8), np.uint8)}, r"uint8 \(3, 9, 8, 1\); the model"),
        ("a.npz", {"x": np.zeros((3, 8, 8))}, "values 0 to 0: expected whole grey levels"),
        ("a.npz", {"x": np.full((3, 8, 8), np.nan)}, "not finite: the first, in row 0"),
        ("a.npz", {"x": np.full((3, 8, 8), 99, np.uint8)}, "grey level 99; the model takes 0..15"),
    ],
)
def test_a_set_that_does_not_fit_is_one_line(images, name, content, message, tmp_path):
    if content is not None:
        name = str(tmp_path / name)
        np.savez(name, **content)
    with pytest.raises(InputError, match=message) as error:
        ood_sets.load([name], trained(images))
    assert "\n" not in str(error.value)


def test_vectors_without_a_value_are_refused(vectors, tmp_path):
    np.save(tmp_path / "a.npy", np.full((3, 2), np.nan))
    with pytest.raises(InputError, match="a.npy' has values that are not finite"):
        ood_sets.load([str(tmp_path / "a.npy")], trained(vectors))


def test_vectors_cannot_be_inverted(vectors):
    with pytest.raises(InputError, match="'inverted' is unknown; expected .* noise, shuffled, "):
        ood_sets.load(["inverted"], trained(vectors))


# -------------------------------------------------------------------------------- section


def brightness(params, x):
    """A model that likes dark images."""
    total = x.reshape(len(x), -1).astype(np.float32).sum(-1)
    return statistics(-0.5 * total, -0.5 * total)


def close(section):
    for picture in section.pictures:
        plt.close(picture.figure)


def test_the_section_says_where_the_likelihood_fails_and_what_repairs_it(images):
    run = trained(images, validation=range(300))
    sets = {"dark": np.zeros_like(images[:50]), "noise": ood_sets.load(["noise"], run)["noise"]}
    sets["dark"][:, 2:5, 2:5] = 1
    section = ood.evaluate(run, brightness(None, run.dataset.x_test), brightness, sets)
    found = section.metrics["ood"]
    assert found.keys() == {"dark", "noise"}
    assert set(found["dark"]["complexity"]) == {"auroc", "aupr", "fpr95"}
    assert found["dark"]["likelihood"]["auroc"] < 0.5
    assert found["dark"]["states and complexity"]["auroc"] > 0.9
    assert found["noise"]["likelihood"]["auroc"] > 0.9
    assert "The likelihood fails on dark" in section.note
    assert "repairs it" in section.note
    assert "300 held-out training examples" in section.note
    assert len(section.rows) == 12
    assert {picture.poster for picture in section.pictures} == {"Figure 3", ""}
    close(section)


def test_vectors_have_no_complexity_and_a_small_validation_set_is_not_fitted_on(vectors):
    run = trained(vectors, validation=range(5), name="moons")

    def measure(params, x):
        return statistics(-0.5 * np.square(x).sum(-1), 0.1 * x[:, 0])

    sets = {"far": vectors[:9] + 40, "lost": np.full((4, 2), np.nan, np.float32)}
    section = ood.evaluate(run, measure(None, run.dataset.x_test), measure, sets)
    assert section.metrics["ood"]["far"].keys() == {
        "likelihood",
        "typicality",
        "latent typicality",
        "density of states",
    }
    for found in section.metrics["ood"].values():
        assert all(score["auroc"] == 1.0 for score in found.values())
    assert "295 training examples" in section.note
    close(section)


def test_the_scores_never_see_the_other_sets(images):
    run = trained(images, validation=range(300))
    test = brightness(None, run.dataset.x_test)
    sets = ood_sets.load(["noise", "inverted"], run)
    both = ood.evaluate(run, test, brightness, sets)
    alone = ood.evaluate(run, test, brightness, {"inverted": sets["inverted"]})
    assert both.metrics["ood"]["inverted"] == alone.metrics["ood"]["inverted"]
    close(both)
    close(alone)
