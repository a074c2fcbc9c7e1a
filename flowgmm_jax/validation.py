"""What a config may hold: fields, choices, ranges, and how they must fit each other."""

import reprlib
from collections.abc import Iterable
from typing import Any

import jax
from ml_collections import ConfigDict

from flowgmm_jax import gmm, ranges
from flowgmm_jax.config import default_config, fields_of
from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Info
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.build import (
    FLOWS,
    MODELS,
    UNREAD,
    build,
    class_latents,
    flow_arguments,
    model_arguments,
)

CHOICES: dict[str, tuple[str, ...]] = {
    "model": tuple(MODELS),
    "data.name": tuple(datasets.LOADERS),
    "flow.name": tuple(FLOWS),
    "flow.dtype": ("float32", "bfloat16", "float16"),
    "flow.pixels": ("logit", "gaussianize"),
    "m1m2.net": ("mlp", "conv"),
    "m1m2.pixels": ("bernoulli", "gaussian"),
    "prior.means": tuple(gmm.PLACEMENTS),
    "loss.labeled": ("class_conditional", "cross_entropy"),
    "loss.consistency": ("class_conditional", "cross_entropy"),
    "optimizer.name": ("adamw", "muon"),
    "optimizer.schedule": ("constant", "cosine"),
}
TRAINABLE = gmm.GMM._fields
IMAGE_VIEWS = ("affine", "elastic", "cutout", "crop", "flip")


def validate(config: ConfigDict, info: Info | None = None) -> None:
    """Checks that every field is there and in its range, and that the fields fit each other, the
    kind of the data and the devices. Reads no examples; ``info`` is that of data in memory, which
    ``config.data`` does not name.

    Raises:
      InputError: naming the field, what was found and what was expected.
      FileNotFoundError: for a user's own data that are not there.
    """
    fields = dict(fields_of(config))
    _check_fields(fields, config)
    if config.flow.name:
        _check_flow(config.flow)
    for name, value in fields.items():
        ranges.check(name, value)
        if isinstance(value, str) and not value.isprintable():
            raise InputError(f"config.{name} is {value!r}, expected letters that can be printed")
        if isinstance(value, str) and any(len(part) > 255 for part in value.split("/")):
            raise InputError(f"config.{name} is {reprlib.repr(value)}, longer than a file's name")
    for name in CHOICES:
        if name in fields and name.partition(".")[0] in ("prior", "loss", "optimizer", "m1m2"):
            _check_choice(name, fields[name], CHOICES[name])
    _check_unread(fields, config.model)
    info = info or datasets.info(config.data)
    _check_prior(config, info)
    _check_augment(config.augment, info)
    _check_batches(config)
    build(config, info)  # constructors check their arguments


def field_table() -> str:
    """A table in Markdown of every field, its default, and what it may hold."""
    defaults = dict(fields_of(default_config()))
    for flow in FLOWS:
        for name, argument in flow_arguments(flow).items():
            value = None if argument.default is argument.empty else argument.default
            defaults.setdefault(f"flow.{name}", value)
    for model in MODELS:
        for name, argument in model_arguments(model).items():
            defaults[f"{model}.{name}"] = argument.default
    rows = ["| field | default | values |", "|---|---|---|"]
    for name, default in sorted(defaults.items()):
        if name in CHOICES:
            choices = [*CHOICES[name], *["MODULE:FUNCTION"] * (name == "flow.name")]
            values = ", ".join(f"`{choice}`" for choice in choices)
        elif name == "prior.trainable":
            values = f"a tuple of some of {', '.join(f'`{field}`' for field in TRAINABLE)}"
        elif name in ranges.RANGES:
            values = str(ranges.RANGES[name])
        else:
            values = "`True`, `False`" if isinstance(default, bool) else "text"
        shown = "" if default in (None, "") else f"`{default}`"
        rows.append(f"| `{name}` | {shown} | {values} |")
    return "\n".join(rows) + "\n"


def _check_fields(fields: dict[str, Any], config: ConfigDict) -> None:
    flow = flow_arguments(config.flow.name) if config.flow.name else {}
    expected = {name for name, _ in fields_of(default_config())}
    expected |= {f"flow.{name}" for name in flow}
    expected |= {f"{config.model}.{name}" for name in model_arguments(config.model)}
    for name in sorted(expected ^ fields.keys()):
        if name in expected:
            raise InputError(f"config.{name} is missing: load_config completes a config")
        section = name.rpartition(".")[0]
        known = sorted(field for field in expected if field.rpartition(".")[0] == section)
        raise InputError(f"config.{name} is not a field, expected some of {', '.join(known)}")


