"""Lets tests of one room share modules: `tests/` is on the path, so that `simulation.scenarios` is found.

Logs stay silent unless a test sets them up: schedules by the thousand would drown their own results.
"""

import logging
import sys
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parent))
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
