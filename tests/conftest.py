"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# How long a test takes is measured in benchmarks/: here machines are busy. The same examples each
# time, so that a change is judged by what it changes; `--hypothesis-profile explore` seeks others.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("steady")
