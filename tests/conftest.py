"""Logs stay silent unless a test sets them up: schedules by the thousand would drown their own results."""

import logging

import structlog

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
