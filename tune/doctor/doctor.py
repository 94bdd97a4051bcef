"""List of all checks of `segtune doctor`: whether this machine can run a study.

A check looks at one thing, changes nothing and returns `Check`s.
"""

import os
import sys
from pathlib import Path

from tune.doctor.check import Check
from tune.doctor.frameworks import check_engines, check_frameworks, check_torch
from tune.doctor.machine import (
    check_forkserver,
    check_gpus,
    check_python,
    check_ray,
    check_shared_memory,
    check_storage,
    check_temp,
    check_wandb,
)
from tune.doctor.packages import (
    check_opencv,
    check_packages,
    check_requirements,
    check_tested_set,
)


def check_all(storage: Path = Path("studies"), *, deep: bool = False) -> list[Check]:
    """Look at everything; about a second, or half a minute where frameworks are imported.

    Args:
        storage: Folder that studies are to be written to.
        deep: Whether the frameworks are also imported and asked for GPUs.
    """
    checks = [
        check_python(sys.version_info[:3]),
        *check_packages(),
        *check_requirements(),
        check_tested_set(Path(__file__).parents[2] / "constraints.txt"),
        *check_opencv(),
        *check_torch(),
        *check_engines(),
        check_gpus(),
        check_ray(os.environ, Path.home()),
        check_wandb(os.environ),
        check_storage(storage),
        check_temp(),
        check_shared_memory(),
        check_forkserver(),
    ]
    return [*checks, *check_frameworks()] if deep else checks
