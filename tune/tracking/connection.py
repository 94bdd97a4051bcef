"""The way of runs to Weights & Biases: online where it can be reached, else kept here."""

import configparser
import contextlib
import netrc
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

REACH_S = 3.0  # for the server to answer at all

Mode = Literal["online", "offline", "disabled"]


@dataclass(frozen=True)
class Connection:
    """The way in which runs are kept.

    Attributes:
        mode: Mode in W&B's own words.
        reason: Why runs are not online, for the user; empty where they are.
    """

    mode: Mode
    reason: str = ""


def connection(mode: str, environ: Mapping[str, str] = os.environ) -> Connection:
    """Decide where runs go; asks the server whether it is there, for at most `REACH_S`.

    Args:
        mode: Mode in the study file: auto, online, offline or disabled. `auto` follows
            `WANDB_MODE` where that is set.
        environ: The environment.
    """
    if mode == "auto":
        mode = _wanted(environ.get("WANDB_MODE", ""))
    if mode == "disabled":
        return Connection("disabled", "switched off")
    if mode == "offline":
        return Connection("offline", "as asked for")
    server = base_url(environ)
    if not _has_key(server, environ):
        return Connection("offline", "no API key: set WANDB_API_KEY or run `wandb login`")
    trouble = _trouble_reaching(server)
    return Connection("offline", trouble) if trouble else Connection("online")


def base_url(environ: Mapping[str, str] = os.environ) -> str:
    """The W&B server's address: from the environment, W&B's settings file, or the public one."""
    found = environ.get("WANDB_BASE_URL") or _user_settings(environ).get("base_url")
    return (found or "https://api.wandb.ai").rstrip("/")


def _wanted(mode: str) -> str:
    return {"dryrun": "offline", "offline": "offline", "disabled": "disabled"}.get(mode, "online")


def _user_settings(environ: Mapping[str, str]) -> Mapping[str, str]:
    folder = Path(environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, OSError):
        parser.read(folder / "settings")
    return dict(parser["default"]) if parser.has_section("default") else {}


def _has_key(server: str, environ: Mapping[str, str]) -> bool:
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    if _user_settings(environ).get("api_key"):
        return True
    named = environ.get("NETRC")
    files = [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]
    for file in files:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            entry = netrc.netrc(str(file.expanduser())).authenticators(urlsplit(server).netloc)
            return bool(entry and entry[2])
    return False


def _trouble_reaching(server: str) -> str:
    """Why the server cannot take runs now; empty where it can."""
    try:
        with urllib.request.urlopen(f"{server}/healthz", timeout=REACH_S):
            return ""
    except urllib.error.HTTPError as error:  # it answers: only its own troubles count
        return f"{server} answers with error {error.code}" if error.code >= 500 else ""
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        return f"{server} cannot be reached ({cause})"
