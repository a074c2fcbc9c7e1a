"""The conditioners and the architectures made of them: near the identity, bounded, finite."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, initialised, perturbed
from registry import NETS, normal, pixels

from flowgmm_jax import density, flows

IMAGE_FLOWS = {
    "realnvp": flows.image_realnvp(256, (4, 4), 1),
    "glow": flows.glow(256, ((1, 2),), width=4),
}


def count(params):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("net", NETS)
def test_a_new_net_gives_no_scale_and_no_shift(net):
    module = NETS[net](4)
    x = normal(2, 3, 3, 2)
    log_scale, shift = module.apply(module.init(jax.random.key(0), x), x)
    assert log_scale.shape == shift.shape == (2, 3, 3, 4)
    np.testing.assert_array_equal(log_scale, 0)
    np.testing.assert_array_equal(shift, 0)


@pytest.mark.parametrize("size", [1e3, 1e15], ids=str)
@pytest.mark.parametrize("net", NETS)
def test_the_log_scale_is_bounded_for_huge_inputs(net, size):
    module = NETS[net](4, bound=1.5)
    x = size * normal(2, 3, 3, 2)
    params = perturbed(module.init(jax.random.key(0), x), scale=3.0)
    log_scale, shift = module.apply(params, x)
    assert np.abs(log_scale).max() <= 1.5
    assert np.isfinite(shift).all()


@pytest.mark.parametrize("net", NETS)
def test_the_log_scale_reaches_beyond_half_of_its_bound(net):
    module = NETS[net](4, bound=1.5)
    x = normal(2, 3, 3, 2)
    params = perturbed(module.init(jax.random.key(0), x), scale=3.0)
    assert np.abs(module.apply(params, x)[0]).max() > 0.75


@pytest.mark.parametrize("net", NETS)
def test_outputs_of_a_bfloat16_net_are_float32(net):
    module = NETS[net](4, dtype=jnp.bfloat16)
    x = normal(2, 3, 3, 2)
    params = module.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    assert {output.dtype for output in module.apply(params, x)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["checkerboard", "channel"])
def test_a_new_coupling_is_the_identity(name):
    x = jnp.asarray(normal(2, 4, 4, 2))
    bijector = flows.affine_coupling(NETS["resnet"], getattr(flows, name))
    z, log_det = bijector.forward(bijector.init(jax.random.key(0), x), x)
    np.testing.assert_array_equal(z, x)
    np.testing.assert_array_equal(log_det, 0)


def test_a_new_image_realnvp_is_the_logit():
    x = jnp.asarray(pixels(2, 4, 4, 1, levels=256))
    flow = IMAGE_FLOWS["realnvp"]
    z, log_det = compiled(flow.forward)(compiled(flow.init)(jax.random.key(0), x), x)
    expected, expected_log_det = flows.logit(0.05, 256).forward((), x)
    np.testing.assert_allclose(
        np.sort(density.flatten(z)), np.sort(expected.reshape(2, -1)), atol=1e-5
    )
    np.testing.assert_allclose(log_det, expected_log_det, rtol=1e-5)


@pytest.mark.parametrize("flow", IMAGE_FLOWS.values(), ids=IMAGE_FLOWS)
def test_black_and_white_images_give_finite_numbers_and_gradients(flow):
    params = initialised(flow, pixels(8, 4, 4, 1, levels=256))
    greys = jnp.array([0.0, 255.0, np.nextafter(np.float32(256), np.float32(0))])
    x = jnp.broadcast_to(greys[:, None, None, None], (3, 4, 4, 1))

    @compiled
    def value_and_gradients(params, x):
        def scalar(params, x):
            z, log_det = flow.forward(params, x)
            return jnp.sum(density.flatten(z) ** 2) + jnp.sum(log_det)

        return jax.value_and_grad(scalar, argnums=(0, 1))(params, x)

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(value_and_gradients(params, x)))


@pytest.mark.parametrize("flow", IMAGE_FLOWS.values(), ids=IMAGE_FLOWS)
def test_init_from_constant_images_is_finite(flow):
    params = compiled(flow.init)(jax.random.key(0), jnp.zeros((2, 4, 4, 1)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("widths", "blocks", "couplings", "millions"),
    [((64, 128), 8, 10, 19.6), ((64, 64, 64), 4, 16, 5.1)],
    ids=["two scales of eight blocks", "three scales of four blocks"],
)
def test_the_published_networks_have_their_number_of_parameters(
    widths, blocks, couplings, millions
):
    flow = flows.image_realnvp(256, widths, blocks)
    x = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    params = jax.eval_shape(flow.init, jax.random.key(0), x)
    assert count(params) / 1e6 == pytest.approx(millions, abs=0.06)
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    rescales = [leaf.shape for path, leaf in flat if path[-1].key == "rescale"]
    assert sum(shape[0] for shape in rescales) == couplings


def test_a_flow_on_cifar_sized_images_keeps_every_dimension():
    flow = flows.image_realnvp(256, (4, 4, 4), 1)
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)

    def flatten(key, x):
        return density.flatten(flow.forward(flow.init(key, x), x)[0])

    assert jax.eval_shape(flatten, jax.random.key(0), x).shape == (2, 3072)


@pytest.mark.parametrize(("net", "convolutions"), [("resnet", 3), ("convnet", 2)])
def test_backpropagation_repeats_no_convolution(net, convolutions):
    module, x = NETS[net](2), normal(2, 3, 3, 2)
    params = module.init(jax.random.key(0), x)

    def scalar(params, x):
        return sum(jnp.sum(jnp.sin(a)) for a in module.apply(params, x))

    program = str(jax.make_jaxpr(jax.grad(scalar, argnums=(0, 1)))(params, x))
    # One forward and two for the gradients of each.
    assert program.count("conv_general_dilated[") == 3 * convolutions
