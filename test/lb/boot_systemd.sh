#!/bin/sh
# A small systemd as PID 1 of a container, for test/lb/systemd-host.ts: the machine's own /usr below an overlay, namespaces of
# every kind, a control group of its own, and of systemd's units only those that boot needs. Ends with its standard input.
#
#   boot_systemd.sh outside DIRECTORY NETNS ID REPOSITORY NODE      in a mount namespace of its own
#   boot_systemd.sh inside DIRECTORY REPOSITORY NODE                calls itself so, in all the others
set -eu

outside() {
  directory=$1 netns=$2 id=$3
  mkdir "$directory/cgroup" "$directory/root"
  mount -t cgroup2 none "$directory/cgroup"
  group=$directory/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/$id
  mkdir -p "$group"
  exec 3<&0
  # The root of a cgroup namespace is where its first process is.
  sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" \
    nsenter "--net=/run/netns/$netns" \
    unshare --cgroup --uts --ipc --pid --mount --propagation private --fork --kill-child \
    sh "$0" inside "$directory" "$4" "$5" 3<&- &
  systemd=$!
  trap '' HUP INT TERM
  # Who would read it may be gone.
  exec 2> /dev/null
  # Takes PID 1 with it, and that all the others.
  (cat <&3 > /dev/null && kill -KILL "$systemd") &
  wait "$systemd" || :
  # The last processes may still be on their way out.
  tries=0
  until find "$group" -depth -type d -exec rmdir {} + || [ "$tries" -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
}

inside() {
  directory=$1 repository=$2 node=$3
  # By the outside's /proc.
  read -r pid rest < /proc/self/stat
  umount "$directory/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$directory"
  mkdir "$directory/upper" "$directory/work" "$directory/root"
  root=$directory/root
  mount -t overlay -o "lowerdir=/,upperdir=$directory/upper,workdir=$directory/work" overlay "$root"

  # Of the kernel, nothing is writable that others have too.
  mount -t proc proc "$root/proc"
  for path in sys sysrq-trigger; do
    [ -e "$root/proc/$path" ] || continue
    mount --bind "$root/proc/$path" "$root/proc/$path"
    mount -o remount,bind,ro "$root/proc/$path"
  done
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for name in null zero full random urandom tty; do
    : > "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  mkdir "$root/dev/shm" "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"

  for path in run tmp var/log var/tmp etc/systemd usr/lib/systemd/system-generators; do
    mount -t tmpfs -o mode=755 tmpfs "$root/$path"
  done
  chmod 1777 "$root/tmp" "$root/var/tmp"
  mkdir "$root/etc/systemd/system"
  tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
  units=$root/usr/lib/systemd/system
  mkdir "$directory/units"
  for unit in sysinit.target basic.target multi-user.target network-online.target sockets.target paths.target slices.target \
    timers.target shutdown.target systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
    cp "$units/$unit" "$directory/units"
  done
  mkdir "$directory/units/sysinit.target.wants"
  ln -s ../systemd-journald.service "$directory/units/sysinit.target.wants"
  mount --bind "$directory/units" "$units"

  # As npm would have it.
  package=$root/usr/local/lib/node_modules/hushlb
  mkdir -p "$package"
  mkdir "$directory/upper-package" "$directory/work-package"
  mount -t overlay overlay "$package" \
    -o "lowerdir=$repository,upperdir=$directory/upper-package,workdir=$directory/work-package"
  chmod 755 "$package/dist/cli/main.js"
  rm -f "$root/usr/local/bin/hushlb" "$root/usr/local/bin/node"
  ln -s ../lib/node_modules/hushlb/dist/cli/main.js "$root/usr/local/bin/hushlb"
  : > "$root/usr/local/bin/node"
  mount --bind "$node" "$root/usr/local/bin/node"

  cd "$root"
  pivot_root . mnt
  umount -l mnt
  echo "$pid"
  exec env -i container=other /lib/systemd/systemd --unit=multi-user.target --log-target=journal --show-status=no
}

"$@"
