"""Tests that run inside a machine of the laboratory, as root, with the project's `.venv`: `make lab`.

`test_fabrics_*` pin what the driver builds on: how the kernel's initiator and target really behave. They use neither
`rdscsi.host` nor `rdscsi.node`, so that a wrong belief cannot cancel out; the target is driven by the simulated RDS's
own exporter, which they test along the way.
"""
