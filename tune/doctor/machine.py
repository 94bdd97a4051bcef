"""Checks of the machine: Python, GPUs, Ray, W&B, disk, memory and processes."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cluster.machines.machine import this_machine
from tune.doctor.check import Check, Status
from tune.doctor.python import installed_version, try_python
from tune.tracking.connection import connection

LONGEST_TEMP_DIR = 40  # Ray appends up to 66 characters; a Unix socket's path has at most 107

_GB = 10**9

_FORKSERVER = """
import multiprocessing, os
process = multiprocessing.get_context("forkserver").Process(target=os.getpid)
process.start()
process.join(20)
raise SystemExit(process.exitcode != 0)
"""


def check_python(running: tuple[int, int, int]) -> Check:
    """Whether Python's version will do."""
    text = ".".join(map(str, running))
    if running < (3, 11):
        return Check("python", "fail", f"expected 3.11 or later, got {text}", "install Python 3.11")
    return Check("python", "ok", text)


def check_gpus() -> Check:
    """Number of GPUs that this process may see, without asking a framework."""
    gpus = this_machine().gpus
    if gpus:
        return Check("gpu", "ok", f"{gpus} visible")
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None and shutil.which("nvidia-smi"):
        message = f"none visible: CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r}"
        return Check("gpu", "warn", message, "unset CUDA_VISIBLE_DEVICES")
    return Check("gpu", "ok", f"none; training on {this_machine().cpus} CPU cores")


def check_ray(environ: Mapping[str, str], home: Path) -> Check:
    """Whether Ray's token authentication will let a study and a cluster talk to each other.

    Ray writes a token to `~/.ray/auth_token` by itself, but `ray start` and `ray job submit` use
    it only where RAY_AUTH_MODE says so; elsewhere the cluster answers 401.
    """
    mode, address = environ.get("RAY_AUTH_MODE", ""), environ.get("RAY_ADDRESS", "")
    folder = home / ".ray"
    token = environ.get("RAY_AUTH_TOKEN") or (folder / "auth_token").is_file()
    if mode == "disabled":
        message = "token authentication is off: whoever reaches the cluster's ports runs code on it"
        return Check("ray", "warn", message, "export RAY_AUTH_MODE=token")
    if not mode and not _writable(folder):
        message = f"expected to write Ray's token to {folder}, which is not possible"
        return Check("ray", "fail", message, "set HOME to a folder that can be written")
    if address and mode != "token":
        message = f"RAY_ADDRESS={address}, but RAY_AUTH_MODE is not set: the cluster may answer 401"
        return Check("ray", "warn", message, "export RAY_AUTH_MODE=token, here and at `ray start`")
    if mode == "token" and not (token or environ.get("RAY_AUTH_TOKEN_PATH")):
        message = f"RAY_AUTH_MODE=token, but there is no token in {folder / 'auth_token'}"
        return Check("ray", "warn", message, "ray get-auth-token --generate, or copy the cluster's")
    what = f"studies on {address}" if address else "studies on this machine"
    return Check("ray", "ok", f"{installed_version('ray') or 'not installed'}; {what}")


def check_wandb(environ: Mapping[str, str]) -> Check:
    """Whether runs go to a W&B server or are kept for later."""
    found = connection("auto", environ)
    if found.mode == "online":
        return Check("wandb", "ok", "online")
    later = "" if found.mode == "disabled" else "; runs are kept with their trials until synced"
    return Check("wandb", "ok", f"{found.mode}: {found.reason}{later}")


def check_storage(storage: Path, free_bytes: int | None = None) -> Check:
    """Whether studies can be written, and how much room there is.

    Args:
        storage: Folder of the studies, existing or not.
        free_bytes: Room on its disk; default: looked up.
    """
    if not _writable(storage):
        message = f"expected to write to {storage.absolute()}, which is not possible"
        return Check("storage", "fail", message, "set storage in the study file to another folder")
    free = (shutil.disk_usage(_existing(storage)).free if free_bytes is None else free_bytes) / _GB
    message = f"{free:.1f} GB free for {storage.absolute()}"
    if free < 5:
        status: Status = "fail" if free < 1 else "warn"
        return Check("storage", status, message, "free some room: a trial keeps two models")
    return Check("storage", "ok", message)


def check_temp(folder: Path | None = None) -> Check:
    """Whether sockets and scratch files can be made in the temporary folder.

    Args:
        folder: Folder to look at; default: the one Python finds.
    """
    try:
        folder = folder or Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        return Check("temp", "fail", str(error), "set TMPDIR to a folder that can be written")
    if len(str(folder)) > LONGEST_TEMP_DIR:
        message = f"the path {folder} is too long for the sockets that Ray makes below it"
        return Check("temp", "warn", message, "set TMPDIR to a shorter path, such as /tmp")
    return Check("temp", "ok", str(folder))


def check_shared_memory(folder: Path = Path("/dev/shm"), free_bytes: int | None = None) -> Check:
    """Whether Ray and data loaders have the shared memory they need."""
    if not folder.is_dir():
        return Check("shared memory", "ok", f"no {folder}; Ray uses the temporary folder, slower")
    free = (shutil.disk_usage(folder).free if free_bytes is None else free_bytes) / _GB
    if free < 1:
        message = f"{free:.2f} GB free in {folder}; Ray and loader processes need about 1 GB"
        return Check("shared memory", "warn", message, "in Docker: --shm-size=2g")
    return Check("shared memory", "ok", f"{free:.1f} GB free in {folder}")


def check_forkserver() -> Check:
    """Whether a trial's process can be started as trials are."""
    problem = try_python(_FORKSERVER)
    if problem:
        message = f"expected a fork server to start a process, got: {problem}"
        return Check("processes", "fail", message, "set TMPDIR to a folder on a local disk")
    return Check("processes", "ok", "a fork server starts them")


def _existing(folder: Path) -> Path:
    """Find the folder itself, or the nearest one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _writable(folder: Path) -> bool:
    there = _existing(folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
