"""Files spoilt at random, as accidents and other programs spoil them."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, Final

VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -3.7, 1e8, -1e8, 1e300, -1e300),
    *(float("nan"), float("inf"), -float("inf"), 10**30, -(10**400), 2**31, 2**63),
    *("", " ", "x", "nan", "-1", "1e8", "0x1f", "Größe", "\0", "\ud800", "a" * 5000),
    *("../../etc/passwd", "/etc/passwd", "C:\\a\\p0.png", "p0.png", "p1.png", "p0.png_p7"),
    *([], {}, [[]], [None], [1], [1, 2], [[1, 2]], ["x"], {"x": 1}, {"id": []}),
    *([[1, 2], [3]], [1e8] * 6, [[0, 0], [1e8, 0], [1e8, 1e8]], {"size": [48, 64], "counts": "Z"}),
    *({"size": [-1, 9], "counts": [9]}, {"size": [48, 64], "counts": 10**12}),
)

WORDS: Final = (
    *("", "0", "-1", "1", "0.5", "1e8", "-1e8", "1e999", "nan", "inf", "-inf", "9" * 400, "x"),
    *("\0", ";", ",", "\t", '"', "'", "#", "[", "{", "<", ">", "&a;", ":", "- ", "!!int x", "*a"),
    *("loop_", "data_", "_rlnCoordinateX", "p0.png", "../p0.png", "=1+1", "Größe", "\ufeff"),
)

HEADS: Final = (b"", b"\0" * 64, b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"{")

TEXTS: Final = frozenset(
    {".json", ".geojson", ".txt", ".csv", ".star", ".box", ".yaml", ".xml", ".names"}
)


def spoil(folder: Path, random: Random) -> None:
    """Spoil one or two of the files of a folder."""
    for _ in range(random.choice((1, 1, 2))):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        texts = [path for path in files if path.suffix in TEXTS]
        spoilers = [(_as_document, 6), (_as_text, 3), (_as_bytes, 2), (_as_file, 1)]
        (spoiler,) = random.choices([s for s, _ in spoilers], [weight for _, weight in spoilers])
        pool = texts if texts and spoiler in (_as_document, _as_text) else files
        if pool:
            spoiler(random.choice(pool), random)


def _as_document(path: Path, random: Random) -> None:
    """Change values of a JSON file, whatever they are; of another file, words."""
    if path.suffix not in (".json", ".geojson"):
        return _as_text(path, random)
    try:
        document = json.loads(path.read_text())
    except ValueError:
        return _as_bytes(path, random)
    for _ in range(random.randint(1, 3)):
        document = _changed(document, random)
    text = json.dumps(document, ensure_ascii=random.random() < 0.8)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return None


def _changed(node: Any, random: Random) -> Any:
    """A document with one of its nodes replaced, dropped or doubled; the deeper, the likelier."""
    inner = isinstance(node, dict | list) and len(node) > 0
    if not inner or random.random() < 0.1:
        return _nested(random) if random.random() < 0.05 else deepcopy(random.choice(VALUES))
    key = random.choice(sorted(node) if isinstance(node, dict) else range(len(node)))
    act = random.random()
    if act < 0.1:
        del node[key]
    elif act < 0.2 and isinstance(node, list):
        node.append(deepcopy(node[key]))
    else:
        node[key] = _changed(node[key], random)
    return node


def _nested(random: Random) -> Any:
    value: Any = 1
    for _ in range(random.choice((3, 40, 300))):
        value = [value] if random.random() < 0.5 else {"points": value}
    return value


def _as_text(path: Path, random: Random) -> None:
    """Change words and lines."""
    lines = path.read_bytes().decode("utf-8", "replace").splitlines(keepends=True)
    for _ in range(random.randint(1, 4)):
        if not lines:
            break
        at = random.randrange(len(lines))
        act = random.random()
        if act < 0.15:
            del lines[at]
        elif act < 0.3:
            lines.insert(at, lines[random.randrange(len(lines))])
        else:
            separator = "," if "," in lines[at] else " "
            words = lines[at].split(separator)
            words[random.randrange(len(words))] = random.choice(WORDS)
            lines[at] = separator.join(words)
    path.write_bytes("".join(lines).encode("utf-8", "surrogatepass"))


def _as_bytes(path: Path, random: Random) -> None:
    """Cut a file, change its bytes, or write it in another encoding."""
    data = bytearray(path.read_bytes())
    act = random.random()
    if act < 0.3:
        del data[random.randrange(len(data) + 1) :]
    elif act < 0.6 and data:
        for _ in range(random.choice((1, 3, 50))):
            data[random.randrange(len(data))] = random.randrange(256)
    elif act < 0.8:
        encoding = random.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "cp037"))
        data = bytearray(data.decode("latin-1").encode(encoding, "replace"))
    else:
        data = bytearray(
            random.choice((b"", b"\0" * 64, b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"{"))
        )
    path.write_bytes(data)


def _as_file(path: Path, random: Random) -> None:
    """Put something else where a file was."""
    act = random.randrange(6)
    other = path.with_name(random.choice(("p1.png", "other.png", "Größe.json", "b.txt")))
    if act == 0:
        path.unlink()
    elif act == 1:
        path.unlink()
        path.mkdir()
    elif act == 2:
        path.unlink()
        path.symlink_to("/etc/passwd")
    elif act == 3:
        path.unlink()
        path.symlink_to("nowhere")
    elif not other.exists():
        (path.rename if act == 4 else lambda to: shutil.copy(path, to))(other)
