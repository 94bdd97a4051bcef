from pathlib import Path

import pytest

from tests.support.places import ROOT
from tune.doctor.packages import (
    PACKAGES,
    check_opencv,
    check_packages,
    check_requirements,
    check_tested_set,
    opencv_remedy,
)
from tune.doctor.python import installed_version


def _distribution(site: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
    """An installed distribution, as far as its metadata goes."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def test_the_packages_of_this_checkout_are_recognised() -> None:
    (check,) = check_packages()
    assert (check.status, check.message) == ("ok", f"all five in {ROOT}")


def test_a_package_of_the_same_name_from_elsewhere_is_named_with_its_folder() -> None:
    elsewhere = Path("/site-packages/cluster")
    found = {name: ROOT / name for name in PACKAGES} | {"cluster": elsewhere}
    (check,) = check_packages(found.get)
    assert check.status == "fail"
    assert f"expected package cluster beside tune in {ROOT}" in check.message
    assert f"got the one in {elsewhere}" in check.message
    assert check.remedy.startswith("pip uninstall cluster;")


def test_another_projects_distribution_named_tune_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "tune", "0.1.6")
    monkeypatch.syspath_prepend(tmp_path)
    (check,) = check_packages()
    assert check.status == "warn"
    assert check.message.endswith("write into our packages: tune")
    assert check.remedy.startswith("pip uninstall tune;")


def test_requirements_that_are_missing_or_too_old_are_all_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = (
        "numpy>=99",
        "no-such-package>=1.0",
        "packaging>=20",
        'torch>=2; extra == "yolo"',
        'no-such-framework>=3; extra == "unet"',
    )
    _distribution(tmp_path, "segtune", "0.1.0", needs)
    monkeypatch.syspath_prepend(tmp_path)
    *wrong, extras = check_requirements()
    assert [check.status for check in wrong] == ["fail", "fail"]
    assert wrong[0].message == f"expected numpy>=99, got {installed_version('numpy')}"
    assert wrong[1].message == "expected no-such-package>=1.0, got none"
    assert extras.status == "ok"
    assert "not complete: unet (no-such-framework>=3)" in extras.message
    assert extras.remedy == "where needed: pip install 'segtune[unet]'"


def test_requirements_that_are_met_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "segtune", "0.1.0", ("numpy>=1", "pydantic>=2"))
    monkeypatch.syspath_prepend(tmp_path)
    check = check_requirements()[0]
    assert (check.status, check.message) == ("ok", "2 packages")


def test_versions_other_than_the_tested_ones_are_named_with_both(tmp_path: Path) -> None:
    pins = tmp_path / "constraints.txt"
    numpy = installed_version("numpy")
    pins.write_text(f"# tested\nnumpy=={numpy}\npydantic==1.0.0\nnot-installed-here==3.0\n")
    check = check_tested_set(pins)
    assert check.status == "warn"
    assert check.message == f"differs: pydantic {installed_version('pydantic')} (tested 1.0.0)"


def test_no_word_about_the_tested_set_where_it_is_unknown(tmp_path: Path) -> None:
    assert check_tested_set(tmp_path / "constraints.txt").status == "ok"


def test_the_pinned_set_names_every_package_once_with_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    assert pins
    assert all(len(pin) == 2 for pin in pins)
    names = [name for name, _ in pins]
    assert names == sorted(set(names))
    opencv = {version for name, version in pins if name.startswith("opencv")}
    assert len(opencv) == 1  # its distributions write the same files


def test_opencv_can_be_imported_here() -> None:
    assert [check.status for check in check_opencv()] == ["ok"]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("ImportError: libGL.so.1: cannot open shared object file", "apt-get install libgl1"),
        ("libgthread-2.0.so.0: cannot open shared object file", "apt-get install libglib2.0-0"),
        ("libodd.so.7: cannot open shared object file", "the system package that has libodd.so.7"),
        ("No module named 'cv2'", "pip install --force-reinstall opencv-python"),
    ],
)
def test_a_failing_opencv_comes_with_the_package_to_install(error: str, remedy: str) -> None:
    (check,) = check_opencv({"opencv-python": "5.0.0.93"}, error)
    assert check.status == "fail"
    assert error in check.message
    assert check.remedy == opencv_remedy(error)
    assert remedy in check.remedy


def test_two_distributions_of_opencv_at_one_version_are_fine() -> None:
    both = {"opencv-python": "5.0.0.93", "opencv-python-headless": "5.0.0.93"}
    (check,) = check_opencv(both, "")
    assert (check.status, check.message) == (
        "ok",
        "opencv-python and opencv-python-headless can be imported",
    )


def test_two_versions_of_opencv_are_warned_about_with_both() -> None:
    mixed = {"opencv-python": "4.11.0.86", "opencv-python-headless": "5.0.0.93"}
    (check,) = check_opencv(mixed, "")
    assert check.status == "warn"
    assert "got opencv-python 4.11.0.86, opencv-python-headless 5.0.0.93" in check.message
    assert check.remedy.endswith(
        "pip install opencv-python==5.0.0.93 opencv-python-headless==5.0.0.93"
    )
