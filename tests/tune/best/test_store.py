import shutil
from pathlib import Path
from typing import Any, Literal

import pytest

from search_spaces.schema import Hyperparameters
from tests.support.servers.bucket_server import bucket_server
from tests.support.study_samples import write_data, write_study
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import engine_info, engines
from tune.best.backbones import backbone_of, given_backbone
from tune.best.configuration import BestConfig, ConfigOrigin, Reached
from tune.best.entries import DataKey, entry_name, not_comparable
from tune.best.store import STORE_VARIABLE, BestStore, store_place
from tune.best.table import cleared_lines, refuse_damaged, table_lines, used_lines
from tune.best.warm_start import best_points
from tune.errors import StoreError, StudyError, UsageError
from tune.plan.lines import plan_lines
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.plan.resolved import resolved, to_yaml
from tune.study.space import resolve_space
from tune.study.study import Bound

YOLO = engine_info("yolo_seg")
NANO, SMALL = "yolo11n-seg.yaml", "yolo11s-seg.yaml"
POWDER, NUCLEI = DataKey("powder", "p1"), DataKey("nuclei", "n1")


def best(key: DataKey = POWDER, backbone: str = NANO, **changes: Any) -> BestConfig:
    """A configuration of YOLO with its place in a store; `changes` are of any of its parts."""
    parts: dict[str, dict[str, Any]] = {
        "objective": {"metric": "seg_metrics/F1", "mode": "max", "value": 0.7, "epoch": 31},
        "data": {
            "path": Path("/data/powder"),
            "name": key.name,
            "fingerprint": key.fingerprint or "",
        },
        "source": {"study": f"{key.name}-yolo", "trial": 3, "trials": 24},
        "kept": {"backbone": backbone, "recorded": "2026-11-21T08:00:00+00:00"},
    }
    for values in parts.values():
        values |= {name: changes.pop(name) for name in list(changes) if name in values}
    whole = {
        "engine": "yolo_seg",
        "params": {"model": backbone, "lr0": 0.003, "batch": 8},
        "epochs": 40,
        "classes": ("particle",),
        **parts,
    }
    return BestConfig.model_validate({**whole, **changes})


@pytest.fixture
def store(tmp_path: Path) -> BestStore:
    return BestStore(str(tmp_path / "store"))


def shown(store: BestStore) -> list[str]:
    return table_lines(store.entries(), store.place)


def documents(store: BestStore) -> dict[str, str]:
    root = Path(store.place)
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.json")}


# --- what is found


def test_the_data_sets_best_comes_before_the_global_one_and_that_before_the_default(
    store: BestStore,
) -> None:
    found = store.find(YOLO, POWDER)
    assert (found.level, found.best) == ("default", None)
    assert found.line() == (
        f"engine default: nothing is recorded for the data set powder in {store.place}"
    )
    store.put(best(NUCLEI), everywhere=True)
    found = store.find(YOLO, POWDER)
    assert (found.level, found.best) == ("global", best(NUCLEI))
    assert found.line() == (
        "global best: seg_metrics/F1 0.7000 (nuclei-yolo, trial 3, 2026-11-21), tuned on nuclei; "
        f"{store.place} has none for the data set powder"
    )
    store.put(best(POWDER, value=0.5), everywhere=False)
    found = store.find(YOLO, POWDER)
    assert (found.level, found.best) == ("data set", best(POWDER, value=0.5))
    assert found.line() == (
        "best of the data set powder: seg_metrics/F1 0.5000 (powder-yolo, trial 3, 2026-11-21)"
    )
    assert store.find(YOLO, None).level == "global"


def test_what_is_set_for_one_data_set_never_changes_what_another_gets(store: BestStore) -> None:
    store.put(best(NUCLEI, params={"lr0": 0.001}), everywhere=False)
    nuclei, before = store.find(YOLO, NUCLEI), documents(store)
    unknown = store.find(YOLO, DataKey("fibres", "f1"))
    for value in (0.6, 0.8):
        store.put(best(POWDER, value=value, params={"mosaic": 0.0}), everywhere=False)
    assert store.find(YOLO, NUCLEI) == nuclei
    assert store.find(YOLO, DataKey("fibres", "f1")) == unknown
    assert before.items() <= documents(store).items()


