"""Where the flow of a table starts: a Gaussian mixture of one covariance, fitted in closed form.

A flow that is linear, with a mixture of K unit Gaussians as its prior, is such a mixture, and its
classes are divided by planes. So it contains linear discriminant analysis and every linear
classifier; this finds a good one before the first step of training.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from flowgmm_jax import density
from flowgmm_jax.flows.tables import whitening
from flowgmm_jax.gmm import GMM
from flowgmm_jax.models.base import Model, Params


class LinearMixture(NamedTuple):
    """p(x, y = k) = w_k N(x; m_k, S).

    Attributes:
      means: m, (K, D) float64.
      covariance: S, (D, D) float64, positive definite.
      weights: w, (K,) float64, which sum to 1.
    """

    means: np.ndarray
    covariance: np.ndarray
    weights: np.ndarray


def responsibilities(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The class of each row: its label, or the posterior of a logistic regression on the labels.

    Args:
      x: (N, D), standardised columns.
      y: (N,) classes 0..K-1, all of which occur; -1 where there is no label.

    Returns:
      (N, K) float64; rows sum to 1.
    """
    from sklearn.linear_model import LogisticRegression  # takes long to import

    is_labeled, classes = y >= 0, np.arange(y.max() + 1)
    table = np.ones((len(y), 1))
    if len(classes) > 1:
        classifier = LogisticRegression(max_iter=1000).fit(x[is_labeled], y[is_labeled])
        table = classifier.predict_proba(x).astype(np.float64)
    table[is_labeled] = y[is_labeled, None] == classes
    return table


def maximise(x: np.ndarray, table: np.ndarray) -> LinearMixture:
    """The mixture of the largest expected likelihood given responsibilities r: a step M of EM.

        N_k = sum_i r_ik,   m_k = sum_i r_ik x_i / N_k,   w_k = (N_k + 1) / (N + K),

        S = (sum_ik r_ik (x_i - m_k) (x_i - m_k)^T + I) / (N + 1).

    Weights and covariance count one row more than there is, of each class and of unit variance, so
    that neither is singular (Bishop 2006, "Pattern Recognition and Machine Learning", eq. 9.24 to
    9.26, with one covariance and these priors).

    Args:
      x: (N, D), standardised columns.
      table: r, (N, K); no column is all zero.
    """
    x = x.astype(np.float64)
    (size, dimension), counts = x.shape, table.sum(0)  # counts N_k, (K,)
    means = (table.T @ x) / counts[:, None]
    scatter = x.T @ x - (means.T * counts) @ means
    covariance = (scatter + np.eye(dimension)) / (size + 1)
    return LinearMixture(means, covariance, (counts + 1) / (size + len(counts)))


def linear_mixture(x: np.ndarray, y: np.ndarray) -> LinearMixture:
    """The mixture whose classes are those of a logistic regression on the labelled rows, and whose
    density is fitted to all rows.

    No step E follows, which would go on towards the largest likelihood: where the classes are no
    Gaussian clusters, it leads away from them.

    Args:
      x: (N, D), standardised columns.
      y: (N,), as for ``responsibilities``.
    """
    return maximise(x, responsibilities(x, y))


def start_at(mixture: LinearMixture, model: Model, params: Params) -> Params:
    """Parameters with which FlowGMM has the density of ``mixture``.

    Args:
      mixture: of examples as the flow has them.
      model: FlowGMM of a ``flows.table_realnvp``.
      params: at their start, where all of the flow but its whitening keeps distances.
    """
    flow, (columns, _, steps) = model.flow(params)
    mean = mixture.weights @ mixture.means
    whiten = whitening(jnp.float32(mean), jnp.float32(mixture.covariance))
    params = {"flow": (columns, whiten, steps)}
    means, _ = density.encode(flow, params, jnp.float32(mixture.means))
    weights = jnp.log(jnp.float32(mixture.weights))
    return params | {"prior": GMM(means, jnp.zeros_like(weights), weights)}
