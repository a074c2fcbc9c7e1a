"""Events that do not fit are refused, with what was found."""

import jax
import numpy as np
import pytest
from helpers import initialised

from flowgmm_jax import flows

IMAGE = np.zeros((2, 5, 4, 3), np.float32)


def coupling(partition):
    return flows.affine_coupling(lambda features: flows.MLP(features, (4,)), partition)


@pytest.mark.parametrize(
    ("bijector", "event", "message"),
    [
        (flows.squeeze(), IMAGE, "squeeze needs an even height and width, found 5x4"),
        (flows.squeeze(), IMAGE[:, :4, :3], "squeeze needs an even height and width, found 4x3"),
        (
            flows.factor_out(flows.actnorm()),
            IMAGE,
            "factor_out needs an even number of channels, found 3",
        ),
        (
            coupling(flows.channel),
            IMAGE,
            "the channel partition needs an even number of channels, found 3",
        ),
    ],
    ids=["squeeze odd height", "squeeze odd width", "factor_out", "channel coupling"],
)
@pytest.mark.parametrize("function", ["init", "forward"])
def test_an_odd_size_is_refused(bijector, event, message, function):
    with pytest.raises(ValueError, match=message):
        if function == "init":
            params = bijector.init(jax.random.key(0), event)
            bijector.forward(params, event)
        else:
            bijector.forward((), event)


def test_a_chain_refuses_parameters_of_another_length():
    chain = flows.chain(flows.actnorm(), flows.actnorm())
    x = np.ones((2, 3), np.float32)
    params = initialised(chain, x)
    with pytest.raises(ValueError, match="shorter"):
        chain.forward(params[:1], x)
    with pytest.raises(ValueError, match="longer"):
        chain.inverse((*params, ()), x)


def test_a_chain_of_nothing_is_the_identity():
    x = jax.numpy.ones((2, 3))
    z, log_det = flows.chain().forward((), x)
    np.testing.assert_array_equal(z, x)
    np.testing.assert_array_equal(log_det, [0, 0])


def test_factor_out_puts_the_second_half_of_the_channels_into_the_latents():
    x = jax.numpy.arange(8.0).reshape(1, 2, 4)
    (z, kept), _ = flows.factor_out(flows.chain()).forward((), x)
    np.testing.assert_array_equal(z, x[..., 2:])
    np.testing.assert_array_equal(kept, x[..., :2])


def test_multiscale_latents_nest_to_the_right():
    flow = flows.multiscale(*[flows.squeeze()] * 3)
    x = jax.numpy.zeros((1, 8, 8, 1))
    params = jax.jit(flow.init)(jax.random.key(0), x)
    z1, (z2, z3) = flow.forward(params, x)[0]
    assert [z.shape for z in (z1, z2, z3)] == [(1, 4, 4, 2), (1, 2, 2, 4), (1, 1, 1, 16)]


def test_squeeze_keeps_a_diagonal_of_every_block_in_the_first_half():
    x = jax.numpy.arange(4.0).reshape(1, 2, 2, 1)
    z, _ = flows.squeeze().forward((), x)
    np.testing.assert_array_equal(z[0, 0, 0], [0, 3, 1, 2])


@pytest.mark.parametrize("shape", [(64, 3), (16, 4, 4, 3)], ids=["vectors", "images"])
def test_actnorm_standardises_the_batch_it_is_initialised_on(shape):
    x = 5 + 3 * np.random.default_rng(0).normal(size=shape).astype(np.float32)
    bijector = flows.actnorm()
    z, _ = bijector.forward(bijector.init(jax.random.key(0), x), jax.numpy.asarray(x))
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(z.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axes), 1, atol=1e-5)


def test_actnorm_survives_a_constant_channel():
    x = jax.numpy.ones((8, 3))
    bijector = flows.actnorm()
    z, log_det = bijector.forward(bijector.init(jax.random.key(0), x), x)
    np.testing.assert_allclose(z, 0, atol=1e-5)
    assert np.isfinite(log_det).all()


def test_invertible_1x1_starts_as_a_rotation():
    x = np.zeros((1, 2, 2, 5), np.float32)
    matrix = flows.invertible_1x1().init(jax.random.key(0), x)["matrix"]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(5), atol=1e-5)


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("name", ["checkerboard", "channel", "half"])
def test_a_coupling_keeps_its_part_and_changes_the_rest(name, parity):
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)
    x = x[:, 0, 0] if name == "half" else x
    bijector = flows.affine_coupling(
        lambda features: flows.MLP(features, (4,)), getattr(flows, name), parity
    )
    z, _ = bijector.forward(initialised(bijector, x), jax.numpy.asarray(x))
    rows, columns, channels = np.indices((4, 4, 4))
    first_kept = {
        "checkerboard": (rows + columns) % 2 == 0,
        "channel": channels < 2,
        "half": channels[0, 0] < 2,
    }[name]
    kept = first_kept if parity == 0 else ~first_kept
    np.testing.assert_array_equal((np.asarray(z) == x).all(axis=0), kept)