def test_what_a_caller_does_to_a_configuration_reaches_no_other(store: BestStore) -> None:
    store.put(best(), everywhere=False)
    first = store.find(YOLO, POWDER).best
    assert first is not None
    first.params["lr0"] = 1.0
    second = store.find(YOLO, POWDER).best
    assert second is not None
    assert second.params["lr0"] == 0.003


def test_an_extended_data_set_keeps_its_best_and_the_difference_is_said(store: BestStore) -> None:
    store.put(best(), everywhere=False)
    found = store.find(YOLO, DataKey("powder", "p2"))
    assert found.level == "data set"
    assert found.line().endswith("the data set was changed since, so that value is not comparable")


def weights(folder: Path, content: str) -> str:
    """A weights file of one and the same name."""
    folder.mkdir(exist_ok=True)
    (folder / "best.pt").write_text(content)
    return str(folder / "best.pt")


def of_file(model: str, **changes: Any) -> BestConfig:
    params = {"model": model}
    return best(backbone=backbone_of(YOLO, params), params=params, **changes)


def test_a_weights_file_is_known_by_its_name_and_its_content_wherever_it_lies(
    store: BestStore, tmp_path: Path
) -> None:
    mine, copy = weights(tmp_path / "mine", "a"), weights(tmp_path / "copy", "a")
    other = weights(tmp_path / "other", "b")
    store.put(of_file(mine), everywhere=False)
    assert store.find_asked(YOLO, POWDER, copy)[0].best == of_file(mine)
    assert store.find_asked(YOLO, POWDER, other)[0].level == "default"
    store.put(of_file(other, value=0.6), everywhere=False)
    assert len(documents(store)) == 2
    assert store.find_asked(YOLO, POWDER, mine)[0].best == of_file(mine)
    assert store.find_asked(YOLO, POWDER, other)[0].best == of_file(other, value=0.6)


def test_a_recorded_file_that_is_not_at_hand_is_named_as_the_store_names_it(
    store: BestStore, tmp_path: Path
) -> None:
    files = [weights(tmp_path / name, name) for name in ("mine", "other")]
    recorded = [of_file(file) for file in files]
    store.put(recorded[0], everywhere=False)
    assert store.find(YOLO, POWDER, "best.pt").best == recorded[0]
    store.put(recorded[1], everywhere=False)
    assert store.find_asked(YOLO, POWDER, recorded[1].kept.backbone) == (
        store.find(YOLO, POWDER, recorded[1].kept.backbone),
        {},
    )
    with pytest.raises(StoreError, match="expected one model of yolo_seg, got 2") as error:
        store.find(YOLO, POWDER, "best.pt")
    assert all(best.kept.backbone in str(error.value) for best in recorded)
    with pytest.raises(UsageError, match=r"--backbone: expected a file, .*got best\.pt@0{12}"):
        store.find_asked(YOLO, POWDER, "best.pt@000000000000")
    assert len(cleared_lines(store, None, recorded[0].kept.backbone, None, everywhere=False)) == 1
    assert [entry.best for entry in store.entries()] == [recorded[1]]
    assert len(cleared_lines(store, None, "best.pt", None, everywhere=False)) == 1


def test_a_model_that_is_no_file_is_known_by_its_name() -> None:
    assert backbone_of(YOLO, {"model": "/gone/yolo11s-seg.pt"}) == "yolo11s-seg.pt"
    assert backbone_of(YOLO, {}) == NANO
    assert backbone_of(engine_info("simulated"), {"lr0": 1}) == ""


def test_a_backbone_that_an_engine_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="expected none, as simulated has but one, got r50"):
        given_backbone(engine_info("simulated"), "r50")
    with pytest.raises(UsageError, match=r"--backbone: mask_rcnn: expected .*did you mean r50\?"):
        given_backbone(engine_info("mask_rcnn"), "R50")


def test_every_engines_backbone_is_one_of_its_hyperparameters() -> None:
    for name in engines():
        info = engine_info(name)
        assert not info.backbone or info.backbone in info.params.model_fields


def test_without_a_backbone_the_one_recorded_is_found_and_of_several_one_is_asked_for(
    store: BestStore,
) -> None:
    store.put(best(backbone=SMALL), everywhere=False)
    assert store.find(YOLO, POWDER).best == best(backbone=SMALL)
    store.put(best(backbone=NANO, value=0.6), everywhere=False)
    assert store.find(YOLO, POWDER, NANO).best == best(backbone=NANO, value=0.6)
    with pytest.raises(StoreError, match="expected one model of yolo_seg, got 2") as error:
        store.find(YOLO, POWDER)
    assert f"{NANO}: seg_metrics/F1 0.6000" in str(error.value)
    assert f"{SMALL}: seg_metrics/F1 0.7000" in str(error.value)


