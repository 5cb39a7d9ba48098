"""`unbroken tail`: what it asks."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.tail.support import Answer, answering, run
from tests.diagnose.endpoint.proxies import certificate
from tests.diagnose.endpoint.serving import raw_server
from unbroken.cli.tail.request import body_of, headers_of
from unbroken.errors import ConfigurationError

SECRET = "a-secret-that-nobody-prints"


def test_headers(tmp_path: Path) -> None:
    """From the command line and from a file; several of a name are one list, and cookies are one header."""
    file = tmp_path / "headers.txt"
    file.write_text(f"Authorization: Bearer {SECRET}\n\nCookie: b=2\n")
    with answering() as asked:
        done = run(asked.url, "-H", "X-List: 1", "-H", "x-list:2", "--header", "Cookie: a=1", "-H", f"@{file}")
    assert done.exit_code == 0
    told = [asked.header(0, name) for name in ("authorization", "x-list", "cookie")]
    assert told == [f"Bearer {SECRET}", "1, 2", "a=1; b=2"]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"\xef\xbb\xbfX-Note: a\r\n", 0), ("X-Note: ü".encode("latin-1"), 2)],
    ids=["mark", "latin-1"],
)
def test_a_file_of_an_editor(content: bytes, code: int, tmp_path: Path) -> None:
    """A byte order mark is none of its first header's name; what is not ASCII cannot be sent, and is told by name."""
    file = tmp_path / "headers.txt"
    file.write_bytes(content)
    with answering() as asked:
        done = run(asked.url, "-H", f"@{file}")
    assert done.exit_code == code
    if code:
        assert "x-note" in done.stderr
    else:
        assert asked.header(0, "x-note") == "a"


@pytest.mark.parametrize("ask", [body_of, lambda text: headers_of([text], None)], ids=["data", "header"])
def test_a_standard_input_that_is_closed(ask: Callable[[str], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and has nothing for a body or for headers."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="@-: standard input is closed"):
        ask("@-")


def test_headers_from_standard_input() -> None:
    """`@-` keeps a credential off the command line."""
    with answering() as asked:
        run(asked.url, "-H", "@-", stdin=f"Authorization: Bearer {SECRET}\n".encode())
    assert asked.header(0, "authorization") == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [('{"a": 1}', "application/json"), ("[]", "application/json"), ("a=1", None), ("12", None), ("", None)],
)
def test_a_body(body: str, content_type: str | None) -> None:
    """It is sent as it is, by POST; as JSON if it is an object or an array, and by itself as nothing else."""
    with answering() as asked:
        run(asked.url, "-d", body)
    assert asked.heads[0].startswith("POST ")
    assert asked.bodies == [body.encode()]
    assert asked.header(0, "content-type") == content_type


def test_a_body_that_is_no_text() -> None:
    """It is sent as it was given."""
    with answering() as asked:
        run(asked.url, "-d", os.fsdecode(b"\xff"))
    assert asked.bodies == [b"\xff"]


def test_a_body_from_a_file(tmp_path: Path) -> None:
    """`@FILE` and `@-`; a content type that is given is kept, and so is a method."""
    file = tmp_path / "body.json"
    file.write_bytes(b'{"a": "\xff"}')
    with answering() as asked:
        run(asked.url, "-d", f"@{file}", "-X", "put", "-H", "Content-Type: text/x")
        run(asked.url, "-d", "@-", stdin=b"[1]")
    assert asked.bodies == [b'{"a": "\xff"}', b"[1]"]
    assert [head.split(" ")[0] for head in asked.heads] == ["PUT", "POST"]
    assert [asked.header(number, "content-type") for number in (0, 1)] == ["text/x", "application/json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-H", SECRET], "--header has no name and colon"),
        (["-H", f": {SECRET}"], "--header has no name and colon"),
        (["-H", "@/none"], "--header @/none: No such file or directory"),
        (["-d", "@/none"], "--data @/none: No such file or directory"),
        (["--ca", "/none"], "--ca /none has no certificates that can be read"),
        (["--after", "a\nb"], "last_event_id="),
        (["-H", "X-Note: a\x01b"], "x-note"),
        (["-H", "X-Note: ü"], "x-note"),
        (["-H", f"X Note: {SECRET}"], "x note"),
        (["-X", "GE T"], "GE T"),
        (["--save", "/none/a"], "--save /none/a: No such file or directory"),
        (["--save", "/dev/null"], "--save /dev/null is no plain file"),
    ],
)
def test_what_cannot_be_asked(arguments: list[str], said: str) -> None:
    """One line, exit code 2, nothing asked, and no credential repeated."""
    with answering() as asked:
        done = run(asked.url, *arguments)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr
    assert SECRET not in done.stderr
    assert asked.heads == []


def test_a_url_that_is_none() -> None:
    """One line, exit code 2."""
    done = run("localhost:8000/events")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)


def test_certificates(tmp_path: Path) -> None:
    """One that nobody knows is refused, unless it is said to be trusted, or not to matter."""
    made = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.chain, made.key)
    told = Answer(b"data: a\n\n")

    async def answer(head: bytes, reader: object, writer: object) -> None:
        writer.write(told.head + b"9\r\ndata: a\n\n\r\n0\r\n\r\n")  # type: ignore[attr-defined]

    with raw_server(answer, tls=context) as url:
        refused = run(url, "--count", "1")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
        assert run(url, "--count", "1", "--ca", str(made.chain)).stdout == "-  message  a\n"
        assert run(url, "--count", "1", "--insecure").stdout == "-  message  a\n"
