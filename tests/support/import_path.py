"""What a process that a test starts imports: what the test itself does."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]


def import_path() -> str:
    """PYTHONPATH for such a process: first what the tests were given, as the source of a mutant; then the tests."""
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(TESTS)]))
