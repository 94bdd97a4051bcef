"""A race in lines for the terminal: what it will do, and what it said."""

from collections.abc import Iterator, Sequence

from analysis.confirm.planning import RacePlan
from analysis.models.confirmed import Contender, TestFigures, Verdict
from search_spaces.names import written
from trainables.files.words import counted, time_words
from trainables.metrics.names import F1_NAMES
from tune.plan.plan import estimate_hours
from tune.stopping.race import LEVEL, SEEDS

_WIDTH = 12


def race_lines(plan: RacePlan) -> list[str]:
    """What a race will do, before it begins."""
    study, verdict = plan.study, plan.verdict
    racing = [one for one in verdict.contenders if not one.refused]
    least, epochs = SEEDS * len(racing), study.study.budget.epochs
    where = "train and val drawn anew" if verdict.resplit else "the search's parts"
    facts = [
        ("confirm", f"{verdict.study}, by a race in {study.directory}"),
        ("data", f"{study.data.name} ({study.study.data}), {where}; seeds that it never saw"),
        ("objective", f"{verdict.metric} ({verdict.mode})"),
        *_titled("candidates", _candidates(verdict.contenders)),
        (
            "budget",
            f"{_span(str(least), counted(verdict.budget, 'training'), least < verdict.budget)} of "
            f"{counted(epochs, 'epoch')}: "
            f"{SEEDS} seeds each, then one more for each that is not behind",
        ),
        (
            "drops out",
            f"who is behind the leader by a one-sided t test at {verdict.level:.4g} ({LEVEL:g} / "
            f"{counted(len(racing) - 1, 'comparison')} / 2)",
        ),
        *([] if plan.begun else [("time", _time(plan, least))]),
    ]
    return [f"{name:<{_WIDTH}}{text}" for name, text in facts]


def verdict_lines(verdict: Verdict) -> list[str]:
    """What a race said so far."""
    n_done = sum(len(one.values) for one in verdict.contenders)
    done = f"after {counted(n_done, 'training')} of at most {verdict.budget}"
    if not verdict.over:
        return [f"{'confirmed':<{_WIDTH}}nothing yet, {done}"]
    if verdict.winner is None:
        return [
            f"{'confirmed':<{_WIDTH}}nothing, {done}: no training ended with a value",
            *_failures(verdict),
        ]
    facts = [
        ("confirmed", f"{_set_told(verdict)}, {done}"),
        *_titled("", _table(verdict)),
        ("recommended", _recommended(verdict)),
        *_titled("retraining", retraining_words(verdict)),
        ("gain", gain_words(verdict)),
        *_titled("overtuning", list(overtuning_words(verdict))),
        *_titled("test part", test_words(verdict)),
    ]
    return [*(f"{name:<{_WIDTH}}{text}" for name, text in facts), *_failures(verdict)]


def gain_words(verdict: Verdict) -> str:
    """By how much the recommended configuration is better than the default, in words."""
    winner, default = verdict.winner, verdict.default
    assert winner is not None
    if default is winner:
        return "none: the default itself is recommended"
    if default is None or verdict.gain is None:
        return "not known: the default was not trained"
    better = verdict.gain > 0 if verdict.mode == "max" else verdict.gain < 0
    size = f"{abs(verdict.gain):.4f}"
    if default.refused:
        return f"better than the default by {size}, which {counts_as(default)}: {default.refused}"
    if verdict.gain_half_width is not None:
        size += f" ± {verdict.gain_half_width:.4f} (95 %)"
    told = f"{'better' if better else 'worse'} than the default by {size}"
    alike = verdict.contenders.index(default) in verdict.alive
    return f"{told}, from which it cannot be told apart" if alike else told


def counts_as(one: Contender) -> str:
    """What a configuration counts as that cannot be trained: 0, or the largest error of all."""
    return "counts as the worst" if one.mean is None else f"counts as {one.mean:.4g}"


def retraining_words(verdict: Verdict) -> list[str]:
    """What a single further training of the recommended configuration reaches, in words."""
    winner = verdict.winner
    assert winner is not None
    if winner.mean is None or winner.next_half_width is None:
        return []
    return [f"a single one reaches {winner.mean:.4f} ± {winner.next_half_width:.4f} (95 %)"]


def overtuning_words(verdict: Verdict) -> Iterator[str]:
    """What the search said less what was confirmed: of its best, and of the recommended one."""
    found = [one for one in verdict.contenders if one.searched is not None]
    best = [found[0], *(one for one in found[1:] if one is verdict.winner)]
    for place, one in enumerate(best):
        if one.searched is None or one.mean is None:
            continue
        which = "its best" if place == 0 else "the recommended one"
        away = one.searched - one.mean
        less = "less" if away >= 0 else "more"
        parts = ", on other parts of the data" if verdict.resplit else ""
        yield (
            f"the search said {one.searched:.4f} of {which}, {one.name}; "
            f"{counted(len(one.values), 'fresh seed')} reach {one.mean:.4f} on average{parts}: "
            f"{abs(away):.4f} {less}"
        )


