"""The code that travels with a job: what it imports, so that nothing else ever does.

The same tree gives the same bytes: files are sorted and have one time, so a cluster that has the
package already is not sent it again.
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cluster.errors import JobError
from cluster.jobs.reach import reached

FOLDERS: Final = ("analysis", "cluster", "search_spaces", "trainables", "tune")

_BESIDE: Final = frozenset((".html", ".md", ".css", ".js", ".yaml"))
"""Suffixes of files that travel with the package of code in whose folder they lie."""

CONSTRAINTS: Final = "constraints.txt"

MOST_BYTES: Final = 2**20

_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold


@dataclass(frozen=True)
class Package:
    """A package on this machine's disk.

    Attributes:
        path: The zip.
        sizes: Bytes of each file as it travels, by its name in the package.
    """

    path: Path
    sizes: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of the zip."""
        return self.path.stat().st_size

    def line(self) -> str:
        """What travels, in a line."""
        return f"package: {self.size / 1000:.0f} kB, {len(self.sizes)} files; {self._largest()}"

    def _largest(self) -> str:
        ordered = sorted(self.sizes.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{name} {size / 1000:.1f} kB" for name, size in ordered[:5])
        return f"largest: {named}"


@contextmanager
def packed(
    files: Mapping[str, bytes], roots: Sequence[str] = FOLDERS, root: Path | None = None
) -> Iterator[Package]:
    """A package of code and some files more, which is removed after the block.

    Args:
        files: Content of each further file by its name in the package.
        roots: Modules that the job begins with, and packages that it needs whole.
        root: Folder that holds the packages of the code; default: where this one lies.

    Raises:
        JobError: It is larger than what may travel.
    """
    root = root or Path(__file__).parents[2]
    content = {name: path.read_bytes() for name, path in _code(root, roots)} | _distribution()
    content |= files
    with tempfile.TemporaryDirectory(prefix="segtune-package-") as folder:
        package = Package(path := Path(folder) / "segtune.zip", _write(path, content))
        if package.size > MOST_BYTES:
            raise JobError(
                f"{root}: expected a package of at most {MOST_BYTES // 1000} kB, got "
                f"{package.line()}"
            )
        yield package


def content_hash(files: Mapping[str, bytes]) -> str:
    """Hash of files by their names and bytes."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{len(files[name])}\0".encode())
        total.update(files[name])
    return total.hexdigest()[:16]


def _code(root: Path, roots: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Files that travel, each with its name in the package."""
    there = {path.relative_to(root): path for folder in FOLDERS for path in _visible(root / folder)}
    modules = {_module(inside): path for inside, path in there.items() if inside.suffix == ".py"}
    travelling = reached(modules, roots)
    for inside, path in there.items():
        owner = _module(inside) if inside.suffix == ".py" else _package(inside, modules)
        if owner in travelling:
            yield inside.as_posix(), path
    if (root / CONSTRAINTS).is_file():
        yield CONSTRAINTS, root / CONSTRAINTS


def _visible(folder: Path) -> Iterator[Path]:
    """Files of a folder that are code, or lie beside it to be read."""
    for path in sorted(folder.rglob("*")):
        hidden = any(p.startswith((".", "__pycache__")) for p in path.relative_to(folder).parts)
        if path.suffix in _BESIDE | {".py"} and path.is_file() and not hidden:
            yield path


def _module(inside: Path) -> str:
    """Name of the module that a file is."""
    return ".".join(inside.with_suffix("").parts).removesuffix(".__init__")


def _package(inside: Path, modules: Mapping[str, Path]) -> str:
    """The innermost package of code in whose folder a file lies."""
    folders = (".".join(folder.parts) for folder in inside.parents)
    return next((folder for folder in folders if folder in modules), "")


def _distribution() -> dict[str, bytes]:
    """What tells a node's Python which version of segtune this is; nothing is installed there."""
    release = version("segtune")
    text = f"Metadata-Version: 2.1\nName: segtune\nVersion: {release}\n"
    return {f"segtune-{release}.dist-info/METADATA": text.encode()}


def _write(path: Path, content: Mapping[str, bytes]) -> dict[str, int]:
    sizes = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content[name])
            sizes[name] = archive.getinfo(name).compress_size
    return sizes
