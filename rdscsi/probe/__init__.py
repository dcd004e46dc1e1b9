"""Probing a real appliance: a list of console lines that settle what no source does, and what to do with the answers.

`steps` is the list, `run` walks it over an SSH `channel`, `transcript` is the record, `contract` says what must be true
of it. Nothing of the driver's operations is used, and nothing but objects of the probe's own is touched.
"""
