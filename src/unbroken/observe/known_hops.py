"""The timeouts that hops are known to have when nobody has changed them, as data.

Only what counts against a response that is under way belongs here. Traefik's
`idleTimeout` (180 s) counts between requests, and Fly.io gave up its 60 s in
2023: neither cuts a stream, so neither is listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from unbroken.observe.observer import Hop

__all__ = ["KNOWN", "KnownTimeout", "known"]

CHECKED: Final = "2026-11"
"""When the sources were last read."""


@dataclass(frozen=True, slots=True)
class KnownTimeout:
    """A hop's default."""

    name: str
    """The hop, and in parentheses the setting to look for."""
    counts: Hop
    seconds: float
    source: str
    """Where its maker says so."""


_AWS = "https://docs.aws.amazon.com"
_MICROSOFT = "https://learn.microsoft.com/azure"
_GOOGLE = "https://cloud.google.com"
_API_GATEWAY_STREAMS = f"{_AWS}/apigateway/latest/developerguide/response-transfer-mode.html"
_ENVOY = "https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts"
_HEROKU = "https://devcenter.heroku.com/articles/http-routing"
_CLOUDFLARE = "https://developers.cloudflare.com/fundamentals/reference/connection-limits/"

KNOWN: Final = (
    KnownTimeout(
        "Amazon CloudFront (origin response timeout)",
        Hop.SILENCE,
        30,
        f"{_AWS}/cloudfront/latest/APIReference/API_CustomOriginConfig.html",
    ),
    KnownTimeout("Amazon API Gateway, edge-optimized (idle timeout)", Hop.SILENCE, 30, _API_GATEWAY_STREAMS),
    KnownTimeout("Heroku's router (before the first byte)", Hop.SILENCE, 30, _HEROKU),
    KnownTimeout(
        "event-source-polyfill in the browser (heartbeatTimeout)",
        Hop.SILENCE,
        45,
        "https://github.com/Yaffle/EventSource",
    ),
    KnownTimeout(
        "HAProxy as Debian and Ubuntu configure it (timeout server, timeout client)",
        Hop.SILENCE,
        50,
        "https://docs.haproxy.org/3.2/configuration.html",
    ),
    KnownTimeout("Heroku's router", Hop.SILENCE, 55, _HEROKU),
    KnownTimeout(
        "nginx (proxy_read_timeout)",
        Hop.SILENCE,
        60,
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
    ),
    KnownTimeout(
        "AWS Application Load Balancer (idle_timeout.timeout_seconds)",
        Hop.SILENCE,
        60,
        f"{_AWS}/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html",
    ),
    KnownTimeout(
        "Apache httpd (ProxyTimeout)",
        Hop.SILENCE,
        60,
        "https://httpd.apache.org/docs/2.4/mod/mod_proxy.html#proxytimeout",
    ),
    KnownTimeout("Cloudflare until 2025 (proxy_read_timeout)", Hop.SILENCE, 100, _CLOUDFLARE),
    KnownTimeout("Cloudflare (proxy_read_timeout)", Hop.SILENCE, 120, _CLOUDFLARE),
    KnownTimeout("Azure App Service", Hop.SILENCE, 230, "https://learn.microsoft.com/answers/questions/1465927/"),
    KnownTimeout(
        "Azure Load Balancer (idle timeout)",
        Hop.SILENCE,
        240,
        f"{_MICROSOFT}/load-balancer/load-balancer-tcp-idle-timeout",
    ),
    KnownTimeout(
        "Azure Container Apps (request idle timeout)", Hop.SILENCE, 240, f"{_MICROSOFT}/container-apps/premium-ingress"
    ),
    KnownTimeout("Envoy, Istio (stream_idle_timeout)", Hop.SILENCE, 300, _ENVOY),
    KnownTimeout("Amazon API Gateway, regional (idle timeout)", Hop.SILENCE, 300, _API_GATEWAY_STREAMS),
    KnownTimeout(
        "AWS Network Load Balancer (tcp.idle_timeout.seconds)",
        Hop.SILENCE,
        350,
        f"{_AWS}/elasticloadbalancing/latest/network/update-idle-timeout.html",
    ),
    KnownTimeout("Envoy, Istio (the route's timeout)", Hop.AGE, 15, _ENVOY),
    KnownTimeout("Amazon API Gateway (integration timeout)", Hop.AGE, 29, _API_GATEWAY_STREAMS),
    KnownTimeout(
        "Google Cloud Application Load Balancer (backend service timeout)",
        Hop.AGE,
        30,
        f"{_GOOGLE}/load-balancing/docs/https#timeout-bes",
    ),
    KnownTimeout("Google Cloud Run (request timeout)", Hop.AGE, 300, f"{_GOOGLE}/run/docs/configuring/request-timeout"),
    KnownTimeout("Amazon API Gateway (longest stream)", Hop.AGE, 900, _API_GATEWAY_STREAMS),
    KnownTimeout(
        "Google Cloud Run (the longest request timeout)",
        Hop.AGE,
        3600,
        f"{_GOOGLE}/run/docs/configuring/request-timeout",
    ),
)


def known(counts: Hop, seconds: float) -> str:
    """Name the hops known to have such a timeout, within 1 s or 3 %, whichever is more."""
    # What we measure is longer by the way back, and some hops look at their clocks only now and then.
    tolerance = max(1.0, 0.03 * seconds)
    names = [hop.name for hop in KNOWN if hop.counts is counts and abs(hop.seconds - seconds) <= tolerance]
    return ", ".join(names) or "a hop on the way, none that is known to have this time"
