"""Fixtures for all tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("segtune", derandomize=True, deadline=None)
settings.load_profile("segtune")  # the same cases everywhere; a slow machine is no failure

os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a busy machine exceeds Ray's 30 s

RAM = Path("/dev/shm")


@pytest.fixture
def ram_path() -> Iterator[Path]:
    """A temporary folder in memory where there is one, as a journal waits for the disk."""
    path = Path(tempfile.mkdtemp(prefix="segtune-test-", dir=RAM if RAM.is_dir() else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def session_ram_path() -> Iterator[Path]:
    """As `ram_path`, for all tests together."""
    path = Path(tempfile.mkdtemp(prefix="segtune-test-", dir=RAM if RAM.is_dir() else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a bucket of the module's own, at a real emulator."""
    from tests.support.servers.bucket_server import bucket_server  # the client takes its time

    with bucket_server() as address:
        yield address
