"""Normalizing flows as pure functions: the algebra, the layers and the architectures."""

from flowgmm_jax.flows.bijector import (
    Bijector,
    chain,
    condition,
    factor_out,
    layers,
    multiscale,
    repeat,
    stateless,
)
from flowgmm_jax.flows.code_glow import code_glow
from flowgmm_jax.flows.coupling import affine_coupling, channel, channel_given, checkerboard, half
from flowgmm_jax.flows.gaussianize import gaussianize
from flowgmm_jax.flows.glow import glow, glow_step
from flowgmm_jax.flows.nets import MLP, CodeNet, ConvNet, ResNet
from flowgmm_jax.flows.ops import actnorm, haar, invertible_1x1, logit, squeeze
from flowgmm_jax.flows.realnvp import image_realnvp, vector_realnvp
from flowgmm_jax.flows.wavelet import wavelet_glow

__all__ = [
    "MLP",
    "Bijector",
    "CodeNet",
    "ConvNet",
    "ResNet",
    "actnorm",
    "affine_coupling",
    "chain",
    "channel",
    "channel_given",
    "checkerboard",
    "code_glow",
    "condition",
    "factor_out",
    "gaussianize",
    "glow",
    "glow_step",
    "haar",
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
    "wavelet_glow",
]
