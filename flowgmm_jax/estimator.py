"""FlowGMM as a classifier of scikit-learn."""

from typing import Any, Self

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from flowgmm_jax.errors import InputError
from flowgmm_jax.fitting import fit_arrays
from flowgmm_jax.gmm import log_class_weights
from flowgmm_jax.models.base import Model
from flowgmm_jax.trained import model_of

# Examples at a time: one program serves any number, and a row has the same bits in any company.
CHUNK = 256
LEAST_LOG = float(np.log(np.finfo(np.float64).tiny))  # its exponential is not 0


class FlowGMMClassifier(ClassifierMixin, BaseEstimator):
    """A semi-supervised classifier with a density: ``fg.fit`` behind scikit-learn's interface.

        classifier = FlowGMMClassifier().fit(x, y)  # y is -1 where there is no label
        classifier.predict(x_new), classifier.score_samples(x_new), classifier.sample(10)

    Args:
      steps: of training; None: as many as the shape of the data asks for.
      minutes: of training in place of steps.
      validation: rows held out for the choice of the step; None: as the shape of the data asks for.
      overrides: further fields of the config by their names, see ``fg.fit``.
      random_state: seed of parameters and batches; None: another one with every fit.
      verbose: whether to show a bar on standard error.

    Attributes:
      classes_: (K,), the labels that occur but for -1, sorted.
      n_features_in_: columns of a table, rows of an image.
      fitted_: what the model is built from, a ``fitting.Fitted``.
    """

    def __init__(
        self,
        *,
        steps: int | None = None,
        minutes: float | None = None,
        validation: int | None = None,
        overrides: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.steps = steps
        self.minutes = minutes
        self.validation = validation
        self.overrides = overrides
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Trains on examples X, (N, D) or images (N, H, W[, C]), and labels y (N,).

        Unlabelled is -1, among words also the text "-1".

        Raises:
          InputError, ValueError: for arrays that cannot be taken, in one line.
        """
        X, y = self._validated(X, y)
        check_classification_targets(y)
        is_known = ~((y == -1) | (y == "-1"))
        self.classes_, numbers = np.unique(y[is_known], return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y has {len(self.classes_)} class: expected 2 or more classes")
        labels = np.full(len(y), -1)
        labels[is_known] = numbers
        given = {"steps": self.steps, "data.validation": self.validation}
        overrides = {name: value for name, value in given.items() if value is not None}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        overrides = {"seed": seed} | overrides | (self.overrides or {})
        self.fitted_ = fit_arrays(
            X, labels, minutes=self.minutes, progress=self.verbose, **overrides
        )
        self._model = model_of(self.fitted_.config, self.fitted_.facts)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable class of each example, (N,)."""
        table = self._table(X)
        return self.classes_[table.argmax(-1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """p(y | x), (N, K) in the order of ``classes_``."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """log p(y | x), (N, K); not below -708, where ``predict_proba`` would be 0."""
        table = self._table(X)
        table -= np.logaddexp.reduce(table, axis=-1, keepdims=True)
        return np.maximum(table, LEAST_LOG)

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """log p(x) in nats, (N,), of a table in the units of its columns; low where x is odd."""
        return np.logaddexp.reduce(self._table(X), axis=-1)

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Examples (n_samples, ...) that the model draws, and their classes (n_samples,)."""
        check_is_fitted(self)
        model, params = self._functions(), self.fitted_.params
        random = check_random_state(self.random_state)
        weights = np.ones(len(self.classes_))
        if model.prior:
            weights = np.exp(np.asarray(log_class_weights(model.prior(params)), np.float64))
        numbers = random.choice(len(weights), size=n_samples, p=weights / weights.sum())
        x = model.sample(params, jax.random.key(random.randint(2**31 - 1)), numbers)
        return np.asarray(x), self.classes_[numbers]

    def _validated(self, X: ArrayLike, y: Any = "no_validation") -> Any:
        """Arrays as scikit-learn checks them."""
        return validate_data(self, X, y, reset=not isinstance(y, str), allow_nd=True)

    def _table(self, X: ArrayLike) -> np.ndarray:
        """log p(x, y), (N, K) float64."""
        check_is_fitted(self)
        X = self._validated(X)
        of_chunk, params = self._functions().class_log_density, self.fitted_.params
        tables = []
        for start in range(0, len(X), CHUNK):
            chunk = X[start : start + CHUNK]
            padded = np.concatenate([chunk, np.repeat(chunk[-1:], CHUNK - len(chunk), axis=0)])
            tables.append(np.asarray(of_chunk(params, padded), np.float64)[: len(chunk)])
        return np.concatenate(tables)

    def _functions(self) -> Model:
        """The model; built anew after unpickling."""
        if self._model is None:
            self._model = model_of(self.fitted_.config, self.fitted_.facts)
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__().copy()
        return state | {"_model": None} if "_model" in state else state
