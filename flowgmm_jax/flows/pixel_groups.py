"""A flow that draws an image in groups of pixels, from coarse grid to fine, given its class.

An image is cut into cells of 2x2 or 4x4 pixels. A group is some pixels of every cell: first one, in
the end those that have neighbours on all sides, and each group is gaussianized given the groups
before it (``autoregressive``). The order of Kolesnikov & Lampert 2017, "PixelCNN models with
auxiliary variables for natural image modeling", https://arxiv.org/abs/1612.08185, section 3.2, and
of Reed et al. 2017, "Parallel multiscale autoregressive density estimation",
https://arxiv.org/abs/1703.03664.

The last group x_0, one pixel of every cell, comes after all others x_1, ..., x_G. Given these it is
gaussianized, and its first few latents are the *code*, one number a class, which a classifier
shifts:

    q = g_0(x_0; x_1, ..., x_G),    z_code = q_code + r s(p(x_1, ..., x_G)),

    s(p) = 1 - log(p + e) / log e,    z_i = g_i(x_i; z_code, x_1, ..., x_i-1),

with the classifier's probabilities p and e = 0.001; s rises from 0 where p = 0 to 1 where p = 1. If
the prior's mean of class k is r at the k-th number of the code and zero elsewhere, the classifier
moves an image of class k to that mean, and no farther, however sure it is: so codes of data are
those that the prior draws, and what is drawn given them looks like data. Between the ends the
log-odds of the class posterior are r^2 / log(1/e) times those of the classifier, plus r times the
noise of q_code; divided by that factor (``log_odds_gain``) they train it as any classifier.

A loss of the class posterior needs only z_code, so it does not reach the networks of x_1, ..., x_G.
The parameters of the classifier are under the key ``classifier``, so that a loss can train them
apart from the density (``models.flowgmm.Loss``).

The Jacobian is block triangular, so density, class posterior and inverse are exact. To draw class
y: draw z_code around the mean of y, then the groups one after the other, given the code, and x_0
at the end. Pixels that are known can be kept meanwhile (``models.infill``).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.flows.autoregressive import Known, autoregressive_gaussianize
from flowgmm_jax.flows.bijector import Bijector, chain, conditional, stateless, zero_log_det
from flowgmm_jax.flows.causal_net import CausalNet, Context
from flowgmm_jax.flows.grey_levels import num_parameters
from flowgmm_jax.flows.nets import Classifier
from flowgmm_jax.flows.ops import squeeze

# By the number of squeezes, the channels of x_0, x_1, ..., x_G (each once for every colour). The
# first is a pixel of the top row.
GROUPS = {
    1: ((0,), (1,), (2, 3)),
    2: ((2,), (1,), (5,), (9, 13), (0, 4, 8, 12), (3, 6, 7, 10, 11, 14, 15)),
}


def split_groups(groups: tuple[tuple[int, ...], ...]) -> Bijector:
    """(B, H, W, P C) -> a tuple of (B, H, W, n C), with the channels of each of the ``groups``,
    which number the P pixels of a cell; C consecutive channels are the colours of a pixel."""
    order = [channel for group in groups for channel in group]
    undo = sorted(range(len(order)), key=order.__getitem__)
    ends = np.cumsum([len(group) for group in groups])[:-1]

    def forward(x):
        pixels = x.reshape(*x.shape[:3], len(order), x.shape[3] // len(order))
        parts = jnp.split(pixels[:, :, :, order], ends, axis=3)
        return tuple(part.reshape(*x.shape[:3], -1) for part in parts), zero_log_det(x)

    def inverse(event):
        b, h, w, _ = event[0].shape
        parts = [
            part.reshape(b, h, w, len(group), -1) for part, group in zip(event, groups, strict=True)
        ]
        pixels = jnp.concatenate(parts, axis=3)[:, :, :, undo]
        return pixels.reshape(b, h, w, -1), zero_log_det(pixels)

    return stateless(forward, inverse, "split_groups")


def groups_of(image: jax.Array, squeezes: int) -> tuple[jax.Array, ...]:
    """The groups (x_0, x_1, ..., x_G) of an image (B, H, W, C), of any type."""
    steps = [*[squeeze()] * squeezes, split_groups(GROUPS[squeezes])]
    return chain(*steps).forward(((),) * len(steps), image)[0]


# e above: how improbable a class may be for the code to say so.
LEAST_PROBABILITY = 1e-3


def log_odds_gain(radius: float) -> float:
    """r^2 / log(1/e): log-odds of the class posterior over those of the classifier."""
    return radius**2 / math.log(1 / LEAST_PROBABILITY)


def _shift(classifier: Classifier, radius: float, image: jax.Array) -> Bijector:
    """Adds ``radius`` times s of an image's class probabilities to the first numbers of an event
    (B, H, W, n)."""

    def shift(params, x):
        size = math.prod(x.shape[1:])
        if classifier.features > size:
            raise ValueError(
                f"num_classes is {classifier.features}, expected at most {size} for this image"
            )
        logits = classifier.apply({"params": params["classifier"]}, image)
        log_probability = jnp.log(jax.nn.softmax(logits) + LEAST_PROBABILITY)
        code = radius * (1 - log_probability / math.log(LEAST_PROBABILITY))
        return jnp.pad(code, ((0, 0), (0, size - classifier.features))).reshape(x.shape)

    return Bijector(
        init=lambda key, x: {"classifier": classifier.init(key, image)["params"]},
        forward=lambda params, x: (x + shift(params, x), zero_log_det(x)),
        inverse=lambda params, z: (z - shift(params, z), zero_log_det(z)),
        name="shift_code",
    )


def pixel_groups(
    levels: int,
    num_classes: int,
    radius: float,
    squeezes: int = 2,
    class_code: bool = False,
    width: int = 64,
    context_blocks: int = 2,
    causal_blocks: int = 2,
    components: int = 5,
    class_width: int = 64,
    class_blocks: int = 4,
    known: Known | None = None,
) -> Bijector:
    """The flow above.

    Events (B, H, W, C) with values in [0, levels), H and W divisible by 2 ** squeezes. Latents are
    the tuple (z_0, z_1, ..., z_G): flattened (``density.flatten``), their first ``num_classes``
    dimensions are the code.

    Args:
      levels: grey levels of the data.
      num_classes: of the data.
      radius: r above, of the prior's means.
      squeezes: 1 for cells of 2x2 pixels, 2 for 4x4.
      class_code: whether there is a code; a flow without one knows no classes.
      width: channels of the networks of the density.
      context_blocks: residual blocks of a group's network that see the earlier groups.
      causal_blocks: residual blocks that see the group's own earlier positions.
      components: of the mixture of logistic distributions of a pixel.
      class_width: channels of the classifier, at least 2.
      class_blocks: residual blocks of the classifier.
      known: pixels, as images, that the inverse leaves as they are (``autoregressive``).

    Raises:
      ValueError: for an argument out of its range, and, from the flow's functions, more classes
        than x_0 has pixels; the message names the argument.
    """
    if squeezes not in GROUPS:
        raise ValueError(f"squeezes is {squeezes}, expected 1 or 2")
    for name, value, least in [
        ("num_classes", num_classes, 1),
        ("width", width, 1),
        ("context_blocks", context_blocks, 0),
        ("causal_blocks", causal_blocks, 0),
        ("components", components, 1),
        ("class_width", class_width, 2),
        ("class_blocks", class_blocks, 0),
    ]:
        if value < least:
            raise ValueError(f"{name} is {value}, expected at least {least}")
    groups = GROUPS[squeezes]
    net = partial(CausalNet, num_parameters(components), levels, width, context_blocks)
    classifier = Classifier(num_classes, class_width, class_blocks)
    known_of: list[Known | None] = [None] * len(groups)
    if known is not None:
        pairs = zip(*(groups_of(a, squeezes) for a in known), strict=True)
        known_of = [Known(*pair) for pair in pairs]

    def gaussianize(i):
        return partial(
            autoregressive_gaussianize, net(causal_blocks if i else 0), known=known_of[i]
        )

    def level(*pixels):
        return jnp.floor(jnp.concatenate(pixels, axis=-1))

    def other_groups(event):
        return Context(None, level(*event[1:]))

    def image_without_last_group(event):
        image, _ = split_groups(groups).inverse((), (jnp.zeros_like(event[0]), *event[1:]))
        return image * (2 / levels)

    def code_and_earlier_groups(i, event):
        z_code = event[0].reshape(event[0].shape[0], -1)[:, :num_classes]
        return Context(z_code if class_code else None, level(event[i][..., :0], *event[1:i]))

    return chain(
        *[squeeze()] * squeezes,
        split_groups(groups),
        conditional(0, other_groups, gaussianize(0)),
        *[conditional(0, image_without_last_group, partial(_shift, classifier, radius))]
        * class_code,
        *[
            conditional(i, partial(code_and_earlier_groups, i), gaussianize(i))
            for i in reversed(range(1, len(groups)))
        ],
    )
