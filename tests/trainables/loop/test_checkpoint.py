"""The folder that a training goes on from."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from trainables.contract import (
    EpochMetrics,
    InfeasibleParams,
    UnreadableFile,
)
from trainables.loop.checkpoint import read_content, read_history, read_plain, write_checkpoint

MODEL = {"engine": "mine", "format": 1, "weights": {}}
HISTORY = [EpochMetrics(1, {"lr": 0.1}), EpochMetrics(2, {"lr": 0.05})]
CPU = torch.device("cpu")


def _written(directory: Path, epochs: int = 2) -> Path:
    return write_checkpoint(directory, MODEL, {"step": epochs}, HISTORY[:epochs])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "one").write_text("kept")
    folder = write_checkpoint(tmp_path, MODEL, {"step": 7}, HISTORY, [notes])
    assert folder == tmp_path / "checkpoint"
    assert read_history(folder) == HISTORY
    assert read_content(folder, "mine", 1) == read_content(folder / "model.pt", "mine", 1) == MODEL
    assert read_plain(folder / "state.pt", CPU, "mine") == {"step": 7}
    assert (folder / "notes" / "one").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"notes", "checkpoint"}


@pytest.mark.parametrize("other", ["checkpoint.old", "checkpoint.new"])
def test_a_kill_between_two_renames_loses_no_checkpoint(other: str, tmp_path: Path) -> None:
    folder = _written(tmp_path)
    folder.rename(folder.with_name(other))
    assert read_history(folder) == HISTORY
    assert read_plain(folder / "state.pt", CPU, "mine") == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_kill_while_writing_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    folder = _written(tmp_path, epochs=1)
    half = folder.with_name("checkpoint.new")
    shutil.copytree(folder, half)
    (half / "history.json").unlink()  # it is written last
    (half / "state.pt").write_bytes(b"half")
    assert read_history(folder) == HISTORY[:1]
    assert read_plain(folder / "state.pt", CPU, "mine") == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"junk", b"no model", b"PK broken"])
def test_a_broken_file_is_named(content: bytes, tmp_path: Path) -> None:
    folder = _written(tmp_path)
    (folder / "state.pt").write_bytes(content)
    with pytest.raises(InfeasibleParams, match=r"state\.pt: expected .* is no PyTorch file"):
        read_plain(folder / "state.pt", CPU, "mine")


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    folder = _written(tmp_path)
    file = folder / "model.pt"
    torch.save({"engine": "mine", "format": 1, "weights": torch.zeros(1000)}, file)
    whole = bytearray(file.read_bytes())
    whole[whole.index(bytes(3000)) + 1500] ^= 1
    file.write_bytes(whole)
    assert torch.load(file, weights_only=True)["weights"].any(), "PyTorch itself takes it"
    with pytest.raises(UnreadableFile, match=r"the checksum of \S+ in it differs"):
        read_content(folder, "mine", 1)


class _Code:
    """What runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def _damaged(file: Path, content: str) -> None:
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("model/data.pkl", content)
        written.writestr("model/version", "3")


@pytest.mark.parametrize(
    "write",
    [
        lambda file: torch.save({"engine": _Code()}, file),
        lambda file: _damaged(file, "garbage"),
        lambda file: _damaged(file, "junk"),
    ],
    ids=["code", "damaged", "cut"],
)
def test_more_than_plain_data_is_refused_without_pytorchs_advice_to_run_it(
    write: Callable[[Path], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match=r"more than plain data, .* damaged$") as told:
        read_content(tmp_path, "mine", 1)
    assert "weights_only" not in str(told.value)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("content", [None, [1, 2], torch.zeros(3)], ids=["none", "list", "tensor"])
def test_a_file_of_something_else_is_named(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    held = f"model.pt: expected .* got one that holds one {type(content).__name__}$"
    with pytest.raises(InfeasibleParams, match=held):
        read_content(tmp_path, "mine", 1)


def test_a_missing_model_and_one_of_another_engine_or_program_are_named(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleParams, match=r"expected a model of mine at .*, got no file"):
        read_content(tmp_path / "model.pt", "mine", 1)
    torch.save({"engine": "other", "format": 3}, tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match="got engine other and format 3"):
        read_content(tmp_path, "mine", 1)
    torch.save({"model": {}}, tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match="got a file that names no engine: another program"):
        read_content(tmp_path, "mine", 1)


def test_a_file_that_holds_code_is_refused(tmp_path: Path) -> None:
    torch.save({"engine": "mine", "weights": torch.nn.Linear(1, 1)}, tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match="one that cannot be read"):
        read_content(tmp_path, "mine", 1)
