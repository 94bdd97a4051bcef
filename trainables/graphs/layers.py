"""Layers of a graph, and which of them are its predictors: those that no further layer follows.

What a predictor says of a place (a score, a box, a mask's weights) is worth more digits than the
features that it is made of. It is told from a graph alone, whichever engine wrote it: the way of
the features is followed from layer to layer. It ends where values only say where or which: where
they are sorted, compared or suppressed, choose a region or a row, or are probabilities of classes.
So the proposals of a two-stage detector are predictions, though a second stage looks where they
say.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

LAYERS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with weights, as their second input."""

_CHOOSING: Final[Mapping[str, frozenset[int]]] = {
    "Expand": frozenset({1}),
    "Gather": frozenset({1}),
    "GatherElements": frozenset({1}),
    "GatherND": frozenset({1}),
    "NonMaxSuppression": frozenset(range(5)),
    "Pad": frozenset({1, 2, 3}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({1, 2, 3}),
    "RoiAlign": frozenset({1, 2}),
    "ScatterND": frozenset({1}),
    "Shape": frozenset({0}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Softmax": frozenset({0}),
    "TopK": frozenset({0, 1}),
    "Where": frozenset({0}),
}
"""Inputs of operators that are no features of what comes out of them."""

_LIGHT: Final = (
    "Add",
    "Clip",
    "Concat",
    "MaxPool",
    "Mul",
    "Relu",
    "Resize",
    "Sigmoid",
    "Split",
)
"""Operators without weights that work on integers, too."""


@dataclass(frozen=True)
class Layers:
    """The layers of a graph.

    Attributes:
        inner: Nodes of those that another layer follows, by name.
        between: Nodes between these that can take integers from them or from each other alone: what
            also takes floats, as in a norm, would only have them rounded.
        predictors: Weights of the layers that none follows.
    """

    inner: tuple[str, ...]
    between: tuple[str, ...]
    predictors: tuple[str, ...]


def layers_of(graph: Any) -> Layers:
    """The layers of an `onnx.GraphProto`, whose nodes stand in the order of their use."""
    constant = _constants(graph)
    weighted = _weighted(graph, constant)
    followed = _followed(graph.node, weighted)
    integers: set[str] = set()
    inner: list[str] = []
    between: list[str] = []
    predictors: dict[str, None] = {}
    for node, layer, before in zip(graph.node, weighted, followed, strict=True):
        if layer and not before:
            predictors[node.input[1]] = None
            continue
        given = [name for name in _features(node) if name not in constant]
        light = node.op_type in _LIGHT and before and integers.issuperset(given)
        if layer or light:
            (inner if layer else between).append(node.name)
            integers.update(node.output)
    return Layers(tuple(inner), tuple(between), tuple(predictors))


def _constants(graph: Any) -> set[str]:
    made = (name for node in graph.node if node.op_type == "Constant" for name in node.output)
    return {weights.name for weights in graph.initializer} | set(made)


def _weighted(graph: Any, constant: Set[str]) -> list[bool]:
    """Whether each node is a layer."""
    return [
        node.op_type in LAYERS and len(node.input) > 1 and node.input[1] in constant
        for node in graph.node
    ]


def _followed(nodes: Sequence[Any], weighted: Sequence[bool]) -> list[bool]:
    """Whether a layer comes after each node, on the way of the features."""
    users = defaultdict(list)
    for number, node in enumerate(nodes):
        for name in _features(node):
            users[name].append(number)
    followed = [False] * len(nodes)
    for number in reversed(range(len(nodes))):
        after = [user for name in nodes[number].output for user in users[name]]
        followed[number] = any(weighted[user] or followed[user] for user in after)
    return followed


def _features(node: Any) -> Iterator[str]:
    """Inputs of a node whose values its output is made of."""
    apart = _CHOOSING.get(node.op_type, frozenset())
    return (name for place, name in enumerate(node.input) if name and place not in apart)
