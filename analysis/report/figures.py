"""Every chart of a study's report, as the JSON that its page hands to Plotly."""

from analysis.report import curves, fronts, keys
from analysis.report.chart import Chart
from analysis.report.summary import Summary


def charts(summary: Summary) -> dict[str, str]:
    """JSON of every chart that has something to show, by the chart's name."""
    drawn: dict[str, Chart | None] = {"parallel": keys.parallel(summary)}
    if any(trial.objective is not None for trial in summary.trials):
        drawn["history"] = curves.history(summary)
        drawn["curves"] = curves.curves(summary)
        drawn["f1"] = curves.train_and_validation(summary)
        drawn["slices"] = keys.slices(summary)
        drawn["pareto"] = fronts.pareto(summary)
    for place, found in enumerate(summary.importances):
        shown = found.meaningful or (place == 0 and found.shares)
        drawn[f"importance{place}"] = keys.importance(found) if shown else None
    rounded = summary.is_large
    return {name: chart.to_json(rounded=rounded) for name, chart in drawn.items() if chart}
