"""The chart over time: upgraded under load, with other settings, uninstalled, installed again."""

from pathlib import Path

from cluster import driver, previous

from suite import leftovers, objects
from suite.objects import MOUNTED
from suite.scenario import Context, Scenario, Skipped, check, names, scenario

SCENARIOS: list[Scenario] = []
_WRITER = f"(while :; do date >>{MOUNTED}/log; sync; sleep 0.2; done) & true"


@scenario(SCENARIOS, "the chart of the commit before is upgraded to this one while a pod writes and claims come")
def upgraded_under_load(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("writer", "data", node="n1", script=_WRITER)
    before = int(e2e.sh("writer", f"wc -l <{MOUNTED}/log"))
    e2e.apply(objects.claim("meanwhile"), objects.pod("meanwhile", "meanwhile"))
    _upgrade(e2e)
    e2e.ready("meanwhile")
    check(int(e2e.sh("writer", f"wc -l <{MOUNTED}/log")) > before, "the writer stands still")
    e2e.delete("pod", "writer", "meanwhile")
    e2e.pod("reader", "data", node="n2")
    check(int(e2e.sh("reader", f"wc -l <{MOUNTED}/log")) > before, "the data are gone")
    e2e.delete("pod", "reader")
    e2e.delete("pvc", "data", "meanwhile")


def _upgrade(e2e: Context) -> None:
    """Upgrade from the commit before; where it is not what runs here, all of the driver is rolled out again."""
    if driver.installed_tag(e2e.world) == previous.TAG:
        driver.install(e2e.world, driver.values(e2e.world))
        return
    print("e2e:   the commit before is not installed here: this one is rolled out again", flush=True)
    rollouts = (f"deployment/{driver.RELEASE}-controller", f"daemonset/{driver.RELEASE}-node")
    e2e.world.kubectl("-n", driver.NAMESPACE, "rollout", "restart", *rollouts)
    driver.wait_ready(e2e.world)


@scenario(
    SCENARIOS, "nodes without nvme-tcp: the pod's event and the node's log name the remedy; with it, the pod runs"
)
def no_nvme_tcp(e2e: Context) -> None:
    if Path("/dev/nvme-fabrics").exists():
        raise Skipped("this machine has nvme-tcp")
    driver.install(e2e.world, driver.values(e2e.world, host_backend="kernel"))
    try:
        e2e.claim("data")
        e2e.apply(objects.pod("pod", "data"))
        e2e.until("the event", lambda: "modprobe nvme-tcp" in e2e.events("pod"))
        log = e2e.world.kubectl("-n", driver.NAMESPACE, "logs", f"daemonset/{driver.RELEASE}-node")
        check("modprobe nvme-tcp" in log, "the log names no remedy")
    finally:
        driver.install(e2e.world, driver.values(e2e.world))
    e2e.ready("pod")
    e2e.delete("pod", "pod")
    e2e.delete("pvc", "data")


@scenario(SCENARIOS, "helm uninstall leaves volumes and their objects; installed again, the data are there")
def uninstalled_and_again(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("writer", "data", script=f"echo kept >{MOUNTED}/file; sync")
    e2e.delete("pod", "writer")
    e2e.until("detached", lambda: not names(e2e.get("volumeattachments")))
    driver.uninstall(e2e.world)
    try:
        selector = "app.kubernetes.io/instance=rdscsi"
        kinds = "all,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
        own = f"{kinds},clusterroles,clusterrolebindings,csidrivers,storageclasses,volumesnapshotclasses"
        e2e.until(
            "everything of the chart is gone",
            lambda: not e2e.world.kubectl("-n", driver.NAMESPACE, "get", own, "-l", selector, "-o", "name").strip(),
        )
        check(len(e2e.get("pv")["items"]) == 1, "the PersistentVolume is gone")
        check(any("file" in one for one in leftovers.on_appliance(e2e.world)), "the volume on the appliance is gone")
    finally:
        driver.install(e2e.world, driver.values(e2e.world))
    e2e.pod("reader", "data")
    check(e2e.sh("reader", f"cat {MOUNTED}/file").strip() == "kept", "the data are gone")
    e2e.delete("pod", "reader")
    e2e.delete("pvc", "data")
