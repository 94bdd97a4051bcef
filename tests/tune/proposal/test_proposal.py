from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.machines.machine import Machine
from tests.support.command_line import segtune
from tests.support.raw_samples import real_data
from tests.support.study_samples import write_data
from trainables.datasets.facts import DataFacts, data_facts
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.engines.mask_rcnn.params import INFO as MASK_RCNN
from trainables.engines.unet_selftraining.params import INFO as UNET
from trainables.engines.yolo_seg.params import INFO as YOLO
from trainables.files.errors import UserError
from trainables.proposal import suited
from trainables.registry import BUILT_IN
from tune.errors import StudyError
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.proposal.proposal import write_proposal

TWO_CORES, ONE_GPU = Machine(2, 0), Machine(16, 1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve simulated micrographs."""
    folder = tmp_path_factory.mktemp("init")
    simulate(SPECS["demo"].model_copy(update={"images": 12}), folder / "raw")
    prepare(folder / "raw", folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuclei") / "nuclei"
    prepare(real_data("nuclei"), folder)
    return folder


@pytest.fixture(scope="module")
def betagal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("betagal") / "betagal"
    prepare(real_data("cryoem_betagal"), folder, PrepareOptions(radius="13.5px"))
    return folder


@pytest.fixture(scope="module")
def powder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("powder") / "powder"
    prepare(real_data("sem_powder"), folder)
    return folder


def planned(
    data: Path, out: Path, trainable: str | None = None, machine: Machine = TWO_CORES
) -> tuple[StudyPlan, dict[str, Any]]:
    """The plan of the file that is proposed, and what the file says."""
    write_proposal(data, out, trainable=trainable, machine=machine, force=True)
    plan = plan_file(out, machine=machine)
    return plan, yaml.safe_load(out.read_text())


@pytest.mark.parametrize("machine", [TWO_CORES, ONE_GPU], ids=["two cores", "one GPU"])
@pytest.mark.parametrize("engine", [None, *sorted(BUILT_IN)])
def test_what_is_proposed_can_be_planned_as_it_is(
    engine: str | None, machine: Machine, prepared: Path, tmp_path: Path
) -> None:
    plan, written = planned(prepared, tmp_path / "study.yaml", engine, machine)
    assert plan.study.trainable == (engine or "yolo_seg")
    own = {*written.get("fixed", {}), *written["search_space"]}
    assert own.isdisjoint(plan.no_effect)
    assert plan.space.parameters
    assert plan.points
    assert set(written.get("fixed", {})) <= set(plan.fixed)


@pytest.mark.parametrize("engine", sorted(BUILT_IN))
def test_every_value_has_a_comment_above_it(engine: str, prepared: Path, tmp_path: Path) -> None:
    write_proposal(prepared, tmp_path / "study.yaml", trainable=engine, machine=TWO_CORES)
    lines = (tmp_path / "study.yaml").read_text().splitlines()
    values = [
        number
        for number, line in enumerate(lines)
        if line.strip() and not line.strip().startswith("#") and not line.endswith(":")
    ]
    assert len(values) >= 9
    for number in values:
        assert lines[number - 1].lstrip().startswith("# "), lines[number]
    assert max(map(len, lines)) <= 98


def test_nuclei_are_learnt_as_masks_at_a_size_that_keeps_the_small_ones(
    nuclei: Path, tmp_path: Path
) -> None:
    facts = data_facts(PreparedDataset.load(nuclei))
    assert (facts.n_train, facts.n_val, facts.n_test, facts.n_objects) == (42, 9, 9, 1456)
    assert (facts.most_objects, facts.small_px, facts.large_px) == (106, 7, 110)
    assert facts.pictures == "256 x 256 to 696 x 520"
    plan, written = planned(nuclei, tmp_path / "study.yaml")
    assert written["trainable"] == "yolo_seg"
    assert written["fixed"]["imgsz"] == 352
    assert written["fixed"]["mask_ratio"] == 2
    assert written["fixed"]["max_det"] == 300
    assert written["search_space"]["batch"] == {"choice": [2, 4, 8]}
    assert written["budget"] == {"trials": 24, "epochs": 80, "hours": 6}
    assert written["resources"] == {"concurrent": 2}
    text = (tmp_path / "study.yaml").read_text()
    assert "at most 106 in a picture" in text
    assert "the largest of\n  # 110 px" in text or "the largest of 110 px" in text
    assert plan.study.study == "nuclei-yolo_seg"


def test_on_a_gpu_nuclei_are_learnt_larger_and_longer(nuclei: Path, tmp_path: Path) -> None:
    _, written = planned(nuclei, tmp_path / "study.yaml", machine=ONE_GPU)
    assert written["fixed"]["imgsz"] == 640
    assert written["fixed"]["model"] == "yolo11s-seg.yaml"
    assert written["budget"]["trials"] == 50
    assert written["resources"] == {"concurrent": 1}


def test_coordinates_propose_the_picker_with_tiles_of_ten_radii(
    betagal: Path, tmp_path: Path
) -> None:
    _, written = planned(betagal, tmp_path / "study.yaml")
    assert written["trainable"] == "unet_selftraining"
    assert written["fixed"] == {"depth": 3, "tile_px": 128, "tiles": 96}
    text = " ".join((tmp_path / "study.yaml").read_text().replace("#", " ").split())
    assert "the particles are given by their centres" in text
    assert "has a radius of 13.5 px" in text
    assert "448 would cover the 7 training pictures once" in text
    _, written = planned(betagal, tmp_path / "yolo.yaml", "yolo_seg")
    assert written["fixed"]["max_det"] == 1100


def test_hue_is_not_searched_in_grey_pictures(powder: Path, tmp_path: Path) -> None:
    plan, written = planned(powder, tmp_path / "study.yaml")
    assert written["fixed"]["imgsz"] == 448
    assert data_facts(PreparedDataset.load(powder)).small_px == 9
    assert written["search_space"]["hsv_h"] is None
    assert not {"hsv_h", "hsv_s"} & set(plan.space.parameters)


def test_the_engine_says_itself_what_it_suits(prepared: Path) -> None:
    masks = data_facts(PreparedDataset.load(prepared))
    assert list(suited(masks)) == ["yolo_seg", "mask_rcnn", "unet_selftraining"]
    assert list(suited(replace(masks, coordinates=True))) == ["unet_selftraining", "yolo_seg"]


@pytest.mark.parametrize("info", [YOLO, MASK_RCNN, UNET], ids=lambda info: info.name)
@pytest.mark.parametrize(
    ("sides", "objects", "n"),
    [((40, 30), 2.0, 1), ((9000, 12000), 4.0, 3), ((512, 512), 500.0, 5000)],
    ids=["tiny", "huge with specks", "filled"],
)
def test_strange_data_get_values_that_the_engine_accepts(
    info: Any, sides: tuple[int, int], objects: float, n: int
) -> None:
    from trainables.proposal import proposal

    facts = DataFacts(
        n_train=n,
        n_val=1,
        n_test=0,
        n_unlabelled=0,
        n_classes=1,
        grey=True,
        coordinates=False,
        smallest=sides,
        largest=sides,
        long_px=max(sides),
        short_px=min(sides),
        train_mpx=n * sides[0] * sides[1] / 1e6,
        n_objects=9000,
        most_objects=9000,
        small_px=objects,
        median_px=objects,
        large_px=objects,
    )
    for gpus in (0, 4):
        made = proposal(info.name, facts, gpus)
        info.params.model_validate({key: item.value for key, item in made.fixed.items()})
        assert made.epochs.value >= 10


def test_a_file_is_never_overwritten_but_with_force(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "study.yaml"
    out.write_text("mine")
    with pytest.raises(StudyError, match="expected a file that is not there yet, got one"):
        write_proposal(prepared, out)
    assert out.read_text() == "mine"
    write_proposal(prepared, out, force=True)
    assert out.read_text().startswith("# A study of raw")


def test_all_mistakes_come_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("mine")
    done = segtune(tmp_path, "init", "nowhere", "--trainable", "yolo_sag")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("segtune: init: 3 problems\n")
    assert "--out study.yaml: expected a file that is not there yet" in done.stderr
    assert "nowhere: expected a prepared data set, the folder does not exist" in done.stderr
    assert "got yolo_sag; did you mean yolo_seg?" in done.stderr
    assert (tmp_path / "study.yaml").read_text() == "mine"


def test_data_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", evaluation_only="no training part")
    with pytest.raises(UserError, match="prepared for evaluation only: no training part"):
        write_proposal(data, tmp_path / "study.yaml")
    assert not (tmp_path / "study.yaml").exists()


def test_a_name_of_the_data_set_stays_within_its_comment(tmp_path: Path) -> None:
    simulate(SPECS["demo"].model_copy(update={"images": 12}), tmp_path / "raw")
    prepare(tmp_path / "raw", tmp_path / "data", name="a\nfixed: {x: 1}\u2028#: é")
    plan, _ = planned(tmp_path / "data", tmp_path / "study.yaml", "simulated")
    assert plan.study.study == "a-fixed-x-1-simulated"


@pytest.mark.slow
@pytest.mark.ray
def test_the_proposed_study_of_the_simulated_engine_runs(prepared: Path, tmp_path: Path) -> None:
    made = segtune(tmp_path, "init", str(prepared), "--trainable", "simulated")
    assert made.returncode == 0, made.stderr
    assert "read it, then: segtune plan study.yaml" in made.stdout
    done = segtune(
        tmp_path, "tune", "study.yaml", "--set", "budget.trials=4", WANDB_MODE="disabled"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "studies/raw-simulated/report.html").is_file()
