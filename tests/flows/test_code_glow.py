"""A code that carries the class: what depends on what, and what a program of the code omits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, initialised, perturbed
from registry import normal, pixels

from flowgmm_jax import flows
from flowgmm_jax.flows.code_glow import divide

CODE = 3


def code_glow(width=4, code=CODE):
    return flows.code_glow(16, 2, code, width=width, code_width=4, code_blocks=1)


@pytest.fixture(scope="module")
def coded():
    x = pixels(6, 8, 8, 1)
    flow = code_glow()
    return flow._replace(forward=jax.jit(flow.forward)), initialised(flow, x), x


# What comes before the networks: images to the tuple (code, s, r).
DIVIDE = flows.chain(
    flows.logit(0.05, 16), flows.squeeze(), flows.squeeze(), flows.actnorm(), divide(CODE)
)


def divided(params, x):
    return DIVIDE.forward(params[:5], x)[0]


def latents_of(flow, params, event):
    """Latents of the images that are divided into ``event``."""
    return flow.forward(params, DIVIDE.inverse(params[:5], event)[0])[0]


def test_the_latents_of_the_code_come_first(coded):
    flow, params, x = coded
    latents, _ = flow.forward(params, x)
    assert [z.shape for z in latents] == [(6, CODE), (6, 8 - CODE), (6, 2, 2, 14)]


def test_the_code_is_of_the_first_rows(coded):
    _, params, x = coded
    moved = x.copy()
    moved[:, 4:] = x[:, 4:][:, ::-1]
    codes = [divided(params, images)[0] for images in (x, moved)]
    np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize(
    ("part", "moved"), [(0, {0, 2}), (1, {1}), (2, {0, 1, 2})], ids=["code", "s", "r"]
)
def test_parts_see_those_that_they_should(coded, part, moved):
    flow, params, x = coded
    event = divided(params, x)
    other = tuple(a + 0.5 if i == part else a for i, a in enumerate(event))
    before, after = (latents_of(flow, params, event) for event in (event, other))
    assert {i for i in range(3) if np.abs(after[i] - before[i]).max() > 1e-3} == moved
    assert {i for i in range(3) if np.abs(after[i] - before[i]).max() > 0} == moved


def test_what_the_code_alone_needs_leaves_the_density_out(coded):
    flow, params, x = coded

    def of_code(flow):
        return lambda params, x: jnp.sin(flow.forward(params, x)[0][0]).sum()

    def flops(width):
        flow = code_glow(width)
        params = jax.eval_shape(flow.init, jax.random.key(0), x)
        gradient = jax.jit(jax.grad(of_code(flow)))
        return gradient.lower(params, x).compile().cost_analysis()["flops"]

    assert flops(4) == flops(8)  # of the conditioners of all but the code
    *_, of_s, of_code_net, of_r = compiled(jax.grad(of_code(flow)))(params, x)
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves((of_s, of_r)))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(of_code_net))


def test_a_code_must_leave_something_of_an_eighth_of_the_image():
    flow = code_glow(code=8)
    with pytest.raises(ValueError, match="code is 8 .* of 2x2x16, .* less than 8 numbers"):
        jax.eval_shape(flow.init, jax.random.key(0), pixels(2, 8, 8, 1))


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [("code", 0, "at least 1"), ("code_width", 1, "at least 2")],
)
def test_bad_arguments_are_named(argument, value, expected):
    arguments = {"levels": 16, "steps": 1, "code": 2, argument: value}
    with pytest.raises(ValueError, match=f"{argument} is {value}, expected {expected}"):
        flows.code_glow(**arguments)


@pytest.fixture(scope="module")
def code_net():
    net, x = flows.CodeNet(2, width=4, blocks=1, bound=1.5), normal(2, 6, 6, 4)
    return net, net.init(jax.random.key(0), x), x


def test_a_new_code_net_gives_no_scale_and_no_shift(code_net):
    net, params, x = code_net
    for output in net.apply(params, x):
        np.testing.assert_array_equal(output, np.zeros((2, 2)))


def test_every_output_of_the_code_net_sees_the_whole_image(code_net):
    net, params, x = code_net
    params = perturbed(params)
    corners = np.zeros_like(x)
    corners[0, 0, 0], corners[1, -1, -1] = 1, 1
    before, after = (net.apply(params, images)[1] for images in (x, x + corners))
    assert np.abs(after - before).min() > 0


def test_the_log_scale_of_the_code_net_is_bounded(code_net):
    net, params, x = code_net
    log_scale, shift = net.apply(perturbed(params, scale=3.0), 1e15 * x)
    assert 0.75 < np.abs(log_scale).max() <= 1.5
    assert np.isfinite(shift).all()
