"""What a cluster needs for snapshots beside a driver: the CRDs and the snapshot-controller, one for all drivers."""

from cluster.world import World

CONTROLLER = "snapshot-controller"
_SECONDS = 60


def install(world: World) -> None:
    """Apply the CRDs, those of group snapshots too, which the controller waits for; then start it.

    Raises ClusterFailed, InitFailed.
    """
    files = str(world.programs / "crds")
    world.kubectl("apply", "--server-side", "-f", files)
    world.kubectl("wait", "--for=condition=Established", "-f", files, f"--timeout={_SECONDS}s", seconds=_SECONDS + 10)
    world.start_program(CONTROLLER)
