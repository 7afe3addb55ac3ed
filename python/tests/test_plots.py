"""The figures show the library's curves, which are those that NumPy and scikit-learn compute."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import DEMO_PARAMS, PROJECT
from sklearn.metrics import roc_auc_score, roc_curve

import hbar
from hbar import plots


@pytest.fixture(scope="module")
def run(demo):
    return demo.score(PROJECT / "data/demo_test.jsonl", n=300)


@pytest.fixture(scope="module")
def params(run):
    return run.calibrate("hbar_s", map="platt", draws=200)


@pytest.fixture(scope="module")
def validation(run):
    return run.validate(DEMO_PARAMS, draws=200)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_histogram(run, params):
    ax = plots.histogram(params)
    values, labels = run.values("hbar_s", direction="low")
    bars = [[bar.get_height() for bar in group] for group in ax.containers]
    assert [sum(heights) for heights in bars] == [(labels == 0).sum(), (labels == 1).sum()]
    low, width = ax.containers[0][0].get_x(), ax.containers[0][0].get_width()
    inner = slice(1, -1)  # the outermost bars also have what lies beyond the range
    for label in (0, 1):
        counts, _ = np.histogram(values[labels == label], low + width * np.arange(len(bars[0]) + 1))
        assert np.abs(counts[inner] - np.array(bars[label])[inner]).sum() <= 2  # values on the edges of bars
    assert ax.lines[0].get_xdata()[0] == params.tau and ax.get_xlabel() == "hbar_s"


def test_roc(run, params, validation):
    values, labels = run.values("hbar_s", direction="low")
    ax = plots.roc(params, validation, labels=["here", "there"])
    x, y = ax.lines[0].get_data()
    fpr, tpr, _ = roc_curve(labels, -values, drop_intermediate=False)
    for at, value in zip(x, y):
        following = fpr[fpr >= at - 1e-9].min()
        assert tpr[fpr <= at + 1e-9].max() - 1e-9 <= value <= tpr[fpr == following].max() + 1e-9
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        f"here, AUROC {roc_auc_score(labels, -values):.3f}", f"there, AUROC {validation.auroc:.3f}"]
    assert len(ax.collections) == 2  # the bands


def test_precision_recall_and_risk_coverage(run, validation):
    values, labels = run.values("hbar_s", direction="low")
    order = np.argsort(values)
    hits = labels[order].cumsum()
    x, y = plots.precision_recall(validation).lines[0].get_data()
    for recall, precision in zip(x, y):
        k = np.argmax(hits >= recall * hits[-1] - 1e-9)
        assert precision == pytest.approx(hits[k] / (k + 1), abs=0.02)
    x, y = plots.risk_coverage(validation).lines[0].get_data()
    safest = labels[order[::-1]].cumsum()
    for coverage, risk in zip(x, y):
        n = int(np.ceil(coverage * len(labels) - 1e-9))
        assert risk == pytest.approx(safest[n - 1] / n, abs=0.01)


def test_reliability(run, validation):
    values, labels = run.values("hbar_s", direction="low")
    params = hbar.Params.load(DEMO_PARAMS)
    p = np.array([params.p_fail(value) for value in values])
    x, y = (np.asarray(values, float) for values in plots.reliability(validation).containers[0][0].get_data())
    bins = np.minimum((p * 10).astype(int), 9)
    present = np.unique(bins)
    assert np.allclose(x, [p[bins == b].mean() for b in present])
    assert np.allclose(y, [labels[bins == b].mean() for b in present])


def test_summary_is_drawn(validation, tmp_path):
    figure = plots.summary(validation)
    figure.savefig(tmp_path / "summary.png")
    assert (tmp_path / "summary.png").stat().st_size > 10000
    assert [bool(ax.has_data()) for ax in figure.axes] == [True] * 5 + [False]


def test_a_score_of_any_origin():
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 50)
    ax = plots.roc(hbar.calibrate({"mine": rng.normal(size=100) + y}, y, draws=0))
    assert "mine" in ax.get_legend().get_texts()[0].get_text() and not ax.collections  # no draws, no band


def test_errors(params):
    old = hbar.Params.load(DEMO_PARAMS)
    old.document.pop("curves", None)
    with pytest.raises(ValueError, match="earlier version"):
        plots.roc(old)
    with pytest.raises(ValueError, match="2 labels for 1"):
        plots.roc(params, labels=["a", "b"])
