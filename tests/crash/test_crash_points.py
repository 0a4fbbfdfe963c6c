"""A process that is killed anywhere, and a machine that loses its power anywhere, lose nothing and double nothing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from crash.cuts import Cut, Recorded
from crash.flows import FLOWS, finish, prepare, told_of
from crash.recording import Disk, Step, killed

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None and os.environ.get("PRETERITE_TEST_SERVERS") != "required",
    reason="strace is missing: make servers",
)
POWER_LOSSES = 60
REAL_KILLS = 3
PUSHED = ("publish", "receive")


@pytest.fixture(scope="module", params=PUSHED)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(request.param, tmp_path_factory.mktemp("crash"))


def _broken(cuts: list[Cut]) -> list[str]:
    return [f"step {cut.step} ({cut.doing}): {one}" for cut in cuts for one in cut.violations]


def test_a_process_killed_at_any_write_or_sync_loses_and_doubles_nothing(recorded: Recorded) -> None:
    cuts = list(recorded.kills())

    assert len(cuts) > 50, "the flow was recorded"
    assert _broken(cuts) == []


def test_a_machine_without_power_anywhere_loses_and_doubles_nothing(recorded: Recorded) -> None:
    assert _broken(list(recorded.power_losses(POWER_LOSSES, seed=7))) == []


@pytest.mark.parametrize("flow", [flow for flow in FLOWS if flow not in PUSHED])
def test_a_process_killed_at_every_twentieth_step_of_any_other_flow_loses_and_doubles_nothing(
    tmp_path: Path, flow: str
) -> None:
    assert _broken(list(Recorded(flow, tmp_path).kills(every=20))) == []


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_process_killed_for_real_leaves_what_the_recording_says(tmp_path: Path, call: str) -> None:
    for number in range(1, REAL_KILLS + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        prepare("publish", folder)

        ended = killed([sys.executable, "-m", "crash.flows", "publish", "act", str(folder)], call, 5 * number)

        assert ended != 0, "it was killed"
        assert finish(folder, FLOWS["publish"], told_of(folder)) == []


def test_what_was_not_synced_may_be_lost_and_what_was_may_not() -> None:
    disk = Disk({"file": bytearray(b"old")}, {"file": b"old"})
    for step in (Step("write", "file", 0, b"new"), Step("create", "other"), Step("write", "other", 0, b"x")):
        disk.take(step)
    left = {_after(disk, seed) for seed in range(50)}
    disk.take(Step("sync", "file"))
    synced = {_after(disk, seed)[0] for seed in range(50)}

    assert {one[0] for one in left} == {b"old", b"new"}
    assert {one[1] for one in left} == {None, b"", b"x"}
    assert synced == {b"new"}
    assert disk.after_a_kill() == {"file": b"new", "other": b"x"}


def _after(disk: Disk, seed: int) -> tuple[bytes | None, bytes | None]:
    import random

    files = disk.after_a_power_loss(random.Random(seed))
    return files.get("file"), files.get("other")
