"""Nodes whose Python lacks what segtune needs: told as that, in a sentence, and nobody crashes."""

from pathlib import Path

import pytest

from tests.support.servers.bare_python import bare_python
from tests.support.servers.heads import running_head
from tests.support.servers.ray_clusters import until
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import LIMIT_S, asked, log_of, reports, wait_for_reports

pytestmark = [pytest.mark.ray, pytest.mark.long]


def test_a_node_that_lacks_the_packages_is_left_out_of_a_study_and_ends_the_start_of_the_next(
    tmp_path: Path,
) -> None:
    write_study(
        tmp_path,
        study="bare",
        storage=str(tmp_path / "studies"),
        budget={"trials": 100, "epochs": 30},
        fixed={"epoch_seconds": 0.5},
        resources={"concurrent": 2, "cpus_per_trial": 1},
    )
    python = bare_python(tmp_path / "python")
    with running_head(cpus=1) as head:
        sent = asked(tmp_path, head.user, "submit", "study.yaml")
        assert sent.returncode == 0, sent.stderr
        study = tmp_path / "studies" / "bare"
        wait_for_reports(study, 2)
        head.add_node(2, python)
        log, words = study / "segtune.log", "the study goes on without that node"
        until("the node is left out", lambda: words in log.read_text(), LIMIT_S)
        wait_for_reports(study, reports(study) + 20)
        assert asked(tmp_path, head.user, "stop", "bare").returncode == 0
        said = log_of(head, "bare")
        assert said.count("cannot run trials: its Python cannot import ") == 1
        assert said.count(words) == 1
        assert "its worker died" not in said
        assert "Traceback" not in said

        refused = asked(tmp_path, head.user, "submit", "study.yaml")
        assert refused.returncode == 2
        assert "bare: nothing was started" in refused.stderr
        assert refused.stderr.count("its Python cannot import ") == 1
        assert "which segtune needs" in refused.stderr
        assert "Traceback" not in refused.stderr
