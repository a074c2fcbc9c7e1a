"""Every bijector by name, with an example event: what the generic tests run over."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from flowgmm_jax import flows
from flowgmm_jax.flows.bijector import zero_log_det


class Entry(NamedTuple):
    """A bijector and an event for it.

    Attributes:
      constructor: ``(dtype) -> Bijector``, the precision of the hidden layers of its conditioners.
      event: a float32 array, batch axis first.
      has_conditioner: whether it depends on ``dtype``.
      inverse_error: of float32, in the unit of the event. A grey level of mass m keeps about
        1e-7 / m of x.
    """

    constructor: Callable[[Any], flows.Bijector]
    event: np.ndarray
    has_conditioner: bool
    inverse_error: float = 1e-4


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def pixels(*shape, levels=16):
    return np.random.default_rng(0).uniform(0, levels, size=shape).astype(np.float32)


def plain(bijector, event, **kwargs):
    return Entry(lambda dtype=None: bijector, event, has_conditioner=False, **kwargs)


def conditioned(constructor, event):
    return Entry(constructor, event, has_conditioner=True)


NETS = {
    "mlp": partial(flows.MLP, hidden=(6,)),
    "resnet": partial(flows.ResNet, width=6, blocks=1),
    "convnet": partial(flows.ConvNet, width=6),
}
IMAGE, ODD_IMAGE = normal(2, 4, 4, 2), normal(2, 3, 5, 3)


def coupling(net, partition, parity, event):
    def constructor(dtype=None):
        return flows.affine_coupling(partial(NETS[net], dtype=dtype), partition, parity)

    return conditioned(constructor, event)


def step(i, dtype=None, partition=flows.channel):
    return flows.glow_step(partial(NETS["convnet"], dtype=dtype), i, partition)


def repeated_step(dtype=None):
    return flows.repeat(partial(step, dtype=dtype), 3)


def divided(bijector):
    """``bijector``, of pairs, on the first channel and the others."""
    divide = flows.stateless(
        lambda x: ((x[..., :1], x[..., 1:]), zero_log_det(x)),
        lambda pair: (jnp.concatenate(pair, axis=-1), zero_log_det(pair)),
    )
    return flows.chain(divide, bijector)


def given_step(dtype=None):
    def given(context):
        return step(1, dtype, flows.channel_with_context(context))

    return divided(flows.conditional(1, lambda pair: pair[0], given))


def given_affine(dtype=None):
    net = partial(NETS["convnet"], dtype=dtype)
    return divided(
        flows.conditional(0, lambda pair: pair[1], partial(flows.conditional_affine, net))
    )


def dense(dtype):
    return partial(flows.DenseNet, hidden=(6,), dtype=dtype)


def spline(partition, parity, dtype=None):
    """Two bins and a short interval, so that numbers lie in every bin and outside."""
    return flows.spline_coupling(dense(dtype), partition, parity, 2, 1.0)


def given_spline(dtype=None):
    given = partial(flows.conditional_spline, dense(dtype), bins=3)
    return divided(flows.conditional(0, lambda pair: pair[1], given))


def three_scales(dtype=None):
    second = flows.chain(flows.squeeze(), flows.actnorm())
    return flows.multiscale(repeated_step(dtype), second, flows.actnorm())


def masked(causal_blocks, has_code):
    """``autoregressive_gaussianize`` of the last channels given the first."""

    def given(pixels):
        net = flows.CausalNet(7, 4, 4, context_blocks=1, causal_blocks=causal_blocks)
        code = pixels[:, 0, :, 0] if has_code else None
        return flows.autoregressive_gaussianize(net, flows.Context(code, jnp.floor(pixels)))

    return plain(
        divided(flows.conditional(1, lambda pair: pair[0], given)),
        pixels(2, 3, 4, 4, levels=4),
        inverse_error=5e-3,
    )


sinh = flows.stateless(
    forward=lambda x: (jnp.sinh(x), jnp.log(jnp.cosh(x)).sum(-1)),
    inverse=lambda z: (jnp.arcsinh(z), -0.5 * jnp.log1p(z**2).sum(-1)),
)

BIJECTORS: dict[str, Entry] = {
    "actnorm of images": plain(flows.actnorm(), IMAGE),
    "actnorm of vectors": plain(flows.actnorm(), normal(4, 3)),
    "invertible_1x1 of images": plain(flows.invertible_1x1(), ODD_IMAGE),
    "invertible_1x1 of vectors": plain(flows.invertible_1x1(), normal(4, 3)),
    "logit": plain(flows.logit(0.05, 16), pixels(2, 3, 3, 1)),
    "gaussianize of one piece": plain(flows.gaussianize(0.05, 16), pixels(2, 3, 3, 1)),
    "gaussianize of three pieces": plain(flows.gaussianize(1e-4, 16, (3, 12)), pixels(2, 3, 3, 1)),
    "sinh_arcsinh": plain(flows.sinh_arcsinh(), normal(4, 3)),
    "whiten": plain(flows.whiten(), normal(4, 3)),
    "squeeze": plain(flows.squeeze(), IMAGE),
    "stateless": plain(sinh, normal(4, 3)),
    **{
        f"affine_coupling {name} {net} parity {parity}": coupling(net, partition, parity, event)
        for name, partition, net, parity, event in [
            ("checkerboard", flows.checkerboard, "resnet", 0, ODD_IMAGE),
            ("checkerboard", flows.checkerboard, "convnet", 1, ODD_IMAGE),
            ("channel", flows.channel, "mlp", 0, normal(4, 6)),
            ("channel", flows.channel, "resnet", 1, normal(2, 3, 5, 4)),
            ("channel", flows.channel, "convnet", 0, normal(2, 3, 5, 4)),
            ("half", flows.half, "mlp", 0, normal(4, 5)),
            ("half", flows.half, "mlp", 1, normal(4, 5)),
        ]
    },
    "chain": conditioned(lambda dtype=None: step(1, dtype), IMAGE),
    "repeat": conditioned(repeated_step, IMAGE),
    "repeat reversible": conditioned(
        lambda dtype=None: flows.repeat(partial(step, dtype=dtype), 3, reversible=True), IMAGE
    ),
    "factor_out": conditioned(
        lambda dtype=None: flows.factor_out(step(0, dtype)), normal(2, 4, 4, 4)
    ),
    "glow_step": conditioned(partial(step, 0), IMAGE),
    "conditional_spline in a conditional": conditioned(given_spline, normal(4, 5)),
    **{
        f"spline_coupling {name} parity {parity}": conditioned(
            partial(spline, partition, parity), normal(4, 6)
        )
        for name, partition, parity in [("half", flows.half, 0), ("channel", flows.channel, 1)]
    },
    **{
        f"masked_affine parity {parity}": conditioned(
            lambda dtype=None, parity=parity: flows.masked_affine(
                partial(flows.MADE, hidden=(6, 5), dtype=dtype), parity
            ),
            normal(4, 4),
        )
        for parity in (0, 1)
    },
    "conditional": conditioned(given_step, normal(2, 4, 4, 5)),
    "conditional_affine in a conditional": conditioned(given_affine, normal(2, 4, 4, 5)),
    "multiscale": conditioned(three_scales, normal(4, 4, 4, 4)),
    "image_realnvp of two scales": conditioned(
        lambda dtype=None: flows.image_realnvp(16, (4, 4), 1, dtype=dtype), pixels(2, 4, 4, 1)
    ),
    "vector_realnvp of even size": conditioned(
        lambda dtype=None: flows.vector_realnvp(3, (6,), dtype=dtype), normal(4, 4)
    ),
    "vector_realnvp of odd size": conditioned(
        lambda dtype=None: flows.vector_realnvp(3, (6,), dtype=dtype), normal(4, 5)
    ),
    "table_realnvp": conditioned(
        lambda dtype=None: flows.table_realnvp(3, (6,), dtype=dtype), normal(4, 5)
    ),
    "vector_spline": conditioned(
        lambda dtype=None: flows.vector_spline(3, (6,), 4, dtype=dtype), normal(4, 5)
    ),
    "vector_maf": conditioned(
        lambda dtype=None: flows.vector_maf(3, (6,), dtype=dtype), normal(4, 5)
    ),
    "glow of two scales": conditioned(
        lambda dtype=None: flows.glow(16, ((1, 2), (1, 2)), width=4, dtype=dtype),
        pixels(8, 4, 4, 1),
    ),
    "glow with edges and pooling": conditioned(
        lambda dtype=None: flows.glow(
            16, ((1, 2),), width=4, dtype=dtype, pool=True, pixels="gaussianize", edges=(4,)
        ),
        pixels(8, 4, 4, 1),
    ),
    "autoregressive_gaussianize": masked(1, has_code=True),
    "autoregressive_gaussianize of independent positions": masked(0, has_code=False),
    "split_groups": plain(
        flows.split_groups(((1,), (0, 3), (2,))),
        normal(2, 3, 4, 8),
    ),
    "pixel_groups": plain(
        flows.pixel_groups(4, 2, 3.0, 1, True, 4, 1, 1, 2, class_width=4, class_blocks=1),
        pixels(4, 4, 4, 3, levels=4),
        inverse_error=5e-3,
    ),
    "code_glow": conditioned(
        lambda dtype=None: flows.code_glow(
            16, 2, 2, width=4, code_width=8, code_blocks=2, dtype=dtype
        ),
        pixels(8, 8, 8, 1),
    ),
    "code_glow of colours with edges and pooling": conditioned(
        lambda dtype=None: flows.code_glow(
            16, 1, 2, 4, 8, 1, pixels="gaussianize", edges=(1,), dtype=dtype, pool=True
        ),
        pixels(8, 4, 4, 3),
    ),
}
# Public names that construct no bijector.
NOT_BIJECTORS = {
    "Bijector",
    *("MLP", "CausalNet", "Classifier", "CodeNet", "ConvNet", "DenseNet", "MADE", "ResNet"),
    "Context",
    *("checkerboard", "channel", "channel_with_context", "half"),
}
