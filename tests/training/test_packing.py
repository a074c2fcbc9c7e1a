import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowgmm_jax.training.packing import VECTOR, pack, unpack, with_packed


def draw(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def params():
    return {
        "dense": {"kernel": draw((18, 4), 0), "bias": draw((4,), 1)},
        "convolution": {"kernel": draw((3, 3, 2, 4), 2), "scale": draw((4,), 3)},
        "repeat": {"kernel": draw((5, 3, 3, 2, 4), 4), "bias": draw((5, 4), 5)},
        "layers": {"kernel": draw((7, 6, 3), 6)},
    }


def test_kernels_of_one_size_are_packed_together_as_matrices(params):
    packed = pack(params)
    shapes = {name: array.shape for name, array in packed.items()}
    assert shapes == {VECTOR: (4 + 4 + 5 * 4,), "18x4": (1 + 1 + 5, 18, 4), "6x3": (7, 6, 3)}
    kernel = params["convolution"]["kernel"]
    np.testing.assert_array_equal(packed["18x4"][0], kernel.reshape(18, 4))


def test_unpack_undoes_pack(params):
    jax.tree.map(np.testing.assert_array_equal, unpack(pack(params), params), params)


def test_an_elementwise_optimizer_does_the_same_with_packed_parameters(params):
    def steps(tx):
        found, state = params, tx.init(params)
        for seed in range(3):
            grads = jax.tree.map(lambda leaf, seed=seed: jnp.sin(leaf + seed), found)
            updates, state = tx.update(grads, state, found)
            found = optax.apply_updates(found, updates)
        return found

    adam = optax.adamw(1e-2, weight_decay=0.1)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        steps(with_packed(adam)),
        steps(adam),
    )


def test_parameters_that_another_optimizer_trains_are_left_out(params):
    tx = optax.multi_transform(
        {"packed": with_packed(optax.sgd(1.0)), "fixed": optax.set_to_zero()},
        {name: "fixed" if name == "dense" else "packed" for name in params},
    )
    updates, _ = tx.update(params, tx.init(params), params)
    assert not np.any(updates["dense"]["kernel"])
    np.testing.assert_array_equal(updates["layers"]["kernel"], -params["layers"]["kernel"])
