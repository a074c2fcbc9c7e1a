"""What a config may hold: fields, ranges, choices, and how they must fit each other."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowgmm_jax import gmm
from flowgmm_jax.config import default_config, fields_of
from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Info
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.build import MODELS, build, class_latents, flow_arguments

# The least value of a field, and the largest if there is one.
RANGES: dict[str, tuple[float, float | None]] = {
    "seed": (0, 2**31 - 1),
    "data.num_labels": (-1, None),
    "data.split_seed": (0, 2**31 - 1),
    "data.validation": (0, None),
    "data.device_bytes": (0, None),
    "loss.ramp_steps": (0, None),
    "loss.confidence": (0.0, 1.0),
    "augment.crop": (0, None),
    "augment.elastic": (0.0, None),
    "augment.cutout": (0, None),
    "optimizer.learning_rate": (0.0, None),
    "optimizer.warmup_steps": (0, None),
    "optimizer.weight_decay": (0.0, None),
    "optimizer.clip_norm": (1e-30, None),
    "optimizer.ema_decay": (0.0, 1.0),
    "train.steps": (1, None),
    "train.batch_labeled": (1, None),
    "train.batch_unlabeled": (0, None),
    "train.batch_density": (0, None),
    "train.microbatches": (0, None),
    "train.steps_per_call": (1, None),
    "train.log_every": (1, None),
    "train.eval_every": (0, None),
    "train.checkpoint_every": (0, None),
    "train.max_nonfinite_steps": (1, None),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "prior.means": tuple(gmm.PLACEMENTS),
    "loss.labeled": ("class_conditional", "cross_entropy"),
    "loss.consistency": ("class_conditional", "cross_entropy"),
    "optimizer.schedule": ("constant", "cosine"),
}
IMAGE_VIEWS = ("affine", "elastic", "cutout", "crop", "flip")


def validate(config: ConfigDict) -> None:
    """Checks that every field is there and in its range, and that the fields fit each other, the
    kind of the data and the devices. Reads no examples.

    Raises:
      InputError: naming the field, what was found and what was expected.
      FileNotFoundError: for a user's own data that are not there.
    """
    fields = dict(fields_of(config))
    _check_fields(fields, config)
    for name, (least, most) in RANGES.items():
        value = fields[name]
        if not value >= least or (most is not None and value > most):
            expected = f"at least {least}" if most is None else f"{least} to {most}"
            raise InputError(f"config.{name} is {value}, expected {expected}")
    for name, known in {"model": tuple(MODELS), **CHOICES}.items():
        if fields[name] not in known:
            raise InputError(
                f"config.{name} is {fields[name]!r}, expected one of {', '.join(known)}"
            )
    info = datasets.info(config.data)
    if config.flow.name:
        _check_flow(config.flow)
    _check_prior(config, info)
    _check_augment(config.augment, info)
    _check_batches(config)
    build(config, info)  # constructors check their arguments


def _check_fields(fields: dict[str, Any], config: ConfigDict) -> None:
    flow = flow_arguments(config.flow.name) if config.flow.name else {}
    expected = {name for name, _ in fields_of(default_config())}
    expected |= {f"flow.{name}" for name in flow}
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
    if flow.get("dtype"):
        try:
            jnp.dtype(flow.dtype)
        except TypeError:
            raise InputError(
                f"config.flow.dtype is {flow.dtype!r}, expected float32, bfloat16 or float16"
            ) from None


def _check_prior(config: ConfigDict, info: Info) -> None:
    prior, code = config.prior, config.flow.get("code")
    if unknown := set(prior.trainable) - set(gmm.GMM._fields):
        raise InputError(
            f"config.prior.trainable names {', '.join(sorted(unknown))}, "
            f"expected some of {', '.join(gmm.GMM._fields)}"
        )
    if code is True and prior.means != "split":
        raise InputError(
            f"config.prior.means is {prior.means!r}, expected 'split' if config.flow.code is True: "
            "each number of the code is a class"
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
