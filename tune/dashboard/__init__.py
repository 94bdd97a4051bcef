"""optuna-dashboard over studies, read only: no click in it changes anything."""
