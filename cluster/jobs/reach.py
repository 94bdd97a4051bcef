"""The modules that a job reaches: those it begins with, and all that these import.

What nobody imports stays at home. A module is reached, too, where its whole name stands as a text,
as in `python -m`, so a job's own text of a name is a promise that the module is there.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


def reached(modules: Mapping[str, Path], roots: Sequence[str]) -> set[str]:
    """Names of the modules that are imported, at their top or later, beginning with some.

    Args:
        modules: File of each module by its name; a package's is its `__init__.py`.
        roots: Modules to begin with; of a package all modules.
    """
    found, waiting = set[str](), [m for m in modules if f"{m}.".startswith(_dotted(roots))]
    while waiting:
        module = waiting.pop()
        if module in found or module not in modules:
            continue
        found.add(module)
        waiting += _named(ast.parse(modules[module].read_bytes()))
        waiting.append(module.rpartition(".")[0])
    return found


def _dotted(roots: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{root}." for root in roots)


def _named(node: ast.AST) -> Iterator[str]:
    """Whatever a piece of code names that may be a module."""
    if isinstance(node, ast.If) and _is_of_types(node.test):
        return
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for inner in ast.iter_child_nodes(node):
        yield from _named(inner)


def _is_of_types(test: ast.expr) -> bool:
    """Whether a condition holds for type checkers alone."""
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
