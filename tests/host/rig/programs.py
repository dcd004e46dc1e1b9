"""Programs that tests compare with, or have make what they look at."""

import os
import shutil

import pytest


def require(program: str) -> None:
    """Leave the test out where a user lacks the program; in CI, which installs all of them, that is a failure."""
    if shutil.which(program) is not None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} is not installed, and CI has every program")
    pytest.skip(f"{program} is not installed")
