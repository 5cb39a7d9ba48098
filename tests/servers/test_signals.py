"""The hook over a process's signal handlers. What is of the whole process is played in one of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals to send to oneself")

PRELUDE = """
import asyncio, os, signal
from unbroken.servers import hook_signals, unhook_signals

def note(number, frame):
    print("previous", signal.Signals(number).name)

async def heard(*, before=False, send=signal.SIGTERM):
    told = asyncio.get_running_loop().create_future()
    hook_signals(told.set_result, before=before)
    if send:
        signal.raise_signal(send)
    return await told

def same(number, handler):
    return signal.getsignal(number) is handler
"""


def play(script: str, *, returncode: int = 0) -> list[str]:
    """Run a script after the prelude in a process of its own, and return the lines that it printed."""
    source = PRELUDE + textwrap.dedent(script)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stderr) == (returncode, "")
    return run.stdout.splitlines()


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_the_handler_that_was_there_is_called(number: str) -> None:
    """The loop is told, and the handler of the server gets the signal as without us, once."""
    assert play(f"""
        signal.signal(signal.{number}, note)
        pass_on = asyncio.run(heard(send=signal.{number}))
        print(pass_on, same(signal.{number}, note))
    """) == [f"previous {number}", "None True"]


def test_without_a_handler_the_signal_does_what_it_does() -> None:
    """SIGTERM still kills a process that has no handler for it, and its parent sees that."""
    assert play("asyncio.run(heard())", returncode=-15) == []


def test_python_s_own_answer_to_sigint_is_kept() -> None:
    """Ctrl-C is a KeyboardInterrupt where nobody has said otherwise, in a second run as in the first."""
    assert play("""
        async def main():
            hook_signals(lambda _: None, before=False)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(30)

        for _ in range(2):
            try:
                asyncio.run(main())
            except KeyboardInterrupt:
                print("interrupted")
    """) == ["interrupted", "interrupted"]


def test_an_ignored_signal_stays_ignored() -> None:
    """What nobody shuts down for ends no stream: a background job of a shell ignores SIGINT, and serves on."""
    assert play("""
        async def main():
            told = asyncio.get_running_loop().create_future()
            hook_signals(told.set_result, before=False)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)
            print(told.done())

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(main())
        print(same(signal.SIGINT, signal.SIG_IGN))
    """) == ["False", "True"]


def test_the_hook_takes_itself_away_with_the_first_signal() -> None:
    """The second one, of whichever number, finds both handlers as the server left them."""
    assert play("""
        async def main():
            await heard()
            print(same(signal.SIGTERM, note), same(signal.SIGINT, note))
            signal.raise_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, note)
        signal.signal(signal.SIGINT, note)
        asyncio.run(main())
    """) == ["previous SIGTERM", "True True", "previous SIGINT"]


def test_a_handler_that_was_put_on_top_is_left_alone() -> None:
    """It stays where it is, may call ours as what it found, and both loop and server hear of the signal once."""
    assert play("""
        async def main():
            loop = asyncio.get_running_loop()
            told = []
            hook_signals(told.append, before=False)
            found = signal.getsignal(signal.SIGTERM)

            def on_top(number, frame):
                print("on top")
                found(number, frame)

            signal.signal(signal.SIGTERM, on_top)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            print(told, same(signal.SIGTERM, on_top))
            unhook_signals()
            print(same(signal.SIGTERM, on_top), same(signal.SIGINT, signal.default_int_handler))

        signal.signal(signal.SIGTERM, note)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    """) == ["on top", "previous SIGTERM", "[None] True", "True True"]


def test_the_hook_goes_over_a_handler_that_calls_it() -> None:
    """Who chains to us and is chained to by us is called once, and so is the server, at each signal."""
    assert play("""
        async def main():
            told = []
            hook_signals(told.append, before=False)
            found = signal.getsignal(signal.SIGTERM)

            def on_top(number, frame):
                print("on top")
                found(number, frame)

            signal.signal(signal.SIGTERM, on_top)
            hook_signals(told.append, before=False)
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
                await asyncio.sleep(0)
            print(told, same(signal.SIGTERM, on_top))

        signal.signal(signal.SIGTERM, note)
        asyncio.run(main())
    """) == ["on top", "previous SIGTERM", "on top", "previous SIGTERM", "[None] True"]


def test_a_server_that_runs_again_is_hooked_again() -> None:
    """Its second run puts up handlers of its own, over which the hook goes with the next stream."""
    assert play("""
        for run in (1, 2):
            signal.signal(signal.SIGTERM, lambda *_, run=run: print("server", run))
            print(asyncio.run(heard()))
    """) == ["server 1", "None", "server 2", "None"]


def test_unhooking_puts_everything_back() -> None:
    """After it a signal tells nobody, and the handlers are those of before."""
    assert play("""
        async def main():
            told = []
            hook_signals(told.append, before=False)
            unhook_signals()
            print(same(signal.SIGTERM, note), same(signal.SIGINT, note))
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            print(told)

        signal.signal(signal.SIGTERM, note)
        signal.signal(signal.SIGINT, note)
        asyncio.run(main())
    """) == ["True True", "previous SIGTERM", "[]"]


def test_off_the_main_thread_nothing_is_done() -> None:
    """Only the main thread may set handlers; whoever asks elsewhere is told so, and disturbs nobody."""
    assert play("""
        async def elsewhere():
            print(hook_signals(print, before=False))
            unhook_signals()

        async def main():
            told = []
            hook_signals(told.append, before=False)
            await asyncio.to_thread(asyncio.run, elsewhere())
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            print(told)

        signal.signal(signal.SIGTERM, note)
        asyncio.run(main())
    """) == ["False", "previous SIGTERM", "[None]"]


def test_a_forked_child_does_not_tell_its_parent_s_loop() -> None:
    """It inherits the handler without the loop: its own signal does what it would have done."""
    assert play("""
        async def main():
            told = []
            hook_signals(told.append, before=True)
            child = os.fork()
            if child == 0:
                signal.raise_signal(signal.SIGTERM)
                print("child", told, flush=True)
                os._exit(3)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            await asyncio.sleep(0)
            print(told)

        signal.signal(signal.SIGTERM, lambda *_: print("previous", flush=True))
        asyncio.run(main())
    """) == ["previous", "child []", "3", "[]"]


def test_a_forked_child_with_a_loop_of_its_own_waits_for_no_other() -> None:
    """With `before`, the child's signal is raised again when the child's streams have ended: the parent's are not."""
    assert play("""
        async def in_child():
            (await heard(before=True))()

        async def main():
            hook_signals(print, before=True)
            child = os.fork()
            if child:
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            return child

        signal.signal(signal.SIGTERM, lambda *_: print("previous", flush=True))
        loop = asyncio.new_event_loop()
        child = loop.run_until_complete(main())
        if child == 0:
            asyncio.new_event_loop().run_until_complete(in_child())
            os._exit(0)
        loop.close()
    """) == ["previous", "0"]


