"""What runs, recorded while it runs: statements, connections of handlers, and the values in events."""

from preterite.checks.recording.hooks import recording
from preterite.checks.recording.recorder import Counts, Recorder

__all__ = ["Counts", "Recorder", "recording"]
