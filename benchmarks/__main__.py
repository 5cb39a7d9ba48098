"""Run the comparison and print it: `python -m benchmarks [--quick] [--reps N] [--only PART]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks import explain
from benchmarks.client import CLIENT_CORE
from benchmarks.peers import PEERS, WRAPPINGS, available
from benchmarks.report import machine, table
from benchmarks.server import Server, pin
from benchmarks.workloads import WORKLOADS, Figure, Size

_PARTS = {"stream": ["stream"], "await": ["sleep", "queue"], "request": ["request"], "idle": ["idle"], "explain": []}
_FULL = Size(events=200_000, streams=2000, requests=20_000)
_QUICK = Size(events=20_000, streams=500, requests=2_000)

Results = dict[str, dict[str, list[Figure]]]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    size = _size(options)
    cores = os.cpu_count() or 1
    pin(CLIENT_CORE)
    _allow_files(size.streams + 100)
    if options.only == "explain":
        print(explain.report(options.megabytes or (50 if options.quick else 1000)))
        return
    workloads = _PARTS[options.only] if options.only else list(WORKLOADS)
    results = _run(workloads, options.peers or available(), options.reps or (1 if options.quick else 5), size)
    print(_as_json(results) if options.json else _as_tables(results, machine(cores)))
    if options.only is None and not options.json:
        print(explain.report(options.megabytes or (50 if options.quick else 1000)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="SSE responses side by side; gates nothing.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, a quarter of the streams, once")
    parser.add_argument("--reps", type=int, metavar="N", help="repetitions, interleaved (5; with --quick 1)")
    parser.add_argument("--only", choices=_PARTS, help="one part instead of all")
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="NAME", help=f"some of: {'; '.join(PEERS)}")
    parser.add_argument("--events", type=int, metavar="N", help="events of one stream")
    parser.add_argument("--streams", type=int, metavar="N", help="idle streams")
    parser.add_argument("--requests", type=int, metavar="N", help="requests for something else than a stream")
    parser.add_argument("--megabytes", type=int, metavar="N", help="size of the log that `explain` reads (1000)")
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


def _as_json(results: Results) -> str:
    plain = {
        workload: {peer: [asdict(figure) for figure in figures] for peer, figures in peers.items()}
        for workload, peers in results.items()
    }
    return json.dumps(plain, indent=2)


def _as_tables(results: Results, title: str) -> str:
    return "\n".join([title, "", *(table(WORKLOADS[workload], peers) for workload, peers in results.items())])


if __name__ == "__main__":
    main()
