"""Names of the files in a folder of a retrained model."""

from typing import Final

IDENTITY: Final = "retrain.json"

CONFIG: Final = "config.yaml"

RESULT: Final = "result.json"
