"""From a config to a model."""

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from flowgmm_jax import flows
from flowgmm_jax.data import datasets
from flowgmm_jax.errors import InputError
from flowgmm_jax.flows.bijector import Bijector
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm

IMAGE_FLOWS = {
    "image_realnvp": flows.image_realnvp,
    "glow": flows.glow,
    "code_glow": flows.code_glow,
}
VECTOR_FLOWS = {"vector_realnvp": flows.vector_realnvp}


def _call(function: Callable, section: str, fields: dict) -> Any:
    """Calls with config fields; a field that is unknown or missing is named."""
    parameters = inspect.signature(function).parameters
    for name in fields:
        if name not in parameters:
            raise InputError(
                f"config.{section}.{name} is not a field of {function.__name__}, "
                f"expected some of {', '.join(parameters)}"
            )
    for name, parameter in parameters.items():
        if name not in fields and parameter.default is parameter.empty:
            raise InputError(f"config.{section}.{name} is missing: {function.__name__} needs it")
    return function(**fields)


def _dtype(name: str) -> jnp.dtype:
    try:
        return jnp.dtype(name)
    except TypeError:
        raise InputError(
            f"config.flow.dtype is {name!r}, expected float32, bfloat16 or float16"
        ) from None


def build_flow(config: ConfigDict, info: datasets.Info) -> Bijector:
    """The flow of ``config.flow``: its ``name``, and the arguments of the constructor so named.

    Raises:
      InputError: for an unknown name, an unknown argument, or a flow that does not fit the data.
    """
    fields = dict(config.flow)
    name = fields.pop("name")
    known = VECTOR_FLOWS if len(info.shape) == 1 else IMAGE_FLOWS
    if name not in known:
        raise InputError(
            f"config.flow.name is {name!r}, expected one of {', '.join(known)} "
            f"for examples of shape {info.shape}"
        )
    if fields.get("dtype"):
        fields["dtype"] = _dtype(fields["dtype"])
    if len(info.shape) == 3:
        fields["levels"] = info.levels
    try:
        return _call(known[name], "flow", fields)
    except InputError:
        raise
    except ValueError as error:  # of the constructor, which names the argument
        raise InputError(f"config.flow: {error}") from error


def build(config: ConfigDict) -> Model:
    """The model that a config describes; nothing is computed and no example is read.

    Args:
      config: a config as in ``configs/``.

    Returns:
      A Model of pure functions.

    Raises:
      InputError: for a field that is unknown or out of range; the message names it.
    """
    info = datasets.info(config.data)
    code = config.flow.get("code", config.prior.dimensions)
    if code != config.prior.dimensions:
        raise InputError(
            f"config.prior.dimensions is {config.prior.dimensions}, expected config.flow.code, "
            f"{code}, since classes are to differ in the code"
        )
    return flowgmm(
        build_flow(config, info),
        info.shape,
        info.num_classes,
        _call(Prior, "prior", {k: v for k, v in config.prior.items() if k in Prior._fields}),
        _call(Loss, "loss", dict(config.loss)),
    )
