"""A data set in a bucket: planned without its pictures, and brought once to a machine, whole."""

import hashlib
import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from cluster.errors import StorageError
from cluster.jobs.cluster import Cluster
from cluster.storage.copying import send
from cluster.storage.files import head_of
from cluster.storage.opening import open_files
from tests.support.discs import prepare_discs
from tests.support.servers.bucket_server import counted_gets
from tests.support.study_samples import write_study
from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import (
    SPLITS,
    ChangedDataError,
    DatasetError,
    PreparedDataset,
    check_trainable,
)
from trainables.goal import Goal
from tune.best.store import BestStore
from tune.best.table import used_lines
from tune.cli.main import main
from tune.datasets.copies import bring, copy_of, fetch_line
from tune.datasets.opening import data_here, open_data, whole_data
from tune.errors import StudyError
from tune.plan.planning import plan_file
from tune.plan.resolved import resolved, to_yaml
from tune.remote.shipping import ship, shipment_of
from tune.trial.messages import Ended, HandedOver, Noted, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import TrialTask

PICTURES = 8


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"), PICTURES)


@pytest.fixture
def address(bucket: str, discs: PreparedDataset, tmp_path: Path) -> str:
    place = f"{bucket}/{tmp_path.name}"
    send(discs.root, open_files(place))
    return place


@pytest.fixture(autouse=True)
def came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file came from the bucket, to a machine that has nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return counted_gets(monkeypatch)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures(counted: Counter[str]) -> list[int]:
    return [n for name, n in counted.items() if name.endswith(".png")]


def test_it_is_planned_without_its_pictures_and_says_how_much_will_come(
    address: str, discs: PreparedDataset, came: Counter[str], tmp_path: Path
) -> None:
    plan = plan_file(write_study(tmp_path, data=address))
    assert plan.data.fingerprint == discs.fingerprint
    assert pictures(came) == []
    assert f"data: {address}\n" in to_yaml(plan)
    assert resolved(plan)["data"] == address
    size = sum(p.stat().st_size for p in (discs.root / "images").iterdir()) / 1e6
    assert f"{PICTURES} pictures, {size:.1f} MB, once" in fetch_line(plan.data, address)


def test_it_comes_whole_and_once(address: str, discs: PreparedDataset, came: Counter[str]) -> None:
    ticks: list[tuple[int, int]] = []
    data = whole_data(address, lambda *now: ticks.append(now))
    check_trainable(data)
    assert data.root == copy_of(discs.name, discs.fingerprint)
    for split in SPLITS:
        for here, there in zip(data.images(split), discs.images(split), strict=True):
            assert here.path.read_bytes() == there.path.read_bytes()
    assert pictures(came) == [1] * PICTURES
    assert ticks[-1][0] == ticks[-1][1] > 0
    bring(address, discs)
    assert came.total() == PICTURES + 2  # once manifest and annotations, and nothing since
    assert "all of which are in" in fetch_line(data, address)
    assert data_here(address, discs.name, discs.fingerprint) is not None


def test_one_that_was_cut_goes_on_and_several_at_once_bring_it_once(
    address: str, discs: PreparedDataset, came: Counter[str]
) -> None:
    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole_data(address, cut)
    before = len(pictures(came))
    assert before >= 1
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: bring(address, discs), range(4)))
    check_trainable(whole_data(address))
    assert len(pictures(came)) == PICTURES
    assert sum(pictures(came)) <= PICTURES + 8  # those that were on their way when it was cut


def test_a_copy_that_somebody_changed_is_mended(
    address: str, discs: PreparedDataset, came: Counter[str]
) -> None:
    data = whole_data(address)
    changed, gone = sorted((data.root / "images").iterdir())[:2]
    changed.write_bytes(b"other")
    gone.unlink()
    (data.root / "annotations.json").write_text("{}")
    came.clear()
    check_trainable(bring(address, discs))
    assert set(came) == {changed.name, gone.name, "annotations.json", "dataset.json"}


def test_what_is_wrong_with_the_bucket_is_one_sentence(
    address: str, bucket: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"found no dataset\.json there; `segtune sync DATA"):
        open_data(f"{bucket}/nothing")
    with pytest.raises(DatasetError, match="expected a bucket absent, found none"):
        open_data("gs://absent/data")
    with pytest.raises(StudyError, match=r"line 2: data: expected gs://BUCKET/FOLDER"):
        plan_file(write_study(tmp_path, data="gs://bucket-alone"))
    damaged = shutil.copytree(discs.root, tmp_path / "damaged")
    picture = sorted((damaged / "images").iterdir())[0]
    picture.write_bytes(b"other")
    send(damaged, open_files(f"{bucket}/damaged"))
    with pytest.raises(ChangedDataError, match=f"got 1 other, the first is {picture.name}"):
        whole_data(f"{bucket}/damaged")
    picture.unlink()
    send(damaged, open_files(f"{bucket}/partly"))
    shutil.rmtree(copy_of(discs.name, discs.fingerprint))
    with pytest.raises(DatasetError, match=f"1 of them missing, the first is {picture.name}"):
        whole_data(f"{bucket}/partly")


