"""Reading a study file: YAML with line numbers, and `--set` overrides.

YAML here is YAML 1.2's core schema: `1e-5` is a number, `on` and `no` are texts, `010` is ten.
(PyYAML alone follows YAML 1.1, where they are a text, booleans and eight.) Keys given twice are
refused, where PyYAML silently takes the second.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from search_spaces.names import nearest_file
from tune.errors import StudyError
from tune.study.problems import Problem

PATH_KEYS: Final = ("data", "storage")
"""Keys that hold a path: relative to the study file's folder; with --set, to where one is."""

FILE_KEYS: Final = ("fixed", "search_space", "warm_start", "scale")
"""Keys in which the name of a file beside the study file, such as weights, means that file."""

SHORTHAND: Final = {"search_space": "preset", "scheduler": "kind", "plateau": "kind"}
"""Keys that take a text for a mapping with just this key."""

UNWRITTEN: Final = {"search_space": {"preset": "default"}}
"""Mappings that keys stand for where a file does not have them: `--set` adds to these."""

_RESOLVERS: Final = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core schema, text keys only."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as PyYAML types it


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back; nothing is shared by reference."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as PyYAML types it

    def ignore_aliases(self, data: Any) -> bool:
        """Never write anchors."""
        del data
        return True


for _tag, (_pattern, _first) in _RESOLVERS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}",
            re.compile(f"^(?:{_pattern})$"),
            ["" if character == "\0" else character for character in _first],
        )


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


@dataclass
class Written:
    """Content of a study file and its overrides, with the place of each key.

    Attributes:
        name: The file as the user named it.
        folder: Folder of the file, absolute; links are followed.
        values: Values by top-level key; all keys are texts.
        places: Place of each key in the file, by dotted key: "line 4" or "--set".
        problems: Mistakes in the text itself.
        what: What the file should hold, for messages.
    """

    name: str
    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    what: str = "study"

    def beside(self) -> "Written":
        """An empty content that shares this one's problems: for a value from elsewhere."""
        return Written(self.name, self.folder, problems=self.problems, what=self.what)


def read_study_file(path: Path, overrides: Sequence[str] = ()) -> Written:
    """Read a study file and apply `key=value` overrides; paths become absolute.

    Raises:
        StudyError: There is no such file, or it is no YAML mapping.
    """
    return read_yaml_file(path, overrides, "study")


def read_yaml_file(path: Path | None, overrides: Sequence[str], what: str) -> Written:
    """Read a YAML file of settings and apply `key=value` overrides, as a study file's.

    Args:
        path: The file; None for overrides alone.
        overrides: They replace values of the file.
        what: What the file should hold: "study".

    Raises:
        StudyError: There is no such file, or it is no YAML mapping.
    """
    folder = Path.cwd() if path is None else path.resolve().parent
    written = Written(what if path is None else str(path), folder, what=what)
    if path is not None:
        values = _Reader(written).read(_text(path, what))
        written.values = {key: _located(key, value, folder) for key, value in values.items()}
    for override in overrides:
        _override(written, override)
    return written


