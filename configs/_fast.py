"""What makes MNIST-sized images fast on two CPU cores, 10 to 30 minutes; not an experiment itself.

docs/experiments.md has the trials, on held-out training images, that these settings come from.
"""

from ml_collections import ConfigDict

from configs import _mnist


def get_config(num_labels: int) -> ConfigDict:
    """FlowGMM-cons on MNIST: the small network for the CPU, with these differences."""
    config = _mnist.get_config("cpu", num_labels)
    config.flow.stages = ((2, 6),)
    config.flow.width = 64
    config.flow.pool = True
    # Pixels are mostly 0 or 255. A wide logit spreads the noise within these two grey levels over
    # a unit of latent space from the start; with 0.05 the flow has to learn to.
    config.flow.alpha = 0.001
    # Means 7.9 standard deviations apart: where latents follow the mixture, it takes one of two
    # classes for the other once in 27,000.
    config.prior.radius = 0.2
    config.loss.marginal_weight = 5e-5
    config.augment.affine = (20.0, 0.2, 0.2)
    config.augment.elastic = 0.7
    return config


def give_classes_a_code(config: ConfigDict) -> None:
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
    config.prior.radius = 5.6  # any two are 7.9 apart, as above they are on average
    config.train.batch_density = config.train.batch_labeled
