"""What people pass to a model: taken where the meaning is plain, one line where it is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, make_config, perturbed

import flowgmm_jax as fg
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.door import guarded

X = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1)).astype(np.uint8)


def built(config, x):
    model = fg.build(config)
    params = compiled(model.init)(jax.random.key(0), x, np.arange(len(x)) % 2)
    return model, perturbed(params)


@pytest.fixture(scope="module")
def image():
    flow = {"name": "glow", "stages": ((1, 1),), "width": 4}
    return built(make_config(data={"name": "digits"}, flow=flow), X)


@pytest.fixture(scope="module")
def vector():
    flow = {"name": "vector_realnvp", "steps": 1, "hidden": (4,)}
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    return built(make_config(data={"name": "moons"}, flow=flow), x)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_images_of_any_precision(image, dtype):
    model, params = image
    x = X + 0.5
    given = jnp.asarray(x, dtype) if dtype == "bfloat16" else x.astype(dtype)
    np.testing.assert_allclose(
        compiled(model.log_density)(params, given),
        compiled(model.log_density)(params, x.astype(np.float32)),
        rtol=1e-6,
    )


def test_numbers_of_another_machine(vector):
    model, params = vector
    x = np.eye(2, dtype=np.float32)
    np.testing.assert_array_equal(model.encode(params, x.astype(">f4")), model.encode(params, x))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint8])
def test_truth_values_and_integers_are_numbers(image, vector, dtype):
    for (model, params), x, shift in ((image, X > 8, 0.5), (vector, np.eye(2) > 0, 0.0)):
        density = compiled(model.log_density)
        expected = density(params, x.astype(np.float32) + np.float32(shift))
        np.testing.assert_allclose(density(params, x.astype(dtype)), expected, rtol=1e-6)


def test_images_that_seem_to_be_scaled_are_warned_of(image):
    model, params = image
    with pytest.warns(UserWarning, match=r"all values of x lie in \[0, 1\].*grey levels, 0 to 17"):
        model.log_density(params, X / 16)


def test_an_empty_batch_has_empty_results(image):
    model, params = image
    assert model.class_log_density(params, X[:0]).shape == (0, 10)
    assert model.log_density(params, X[:0]).shape == (0,)
    assert model.classify(params, X[:0]).shape == (0,)
    assert model.encode(params, X[:0]).shape == (0, 64)
    assert model.decode(params, np.zeros((0, 64))).shape == (0, 8, 8, 1)
    assert model.sample(params, jax.random.key(0), []).shape == (0, 8, 8, 1)


def test_labels_in_a_list(vector):
    model, params = vector
    key = jax.random.key(0)
    expected = model.sample(params, key, jnp.array([0, 1]))
    np.testing.assert_array_equal(model.sample(params, key, [0, 1]), expected)
    np.testing.assert_array_equal(model.sample(params, key, np.array([0, 1], np.int64)), expected)


def test_under_jit_the_sample_of_no_class_is_no_number(vector):
    model, params = vector
    x = jax.jit(model.sample)(params, jax.random.key(0), jnp.array([0, 2, -1, 1]))
    np.testing.assert_array_equal(np.isnan(x).any(1), [False, True, True, False])


def test_an_example_that_is_no_number_has_no_class(vector):
    model, params = vector
    x = np.array([[0, 0], [np.nan, 0]], np.float32)
    assert model.classify(params, x).tolist()[1] == -1
    assert model.classify(params, x).tolist()[0] in (0, 1)


KEY = jax.random.key(0)
BAD = {
    "words": ("log_density", (np.array([["a", "b"]]),), "x is <U1, expected real numbers"),
    "complex numbers": ("encode", (np.zeros((1, 2), complex),), "x is complex128"),
    "objects": ("encode", (np.array([[None, 1]]),), "x is object"),
    "a torn list": ("encode", ([[1.0], [1.0, 2.0]],), "x is no array"),
    "one example": ("encode", (np.zeros(2),), r"x has shape \(2,\), expected \(batch, 2\)"),
    "another width": ("class_log_density", (np.zeros((1, 3)),), r"\(1, 3\), expected \(batch, 2\)"),
    "latents of another width": ("decode", (np.zeros((1, 3)),), r"z has shape \(1, 3\), expected"),
    "one latent": ("decode", (np.zeros(2),), r"z has shape \(2,\), expected \(batch, 2\)"),
    "a label too large": ("sample", (KEY, [0, 2]), "labels have 2, expected 0 to 1"),
    "a label far too large": ("sample", (KEY, np.array([2**32])), "labels have 4294967296"),
    "a negative label": ("sample", (KEY, [-1]), "labels have -1, expected 0 to 1"),
    "a fraction of a label": ("sample", (KEY, [0.5]), r"labels are float64 \(1,\), expected int"),
    "one label": ("sample", (KEY, 1), r"labels are int64 \(\), expected integers \(batch,\)"),
    "a negative temperature": ("sample", (KEY, [0], -1.0), "temperature is -1.0, expected"),
    "no temperature": ("sample", (KEY, [0], float("nan")), "temperature is nan, expected"),
    "no examples": ("init", (np.zeros((0, 2)), np.zeros(0)), "y has shape .*of each of 0 examples"),
    "too few labels": ("init", (np.zeros((2, 2)), np.zeros(1)), "expected one label of each of 2"),
}


@pytest.mark.parametrize(("function", "arguments", "message"), BAD.values(), ids=BAD)
def test_what_no_model_takes_is_one_line(vector, function, arguments, message):
    model, params = vector
    first = KEY if function == "init" else params
    with pytest.raises(fg.InputError, match=message) as caught:
        getattr(model, function)(first, *arguments)
    assert "\n" not in str(caught.value)


def test_image_models_have_forward_derivatives(image):
    model, params = image
    x = jnp.asarray(X[:1] + 0.5, jnp.float32)
    dx = jnp.asarray(np.random.default_rng(1).normal(size=x.shape), jnp.float32)

    def density(x):
        return model.log_density(params, x)[0]

    slope = compiled(lambda x: jax.jvp(density, (x,), (dx,))[1])(x)
    gradient = compiled(jax.grad(density))(x)
    np.testing.assert_allclose(slope, jnp.vdot(gradient, dx), rtol=1e-4)


def test_known_pixels_are_truth_values_that_broadcast(image):
    model, params = image

    def fill(params, key, x, is_known, labels, draws):
        return jnp.where(is_known, x, -1.0)

    infill = guarded(model._replace(infill=fill)).infill
    upper = np.arange(8)[:, None, None] < 4
    filled = infill(params, jax.random.key(0), X, upper, [0, 1, 2])
    np.testing.assert_array_equal(filled[:, :4], X[:, :4] + np.float32(0.5))
    np.testing.assert_array_equal(filled[:, 4:], -1)
    for is_known, labels, draws, message in [
        (upper.astype(int), [0, 1, 2], 1, "is_known is int64, expected truth values"),
        (upper[:5], [0, 1, 2], 1, r"is_known has shape \(5, 1, 1\), expected one that broadcasts"),
        (upper, [0, 1], 1, r"labels have shape \(2,\), expected \(3,\)"),
        (upper, [0, 1, 10], 1, "labels have 10, expected 0 to 9"),
        (upper, [0, 1, 2], 0, "draws is 0, expected an integer of at least 1"),
    ]:
        with pytest.raises(InputError, match=message):
            infill(params, jax.random.key(0), X, is_known, labels, draws)
    assert infill(params, jax.random.key(0), X[:0], upper, []).shape == (0, 8, 8, 1)