def test_another_data_set_at_the_address_by_now_is_refused(
    address: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    other = shutil.copytree(discs.root, tmp_path / "other")
    manifest = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps({**manifest, "fingerprint": "f" * 64}))
    send(other, open_files(address), force=True)
    with pytest.raises(ChangedDataError, match="got another by now"):
        bring(address, discs)


def test_another_form_of_the_same_data_takes_the_place_of_the_copy(
    address: str, bucket: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    assert open_data(f"{address}/").images("val")[0].um_per_px is None
    (whole_data(address).root / "images" / "p00.png").unlink()
    other = shutil.copytree(discs.root, tmp_path / "other")
    pixels = Image.open(other / "images" / "p00.png")
    pixels.save(other / "images" / "p00.png", compress_level=0)
    coco = json.loads((other / "annotations.json").read_text())
    coco["images"] = [{**image, "um_per_px": 0.5} for image in coco["images"]]
    (other / "annotations.json").write_text(json.dumps(coco))
    manifest = json.loads((other / "dataset.json").read_text())
    manifest["annotations_sha256"] = sha256_of(other / "annotations.json")
    manifest["pictures"]["p00.png"] = sha256_of(other / "images" / "p00.png")
    (other / "dataset.json").write_text(json.dumps(manifest))
    send(other, open_files(f"{bucket}/other"))
    data = whole_data(f"{bucket}/other/")
    check_trainable(data)
    assert data.root == copy_of(discs.name, discs.fingerprint)
    assert {image.um_per_px for image in data.images("val")} == {0.5}


def test_init_and_best_take_its_address_too(
    address: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["init", f"{address}/", "--out", str(tmp_path / "study.yaml")])
    assert f"\ndata: {address}/\n" in (tmp_path / "study.yaml").read_text()
    shown = used_lines(BestStore(str(tmp_path / "store")), "unet_selftraining", None, address)
    assert shown == used_lines(
        BestStore(str(tmp_path / "store")), "unet_selftraining", None, str(discs.root)
    )


def test_no_name_of_a_picture_leads_out_of_the_copy(
    bucket: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    hostile = shutil.copytree(discs.root, tmp_path / "hostile")
    manifest = json.loads((hostile / "dataset.json").read_text())
    for name in ("../../out.png", str(tmp_path / "out.png"), ".."):
        manifest["pictures"] = {name: sha256_of(hostile / "images" / "p00.png")}
        (hostile / "dataset.json").write_text(json.dumps(manifest))
        send(hostile, open_files(f"{bucket}/hostile"), force=True)
        with pytest.raises(DatasetError, match="pictures: expected names of files, got"):
            whole_data(f"{bucket}/hostile")


def test_data_that_somebody_else_sent_are_there_already(
    bucket: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    def sent(folder: Path, to: str) -> str:
        said = list[str]()
        ship(
            cast("Cluster", None),
            shipment_of(PreparedDataset.load(folder), folder, to),
            said.append,
        )
        return said[-1]

    assert "data was sent to" in sent(discs.root, f"{bucket}/sent")
    other = tmp_path / "other"
    shutil.copytree(discs.root, other, ignore=shutil.ignore_patterns(".*"))
    (other / "report.json").write_text("{}")
    assert "data is there already" in sent(other, f"{bucket}/sent/")
    place = open_files(f"{bucket}/taken/{discs.name}-{discs.fingerprint[:12]}")
    with head_of(b"{}") as head:
        place.put("dataset.json", head)
    with pytest.raises(StorageError, match=r"dataset\.json changed there"):
        sent(other, f"{bucket}/taken")


def test_a_trial_brings_them_to_its_machine_or_is_tried_again(
    address: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    def first_event(place: str) -> Reported | Ended | HandedOver | Noted:
        attempt = tmp_path / place.rpartition("/")[2] / "0" / "attempt-1"
        attempt.mkdir(parents=True)
        runner = TrialRunner("simulated")
        runner.start(
            TrialTask(
                engine="simulated",
                study="try",
                number=0,
                params={},
                sampled=frozenset(),
                data=replace(discs, root=Path("/on/the/driver")),
                epochs=1,
                seed=0,
                device=Device(),
                directory=attempt,
                resume_from=None,
                reported=0,
                goal=Goal("seg_metrics/F1"),
                train_metrics=TrainMetrics(),
                address=place,
            )
        )
        return runner.next_event()

    away = first_event("gs://absent/data")
    assert isinstance(away, Ended)
    assert away.retry
    assert "expected a bucket absent, found none" in away.message
    assert isinstance(first_event(address), Reported)
    assert copy_of(discs.name, discs.fingerprint).is_dir()