@pytest.mark.parametrize(
    "name",
    ["grains, 10 µm", "a/b", "../up", ".hidden", "n" * 300, "global", "data", "(global)", "x.json"],
)
def test_any_name_of_a_data_set_has_a_document_of_its_own_inside_the_store(
    store: BestStore, name: str
) -> None:
    store.put(best(DataKey(name, "x")), everywhere=False)
    store.put(best(DataKey(f"{name}.", "x"), value=0.1), everywhere=False)
    store.put(best(value=0.2), everywhere=True)
    assert store.find(YOLO, DataKey(name)).best == best(DataKey(name, "x"))
    assert store.find(YOLO, NUCLEI).best == store.find(YOLO, None).best == best(value=0.2)
    assert {path.parts[0] for path in map(Path, documents(store))} == {"yolo_seg"}
    assert [entry.level for entry in store.entries()].count("global") == 1
    assert len(documents(store)) == 3
    cleared_lines(store, None, None, None, everywhere=True)
    assert [entry.level for entry in store.entries()] == ["data set", "data set"]


# --- what is recorded


def test_a_worse_configuration_of_the_same_data_and_metric_is_refused(store: BestStore) -> None:
    store.put(best(), everywhere=False)
    for everywhere in (False, True):
        store.put(best(), everywhere=everywhere)
        with pytest.raises(StoreError, match=r"got seg_metrics/F1 0\.6000 \(worse, .*; --force"):
            store.put(best(value=0.6, study="worse"), everywhere=everywhere)
    assert store.put(best(value=0.6), everywhere=False, force=True) == best()
    assert store.find(YOLO, POWDER).best == best(value=0.6)


def test_of_a_metric_that_is_better_when_smaller_the_larger_value_is_worse(
    store: BestStore,
) -> None:
    loss: dict[str, Any] = {"metric": "val/loss", "mode": "min"}
    store.put(best(value=0.3, **loss), everywhere=False)
    store.put(best(value=0.2, **loss), everywhere=False)
    with pytest.raises(StoreError, match="--force"):
        store.put(best(value=0.3, **loss), everywhere=False)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"fingerprint": "p2", "path": Path("/new/powder")}, "fingerprint of the pictures"),
        ({"metric": "seg_metrics/map50"}, "metric"),
        ({"metric": "val/loss", "mode": "min"}, "metric and direction"),
    ],
)
@pytest.mark.parametrize("everywhere", [False, True])
def test_what_cannot_be_compared_is_replaced_by_force_only(
    store: BestStore, other: dict[str, Any], differs: str, everywhere: bool
) -> None:
    known, new = best(path=Path("/old/powder")), best(value=0.9, study="mine", **other)
    store.put(known, everywhere=everywhere)
    with pytest.raises(StoreError) as error:
        store.put(new, everywhere=everywhere)
    said = str(error.value)
    assert f"(it differs in {differs})" in said
    assert f"known is {known.told} on powder in /old/powder, fingerprint p1" in said
    assert f"got {new.told}" in said
    assert "--force" in said
    assert store.find(YOLO, POWDER).best == known
    assert not_comparable(known, new) == differs
    assert store.put(new, everywhere=everywhere, force=True) == known
    assert store.find(YOLO, POWDER).best == new


def test_another_data_sets_best_does_not_become_the_global_one_unasked(store: BestStore) -> None:
    store.put(best(POWDER), everywhere=True)
    with pytest.raises(StoreError, match="differs in data set and fingerprint of the pictures"):
        store.put(best(NUCLEI, value=0.9), everywhere=True)
    store.put(best(NUCLEI, value=0.9), everywhere=True, force=True)
    assert store.find(YOLO, None).best == best(NUCLEI, value=0.9)


def test_a_store_in_a_bucket_is_as_one_in_a_folder(tmp_path: Path) -> None:
    with bucket_server() as address:
        store = BestStore(f"{address}/team/best")
        assert store.find(YOLO, POWDER).level == "default"
        store.put(best(), everywhere=False)
        store.put(best(NUCLEI, backbone=SMALL), everywhere=True)
        assert store.put(best(value=0.8), everywhere=False) == best()
        with pytest.raises(StoreError, match="--force"):
            store.put(best(), everywhere=False)
        assert store.find(YOLO, POWDER).best == best(value=0.8)
        assert store.find(YOLO, NUCLEI).level == "global"
        assert len(shown(store)) == 3
        assert store.clear(store.entries()) == 2
        assert store.find(YOLO, POWDER).level == "default"


