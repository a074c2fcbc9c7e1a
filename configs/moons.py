"""Two moons with 5 + 5 labels (poster, Figure 2).

    python train.py --config=moons

Measured on 2 cores: 99.98 ± 0.04% of the points over five seeds, 25 to 52 s
(python benchmarks/toys.py).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="moons", num_labels=0)  # as many labels as published
    config.flow = dict(name="vector_realnvp", steps=16, hidden=(64, 64))
    config.prior = dict(means="circle", radius=3.5)
    config.loss = dict(
        labeled="cross_entropy",
        labeled_weight=0.3,
        marginal_weight=1.0,
        consistency="cross_entropy",
        consistency_weight=0.3,
        confidence=0.9,
    )
    config.augment = dict(jitter=(0.0, 0.15))
    config.optimizer = dict(learning_rate=2e-3, schedule="cosine", warmup_steps=100)
    config.train = dict(
        steps=5000,
        batch_labeled=16,
        batch_unlabeled=128,
        steps_per_call=50,
        eval_every=1000,
    )
    return config
