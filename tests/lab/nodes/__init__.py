"""The whole driver on real NVMe/TCP: an appliance and two nodes, a machine each; the controller half on this computer.

`make lab`. The tests drive it from outside, as the orchestrator and kubelet would, by RPCs alone; what happens in a
machine besides is done by commands in it. `world` puts it together, `volume` is what tests read as.
"""
