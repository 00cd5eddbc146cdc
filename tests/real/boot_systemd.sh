#!/usr/bin/env bash
# Boots systemd as the first process of namespaces of its own, on a copy-on-write view of this machine's file system.
#
#   unshare --mount --propagation private --pid --fork --kill-child --cgroup --uts --ipc boot_systemd.sh FOLDER PYTHON PACKAGES PROJECT
#
# FOLDER has the script `trial`, which runs as root once systemd runs, and whose end is the end of all; it is /trial in
# there, and gets what is printed. PYTHON, PACKAGES and PROJECT are seen below /opt, for a service does not see homes.
# Nothing of this machine is changed, and nothing is left: what is mounted and written ends with the namespaces.
set -euo pipefail
folder=$1 python=$2 packages=$3 project=$4

mount -t tmpfs tmpfs "$folder/top"
mkdir "$folder/top/upper" "$folder/top/work" "$folder/top/root"
root=$folder/top/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/top/upper,workdir=$folder/top/work" overlay "$root"
mkdir -p "$root/trial" "$root"/opt/{python,packages,project} "$root/opt/outside"
mount --bind "$folder" "$root/trial"
mount --bind "$python" "$root/opt/python"
mount --bind "$packages" "$root/opt/packages"
mount --bind "$project" "$root/opt/project"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"

# Of this machine's own services and mounts nothing is started.
rm -rf "$root/etc/systemd/system"
mkdir -p "$root/etc/systemd/system" "$root/etc/systemd/system-generators"
for generator in "$root"/lib/systemd/system-generators/*; do
  ln -sf /dev/null "$root/etc/systemd/system-generators/${generator##*/}"
done
cat >"$root/etc/systemd/system/trial.target" <<'UNIT'
[Unit]
DefaultDependencies=no
Wants=trial.service
UNIT
cat >"$root/etc/systemd/system/trial.service" <<'UNIT'
[Unit]
DefaultDependencies=no
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
StandardOutput=append:/trial/printed
StandardError=append:/trial/printed
ExecStart=/bin/bash -eux /trial/trial
UNIT

cd "$root"
pivot_root . opt/outside
mount --make-rshared /
umount --lazy /opt/outside
exec env --ignore-environment container=other "PATH=$PATH" /lib/systemd/systemd --system --unit=trial.target
