"""Values, durations and ends of trials in words, for a table or a line."""

from tune.directory.trials import TrialOutcome
from tune.plan.eta import Eta
from tune.stopping.decision import ENDINGS, Rule


def ending(outcome: TrialOutcome, mode: str, *, brief: bool = False) -> str:
    """The end of a trial in words, with the reason.

    Args:
        outcome: Outcome of the trial.
        mode: The objective's direction.
        brief: Whether to leave the epoch out, as in a table, where it stands beside it.

    >>> ending(TrialOutcome("pruned", "asha", 25, 0.407, 0.312, 25), "max")
    'stopped by ASHA at epoch 25: 0.312 < cut-off 0.407'
    >>> ending(TrialOutcome("pruned", "asha", 25, 0.407, 0.312, 25), "max", brief=True)
    'stopped by ASHA: 0.312 < 0.407'
    """
    words = ENDINGS.get(outcome.stop_reason) or outcome.stop_reason or outcome.state
    at = "" if brief else f" at epoch {outcome.epoch}"
    because = _because(outcome, mode, "" if brief else "cut-off ")
    return f"{words}{at}: {because}" if because else f"{words}{at}"


def _because(outcome: TrialOutcome, mode: str, name: str) -> str:
    if outcome.stop_reason == Rule.ERROR:
        return (outcome.message.strip().splitlines() or [""])[0]
    if outcome.value is None or outcome.cutoff is None:
        return ""
    if outcome.stop_reason == Rule.ASHA:
        worse = "<" if mode == "max" else ">"
        value, cutoff = number(outcome.value), number(outcome.cutoff)
        if value == cutoff:  # a near miss: show what tells them apart
            value, cutoff = f"{outcome.value:.6g}", f"{outcome.cutoff:.6g}"
        return f"{value} {worse} {name}{cutoff}"
    if outcome.stop_reason == Rule.COLLAPSED:
        return f"never above {number(outcome.cutoff)}"
    return ""


def number(value: float | None) -> str:
    """A metric's value as it is shown.

    >>> number(0.31249), number(12.3456), number(None)
    ('0.312', '12.35', '-')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def clock(seconds: float | None) -> str:
    """A duration as a clock shows it.

    >>> clock(59.6), clock(3725), clock(None)
    ('1:00', '1:02:05', '-')
    """
    if seconds is None:
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def roughly(eta: Eta | None) -> str:
    """Time left in words, in the unit that fits.

    >>> roughly(Eta(7500, 1200)), roughly(Eta(90, 20)), roughly(None)
    ('about 2.1 h ± 0.3 h', 'about 1.5 min ± 0.3 min', 'unknown')
    >>> roughly(Eta(9.2, 0.2)), roughly(Eta(0.2, 0.1))  # no estimate is exact
    ('about 9 s', 'less than a second')
    """
    if eta is None:
        return "unknown"
    units = (("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((u for u in units if eta.seconds >= u[1]), units[-1])
    digits = 1 if eta.seconds / size < 10 and unit != "s" else 0
    shown, error = f"{eta.seconds / size:.{digits}f}", f"{eta.error_s / size:.{digits}f}"
    if float(shown) == 0:
        return "less than a second"
    return f"about {shown} {unit}" + (f" ± {error} {unit}" if float(error) else "")
