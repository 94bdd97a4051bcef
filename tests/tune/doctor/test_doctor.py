import time

from tune.doctor.doctor import check_all


def test_a_machine_that_runs_these_tests_can_run_a_study() -> None:
    started = time.monotonic()
    checks = check_all()
    assert time.monotonic() - started < 10
    assert [check.line() for check in checks if check.status == "fail"] == []
    assert {check.name for check in checks} >= {
        "python",
        "packages",
        "requirements",
        "opencv",
        "torch",
        "gpu",
        "ray",
        "wandb",
        "storage",
        "temp",
        "processes",
    }


def test_every_check_that_is_not_ok_says_what_to_do() -> None:
    assert all(check.remedy for check in check_all() if check.status != "ok")
