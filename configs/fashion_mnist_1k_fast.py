"""FashionMNIST with 1,000 labels on two CPU cores (not on the poster), the class in a code.

    JAX_NUM_CPU_DEVICES=2 python train.py --config=configs/fashion_mnist_1k_fast.py \
        --config.data.data_dir=DIR

Clothes are upright and fill the image, so views are mirror images and crops alone. Their grey
levels matter, which a piece for the background would push together. There is no consistency term:
it gave nothing in trials, so half of a batch is labelled. Half of the steps of `mnist_1k_fast`.
"""

from configs import _fast


def get_config():
    config = _fast.get_config(num_labels=1000)
    _fast.give_classes_a_code(config)
    config.data.name = "fashion_mnist"
    config.loss.consistency_weight = 0.0
    config.augment.flip = True
    config.augment.affine = ()
    config.augment.elastic = 0.0
    config.flow.edges = ()
    config.flow.spreads = (1.0,)
    config.train.steps = 3000
    config.train.batch_labeled = 64
    config.train.batch_unlabeled = 64
    config.train.batch_density = 64
    return config
