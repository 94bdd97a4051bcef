"""The first part of a graph: grey levels brought to a network's size and colours, as PyTorch does.

`Resize` of ONNX computes the places between pixels in another order than PyTorch, which moves them
by some 1e-5 px and a find's score by more than is allowed. Here each place is computed as in
PyTorch: a single-precision scale, multiplied and shifted with one rounding.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PICTURE, SIDES = "picture", "sides"
"""Outputs: the scaled picture float32 (B, 3, h, w), and width, height, width, height of what was
given, float32 (4,)."""


@dataclass(frozen=True)
class Scaling:
    """How a torchvision detector brings pictures to its size.

    Attributes:
        shorter_px: Length of the shorter side.
        longest_px: Longest that the longer side may get.
        fixed: Height and width of every picture instead, or None.
        mean: Means of red, green and blue of values in 0 to 1, which are subtracted.
        deviation: What is divided by after that.
    """

    shorter_px: int
    longest_px: int
    fixed: tuple[int, int] | None
    mean: Sequence[float]
    deviation: Sequence[float]

    def model(self, opset: int, ir_version: int) -> Any:
        """The part as an `onnx.ModelProto` with the input `image` uint8 (B, 3, H, W)."""
        lines = [
            "given = Shape<start = 2, end = 4>(image)",
            *self._target(),
            "zero = Constant<value = int64 {0}>()",
            "one = Constant<value = int64 {1}>()",
            "half = Constant<value = double {0.5}>()",
            "none = Constant<value = float {0}>()",
            *_places("row", 0),
            *_places("column", 1),
            "down = Constant<value = int64[2] {-1, 1}>()",
            "row_share = Reshape(row_part, down)",
            "row_rest = Sub(unit, row_share)",
            "column_rest = Sub(unit, column_part)",
            *_between("upper", "row_low"),
            *_between("lower", "row_high"),
            "upper_part = Mul(upper, row_rest)",
            "lower_part = Mul(lower, row_share)",
            "grey = Add(upper_part, lower_part)",
            "most = Constant<value = float {255}>()",
            "level = Div(grey, most)",
            f"mean = Constant<value = float[3,1,1] {_values(self.mean)}>()",
            f"deviation = Constant<value = float[3,1,1] {_values(self.deviation)}>()",
            "centred = Sub(level, mean)",
            f"{PICTURE} = Div(centred, deviation)",
            "across_down = Constant<value = int64[4] {1, 0, 1, 0}>()",
            "ordered = Gather(given, across_down)",
            f"{SIDES} = Cast<to = 1>(ordered)",
        ]
        parser = importlib.import_module("onnx.parser")
        head = (
            f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>\n'
            "scaling (uint8[batch, 3, height, width] image) => "
            f"(float[batch, 3, rows, columns] {PICTURE}, float[4] {SIDES})\n"
        )
        return parser.parse_model(head + "{\n" + "\n".join(lines) + "\n}")

    def _target(self) -> list[str]:
        """Lines of the height and width (2,) that a picture is brought to."""
        if self.fixed is not None:
            return [
                f"target = Constant<value = int64[2] {_values(self.fixed)}>()",
                "unit = Constant<value = float {1}>()",
            ]
        return [
            "lengths = Cast<to = 11>(given)",
            "shorter = ReduceMin<keepdims = 0>(lengths)",
            "longer = ReduceMax<keepdims = 0>(lengths)",
            f"wanted = Constant<value = double {{{float(self.shorter_px)}}}>()",
            f"allowed = Constant<value = double {{{float(self.longest_px)}}}>()",
            "by_shorter = Div(wanted, shorter)",
            "by_longer = Div(allowed, longer)",
            "factor = Min(by_shorter, by_longer)",
            "exact = Mul(lengths, factor)",
            "target = Cast<to = 7>(exact)",
            "unit = Constant<value = float {1}>()",
        ]


def _values(values: Sequence[float]) -> str:
    return "{" + ", ".join(repr(value) for value in values) + "}"


def _places(name: str, axis: int) -> list[str]:
    """Lines of the two pixels that each new row (or column) lies between, and how far."""
    return [
        f"{name}_axis = Constant<value = int64 {{{axis}}}>()",
        f"{name}_given = Gather(given, {name}_axis)",
        f"{name}_n = Gather(target, {name}_axis)",
        f"{name}_from = Cast<to = 1>({name}_given)",
        f"{name}_to = Cast<to = 1>({name}_n)",
        f"{name}_scale = Div({name}_from, {name}_to)",
        f"{name}_exact = Cast<to = 11>({name}_scale)",
        f"{name}_index = Range(zero, {name}_n, one)",
        f"{name}_start = Cast<to = 11>({name}_index)",
        f"{name}_middle = Add({name}_start, half)",
        f"{name}_there = Mul({name}_middle, {name}_exact)",
        f"{name}_shifted = Sub({name}_there, half)",
        f"{name}_single = Cast<to = 1>({name}_shifted)",
        f"{name}_place = Max({name}_single, none)",
        f"{name}_whole = Cast<to = 7>({name}_place)",
        f"{name}_last = Sub({name}_given, one)",
        f"{name}_low = Min({name}_whole, {name}_last)",
        f"{name}_next = Add({name}_low, one)",
        f"{name}_high = Min({name}_next, {name}_last)",
        f"{name}_floor = Cast<to = 1>({name}_low)",
        f"{name}_over = Sub({name}_place, {name}_floor)",
        f"{name}_part = Min({name}_over, unit)",
    ]


def _between(name: str, rows: str) -> list[str]:
    """Lines of the grey levels between the columns of some rows."""
    return [
        f"{name}_rows = Gather<axis = 2>(image, {rows})",
        f"{name}_left = Gather<axis = 3>({name}_rows, column_low)",
        f"{name}_right = Gather<axis = 3>({name}_rows, column_high)",
        f"{name}_from_left = Cast<to = 1>({name}_left)",
        f"{name}_from_right = Cast<to = 1>({name}_right)",
        f"{name}_left_part = Mul({name}_from_left, column_rest)",
        f"{name}_right_part = Mul({name}_from_right, column_part)",
        f"{name} = Add({name}_left_part, {name}_right_part)",
    ]
