"""FlowGMM in JAX: an exact density, a class posterior and samples from one model.

Semi-supervised learning with normalizing flows (Izmailov et al. 2020,
https://arxiv.org/abs/1912.13025).

    import flowgmm_jax as fg
    model = fg.build(config)
    model, params = fg.load("runs/digits")
    model.log_density(params, x)
"""

from flowgmm_jax import density, flows, gmm, losses
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.build import build
from flowgmm_jax.training.restore import load

__all__ = ["InputError", "Model", "build", "density", "flows", "gmm", "load", "losses"]