# --- what is wrong


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe\x00",
    best().model_dump_json().replace("0.7", "NaN").encode(),
    best().model_dump_json().replace("0.7", "null").encode(),
    best().model_dump_json().replace("powder-yolo", "p\u00fc").encode("latin-1"),
    best(NUCLEI).model_dump_json().encode(),
    best(backbone=SMALL).model_dump_json().encode(),
    best().model_dump_json().replace("yolo_seg", "mask_rcnn").encode(),
]


@pytest.fixture(params=DAMAGED)
def damaged(request: pytest.FixtureRequest, store: BestStore) -> Path:
    """The document of an entry of powder that cannot be read, beside a good one of nuclei."""
    store.put(best(NUCLEI), everywhere=False)
    store.put(best(), everywhere=False)
    file = Path(store.place) / entry_name(best(), everywhere=False)
    assert file.is_file()
    file.write_bytes(request.param)
    return file


def test_a_damaged_entry_is_named_and_the_others_are_shown(store: BestStore, damaged: Path) -> None:
    with pytest.raises(StoreError) as used:
        store.find(YOLO, POWDER)
    assert str(used.value).startswith(f"{damaged}: expected a best configuration")
    assert [line.split()[2] for line in shown(store)] == ["data", "nuclei"]
    with pytest.raises(StoreError) as named:
        refuse_damaged(store.entries())
    assert str(named.value) == str(used.value)
    (used_line, *_) = used_lines(store, "yolo_seg", None, "nuclei")
    assert used_line.startswith("best of the data set nuclei")


def test_a_damaged_entry_is_replaced_by_force(store: BestStore, damaged: Path) -> None:
    with pytest.raises(StoreError, match="segtune best set --force"):
        store.put(best(value=0.1), everywhere=False)
    assert store.put(best(value=0.1), everywhere=False, force=True) is None
    assert store.find(YOLO, POWDER).best == best(value=0.1)
    refuse_damaged(store.entries())


def test_a_damaged_entry_is_cleared_as_its_message_says(store: BestStore, damaged: Path) -> None:
    with pytest.raises(StoreError) as error:
        store.find(YOLO, POWDER)
    options = f"--trainable yolo_seg --backbone {NANO} --data powder --store {store.place}`"
    assert options in str(error.value)
    lines = cleared_lines(store, "yolo_seg", NANO, "powder", everywhere=False)
    assert lines == [f"cleared yolo_seg, {NANO}, powder, could not be read"]
    assert [entry.best for entry in store.entries()] == [best(NUCLEI)]


def test_an_entry_that_was_copied_to_another_data_set_is_not_taken_for_its_best(
    store: BestStore,
) -> None:
    store.put(best(NUCLEI), everywhere=False)
    mine = Path(store.place) / entry_name(best(NUCLEI), everywhere=False)
    shutil.copy(mine, mine.with_name("powder.json"))
    with pytest.raises(StoreError, match=rf"it is of yolo_seg {NANO} on nuclei, moved here"):
        store.find(YOLO, POWDER)
    store.put(best(NUCLEI), everywhere=True)  # the one place for any data set's
    mine.with_name("powder.json").unlink()
    assert store.find(YOLO, POWDER).best == best(NUCLEI)


OLD_DOCUMENT = """{
  "format": 1,
  "engine": "yolo_seg",
  "backbone": "yolo11n-seg.yaml",
  "data_set": "powder",
  "fingerprint": "p1",
  "data": "/data/powder",
  "params": {
    "model": "yolo11n-seg.yaml",
    "lr0": 0.003,
    "batch": 8
  },
  "sampled": ["lr0", "batch"],
  "epochs": 40,
  "seed": 1234567,
  "cpus": 2,
  "metric": "seg_metrics/F1",
  "mode": "max",
  "value": 0.7,
  "epoch": 31,
  "study": "powder-yolo, retrained",
  "trial": 3,
  "trials": 24,
  "recorded": "2026-11-21T08:00:00+00:00",
  "segtune": "0.1.0"
}
"""
"""As segtune 0.1.0 wrote it, before a document held the same value as a best.yaml."""


