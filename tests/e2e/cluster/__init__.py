"""A real Kubernetes on one machine, made from package registries alone: for the E2E suite, and for people to play in.

Everything runs in one pid, mount and network namespace of its own (`world`), each node in further ones inside it
(`node`), so that one kill ends all of it and the kernel takes mounts and addresses away. What a namespace does not hold
(loop devices, cgroups, files) is in `remains`. Every version is pinned in tests/e2e/build.
"""
