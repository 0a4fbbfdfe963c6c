"""What strace has seen is read as it happened, whatever other threads of the process do."""

from __future__ import annotations

from pathlib import Path

import pytest

from crash import recording
from crash.recording import Step


def test_a_call_that_another_threads_call_interrupts_is_one_step(tmp_path: Path) -> None:
    steps = list(
        recording.steps(
            "\n".join(
                [
                    f"7 fsync(3<{tmp_path}/log.sqlite> <unfinished ...>",
                    '8 openat(AT_FDCWD</>, "\\x2f\\x78", O_RDONLY <unfinished ...>',
                    "7 <... fsync resumed>) = 0",
                    "8 <... openat resumed>) = 4</x>",
                    f"7 ftruncate(3<{tmp_path}/log.sqlite>, 12) = 0",
                ]
            ),
            tmp_path,
        )
    )

    assert steps == [Step("sync", "log.sqlite"), Step("truncate", "log.sqlite", 12)]


def test_the_note_of_a_long_handler_is_no_step_and_files_have_one_thread(tmp_path: Path) -> None:
    note = f"8 fsync(5<{tmp_path}/finance.sqlite-running-8>) = 0"
    first, other = (f"{thread} fsync(3<{tmp_path}/log.sqlite>) = 0" for thread in (7, 8))

    assert list(recording.steps(f"{first}\n{note}", tmp_path)) == [Step("sync", "log.sqlite")]
    with pytest.raises(AssertionError, match="writes in several threads"):
        list(recording.steps(f"{first}\n{other}", tmp_path))
