"""The simulated backend: devices, mounts and filesystems that are not, on directories and backing files that are.

For machines without root, and for tests in virtual time. `rdscsi.host.simulated.host` has the `SimulatedHost`.
"""

from rdscsi.host.simulated.host import SimulatedHost
from rdscsi.host.simulated.kernel import Kernel, open_kernel

__all__ = ["Kernel", "SimulatedHost", "open_kernel"]
