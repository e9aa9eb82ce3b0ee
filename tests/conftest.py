"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# How long a test takes is measured in benchmarks/: here machines are busy.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
