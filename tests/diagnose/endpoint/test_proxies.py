"""nginx and Caddy in front."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.diagnose.endpoint.endpoints import app
from tests.diagnose.endpoint.proxies import caddy, certificate, nginx
from tests.diagnose.endpoint.reading import found, look, look_at_all, verdict
from tests.diagnose.endpoint.serving import serving
from unbroken.diagnose.endpoint import Examination

HEARTBEAT = ("heartbeat", "info", None)
NO_IDS = ("ids", "info", "resume-ignored")
NO_CACHE_CONTROL = ("cache-control", "warn", "missing-headers")
BEHIND_NGINX = ("accel-buffering", "info", "missing-headers")
BUFFERED = ("buffering", "fail", "proxy-buffering")


@pytest.fixture(scope="module")
def application() -> Iterator[str]:
    """Serve by h11: it answers nginx's HTTP/1.0 without chunks. What comes in chunks, nginx does not hold back."""
    with serving(app(), http="h11") as address:
        yield address


@pytest.fixture(scope="module")
def buffering(application: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run nginx with its defaults."""
    with nginx(tmp_path_factory.mktemp("nginx"), application) as address:
        yield address


@pytest.fixture(scope="module")
def held_back(buffering: str) -> dict[str, Examination]:
    """Look at streams that nginx holds back, all at once: that takes its time."""
    paths = ("/large", "/timed", "/raw")
    examined = look_at_all((buffering + path for path in paths), watch=2.0, total_timeout=3.5)
    return {address.removeprefix(buffering): examination for address, examination in examined.items()}


def test_nginx_with_its_defaults_is_caught_by_its_blocks(held_back: dict[str, Examination]) -> None:
    """Blocks of 4 KiB that end within events are a buffer's, and no producer's."""
    examination = held_back["/large"]
    assert found(examination) == {HEARTBEAT, NO_IDS, NO_CACHE_CONTROL, BEHIND_NGINX, BUFFERED}
    assert "blocks of about 4096 bytes" in verdict(examination, "buffering").saw


def test_nginx_with_its_defaults_is_caught_by_the_events_times(held_back: dict[str, Examination]) -> None:
    """Events whose own times are apart, and that come together through nginx: a warning, as a source may poll too."""
    examination = held_back["/timed"]
    suspected = ("buffering", "warn", "proxy-buffering")
    assert found(examination) == {HEARTBEAT, NO_IDS, NO_CACHE_CONTROL, BEHIND_NGINX, suspected}
    assert "whose own times" in verdict(examination, "buffering").saw


def test_nginx_with_its_defaults_holds_back_even_the_head(held_back: dict[str, Examination]) -> None:
    """Small events do not fill the buffer, and the head waits with them."""
    assert found(held_back["/raw"]) == {("status", "fail", "proxy-buffering")}


def test_nginx_heeds_the_header_and_keeps_it(buffering: str) -> None:
    """With X-Accel-Buffering events come as they are made; that the header is gone is no warning."""
    assert found(look(f"{buffering}/unbroken")) == {HEARTBEAT, BEHIND_NGINX}


def test_nginx_that_compresses(application: str, tmp_path: Path) -> None:
    """Without buffering nginx flushes what it compresses: noted only."""
    with nginx(tmp_path, application, "proxy_buffering off; gzip on; gzip_types text/event-stream;") as address:
        assert found(look(f"{address}/unbroken")) == {
            HEARTBEAT,
            BEHIND_NGINX,
            ("compression", "info", "compressed-stream"),
        }


def test_nginx_that_compresses_and_buffers(application: str, tmp_path: Path) -> None:
    """With buffering no event comes to who accepts gzip."""
    directives = "gzip on; gzip_types text/event-stream; proxy_ignore_headers X-Accel-Buffering;"
    with nginx(tmp_path, application, directives) as address:
        examination = look(f"{address}/large", watch=0.6, head_timeout=0.9)
    assert ("compression", "fail", "compressed-stream") in found(examination)


def test_nginx_without_anybody_behind_it(tmp_path: Path) -> None:
    """A gateway that finds nobody answers for them: unreachable, though a server answered."""
    with nginx(tmp_path, "http://127.0.0.1:1") as address:
        assert found(look(f"{address}/unbroken")) == {("status", "fail", "unreachable")}


@pytest.mark.soak
def test_nginx_with_a_short_timeout_is_found(application: str, tmp_path: Path) -> None:
    """A hop that cuts a silent stream is told, with the silence that it allows."""
    with nginx(tmp_path, application, "proxy_buffering off; proxy_read_timeout 6s;") as address:
        examination = look(f"{address}/silent", watch=1.0, silence=15.0)
    said = verdict(examination, "silence")
    assert (said.outcome, said.cause) == ("fail", "idle-timeout")
    assert said.saw.startswith("cut after 6.0")
    assert verdict(examination, "end").outcome == "info"


def test_caddy_passes_a_stream_on(application: str, tmp_path: Path) -> None:
    """Caddy flushes event streams by itself, and there is nothing to say."""
    with caddy(tmp_path, application) as address:
        assert found(look(f"{address}/unbroken")) == {HEARTBEAT}


def test_caddy_by_tls(application: str, tmp_path: Path) -> None:
    """By TLS there is HTTP/2, and what the certificate is worth is said."""
    trusted = certificate(tmp_path)
    with caddy(tmp_path, application, trusted) as address:
        examination = look(f"{address}/unbroken", verify=trusted.chain)
        assert found(examination) == {HEARTBEAT}
        assert verdict(examination, "http-versions").saw.startswith("HTTP/1.1, HTTP/2 by ALPN")
        assert [request.http_version for request in examination.requests if request.purpose == "http2"] == ["2"]
        long = b"x" * 300_000
        posted = look(f"{address}/counted?bytes={len(long)}", verify=False, method="POST", body=long, repeat=True)
        assert verdict(posted, "http-versions").saw.startswith("HTTP/1.1, HTTP/2 by ALPN")
        distrusted = look(f"{address}/unbroken")
        assert found(distrusted) == {("connect", "fail", "unreachable")}
        assert "certificate" in verdict(distrusted, "connect").saw
        assert found(look(f"{address}/unbroken", verify=False)) == {HEARTBEAT, ("connect", "info", None)}
