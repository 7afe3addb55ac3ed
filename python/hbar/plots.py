"""Figures of calibrations and validations. Every point comes from the library (docs/statistics.md, Curves)."""
from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence, Union

import matplotlib.pyplot as plt

from ._calibrate import Validation
from ._params import Params

Result = Union[Params, Validation]
FAITHFUL, HALLUCINATED = "tab:blue", "tab:red"


def _curves(result: Result) -> Mapping[str, Any]:
    curves = result.document.get("curves")
    if curves is None:
        raise ValueError("these results have no curves: they were saved by an earlier version of hbar")
    found: Mapping[str, Any] = curves
    return found


def _score(result: Result) -> Mapping[str, Any]:
    """The name, threshold and AUROC of the calibrated score."""
    d = result.document
    if isinstance(result, Params):
        return {"name": result.score, "tau": result.tau, "direction": result.direction, "auroc": d["auroc"],
                "average_precision": d["pr_auc"]}
    s = d["scores"][d["score"]]
    return {"name": d["score"], "tau": s["at_tau"]["tau"], "direction": {">=": "high", "<=": "low"}[s["direction"]],
            "auroc": s["auroc"], "average_precision": s["pr_auc"]}


def _axes(ax: Any) -> Any:
    return plt.subplots(figsize=(4.5, 4))[1] if ax is None else ax


def _legend(labels: Sequence[str] | None, results: Sequence[Result]) -> Sequence[str]:
    if labels is None:
        return [_score(result)["name"] for result in results]
    if len(labels) != len(results):
        raise ValueError(f"there are {len(labels)} labels for {len(results)} results")
    return labels


def _draw(ax: Any, curve: Mapping[str, Any], x: str, y: str, label: str) -> None:
    """A curve with its band, where it has one."""
    [line] = ax.plot(curve[x], curve[y], label=label)
    if None not in curve["lower"]:
        ax.fill_between(curve[x], curve["lower"], curve["upper"], alpha=0.2, color=line.get_color(), linewidth=0)


def histogram(result: Result, *, ax: Any = None) -> Any:
    """The scores by label, with the threshold. Returns the axes, like all functions here."""
    ax, bars, score = _axes(ax), _curves(result)["histogram"], _score(result)
    n = len(bars["label_0"])
    width = (bars["upper"] - bars["lower"]) / n
    places = [bars["lower"] + (i + 0.5) * width for i in range(n)]
    for key, label, colour in (("label_0", "faithful", FAITHFUL), ("label_1", "hallucinated", HALLUCINATED)):
        ax.bar(places, bars[key], width, label=label, color=colour, alpha=0.5)
    sign = "\N{GREATER-THAN OR EQUAL TO}" if score["direction"] == "high" else "\N{LESS-THAN OR EQUAL TO}"
    ax.axvline(score["tau"], color="black", linestyle="--", label=f"risky: {sign} {score['tau']:.3g}")
    ax.set(xlabel=score["name"], ylabel="samples")
    ax.legend()
    return ax


def roc(*results: Result, labels: Sequence[str] | None = None, ax: Any = None) -> Any:
    """ROC curves, with bands from the bootstrap."""
    ax = _axes(ax)
    for result, label in zip(results, _legend(labels, results)):
        _draw(ax, _curves(result)["roc"], "false_positive_rate", "true_positive_rate",
              f"{label}, AUROC {_score(result)['auroc']:.3f}")
    ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    ax.legend(loc="lower right")
    return ax


def precision_recall(*results: Result, labels: Sequence[str] | None = None, ax: Any = None) -> Any:
    """Precision-recall curves, with bands from the bootstrap."""
    ax = _axes(ax)
    for result, label in zip(results, _legend(labels, results)):
        _draw(ax, _curves(result)["precision_recall"], "recall", "precision",
              f"{label}, average precision {_score(result)['average_precision']:.3f}")
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    ax.legend(loc="lower left")
    return ax


def risk_coverage(*results: Result, labels: Sequence[str] | None = None, ax: Any = None) -> Any:
    """The share of hallucinated samples among those accepted, by the share accepted."""
    ax = _axes(ax)
    for result, label in zip(results, _legend(labels, results)):
        curves = _curves(result)
        _draw(ax, curves["risk_coverage"], "coverage", "risk", f"{label}, AURC {curves['aurc']:.3f}")
    ax.set(xlabel="coverage", ylabel="risk of the accepted", xlim=(0, 1), ylim=(0, None))
    ax.legend(loc="upper left")
    return ax


def reliability(result: Result, *, ax: Any = None) -> Any:
    """The share of hallucinated samples in bins of the failure probability, with 95 % intervals. With the samples of
    the calibration it is optimistic: draw that of a validation."""
    ax, curves = _axes(ax), _curves(result)
    bins = curves["reliability"]
    down = [y - low for y, low in zip(bins["rate"], bins["lower"])]
    up = [high - y for y, high in zip(bins["rate"], bins["upper"])]
    ax.errorbar(bins["p_fail"], bins["rate"], yerr=[down, up], marker="o", capsize=3,
                label=f"{_score(result)['name']}, calibration error {curves['ece']:.3f}")
    ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
    ax.set(xlabel="P_fail", ylabel="hallucinated", xlim=(0, 1), ylim=(0, 1))
    ax.legend(loc="upper left")
    return ax


def summary(result: Result) -> Any:
    """All of these in one figure, which is returned."""
    figure, axes = plt.subplots(2, 3, figsize=(13, 8), layout="constrained")
    draws: list[Callable[..., Any]] = [histogram, roc, precision_recall, risk_coverage, reliability]
    for draw, ax in zip(draws, axes.flat):
        draw(result, ax=ax)
    axes.flat[-1].axis("off")
    return figure
