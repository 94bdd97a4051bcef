"""`segtune pick` as a user meets it: a U-Net that was really trained, micrographs of every kind."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import mrcfile  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest
import starfile  # type: ignore[import-untyped]
import tifffile

pytest.importorskip("torch", reason="needs the extra unet")

from analysis.picking.files import read_picks
from analysis.picking.plan import PickWishes
from analysis.picking.run import pick_micrographs
from tests.support.places import ROOT
from trainables.contract import TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.metrics.particles import evaluate_particles
from trainables.registry import load_engine
from trainables.trials.memory import MemoryTrial
from tune.cli import tickers
from tune.cli.main import main

Floats = npt.NDArray[np.float64]
Pick = Callable[..., tuple[int, str]]

RADIUS_PX = 6.0
ANGSTROM = 2.0
SIDES = (96, 112)


def centers_of(seed: int, sides: tuple[int, int] = SIDES) -> Floats:
    """Where the particles of a micrograph are, x y, apart from each other and from its edges."""
    rng = np.random.default_rng(seed)
    height, width = sides
    grid = np.stack(np.meshgrid(np.arange(14, width - 13, 22), np.arange(14, height - 13, 22)), -1)
    kept = grid.reshape(-1, 2)[rng.random(grid.size // 2) < 0.7]
    return np.asarray(kept + rng.uniform(-3, 3, kept.shape))


def micrograph(seed: int, sides: tuple[int, int] = SIDES) -> Floats:
    """Grey levels of a micrograph: bright discs with soft rims on noise."""
    rows, columns = np.mgrid[: sides[0], : sides[1]] + 0.5
    levels = np.random.default_rng(seed + 1000).normal(100, 10, sides)
    for x, y in centers_of(seed, sides):
        levels += 70 * np.clip(RADIUS_PX + 0.5 - np.hypot(columns - x, rows - y), 0, 1)
    return np.asarray(levels)


def write_mrc(path: Path, seed: int, angstrom: float = ANGSTROM) -> Path:
    with mrcfile.new(path) as mrc:
        mrc.set_data((micrograph(seed) * 17.3 - 900).astype(np.float32))
        mrc.voxel_size = angstrom
    return path


def write_8_bits(path: Path, seed: int) -> Path:
    assert cv2.imwrite(str(path), np.clip(micrograph(seed), 0, 255).astype(np.uint8))
    return path


def write_tiff(path: Path, seed: int) -> Path:
    tifffile.imwrite(path, (micrograph(seed) * 100).astype(np.uint16))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small U-Net that has learnt to see discs."""
    folder = tmp_path_factory.mktemp("model")
    raw = folder / "raw"
    raw.mkdir()
    for seed in range(8):
        write_mrc(raw / f"m{seed}.mrc", seed)
    coordinates = {f"m{seed}.mrc": centers_of(seed).tolist() for seed in range(8)}
    (raw / "coordinates.json").write_text(json.dumps(coordinates))
    prepare(
        raw,
        folder / "data",
        PrepareOptions(radius=f"{RADIUS_PX:g}px", group=r"m(\d)", splits=(0.7, 0.3, 0)),
    )
    params = {
        "depth": 2,
        "width": 6,
        "tile_px": 48,
        "tiles": 48,
        "batch_size": 8,
        "learning_rate": 0.01,
        "loss": "ce_dice",
        "rounds": 0,
        "augment": "none",
    }
    trial = MemoryTrial(
        params,
        PreparedDataset.load(folder / "data"),
        folder,
        epochs=6,
        train_metrics=TrainMetrics(every=0),
    )
    load_engine("unet_selftraining").train(trial)
    assert trial.reported[6]["particle_metrics/F1"] > 0.95
    assert trial.checkpoint is not None
    return trial.checkpoint


