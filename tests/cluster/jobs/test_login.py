"""Where a cluster is and what it is asked with: found, or refused before anything is sent."""

from pathlib import Path

import pytest

from cluster.errors import LoginError
from cluster.jobs.login import find_login

TOKEN = "canary-0123"
HERE = "http://localhost:8265"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "RAY_API_SERVER_ADDRESS, got none"),
        ("ray://head:10001", "the nearest is http://head:8265"),
        ("http://10.0.0.7:8265", "--insecure lets it pass"),
        ("http://head:8265", "ssh -N -L 8265:localhost:8265 head"),
        ("http://me:secret@localhost:8265", "got one with a user or a password"),
        ("http://localhost:port", "expected http://HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(LoginError) as refused:
        find_login(address, {"RAY_AUTH_TOKEN": TOKEN}, tmp_path)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_plain_http_to_another_machine_passes_only_where_it_is_asked_for(tmp_path: Path) -> None:
    found = find_login("10.0.0.7", {}, tmp_path, insecure=True)
    assert found.address == "http://10.0.0.7:8265"
    assert find_login("https://ray.example.com/", {}, tmp_path).address == "https://ray.example.com"
    assert find_login(None, {"RAY_API_SERVER_ADDRESS": HERE}, tmp_path).address == HERE


def test_a_token_file_that_others_can_read_is_refused_with_the_chmod(tmp_path: Path) -> None:
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text(f"{TOKEN}\n")
    for mode in (0o644, 0o640, 0o604, 0o620):
        file.chmod(mode)
        with pytest.raises(LoginError, match=f"mode {mode:04o}; chmod 600 {file}"):
            find_login(HERE, {}, tmp_path)
    file.chmod(0o600)
    assert find_login(HERE, {}, tmp_path).token == TOKEN
    named = {"RAY_AUTH_TOKEN_PATH": str(file)}
    assert find_login(HERE, named, tmp_path / "nowhere").token == TOKEN
    assert find_login(HERE, {**named, "RAY_AUTH_TOKEN": "other"}, tmp_path).token == "other"


@pytest.mark.parametrize("token", [" ", "two words", "line\nline", "umlaut-ü"])
def test_what_is_no_token_is_refused_without_being_shown(token: str, tmp_path: Path) -> None:
    with pytest.raises(LoginError) as refused:
        find_login(HERE, {"RAY_AUTH_TOKEN": token}, tmp_path)
    assert token.strip() == "" or token not in str(refused.value)


def test_a_named_token_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="RAY_AUTH_TOKEN_PATH: expected a file with a token"):
        find_login(HERE, {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}, tmp_path)


def test_no_text_that_is_made_of_a_login_has_its_token(tmp_path: Path) -> None:
    found = find_login(HERE, {"RAY_AUTH_TOKEN": TOKEN}, tmp_path)
    assert TOKEN in found.headers["Authorization"]
    assert TOKEN not in f"{found} {found!r}"
