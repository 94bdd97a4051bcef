"""The address of a cluster, and the token that it is asked with.

A token comes from a file or the environment, never from a command line, which others can read. It
is refused where others could read its file, and where it would travel in the clear.
"""

import ipaddress
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cluster.errors import LoginError

DASHBOARD_PORT: Final = 8265

ADDRESS_VARIABLE: Final = "RAY_API_SERVER_ADDRESS"

_TOKEN_VARIABLE, _PATH_VARIABLE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"

_OTHERS: Final = 0o077
"""Bits of a file's mode that let others than its owner read or write it."""


@dataclass(frozen=True)
class Login:
    """An address with the token that it is asked with.

    Attributes:
        address: http(s)://HOST:PORT of the cluster's dashboard.
        token: Ray's token; "" where there is none. It is in no text that is made of this.
    """

    address: str
    token: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def find_login(
    address: str | None, environ: Mapping[str, str], home: Path, *, insecure: bool = False
) -> Login:
    """Where a cluster is, and what to ask it with.

    Args:
        address: URL of its dashboard; None for that in RAY_API_SERVER_ADDRESS.
        environ: Has the token in RAY_AUTH_TOKEN, or the name of its file in RAY_AUTH_TOKEN_PATH.
        home: Holds the file that is used otherwise, where it is there: .ray/auth_token.
        insecure: Whether http to another machine is let pass.

    Raises:
        LoginError: There is no address, or address or token cannot be used.
    """
    url = _url(address or environ.get(ADDRESS_VARIABLE, ""), insecure=insecure)
    return Login(url, _token(environ, home))


def _url(address: str, *, insecure: bool) -> str:
    """An address with scheme and port.

    >>> _url("localhost", insecure=False), _url("https://ray.example.com", insecure=False)
    ('http://localhost:8265', 'https://ray.example.com')
    """
    if not address:
        raise LoginError(
            f"--address: expected the URL of a cluster's dashboard, such as http://localhost:"
            f"{DASHBOARD_PORT}, here or in {ADDRESS_VARIABLE}, got none"
        )
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    wanted = "--address: expected http://HOST:PORT or https://HOST"
    if parts.username or parts.password:
        raise LoginError(
            f"{wanted}, got one with a user or a password in it, which others could read; a token "
            f"is taken from {_TOKEN_VARIABLE} or {_PATH_VARIABLE}"
        )
    if parts.scheme not in ("http", "https") or not host:
        near = f"; the nearest is http://{host}:{DASHBOARD_PORT}" if host else ""
        raise LoginError(f"{wanted} of a cluster's dashboard, got {address}{near}")
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        raise LoginError(
            f"--address: expected https, as what is sent to {host} by http can be read and changed "
            f"on its way, got {address}; `ssh -N -L {DASHBOARD_PORT}:localhost:"
            f"{port or DASHBOARD_PORT} {host}` makes a way of its own, to http://localhost:"
            f"{DASHBOARD_PORT}. --insecure lets it pass"
        )
    shown = f"[{host}]" if ":" in host else host
    if port is None and parts.scheme == "http":
        port = DASHBOARD_PORT
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_file(environ: Mapping[str, str], home: Path) -> Path | None:
    """The file that the token is taken from; None where it stands in the environment itself.

    Args:
        environ: As for `find_login`.
        home: As for `find_login`.
    """
    if environ.get(_TOKEN_VARIABLE):
        return None
    named = environ.get(_PATH_VARIABLE)
    return Path(named).expanduser() if named else home / ".ray" / "auth_token"


def _token(environ: Mapping[str, str], home: Path) -> str:
    """The token of the environment, or of a file that nobody else can read; "" for none."""
    if given := environ.get(_TOKEN_VARIABLE):
        return _checked(given, f"{_TOKEN_VARIABLE} (environment)")
    file = token_file(environ, home)
    if file is None or not file.is_file():
        if environ.get(_PATH_VARIABLE):
            raise LoginError(f"{_PATH_VARIABLE}: expected a file with a token, found none: {file}")
        return ""
    mode = file.stat().st_mode & 0o777
    if mode & _OTHERS:
        raise LoginError(
            f"{file}: expected a token that you alone can read (mode 0600), got mode {mode:04o}; "
            f"chmod 600 {shlex.quote(str(file))}"
        )
    try:
        return _checked(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise LoginError(f"{file}: expected a token, which cannot be read: {error}") from error


def _checked(text: str, place: str) -> str:
    """A token without the line's end; what is wrong with it is told without it."""
    token = text.strip()
    if not re.fullmatch(r"[!-~]+", token):
        got = "an empty one" if not token else "one with blanks or other characters"
        raise LoginError(f"{place}: expected a token of plain characters on one line, got {got}")
    return token
