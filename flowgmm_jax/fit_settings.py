"""Settings for data in memory, from what is known of them before training."""

from ml_collections import ConfigDict

from flowgmm_jax.config import default_config, load_config
from flowgmm_jax.data.base import Info

SMALL = 1000  # rows of a table


def settings_for(info: Info, num_examples: int) -> ConfigDict:
    """The fields that ``fg.fit`` sets for N examples; all others have their defaults.

    Args:
      info: shape, classes and grey levels.
      num_examples: N, labelled and unlabelled.
    """
    if len(info.shape) == 3:
        return _image(info)
    return _plane() if info.size == 2 else _table(info, num_examples)


def _of_experiment(name: str) -> ConfigDict:
    """The experiment without its data."""
    config = load_config(name)
    config.data = default_config().data
    return config


def _image(info: Info) -> ConfigDict:
    """The digits' setting, with cells of 4x4 pixels in images of 16 and more; an image that has no
    cells, or more classes than cells, has couplings."""
    height, width, channels = info.shape
    squeezes = 2 if min(height, width) >= 16 else 1
    side = 2**squeezes
    cells = (height // side) * (width // side)
    has_cells = not (height % side or width % side) and cells * channels >= info.num_classes
    config = _of_experiment("digits" if has_cells else "digits:glow")
    config.train.eval_every = 0
    if has_cells:
        config.flow.squeezes = squeezes
    elif height % 2 or width % 2:
        config.flow = dict(name="image_realnvp", widths=(32,), blocks=2)
    return config


def _plane() -> ConfigDict:
    """The two moons' setting, with fewer steps."""
    config = _of_experiment("moons")
    config.train.steps = 2000
    return config


def _table(info: Info, num_examples: int) -> ConfigDict:
    """A flow that starts as a linear map (``linear_mixture``), small if there are few rows. Noise
    on the views of the class terms is to columns of unit variance what a penalty on the weights is
    to a linear classifier; the density is that of the rows as they are. A few rows lie in clusters
    that the density finds; the more it weighs, the less the labels do."""
    is_small = num_examples < SMALL
    config = ConfigDict()
    config.data = dict(validation=num_examples // 5)
    config.prior = dict(means="latents", trainable=("means",))
    if is_small:
        config.flow = dict(name="table_realnvp", steps=2, hidden=(16,), bound=0.3)
        config.prior.learning_rate = 1e-3
    else:
        config.flow = dict(name="table_realnvp", steps=4, hidden=(64,), bound=1.0)
    config.loss = dict(
        labeled="cross_entropy",
        marginal_weight=1.0 if is_small else 1 / info.size,
        consistency="cross_entropy",
        consistency_weight=1.0,
        confidence=0.9,
    )
    config.augment = dict(jitter=(0.3 if is_small else 0.5, 0.0))
    config.optimizer = dict(
        learning_rate=3e-3, warmup_steps=20, weight_decay=0.01, clip_norm=10.0, ema_decay=0.98
    )
    config.train = dict(
        steps=400 if is_small else 800,
        batch_labeled=32,
        batch_unlabeled=64,
        batch_density=64,
        steps_per_call=20,
    )
    return config
