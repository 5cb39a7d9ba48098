"""Run the comparison and print it: `python -m benchmarks [--quick] [--reps N] [--only PART]`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import explain
from benchmarks.client import CLIENT_CORE
from benchmarks.clients import run as clients
from benchmarks.clients.readers import READERS
from benchmarks.clients.readers import available as available_readers
from benchmarks.clients.report import report as clients_report
from benchmarks.engines import layers as engine_layers
from benchmarks.engines import run as engines
from benchmarks.engines.report import report as engines_report
from benchmarks.engines.scenarios import SCENARIOS as ENGINE_SCENARIOS
from benchmarks.fanout import peers as fanout_peers
from benchmarks.fanout import run as fanout
from benchmarks.fanout.report import report as fanout_report
from benchmarks.fanout.scenarios import SCENARIOS
from benchmarks.peers import PEERS, WRAPPINGS, available
from benchmarks.report import machine, table
from benchmarks.runs import run as runs
from benchmarks.runs.report import report as runs_report
from benchmarks.runs.ways import WAYS
from benchmarks.server import Server, pin
from benchmarks.workloads import WORKLOADS, Figure, Size

_PARTS = {
    "stream": ["stream"],
    "await": ["sleep", "queue"],
    "request": ["request"],
    "idle": ["idle"],
    "explain": [],
    "fanout": [],
    "engines": [],
    "runs": [],
    "clients": [],
}
_FULL = Size(events=200_000, streams=2000, requests=20_000)
_QUICK = Size(events=20_000, streams=500, requests=2_000)
_LAYERS = {name: kind for layers in engine_layers.LAYERS.values() for name, kind in layers.items()}
_ALL_PEERS = PEERS | fanout_peers.PEERS | _LAYERS | WAYS | READERS

Results = dict[str, dict[str, list[Figure]]]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    # Servers are in groups of their own, and are ended on the way out: so a `kill` has to be such a way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    pin(CLIENT_CORE)
    figures: dict[str, Any] = {}
    for part in (_responses, _fan_out, _engines, _runs, _clients, _explain):
        part(options, figures)
    if options.json:
        print(json.dumps(figures, indent=2))


def _responses(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    workloads = _PARTS[options.only] if options.only else list(WORKLOADS)
    peers = [peer for peer in options.peers or available() if peer in PEERS]
    if not workloads or not peers:
        return
    size = _size(options)
    _allow_files(size.streams + 100)
    results = _run(workloads, peers, options.reps or (1 if options.quick else 5), size)
    figures |= _plain(results)
    if not options.json:
        print(_as_tables(results, machine(os.cpu_count() or 1)))


def _fan_out(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    peers = [peer for peer in options.peers or fanout_peers.PEERS if peer in fanout_peers.PEERS]
    if options.only not in (None, "fanout") or not peers:
        return
    size = fanout.QUICK if options.quick else fanout.FULL
    size = fanout.resized(size, options.subscribers, options.seconds)
    _allow_files(fanout.files(size))
    asked = options.scenarios or (fanout.QUICK_SCENARIOS if options.quick else SCENARIOS)
    scenarios = [name for name in asked if name in SCENARIOS]
    results = fanout.run(peers, scenarios, options.reps or (1 if options.quick else 3), size, _say)
    _say("")
    figures["fanout"] = asdict(results)
    if options.save:
        Path(options.save).write_text(results.to_json())
    if not options.json:
        print(fanout_report(results))


def _engines(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    layers = [layer for layer in options.peers or _LAYERS if layer in _LAYERS]
    places = [name for name in options.engines or engine_layers.LAYERS if name in engine_layers.LAYERS]
    if options.only not in (None, "engines") or not layers or not places:
        return
    size = engines.QUICK if options.quick else engines.FULL
    size = engines.resized(size, options.subscribers, options.seconds, options.events)
    plan = engines.Plan(
        engines=places,
        layers=layers,
        scenarios=[name for name in options.scenarios or ENGINE_SCENARIOS if name in ENGINE_SCENARIOS],
        reps=options.reps or (1 if options.quick else 3),
        size=size,
    )
    results = engines.run(plan, _say)
    _say("")
    figures["engines"] = asdict(results)
    if options.save and options.only == "engines":
        Path(options.save).write_text(results.to_json())
    if not options.json:
        print(engines_report(results))


def _runs(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    ways = [way for way in options.peers or WAYS if way in WAYS]
    if options.only not in (None, "runs") or not ways:
        return
    plan = runs.Plan(
        engines=options.engines or list(runs.PLACES),
        ways=ways,
        reps=options.reps or (1 if options.quick else 3),
        size=runs.resized(runs.QUICK if options.quick else runs.FULL, options.seconds),
    )
    results = runs.run(plan, _say)
    _say("")
    figures["runs"] = asdict(results)
    if options.save and options.only == "runs":
        Path(options.save).write_text(results.to_json())
    if not options.json:
        print(runs_report(results, plan.size.streams))


def _clients(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    readers = [reader for reader in options.peers or available_readers() if reader in READERS]
    if options.only not in (None, "clients") or not readers:
        return
    size = clients.resized(clients.QUICK if options.quick else clients.FULL, options.events)
    results = clients.run(readers, options.reps or (1 if options.quick else 5), size, _say)
    _say("")
    figures["clients"] = asdict(results)
    if not options.json:
        print(clients_report(results))


def _explain(options: argparse.Namespace, _: dict[str, Any]) -> None:
    if options.only == "explain" or (options.only is None and not options.json):
        print(explain.report(options.megabytes or (50 if options.quick else 1000)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="SSE responses side by side; gates nothing.")
    parser.add_argument("--quick", action="store_true", help="much less of everything, once")
    parser.add_argument(
        "--reps", type=int, metavar="N", help="repetitions, in turns (5; fan-out, engines and runs 3; --quick 1)"
    )
    parser.add_argument("--only", choices=_PARTS, help="one part instead of all")
    parser.add_argument("--peers", nargs="+", choices=_ALL_PEERS, metavar="NAME", help=f"of: {'; '.join(_ALL_PEERS)}")
    parser.add_argument("--events", type=int, metavar="N", help="events of one stream (for a client, too), or to all")
    parser.add_argument("--streams", type=int, metavar="N", help="idle streams")
    parser.add_argument("--requests", type=int, metavar="N", help="requests for something else than a stream")
    parser.add_argument("--megabytes", type=int, metavar="N", help="size of the log that `explain` reads (1000)")
    parser.add_argument(
        "--subscribers", type=int, nargs="+", metavar="N", help="of the fan-out; the last for the engines"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="for a phase of these three parts")
    parser.add_argument("--scenarios", nargs="+", choices=[*SCENARIOS, *ENGINE_SCENARIOS], help="of those two parts")
    parser.add_argument("--engines", nargs="+", choices=runs.PLACES, help="some instead of all")
    parser.add_argument("--save", metavar="FILE", help="the figures of the fan-out, or of --only engines or runs")
    parser.add_argument("--json", action="store_true", help="every single figure, as JSON")
    return parser


def _size(options: argparse.Namespace) -> Size:
    default = _QUICK if options.quick else _FULL
    requests = options.requests or default.requests
    return Size(options.events or default.events, options.streams or default.streams, requests)


def _allow_files(needed: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        # Inherited by the servers, which hold as many sockets as the client.
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))


def _run(workloads: list[str], peers: list[str], reps: int, size: Size) -> Results:
    results: Results = {
        workload: {peer: [] for peer in (WRAPPINGS if workload == "request" else peers)} for workload in workloads
    }
    for workload in workloads:
        # Interleaved: whatever else the machine does meanwhile falls on all peers alike.
        for repetition in range(reps):
            for peer in results[workload]:
                _say(f"{workload} {repetition + 1}/{reps} {peer}")
                with Server(peer) as server:
                    results[workload][peer].append(WORKLOADS[workload].measure(server, size))
    _say("")
    return results


def _say(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


def _plain(results: Results) -> dict[str, Any]:
    return {
        workload: {peer: [asdict(figure) for figure in figures] for peer, figures in peers.items()}
        for workload, peers in results.items()
    }


def _as_tables(results: Results, title: str) -> str:
    return "\n".join([title, "", *(table(WORKLOADS[workload], peers) for workload, peers in results.items())])


if __name__ == "__main__":
    main()
