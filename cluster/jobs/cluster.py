"""A cluster that is asked from another machine: Ray's Jobs client, with our words and limits.

Every question has a time limit, and what goes wrong is one sentence: no token, a wrong one, and no
contact are three different ones.
"""

import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests

from cluster.errors import ClusterError, ContactError, JobError, LoginError, NameTakenError
from cluster.jobs.job import LOST, Job, as_it_is, lost, read_job, submission_id
from cluster.jobs.leftovers import MARK
from cluster.jobs.login import ADDRESS_VARIABLE, Login
from search_spaces.names import nearest_name

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

T = TypeVar("T")

_FIRST_S: Final = (1.5, 1.0)
"""Time limits of the first question: to be connected, and to be answered."""

_BUSY_S: Final = (1.5, 10.0)
"""The same of a cluster that is there and has not answered: its head may be busy."""

_LATER_S: Final = (5.0, 30.0)

_AGENT_S: Final = 30.0
"""Time that a head has from its first answer until it takes jobs, s."""

_AWAY: Final = re.compile(r"status code (502|503|504)\b")
"""What Ray's client says where a proxy does not reach the head."""

_REDIRECTED: Final = (ADDRESS_VARIABLE, "RAY_ADDRESS")
"""Variables that Ray's client would follow instead of the address that it is given."""

_NODES_S: Final = 5.0  # from one look at the cluster's nodes to the next

STOP_WAIT_S: Final = 60
"""Time that a job has to end in order before Ray ends it, s; Ray's own is 3."""


