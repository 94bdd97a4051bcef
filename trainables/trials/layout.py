"""Names of the files and folders in a trial's folder."""

METRICS = "metrics.jsonl"

MODEL_FILE = "model.pt"

METRICS_FILE = "metrics.json"

HISTORY_FILE = "history.json"

BEST_FOLDER = "best"

CHECKPOINT_FOLDER = "checkpoint"

RESUME_FOLDER = "resume"  # the checkpoint an attempt goes on from

ARTIFACT_FOLDER = "artifacts"
