"""FlowGMM: a flow with a Gaussian-mixture prior, one component per class (the poster)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax import density, gmm, losses
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.density import Tables
from flowgmm_jax.flows.autoregressive import Known
from flowgmm_jax.flows.bijector import Bijector
from flowgmm_jax.models.base import Metrics, Model, Params
from flowgmm_jax.models.infill import DRAWS, Infilling, candidates, resample


class Prior(NamedTuple):
    """How the mixture starts.

    Attributes:
      means: their placement, see ``gmm.place_means``.
      radius: the scale of the placement.
    """

    means: str = "random"
    radius: float = 1.0


class Loss(NamedTuple):
    """The weights and kinds of the objective's terms, means over the batch in nats.

    Attributes:
      labeled: kind of the labelled term: "class_conditional", -log p(x | y) (poster, "Loss"), or
        "cross_entropy", -log p(y | x) (the authors' image experiments).
      labeled_weight: its weight.
      marginal_weight: weight of -log p(x). It is the mean over ``batch.x_density``; without these,
        over the unlabelled examples if ``labeled`` is "class_conditional", as in the poster, since
        log p(x | y) is the likelihood of the labelled ones, and over the whole batch if it is
        "cross_entropy": log p(x) + log p(y | x) = log p(x, y).
        With ``batch.x_density`` and a classifier inside the flow, it trains all but the classifier,
        which the other terms train alone: through a code, the density would make it say whatever
        helps to draw the training images, in place of their class.
      consistency: kind of the consistency term, which draws the student view to the teacher view's
        label: "class_conditional", -log p(x' | y''), or "cross_entropy", -log p(y'' | x'). The
        poster prints the first without the Jacobian of f ("Consistency Loss Term"), as a density
        of latents; as a density of data, which the authors' code minimises, it cannot be made
        large by shrinking f.
      consistency_weight: its weight; 0 leaves the teacher view out.
      ramp_steps: steps over which that weight rises linearly from 0.
      confidence: teacher views whose largest posterior is smaller are left out; 0 takes all.
    """

    labeled: str = "class_conditional"
    labeled_weight: float = 1.0
    marginal_weight: float = 1.0
    consistency: str = "class_conditional"
    consistency_weight: float = 0.0
    ramp_steps: int = 0
    confidence: float = 0.0


def _nll(kind: str, tables: Tables, y: jax.Array, prior: gmm.GMM) -> jax.Array:
    """The negative log-likelihood of labels y (B,), of the kind of a ``Loss``, (B,)."""
    if kind == "cross_entropy":
        return losses.cross_entropy(tables.logits, y)
    return losses.class_conditional_nll(tables.joint, y, gmm.log_class_weights(prior))


def _separated(params: Params) -> tuple[Params, Params]:
    """``params`` with gradients for all but a classifier, and with gradients for it alone.

    A classifier is what lies under a key ``classifier``; both are ``params`` if there is none.
    """
    is_classifier = jax.tree_util.tree_map_with_path(
        lambda path, _: any(getattr(entry, "key", None) == "classifier" for entry in path), params
    )
    if not any(jax.tree.leaves(is_classifier)):
        return params, params

    def trains(classifier: bool) -> Params:
        return jax.tree.map(
            lambda leaf, here: leaf if here == classifier else jax.lax.stop_gradient(leaf),
            params,
            is_classifier,
        )

    return trains(False), trains(True)


def flowgmm(
    flow: Bijector,
    info: Info,
    prior: Prior,
    weights: Loss,
    class_latents: int | None = None,
    temperature: float = 1.0,
    infilling: Infilling | None = None,
) -> Model:
    """The model of the poster.

    Args:
      flow: data (B, *info.shape) to latents.
      info: shape and number of classes of the data.
      prior: how the mixture starts.
      weights: of the objective.
      class_latents: how many latents, from the first, carry the class; None: all.
      temperature: of the class posterior in the loss, its cross-entropies and its confidence: the
        variance of the components is multiplied by it (poster, "Uncertainty"), which divides the
        log-odds.
      infilling: of a flow that can fill in pixels.

    Returns:
      A Model of examples (B, *info.shape), floats, whose params are ``{"flow": ..., "prior":
      gmm.GMM}``. It takes its arguments as they are: ``door.guarded`` checks them.
    """
    size, num_classes = info.size, info.num_classes
    class_latents = class_latents or size

    def init(key: jax.Array, x: jax.Array, y: jax.Array) -> Params:
        key_flow, key_means = jax.random.split(key)
        params = flow.init(key_flow, x)
        z, _ = density.encode(flow, {"flow": params}, x)
        z = z[:, :class_latents]
        means = gmm.place_means(prior.means, key_means, z, y, x, num_classes, prior.radius)
        return {"flow": params, "prior": gmm.with_means(means)}

    def class_log_density(params: Params, x: jax.Array) -> jax.Array:
        return density.class_log_density(flow, params, x)

    def log_density(params: Params, x: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(class_log_density(params, x), axis=-1)

    def encode(params: Params, x: jax.Array) -> jax.Array:
        return density.encode(flow, params, x)[0]

    def decode(params: Params, z: jax.Array) -> jax.Array:
        return density.decode(flow, params, z, info.shape)

    def sample(params, key, labels, temperature=1.0):
        return decode(params, gmm.sample(params["prior"], key, labels, size, temperature))

    def infill(params, key, x, is_known, labels, draws=DRAWS):
        known = Known(x, jnp.broadcast_to(is_known, x.shape))
        return resample(partial(candidates, flow, infilling, params, known, labels), key, draws)

    def tables(params: Params, x: jax.Array) -> Tables:
        """Those of examples x, with the class posterior at the loss's temperature."""
        found = density.tables(flow, params, x)
        return found._replace(logits=found.logits / temperature)

    def tables_of(params: Params, *views: jax.Array) -> list[Tables]:
        """Those of each of several batches of examples, from one pass."""
        ends = np.cumsum([len(x) for x in views[:-1]])
        found = tables(params, jnp.concatenate(views))
        return [Tables(*parts) for parts in zip(*(jnp.split(t, ends) for t in found), strict=True)]

    def loss(params: Params, batch: Batch, key, step) -> tuple[jax.Array, Metrics]:
        """a E[-log p(x|y)] + b E[-log p(x)] + c(step) E[-log p(x'|y'')].

        Poster, "Loss" and "Consistency Loss Term"; a, b and c are those of ``weights``.
        """
        del key  # the density is deterministic; models with latent noise need it
        prior = params["prior"]
        has_view = batch.x_density is not None
        of_density, of_classes = _separated(params) if has_view else (params, params)
        views = (batch.x_labeled, batch.x_student)
        if not has_view:
            labeled, student = tables_of(params, *views)
            seen = Tables(*map(jnp.concatenate, zip(labeled, student, strict=True)))
        elif of_density is of_classes:  # one pass is half of the program of two
            labeled, student, seen = tables_of(params, *views, batch.x_density)
        else:
            labeled, student = tables_of(of_classes, *views)
            seen = tables(of_density, batch.x_density)
        of_student = weights.labeled == "class_conditional" and not has_view
        explained = student if of_student else seen
        terms = {
            "labeled": (weights.labeled_weight, _nll(weights.labeled, labeled, batch.y, prior)),
            "marginal": (weights.marginal_weight, losses.marginal_nll(explained.joint)),
        }
        metrics = {"accuracy": 100.0 * (gmm.classify(labeled.logits) == batch.y).mean()}
        if weights.consistency_weight and len(batch.x_teacher):
            teacher = tables(jax.lax.stop_gradient(params), batch.x_teacher)
            y_teacher, probability = losses.pseudo_labels(teacher.logits)
            is_confident = probability >= weights.confidence
            terms["consistency"] = (
                weights.consistency_weight * losses.linear_ramp(step, weights.ramp_steps),
                is_confident * _nll(weights.consistency, student, y_teacher, prior),
            )
            metrics["confident"] = is_confident.mean()
        terms = {name: weight * nll.mean() for name, (weight, nll) in terms.items() if len(nll)}

        metrics["bits_per_dim"] = density.bits_per_dim(
            -losses.marginal_nll(seen.joint).mean(), size
        )
        metrics |= {f"loss_{name}": term for name, term in terms.items()}
        return sum(terms.values()), metrics

    return Model(
        init,
        loss,
        class_log_density,
        log_density,
        encode,
        decode,
        sample,
        infill if infilling else None,
        prior=lambda params: params["prior"],
        flow=lambda params: (flow, params["flow"]),
        info=info,
    )