def test_a_loop_that_does_not_run_is_not_waited_for() -> None:
    """Neither one that was closed nor one that stands still has streams to end; the signal goes on at once."""
    assert play("""
        async def hook():
            hook_signals(print, before=True)

        signal.signal(signal.SIGTERM, note)
        standing, closed = asyncio.new_event_loop(), asyncio.new_event_loop()
        standing.run_until_complete(hook())
        closed.run_until_complete(hook())
        closed.close()
        signal.raise_signal(signal.SIGTERM)
        standing.close()
    """) == ["previous SIGTERM"]


def test_before_holds_the_signal_back_until_it_is_passed_on() -> None:
    """The server hears of it when the streams have ended; a second signal does not wait."""
    assert play("""
        async def main():
            pass_on = await heard(before=True)
            print("streams end")
            signal.raise_signal(signal.SIGINT)
            pass_on()

        signal.signal(signal.SIGTERM, note)
        signal.signal(signal.SIGINT, note)
        asyncio.run(main())
    """) == ["streams end", "previous SIGINT", "previous SIGTERM"]


def test_importing_the_package_hooks_nothing() -> None:
    """Handlers are touched when a stream opens, not before."""
    assert play("""
        import unbroken
        print(same(signal.SIGTERM, signal.SIG_DFL), same(signal.SIGINT, signal.default_int_handler))
    """) == ["True True"]
