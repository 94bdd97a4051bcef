"""What the documents say is what the code does."""

import re
from pathlib import Path

import pytest
import typer
import yaml
from pydantic import BaseModel

from search_spaces.domains import KINDS
from search_spaces.presets.registry import presets
from tests.support.places import ROOT
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.raw.formats.registry import FORMATS
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.registry import BUILT_IN
from tune.cli.main import app
from tune.plan.planning import plan_file
from tune.stopping.decision import Rule
from tune.study.study import Study

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
VERBS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

by_name = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    simulate(SPECS["demo"].model_copy(update={"images": 12}), folder / "raw")
    prepare(folder / "raw", folder / "data")
    return folder / "data"


def test_there_are_documents_and_examples() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "architecture.md"} <= {
        path.name for path in DOCUMENTS
    }
    assert len(EXAMPLES) >= 2


@by_name
def test_every_local_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text())
    for link in links:
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, link


@pytest.mark.parametrize("document", [*DOCUMENTS, *EXAMPLES], ids=lambda path: path.name)
def test_only_commands_that_exist_are_named(document: Path) -> None:
    named = re.findall(r"(?:`|^\$ |^# +)segtune ([a-z]+)", document.read_text(), re.MULTILINE)
    assert set(named) <= VERBS


def test_commands_are_found_where_they_are_named() -> None:
    assert len(re.findall(r"^\$ segtune [a-z]+", (ROOT / "README.md").read_text(), re.M)) >= 6


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `segtune ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(VERBS)


@pytest.mark.parametrize("document", ["README.md", "docs/data.md"])
def test_every_format_is_listed(document: str) -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / document).read_text(), re.MULTILINE)
    assert {entry.name for entry in FORMATS} <= set(listed)


def test_the_readme_lists_every_engine() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(BUILT_IN) <= set(listed)


def test_every_key_of_a_study_file_is_documented() -> None:
    listed = re.findall(
        r"^\| `([a-z._]+)` \|", (ROOT / "docs/study-file.md").read_text(), re.MULTILINE
    )
    for key in _keys(Study):
        assert key in listed or key.split(".")[0] in {"scheduler", "plateau"}, key
    assert {rule.value for rule in Rule} <= set(listed)


def _keys(spec: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in spec.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += _keys(inner, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def test_every_kind_of_domain_and_every_preset_is_documented() -> None:
    text = (ROOT / "docs/study-file.md").read_text()
    assert all(f"`{{{kind}: " in text for kind in KINDS)
    assert all(f"`{name}`" in text for name in presets("yolo_seg"))


@by_name
def test_yaml_in_documents_is_yaml(document: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE):
        yaml.safe_load(block)


def test_the_readmes_study_file_can_be_planned(prepared: Path, tmp_path: Path) -> None:
    (block,) = re.findall(
        r"^```yaml\n(study:.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "study.yaml").write_text(block)
    plan = plan_file(tmp_path / "study.yaml", [f"data={prepared}"])
    assert plan.directory == tmp_path / "studies" / "powder-yolo"
    assert plan.rungs == (25, 50, 100, 200)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_planned(example: Path, prepared: Path) -> None:
    plan = plan_file(example, [f"data={prepared}"])
    assert plan.directory.parent == ROOT / "studies"
    assert bool(plan.points) == ("points: []" not in example.read_text())


def test_the_example_with_every_key_has_every_key() -> None:
    written = yaml.safe_load((ROOT / "examples/powder.yaml").read_text())
    assert set(written) == set(Study.model_fields)