def test_a_document_of_segtune_0_1_opens_as_the_configuration_it_is(store: BestStore) -> None:
    file = Path(store.place) / "yolo_seg" / NANO / "data" / "powder.json"
    file.parent.mkdir(parents=True)
    file.write_text(OLD_DOCUMENT)
    found = store.find(YOLO, POWDER)
    assert found.best == best(
        sampled=("lr0", "batch"),
        seed=1234567,
        cpus=2,
        classes=(),
        source=ConfigOrigin(
            study="powder-yolo", trial=3, trials=24, retrained=True, segtune="0.1.0"
        ),
    )
    assert found.line() == (
        "best of the data set powder: seg_metrics/F1 0.7000 (powder-yolo, retrained, trial 3, "
        "2026-11-21)"
    )
    refuse_damaged(store.entries())
    with pytest.raises(StoreError, match="expected a better configuration"):
        store.put(best(value=0.6), everywhere=False)
    assert store.put(best(value=0.8), everywhere=False) == found.best
    assert store.find(YOLO, POWDER).best == best(value=0.8)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"value": 0.7', '"value": null', "objective.value: expected a value, got none"),
        ('"epoch": 31', '"epoch": "31"', "objective.epoch: Input should be a valid integer"),
        ('  "metric": "seg_metrics/F1",\n', "", "objective.metric: Field required"),
    ],
)
def test_a_damaged_document_of_segtune_0_1_is_named_with_its_reason(
    store: BestStore, old: str, new: str, reason: str
) -> None:
    assert old in OLD_DOCUMENT
    file = Path(store.place) / "yolo_seg" / NANO / "data" / "powder.json"
    file.parent.mkdir(parents=True)
    file.write_text(OLD_DOCUMENT.replace(old, new))
    with pytest.raises(StoreError) as error:
        store.find(YOLO, POWDER)
    assert f"{file}: expected a best configuration" in str(error.value)
    assert reason in str(error.value)


def test_of_two_under_the_same_constraints_the_one_that_keeps_them_is_better(
    store: BestStore,
) -> None:
    def held(value: float, error: float) -> BestConfig:
        objective = Reached(
            metric="seg_metrics/F1",
            value=value,
            epoch=3,
            constraints={"measure/count_error": Bound(at_most=0.1)},
        )
        return best(objective=objective, metrics={"measure/count_error": error})

    store.put(held(0.9, 0.3), everywhere=False)
    assert store.put(held(0.6, 0.1), everywhere=False) == held(0.9, 0.3)
    with pytest.raises(StoreError, match="expected a better configuration"):
        store.put(held(0.9, 0.3), everywhere=False)
    assert store.put(best(value=0.7), everywhere=False) == held(0.6, 0.1), "without: by value"


def test_an_entry_that_the_engine_no_longer_accepts_is_refused_with_every_reason(
    store: BestStore,
) -> None:
    store.put(best(params={"lr0": 7, "mosaics": 1}), everywhere=False)
    with pytest.raises(StoreError) as error:
        store.find(YOLO, POWDER)
    for said in ("lr0: ", "got 7", "mosaics: ", "did you mean mosaic?", "segtune best clear"):
        assert said in str(error.value)


def test_other_files_in_the_folder_are_no_entries(store: BestStore, tmp_path: Path) -> None:
    store.put(best(), everywhere=False)
    (tmp_path / "store" / "trials" / "0").mkdir(parents=True)
    (tmp_path / "store" / "trials" / "0" / "params.json").write_text("{}")
    (tmp_path / "store" / "notes.json").write_text("{}")
    assert [entry.best for entry in store.entries()] == [best()]


def test_a_store_is_as_given_else_that_of_the_environment_else_beside_the_studies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(STORE_VARIABLE, raising=False)
    assert store_place() == "studies/best-configs"
    assert store_place(storage=Path("/data/studies")) == "/data/studies/best-configs"
    monkeypatch.setenv(STORE_VARIABLE, "gs://team/best")
    assert store_place(storage=Path("/data/studies")) == "gs://team/best"
    assert store_place("here") == "here"


# --- what is shown


def test_where_data_sets_have_a_best_and_none_is_global_just_that_is_said(store: BestStore) -> None:
    store.put(best(), everywhere=False)
    assert used_lines(store, "yolo_seg", None, None)[0].startswith(
        f"engine default: no global best is recorded in {store.place} (--data asks for a data "
        "set's own); the warm-start point"
    )


