"""What can be said of a config before anything is loaded."""

from ml_collections import ConfigDict

from flowgmm_jax import devices
from flowgmm_jax.errors import InputError

# The least value of a field, and the largest where there is one.
RANGES = {
    "seed": (0, None),
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


def check(config: ConfigDict) -> None:
    """Checks the ranges of fields, and that microbatches and devices divide the batches.

    Raises:
      InputError: naming the field, what was found and what was expected.
    """
    for name, (least, most) in RANGES.items():
        value = config
        for field in name.split("."):
            value = value[field]
        if not value >= least or (most is not None and value > most):
            expected = f"at least {least}" if most is None else f"{least} to {most}"
            raise InputError(f"config.{name} is {value}, expected {expected}")
    if len(config.augment.affine) not in (0, 3):
        raise InputError(
            f"config.augment.affine is {tuple(config.augment.affine)}, expected () or three "
            "numbers: angle, zoom, shear"
        )
    if config.prior.dimensions and (moved := {"means", "log_scale"} & set(config.prior.trainable)):
        raise InputError(
            f"config.prior.trainable names {', '.join(sorted(moved))}, expected neither means nor "
            f"log_scale where config.prior.dimensions is {config.prior.dimensions}"
        )
    density, unlabeled = config.train.batch_density, config.train.batch_unlabeled
    if density and (not unlabeled or unlabeled % density):
        raise InputError(
            f"config.train.batch_density is {density}, expected 0 or a divisor of "
            f"config.train.batch_unlabeled, {unlabeled}"
        )
    for field in ("labeled", "consistency"):
        if density and config.loss[field] != "cross_entropy":
            raise InputError(
                f"config.loss.{field} is {config.loss[field]!r}, expected 'cross_entropy' if "
                "config.train.batch_density is not 0: only views of the density are dequantised, "
                "and a likelihood is a density"
            )
    if len(config.augment.jitter) != 2 or min(config.augment.jitter) < 0:
        raise InputError(
            f"config.augment.jitter is {tuple(config.augment.jitter)}, expected two numbers of "
            "at least 0: of the student's and the teacher's view"
        )
    microbatches = config.train.microbatches
    if microbatches & (microbatches - 1):
        raise InputError(
            f"config.train.microbatches is {microbatches}, expected 0 or a power of two"
        )
    devices.check_divides(
        "train.microbatches",
        microbatches,
        "0 (one per device), or another number of devices (CUDA_VISIBLE_DEVICES)",
    )
    for field in ("batch_labeled", "batch_unlabeled", "batch_density"):
        batch = config.train[field]
        devices.check_divides(f"train.{field}", batch)
        if microbatches and batch % microbatches:
            raise InputError(
                f"config.train.{field} is {batch}, which config.train.microbatches = "
                f"{microbatches} does not divide evenly: expected a multiple of {microbatches}"
            )
