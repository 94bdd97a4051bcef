"""Verbs in groups: `segtune best show`, `segtune wandb upload`, `segtune cluster render`."""