def test_the_table_has_a_row_for_every_entry(store: BestStore) -> None:
    assert "nothing is recorded" in shown(store)[0]
    store.put(best(), everywhere=False)
    store.put(best(NUCLEI, backbone=SMALL, trial=None), everywhere=True)
    assert [line.split() for line in shown(store)[1:]] == [
        f"yolo_seg {NANO} powder seg_metrics/F1 0.7000 powder-yolo, trial 3 2026-11-21".split(),
        f"yolo_seg {SMALL} (global) seg_metrics/F1 0.7000 nuclei-yolo 2026-11-21".split(),
    ]


def test_values_are_shown_as_a_study_file_has_them(store: BestStore) -> None:
    values = {"cos_lr": False, "amp": True, "workers": None}
    store.put(best(params={"model": NANO, **values}), everywhere=True)
    assert used_lines(store, "yolo_seg", None, None)[3:] == [
        "  cos_lr: false",
        "  amp: true",
        "  workers: null",
    ]


def test_the_configuration_that_would_be_used_is_shown(store: BestStore, tmp_path: Path) -> None:
    data = str(write_data(tmp_path / "data"))
    lines = used_lines(store, "yolo_seg", None, data)
    assert lines[0].startswith("engine default: ")
    assert lines[0].endswith("; the warm-start point of its preset yolo_seg is taken")
    assert "  lr0: 0.002" in lines
    store.put(best(), everywhere=False)
    for asked in (data, "powder"):
        lines = used_lines(store, "yolo_seg", None, asked)
        assert lines[0].startswith("best of the data set powder: seg_metrics/F1 0.7000")
        assert lines[1:] == [
            "epoch 31 of 40, the best of 24 trials",
            f"  model: {NANO}",
            "  lr0: 0.003",
            "  batch: 8",
        ]
    with pytest.raises(UsageError, match=r"\(powder\), got 'powdr'; did you mean powder\?"):
        used_lines(store, "yolo_seg", None, "powdr")


def test_only_what_is_named_is_cleared(store: BestStore) -> None:
    for data in (POWDER, NUCLEI):
        for backbone in (NANO, SMALL):
            store.put(best(data, backbone), everywhere=False)
    store.put(best(), everywhere=True)
    cleared_lines(store, "yolo_seg", NANO, "powder", everywhere=False)
    assert store.find(YOLO, POWDER, NANO).level == "global"
    cleared_lines(store, None, None, None, everywhere=True)
    assert store.find(YOLO, POWDER, NANO).level == "default"
    assert len(store.entries()) == 3
    with pytest.raises(UsageError, match="got engine simulated"):
        cleared_lines(store, "simulated", None, None, everywhere=False)
    cleared_lines(store, "yolo_seg", None, "nuclei", everywhere=False)
    assert [entry.best for entry in store.entries()] == [best(POWDER, SMALL)]
    assert len(cleared_lines(store, None, None, None, everywhere=False)) == 1
    assert store.entries() == []


# --- as a warm start


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BestStore:
    """The store that a study in `tmp_path` looks into."""
    monkeypatch.delenv(STORE_VARIABLE, raising=False)
    return BestStore(str(tmp_path / "studies" / "best-configs"))


def plan(folder: Path, **changes: Any) -> StudyPlan:
    asked = {"trainable": "yolo_seg", "warm_start": {"best": True}, **changes}
    return plan_file(write_study(folder, **asked))


SPACE = {
    "lr0": {"loguniform": [0.01, 0.1]},
    "batch": {"choice": [4, 8, 16]},
    "optimizer": {"fixed": "AdamW"},
}


def test_the_best_known_is_tried_first_inside_the_space(tmp_path: Path, beside: BestStore) -> None:
    beside.put(best(), everywhere=False)
    points = {"warm_start": {"best": True, "points": [{"batch": 4}]}}
    made = plan(tmp_path, search_space=SPACE, **points)
    assert made.points == ({"lr0": 0.01, "batch": 8}, {"batch": 4})
    (line,) = made.best
    assert line.startswith("best of the data set powder: seg_metrics/F1 0.7000")
    assert line.endswith(f"({NANO}); brought into the space: lr0 0.003 to 0.01")
    assert any(line.startswith("from store  best of the data set") for line in plan_lines(made))
    assert resolved(made)["best"] == [line]


