"""Your own float vectors: text embeddings, tabular data.

    python train.py --config=vectors --config.data.data_dir=FILE.npz --workdir=DIR
    python train.py --config=vectors:hepmass --config.data.data_dir=FILE.csv

FILE.npz holds x_train (N, D), y_train (N,) with -1 for an unknown label, and, if you like, x_test
and y_test; a table FILE.csv or FILE.parquet will do too (docs/data.md).

The variants are the authors' settings, from their code: `:hepmass` and `:miniboone` for tables of
two classes, with 20 labels (--config.data.num_labels=20), and `:text` for embeddings of AG-News and
Yahoo Answers, with 200 and 800. Their 15, 300 and 30 passes are steps here, of sets of that size.
Dropout is left out, since a network with it is no function of x. `fg.fit` chooses settings of its
own (docs/arrays.md).
"""

from ml_collections import ConfigDict

VARIANTS = ("hepmass", "miniboone", "text")
TABLE = dict(name="vector_realnvp", steps=10, hidden=(256,))
# In two dimensions of the latents, as their means of two classes on a line of random direction.
OPPOSITE = dict(means="circle", radius=7.5 / 2)


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="npz", num_labels=-1)
    config.flow = dict(name="vector_realnvp", steps=8, hidden=(256, 256))
    config.prior = dict(means="random", radius=1.0)
    config.loss = dict(labeled="class_conditional", labeled_weight=1.0, marginal_weight=1.0)
    config.optimizer = dict(learning_rate=3e-4, schedule="cosine", weight_decay=1e-4)
    config.train = dict(steps=5000, batch_labeled=64, batch_unlabeled=192, steps_per_call=20)
    if variant:
        config.optimizer.update(weight_decay=1e-5, warmup_steps=0)
    if variant == "hepmass":
        config.flow, config.prior = TABLE, OPPOSITE
        config.loss.marginal_weight = 10.0
        config.optimizer.learning_rate = 1e-3
        config.train.update(steps=945, batch_labeled=20, batch_unlabeled=5000)
    if variant == "miniboone":
        config.flow, config.prior = TABLE, OPPOSITE
        config.loss.marginal_weight = 3.0
        config.train.update(steps=1800, batch_labeled=20, batch_unlabeled=5000)
    if variant == "text":
        config.flow = dict(name="vector_realnvp", steps=7, hidden=(512,))
        config.prior = dict(means="random", radius=0.8)
        config.optimizer.learning_rate = 1e-4
        config.train.update(steps=4500, batch_labeled=200, batch_unlabeled=800)
    return config
