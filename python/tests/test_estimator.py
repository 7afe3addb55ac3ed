"""The scikit-learn estimator."""
import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import hbar
from hbar.estimator import ScoreClassifier

MAPS = ["platt", "isotonic", "none"]


@parametrize_with_checks([ScoreClassifier(map=kind) for kind in MAPS])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(1)
    y = (rng.random(400) < 0.4).astype(int)
    return rng.normal(size=(400, 3)) * [1, 10, 0.1] + np.outer(y, [1, 5, 0]) + 3, y


def test_it_is_the_librarys_joint_model(scores):
    X, y = scores
    columns = {f"s{i}": X[:, i] for i in range(3)}
    params = hbar.calibrate(columns, y, joint=True, draws=0)
    model = ScoreClassifier().fit(X, y)
    joint = params.document["joint"]
    weights = {f["score"]: f for f in joint["features"]}
    assert np.allclose(model.coef_, [weights[name]["weight"] for name in columns], rtol=1e-9)
    assert np.allclose(model.mean_, X.mean(0)) and model.intercept_ == pytest.approx(joint["intercept"])
    assert model.map_ == pytest.approx((params.document["map"]["a"], params.document["map"]["b"]))
    p = model.predict_proba(X)
    assert np.allclose(p[:, 1], [params.p_fail(value) for value in model.log_odds(X)])
    assert np.array_equal(model.predict(X), p[:, 1] > 0.5)


def test_the_unmapped_probability_is_scikit_learns(scores):
    X, y = scores
    model = ScoreClassifier(map="none").fit(X, y)
    p = model.predict_proba(X)[:, 1]
    nearest = min(np.abs(make_pipeline(StandardScaler(), LogisticRegression(C=10.0 ** k, tol=1e-10)).fit(X, y)
                         .predict_proba(X)[:, 1] - p).max() for k in range(-4, 5))
    assert nearest < 2e-3


@pytest.mark.parametrize("kind", MAPS)
def test_pickles_and_pipelines(scores, kind):
    X, y = scores
    model = ScoreClassifier(map=kind).fit(X, np.where(y, "wrong", "right"))
    assert list(model.classes_) == ["right", "wrong"]
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert model.score(X, np.where(y, "wrong", "right")) > 0.65
    assert cross_val_score(make_pipeline(StandardScaler(), ScoreClassifier(map=kind)), X, y, scoring="roc_auc").mean() > 0.7


def test_grid_search(scores):
    assert GridSearchCV(ScoreClassifier(), {"map": MAPS}).fit(*scores).best_params_["map"] in MAPS


@pytest.mark.parametrize("options, X, y, words", [
    ({"map": "other"}, [[0.0], [1.0]] * 10, [0, 1] * 10, "map"),
    ({}, [[0.0], [1.0], [2.0]] * 9, [0, 1, 2] * 9, "binary"),
    ({}, [[0.0]] * 9, [1] * 9, "one class"),
    ({}, [[float("nan")], [1.0]] * 10, [0, 1] * 10, "NaN"),
    ({}, [[0.0]] * 9, [1] + [0] * 8, "fold"),
])
def test_errors(options, X, y, words):
    with pytest.raises(ValueError, match=words):
        ScoreClassifier(**options).fit(X, y)


def test_of_a_run(demo):
    from conftest import PROJECT
    run = demo.score(PROJECT / "data/demo_calibration.jsonl", n=200)
    frame = run.frame()
    model = ScoreClassifier().fit(frame[["hbar_s:bottom5", "margin:bottom5"]], frame["label"].astype(int))
    assert list(model.feature_names_in_) == ["hbar_s:bottom5", "margin:bottom5"]
    assert model.score(frame[["hbar_s:bottom5", "margin:bottom5"]], frame["label"].astype(int)) > 0.85
