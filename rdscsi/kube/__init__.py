"""The Kubernetes API server, as far as the controller half asks it anything: about nodes (law 8), and about claims.

Nothing here changes an object of Kubernetes but the Lease. The driver starts and serves without an API server (law 9).
"""

from rdscsi.kube.api import ApiServer, in_cluster
from rdscsi.kube.claims import Claims
from rdscsi.kube.lease import Lease, open_lease
from rdscsi.kube.nodes import Nodes

__all__ = ["ApiServer", "Claims", "Lease", "Nodes", "in_cluster", "open_lease"]
