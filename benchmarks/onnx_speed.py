"""Pictures per second of an ONNX file against its model in PyTorch, one thread each.

    python benchmarks/onnx_speed.py STUDY DATA [--pictures 8] [--rounds 5]

STUDY was exported (`segtune export STUDY --form onnx`). Both find instances, or map particles, in
the same validation pictures, one at a time and in turns, all that leads from grey levels to masks
included; the first round warms up and does not count. The median of the rounds is told with the
slowest and the fastest one, and how busy the machine was meanwhile.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.models.find import find_model, load_model
from trainables.contract import Device, Picker, Predictor
from trainables.datasets.prepared import PreparedDataset

ONE = Device("cpu", cpus=1)


def finding(predictor: Predictor) -> Callable[[Any], object]:
    """What a model does with a picture."""
    if isinstance(predictor, Picker):
        return predictor.probability
    return lambda picture: predictor([picture])


def per_second(find: Callable[[Any], object], pictures: list[Any]) -> float:
    """Pictures per second, one at a time."""
    begin = time.perf_counter()
    for picture in pictures:
        find(picture)
    return len(pictures) / (time.perf_counter() - begin)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    data = PreparedDataset.load(asked.data)
    records = data.images("val")
    pictures = [data.read(records[k % len(records)]) for k in range(asked.pictures)]
    models = {
        "PyTorch": finding(load_model(find_model(asked.study), ONE)),
        "ONNX Runtime": finding(load_model(find_model(asked.study / "onnx"), ONE)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(asked.rounds + 1):
        for name, find in models.items():
            speed = per_second(find, pictures)
            if number:
                speeds[name].append(speed)
    for name, found in speeds.items():
        middle = statistics.median(found)
        print(f"{name}: {middle:.2f} pictures/s ({min(found):.2f} to {max(found):.2f})")
    ratio = statistics.median(b / a for a, b in zip(*speeds.values(), strict=True))
    load = os.getloadavg()[0]
    print(f"ratio {ratio:.2f} in the median round; load {load:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
