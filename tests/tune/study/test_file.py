from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune.errors import StudyError
from tune.study.file import Written, read_study_file, write_yaml


def read(folder: Path, text: str, *overrides: str) -> Written:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return read_study_file(path, overrides)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(StudyError) as error:
        read(folder, text)
    return str(error.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-5", 1e-5),
        ("1.0e-5", 1e-5),
        ("-2E+3", -2000.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("12:30", "12:30"),
        ("on", "on"),
        ("No", "No"),
        ("true", True),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("'1e-5'", "1e-5"),
        ("e5", "e5"),
        ("-", None),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(tmp_path: Path, written: str, value: object) -> None:
    if written == "-":
        assert read(tmp_path, "x:\n  -\n").values == {"x": [None]}
        return
    found = read(tmp_path, f"x: {written}\n").values["x"]
    assert (found, type(found)) == (value, type(value))


# YAML folds its own line breaks, such as U+0085, in keys; nobody names a key so
TEXTS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(values=st.dictionaries(st.sampled_from(["a", "b", "no", "1e5"]), VALUES, min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_reads_back_as_it_was(tmp_path: Path, values: dict[str, Any]) -> None:
    assert read(tmp_path, write_yaml(values)).values == values


@pytest.mark.parametrize("text", ["1e-5", "no", "010", "~", "1.", "true", "0o7", "null", ".inf"])
def test_a_text_that_looks_like_a_number_stays_a_text(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, write_yaml({"x": text})).values == {"x": text}


def test_a_key_given_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    written = read(tmp_path, "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n")
    assert [str(problem) for problem in written.problems] == [
        "b.c: expected every key once, got it again (line 5, first line 3); remove one",
        "a: expected every key once, got it again (line 6, first line 1); remove one",
    ]


def test_every_key_knows_its_line(tmp_path: Path) -> None:
    written = read(tmp_path, "a: 1\nb:\n  c: {d: 1}\n  e:\n    - f: 2\n")
    assert written.places == {
        "a": "line 1",
        "b": "line 2",
        "b.c": "line 3",
        "b.c.d": "line 3",
        "b.e": "line 4",
        "b.e.0.f": "line 5",
    }


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["expected a study (a mapping of keys to values), got an empty file", "study: my"]),
        ("# nothing\n", ["got an empty file"]),
        ("- a\n- b\n", ["expected a study (a mapping", "got a list"]),
        ("just words\n", ["got 'just words'"]),
        ("a: 1\nb: [1, 2\nc: 3\n", ["line 3, column 2: expected YAML, got 'c: 3'"]),
        ("a: 1\n\tb: 2\n", ["line 2, column 1: expected YAML"]),
        ("a: {b: 1\n", ["line 2", "expected YAML"]),
        ("a: *b\n", ["line 1", "undefined alias"]),
        ("a: &x [1, *x]\n", ["line 1", "an alias refers to what it is part of"]),
        ("a: !!python/object:os.system x\n", ["line 1", "could not determine a constructor"]),
        ("a: 1\n---\nb: 2\n", ["line 2", "expected a single document"]),
        ("a: " + "[" * 2000 + "]" * 2000, ["too deep a nesting"]),
    ],
    ids=lambda value: repr(value)[:20] if isinstance(value, str) else "",
)
def test_a_file_that_is_no_study_is_refused_in_one_line(
    tmp_path: Path, text: str, fragments: list[str]
) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(str(tmp_path / "study.yaml"))
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


def test_a_shared_anchor_is_allowed(tmp_path: Path) -> None:
    values = read(tmp_path, "a: &x {b: 1}\nc: [*x, *x]\n").values
    assert values == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}


def test_a_missing_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("a: 1")
    with pytest.raises(StudyError, match=r"stduy.yaml: expected a study file.*study.yaml\?"):
        read_study_file(tmp_path / "stduy.yaml")
    with pytest.raises(StudyError, match=r"got a folder; did you mean .*study.yaml\?"):
        read_study_file(tmp_path)
    with pytest.raises(StudyError, match="there is no folder"):
        read_study_file(tmp_path / "nowhere" / "study.yaml")


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes("study: käfer\n".encode("latin-1"))
    with pytest.raises(StudyError, match="expected text in UTF-8"):
        read_study_file(tmp_path / "study.yaml")


