"""Your own float vectors: text embeddings, tabular data.

    python train.py --config=configs/vectors.py --config.data.data_dir=FILE.npz --workdir=DIR

FILE.npz holds x_train (N, D), y_train (N,) with -1 where the label is not known, and, if you like,
x_test and y_test. The network and the losses are those of the authors' experiments on text and
tables.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.name = "npz"
    config.data.num_labels = -1
    config.flow.name = "vector_realnvp"
    config.flow.steps = 8
    config.flow.hidden = (256, 256)
    config.prior.means = "random"
    config.prior.radius = 1.0
    config.loss.labeled = "class_conditional"
    config.optimizer.learning_rate = 3e-4
    config.optimizer.weight_decay = 1e-4
    config.train.steps = 5000
    config.train.batch_labeled = 64
    config.train.batch_unlabeled = 192
    config.train.steps_per_call = 20
    return config
