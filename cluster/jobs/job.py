"""A job as a cluster knows it: its name, its attempts, and what has become of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cluster.errors import JobError

LOST: Final = "LOST"
"""State of a job whose driver went with its node, which Ray calls RUNNING for ever."""

ENDED: Final = frozenset(("SUCCEEDED", "FAILED", "STOPPED", LOST))
"""States of jobs that have ended, in Ray's words but for `LOST`."""

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")

_KIND, _JOB_NAME, _CONTENT = "segtune", "name", "content"


@dataclass(frozen=True)
class Job:
    """One attempt at a job.

    Attributes:
        id: Ray's submission id: NAME of the first attempt, NAME~2 of the second.
        name: Name of the job.
        attempt: Number of the attempt, from 1.
        kind: What it does: "study", "measure".
        content: Hash of what it was sent with: what is to be done, without the code.
        metadata: All that it was sent with, as texts.
        state: Ray's word: PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED; or `LOST`.
        ray_id: Id of its driver within Ray; "" before it has one.
        node: Ray's id of the node of its driver; "" before it has one.
        started_s: Time of its start, s since 1970; None where Ray does not say.
        ended_s: Time of its end, s since 1970; None while it runs.
        message: What Ray says about its end.
    """

    id: str
    name: str
    attempt: int
    kind: str
    content: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    state: str = "PENDING"
    ray_id: str = ""
    node: str = ""
    started_s: float | None = None
    ended_s: float | None = None
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED


def submission_id(name: str, attempt: int) -> str:
    """Ray's id of an attempt at a job.

    >>> submission_id("powder", 1), submission_id("powder", 3)
    ('powder', 'powder~3')
    """
    return name if attempt == 1 else f"{name}~{attempt}"


def labels(name: str, kind: str, content: str, **more: str) -> dict[str, str]:
    """Metadata that tell a job of ours from others."""
    return {_KIND: kind, _JOB_NAME: name, _CONTENT: content, **more}


def read_job(details: Any) -> Job | None:
    """A job of ours from Ray's details of it; None for one of somebody else."""
    metadata = details.metadata or {}
    if details.submission_id is None or not {_KIND, _JOB_NAME} <= metadata.keys():
        return None
    attempt = details.submission_id.rpartition("~")[2]
    job = Job(
        id=details.submission_id,
        name=metadata[_JOB_NAME],
        attempt=int(attempt) if attempt.isdigit() and "~" in details.submission_id else 1,
        kind=metadata[_KIND],
        content=metadata.get(_CONTENT, ""),
        metadata=dict(metadata),
    )
    return as_it_is(job, details)


def as_it_is(job: Job, details: Any) -> Job:
    """A job as Ray's details of it say that it now is."""
    return replace(
        job,
        state=str(getattr(details.status, "value", details.status)),
        ray_id=details.job_id or "",
        node=details.driver_node_id or "",
        started_s=None if not details.start_time else details.start_time / 1000,
        ended_s=None if not details.end_time else details.end_time / 1000,
        message=details.message or "",
    )


def lost(job: Job) -> Job:
    """A job whose driver is gone with its node."""
    message = (
        f"{job.name}: the node of its driver is gone, and its log with it; `segtune submit` of the "
        "same file goes on with it"
    )
    return replace(job, state=LOST, message=message)


def checked_name(name: str) -> str:
    """A name that jobs may have.

    Raises:
        JobError: It has characters that ids and files cannot have.
    """
    if _NAME.fullmatch(name):
        return name
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:100]
    hint = f"; the nearest is {near}" if near else ""
    raise JobError(
        "--name: expected 1 to 100 letters (a-z), digits, - _ or . that begin with a letter or "
        f"digit, got {name!r}{hint}"
    )
