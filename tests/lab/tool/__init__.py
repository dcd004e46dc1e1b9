"""Tests of the tool itself with real machines: `make lab`. What can be tested without one is beside the modules."""
