"""What is worth trying with the awkward engine."""

from search_spaces.presets.preset import Preset

AWKWARD = Preset({"lr0": {"uniform": [0.1, 0.9]}})
PRESETS = {"awkward": AWKWARD, "smoke": AWKWARD}
