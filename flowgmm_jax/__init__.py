"""FlowGMM in JAX: an exact density, a class posterior and samples from one model.

Semi-supervised learning with normalizing flows (Izmailov et al. 2020,
https://arxiv.org/abs/1912.13025).

    import flowgmm_jax as fg
    config = fg.load_config("moons", steps=500)
    print(fg.train(config, "runs/moons").accuracy)
    model, params = fg.load("runs/moons")
    model.log_density(params, x)

Names are imported when they are first used, so that a script that needs the flows does not wait
for checkpoints and figures.
"""

import importlib
from typing import TYPE_CHECKING, Any

from flowgmm_jax.errors import InputError

if TYPE_CHECKING:
    from flowgmm_jax import density, flows, gmm, losses
    from flowgmm_jax.config import load_config
    from flowgmm_jax.data.base import Info
    from flowgmm_jax.data.batches import Batch
    from flowgmm_jax.estimator import FlowGMMClassifier
    from flowgmm_jax.evaluation.evaluator import evaluate
    from flowgmm_jax.exported import export
    from flowgmm_jax.fitting import fit
    from flowgmm_jax.models.base import Model
    from flowgmm_jax.models.build import build
    from flowgmm_jax.models.door import guarded
    from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm
    from flowgmm_jax.parameters import load_params, save_params
    from flowgmm_jax.trained import load
    from flowgmm_jax.training.step import init_state, make_train_step
    from flowgmm_jax.training.trainer import train

__version__ = "0.2.0"

_MODULES = ("density", "flows", "gmm", "losses")
_NAMES = {
    "Batch": "flowgmm_jax.data.batches",
    "FlowGMMClassifier": "flowgmm_jax.estimator",
    "Info": "flowgmm_jax.data.base",
    "Loss": "flowgmm_jax.models.flowgmm",
    "Model": "flowgmm_jax.models.base",
    "Prior": "flowgmm_jax.models.flowgmm",
    "build": "flowgmm_jax.models.build",
    "evaluate": "flowgmm_jax.evaluation.evaluator",
    "export": "flowgmm_jax.exported",
    "fit": "flowgmm_jax.fitting",
    "flowgmm": "flowgmm_jax.models.flowgmm",
    "guarded": "flowgmm_jax.models.door",
    "init_state": "flowgmm_jax.training.step",
    "load": "flowgmm_jax.trained",
    "load_config": "flowgmm_jax.config",
    "load_params": "flowgmm_jax.parameters",
    "make_train_step": "flowgmm_jax.training.step",
    "save_params": "flowgmm_jax.parameters",
    "train": "flowgmm_jax.training.trainer",
}

__all__ = [
    "Batch",
    "FlowGMMClassifier",
    "Info",
    "InputError",
    "Loss",
    "Model",
    "Prior",
    "build",
    "density",
    "evaluate",
    "export",
    "fit",
    "flowgmm",
    "flows",
    "gmm",
    "guarded",
    "init_state",
    "load",
    "load_config",
    "load_params",
    "losses",
    "make_train_step",
    "save_params",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"flowgmm_jax.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'flowgmm_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