def _check_flow(flow: ConfigDict) -> None:
    for name, parameter in flow_arguments(flow.name).items():
        if parameter.default is parameter.empty and flow[name] is None:
            raise InputError(f"config.flow.{name} is missing: {flow.name} needs it")
    for name in ("dtype", "pixels"):
        if flow.get(name) is not None:
            _check_choice(f"flow.{name}", flow[name], CHOICES[f"flow.{name}"])


def _check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    if value not in known:
        raise InputError(f"config.{name} is {value!r}, expected one of {', '.join(known)}")


def _check_unread(fields: dict[str, Any], model: str) -> None:
    """What the model does not look at must be left as it is."""
    for name, default in fields_of(default_config()):
        if name.split(".")[0] in UNREAD.get(model, ()) and fields[name] != default:
            raise InputError(
                f"config.{name} is {fields[name]!r}, which the model {model!r} does not look at: "
                f"expected {default!r}"
            )


def _check_prior(config: ConfigDict, info: Info) -> None:
    prior, code = config.prior, config.flow.get("code")
    if unknown := [name for name in prior.trainable if name not in TRAINABLE]:
        raise InputError(
            f"config.prior.trainable names {', '.join(map(str, unknown))}, "
            f"expected some of {', '.join(TRAINABLE)}"
        )
    if config.flow.get("class_code") and prior.means != "split":
        raise InputError(
            f"config.prior.means is {prior.means!r}, expected 'split', a number of the code for "
            "each class, since config.flow.class_code is True"
        )
    if code and prior.means == "data":
        raise InputError(
            "config.prior.means is 'data', which are no latents: expected another placement for "
            f"the {code} latents of config.flow.code"
        )
    latents = class_latents(config, info) or info.size
    least = {"split": info.num_classes, "circle": 2}.get(prior.means, 1)
    if latents < least:
        raise InputError(
            f"config.prior.means is {prior.means!r}, which needs {least} latents for "
            f"{info.num_classes} classes, found {latents}"
        )


def _check_augment(augment: ConfigDict, info: Info) -> None:
    is_image = len(info.shape) == 3
    if len(augment.affine) not in (0, 3):
        raise InputError(
            f"config.augment.affine is {tuple(augment.affine)}, expected () or three numbers: "
            "angle, zoom, shear"
        )
    if len(augment.jitter) != 2 or min(augment.jitter) < 0:
        raise InputError(
            f"config.augment.jitter is {tuple(augment.jitter)}, expected two numbers of at least "
            "0: of the student's and the teacher's view"
        )
    if not is_image and any(augment[name] for name in IMAGE_VIEWS):
        raise InputError(
            f"config.augment.{', '.join(IMAGE_VIEWS)} are for images, but examples have shape "
            f"{info.shape}: expected only config.augment.jitter"
        )
    if is_image and any(augment.jitter):
        raise InputError(
            f"config.augment.jitter is for vectors, but examples have shape {info.shape}"
        )


def _check_batches(config: ConfigDict) -> None:
    train, loss, num_devices = config.train, config.loss, jax.device_count()

    def check_divides(field: str, number: int, divisor: str, expected: str = "") -> None:
        if number and train[field] % number:
            raise InputError(
                f"config.train.{field} is {train[field]}, which {divisor} not divide evenly: "
                f"expected {expected or f'a multiple of {number}'}"
            )

    if train.microbatches & (train.microbatches - 1):
        raise InputError(
            f"config.train.microbatches is {train.microbatches}, expected 0 or a power of two"
        )
    devices = f"{num_devices} devices do"
    other = "0 (one microbatch a device), or another number of devices (CUDA_VISIBLE_DEVICES)"
    check_divides("microbatches", num_devices, devices, other)
    for field in ("batch_labeled", "batch_unlabeled", "batch_density"):
        check_divides(field, num_devices, devices)
        microbatches = f"config.train.microbatches = {train.microbatches} does"
        check_divides(field, train.microbatches, microbatches)
    if not train.batch_density:
        return
    if config.model != "flowgmm":
        raise InputError(
            f"config.train.batch_density is {train.batch_density}, expected 0 for the model "
            f"{config.model!r}"
        )
    if not train.batch_unlabeled or train.batch_unlabeled % train.batch_density:
        raise InputError(
            f"config.train.batch_density is {train.batch_density}, expected 0 or a divisor of "
            f"config.train.batch_unlabeled, {train.batch_unlabeled}"
        )
    if not loss.labeled == loss.consistency == "cross_entropy":
        raise InputError(
            f"config.loss.labeled is {loss.labeled!r} and config.loss.consistency "
            f"{loss.consistency!r}, expected 'cross_entropy' if config.train.batch_density is not "
            "0: a likelihood is a density of dequantised values"
        )
