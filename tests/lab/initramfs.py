"""What the kernel starts from: busybox, a few modules and boot/stage1.sh. Made anew for each machine, in no time."""

from pathlib import Path

from lab import archive, modules

BUSYBOX = Path("/bin/busybox")
BOOT = Path(__file__).parent / "boot"


def render(module_tree: Path) -> bytes:
    """Write the archive for a kernel whose /lib/modules/<release> is `module_tree`."""
    dependencies, builtin = ((module_tree / f"modules.{name}").read_text() for name in ("dep", "builtin"))
    paths = modules.load_order(dependencies, builtin, modules.BOOT)
    names = [Path(path).name.removesuffix(".xz") for path in paths]
    loaded = [
        archive.Entry(f"modules/{name}", modules.read_module(module_tree / path))
        for name, path in zip(names, paths, strict=True)
    ]
    return archive.render_cpio(
        [
            archive.Entry("bin"),
            archive.Entry("dev"),
            archive.Entry("modules"),
            archive.Entry("bin/busybox", BUSYBOX.read_bytes(), executable=True),
            archive.Entry("init", (BOOT / "stage1.sh").read_bytes(), executable=True),
            archive.Entry("modules/order", "".join(f"{name}\n" for name in names).encode()),
            *loaded,
        ]
    )
