"""What every experiment has; the other files override it. Not an experiment itself."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0  # of parameters, batches, noise and views; never of the labelled set

    config.data = ConfigDict()
    config.data.name = ""  # see flowgmm_jax/data/datasets.py
    config.data.data_dir = ""  # of tensorflow-datasets; the file or folder of a user's own data
    config.data.num_labels = 0  # in all, as many a class; -1: all; 0: as published (2-D sets)
    config.data.split_file = ""  # .npz with labeled_indices, unlabeled_indices
    config.data.split_seed = 0  # which labelled set of num_labels
    config.data.validation = 0  # training examples held out
    config.data.device_bytes = 2**32  # larger training sets stream from the host; 0: always
    config.data.fingerprint = ""  # these four are filled in from the data
    config.data.shape = ()
    config.data.num_classes = 0
    config.data.levels = 0

    config.flow = ConfigDict()  # name, and the arguments of that constructor in flowgmm_jax/flows
    config.flow.bound = 2.0  # on |log_scale| of a coupling
    # Of the conditioners' hidden layers. With bfloat16 the inverse is exact to 0.1 grey levels or
    # so: a last bit of its input that differs can round another way inside of the network.
    config.flow.dtype = "float32"
    # Backpropagation in memory that does not grow with depth: measured 1.3 to 1.6 times as long, by
    # its products 5/3. With a dtype of fewer bits its gradients are as inexact as the inverse.
    config.flow.reversible = False

    config.prior = ConfigDict()
    config.prior.means = "random"  # random, constant, split, circle, data, latents
    config.prior.radius = 1.0
    config.prior.dimensions = 0  # first latents in which the means differ; 0: all
    config.prior.trainable = ()  # some of means, log_scale, log_weights
    config.prior.learning_rate = 1e-2  # of what is trainable

    config.loss = ConfigDict()  # flowgmm_jax/models/flowgmm.py says what each does
    config.loss.labeled = "class_conditional"  # or cross_entropy
    config.loss.labeled_weight = 1.0
    config.loss.marginal_weight = 1.0
    config.loss.consistency = "likelihood"  # or cross_entropy
    config.loss.consistency_weight = 0.0
    config.loss.ramp_steps = 0
    config.loss.confidence = 0.0

    # Crop and flip of both views; affine, elastic and cutout of the student's only.
    config.augment = ConfigDict()
    config.augment.crop = 0  # pixels of padding for random crops
    config.augment.flip = False
    config.augment.affine = ()  # largest (angle in degrees, relative zoom, shear)
    config.augment.elastic = 0.0  # pixels, deviation of a deformation at the points of its grid
    config.augment.cutout = 0  # side of a square of zeros
    config.augment.jitter = (0.0, 0.0)  # noise on vectors: deviations of student, teacher

    config.optimizer = ConfigDict()
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
    # Unlabelled examples with a view of their own for the density, the teacher's. Only that one is
    # then dequantised: classes have pixels at the centres of their grey levels. 0: none
    config.train.batch_density = 0
    config.train.microbatches = 0  # in a batch, a power of two: docs/clusters.md; 0: one per device
    config.train.steps_per_call = 10  # steps between two looks at the clock and at signals
    config.train.log_every = 100
    config.train.eval_every = 0  # 0: at the end only
    config.train.checkpoint_every = 1000
    config.train.max_nonfinite_steps = 100  # in a row, before training stops

    config.poster = ConfigDict()  # what the poster reports, for the table at the end
    config.poster.row = ""
    config.poster.accuracy = 0.0
    return config
