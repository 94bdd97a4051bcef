"""A study moved to a cluster while it runs: checked there, paused here, gone on with as a job.

What cannot go on there stays where it is: nodes, data, versions, the study and the way to its
mirror are looked at by a short job before anybody is asked to pause. Then the driver, wherever it
runs, pauses the trials at the ends of their epochs, ships all and gives the mirror back; the job
takes it in the next term.
"""

import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from cluster.errors import ClusterError, JobError, StorageError
from cluster.jobs.cluster import Cluster
from cluster.jobs.job import Job
from cluster.jobs.package import packed
from trainables.files.whole import write_text
from tune.directory.layout import STUDY
from tune.directory.lock import LOCK, DriverLock
from tune.directory.reader import StudyDir
from tune.driver.session import own_directory
from tune.errors import StoreError, UsageError
from tune.job.order import CHECK, CHECKED
from tune.mirror.mirror import mirror_address, mirrored
from tune.mirror.opening import is_mirror
from tune.plan.planning import read_draft
from tune.plan.resume import plan_resumed, refuse_another_study, refuse_renamed
from tune.remote.beside import ended_beside, send_beside
from tune.remote.shipping import ship
from tune.remote.submitting import MIRROR, Asked, Wanted, read_asked, submit
from tune.study.file import read_study_file, write_yaml
from tune.verbs.moving import have_it_left, have_it_paused, interruption_told, paused_at
from tune.verbs.opening import open_study, open_to_resume

Tell = Callable[[str], None]


def mirror_of_job(cluster: Cluster, name: str) -> str:
    """The address of the mirror of a study that a cluster runs as a job.

    Raises:
        JobError: There is no such job, or its study has no mirror to be taken from.
    """
    job = cluster.named(name)
    address = job.metadata.get(MIRROR, "")
    if not address:
        at = f"{name} --address {shlex.quote(cluster.login.address)}"
        raise JobError(
            f"{name}: expected a study with a mirror, through which it is taken elsewhere, got "
            f"{'one without' if job.kind == 'study' else 'a measurement'}. `segtune stop {at}` "
            "ends it, `segtune submit` with --set mirror=gs://BUCKET/FOLDER goes on with it there, "
            "and ships it from then on"
        )
    return address


def move_to_cluster(
    place: str,
    cluster: Cluster,
    wishes: Wanted,
    overrides: Sequence[str],
    tell: Tell,
    through: str = "",
) -> tuple[Job, str]:
    """Have a study's driver pause it, and go on with it as a job of a cluster.

    Args:
        place: Its mirror's address, its directory, or its study file.
        cluster: Where it is to go on.
        wishes: How the job is wanted.
        overrides: Keys to override, as after `--set`, such as data and storage.
        tell: Told what is done, and whom it waits for.
        through: gs://BUCKET/FOLDER, or a folder that the cluster sees, of the mirror that a study
            without one gets.

    Returns:
        The job, which has been sent and not yet begun, and the address of the study's mirror.

    Raises:
        UsageError: The study has no mirror, and is given none.
        StudyError: It cannot go on there.
        StoreError: Its folder cannot be read or written.
        StorageError: Its mirror cannot be read or written.
        JobError: The cluster cannot take it.
    """
    opened = open_study(place)
    mirror = _mirror_to_be(opened, place, through.rstrip("/"))
    if not is_mirror(place):
        refuse_renamed(opened)
    if not is_mirror(place) and not mirror_address(opened.study):
        plan_resumed(opened, [f"mirror={mirror}"])  # what cannot be shipped stays as it is
    asked = _asked(opened, mirror, wishes, overrides)
    _refuse_running(cluster, asked)
    if asked.shipment is not None:
        ship(cluster, asked.shipment, tell)
    _check(cluster, asked, tell)
    address = f"{mirror}/{opened.study.study}"
    whole_at = address if is_mirror(place) else opened.path
    with interruption_told(lambda: paused_at(whole_at)):
        _hand_over(opened, place, mirror, tell)
    with waiting_told(cluster, asked.order.name, address, tell):
        return submit(asked, cluster, tell)[0], address


@contextmanager
def waiting_told(cluster: Cluster, name: str, address: str, tell: Tell) -> Iterator[None]:
    """Say of a study that was paused, and is not gone on with after all, where it waits.

    Args:
        cluster: Where it is to go on.
        name: Name of its job there.
        address: Its mirror.
        tell: Told it where something else than Ctrl-C is in the way.
    """
    try:
        with interruption_told(lambda: _sent_by_now(cluster, name) or paused_at(address)):
            yield
    except Exception:
        tell(paused_at(address))
        raise