FILE = """\
budget: {trials: 50, epochs: 100}
search_space: yolo_seg
scheduler: {kind: asha, grace_period: 5}
warm_start: {points: [{lr0: 0.1}, {lr0: 0.2}]}
seed: 0
"""


@pytest.mark.parametrize(
    ("override", "keys", "value"),
    [
        ("budget.trials=8", ["budget"], {"trials": 8, "epochs": 100}),
        ("seed=3", ["seed"], 3),
        ("objective.metric=box_metrics/F1", ["objective"], {"metric": "box_metrics/F1"}),
        ("search_space.lr0={loguniform: [1e-5, 1e-3]}", ["search_space", "preset"], "yolo_seg"),
        ("search_space.lr0={fixed: 1e-5}", ["search_space", "lr0"], {"fixed": 1e-5}),
        ("search_space={a: {choice: [1]}}", ["search_space"], {"a": {"choice": [1]}}),
        ("scheduler.kind=none", ["scheduler"], {"kind": "none", "grace_period": 5}),
        ("scheduler=none", ["scheduler"], "none"),
        ("warm_start.points.1.lr0=0.3", ["warm_start", "points"], [{"lr0": 0.1}, {"lr0": 0.3}]),
        ("budget.hours=", ["budget", "hours"], None),
        ("study=a=b", ["study"], "a=b"),
        ("seed.deep=1", ["seed"], {"deep": 1}),
    ],
)
def test_an_override_replaces_just_its_key(
    tmp_path: Path, override: str, keys: list[str], value: object
) -> None:
    found: Any = read(tmp_path, FILE, override).values
    for key in keys:
        found = found[key]
    assert found == value


def test_an_override_of_a_searched_key_adds_to_the_default_preset(tmp_path: Path) -> None:
    overrides = ("search_space.box={uniform: [6, 7]}", "search_space.cls={fixed: 1}")
    given = {"box": {"uniform": [6, 7]}, "cls": {"fixed": 1}}
    for text in ("seed: 0\n", "seed: 0\nsearch_space:\n"):
        assert read(tmp_path, text, *overrides).values["search_space"] == {
            "preset": "default",
            **given,
        }
    own = read(tmp_path, "search_space: {lr0: {uniform: [0.1, 0.2]}}\n", *overrides)
    assert own.values["search_space"] == {"lr0": {"uniform": [0.1, 0.2]}, **given}
    script = read(tmp_path, "seed: 0\n", "search_space.preset=yolo_seg_script")
    assert script.values["search_space"] == {"preset": "yolo_seg_script"}


def test_later_overrides_win(tmp_path: Path) -> None:
    assert read(tmp_path, FILE, "seed=1", "seed=2").values["seed"] == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: expected KEY=VALUE such as budget.trials=8"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("a..b=3", "--set a..b=3: expected KEY=VALUE"),
        ("seed=[1", "--set seed=[1: line 1, column 3: expected YAML"),
        ("warm_start.points.7.lr0=1", "expected an item from 0 to 1 of the list, got 7"),
        ("seed={a: 1, a: 2}", "a: expected every key once"),
    ],
)
def test_a_broken_override_is_a_problem(tmp_path: Path, override: str, message: str) -> None:
    problems = read(tmp_path, FILE, override).problems
    assert len(problems) == 1
    assert message in str(problems[0])


def test_an_overridden_key_says_where_it_comes_from(tmp_path: Path) -> None:
    places = read(tmp_path, FILE, "budget={trials: 0, epochs: 1}").places
    assert places["budget"] == "--set"
    assert "budget.trials" not in places
    assert places["seed"] == "line 5"


def test_paths_start_at_the_files_folder_and_overridden_ones_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "w.pt").touch()
    text = "data: raw/../data\nstorage: gs://bucket/x\nfixed: {model: w.pt, name: x.pt}\n"
    (home / "study.yaml").write_text(text)
    monkeypatch.chdir(elsewhere)
    (tmp_path / "link.yaml").symlink_to(home / "study.yaml")
    for path in (home / "study.yaml", Path("../home/study.yaml"), tmp_path / "link.yaml"):
        values = read_study_file(path).values
        assert values["data"] == str(home / "data")
        assert values["storage"] == "gs://bucket/x"
        assert values["fixed"] == {"model": str(home / "w.pt"), "name": "x.pt"}
    assert read_study_file(home / "study.yaml", ["data=d"]).values["data"] == str(elsewhere / "d")
