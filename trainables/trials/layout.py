"""Names of the files and folders in a trial's folder."""

METRICS = "metrics.jsonl"

MODEL_FILE = "model.pt"

METRICS_FILE = "metrics.json"

HISTORY_FILE = "history.json"

BEST_FOLDER = "best"

CHECKPOINT_FOLDER = "checkpoint"

RESUME_FOLDER = "resume"  # the checkpoint an attempt goes on from

ARTIFACT_FOLDER = "artifacts"

FINDS_PLACES = ("best", "median", "worst")
"""Pictures that are drawn of an epoch, by their F1 among those of the validation part."""

FINDS_FILE = "finds-epoch-{epoch}-{place}-{picture}.png"
"""A picture of the validation part with an epoch's finds drawn, among the artifacts; its place is
one of `FINDS_PLACES`."""
