"""Scores that are higher for out-of-domain examples, and how well they tell them."""

import io
import lzma
import math
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.stats import rankdata
from sklearn import metrics
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from flowgmm_jax.evaluation.passes import progress
from flowgmm_jax.evaluation.statistics import Statistics

COMPONENTS = (1, 2, 4, 8, 16, 32)
NATS_PER_BYTE = 8 * math.log(2)
# Signature, header, end, and the frame of one data chunk: the same for every image.
_PNG_FRAME = 57


def detection(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    """How well a score tells out-of-domain examples, the positive class, from in-domain ones.

    Args:
      inside: (N,), scores of in-domain examples, higher: more out-of-domain. A score that is not a
        number counts as the highest: the model has no likelihood for such an example.
      outside: (M,), of out-of-domain examples.

    Returns:
      ``auroc``, the probability that an out-of-domain example has the higher score, ties counting
      half; ``aupr``, the average precision, which is M / (N + M) by chance; ``fpr95``, the share of
      in-domain examples that are flagged by the highest threshold that flags at least 95% of the
      out-of-domain ones.
    """
    label = np.repeat([0, 1], [len(inside), len(outside)])
    # Ranks say all, and are finite where a likelihood is not.
    rank = rankdata(np.nan_to_num(np.concatenate([inside, outside]), nan=np.inf, posinf=np.inf))
    false, true, _ = metrics.roc_curve(label, rank, drop_intermediate=False)
    return {
        "auroc": float(metrics.roc_auc_score(label, rank)),
        "aupr": float(metrics.average_precision_score(label, rank)),
        "fpr95": float(false[np.argmax(true >= 0.95)]),
    }


class Examples(NamedTuple):
    """What the scores look at: statistics of N examples, and for images the code lengths (N,)."""

    statistics: Statistics
    code_length: np.ndarray | None


def likelihood(statistics: Statistics) -> np.ndarray:
    """-log p(x), (N,), in nats: the poster's score."""
    return -statistics.log_density


def typicality(found: np.ndarray, training: np.ndarray) -> np.ndarray:
    """|log p - mean over training examples|, (N,), in nats: a typical example is as likely as they
    are, not likelier (Nalisnick et al. 2019, https://arxiv.org/abs/1906.02994, eq. 5).

    Args:
      found: log p of examples, (N,): log p(x), or log p(z) of their latents, which tells whether
        they lie at the usual distance from the mean of their component.
      training: the same of training examples.
    """
    return np.abs(found - training[np.isfinite(training)].mean())


def complexity(statistics: Statistics, code_length: np.ndarray) -> np.ndarray:
    """-log p(x) - code length, (N,), in nats: what the model needs beyond a code that knows no
    data; simple images are likely under any model (Serra et al. 2020,
    https://arxiv.org/abs/1909.11480, eq. 1)."""
    return -statistics.log_density - code_length


def _residuals(image: np.ndarray) -> list[np.ndarray]:
    """The image (H, W, C), and what is left of it when a pixel is predicted, modulo 256: from the
    left, from above, and from both and the corner (the median predictor of JPEG-LS)."""
    padded = np.pad(image, ((1, 0), (1, 0), (0, 0))).astype(np.int16)
    left, up, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    median = np.clip(left + up - corner, np.minimum(left, up), np.maximum(left, up))
    return [image, *((image - prediction).astype(np.uint8) for prediction in (left, up, median))]


def _png(image: np.ndarray) -> int:
    """Bytes of a PNG without its frame; channels that PNG does not have lie side by side."""
    if image.shape[-1] != 3:
        image = image.reshape(len(image), -1)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return file.tell() - _PNG_FRAME


def _lzma(data: bytes) -> int:
    """Bytes of an LZMA stream without container, with contexts for kilobytes of data."""
    options = {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, len(data)), "lc": 0, "pb": 0}
    return len(lzma.compress(data, lzma.FORMAT_RAW, filters=[options]))


