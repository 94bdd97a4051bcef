"""A Python that has Ray and what Ray itself needs, and nothing of what segtune needs."""

import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


def bare_python(folder: Path) -> Path:
    """Make such a Python of the packages that are installed here; returns its executable."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*")) / "site-packages"
    for name in _needed("ray"):
        _link(name, site)
    return python


def _needed(name: str) -> set[str]:
    """A package, and all that it needs where it is installed without extras."""
    found, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        try:
            required = distribution(one).requires or []
        except PackageNotFoundError:
            continue  # one for another Python or system
        found.add(one)
        for line in required:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _link(name: str, site: Path) -> None:
    """Have what a package installed in another folder of packages, too."""
    made = distribution(name)
    for top in {file.parts[0] for file in made.files or () if file.parts[0] != ".."}:
        there, link = Path(str(made.locate_file(top))), site / top
        if there.exists() and not link.exists():
            link.symlink_to(there)
