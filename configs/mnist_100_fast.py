"""MNIST with 100 labels on two CPU cores (not on the poster), the class in a code.

    JAX_NUM_CPU_DEVICES=2 python train.py --config=configs/mnist_100_fast.py \
        --config.data.data_dir=DIR --config.data.split_file=mnist_100_0.npz

Ten images of a class are soon known by heart: fewer of a batch have labels than with 1,000, and
squares are cut out of the students' views. Half of the steps of `mnist_1k_fast`: ten minutes.
"""

from configs import _fast


def get_config():
    config = _fast.get_config(num_labels=100)
    _fast.give_classes_a_code(config)
    config.augment.cutout = 8
    config.train.steps = 3000
    config.train.batch_labeled = 16
    config.train.batch_unlabeled = 112
    config.train.batch_density = 16
    return config
