"""Your own float vectors: text embeddings, tabular data.

    python train.py --config=vectors --config.data.data_dir=FILE.npz --workdir=DIR

FILE.npz holds x_train (N, D), y_train (N,) with -1 for an unknown label, and, if you like, x_test
and y_test; a table FILE.csv will do too (docs/data.md). The network and the losses are those of the
authors' experiments on text and tables.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="npz", num_labels=-1)
    config.flow = dict(name="vector_realnvp", steps=8, hidden=(256, 256))
    config.prior = dict(means="random", radius=1.0)
    config.loss = dict(labeled="class_conditional", labeled_weight=1.0, marginal_weight=1.0)
    config.optimizer = dict(learning_rate=3e-4, schedule="cosine", weight_decay=1e-4)
    config.train = dict(steps=5000, batch_labeled=64, batch_unlabeled=192, steps_per_call=20)
    return config
