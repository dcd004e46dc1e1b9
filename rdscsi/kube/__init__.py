"""The Kubernetes API server, as far as the controller half asks it anything: what a Node object says (law 8).

Nothing here changes an object of Kubernetes. The driver starts and serves without an API server (law 9).
"""

from rdscsi.kube.api import ApiServer, in_cluster
from rdscsi.kube.nodes import Nodes

__all__ = ["ApiServer", "Nodes", "in_cluster"]
