"""Two moons, 5 + 5 labels.

python train.py --config=configs/moons.py
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.name = "moons"
    config.flow.name = "vector_realnvp"
    config.flow.steps = 6
    config.flow.hidden = (128, 128)
    config.prior.means = "circle"
    config.prior.radius = 3.5
    config.train.steps = 3000
    config.train.batch_labeled = 10
    config.train.batch_unlabeled = 128
    config.train.steps_per_call = 50
    config.train.eval_every = 1000
    return config