@pytest.fixture
def pick(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Pick:
    """Run `segtune pick` in an empty folder; exit code and all that it said."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        given = ("--model", str(model), "--trainable", "unet_selftraining", "--out", "out")
        with pytest.raises(SystemExit) as ended:
            main(["pick", *words, *given, "--device", "cpu"])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


def all_kinds(folder: Path) -> dict[str, int]:
    """Micrographs of every kind; their names and seeds."""
    folder.mkdir()
    write_mrc(folder / "a.mrc", 20)
    write_tiff(folder / "b.tif", 21)
    write_8_bits(folder / "c.png", 22)
    write_8_bits(folder / "d.jpg", 23)
    return {"a.mrc": 20, "b.tif": 21, "c.png": 22, "d.jpg": 23}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stamps(folder: Path) -> dict[str, int]:
    """When each file of the micrographs was written."""
    files = (file for file in folder.rglob("*/*") if file.is_file())
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files}


def test_particles_of_every_kind_of_picture_are_where_they_were_drawn(
    pick: Pick, tmp_path: Path
) -> None:
    seeds = all_kinds(tmp_path / "in")
    code, said = pick("in", "--save-prob")
    assert code == 0, said
    picks = read_picks(tmp_path / "out" / "picks.star")
    assert list(picks) == [f"in/{name}" for name in seeds]
    truths = [centers_of(seed) for seed in seeds.values()]
    found = evaluate_particles(list(picks.values()), truths, 2.0)
    assert found.f1 > 0.97
    assert found.position_error_px < 0.6
    offsets = [
        np.mean(one.centers.mean(0) - truth.mean(0))
        for one, truth in zip(picks.values(), truths, strict=True)
        if len(one) == len(truth)
    ]
    assert abs(np.mean(offsets)) < 0.25  # half a pixel would be another convention
    assert f"picked {sum(map(len, picks.values()))} particles in 4 of 4 micrographs" in said


def test_all_files_of_a_micrograph_say_the_same(pick: Pick, tmp_path: Path) -> None:
    all_kinds(tmp_path / "in")
    assert pick("in", "--save-prob", "--box-px", "20")[0] == 0
    out = tmp_path / "out"
    table = starfile.read(out / "star" / "a.star")
    assert list(table) == [
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnAutopickFigureOfMerit",
        "rlnMicrographName",
    ]
    centers = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()
    scores = table["rlnAutopickFigureOfMerit"].to_numpy()
    assert (np.diff(scores) <= 0).all()
    for form in ("csv", "json"):
        picks = read_picks(out / form / f"a.{form}")["in/a.mrc"]
        np.testing.assert_allclose(picks.centers, centers)
        np.testing.assert_allclose(picks.scores, scores)
    boxes = np.loadtxt(out / "box" / "a.box")
    assert (boxes[:, 2:] == 20).all()
    assert np.abs(boxes[:, :2] + 10 - centers).max() <= 0.5
    mask = cv2.imread(str(out / "masks" / "a.png"), cv2.IMREAD_UNCHANGED)
    with mrcfile.open(out / "probabilities" / "a.mrc") as mrc:
        assert mrc.data.dtype == np.float32
        assert float(mrc.voxel_size.x) == pytest.approx(ANGSTROM)
        least = np.float32(json.loads((out / "pick.json").read_text())["settings"]["confidence"])
        np.testing.assert_array_equal(mask, np.where(mrc.data >= least, 255, 0))
        columns, rows = centers.astype(int).T
        assert mrc.data[rows, columns].min() > 0.5
        assert mrc.data.mean() < 0.5
        assert float(mrc.header.dmax) == pytest.approx(float(mrc.data.max()))
    (row,) = (row for row in rows_of(out / "micrographs.csv") if row["micrograph"] == "in/a.mrc")
    assert row["picks"] == str(len(centers))
    assert row["um_per_px"] == f"{ANGSTROM * 1e-4:g}"
    assert float(row["median_confidence"]) == pytest.approx(np.median(scores))
    together = starfile.read(out / "picks.star")
    assert (together["rlnMicrographName"] == "in/a.mrc").sum() == len(centers)
    sheet = cv2.imread(str(out / "contact_sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] > 1900
    assert not (out / "failed.csv").exists()


@pytest.mark.parametrize("form", ["star", "csv", "json", "box"])
def test_prepare_reads_every_form_back_to_the_same_places(
    pick: Pick, tmp_path: Path, form: str
) -> None:
    all_kinds(tmp_path / "in")
    assert pick("in")[0] == 0
    picked = read_picks(tmp_path / "out" / "picks.json")
    raw = tmp_path / "raw"
    shutil.copytree(tmp_path / "in", raw)
    shutil.copytree(tmp_path / "out" / form, raw / "picks")
    name = "coordinates" if form == "json" else form
    options = PrepareOptions(format=name, radius="6px", splits=(0, 0, 1), flip_y=False)
    prepare(raw, tmp_path / "again", options)
    again = PreparedDataset.load(tmp_path / "again")
    images = again.images("test")
    assert len(images) == 4
    for image in images:
        (centers,) = (p.centers for n, p in picked.items() if Path(n).stem == image.path.stem)
        discs = [item.disc for item in again.annotations(image)]
        places = np.array([(disc.x, disc.y) for disc in discs if disc is not None])
        assert len(places) == len(centers) > 0
        np.testing.assert_allclose(places, centers, atol=0.5 if form == "box" else 1e-9)


def test_boxes_of_a_tiff_or_png_go_back_with_the_option_that_prepare_and_the_docs_name(
    pick: Pick, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    write_8_bits(tmp_path / "in" / "b.png", 21)
    write_tiff(tmp_path / "in" / "c.tif", 22)
    assert pick("in", "--box-px", "12")[0] == 0
    shutil.copytree(tmp_path / "out" / "box", tmp_path / "in" / "box")
    command = ["prepare", "in", "--out", "again", "--radius", "6px", "--splits", "0,0,1"]
    with pytest.raises(SystemExit) as asked:
        main(command)
    assert asked.value.code == 2
    assert "other programs (segtune pick, too) from the first" in capsys.readouterr().err
    page = " ".join((ROOT / "docs" / "picking.md").read_text().split())
    assert "`--no-flip-y` is the answer for boxes of `segtune pick`" in page
    with pytest.raises(SystemExit) as done:
        main([*command, "--no-flip-y"])
    assert done.value.code == 0
    again = PreparedDataset.load(tmp_path / "again")
    picked = read_picks(tmp_path / "out" / "picks.json")
    assert len(again.images("test")) == len(picked) == 2
    for image, picks in zip(again.images("test"), picked.values(), strict=True):
        discs = [item.disc for item in again.annotations(image)]
        places = np.array([(disc.x, disc.y) for disc in discs if disc is not None])
        np.testing.assert_allclose(places, picks.centers, atol=0.5)
        assert image.height - places[:, 1].mean() != pytest.approx(
            picks.centers[:, 1].mean(), abs=1
        )


def test_a_bad_micrograph_does_not_stop_the_rest(pick: Pick, tmp_path: Path) -> None:
    all_kinds(tmp_path / "in")
    whole = (tmp_path / "in" / "b.tif").read_bytes()
    assert pick("in")[0] == 0
    (tmp_path / "in" / "b.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "e.mrc").write_text("no micrograph")
    code, said = pick("in")
    assert code == 3
    assert "particles in 3 of 5 micrographs (3 of them done before)" in said
    assert "2 of 5 micrographs failed, see" in said
    assert "Traceback" not in said
    failed = rows_of(tmp_path / "out" / "failed.csv")
    assert [row["micrograph"] for row in failed] == ["in/b.tif", "in/e.mrc"]
    assert all(row["reason"] for row in failed)
    states = {row["micrograph"]: row["state"] for row in rows_of(tmp_path / "out/micrographs.csv")}
    assert [name for name, state in states.items() if state == "failed"] == ["in/b.tif", "in/e.mrc"]
    assert set(read_picks(tmp_path / "out" / "picks.star")) == {"in/a.mrc", "in/c.png", "in/d.jpg"}
    assert not list((tmp_path / "out").glob("*/b.*"))  # nothing of the file it once was
    (tmp_path / "in" / "b.tif").write_bytes(whole)
    (tmp_path / "in" / "e.mrc").unlink()
    assert pick("in")[0] == 0
    assert not (tmp_path / "out" / "failed.csv").exists()


def test_a_micrograph_in_which_nothing_can_be_seen_fails_and_the_rest_goes_on(
    pick: Pick, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    write_mrc(tmp_path / "in" / "a.mrc", 20)
    for name, level in (("b.mrc", np.nan), ("c.mrc", 3.5)):
        with mrcfile.new(tmp_path / "in" / name) as mrc:
            mrc.set_data(np.full(SIDES, level, np.float32))
    assert pick("in")[0] == 3
    reasons = {r["micrograph"]: r["reason"] for r in rows_of(tmp_path / "out" / "failed.csv")}
    assert list(reasons) == ["in/b.mrc", "in/c.mrc"]
    assert all("there is nothing to see: " in reason for reason in reasons.values())
    assert set(read_picks(tmp_path / "out" / "picks.star")) == {"in/a.mrc"}


def test_a_micrograph_whose_name_is_no_text_is_picked_or_reported_like_any_other(
    pick: Pick, tmp_path: Path
) -> None:
    good, bad = (tmp_path / "in" / os.fsdecode(name) for name in (b"a\xff.mrc", b"b\xff.mrc"))
    good.parent.mkdir()
    write_mrc(tmp_path / "plain.mrc", 20).rename(good)
    bad.write_text("no micrograph")
    assert pick("in")[0] == 3
    assert list(read_picks(tmp_path / "out" / "picks.csv")) == ["in/a\ufffd.mrc"]
    assert [row["micrograph"] for row in rows_of(tmp_path / "out" / "failed.csv")] == [
        "in/b\ufffd.mrc"
    ]


def test_nothing_is_left_of_earlier_picks_where_every_micrograph_now_fails(
    pick: Pick, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "a.mrc", 20)
    assert pick("a.mrc")[0] == 0
    (tmp_path / "a.mrc").write_text("no micrograph")
    assert pick("a.mrc")[0] == 1
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"pick.json", "micrographs.csv", "failed.csv"}


def test_a_folder_of_which_a_kill_left_only_a_hidden_file_is_gone_on_with(
    pick: Pick, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "a.mrc", 20)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".pick.json.77.tmp").write_text("{")
    assert pick("a.mrc")[0] == 0


def test_a_run_of_which_every_micrograph_failed_ends_with_one(pick: Pick, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    code, said = pick("a.png")
    assert code == 1
    assert "picked 0 particles in 0 of 1 micrographs" in said
    assert "1 of 1 micrographs failed" in said
    assert not (tmp_path / "out" / "picks.star").exists()


def test_a_second_run_leaves_what_is_done_until_something_differs(
    pick: Pick, tmp_path: Path
) -> None:
    all_kinds(tmp_path / "in")
    assert pick("in")[0] == 0
    first = stamps(tmp_path / "out")
    assert "4 micrographs (4 of them done before)" in pick("in")[1]
    assert stamps(tmp_path / "out") == first
    write_8_bits(tmp_path / "in" / "c.png", 30)
    (tmp_path / "out" / "masks" / "d.png").unlink()
    assert "(2 of them done before)" in pick("in")[1]
    renewed = {name for name, when in stamps(tmp_path / "out").items() if when != first[name]}
    assert {Path(name).stem for name in renewed} == {"c", "d"}
    assert "done before" not in pick("in", "--confidence", "0.9")[1]
    assert "4 of them done before" in pick("in", "--confidence", "0.9")[1]
    assert "done before" not in pick("in", "--confidence", "0.9", "--overwrite")[1]


def test_progress_counts_what_is_left_to_do_those_that_fail_too_and_says_for_how_long(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    micrographs = all_kinds(tmp_path / "in")
    (tmp_path / "in" / "e.mrc").write_text("no micrograph")
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))

    wishes = PickWishes(trainable="unet_selftraining", device="cpu", progress=tell)
    for expected in (len(micrographs) + 1, 1):
        pick_micrographs([str(tmp_path / "in")], model, tmp_path / "out", wishes)
        assert told == [(n, expected) for n in range(1, expected + 1)]
        told.clear()
    clock = iter([0.0, 5.0, 35.0])
    monkeypatch.setattr("tune.cli.tickers.time.monotonic", lambda: next(clock))
    ticker = tickers.Ticker("pick")
    ticker(0, 12)
    ticker(3, 12)
    assert "pick: 3/12, 90 s left" in capsys.readouterr().err


def test_maps_that_were_not_asked_for_before_are_written_and_do_not_outlive_their_settings(
    pick: Pick, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "a.mrc", 20)
    assert pick("a.mrc")[0] == 0
    assert not (tmp_path / "out" / "probabilities").exists()
    assert "done before" not in pick("a.mrc", "--save-prob")[1]
    assert (tmp_path / "out" / "probabilities" / "a.mrc").is_file()
    assert "done before" not in pick("a.mrc")[1]
    assert not (tmp_path / "out" / "probabilities" / "a.mrc").exists()


def test_another_magnification_than_the_models_is_refused_unless_the_header_is_wrong(
    pick: Pick, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "a.mrc", 20)
    write_mrc(tmp_path / "b.mrc", 21, angstrom=4.0)
    code, said = pick("a.mrc", "b.mrc")
    assert code == 3
    assert "b.mrc: expected a pixel size of 2 Å, with which the model was trained, got 4 Å" in said
    assert "particles look 0.5 times as large to it" in said
    assert pick("b.mrc", "--pixel-size", "0.2nm")[0] == 0
    assert len(read_picks(tmp_path / "out" / "picks.star")["b.mrc"]) == len(centers_of(21))


def test_a_pixel_size_that_is_not_the_headers_is_told_when_it_is_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for seed in range(3):
        write_mrc(raw / f"m{seed}.mrc", seed)
    centers = {f"m{seed}.mrc": centers_of(seed).tolist() for seed in range(3)}
    (raw / "coordinates.json").write_text(json.dumps(centers))
    given = ["--radius", "12A", "--pixel-size", "1.7A", "--group", r"m(\d)"]
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(raw), "--out", str(tmp_path / "data"), *given])
    captured = capsys.readouterr()
    assert ended.value.code in (None, 0)
    assert (
        "the pixel size 1.7A is used, but the headers of 3 micrographs say another: m0.mrc 2 Å"
        in captured.out + captured.err
    )


def test_a_distance_in_angstrom_needs_a_pixel_size(pick: Pick, tmp_path: Path) -> None:
    write_mrc(tmp_path / "a.mrc", 20)
    write_8_bits(tmp_path / "c.png", 22)
    code, said = pick("a.mrc", "c.png", "--min-distance", "60A")
    assert code == 3
    assert "c.png: --min-distance 60A needs the side of a pixel" in said
    apart = read_picks(tmp_path / "out" / "picks.star")["a.mrc"].centers
    distances = np.linalg.norm(apart[:, None] - apart[None], axis=2)[
        ~np.eye(len(apart), dtype=bool)
    ]
    assert distances.min() >= 60 / ANGSTROM
    assert 1 < len(apart) < len(centers_of(20))


def test_micrographs_without_a_particle_have_empty_files_that_prepare_reads(
    pick: Pick, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "a.mrc", 20)
    code, said = pick("a.mrc", "--confidence", "1")
    assert code == 0
    assert "no particle was found" in said
    for form in ("star", "csv", "json", "box"):
        found = read_picks(tmp_path / "out" / form / f"a.{form}")
        assert sum(map(len, found.values())) == 0
    assert rows_of(tmp_path / "out" / "micrographs.csv")[0]["median_confidence"] == ""


def test_a_model_of_another_engine_is_refused_before_anything_is_written(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mrc(tmp_path / "a.mrc", 20)
    shutil.copy(model / "model.pt", tmp_path / "loose.pt")
    with pytest.raises(SystemExit) as ended:
        main(["pick", "a.mrc", "-m", "loose.pt", "--trainable", "mask_rcnn", "-o", "out"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "loose.pt: expected a model written by the engine mask_rcnn in format 1, got" in said
    assert "got engine unet_selftraining and format 1" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(pick: Pick, tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(40):
        write_mrc(folder / f"m{seed:02}.mrc", seed)
    command = [sys.executable, "-m", "tune.cli", "pick", "in", "--model", str(model)]
    command += ["--trainable", "unet_selftraining", "--out", "out", "--device", "cpu"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    )
    done = tmp_path / "out" / "done"
    started = time.monotonic()
    while not done.is_dir() or len(list(done.glob("m*"))) < 5:
        assert process.poll() is None
        assert time.monotonic() - started < 120
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = stamps(tmp_path / "out")
    finished = {file.stem for file in done.glob("m*.json")}
    assert 5 <= len(finished) < 40
    assert not (tmp_path / "out" / "picks.star").exists()
    code, said = pick("in")
    assert code == 0
    assert f"({len(finished)} of them done before)" in said
    after = stamps(tmp_path / "out")
    assert {n: t for n, t in before.items() if Path(n).stem in finished}.items() <= after.items()
    assert not list((tmp_path / "out").rglob(".*"))
    went_on = (tmp_path / "out" / "picks.csv").read_bytes()
    shutil.rmtree(tmp_path / "out")
    assert pick("in")[0] == 0
    assert (tmp_path / "out" / "picks.csv").read_bytes() == went_on