def test_the_presets_points_follow_the_best_and_none_is_tried_twice(
    tmp_path: Path, beside: BestStore
) -> None:
    default = plan(tmp_path, warm_start={}).points
    beside.put(best(params=dict(default[1])), everywhere=False)
    made = plan(tmp_path)
    assert made.points[0] == default[1]
    assert sorted(map(str, made.points)) == sorted(map(str, default))


def test_nothing_known_leaves_the_points_and_is_said(tmp_path: Path, beside: BestStore) -> None:
    made = plan(tmp_path)
    assert made.points == plan(tmp_path, warm_start={}).points
    assert made.best[0].startswith("engine default: nothing is recorded for the data set powder")
    assert not Path(beside.place).exists()


def test_of_a_searched_backbone_the_best_of_each_value_is_tried(
    tmp_path: Path, beside: BestStore
) -> None:
    beside.put(best(backbone=NANO), everywhere=False)
    beside.put(best(NUCLEI, backbone=SMALL, params={"lr0": 0.05}), everywhere=True)
    sizes = {"model": {"choice": [SMALL, "yolo11m-seg.yaml", NANO]}}
    made = plan(tmp_path, search_space={**SPACE, **sizes}, warm_start={"best": True, "points": []})
    assert made.points == (
        {"model": SMALL, "lr0": 0.05, "batch": 16},
        {"model": NANO, "lr0": 0.01, "batch": 8},
    )
    assert [line.split()[0] for line in made.best] == ["global", "engine", "best"]


def test_only_the_fixed_backbones_best_is_taken(tmp_path: Path, beside: BestStore) -> None:
    beside.put(best(backbone=SMALL), everywhere=False)
    none = {"best": True, "points": []}
    assert plan(tmp_path, search_space=SPACE, warm_start=none).points == ()
    made = plan(tmp_path, search_space=SPACE, warm_start=none, fixed={"model": SMALL})
    assert made.points == ({"lr0": 0.01, "batch": 8},)


def test_a_value_that_is_no_choice_of_the_space_becomes_one(
    tmp_path: Path, beside: BestStore
) -> None:
    beside.put(best(params={"optimizer": "auto", "batch": 7}), everywhere=False)
    space = {**SPACE, "optimizer": {"choice": ["SGD", "AdamW"]}}
    made = plan(tmp_path, search_space=space, warm_start={"best": True, "points": []})
    assert made.points == ({"lr0": 0.01, "batch": 8, "optimizer": "SGD"},)


class Loose(Hyperparameters):
    width: Literal["auto"] | int = "auto"
    depth: int | None = None
    lr0: float = 0.1


def test_what_is_no_number_where_the_space_has_numbers_is_left_to_the_sampler(
    tmp_path: Path, store: BestStore
) -> None:
    info = EngineInfo("loose", Loose, ("seg_metrics",), "seg_metrics/F1", "none")
    data = PreparedDataset.load(write_data(tmp_path / "data"))
    store.put(best(engine="loose", backbone="", params={"width": "auto"}), everywhere=False)
    space = {"width": {"randint": [1, 9]}, "depth": {"randint": [1, 9]}, "lr0": {"uniform": [0, 1]}}
    resolved_space, problems = resolve_space(info, space, {})
    assert problems == []
    assert best_points(store, info, resolved_space, data).points == ({"lr0": 0.1},)


def test_a_study_that_began_does_not_look_into_the_store_again(
    tmp_path: Path, beside: BestStore
) -> None:
    beside.put(best(), everywhere=False)
    made = plan(tmp_path, search_space=SPACE)
    (tmp_path / "resolved.yaml").write_text(to_yaml(made))
    beside.put(best(value=0.9, params={"lr0": 0.1, "batch": 16}), everywhere=False)
    again = plan_file(tmp_path / "resolved.yaml")
    assert again.points == made.points == ({"lr0": 0.01, "batch": 8},)
    assert again.best == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"search": "grid", "search_space": {"batch": {"choice": [4, 8]}}},
            "warm_start.best: expected false with search: grid",
        ),
        ({"warm_start": {"best": "yes"}}, "warm_start.best: expected true or false, got 'yes'"),
        ({}, "warm_start.best: "),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, beside: BestStore, changes: dict[str, Any], says: str
) -> None:
    beside.put(best(), everywhere=False)
    (Path(beside.place) / entry_name(best(), everywhere=False)).write_text("{")
    with pytest.raises(StudyError) as error:
        plan(tmp_path, **changes)
    assert says in str(error.value)
    assert "1 problem\n" in str(error.value)
