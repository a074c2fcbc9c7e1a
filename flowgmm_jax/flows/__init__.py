"""Normalizing flows as pure functions: the algebra, the layers and the architectures."""

from flowgmm_jax.flows.bijector import (
    Bijector,
    chain,
    factor_out,
    layers,
    multiscale,
    repeat,
    stateless,
)
from flowgmm_jax.flows.coupling import affine_coupling, channel, checkerboard, half
from flowgmm_jax.flows.glow import glow
from flowgmm_jax.flows.nets import MLP, ConvNet, ResNet
from flowgmm_jax.flows.ops import actnorm, invertible_1x1, logit, squeeze
from flowgmm_jax.flows.realnvp import image_realnvp, vector_realnvp

__all__ = [
    "MLP",
    "Bijector",
    "ConvNet",
    "ResNet",
    "actnorm",
    "affine_coupling",
    "chain",
    "channel",
    "checkerboard",
    "factor_out",
    "glow",
    "half",
    "image_realnvp",
    "invertible_1x1",
    "layers",
    "logit",
    "multiscale",
    "repeat",
    "squeeze",
    "stateless",
    "vector_realnvp",
]
