"""An event that ends every process that handles it is set aside in the end, and holds up nothing else for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from support.process_shop import IMPATIENT, finance
from support.processes import running_shop
from support.shop import letters

SETTLE = "from support.process_shop import system\nwith system.open() as opened: opened.settle(failures='park')"
KILLED = -9
PROCESSES_MAX = 20


def test_after_one_death_in_a_batch_and_as_many_alone_as_are_allowed_it_is_a_dead_letter(tmp_path: Path) -> None:
    with running_shop(tmp_path) as shop:
        shop.publish("kills the process", uuid4())
        others = [str(shop.publish(customer=uuid4())) for _ in range(5)]
        command = [sys.executable, "-c", SETTLE]
        ends: list[int] = []
        while not letters(shop.opened, finance) and len(ends) < PROCESSES_MAX:
            ends.append(subprocess.run(command, env=shop.environment, cwd=tmp_path, check=False).returncode)

        # One that ends well has found that the next attempt is not due yet.
        assert [end for end in ends if end != 0] == [KILLED] * (1 + IMPATIENT.process_deaths_max)
        (letter,) = letters(shop.opened, finance)
        assert letter.failure is not None
        assert (letter.failure.error, letter.attempts) == ("ProcessDied", IMPATIENT.process_deaths_max)
        assert sorted(shop.billed()) == sorted(others)
