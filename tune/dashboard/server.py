"""optuna-dashboard's pages, served on this machine alone, behind a filter that refuses writing."""

import json
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tune.dashboard.journals import READ_ONLY, names_of, read_only_storage
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir
from tune.errors import UsageError

HOST: Final = "127.0.0.1"

_READING: Final = ("GET", "HEAD")

_HERE: Final = ("127.0.0.1", "localhost")
"""Names under which a browser on this machine asks; another one is a page's of elsewhere."""

_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Requests are not told one by one."""


def dashboard_app(studies: Sequence[StudyDir]) -> _App:
    """optuna-dashboard over studies, as a WSGI application that only reads.

    Raises:
        UsageError: optuna-dashboard is not installed.
        StoreError: A study's files cannot be read, or disagree.
    """
    try:
        import optuna_dashboard  # an extra, and slow
    except ImportError as error:
        raise UsageError(
            "dashboard: expected the package optuna-dashboard, found none; install it with "
            "`pip install 'segtune[ui]'`"
        ) from error
    for study in studies:
        study.trials()  # what disagrees is refused here, too
    folders = names_of([(study.study.study, study.path) for study in studies])
    storage = read_only_storage({name: path / JOURNAL for name, path in folders.items()})
    return read_only(optuna_dashboard.wsgi(storage))


def read_only(app: _App) -> _App:
    """An application that passes on what reads, asked from this machine, and refuses the rest."""

    def filtered(request: dict[str, Any], answer: Callable[..., Any]) -> Iterable[bytes]:
        host = request.get("HTTP_HOST", "").rpartition(":")[0] or request.get("HTTP_HOST", "")
        if host not in _HERE:
            return _refused(answer, f"expected to be asked as http://{HOST}, got {host}")
        if request["REQUEST_METHOD"] not in _READING:
            return _refused(answer, READ_ONLY)
        return app(request, answer)

    return filtered


def dashboard_server(studies: Sequence[StudyDir], port: int) -> WSGIServer:
    """A server of the dashboard, listening on this machine's own address.

    Args:
        studies: The studies to show.
        port: Port to listen on; 0 for any that is free.

    Raises:
        UsageError: The port is taken, or optuna-dashboard is not installed.
        StoreError: As for `dashboard_app`.
    """
    app: Any = dashboard_app(studies)
    try:
        return make_server(HOST, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise UsageError(
            f"dashboard: --port: expected a free port, got {port} ({error.strerror}); 0 takes one "
            "that is free"
        ) from error


def _refused(answer: Callable[..., Any], why: str) -> Iterable[bytes]:
    status = HTTPStatus.FORBIDDEN
    answer(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps({"reason": why}).encode()]
