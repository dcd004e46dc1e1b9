"""Logs stay silent unless a test sets them up: schedules by the thousand would drown their own results."""

import logging

import structlog
from hypothesis import HealthCheck, settings

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

# How long an example takes says more about the machine than about the code.
settings.register_profile("rdscsi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rdscsi")
