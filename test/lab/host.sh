# What the nested host does, as its first process: makes itself a host, runs the command, tells its status, ends.
# Its own programs are busybox's: those of the machine are the command's.
box=/run/lab/busybox
port() {
  for directory in /sys/class/virtio-ports/vport*; do
    read -r name <"$directory/name" && [ "$name" = "$1" ] && echo "/dev/${directory##*/}" && return
  done
  echo "lab: no port $1"
}
end() {
  $box sync
  # What was said is read from the ports by now or never: the power goes at once.
  echo o >/proc/sysrq-trigger
  while :; do $box sleep 60; done
}
exec 7>"$(port status)" || end

# First of all: else no module is found that the command's programs ask for.
modules=$($box cat /run/lab/modules)
$box mkdir -p /lib/modules
$box mount --bind "$modules" /lib/modules || echo "lab: cannot bind the modules"
cwd=$($box cat /run/lab/cwd)
for directory in /tmp /var/tmp /dev/shm; do
  # Not over what the command is in.
  case $cwd/ in "$directory"/*) continue ;; esac
  $box mkdir -p "$directory"
  $box mount -t tmpfs -o mode=1777 tmp "$directory"
done
$box mkdir -p /dev/pts /run/lock
$box mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$box mount -t cgroup2 cgroup /sys/fs/cgroup
for link in fd: stdin:/0 stdout:/1 stderr:/2; do
  [ -e "/dev/${link%%:*}" ] || $box ln -s "/proc/self/fd${link#*:}" "/dev/${link%%:*}"
done
# As udev's rules have them.
$box chmod 666 /dev/net/tun /dev/vsock 2>/dev/null
for device in /dev/kvm /dev/vhost-vsock /dev/vhost-net; do
  $box chgrp kvm "$device" 2>/dev/null && $box chmod 660 "$device" || $box chmod 666 "$device"
done
$box ip link set lo up
$box hostname lab
if [ -e /run/lab/out ]; then
  out=$($box cat /run/lab/out)
  $box mkdir -p "$out"
  $box mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out "$out" || echo "lab: cannot mount $out"
fi

# Ports are opened by one process only: the command gets pipes, which whoever it starts may open again.
$box mkfifo /run/lab/stdout /run/lab/stderr
$box cat /run/lab/stdout >"$(port stdout)" &
first=$!
$box cat /run/lab/stderr >"$(port stderr)" &
second=$!
echo up >&7
$box sh /run/lab/command.sh </dev/null >/run/lab/stdout 2>/run/lab/stderr 7>&- &
wait $!
status=$?
# What the command has left running may hold a pipe for ever.
$box sleep 5 &
patience=$!
(while $box kill -0 $first 2>/dev/null || $box kill -0 $second 2>/dev/null; do
  $box kill -0 $patience 2>/dev/null || exit
  $box usleep 20000
done)
echo "status $status" >&7
end
