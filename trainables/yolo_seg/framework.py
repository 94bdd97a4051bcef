"""Ultralytics, imported so that it keeps to itself.

Left alone it asks the network at import, writes a settings file into the user's home, installs
missing packages, limits every process to one thread, and prints progress bars. Import this module
before anything of Ultralytics; what concerns training is switched off in `trainer.py`.
"""

import importlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "0"}


@contextmanager
def _environment(**changes: str) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in (*changes, "OMP_NUM_THREADS")}
    os.environ.update(changes)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _import_quietly() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="segtune-") as folder,
        _environment(YOLO_CONFIG_DIR=folder, **_QUIET),
    ):
        importlib.import_module("ultralytics")
        for module in ("models.yolo.segment", "engine.exporter", "data.dataset"):
            importlib.import_module(f"ultralytics.{module}")
    log = logging.getLogger("ultralytics")
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.WARNING)


_import_quietly()
