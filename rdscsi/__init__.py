"""rdscsi: a Kubernetes CSI driver for the MikroTik ROSE Data Server (RDS).

Start reading at `docs/design.md`; the layers are listed there and enforced in `pyproject.toml`.
"""

__version__ = "0.1.0"
