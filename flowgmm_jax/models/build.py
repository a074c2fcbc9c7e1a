"""From a config to a model."""

import importlib
import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict

from flowgmm_jax import flows
from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Info
from flowgmm_jax.errors import InputError
from flowgmm_jax.flows.autoregressive import Known
from flowgmm_jax.flows.bijector import Bijector
from flowgmm_jax.flows.nets import Classifier
from flowgmm_jax.flows.pixel_groups import groups_of, log_odds_gain
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.classifier import classifier
from flowgmm_jax.models.diglm import diglm
from flowgmm_jax.models.door import guarded
from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm
from flowgmm_jax.models.infill import Infilling
from flowgmm_jax.models.m1m2 import m1m2
from flowgmm_jax.models.recipe import recipe


class Architecture(NamedTuple):
    """A flow that a config can name.

    Attributes:
      constructor: its arguments are the other fields of ``config.flow``.
      rank: of the examples that it takes: 3 for images (H, W, C), 1 for vectors (D,), None for any.
    """

    constructor: Callable[..., Bijector]
    rank: int | None


FLOWS = {
    "image_realnvp": Architecture(flows.image_realnvp, rank=3),
    "glow": Architecture(flows.glow, rank=3),
    "code_glow": Architecture(flows.code_glow, rank=3),
    "pixel_groups": Architecture(flows.pixel_groups, rank=3),
    "vector_realnvp": Architecture(flows.vector_realnvp, rank=1),
    "table_realnvp": Architecture(flows.table_realnvp, rank=1),
    "vector_spline": Architecture(flows.vector_spline, rank=1),
    "vector_maf": Architecture(flows.vector_maf, rank=1),
}


# Arguments of the constructors that are no fields of ``config.flow``.
GIVEN = ("levels", "num_classes", "radius", "known")


def architecture(name: str) -> Architecture:
    """The flow that ``config.flow.name`` names: one of ``FLOWS``, or MODULE:FUNCTION, a constructor
    in a module of the user's that Python can import.

    Raises:
      InputError: for an unknown name, and for what cannot be imported or is no function.
    """
    if isinstance(name, str) and name in FLOWS:
        return FLOWS[name]
    module, colon, function = str(name).partition(":")
    if not colon:
        raise InputError(
            f"config.flow.name is {name!r}, expected one of {', '.join(FLOWS)}, or MODULE:FUNCTION"
        )
    try:
        constructor = getattr(importlib.import_module(module), function)
        inspect.signature(constructor)  # its arguments are the fields of config.flow
        return Architecture(constructor, rank=None)
    except Exception as error:  # of the user's own Python
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(
            f"config.flow.name is {name!r}: {type(error).__name__}: {reason}"
        ) from error


def flow_arguments(name: str) -> dict[str, inspect.Parameter]:
    """The fields of ``config.flow`` beside ``name``: the arguments of the constructor, without
    those that the data and the prior say, and the pixels to keep.

    Raises:
      InputError: for an unknown name.
    """
    parameters = inspect.signature(architecture(name).constructor).parameters
    return {key: value for key, value in parameters.items() if key not in GIVEN}


def build_flow(config: ConfigDict, info: Info, known: Known | None = None) -> Bijector:
    """The flow of ``config.flow``: its ``name``, and the arguments of the constructor so named.

    Its inverse keeps the pixels that are ``known``, if the constructor can.

    Raises:
      InputError: for a flow that does not fit the data.
    """
    fields = dict(config.flow)
    name = fields.pop("name")
    constructor, rank = architecture(name)
    if rank not in (len(info.shape), None):
        fitting = [key for key, value in FLOWS.items() if value.rank == len(info.shape)]
        raise InputError(
            f"config.flow.name is {name!r}, expected one of {', '.join(fitting)} for examples of "
            f"shape {info.shape}"
        )
    given = dict(
        levels=info.levels,
        num_classes=info.num_classes,
        radius=config.prior.radius,
        known=known,
    )
    arguments = inspect.signature(constructor).parameters
    fields |= {key: given[key] for key in GIVEN if key in arguments}
    if fields.get("dtype"):
        fields["dtype"] = jnp.dtype(fields["dtype"])
    try:
        return constructor(**fields)
    except ValueError as error:  # of the constructor, which names the argument
        raise InputError(f"config.flow: {error}") from error


def class_latents(config: ConfigDict, info: Info) -> int | None:
    """How many latents, the first, carry the class; None: all of them."""
    return info.num_classes if config.flow.get("class_code") else config.flow.get("code")


def infilling(config: ConfigDict, info: Info) -> Infilling | None:
    """How the flow fills in pixels; None if it cannot."""
    if config.flow.name != "pixel_groups":
        return None
    return Infilling(
        keeping=partial(build_flow, config, info),
        arrange=partial(groups_of, squeezes=config.flow.squeezes),
    )


def build_flowgmm(config: ConfigDict, info: Info) -> Model:
    """FlowGMM of the config's flow, prior and loss."""
    return flowgmm(
        build_flow(config, info),
        info,
        Prior(config.prior.means, config.prior.radius),
        Loss(**config.loss),
        class_latents(config, info),
        log_odds_gain(config.prior.radius) if config.flow.get("class_code") else 1.0,
        infilling(config, info),
    )


def build_classifier(config: ConfigDict, info: Info) -> Model:
    """The class network of ``pixel_groups`` by itself, which sees the whole image."""
    flow = config.flow
    if flow.name != "pixel_groups":
        raise InputError(
            f"config.flow.name is {flow.name!r}, expected 'pixel_groups', whose class network "
            "config.model = 'classifier' is"
        )
    build_flow(config, info)  # checks the fields
    net = Classifier(info.num_classes, flow.class_width, flow.class_blocks)
    return classifier(net, info.levels, flow.squeezes, Loss(**config.loss))


def build_diglm(config: ConfigDict, info: Info, *, density_weight: float = 1.0) -> Model:
    """DIGLM of the config's flow."""
    return diglm(build_flow(config, info), info.shape, info.num_classes, density_weight)


# Constructors (config, info) -> Model. Their further arguments are the fields of a section of the
# config that has the model's name.
MODELS: dict[str, Callable[..., Model]] = {
    "flowgmm": build_flowgmm,
    "classifier": build_classifier,
    "diglm": build_diglm,
    "m1m2": m1m2,
}
# Sections of every config that a model does not look at.
UNREAD = {"diglm": ("prior", "loss"), "m1m2": ("flow", "prior", "loss")}


def model_arguments(name: str) -> dict[str, inspect.Parameter]:
    """The fields of the section of a model: the arguments of its constructor.

    Raises:
      InputError: for an unknown name.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise InputError(f"config.model is {name!r}, expected one of {', '.join(MODELS)}")
    _, _, *arguments = inspect.signature(MODELS[name]).parameters.items()
    return dict(arguments)


def build(config: ConfigDict, info: Info | None = None) -> Model:
    """The model that a config describes; nothing is computed and no example is read.

    Args:
      config: of ``load_config``.
      info: shape, classes and grey levels of the data; looked up if it is None.

    Returns:
      A Model of pure functions, which check what they are given (``door.guarded``). Two of one
      config and info are equal, and it can be pickled (``recipe``).

    Raises:
      InputError: for a flow that does not fit the data; the message names the field.
    """
    info = info or datasets.info(config.data)
    return recipe(_build, config.to_json_best_effort(), info).model


def _build(config_json: str, info: Info) -> Model:
    config = FrozenConfigDict(json.loads(config_json))
    model = MODELS[config.model](config, info, **config.get(config.model, {}))
    return guarded(model._replace(info=info, config=config))
