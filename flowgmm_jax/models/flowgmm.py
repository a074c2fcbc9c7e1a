"""FlowGMM: a flow with a Gaussian-mixture prior, one component a class (the poster)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from flowgmm_jax import density, gmm, losses
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.errors import InputError
from flowgmm_jax.flows.bijector import Bijector
from flowgmm_jax.models.base import Model


class Prior(NamedTuple):
    """How the mixture starts.

    Attributes:
      means: their placement, see ``gmm.place_means``.
      radius: its scale.
      dimensions: the means differ in so many of the first latents, and are 0 in the others; 0: they
        differ in all.
    """

    means: str
    radius: float
    dimensions: int = 0


class Loss(NamedTuple):
    """The objective, a weighted sum of means over the batch, in nats.

    Attributes:
      labeled: "class_conditional", -log p(x | y) (poster, "Loss"), or "cross_entropy",
        -log p(y | x) (the authors' image experiments).
      labeled_weight: weight of the labelled term.
      marginal_weight: weight of -log p(x). With class_conditional it is taken over the unlabelled
        examples alone, as in the poster, since log p(x | y) is the likelihood of the labelled ones;
        with cross_entropy over the whole batch: log p(x) + log p(y | x) = log p(x, y). If the batch
        has views of its own for the density, it is taken over these only.
      consistency: how the student view is drawn to the teacher view's label: "likelihood",
        -log p(x' | y''), or "cross_entropy", -log p(y'' | x'). The poster prints the first without
        the Jacobian of f ("Consistency Loss Term"), as a density of latents; as a density of data,
        which the authors' code minimises, it cannot be made large by shrinking f alone.
      consistency_weight: its weight; 0 leaves the teacher view out.
      ramp_steps: steps over which that weight rises linearly from 0.
      confidence: teacher views with a smaller largest posterior are left out; 0 takes all.
    """

    labeled: str
    labeled_weight: float
    marginal_weight: float
    consistency: str
    consistency_weight: float
    ramp_steps: int
    confidence: float


def _label_term(kind: str, tables: density.Tables, y: jax.Array, prior: gmm.GMM) -> jax.Array:
    """What a label y (B,) asks of ``tables``: ``Loss.labeled`` or ``Loss.consistency``, (B,)."""
    if kind == "cross_entropy":
        return losses.cross_entropy(tables.logits, y)
    return losses.class_conditional_nll(tables.joint, y, gmm.log_class_weights(prior))


def flowgmm(
    flow: Bijector, shape: tuple[int, ...], num_classes: int, prior: Prior, loss: Loss
) -> Model:
    """The model of the poster.

    Args:
      flow: data (B, *shape) to latents.
      shape: of one example.
      num_classes: K.
      prior: how the mixture starts.
      loss: the objective.

    Returns:
      A Model whose params are ``{"flow": ..., "prior": gmm.GMM}``.

    Raises:
      InputError: for an unknown kind of loss or prior; from the model's functions, for examples
        that do not have ``shape``.
    """
    for field, kind, kinds in (
        ("labeled", loss.labeled, ("class_conditional", "cross_entropy")),
        ("consistency", loss.consistency, ("likelihood", "cross_entropy")),
        ("means", prior.means, tuple(gmm.PLACEMENTS)),
    ):
        if kind not in kinds:
            section = "prior" if field == "means" else "loss"
            raise InputError(
                f"config.{section}.{field} is {kind!r}, expected one of {', '.join(kinds)}"
            )

    size = math.prod(shape)
    dimensions = prior.dimensions or size
    if not 0 < dimensions <= size:
        raise InputError(f"config.prior.dimensions is {dimensions}, expected 0 to {size}")
    if prior.dimensions and prior.means == "data":
        raise InputError(
            f"config.prior.means is 'data', which are no latents: expected another placement where "
            f"config.prior.dimensions is {dimensions}"
        )

    def events(x):
        """Examples as the flow takes them; integer images at the centres of their bins."""
        x = jnp.asarray(x)
        if x.shape[1:] != shape:
            expected = ", ".join(map(str, shape))
            raise InputError(f"x has shape {x.shape}, expected (batch, {expected})")
        if not jnp.issubdtype(x.dtype, jnp.integer):
            return x
        return x.astype(jnp.float32) + (0.5 if len(shape) == 3 else 0.0)

    def init(key, x, y):
        x = events(x)
        key_flow, key_means = jax.random.split(key)
        params = flow.init(key_flow, x)
        z, _ = density.encode(flow, {"flow": params}, x)
        z = z[:, :dimensions]
        means = gmm.place_means(prior.means, key_means, z, y, x, num_classes, prior.radius)
        means = jnp.pad(means, ((0, 0), (0, size - dimensions)))
        return {"flow": params, "prior": gmm.with_means(means)}

    def class_log_density(params, x):
        return density.class_log_density(flow, params, events(x))

    def tables(params, x):
        return density.tables(flow, params, x, dimensions)

    def log_density(params, x):
        return jax.nn.logsumexp(class_log_density(params, x), axis=-1)

    def encode(params, x):
        return density.encode(flow, params, events(x))[0]

    def decode(params, z):
        return density.decode(flow, params, z, shape)

    def sample(params, key, labels, temperature=1.0):
        return decode(params, gmm.sample(params["prior"], key, labels, temperature))

    def objective(params, batch: Batch, key, step):
        del key  # the density is deterministic; models with latent noise need it
        num_labeled = len(batch.y)
        students = tables(params, jnp.concatenate([batch.x_labeled, batch.x_student]))
        labeled, unlabeled = (
            density.Tables(*[table[rows] for table in students])
            for rows in (slice(num_labeled), slice(num_labeled, None))
        )
        terms = {
            "labeled": loss.labeled_weight
            * _label_term(loss.labeled, labeled, batch.y, params["prior"]).mean()
        }
        if batch.x_density is not None:
            explained = seen = tables(params, batch.x_density).joint
        else:
            seen = students.joint
            explained = seen if loss.labeled == "cross_entropy" else unlabeled.joint
        if len(explained):
            terms["marginal"] = loss.marginal_weight * losses.marginal_nll(explained).mean()
        metrics = {}
        if loss.consistency_weight and len(unlabeled.logits):
            teacher = tables(jax.lax.stop_gradient(params), batch.x_teacher)
            y, probability = losses.pseudo_labels(teacher.logits)
            confident = probability >= loss.confidence
            term = _label_term(loss.consistency, unlabeled, y, params["prior"])
            ramp = losses.linear_ramp(step, loss.ramp_steps)
            terms["consistency"] = loss.consistency_weight * ramp * (confident * term).mean()
            metrics["confident"] = confident.mean()

        metrics |= {f"loss_{name}": term for name, term in terms.items()}
        metrics["accuracy"] = 100.0 * (labeled.logits.argmax(-1) == batch.y).mean()
        metrics["bits_per_dim"] = density.bits_per_dim(-losses.marginal_nll(seen).mean(), size)
        return sum(terms.values()), metrics

    return Model(init, objective, class_log_density, log_density, encode, decode, sample)
