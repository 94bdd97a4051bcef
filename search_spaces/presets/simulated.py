"""Search spaces of the simulated engine."""

from search_spaces.presets.preset import Preset

SIMULATED = Preset(
    {
        "lr0": {"loguniform": [1e-5, 0.1]},
        "momentum": {"uniform": [0.6, 0.98]},
        "batch": {"choice": [2, 4, 8, 16, 32, 64]},
        "optimizer": {"choice": ["AdamW", "SGD"]},
    }
)

SMOKE = Preset({"lr0": {"loguniform": [1e-4, 0.1]}, "batch": {"choice": [4, 8, 16]}})

PRESETS = {"simulated": SIMULATED, "smoke": SMOKE}
