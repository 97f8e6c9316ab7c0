"""A plugin of pytest for whoever asks only whether a test fails (`-p unshrunk`).

Hypothesis then reports the first example that fails. Finding the simplest one can take minutes.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "unshrunk",
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unshrunk")
