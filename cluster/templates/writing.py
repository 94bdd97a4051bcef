"""Cluster files on the disk: mappings dumped as YAML, one or several in a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainables.files.whole import write_text


class _Dumper(yaml.SafeDumper):
    """Writes every mapping where it stands, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never write anchors."""
        del data
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _text)


def write_manifests(path: Path, head: str, manifests: Sequence[Mapping[str, Any]]) -> Path:
    """Write mappings as the documents of one YAML file, below a line that says what it is."""
    text = yaml.dump_all(
        [dict(manifest) for manifest in manifests],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    write_text(path, f"# {head}\n{text}")
    return path
