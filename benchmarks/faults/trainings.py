"""Faults of trainings and of the data they read."""

import json
from collections import Counter
from pathlib import Path

import psutil
from PIL import Image

from benchmarks.faults.plain_study import GIB, LATE, Stock
from benchmarks.faults.processes import killed_then


def nan(stock: Stock) -> None:
    """A trial's metric is NaN from its third epoch on."""
    stock.plan.nan = 3
    stock.finish(stock.start())


def memory_limit(stock: Stock) -> None:
    """A trial wants 6 GiB where it may have 2; then the study is restored."""
    stock.plan.hungry, stock.plan.limit = 1, True
    stock.finish(stock.start())
    stock.tell("before it is restored")
    stock.finish(stock.start(restore=True))


def memory_limit_retried(stock: Stock) -> None:
    """The same with `max_failures=3`; nothing is restored."""
    stock.plan.hungry, stock.plan.limit, stock.plan.failures = 1, True, 3
    stock.finish(stock.start())


def memory_watched(stock: Stock) -> None:
    """A trial wants 6 GiB where Ray's memory monitor leaves 4; then it is restored."""
    memory = psutil.virtual_memory()
    most = (memory.total - memory.available + 4 * GIB) / memory.total
    stock.environment |= {
        "RAY_memory_usage_threshold": f"{most:.3f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    stock.plan.hungry = 1
    stock.finish(stock.start())
    stock.tell("before it is restored")
    stock.finish(stock.start(restore=True))


def memory_watched_retried(stock: Stock) -> None:
    """The same with `max_failures=3`."""
    stock.plan.failures = 3
    memory_watched(stock)


def picture_damaged(stock: Stock) -> None:
    """A picture is damaged while trials read it, then mended, and the study is restored."""
    picture = _with_data(stock) / "3.png"
    whole = picture.read_bytes()
    driver = stock.start()
    stock.wait_for(LATE)
    picture.write_bytes(whole[: len(whole) // 2])
    stock.finish(driver)
    stock.tell("with the damaged picture")
    picture.write_bytes(whole)
    stock.finish(stock.start(restore=True))


def picture_damaged_retried(stock: Stock) -> None:
    """A picture is damaged and stays so, with `max_failures=3`; nothing is restored."""
    stock.plan.failures = 3
    picture = _with_data(stock) / "3.png"
    driver = stock.start()
    stock.wait_for(LATE)
    picture.write_bytes(picture.read_bytes()[:2000])
    stock.finish(driver)


def annotations_changed(stock: Stock) -> None:
    """Everything is killed, half of the annotations are deleted, and the study is restored."""
    file = _with_data(stock) / "annotations.json"

    def change() -> None:
        halved = {name: n // 2 for name, n in json.loads(file.read_text()).items()}
        file.write_text(json.dumps(halved))

    killed_then(stock, change)
    seen = Counter((line["trial"][-5:], line["particles"]) for line in stock.diary())
    print(f"    epochs of each trial by the particles they saw: {dict(seen)}")


def _with_data(stock: Stock) -> Path:
    """Give a study eight noisy pictures of ten particles each; returns their folder."""
    folder = stock.folder / "data"
    folder.mkdir()
    for number in range(8):
        Image.effect_noise((128, 128), 60).save(folder / f"{number}.png")
    (folder / "annotations.json").write_text(json.dumps({f"{n}.png": 10 for n in range(8)}))
    stock.plan.pictures = str(folder)
    return folder
