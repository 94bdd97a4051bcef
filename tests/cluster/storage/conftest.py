"""Fixtures for tests of what is kept in a folder or in a bucket."""

from pathlib import Path

import pytest


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind, with nothing in it."""
    if request.param == "folder":
        return str(tmp_path / "place")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
