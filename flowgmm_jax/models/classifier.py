"""The class network of a flow by itself: an ordinary classifier, which FlowGMM is compared with."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from flowgmm_jax import gmm, losses
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.flows.ops import squeeze
from flowgmm_jax.models.base import Metrics, Model, Params
from flowgmm_jax.models.flowgmm import Loss


def classifier(net: nn.Module, levels: int, squeezes: int, weights: Loss) -> Model:
    """A network for class logits, trained with FixMatch's loss: what is left of FlowGMM's without
    the density.

    Sohn et al. 2020, "FixMatch: simplifying semi-supervised learning with consistency and
    confidence", https://arxiv.org/abs/2001.07685, equations 3 and 4.

    Args:
      net: logits (B, K) of squeezed images (B, H, W, C).
      levels: grey levels of the images.
      squeezes: how often an image is squeezed.
      weights: of the labelled term and of the consistency term, which are cross-entropies.
    """

    def cells(x: jax.Array) -> jax.Array:
        x = x * (2 / levels)
        for _ in range(squeezes):
            x, _ = squeeze().forward((), x)
        return x

    def init(key: jax.Array, x: jax.Array, y: jax.Array) -> Params:
        return net.init(key, cells(x))["params"]

    def class_log_density(params: Params, x: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(net.apply({"params": params}, cells(x)))

    def loss(params: Params, batch: Batch, key, step) -> tuple[jax.Array, Metrics]:
        """a E[-log p(y|x)] + c(step) E[1(max p(.|x'') >= confidence) (-log p(y''|x'))]."""
        logits = class_log_density(params, jnp.concatenate([batch.x_labeled, batch.x_student]))
        labeled, student = jnp.split(logits, [len(batch.y)])
        terms = {"labeled": weights.labeled_weight * losses.cross_entropy(labeled, batch.y).mean()}
        metrics = {"accuracy": 100.0 * (gmm.classify(labeled) == batch.y).mean()}
        if weights.consistency_weight and len(batch.x_teacher):
            teacher = class_log_density(jax.lax.stop_gradient(params), batch.x_teacher)
            y_teacher, probability = losses.pseudo_labels(teacher)
            is_confident = probability >= weights.confidence
            weight = weights.consistency_weight * losses.linear_ramp(step, weights.ramp_steps)
            nll = is_confident * losses.cross_entropy(student, y_teacher)
            terms["consistency"] = weight * nll.mean()
            metrics["confident"] = is_confident.mean()
        metrics |= {f"loss_{name}": term for name, term in terms.items()}
        return sum(terms.values()), metrics

    return Model(init, loss, class_log_density)
