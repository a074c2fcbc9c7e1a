"""MNIST with 1,000 labels on two CPU cores: FlowGMM-cons (Table 1: 99.0%).

    python train.py --config=configs/mnist_1k_fast.py --config.data.data_dir=DIR \
        --config.data.split_file=mnist_1000_0.npz

`--config=configs/mnist_1k_fast.py:long` takes 10,000 steps instead of 6,000; `:density` has a flow
for fewer bits/dim, with the class in a code. Measured: results/mnist_1k_fast_cpu.md.
"""

from ml_collections import ConfigDict

from configs import _fast
from flowgmm_jax.errors import InputError

VARIANTS = ("accuracy", "long", "density")


def get_config(variant: str = "accuracy"):
    if variant not in VARIANTS:
        raise InputError(f"the variant is {variant!r}, expected one of {', '.join(VARIANTS)}")
    config = _fast.get_config(num_labels=1000)
    if variant == "long":
        config.train.steps = 10_000
        config.train.eval_every = 1000
    if variant == "density":
        _give_classes_a_code(config)
    config.poster.row = "FlowGMM-cons"
    config.poster.accuracy = 99.0
    return config


def _give_classes_a_code(config: ConfigDict) -> None:
    """Classes and density have networks of their own: a few latents say the class, and the rest
    is a density given these, learnt from images that are cropped but not deformed."""
    flow = config.flow
    config.flow = {
        "name": "code_glow",
        "steps": 8,
        "code": 10,  # one number a class
        "code_width": 64,
        "code_blocks": 4,
        "edges": (1,),  # the background, grey level 0, is a piece by itself
        "spreads": (1.0, 1.0),
        **{field: flow[field] for field in flow if field not in ("name", "stages")},
    }
    config.prior.dimensions = 10
    config.prior.means = "split"
    config.prior.radius = 5.6  # any two are 7.9 apart, as in _fast.py they are on average
    config.loss.centred = True
    config.loss.marginal_view = "teacher"
