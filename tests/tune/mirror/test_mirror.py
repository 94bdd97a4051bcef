"""What is shipped of a study comes back as it was, whatever the folder here has become."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import LeaseError, StorageError
from cluster.storage.lease import LEASE, Lease, read_lease
from cluster.storage.segments import segment_names
from tests.support.rehearsed_study import go_on, rehearse
from tune.directory.reader import StudyDir
from tune.errors import StoreError
from tune.mirror.bringing import Place, bring, read_mirror, standing
from tune.mirror.files import TRAINING_LOG
from tune.mirror.mirror import Mirror, mirror_address, mirrored, place_of
from tune.mirror.opening import everything, nothing
from tune.study.study import Study


@pytest.fixture(params=["folder", "bucket"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "shared")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


@pytest.fixture
def study(where: str, tmp_path: Path) -> StudyDir:
    """Three trials of five epochs: two have ended, one is half trained."""
    made = rehearse(
        tmp_path,
        budget={"trials": 3, "epochs": 5},
        scheduler={"kind": "none"},
        mirror={"place": where, "every_seconds": 0.3, "lease_seconds": 1, "best": 1},
        stop_after=12,
    )
    for number in (0, 1):
        (made.path / "trials" / str(number) / "closed.json").write_text('{"attempts": 1}')
    return StudyDir.open(made.path)


def place(study: StudyDir) -> Place:
    return place_of(mirror_address(study.study))


def shipped(study: StudyDir, act: Callable[[Mirror], object] = lambda mirror: None) -> None:
    with mirrored(study.study, study.path, resume=True) as mirror:
        assert mirror is not None
        act(mirror)


def records(folder: Path) -> list[tuple[int, str, int]]:
    return [(t.number, t.state, t.epochs) for t in StudyDir.open(folder).trials()]


def test_a_shipped_study_goes_on_elsewhere(study: StudyDir, tmp_path: Path) -> None:
    shipped(study)
    lease = read_lease(place(study).documents)
    assert lease is not None
    assert (lease.term, lease.holder) == (1, "")
    there = tmp_path / "elsewhere" / "sample"
    assert bring(place(study), there) == "absent"
    assert records(there) == records(study.path)
    assert (there / "trials/2/attempt-1/checkpoint/history.json").is_file()
    go_on(StudyDir.open(there))
    assert [state for _, state, _ in records(there)] == ["complete"] * 3


def test_of_ended_trials_the_best_models_are_kept(study: StudyDir) -> None:
    shipped(study)
    kept = set(read_mirror(place(study)).folders)
    ended = [trial for trial in study.trials() if trial.state == "complete"]
    best = max(ended, key=lambda trial: trial.objective or 0)
    running = {f"trials/2/attempt-1/{kind}" for kind in ("best", "checkpoint")}
    assert kept == {f"trials/{best.number}/attempt-1/best", *running}


def test_what_was_shipped_is_not_shipped_again(study: StudyDir) -> None:
    shipped(study)
    before = len(segment_names(place(study).objects))
    assert before == 1

    def nothing_new(mirror: Mirror) -> None:
        assert mirror.counts.segments == 0

    shipped(study, nothing_new)
    assert len(segment_names(place(study).objects)) <= 2


def test_a_folder_that_is_behind_is_brought_up_to_date(study: StudyDir, tmp_path: Path) -> None:
    shipped(study)
    there = tmp_path / "elsewhere" / "sample"
    bring(place(study), there)
    goes_on = StudyDir.open(there)
    go_on(goes_on)
    with mirrored(study.study, there, resume=True):
        pass
    assert standing(study.path, read_mirror(place(study))) == "behind"
    with pytest.raises(StoreError, match="got an earlier one"):
        shipped(study)
    assert bring(place(study), study.path) == "behind"
    assert records(study.path) == records(there)
    assert bring(place(study), study.path) == "same"


def test_a_folder_that_went_another_way_is_set_aside_whole(study: StudyDir, tmp_path: Path) -> None:
    """Two drivers went on from the same moment; what the fenced one did is kept, and not used."""
    shipped(study)
    there = tmp_path / "elsewhere" / "sample"
    bring(place(study), there)
    shutil.copytree(there, tmp_path / "asleep" / "sample")
    go_on(StudyDir.open(there))
    with mirrored(study.study, there, resume=True):
        pass
    asleep = tmp_path / "asleep" / "sample"
    lines = (asleep / "optuna.journal").read_bytes()
    (asleep / "optuna.journal").write_bytes(lines + b'{"op_code": 8}\n')
    assert bring(place(study), asleep) == "apart"
    assert records(asleep) == records(there)
    [aside] = asleep.parent.glob("sample.fenced-*")
    assert (aside / "optuna.journal").read_bytes().startswith(lines)


def test_what_a_driver_had_not_shipped_stays_and_is_shipped_next(
    study: StudyDir, tmp_path: Path
) -> None:
    shipped(study)
    go_on(study)
    assert bring(place(study), study.path) == "ahead"
    shipped(study)
    there = tmp_path / "elsewhere" / "sample"
    bring(place(study), there)
    assert records(there) == records(study.path)


def test_only_what_is_wanted_comes_and_the_rest_when_it_is(study: StudyDir, tmp_path: Path) -> None:
    shipped(study)
    there = tmp_path / "elsewhere" / "sample"
    bring(place(study), there, nothing)
    assert not list(there.glob("trials/*/attempt-*"))
    assert records(there) == records(study.path)
    assert bring(place(study), there, everything) == "same"
    assert (there / "trials/2/attempt-1/checkpoint/model.pt").is_file()


def test_a_checkpoint_that_is_replaced_leaves_nothing_behind(study: StudyDir) -> None:
    """Large ones are objects of their own, of which each that is not used any more is removed."""
    checkpoint = study.path / "trials/2/attempt-1/checkpoint"

    def replace(content: bytes) -> None:
        new = checkpoint.with_name("checkpoint.new")
        shutil.copytree(checkpoint, new)
        (new / "model.pt").write_bytes(content)
        shutil.rmtree(checkpoint)
        new.rename(checkpoint)

    replace(b"1" * 50_000)
    shipped(study)
    objects = place(study).objects
    assert len(objects.there("data/")) == 1
    replace(b"2" * 50_000)
    shipped(study)
    [stored] = objects.there("data/")
    files = read_mirror(place(study)).folders["trials/2/attempt-1/checkpoint"]
    assert files["model.pt"].stored == stored
    assert files["model.pt"].size == 50_000


def test_a_study_that_runs_is_refused_and_another_of_its_name_too(
    study: StudyDir, tmp_path: Path
) -> None:
    def begin_another(mirror: Mirror) -> None:
        del mirror
        with (
            pytest.raises(LeaseError, match="is running this study"),
            mirrored(study.study, tmp_path / "another", resume=False),
        ):
            pass

    shipped(study, begin_another)
    with (
        pytest.raises(StoreError, match="expected a new study, found one"),
        mirrored(study.study, tmp_path / "another", resume=False),
    ):
        pass
    with pytest.raises(StorageError, match="expected a study, found none"):
        bring(place_of(f"{mirror_address(study.study)}-nowhere"), tmp_path / "nowhere")


def test_training_logs_are_shipped_as_they_grow_and_up_to_a_limit(
    study: StudyDir, tmp_path: Path
) -> None:
    log = study.path / "trials/2/train.log"
    before = b"epoch 1\n\xff bytes that are no text\n"
    log.write_bytes(before)
    shipped(study)
    log.write_bytes(before + b"one more\n" + b"x" * 99 + b"\n" * TRAINING_LOG)

    def more(mirror: Mirror) -> None:
        mirror.touch(2)

    shipped(study, more)
    there = tmp_path / "elsewhere" / "sample"
    bring(place(study), there)
    assert (there / "trials/2/train.log").read_bytes() == log.read_bytes()[:TRAINING_LOG]
    (there / "trials/2/train.log").write_bytes(b"another trial of this number\n")  # lost journal
    with mirrored(study.study, there, resume=True):
        pass
    assert bytes(read_mirror(place(study)).files["trials/2/train.log"]).startswith(b"another")


def test_a_driver_that_died_here_is_not_taken_for_one_that_sleeps(
    study: StudyDir, tmp_path: Path
) -> None:
    """Its W&B runs go on where they were; from another folder, nobody knows that it is dead."""
    documents = place(study).documents
    taken: list[Lease] = []

    def remember(mirror: Mirror) -> None:
        del mirror
        lease = read_lease(documents)
        assert lease is not None
        taken.append(lease)

    def die() -> None:
        """As a kill leaves the lease, and long ago."""
        now = read_lease(documents)
        assert now is not None
        text = replace(now, holder=taken[-1].holder, until=1.0).text()
        documents.update(LEASE, lambda _: text)

    shipped(study, remember)
    there = tmp_path / "elsewhere" / "sample"
    bring(place(study), there)
    shutil.copy(study.path / ".mirror-holder.json", there)  # a copy, hidden files and all
    die()
    with mirrored(study.study, study.path, resume=True) as mirror:
        assert mirror is not None
        assert mirror.takeover == 0
        remember(mirror)
    die()
    with mirrored(study.study, there, resume=True) as mirror:
        assert mirror is not None
        assert mirror.takeover == 3


def test_a_damaged_mirror_is_named_and_nothing_is_brought(study: StudyDir, tmp_path: Path) -> None:
    if mirror_address(study.study).startswith("gs://"):
        pytest.skip("its objects are changed on the disk")
    shipped(study)
    [segment] = Path(mirror_address(study.study)).glob("journal/*")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    with pytest.raises(StorageError, match="expected a segment as its driver wrote it"):
        bring(place(study), tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_the_shortest_way_to_write_a_mirror_is_its_place() -> None:
    values = {"study": "s", "data": "d", "trainable": "simulated"}
    budget = {"trials": 1, "epochs": 1}
    written = Study.model_validate({**values, "budget": budget, "mirror": "gs://lab/studies/"})
    assert written.mirror is not None
    assert mirror_address(written) == "gs://lab/studies/s"
    assert json.loads(written.model_dump_json())["mirror"]["alone_minutes"] == 30.0
    for wrong in ("gs://", "s3://lab", "relative", ""):
        with pytest.raises(ValueError, match="expected gs://BUCKET/FOLDER"):
            Study.model_validate({**values, "budget": budget, "mirror": wrong})
