"""Settings every test shares."""

from hypothesis import settings

# No deadline: timings on shared machines say nothing about the code under test.
settings.register_profile("dcsfl", deadline=None)
settings.load_profile("dcsfl")
