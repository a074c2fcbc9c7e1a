"""Every field of a config, with the value it has where an experiment does not set it.

Fields of ``flow`` beside its name are the arguments of the constructor so named, in
flowgmm_jax/flows; experiments set them, and the others have the constructor's defaults.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    # Or diglm, m1m2; these have a section of that name too, with the arguments of their
    # constructors in flowgmm_jax/models/build.py.
    config.model = "flowgmm"
    config.seed = 0  # of parameters, batches, noise and views; never of the labelled set

    config.data = ConfigDict()
    config.data.name = ""  # see flowgmm_jax/data/datasets.py
    config.data.data_dir = ""  # of tensorflow-datasets; the file or folder of a user's own data
    config.data.label = ""  # column of the class in a table; empty: label, class, target or y
    config.data.image_size = 0  # side that images of a folder are scaled to; 0: as they are
    config.data.num_labels = 0  # in all, as many per class; -1: all; 0: as published (2-D sets)
    config.data.split_file = ""  # .npz with labeled_indices, unlabeled_indices
    config.data.split_seed = 0  # which labelled set of num_labels
    config.data.validation = 0  # training examples held out
    config.data.device_bytes = 2**32  # larger training sets stream from the host; 0: always

    config.flow = ConfigDict()
    config.flow.name = ""  # see FLOWS in flowgmm_jax/models/build.py

    config.prior = ConfigDict()
    config.prior.means = "random"  # or constant, split, circle, data, latents: flowgmm_jax/gmm.py
    config.prior.radius = 1.0
    config.prior.trainable = ()  # some of means, log_scale, log_weights
    config.prior.learning_rate = 1e-2  # of what is trainable

    config.loss = ConfigDict()  # flowgmm_jax/models/flowgmm.py has the equations
    config.loss.labeled = "class_conditional"  # or cross_entropy
    config.loss.labeled_weight = 1.0
    config.loss.marginal_weight = 1.0
    config.loss.consistency = "class_conditional"  # or cross_entropy
    config.loss.consistency_weight = 0.0
    config.loss.ramp_steps = 0  # over which the consistency weight rises
    config.loss.confidence = 0.0  # least posterior of a pseudo-label

    config.augment = ConfigDict()  # crop and flip of all views, the others of the student's only
    config.augment.crop = 0  # pixels of padding for random crops
    config.augment.flip = False
    config.augment.affine = ()  # largest (angle in degrees, relative zoom, shear)
    config.augment.elastic = 0.0  # pixels, deviation of a deformation at the points of its grid
    config.augment.cutout = 0  # side of a square of zeros
    config.augment.jitter = (0.0, 0.0)  # noise on vectors: deviations of student, teacher

    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"  # or muon
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"  # or constant
    config.optimizer.warmup_steps = 100
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 100.0
    config.optimizer.ema_decay = 0.999

    config.train = ConfigDict()
    config.train.steps = 1000
    config.train.batch_labeled = 32  # over all devices
    config.train.batch_unlabeled = 32
    config.train.batch_density = (
        0  # images with a view for the density: flowgmm_jax/data/batches.py
    )
    config.train.microbatches = 0  # of a batch, a power of two: docs/clusters.md; 0: one a device
    config.train.steps_per_call = 10  # steps between two looks at the clock and at signals
    config.train.log_every = 100
    config.train.eval_every = 0  # 0: only at the end
    config.train.checkpoint_every = 1000
    config.train.max_nonfinite_steps = 100  # in a row, before training stops
    return config