def _sent_by_now(cluster: Cluster, name: str) -> str:
    """What to say of a study whose job runs by now; "" where it does not."""
    with suppress(ClusterError):
        job = cluster.latest(name)
        if job is not None and not job.ended:
            at = f"{name} --address {shlex.quote(cluster.login.address)}"
            return f"job {name} goes on with the study: `segtune logs {at} --follow` shows it"
    return ""


def _mirror_to_be(opened: StudyDir, place: str, through: str) -> str:
    """The place of the mirror that the study is moved through.

    Raises:
        UsageError: It has none, or another one than is named.
    """
    address = place.rstrip("/") if is_mirror(place) else mirror_address(opened.study)
    has = address.rpartition("/")[0]
    if has and through and through != has:
        raise UsageError(f"--through: expected none, as the study is at {has}, got {through}")
    if not has and not through:
        raise UsageError(
            f"{place}: expected a study with a mirror, through which the cluster takes it, got one "
            "without: --through gs://BUCKET/FOLDER gives it one, or a folder that the cluster sees"
        )
    return has or through


def _asked(opened: StudyDir, mirror: str, wishes: Wanted, overrides: Sequence[str]) -> Asked:
    """What the job is asked for: the study as it was resolved, with the places of the cluster."""
    values = dict(read_study_file(opened.path / STUDY).values)
    values.pop("storage", None)  # of this machine; the cluster has its own
    values["mirror"] = {**(values.get("mirror") or {}), "place": mirror}
    with tempfile.TemporaryDirectory(prefix="segtune-move-") as folder:
        file = Path(folder, STUDY)
        write_text(file, write_yaml(values))
        refuse_another_study(opened, read_draft(file, overrides))
        asked = read_asked(file, wishes, overrides)
    began = opened.resolved["fingerprint"]
    places = [
        replace(place, fingerprint=began) if place.key == "data" else place
        for place in asked.order.places
    ]
    return replace(asked, order=replace(asked.order, places=tuple(places)))


def _refuse_running(cluster: Cluster, asked: Asked) -> None:
    """Refuse a name that a running job of the cluster has.

    Raises:
        JobError: There is such a job.
    """
    latest = cluster.latest(asked.order.name)
    if latest is not None and not latest.ended:
        raise JobError(
            f"{asked.order.name}: expected no running job of this name on "
            f"{cluster.login.address}, found one; `segtune logs {asked.order.name} --address "
            f"{shlex.quote(cluster.login.address)}` shows it"
        )


def _check(cluster: Cluster, asked: Asked, tell: Tell) -> None:
    """Have the cluster say whether the study can go on there, while it still runs elsewhere.

    Raises:
        JobError: It cannot; with what its nodes say.
    """
    with packed(asked.files, asked.roots) as package:
        job = send_beside(cluster, [CHECK], package)
    said, well = ended_beside(cluster, job, tell)
    if not well:
        raise JobError(said or f"{asked.order.name}: its nodes could not be looked at")
    tell(next((line for line in said.splitlines() if CHECKED in line), said))


def _hand_over(opened: StudyDir, place: str, mirror: str, tell: Tell) -> None:
    """Have the study paused, all of it at its mirror, and the mirror free to be taken.

    Raises:
        StoreError: Its folder cannot be written.
        StorageError: Not all of it could be shipped.
    """
    address = f"{mirror}/{opened.study.study}"
    if is_mirror(place):
        have_it_left(address, tell)
        return
    have_it_paused(opened, tell)
    if mirror_address(opened.study):
        have_it_left(address, tell)
    else:
        _give_mirror(opened, mirror)
    tell(f"shipping what {address} lacks of it")
    _ship_all(open_to_resume(place)[0])


def _give_mirror(opened: StudyDir, mirror: str) -> None:
    """Write into a study's folder where it is shipped to, so that nobody goes on here unaware."""
    with own_directory(plan_resumed(opened, [f"mirror={mirror}"]), resume=True):
        pass


def _ship_all(opened: StudyDir) -> None:
    """Ship what the mirror lacks of a study in a folder of this machine.

    Raises:
        StoreError: A driver has just begun there.
        StorageError: Not all of it could be shipped.
    """
    lock = DriverLock(opened.path / LOCK)
    if lock.acquire() is not None:
        raise StoreError(f"{opened.path}: expected no driver any more, but one has just begun")
    try:
        with mirrored(opened.study, opened.path, resume=True) as mirror:
            pass
    finally:
        lock.release()
    if mirror is None or not mirror.whole:
        raise StorageError(
            f"{opened.path}: not all of the study could be shipped, so it stays here; `segtune "
            f"resume {shlex.quote(str(opened.path))}` goes on with it"
        )
