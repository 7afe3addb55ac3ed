"""A scikit-learn estimator over scores: the library's joint model and its map to a probability."""
from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from . import _api as api
from ._library import check, lib, number, texts

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6

    def validate_data(estimator: Any, *arrays: Any, **options: Any) -> Any:
        return estimator._validate_data(*arrays, **options)

Floats = npt.NDArray[np.float64]


class ScoreClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts hallucinations from scores, of which X has a column each.

    It is `calibrate(..., joint=True)`: an L2-regularised logistic regression on standardised scores, whose strength is
    chosen by cross-validation, and a map from its log-odds to a probability that is fitted to the log-odds out of fold.
    The class that sorts last (1, True) means hallucinated.

    Parameters: `map` is "platt", "isotonic", or "none" for the regression's own probability; `n_folds` the number of
    folds, or of the rarer class's samples if those are fewer; `seed` that of the folds.

    Attributes: classes_, n_features_in_; mean_, scale_ and coef_ of the scores, and intercept_; map_ as (scores,
    probabilities) of an isotonic map, or (a, b) of Platt's."""

    def __init__(self, map: str = "platt", n_folds: int = 5, seed: int = 42) -> None:
        self.map = map
        self.n_folds = n_folds
        self.seed = seed

    def fit(self, X: Any, y: Any) -> ScoreClassifier:
        """Fits the model to scores and labels."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if type_of_target(y) == "multiclass":
            raise ValueError("Only binary classification is supported. The type of the target is multiclass.")
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        if self.map not in ("none", "platt", "isotonic"):
            raise ValueError(f"map must be none, platt or isotonic, not {self.map!r}")
        labels = np.ascontiguousarray(numbers, np.uint8)
        folds = min(self.n_folds, int(np.bincount(numbers).min()))
        out_of_fold = self._fit_joint(np.ascontiguousarray(X.T), labels, folds)
        self._fit_map(out_of_fold, labels)
        return self

    def _fit_joint(self, columns: Floats, labels: npt.NDArray[np.uint8], folds: int) -> Floats:
        d, n = columns.shape
        options = lib.hb_joint_defaults()
        options.n_folds, options.seed = folds, self.seed
        joint, out_of_fold = api.hb_joint(), np.empty(n)
        check(lib.hb_joint_fit, _doubles(columns), _bytes(labels), n, d, texts([str(i) for i in range(d)]),
              ctypes.byref(options), ctypes.byref(joint), _doubles(out_of_fold))
        try:
            features = [joint.features[i] for i in range(d)]
            self.mean_ = np.array([f.mean for f in features])
            self.scale_ = np.array([f.sd for f in features])
            self.coef_ = np.array([f.weight for f in features])
            self.intercept_ = joint.intercept
        finally:
            lib.hb_joint_free(ctypes.byref(joint))
        return out_of_fold

    def _fit_map(self, out_of_fold: Floats, labels: npt.NDArray[np.uint8]) -> None:
        self.map_: tuple[Any, Any] = (-1.0, 0.0)  # 1 / (1 + exp(a x + b)) of the log-odds themselves
        if self.map == "none":
            return
        found, kind = api.hb_map(), number("hb_map_kind", "HB_MAP_", self.map, "map")
        check(lib.hb_map_fit, _doubles(out_of_fold), _bytes(labels), len(labels), kind, 0.0, api.HB_DIRECTION_HIGH,
              ctypes.byref(found))
        if self.map == "platt":
            self.map_ = (found.a, found.b)
        else:
            self.map_ = (np.array(found.scores[:found.n_knots]), np.array(found.p[:found.n_knots]))
        lib.hb_map_free(ctypes.byref(found))

    def log_odds(self, X: Any) -> Floats:
        """The log-odds of the joint model, of which predict_proba() has the map. Not called decision_function, because
        the map moves the point at which both classes are equally probable away from 0."""
        check_is_fitted(self)
        X = np.ascontiguousarray(validate_data(self, X, dtype=np.float64, reset=False))
        features = (api.hb_joint_feature * len(self.coef_))(
            *[api.hb_joint_feature(None, *values) for values in zip(self.mean_, self.scale_, self.coef_)])
        joint = api.hb_joint(features=features, n_features=len(self.coef_), intercept=self.intercept_)
        return np.array([lib.hb_joint_log_odds(ctypes.byref(joint), _doubles(row)) for row in X])

    def predict_proba(self, X: Any) -> Floats:
        """The probabilities of both classes, [samples, 2]."""
        log_odds = self.log_odds(X)
        first, second = self.map_
        fitted = api.hb_map(kind=api.HB_MAP_PLATT)
        if self.map == "isotonic":
            fitted = api.hb_map(kind=api.HB_MAP_ISOTONIC, scores=_doubles(first), p=_doubles(second), n_knots=len(first))
        else:
            fitted.a, fitted.b = first, second
        p = np.array([lib.hb_map_p(ctypes.byref(fitted), value) for value in log_odds])
        return np.column_stack([1 - p, p])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The more probable class of each sample."""
        check_is_fitted(self)
        chosen: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return chosen

    def _more_tags(self) -> dict[str, Any]:
        return {"binary_only": True}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _doubles(values: Floats) -> Any:
    return values.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


def _bytes(values: npt.NDArray[np.uint8]) -> Any:
    return values.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
