import os
from pathlib import Path

import pytest

from tune.doctor.machine import (
    check_forkserver,
    check_gpus,
    check_python,
    check_ray,
    check_shared_memory,
    check_storage,
    check_temp,
    check_wandb,
)

GB = 10**9


@pytest.mark.parametrize(("running", "status"), [((3, 10, 14), "fail"), ((3, 13, 0), "ok")])
def test_python_before_3_11_cannot_run_a_study(running: tuple[int, int, int], status: str) -> None:
    assert check_python(running).status == status


def test_gpus_are_counted_without_a_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert check_gpus().message == "2 visible"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "none" in check_gpus().message


@pytest.mark.parametrize(
    ("environ", "status", "said"),
    [
        ({}, "ok", "studies on this machine"),
        ({"RAY_ADDRESS": "10.0.0.5:6379"}, "warn", "may answer 401"),
        ({"RAY_AUTH_MODE": "disabled"}, "warn", "token authentication is off"),
        ({"RAY_AUTH_MODE": "token"}, "warn", "there is no token in"),
        (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t", "RAY_ADDRESS": "10.0.0.5:6379"},
            "ok",
            "studies on 10.0.0.5:6379",
        ),
    ],
)
def test_rays_token_is_judged_by_what_the_cluster_will_answer(
    environ: dict[str, str], status: str, said: str, tmp_path: Path
) -> None:
    check = check_ray(environ, tmp_path)
    assert check.status == status
    assert said in check.message


def test_a_token_on_disk_is_enough(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("t")
    assert check_ray({"RAY_AUTH_MODE": "token"}, tmp_path).status == "ok"


def test_without_a_key_wandb_runs_are_kept(tmp_path: Path) -> None:
    environ = {"NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path)}
    check = check_wandb(environ)
    assert check.status == "ok"
    assert check.message.startswith("offline: no API key")
    assert check.message.endswith("kept with their trials until synced")


def test_wandb_switched_off_is_said() -> None:
    assert check_wandb({"WANDB_MODE": "disabled"}).message == "disabled: switched off"


@pytest.mark.parametrize(
    ("free", "status"), [(100 * GB, "ok"), (3 * GB, "warn"), (GB // 2, "fail")]
)
def test_storage_is_judged_by_the_room_it_has(free: int, status: str, tmp_path: Path) -> None:
    check = check_storage(tmp_path / "not/yet/there", free)
    assert check.status == status
    assert check.message == f"{free / 1e9:.1f} GB free for {tmp_path / 'not/yet/there'}"


def test_a_file_in_the_place_of_the_storage_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("")
    assert check_storage(tmp_path / "studies").status == "fail"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_storage_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert check_storage(tmp_path / "studies").status == "fail"


def test_a_temporary_folder_too_deep_for_sockets_is_warned_about(tmp_path: Path) -> None:
    assert check_temp(Path("/tmp")).status == "ok"
    assert check_temp(tmp_path / ("x" * 60)).status == "warn"


def test_little_shared_memory_is_warned_about(tmp_path: Path) -> None:
    assert check_shared_memory(tmp_path, 64 * 2**20).status == "warn"
    assert check_shared_memory(tmp_path, 2 * GB).status == "ok"
    assert check_shared_memory(tmp_path / "missing").status == "ok"


def test_processes_can_be_started_from_a_fork_server() -> None:
    assert check_forkserver().status == "ok"
