"""The chart over time: rolled out again under load, uninstalled, installed again."""

from cluster import driver

from suite import leftovers
from suite.objects import MOUNTED
from suite.scenario import Context, Scenario, check, names, scenario

SCENARIOS: list[Scenario] = []
_WRITER = f"(while :; do date >>{MOUNTED}/log; sync; sleep 0.2; done) & true"


@scenario(SCENARIOS, "all of the driver is rolled out again while a pod writes and claims come; nobody notices")
def rolled_out_under_load(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("writer", "data", script=_WRITER)
    rollouts = (f"deployment/{driver.RELEASE}-controller", f"daemonset/{driver.RELEASE}-node")
    e2e.world.kubectl("-n", driver.NAMESPACE, "rollout", "restart", *rollouts)
    before = int(e2e.sh("writer", f"wc -l <{MOUNTED}/log"))
    e2e.claim("meanwhile")
    e2e.pod("meanwhile", "meanwhile")
    driver.wait_ready(e2e.world)
    check(int(e2e.sh("writer", f"wc -l <{MOUNTED}/log")) > before, "the writer stands still")
    e2e.delete("pod", "writer", "meanwhile")
    e2e.delete("pvc", "data", "meanwhile")


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
        own = f"{kinds},clusterroles,clusterrolebindings,csidrivers,storageclasses"
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