def _shortest(image: np.ndarray) -> int:
    """Bytes of the shortest code of an image (H, W, C)."""
    deflate = len(zlib.compress(image.tobytes(), level=9, wbits=-15))  # without container
    return min(_png(image), deflate, *(_lzma(residual.tobytes()) for residual in _residuals(image)))


def code_length(x: np.ndarray) -> np.ndarray:
    """Nats of each image's shortest code (Serra et al. 2020, https://arxiv.org/abs/1909.11480).

    The codes are PNG, Deflate of the pixels, and LZMA of the pixels and of three predictions'
    residuals. What is the same for all images is not counted: containers, the shape, and the choice
    of the code.

    Args:
      x: uint8 (N, H, W, C).

    Returns:
      float64 (N,).
    """
    length = np.empty(len(x))
    with ThreadPoolExecutor(os.cpu_count()) as threads, progress(len(x), "code lengths") as bar:
        for i, found in enumerate(threads.map(_shortest, x)):
            length[i] = found * NATS_PER_BYTE
            bar.update()
    return length


def states(examples: Examples, with_complexity: bool = False) -> np.ndarray:
    """What the density of states is a density of, float64 (N, F): log p(z), the log-determinant,
    the log-odds of the two likeliest classes, and on demand the code length.

    log p(x) is the sum of the first two and would add nothing. Odds and lengths are positive and
    range over orders of magnitude, hence their logarithms.
    """
    statistics, length = examples
    columns = [statistics.log_density]
    if statistics.log_prior is not None:
        columns = [statistics.log_prior, statistics.log_det]
    if statistics.joint.shape[-1] > 1:
        second, first = np.sort(statistics.joint, axis=-1)[:, -2:].T
        columns.append(np.log1p(first - second))
    if with_complexity:
        columns.append(np.log(length))
    return np.stack(columns, axis=-1).astype(np.float64)


def fit_density_of_states(training: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The score -log q(states), q the density of training examples' states: too likely is as odd as
    too unlikely (Morningstar et al. 2021, https://arxiv.org/abs/2006.09273).

    q is a Gaussian mixture over whitened states. Its number of components is the one of
    ``COMPONENTS`` under which held-out training examples are likeliest, in five folds: nothing
    out-of-domain is looked at. By the same measure it beat kernel densities on MNIST and
    FashionMNIST.

    Args:
      training: states (N, F) of training examples, better such as the model was not trained on.

    Returns:
      states (M, F) -> (M,), in nats; infinite where a state is not finite.
    """
    training = training[np.isfinite(training).all(axis=-1)]
    mixture = GaussianMixture(init_params="k-means++", reg_covar=1e-4, max_iter=500, random_state=0)
    pipeline = make_pipeline(StandardScaler(), PCA(whiten=True), mixture)
    enough = [n for n in COMPONENTS if n == 1 or 20 * n <= len(training)]
    search = GridSearchCV(pipeline, {"gaussianmixture__n_components": enough})
    # Threads that wait for each other in small matrix products take most of the time.
    with threadpool_limits(1):
        search.fit(training)

    def score(found):
        finite = np.isfinite(found).all(axis=-1)
        surprise = np.full(len(found), np.inf)
        if finite.any():
            surprise[finite] = -search.best_estimator_.score_samples(found[finite])
        return surprise

    return score


def make_scores(training: Examples) -> Callable[[Examples], dict[str, np.ndarray]]:
    """Every score that fits the data by its name, fitted on training examples alone."""
    is_image = training.code_length is not None
    density = fit_density_of_states(states(training))
    if is_image:
        density_with_complexity = fit_density_of_states(states(training, with_complexity=True))

    def scores(examples):
        statistics, length = examples
        found = {
            "likelihood": likelihood(statistics),
            "typicality": typicality(statistics.log_density, training.statistics.log_density),
            "density of states": density(states(examples)),
        }
        if statistics.log_prior is not None:
            found["latent typicality"] = typicality(
                statistics.log_prior, training.statistics.log_prior
            )
        if is_image:
            found["complexity"] = complexity(statistics, length)
            found["states and complexity"] = density_with_complexity(states(examples, True))
        return found

    return scores