class Cluster:
    """A cluster that answers.

    Args:
        login: Address and token.

    Raises:
        LoginError: It wants a token, or another one.
        ContactError: It does not answer.
    """

    def __init__(self, login: Login) -> None:
        self.login = login
        self.ray_version = _first_answer(login)
        self._made: JobSubmissionClient | None = None
        self._looked, self._nodes = float("-inf"), frozenset[str]()

    def jobs(self) -> list[Job]:
        """Every attempt at a job of ours, oldest first."""
        listed = self._ask(lambda client: client.list_jobs())
        found = [self._seen(job) for details in listed if (job := read_job(details)) is not None]
        return sorted(found, key=lambda job: (job.started_s or time.time(), job.attempt))

    def latest(self, name: str) -> Job | None:
        """The last attempt at a job; None where there is none of that name."""
        named = [job for job in self.jobs() if job.name == name]
        return max(named, key=lambda job: job.attempt, default=None)

    def named(self, name: str) -> Job:
        """The last attempt at a job.

        Raises:
            JobError: There is no job of that name.
        """
        names = {job.name: None for job in self.jobs()}
        job = self.latest(name) if name in names else None
        if job is None:
            there = ", ".join(list(names)[-5:]) or "none"
            raise JobError(
                f"{name}: expected a job on {self.login.address}, found none of that name"
                f"{nearest_name(name, list(names))}; there: {there}"
            )
        return job

    def refreshed(self, job: Job) -> Job:
        """The same attempt as it is now."""
        return self._seen(as_it_is(job, self._ask(lambda client: client.get_job_info(job.id))))

    def _seen(self, job: Job) -> Job:
        """A job as it is: one that Ray still calls running is lost if its driver's node is.

        So it is of a head that was started again with its tables, as another node than before.
        """
        if job.ended or not job.node:
            return job
        if (now := time.monotonic()) - self._looked >= _NODES_S:
            self._looked = now
            there = self.state("nodes")
            self._nodes = frozenset(n["node_id"] for n in there if n.get("state") == "ALIVE")
        return job if job.node in self._nodes or not self._nodes else lost(job)

    def submit(
        self,
        name: str,
        attempt: int,
        command: Sequence[str],
        metadata: Mapping[str, str],
        package: Path,
    ) -> str:
        """Send a job; returns its id.

        What it is sent with stands in Ray's lists and logs, so no secret is ever among it.

        Args:
            name: Name of the job.
            attempt: Number of the attempt.
            command: Command of its driver, which runs on the head and asks for no share of it.
            metadata: From `labels`.
            package: Zip that becomes its folder on every node.

        Raises:
            NameTakenError: There is such an attempt already.
        """
        job_id = submission_id(name, attempt)
        variables = {MARK: job_id, "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}
        order: dict[str, Any] = {
            "entrypoint": shlex.join(command),
            "submission_id": job_id,
            "metadata": dict(metadata),
            "runtime_env": {"working_dir": str(package), "env_vars": variables},
            "entrypoint_num_cpus": 0,
        }
        deadline = time.monotonic() + _AGENT_S
        while True:
            try:
                self._ask(lambda client: client.submit_job(**order))
            except JobError as error:
                if "already exists" in str(error):
                    raise NameTakenError(f"{job_id}: there is such a job already") from error
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(1.0)  # a head that has just started has none yet
            else:
                return job_id

    def log(self, job: Job) -> str:
        """All that a job has printed so far; of one that is lost nothing."""
        if job.state == LOST:
            return ""
        return str(self._ask(lambda client: client.get_job_logs(job.id)))

    def stop(self, job_id: str) -> None:
        """Ask a job to end."""
        self._ask(lambda client: client.stop_job(job_id))

    def forget(self, job_id: str) -> None:
        """Take a job that has ended off the cluster's list."""
        self._ask(lambda client: client.delete_job(job_id))

    def state(self, what: str) -> list[dict[str, Any]]:
        """What Ray's state API lists: "actors", "placement_groups", "nodes"."""
        path = f"/api/v0/{what}?limit=10000&detail=1&timeout=10"
        answer = self._ask(lambda client: client._do_request("GET", path).json())
        listed: list[dict[str, Any]] = answer.get("data", {}).get("result", {}).get("result", [])
        return listed

    def put_piece(self, name: str, content: bytes) -> None:
        """Leave some bytes in the memory of the head, for a job to take."""
        path = f"/api/packages/gcs/{name}"
        answer = self._ask(lambda client: client._do_request("PUT", path, data=content))
        if answer.status_code != requests.codes.ok:
            raise JobError(f"{self.login.address}: {_last_sentence(answer.text)}")

    def has_piece(self, name: str) -> bool:
        """Whether the bytes of a name are still there."""
        path = f"/api/packages/gcs/{name}"
        answer = self._ask(lambda client: client._do_request("GET", path))
        return bool(answer.status_code == requests.codes.ok)

    def _ask(self, question: "Callable[[JobSubmissionClient], T]") -> T:
        """An answer, or the one sentence that says why there is none."""
        from ray.exceptions import AuthenticationError  # put off: slow to import

        try:
            return question(self._client())
        except AuthenticationError as error:
            raise _refused(self.login, 401 if "required" in str(error) else 403) from error
        except (requests.exceptions.RequestException, ConnectionError) as error:
            raise _no_contact(self.login, error) from error
        except RuntimeError as error:
            if away := _AWAY.search(str(error)):
                raise ContactError(
                    f"{self.login.address}: expected an answer of the cluster, got "
                    f"{away.group(1)} of what stands before it (a proxy, a tunnel); does it run?"
                ) from error
            if "Cannot connect to host" in str(error):
                raise ContactError(
                    f"{self.login.address}: its head does not reach the node of the job's driver"
                ) from error
            raise JobError(f"{self.login.address}: {_last_sentence(str(error))}") from error

    def _client(self) -> "JobSubmissionClient":
        if self._made is None:
            self._made = _client_of(self.login)
        return self._made


def _first_answer(login: Login) -> str:
    """Ray's version of a cluster, asked with little patience."""
    where = f"{login.address}/api/version"
    try:
        try:
            answer = requests.get(where, headers=login.headers, timeout=_FIRST_S)
        except requests.exceptions.ReadTimeout:
            answer = requests.get(where, headers=login.headers, timeout=_BUSY_S)
    except requests.exceptions.RequestException as error:
        raise _no_contact(login, error) from error
    if answer.status_code in (401, 403):
        raise _refused(login, answer.status_code)
    try:
        version: str = answer.json()["ray_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ContactError(
            f"{login.address}: expected the dashboard of a Ray cluster, got something else "
            f"(HTTP status {answer.status_code}); its port is 8265 where nobody chose another"
        ) from error
    return version


def _refused(login: Login, status: int) -> LoginError:
    if status == 401:
        return LoginError(
            f"{login.address}: expected a token, got none (401): put the cluster's into a file of "
            "mode 0600 and its name into RAY_AUTH_TOKEN_PATH"
        )
    return LoginError(
        f"{login.address}: expected the cluster's token, got another one (403): `ray "
        "get-auth-token` on its head prints it; RAY_AUTH_TOKEN comes before RAY_AUTH_TOKEN_PATH"
    )


def _no_contact(login: Login, error: Exception) -> ClusterError:
    if isinstance(error, requests.exceptions.SSLError):
        return ContactError(
            f"{login.address}: expected a certificate that this machine trusts, got another; "
            "REQUESTS_CA_BUNDLE names the file of one's own authority"
        )
    if isinstance(error, requests.exceptions.ReadTimeout):
        return ContactError(f"{login.address}: is there, but does not answer; try again later")
    return ContactError(
        f"{login.address}: cannot be reached ({_cause(error)}); does the cluster run, and is there "
        "a way to it (a tunnel, a port-forward)? What runs on it goes on"
    )


def _cause(error: BaseException) -> str:
    """What a connection failed with, in a word or two."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    inner = error.__cause__ or error.__context__
    text = str(error if inner is None else inner)
    found = re.search(r"Connection refused|Name or service not known|No route to host|reset", text)
    return found.group(0).lower() if found else type(error).__name__


def _client_of(login: Login) -> "JobSubmissionClient":
    """Ray's client for exactly this address and token, with a time limit on all that it asks.

    Raises:
        ClusterError: Ray is here without its Jobs client.
    """
    from ray.job_submission import JobSubmissionClient  # put off: slow to import

    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)

    class Limited(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": _LATER_S, **more})

    kept = {name: os.environ.pop(name) for name in _REDIRECTED if name in os.environ}
    try:
        return Limited(login.address, headers=login.headers)
    except RuntimeError as error:
        if "ray[default]" in str(error):
            raise ClusterError(
                "expected Ray's Jobs client, which is not installed: pip install 'segtune[cluster]'"
            ) from error
        raise
    finally:
        os.environ.update(kept)


def _last_sentence(text: str) -> str:
    """What a server says, without its traceback."""
    lines = [line.strip() for line in text.strip().rstrip(".").splitlines() if line.strip()]
    return lines[-1] if lines else "refused without a word"
