"""Normalizing flows as pure functions: the algebra, the layers and the architectures."""

from flowgmm_jax.flows.autoregressive import autoregressive_gaussianize
from flowgmm_jax.flows.bijector import (
    Bijector,
    chain,
    conditional,
    factor_out,
    multiscale,
    repeat,
    stateless,
)
from flowgmm_jax.flows.causal_net import CausalNet, Context
from flowgmm_jax.flows.code_glow import code_glow
from flowgmm_jax.flows.coupling import (
    affine_coupling,
    channel,
    channel_with_context,
    checkerboard,
    conditional_affine,
    half,
)
from flowgmm_jax.flows.gaussianize import gaussianize
from flowgmm_jax.flows.glow import glow, glow_step
from flowgmm_jax.flows.masked import MADE, masked_affine, vector_maf
from flowgmm_jax.flows.nets import MLP, Classifier, CodeNet, ConvNet, DenseNet, ResNet
from flowgmm_jax.flows.ops import actnorm, invertible_1x1, logit, squeeze
from flowgmm_jax.flows.pixel_groups import pixel_groups, split_groups
from flowgmm_jax.flows.realnvp import image_realnvp, table_realnvp, vector_realnvp
from flowgmm_jax.flows.spline import conditional_spline, spline_coupling, vector_spline
from flowgmm_jax.flows.tables import sinh_arcsinh, whiten

__all__ = [
    "MADE",
    "MLP",
    "Bijector",
    "CausalNet",
    "Classifier",
    "CodeNet",
    "Context",
    "ConvNet",
    "DenseNet",
    "ResNet",
    "actnorm",
    "affine_coupling",
    "autoregressive_gaussianize",
    "chain",
    "channel",
    "channel_with_context",
    "checkerboard",
    "code_glow",
    "conditional",
    "conditional_affine",
    "conditional_spline",
    "factor_out",
    "gaussianize",
    "glow",
    "glow_step",
    "half",
    "image_realnvp",
    "invertible_1x1",
    "logit",
    "masked_affine",
    "multiscale",
    "pixel_groups",
    "repeat",
    "sinh_arcsinh",
    "spline_coupling",
    "split_groups",
    "squeeze",
    "stateless",
    "table_realnvp",
    "vector_maf",
    "vector_realnvp",
    "vector_spline",
    "whiten",
]
