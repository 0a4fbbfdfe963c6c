"""The supervisor: when a worker has to be ended is a pure decision; the rest is shown with real processes."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.processes import until

from preterite.clock import SystemClock
from preterite.hosting.supervisor import START_SECONDS_MAX, Beat, Supervisor, fault_of, worker_command


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("beat", "now", "heard", "says"),
    [
        (Beat(100.0, None, 0.0), 101.0, True, None),
        (Beat(100.0, "bill", 29.0), 100.5, True, None),
        (Beat(100.0, "bill", 29.0), 101.5, True, "handler bill has run for 30 s; its time limit is 30 s"),
        (Beat(100.0, "bill", 40.0), 100.0, True, "handler bill has run for 40 s; its time limit is 30 s"),
        (Beat(100.0, None, 0.0), 129.0, True, None),
        (Beat(100.0, None, 0.0), 131.0, True, "it has not answered for 31 s"),
        (Beat(100.0, None, 0.0), 100.0 + START_SECONDS_MAX - 1, False, None),
        (Beat(100.0, None, 0.0), 100.0 + START_SECONDS_MAX + 1, False, "it has not answered for 61 s"),
    ],
)
def test_when_a_worker_has_to_be_ended(beat: Beat, now: float, heard: bool, says: str | None) -> None:
    assert fault_of(beat, now, 30.0, has_reported=heard) == says


def test_the_command_of_a_worker_names_app_component_and_pipe() -> None:
    assert worker_command("shop:system")("finance", 7) == [
        sys.executable,
        "-m",
        "preterite.cli.worker",
        "shop:system",
        "finance",
        "7",
        "1",
        "no",
    ]
    assert worker_command("shop:system", 2, {"finance"})("finance", 7)[-2:] == ["2", "yes"]


def supervise(program: str, caplog: pytest.LogCaptureFixture, says: str, limit: float = 30.0) -> Supervisor:
    """Supervise a worker that runs this program until something is said of it."""

    def command(_component: str, pipe: int) -> Sequence[str]:
        return [sys.executable, "-c", program, str(pipe)]

    supervisor = Supervisor({"finance": limit}, command, SystemClock())

    def said() -> bool:
        supervisor.step()
        return says in caplog.text

    until(said, says)
    return supervisor


BEAT = (
    "import os, sys, json, time; beat = lambda *told: os.write(int(sys.argv[1]), json.dumps(told).encode() + b'\\n'); "
)


def test_one_that_dies_is_started_again_and_again_at_growing_intervals(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = supervise("import sys; sys.exit(3)", caplog, "finance: its process has ended (exit code 3)")

    def thrice() -> bool:
        supervisor.step()
        return caplog.text.count("exit code 3") == 3

    until(thrice, "it was started three times")
    supervisor.end()


def test_one_that_is_killed_is_said_by_its_signal(caplog: pytest.LogCaptureFixture) -> None:
    supervise("import os; os.kill(os.getpid(), 9)", caplog, "by signal SIGKILL").end()


def test_one_whose_handler_runs_too_long_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    program = BEAT + "beat('bill', 31.0); time.sleep(600)"

    supervise(program, caplog, "handler bill has run for 31 s; its time limit is 30 s; its process is ended").end()


def test_one_that_falls_silent_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    program = BEAT + "beat(None, 0.0); time.sleep(600)"

    supervise(program, caplog, "it has not answered for", limit=0.2).end()


def test_one_that_does_not_stop_is_ended_and_that_is_no_orderly_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    ready = os.path.join(tmp_path, "ready")
    program = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({ready!r}, 'w').close(); time.sleep(600)"
    monkeypatch.setattr("preterite.hosting.supervisor.STOP_SECONDS", 0.2)
    supervisor = Supervisor({"finance": 30.0}, lambda _one, _pipe: [sys.executable, "-c", program], SystemClock())
    supervisor.step()
    until(lambda: os.path.exists(ready), "the worker ignores SIGTERM")

    assert not supervisor.end()
    assert "it did not stop within 0 s" in caplog.text


def test_asking_to_stop_ends_everything_in_order() -> None:
    supervisor = Supervisor(
        {"finance": 30.0}, lambda _one, _pipe: [sys.executable, "-c", "import time; time.sleep(600)"], SystemClock()
    )
    supervisor.stop()

    assert supervisor.run()


def test_a_worker_is_given_no_url_but_its_own_and_the_logs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FINANCE", "FINANCE_OWNER", "SALES", "SALES_OWNER", "LOG", "FINANCE_LOG", "SALES_LOG", "ADMIN"):
        monkeypatch.setenv(f"PRETERITE_{name}_URL", f"sqlite:///{name}")
    told = tmp_path / "told"
    program = f"import os; open({str(told)!r}, 'w').write(repr(dict(os.environ))); os._exit(3)"
    supervise(program, caplog, "its process has ended (exit code 3)").end()
    given = ast.literal_eval(told.read_text())

    assert {name: url for name, url in given.items() if name.endswith("_URL")} == {
        "PRETERITE_FINANCE_URL": "sqlite:///FINANCE",
        "PRETERITE_LOG_URL": "sqlite:///FINANCE_LOG",
    }
