#!/bin/busybox sh
# Process 1 of a machine. /run/lab is the machine's directory on the host (9p): `settings` comes from there, jobs too.
# Commands arrive as lines on a virtio port; what they print and how they end goes back as files. busybox's own
# commands where possible: under emulation each start of a dynamic program costs. Jobs run under the host's /bin/sh.
trap '' INT
. /run/lab/settings
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount_kernel_filesystems() {
    mkdir -p /dev/pts /dev/shm /run/lock
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
    ln -sfn /proc/self/fd /dev/fd
    ln -sfn /proc/self/mounts /etc/mtab
    echo 1 >/proc/sys/kernel/sysrq
}

name_machine() {
    echo "$LAB_NAME" >/proc/sys/kernel/hostname
    echo "$LAB_NAME" >/etc/hostname
    echo "${LAB_UUID//-/}" >/etc/machine-id
    mkdir -p /etc/nvme
    echo "nqn.2014-08.org.nvmexpress:uuid:$LAB_UUID" >/etc/nvme/hostnqn
    echo "$LAB_UUID" >/etc/nvme/hostid
}

bring_modules() {
    mkdir -p /lib/modules
    mount -t tmpfs tmpfs /lib/modules
    mkdir "/lib/modules/$(uname -r)"
    mount -o bind "$LAB_MODULES" "/lib/modules/$(uname -r)"
    /sbin/modprobe -qa configfs $LAB_LOAD
    mount -t configfs configfs /sys/kernel/config
    if [ -d /sys/kernel/debug ]; then mount -t debugfs debugfs /sys/kernel/debug; fi
}

mount_shares() { # the directories that the host lets this machine write, at the same paths
    local tag place
    for tag in $LAB_SHARES; do
        place=$(cat "/run/lab/shares/$tag")
        mkdir -p "$place"
        mount -t 9p -o rw,trans=virtio,version=9p2000.L,msize=512000,cache=mmap "$tag" "$place" ||
            echo "lab: $place cannot be mounted"
    done
}

start_udev() {
    /lib/systemd/systemd-udevd --daemon 2>/dev/null
    udevadm trigger --type=devices --action=add -s block -s net -s virtio-ports -s nvme -s nvme-subsystem -s misc
    udevadm settle -t 30
}

configure_network() { # the nth address for the nth network card
    local card address number=0
    ip link set lo up
    for card in /sys/class/net/*; do
        [ -e "$card/device" ] || continue
        number=$((number + 1))
        address=$(echo "$LAB_ADDRESSES" | cut -d ' ' -f "$number")
        [ -n "$address" ] && [ "$address" != - ] || continue
        ip addr add "$address" dev "${card##*/}"
        ip link set "${card##*/}" up
    done
}

control_port() {
    local port
    for port in /sys/class/virtio-ports/*; do
        if [ "$(cat "$port/name" 2>/dev/null)" = lab.control ]; then echo "/dev/${port##*/}"; fi
    done
}

run_job() { # ID KIND
    local job=/run/lab/jobs/$1 input=/dev/null
    if [ -e "$job/in" ]; then input=$job/in; fi
    if [ "$2" = terminal ]; then
        /usr/bin/setsid --ctty --wait /bin/sh "$job/script" <>/dev/hvc0 >&0 2>&1 &
    else
        setsid /bin/sh "$job/script" <"$input" >>"$job/out" 2>>"$job/err" &
    fi
    echo $! >"$job/pid.new"
    mv "$job/pid.new" "$job/pid"
    wait $!
    echo $? >"$job/status.new"
    mv "$job/status.new" "$job/status"
}

obey() {
    local verb id kind
    while read -r verb id kind; do
        case $verb in
        job) run_job "$id" "$kind" <&- & ;;
        kill) kill -TERM "-$(cat "/run/lab/jobs/$id/pid")" ;;
        dump) # the tasks that are blocked, to the console
            echo 8 >/proc/sys/kernel/printk
            echo w >/proc/sysrq-trigger
            ;;
        off) return ;;
        esac
    done
}

flush_shares() { # these alone: a sync of everything would hang on a dead NVMe path
    local tag
    for tag in $LAB_SHARES; do
        sync -f "$(cat "/run/lab/shares/$tag")" &
    done
    wait $!
}

mount_kernel_filesystems
name_machine
bring_modules
mount_shares
if [ "$LAB_UDEV" = 1 ]; then start_udev; fi
configure_network
port=$(control_port)
cut -d ' ' -f 1 /proc/uptime >/run/lab/ready.new
mv /run/lab/ready.new /run/lab/ready
obey <"$port"
if [ -n "$LAB_SHARES" ]; then flush_shares; fi
echo b >/proc/sysrq-trigger # with -no-reboot QEMU ends at once
sleep 60
