import collections
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.support.models.planted import Planted
from trainables.files.pickles import pickled_names


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_pickle_would_run_is_named_and_not_run(protocol: int, tmp_path: Path) -> None:
    file, trace = tmp_path / "any.pkl", tmp_path / "trace"
    file.write_bytes(pickle.dumps([collections.OrderedDict(), Planted(trace)], protocol))
    names = pickled_names(file)
    assert "collections.OrderedDict" in names
    assert f"{os.name}.system" in names
    assert not trace.exists()
    pickle.loads(file.read_bytes())
    assert trace.exists(), "it would have"


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "older form"])
def test_pytorchs_files_are_read_in_both_forms(zipped: bool, tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch")
    content = {"weights": torch.ones(9), "more": Planted(tmp_path / "trace")}
    torch.save(content, tmp_path / "any.pt", _use_new_zipfile_serialization=zipped)
    names = pickled_names(tmp_path / "any.pt")
    assert f"{os.name}.system" in names
    assert "torch._utils._rebuild_tensor_v2" in names
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04", b"\x80\x02cos\nsys"])
def test_a_broken_file_names_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "any.pt").write_bytes(content)
    assert pickled_names(tmp_path / "any.pt") == []