def test_words(verdict: Verdict) -> list[str]:
    """What the test part said."""
    test, winner = verdict.test, verdict.winner
    if test is None or winner is None or test.recommended is None:
        return [f"not measured: {test.note if test else 'not yet'}"]
    lines = [f"{winner.name}: {_f1(test.recommended)} ({test.note})"]
    if test.default is not None:
        lines.append(f"the default: {_f1(test.default)}")
    return [*lines, *_no_control(verdict, test)]


def _no_control(verdict: Verdict, test: TestFigures) -> Iterator[str]:
    if test.default is None and verdict.default is not verdict.winner:
        yield "the default: not measured, as it has no model"


def _f1(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.4f}" for name in F1_NAMES if name in values)


def cost_words(one: Contender) -> str:
    """Duration of a candidate's training; "" where it is not known."""
    return "" if one.seconds is None else time_words(float(f"{one.seconds:.3g}") / 3600)


def _set_told(verdict: Verdict) -> str:
    n, names = len(verdict.alive), [verdict.contenders[c].name for c in verdict.alive]
    if n == 1:
        return f"{names[0]} alone is left"
    return f"{n} of {len(verdict.contenders)} cannot be told apart ({', '.join(names)})"


def _recommended(verdict: Verdict) -> str:
    winner = verdict.winner
    assert winner is not None
    why = "the only one left" if len(verdict.alive) == 1 else "the cheapest of them"
    costs = [c for n in verdict.alive if (c := verdict.contenders[n].seconds) is not None]
    if winner.seconds is not None and winner.seconds > min(costs):
        why = "the best of the cheapest"
    cost = "" if winner.seconds is None else f", {cost_words(winner)} a training"
    return f"{winner.name}, {why}{cost}"


def _table(verdict: Verdict) -> list[str]:
    """A row for each candidate, the leader first."""
    last = [c for c in range(len(verdict.contenders)) if c not in verdict.alive]
    better = -1 if verdict.mode == "max" else 1
    last.sort(key=lambda c: better * (verdict.contenders[c].mean or 0.0))
    order = [*verdict.alive, *last]
    width = max(len(one.name) for one in verdict.contenders)
    head = f"{'':<{width}}  search  confirmed (95 %)   seeds  a training"
    return [head, *(_row(verdict, c, width) for c in order)]


def _row(verdict: Verdict, c: int, width: int) -> str:
    one = verdict.contenders[c]
    searched = "-" if one.searched is None else f"{one.searched:.4f}"
    if one.refused:
        return f"{one.name:<{width}}  {searched:>6}  cannot be trained, {counts_as(one)}"
    mean = "-" if one.mean is None else f"{one.mean:.4f}"
    spread = "" if one.half_width is None else f" ± {one.half_width:.4f}"
    cost = cost_words(one) or "-"
    out = "" if one.dropped_p is None else f"  dropped out, p {one.dropped_p:.2g}"
    figure = f"{mean}{spread}"
    return f"{one.name:<{width}}  {searched:>6}  {figure:<17}  {len(one.values):>4}  {cost}{out}"


def _failures(verdict: Verdict) -> list[str]:
    return [f"note        {one.name}: {why}" for one in verdict.contenders for why in one.failures]


def _candidates(contenders: Sequence[Contender]) -> list[str]:
    width = max(len(one.name) for one in contenders)
    return [f"{one.name:<{width}}  {_candidate(one, contenders)}" for one in contenders]


def _candidate(one: Contender, contenders: Sequence[Contender]) -> str:
    if one.refused:
        return f"cannot be trained, {counts_as(one)}: {one.refused}"
    keys = [
        key
        for key in one.params
        if any(other.params.get(key) != one.params[key] for other in contenders)
    ]
    values = ", ".join(f"{key} {written(one.params[key], 4)}" for key in keys)
    return values if one.searched is None else f"{one.searched:.4f}  {values}"


def _titled(title: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [("" if i else title, line) for i, line in enumerate(lines)]


def _time(plan: RacePlan, least: int) -> str:
    """Wall-clock time of all trainings there may be."""
    estimate = estimate_hours(plan.study, plan.pace)
    if estimate is None or plan.pace is None:
        return "unknown: the search's trials were not timed"
    most, budget = estimate.median, plan.verdict.budget
    told = _span(time_words(most * least / budget), time_words(most), least < budget)
    return f"about {told}, by {plan.pace.measured}"


def _span(least: str, most: str, differ: bool) -> str:
    return f"{least} to {most}" if differ else most
