"""Pictures per second of an ONNX file against its model in PyTorch, and in 8 bits, on one core.

    python benchmarks/onnx_speed.py STUDY DATA [--pictures 8] [--rounds 5] [--bfloat16]

STUDY was exported (`segtune export STUDY --form onnx`, and with `--int8` where that is to be
compared). All find instances, or map particles, in the same validation pictures, one at a time and
in turns, all that leads from grey levels to masks included; the files alone, which take pictures of
their size, are timed, too, and with `--bfloat16` the model in PyTorch under autocast. The first
round warms up and does not count. The median of the rounds is told with the slowest and the fastest
one, in processor time, and how busy the machine was meanwhile.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import torch

from analysis.int8.export import INT8_FOLDER
from analysis.int8.speed import alone, rates, ratio, this_cpu, whole
from analysis.models.find import find_model, load_model
from analysis.models.onnx import ONNX_FOLDER
from trainables.contract import Device
from trainables.datasets.prepared import PreparedDataset
from trainables.onnx.manifest import MODEL_ONNX

ONE = Device("cpu", cpus=1)


def rounded(find: Callable[[int], object]) -> Callable[[int], object]:
    """The same with the layers of PyTorch in bfloat16."""

    def found(number: int) -> object:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return find(number)

    return found


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true")
    asked = parser.parse_args()
    data = PreparedDataset.load(asked.data)
    records = data.images("val")
    pictures = [data.read(records[k % len(records)]) for k in range(asked.pictures)]
    places = {"PyTorch": asked.study, "ONNX Runtime": asked.study / ONNX_FOLDER}
    if (asked.study / INT8_FOLDER).is_dir():
        places["int8"] = asked.study / INT8_FOLDER
    finds: dict[str, Callable[[int], object]] = {
        name: whole(load_model(find_model(place), ONE), pictures) for name, place in places.items()
    }
    if asked.bfloat16:
        finds["PyTorch, bfloat16"] = rounded(finds["PyTorch"])
    for name in list(places)[1:]:
        finds[f"{name}, the file alone"] = alone(places[name] / MODEL_ONNX, pictures)
    speeds = dict(zip(finds, rates(list(finds.values()), len(pictures), asked.rounds), strict=True))
    for name, found in speeds.items():
        middle = statistics.median(found)
        print(f"{name}: {middle:.2f} pictures/s ({min(found):.2f} to {max(found):.2f})")
    pairs = [("PyTorch", name) for name in ("PyTorch, bfloat16", "ONNX Runtime", "int8")]
    pairs.append(("ONNX Runtime", "int8"))
    pairs.append(("ONNX Runtime, the file alone", "int8, the file alone"))
    for slow, fast in pairs:
        if fast in speeds:
            print(f"{fast} over {slow}: ratio {ratio(speeds[slow], speeds[fast]):.2f}")
    print(f"{this_cpu()}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
