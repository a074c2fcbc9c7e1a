"""A config that trains in seconds, as a file for train.py and as a module for the tests."""

from ml_collections import ConfigDict

from flowgmm_jax.config import complete


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="moons")
    config.flow = dict(name="vector_realnvp", steps=2, hidden=(8,))
    config.prior = dict(means="circle", radius=2.0, trainable=("means",))
    config.loss = dict(consistency_weight=1.0)
    config.optimizer = dict(warmup_steps=10)
    config.train = dict(
        steps=1500,
        batch_labeled=4,
        batch_unlabeled=8,
        steps_per_call=5,
        log_every=100,
        eval_every=700,
        checkpoint_every=500,
    )
    return config


def complete_config() -> ConfigDict:
    """With the defaults of all other fields."""
    return complete(get_config())
