"""The driver makes itself known to kubelet, so that a node pod needs no node-driver-registrar.

`keeping` decides when the registration socket is there; `service` answers on it. Both need `rdscsi.csi.loop.open_loop`
around them. Neither the appliance nor the API server takes part (law 9).
"""

from rdscsi.registration.keeping import Registration, keep_registered

__all__ = ["Registration", "keep_registered"]
