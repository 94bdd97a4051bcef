"""The names that Google Cloud and Kubernetes take: each check says what is wrong, or nothing.

Sources: https://cloud.google.com/storage/docs/buckets#naming,
https://cloud.google.com/resource-manager/docs/creating-managing-projects,
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and
https://github.com/distribution/reference (names of images).
"""

import re
from collections.abc import Callable
from typing import Final

Check = Callable[[str], str]
"""What is wrong with a text, as "expected ..., got ..."; "" where nothing is."""

NAME_LENGTH: Final = 30
"""Longest name of a cluster; machines, pods and services of at most 63 characters add to it."""

_LABEL: Final = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_PROJECT: Final = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_ZONE: Final = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_ACCOUNT: Final = re.compile(r"[a-z][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com")
_REPOSITORY: Final = re.compile(r"[a-z0-9.-]+(?::\d+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_NODE_LABEL: Final = re.compile(
    r"(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?="
    r"[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?"
)
_SCHEDULE: Final = re.compile(
    r"@(?:yearly|monthly|weekly|daily)|[1-5]?\d (?:1?\d|2[0-3])(?: [\d*/,-]+){3}"
)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def cluster_name(study: str) -> str:
    """The name of a study's cluster, jobs and secrets, which may have small letters only.

    >>> cluster_name("Nuclei_2.v3"), cluster_name("7 days"), cluster_name("a" * 40)[25:]
    ('nuclei-2-v3', 's-7-days', 'aaaaa')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")
    named = plain if plain[:1].isalpha() else f"s-{plain}"
    return named[:NAME_LENGTH].strip("-")


def label(text: str) -> str:
    """Check a name of Kubernetes: a namespace, a service account, a claim, a queue, a secret.

    >>> label("team-a"), label("Team_A")
    ('', "expected small letters, digits and -, got 'Team_A'; the nearest is team-a")
    """
    if _LABEL.fullmatch(text) and len(text) <= 63:
        return ""
    return _wrong("small letters, digits and -", text, cluster_name(text) if text else "")


def project(text: str) -> str:
    """Check the id of a Google Cloud project.

    >>> project("my-lab-42"), project("My Lab")
    ('', "expected 6 to 30 small letters, digits and -, got 'My Lab'; the nearest is my-lab")
    """
    if _PROJECT.fullmatch(text):
        return ""
    near = cluster_name(text) if text else ""
    wanted = "6 to 30 small letters, digits and -"
    return _wrong(wanted, text, near if _PROJECT.fullmatch(near) else "")


def zone(text: str) -> str:
    """Check a zone of Google Cloud; a region alone has none.

    >>> zone("us-central1-a"), zone("us-central1")
    ('', "expected a zone such as us-central1-a, got 'us-central1'; the nearest is us-central1-a")
    """
    near = f"{text}-a" if _ZONE.fullmatch(f"{text}-a") else ""
    return "" if _ZONE.fullmatch(text) else _wrong("a zone such as us-central1-a", text, near)


def bucket(text: str) -> str:
    """Check the name of a bucket, without gs:// before it.

    >>> bucket("lab-studies"), bucket("gs://lab/x")
    ('', "expected a bucket's name without gs:// and folders, got 'gs://lab/x'; the nearest is lab")
    """
    if "/" in text:
        near = text.removeprefix("gs://").partition("/")[0]
        return _wrong("a bucket's name without gs:// and folders", text, near)
    if _BUCKET.fullmatch(text) and ".." not in text and not text.startswith("goog"):
        return ""
    near = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-_.")
    wanted = "3 to 63 small letters, digits, -, _ and ., beginning with no goog"
    return _wrong(wanted, text, near if near != text and _BUCKET.fullmatch(near) else "")


def image(text: str) -> str:
    """Check the name of an image, which needs a tag or digest, and another tag than latest.

    >>> image("europe-docker.pkg.dev/lab/ml/segtune:1"), image("h:5000/s@sha256:" + "0" * 64)
    ('', '')
    >>> image("host:5000/segtune")
    "expected an image with a tag, got 'host:5000/segtune'; the nearest is host:5000/segtune:1"
    >>> image("s:latest")
    "expected an image with a tag that stays what it is, got 's:latest'; the nearest is s:1"
    """
    name, at, digest = text.partition("@")
    folder, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    repository = f"{folder}{slash}{last}"
    right = _DIGEST.fullmatch(digest) if at else not colon or _TAG.fullmatch(tag)
    if not _REPOSITORY.fullmatch(repository) or not right:
        return _wrong("an image such as HOST/PATH/segtune:1", text, "")
    if at or (colon and tag != "latest"):
        return ""
    stays = " that stays what it is" if colon else ""
    return _wrong(f"an image with a tag{stays}", text, f"{repository}:1")


def service_account(text: str) -> str:
    """Check the address of a service account of Google Cloud.

    >>> service_account("ray@lab.iam.gserviceaccount.com"), service_account("ray")
    ('', "expected NAME@PROJECT.iam.gserviceaccount.com, got 'ray'")
    """
    right = _ACCOUNT.fullmatch(text)
    return "" if right else _wrong("NAME@PROJECT.iam.gserviceaccount.com", text, "")


def secret_id(text: str) -> str:
    """Check the name of a secret in Google's Secret Manager.

    >>> secret_id("segtune_env"), secret_id("a b")
    ('', "expected 1 to 255 letters, digits, - and _, got 'a b'")
    """
    right = re.fullmatch(r"[A-Za-z0-9_-]{1,255}", text)
    return "" if right else _wrong("1 to 255 letters, digits, - and _", text, "")


def gpu_type(text: str) -> str:
    """Check a GPU type as GKE names it, or any label KEY=VALUE of nodes.

    >>> gpu_type("nvidia-l4"), gpu_type("nvidia.com/gpu.product=NVIDIA-L4")
    ('', '')
    >>> gpu_type("L4!")
    "expected a GPU such as nvidia-l4, or a node's label KEY=VALUE, got 'L4!'; the nearest is l4"
    """
    if _LABEL.fullmatch(text) or _NODE_LABEL.fullmatch(text):
        return ""
    near = cluster_name(text) if text and "=" not in text else ""
    return _wrong("a GPU such as nvidia-l4, or a node's label KEY=VALUE", text, near)


def schedule(text: str) -> str:
    """Check a schedule of cron that comes once a day at most: runs of a study must not overlap.

    >>> schedule("0 20 * * 1-5"), schedule("@daily")
    ('', '')
    >>> schedule("0 * * * *")
    "expected minute, hour, day, month and weekday as cron has them, once a day at most, such as \
'0 20 * * *', got '0 * * * *'"
    """
    wanted = "minute, hour, day, month and weekday as cron has them, once a day at most, such as"
    right = _SCHEDULE.fullmatch(text)
    return "" if right else _wrong(f"{wanted} '0 20 * * *'", text, "")


def _wrong(wanted: str, text: str, near: str) -> str:
    return f"expected {wanted}, got {text!r}{f'; the nearest is {near}' if near else ''}"
