"""Runs stories: functions that get the name of a backend and say what they saw."""

import os
import resource
import time


def run(backends, stories):
    """Each story over each backend; the variable STORY chooses those whose names hold it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_000), hard))
    only = os.environ.get("STORY", "")
    for backend in backends:
        for story in stories:
            if only in story.__name__:
                began = time.monotonic()
                result = story(backend)
                print(f"{backend}: {story.__name__}: {result} ({time.monotonic() - began:.1f} s)", flush=True)