def write_yaml(values: Mapping[str, Any]) -> str:
    """Text that reads back as `values`."""
    text: str = yaml.dump(
        dict(values),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
    return text


def _text(path: Path, what: str) -> str:
    if path.is_dir():
        raise StudyError(f"{path}: expected a {what} file (YAML), got a folder{_files(path)}")
    if not path.exists():
        raise StudyError(f"{path}: expected a {what} file (YAML), found none{_near(path)}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path}: expected text in UTF-8, got another encoding (byte {error.start}); "
            "save it as UTF-8"
        ) from error
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error


def _files(folder: Path) -> str:
    found = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    return f"; did you mean {found[0]}?" if found else ""


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    names = [p.name for p in path.parent.iterdir() if p.suffix in {".yaml", ".yml"}]
    return nearest_file(path.name, names, path.parent)


def _located(key: str, value: Any, folder: Path) -> Any:
    """A value with its relative paths made absolute, below `folder`."""
    if key in PATH_KEYS and isinstance(value, str) and value and "://" not in value:
        return _absolute(value, folder)
    return _located_files(value, folder) if key.split(".")[0] in FILE_KEYS else value


def _absolute(path: str, folder: Path) -> str:
    """A path below `folder` made absolute; as it is where no file can have that name."""
    try:
        return str((folder / Path(path).expanduser()).resolve())
    except (RuntimeError, ValueError):  # of an unknown user's home, or with a character like NUL
        return path


def _located_files(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {name: _located_files(item, folder) for name, item in value.items()}
    if isinstance(value, list):
        return [_located_files(item, folder) for item in value]
    if isinstance(value, str) and Path(value).suffix and (folder / value).is_file():
        return str((folder / value).resolve())
    return value


# --- the file
class _Reader:
    """Turns YAML nodes into values, keeping lines and finding keys given twice."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._loader = _Loader("")
        self._open: list[yaml.Node] = []

    def read(self, text: str) -> dict[str, Any]:
        """The file's mapping.

        Raises:
            StudyError: The text is no YAML, or not a mapping.
        """
        name, what = self._written.name, self._written.what
        expected = f"expected a {what} (a mapping of keys to values)"
        example = f". {_EXAMPLE}" if what == "study" else ""
        try:
            value = self.value(text)
        except yaml.YAMLError as error:
            raise StudyError(f"{name}: {_syntax(error)}") from error
        except RecursionError as error:
            raise StudyError(f"{name}: expected a {what} file, got too deep a nesting") from error
        if value is None:
            raise StudyError(f"{name}: {expected}, got an empty file{example}")
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else f"{value!r:.60}"
            raise StudyError(f"{name}: {expected}, got {kind}{example}")
        return value

    def value(self, text: str) -> Any:
        """The value that a YAML text holds.

        Raises:
            yaml.YAMLError: It is no YAML.
        """
        node = yaml.compose(text, Loader=_Loader)
        return None if node is None else self._value(node, "")

    def _value(self, node: yaml.Node, key: str) -> Any:
        if any(node is outer for outer in self._open):
            raise yaml.MarkedYAMLError(
                problem="an alias refers to what it is part of", problem_mark=node.start_mark
            )
        self._open.append(node)
        try:
            return self._content(node, key)
        finally:
            self._open.pop()

    def _content(self, node: yaml.Node, key: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, _join(key, str(i))) for i, item in enumerate(node.value)]
        return self._loader.construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = _join(key, str(name_node.value))
            line = f"line {name_node.start_mark.line + 1}"
            if name_node.value in values:
                self._written.problems.append(
                    Problem(
                        name,
                        f"expected every key once, got it again ({line}, first "
                        f"{self._written.places[name]}); remove one",
                    )
                )
            self._written.places.setdefault(name, line)
            values[str(name_node.value)] = self._value(value_node, name)
        return values


_EXAMPLE: Final = (
    "It needs at least study, data, trainable and budget, such as `study: my-study`; "
    "`segtune schema` lists all keys"
)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _syntax(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    said = (getattr(error, "context", None), getattr(error, "problem", None))
    problem = ", ".join(text for text in said if text) or str(error)
    if mark is None:
        return f"expected YAML, got something else: {problem}"
    line = (mark.buffer or "").rstrip("\0").splitlines()
    got = f", got {line[mark.line].strip()!r}" if mark.line < len(line) else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: expected YAML{got}: {problem}"


# --- overrides
def _override(written: Written, override: str) -> None:
    """Apply one `a.b=value`."""
    key, equals, text = override.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        written.problems.append(
            Problem("", f"--set {override}: expected KEY=VALUE such as budget.trials=8")
        )
        return
    try:
        value = _Reader(written.beside()).value(text)
        _put(written.values, keys, _located(".".join(keys), value, Path.cwd()))
    except yaml.YAMLError as error:
        written.problems.append(Problem("", f"--set {override}: {_syntax(error)}"))
    except IndexError as error:
        written.problems.append(Problem("", f"--set {override}: {error}"))
    written.places = {
        name: place for name, place in written.places.items() if not name.startswith(f"{key}.")
    } | {key: "--set"}


def _put(values: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set `value` at the end of `keys`; what is not there, or no mapping, becomes one.

    Raises:
        IndexError: A list has no such item.
    """
    *parents, last = keys
    holder: Any = values
    for parent in parents:
        holder = _child(holder, parent)
    holder[_index(holder, last)] = value


def _child(holder: Any, name: str) -> Any:
    """The value at `name` if it can hold keys, else a new mapping put there."""
    index = _index(holder, name)
    found = holder[index] if isinstance(holder, list) else holder.get(index)
    if not isinstance(found, dict | list):
        short = isinstance(found, str) and name in SHORTHAND
        begun = {SHORTHAND[name]: found} if short else UNWRITTEN.get(name, {})
        found = holder[index] = dict(begun)
    return found


def _index(holder: Any, name: str) -> Any:
    if not isinstance(holder, list):
        return name
    if not name.isdigit() or int(name) >= len(holder):
        raise IndexError(f"expected an item from 0 to {len(holder) - 1} of the list, got {name}")
    return int(name)
