"""What is worth trying with the threshold engine."""

from search_spaces.presets.preset import Preset

THRESHOLD = Preset(
    {
        "lr0": {"loguniform": [0.01, 5.0]},
        "start": {"uniform": [0.05, 0.95]},
        "min_area": {"randint": [1, 40]},
    }
)
PRESETS = {"threshold": THRESHOLD, "smoke": THRESHOLD}
