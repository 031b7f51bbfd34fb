"""A sampler in the manner of imbalanced-learn: labelled rows in, the same rows and new ones of the rarer classes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from faultcell.arrays.model import Array, ArrayModel, Rows
from faultcell.config import Config, DiffusionConfig, FinetuneConfig, NetConfig, TrainConfig
from faultcell.runtime.workers import one_thread

HEADS = 4
SEEDS = 2**31 - 1
STACKED = 3  # dimensions of an array (n, channels, time)


class FaultAugmenter(BaseOverSampler):  # type: ignore[misc]
    """Draws new rows of rare classes by conditional diffusion: learnt from the most frequent class, adapted to the others.

    A row is a curve, or anything else whose values lie in an order: samples in time, points of a spectrum. Several channels lie
    side by side, the whole of the first, then the whole of the second. Rows that are already there come first and are left as
    they are. No new row is a copy of one of them, or lies on the line between two.

    Args:
        sampling_strategy: which classes to fill up and how far, as imbalanced-learn defines it: `auto` (all but the most
            frequent, until they are as many), a ratio, a mapping of numbers by class, or a function of `y`.
        random_state: an int for the same rows each time.
        n_channels: channels that lie side by side in a row; of an array `(n, channels, time)` they are taken from it.
        steps: training steps on the most frequent class.
        finetune_steps: training steps on the others.
        unfreeze: which layers learn then: `progressive`, `last`, `last3` or `all`.
        lambda_source: weight of the most frequent class in the loss of the second run.
        width: channels of the network at its finest level, a multiple of 4; the coarser one has half as many again.
        batch_size: rows a step.
        learning_rate: of both runs, at its peak.
        inference_steps: network evaluations a row.

    Attributes:
        classes_: the classes, the most frequent first.
        sampling_strategy_: how many rows are drawn of each class.
        model_: the trained model.
        n_channels_: channels of a row.
        severity_: of each row that `fit_resample` gave `(n_new, n_severities)`; None where it was told of none.
        n_features_in_: values of a row.
        feature_names_in_: their names, where the table had some.

    References:
        Limited-Data Augmentation for Fault Diagnosis in Lithium-Ion Battery Energy Storage Systems via Transferable
        Conditional Diffusion, Batteries 2025, 11(7), 248.
        Chawla et al., SMOTE, 2002, https://arxiv.org/abs/1106.1813 (what such samplers do).
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseOverSampler._parameter_constraints,
        **{
            name: [Interval(Integral, 1, None, closed="left")]
            for name in ("n_channels", "steps", "finetune_steps", "batch_size", "inference_steps")
        },
        "unfreeze": [StrOptions({"progressive", "last", "last3", "all"})],
        "lambda_source": [Interval(Real, 0, None, closed="left")],
        "width": [Interval(Integral, 4, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        sampling_strategy: str | float | Mapping[Any, int] | Callable[..., Any] = "auto",
        random_state: int | np.random.RandomState | None = None,
        n_channels: int = 1,
        steps: int = 200,
        finetune_steps: int = 100,
        unfreeze: str = "progressive",
        lambda_source: float = 1.0,
        width: int = 32,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        inference_steps: int = 4,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.random_state = random_state
        self.n_channels = n_channels
        self.steps = steps
        self.finetune_steps = finetune_steps
        self.unfreeze = unfreeze
        self.lambda_source = lambda_source
        self.width = width
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.inference_steps = inference_steps

    def fit(self, X: Any, y: Any, severity: ArrayLike | None = None) -> FaultAugmenter:
        """Learn from labelled rows.

        Args:
            X: rows `(n, features)`, or `(n, channels, time)`; an array, a list, or a pandas or polars table.
            y: their classes `(n,)`.
            severity: how severe each is, `(n,)` or `(n, n_severities)`, NaN where it is not known.

        Raises:
            ValueError: one class alone, values that are missing or not finite, or channels of unequal length.
        """
        given = _Given(X, y)
        super().fit(*given.plain)
        X, y, _ = self._check_X_y(*given.plain)
        self._name_features(given)
        self._learn(X, y, _columns(severity, len(X)), rng=check_random_state(self.random_state), channels=given.channels)
        return self

    def fit_resample(self, X: Any, y: Any, severity: ArrayLike | None = None) -> tuple[Any, Any]:
        """Learn from labelled rows, and give them with new ones of the rarer classes after them.

        New rows have severities of their class, drawn with replacement; see `severity_`.

        Args:
            X: as in `fit`.
            y: as in `fit`.
            severity: as in `fit`.

        Returns:
            Rows and classes, of the kinds that `X` and `y` are.

        Raises:
            ValueError: as `fit` does.
        """
        given = _Given(X, y)
        drawn = super().fit_resample(*given.plain, severity=severity, channels=given.channels)
        self._name_features(given)
        return given.like(*drawn)

    def sample(
        self,
        label: Any,
        n: int = 1,
        *,
        severity: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray[Any]:
        """Draw rows of one class from the fitted model.

        Args:
            label: the class.
            n: how many rows.
            severity: of each row, `(n,)` or `(n, n_severities)`, or of all of them `(n_severities,)`; unknown where not given.
            random_state: an int for the same rows each time; that of the estimator where not given.

        Returns:
            `(n, n_features_in_)`.

        Raises:
            NotFittedError: it has not been fitted.
            ValueError: a class it has not seen, or severities it was not told of in fitting.
        """
        check_is_fitted(self, "model_")
        known = np.flatnonzero(self.classes_ == label)
        if not known.size:
            raise ValueError(f"label {label!r} is unknown: fitted on {', '.join(map(str, self.classes_))}")
        asked = _asked(severity, n, len(self.model_.middle))
        seed = check_random_state(self.random_state if random_state is None else random_state).randint(SEEDS)
        return self._draw(np.full(n, known[0]), asked, seed=int(seed))

    def _fit_resample(
        self, X: NDArray[Any], y: NDArray[Any], severity: ArrayLike | None = None, channels: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        severities, rng = _columns(severity, len(X)), check_random_state(self.random_state)
        self._learn(X, y, severities, rng=rng, channels=channels)
        wanted = [(np.flatnonzero(self.classes_ == name)[0], count) for name, count in self.sampling_strategy_.items()]
        label = np.repeat([place for place, _ in wanted], [count for _, count in wanted]).astype(np.int64)
        pools = [np.flatnonzero(y == name) for name in self.classes_]
        like = np.array([rng.choice(pools[place]) for place in label], dtype=np.int64)
        drawn = self._draw(label, severities[like], seed=int(rng.randint(SEEDS)))
        self.severity_ = None if severity is None else np.concatenate([severities, severities[like]])
        return np.concatenate([X, _of_type(drawn, X.dtype)]), np.concatenate([y, self.classes_[label].astype(y.dtype)])

    def _learn(
        self, X: NDArray[Any], y: NDArray[Any], severities: Array, *, rng: np.random.RandomState, channels: int | None
    ) -> None:
        self.n_channels_ = channels or self.n_channels
        if X.shape[1] % self.n_channels_:
            raise ValueError(f"{X.shape[1]} features are not {self.n_channels_} channels of equal length: correct n_channels")
        names, label, counts = np.unique(y, return_inverse=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        self.classes_ = names[order]
        values = X.reshape(len(X), self.n_channels_, -1).astype(np.float64)
        rows = Rows(values, np.argsort(order)[label], severities)
        with one_thread():
            self.model_ = ArrayModel.learn(rows, len(names), self._config(int(rng.randint(SEEDS))))

    def _draw(self, label: NDArray[np.int64], severity: Array, *, seed: int) -> Array:
        if not len(label):
            return np.empty((0, self.n_features_in_))
        with one_thread():
            return self.model_.draw(label, severity, seed=seed).reshape(len(label), -1)

    def _config(self, seed: int) -> Config:
        run = {"batch_size": self.batch_size, "learning_rate": self.learning_rate, "seed": seed}
        few = {"steps": self.finetune_steps, "unfreeze": self.unfreeze, "lambda_source": self.lambda_source}
        width, half = self.width // HEADS * HEADS, self.width // 2 // HEADS * HEADS
        net = NetConfig(widths=(width, width + half), attention=(False, True), embedding=64, expectation_hidden=64, heads=HEADS)
        return Config(
            net=net,
            diffusion=DiffusionConfig(num_inference_steps=self.inference_steps),
            train=TrainConfig(steps=self.steps, warmup=min(50, self.steps // 4), **run),
            finetune=FinetuneConfig(warmup=min(25, self.finetune_steps // 4), **few, **run),
        )

    def _check_X_y(  # noqa: N802 (the name that imbalanced-learn calls)
        self, X: Any, y: Any, accept_sparse: Any = None
    ) -> tuple[NDArray[Any], NDArray[Any], bool]:
        """Curves are never sparse, and a sparse matrix is refused; but a pandas table may be kept so, and is given back so."""
        rows, y, binarise = super()._check_X_y(X, y, accept_sparse="csr" if hasattr(X, "columns") else False)
        return rows.toarray() if issparse(rows) else rows, y, binarise

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def _more_tags(self) -> dict[str, Any]:
        return {"X_types": ["2darray", "dataframe"]}

    def _name_features(self, given: _Given) -> None:
        """Polars tables are checked as arrays, so their names are kept here."""
        if given.is_polars and all(isinstance(name, str) for name in given.X.columns):
            self.feature_names_in_ = np.array(given.X.columns, dtype=object)


class _Given:
    """Rows and classes as they were given, to give others back in the same way.

    Attributes:
        plain: both as imbalanced-learn takes them.
        channels: of an array `(n, channels, time)`, else None.
    """

    def __init__(self, X: Any, y: Any) -> None:
        self.X, self.y = X, y
        self.is_polars = _is_polars(X)
        self.channels = X.shape[1] if isinstance(X, np.ndarray) and X.ndim == STACKED else None
        rows = X.reshape(len(X), -1) if self.channels else X.to_numpy() if self.is_polars else X
        self.plain = rows, y.to_numpy() if _is_polars(y) else y

    def like(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Others of the same kinds."""
        if self.channels:
            X = X.reshape(len(X), *self.X.shape[1:])
        return _as_polars(X, self.X) if self.is_polars else X, _as_polars(y, self.y) if _is_polars(self.y) else y


def _is_polars(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "polars"


def _as_polars(values: NDArray[Any], given: Any) -> Any:
    """An array as a polars table or column of the names and types of the given one."""
    import polars as pl

    if isinstance(given, pl.Series):
        return pl.Series(given.name, values.tolist()).cast(given.dtype)
    return pl.DataFrame(values.reshape(len(values), -1), schema=given.columns, orient="row").cast(dict(given.schema))


def _of_type(drawn: Array, kind: np.dtype[Any]) -> NDArray[Any]:
    """Drawn values in the type of the rows; whole numbers are rounded, not cut."""
    return (np.rint(drawn) if np.issubdtype(kind, np.integer) else drawn).astype(kind)


def _columns(severity: ArrayLike | None, rows: int) -> Array:
    """Severities as columns `(rows, S)`; none where none are told."""
    if severity is None:
        return np.empty((rows, 0))
    severities = check_array(severity, ensure_2d=False, ensure_all_finite="allow-nan", dtype=np.float64, input_name="severity")
    if len(severities) != rows:
        raise ValueError(f"severity has {len(severities)} rows, X has {rows}: give one for each row, NaN where it is not known")
    return np.asarray(severities.reshape(rows, -1))


def _asked(severity: ArrayLike | None, rows: int, columns: int) -> Array:
    """The severities asked for `(rows, columns)`."""
    if severity is None:
        return np.full((rows, columns), np.nan)
    if not columns:
        raise ValueError("the model was fitted without severities: leave them out, or fit it with some")
    severities = np.asarray(severity, dtype=np.float64)
    if severities.size not in {columns, rows * columns}:
        plural = "value" if columns == 1 else "values"
        raise ValueError(
            f"severity must be {columns} {plural}, or {rows} rows of them, found an array of shape {severities.shape}"
        )
    return np.broadcast_to(severities.reshape(-1, columns), (rows, columns))
