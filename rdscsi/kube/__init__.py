"""The Kubernetes API server, as far as the controller half asks it anything: nodes (law 8), claims, snapshots' objects.

Nothing here changes an object of Kubernetes but the Lease, and the annotations of VolumeSnapshotContents. The driver
starts and serves without an API server (law 9).
"""

from rdscsi.kube.api import ApiServer, in_cluster
from rdscsi.kube.claims import Claims
from rdscsi.kube.contents import Contents
from rdscsi.kube.lease import Lease, open_lease
from rdscsi.kube.nodes import Nodes

__all__ = ["ApiServer", "Claims", "Contents", "Lease", "Nodes", "in_cluster", "open_lease"]
