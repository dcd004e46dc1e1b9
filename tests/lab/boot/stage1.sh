#!/bin/busybox sh
# In the initramfs: load the few modules, lay a tmpfs over the host's root, go on there with stage 2.
B=/bin/busybox
P9=trans=virtio,version=9p2000.L,msize=512000

die() {
    echo "lab: $*" >/dev/console
    $B reboot -f
}

$B mkdir -p /proc /sys /dev /lower /written /new
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs devtmpfs /dev
for module in $($B cat /modules/order); do
    $B insmod "/modules/$module" || die "module $module"
done
$B mount -t 9p -o "ro,$P9,cache=loose" root /lower || die "the host's root"
$B mount -t tmpfs -o mode=755,size=90% tmpfs /written
$B mkdir /written/upper /written/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/written/upper,workdir=/written/work overlay /new || die "overlay"
$B mount -t tmpfs -o mode=755 tmpfs /new/run
$B mkdir -p /new/run/lab
$B mount -t 9p -o "rw,$P9,cache=none,access=any" machine /new/run/lab || die "the machine's directory"
for place in proc sys dev; do
    $B mkdir -p "/new/$place"
    $B mount -o move "/$place" "/new/$place"
done
exec $B switch_root /new /bin/busybox sh /run/lab/stage2.sh
