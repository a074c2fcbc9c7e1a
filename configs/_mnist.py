"""MNIST-sized images: the published settings, and a network for the CPU; not an experiment."""

from ml_collections import ConfigDict

from configs import default
from configs._published import published
from flowgmm_jax.errors import InputError

VARIANTS = ("cpu", "published", "published_small")


def get_config(variant: str, num_labels: int) -> ConfigDict:
    """FlowGMM-cons on MNIST in one of VARIANTS.

    Raises:
      InputError: for another variant.
    """
    if variant == "cpu":
        config = _cpu()
    elif variant in VARIANTS:
        config = published(default.get_config(), passes=30_001, ramp_passes=1000, labels=num_labels)
        config.optimizer.learning_rate = 1e-5  # known of the run with 100 labels
        if variant == "published_small":
            config.flow.widths = (64, 64, 64)
            config.flow.blocks = 4
    else:
        raise InputError(f"the variant is {variant!r}, expected one of {', '.join(VARIANTS)}")
    config.data.name = "mnist"
    config.data.num_labels = num_labels
    return config


def _cpu() -> ConfigDict:
    config = default.get_config()
    config.flow.name = "glow"
    config.flow.stages = ((2, 8),)
    config.flow.width = 96
    config.flow.alpha = 0.05
    config.prior.radius = 0.12
    config.loss.labeled = "cross_entropy"
    config.loss.marginal_weight = 0.0005
    config.loss.consistency = "cross_entropy"
    config.loss.consistency_weight = 3.0
    config.loss.confidence = 0.95
    config.augment.crop = 2
    config.augment.affine = (10.0, 0.1, 0.1)
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 200
    config.train.steps = 6000
    config.train.batch_unlabeled = 96
    config.train.steps_per_call = 5
    config.train.eval_every = 500
    config.train.checkpoint_every = 500
    return config
