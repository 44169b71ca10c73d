#!/bin/sh
# Says all that this guest sees, a line for each thing, so that a row of the
# suite is judged by what the guest said and nothing else:
#
#   report: begin=1
#   report: cpus=2
#   report: disk=vdb ro=1 bytes=67108864 serial=data
#   …
#   report: end=57 3c59dc048e8850243be8079a5c74d079
#
# `end` has the count of the lines before it and their MD5. Then it waits for a line on the console,
# words that it is to act on (see `act`), and says everything again; or
# `reboot` or `poweroff`; or `again`, when it came through broken: then the same lines. Words of the kernel's command line that begin with `report.` are
# acted on first.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
lines=/run/report.lines

say() { echo "$*" >>"$lines"; }

# Where a file system of a disk is mounted, its root directory and not a part of it.
mounted_at() { awk -v want="$1" '$3 == want && $4 == "/" { print $5; exit }' /proc/self/mountinfo; }

number_of() { cat "/sys/class/block/$1/dev"; }

machine() {
  say "cpus=$(nproc)"
  say "mem_kib=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
  say "cmdline=$(cat /proc/cmdline)"
  say "uname=$(uname -r) $(uname -v)"
  say "hostname=$(hostname)"
  say "clock=$(date +%s)"
  say "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
}

volumes() {
  for disk in /sys/block/vd*; do
    [ -e "$disk" ] || continue
    name=${disk##*/}
    say "disk=$name ro=$(cat "$disk/ro") bytes=$(($(cat "$disk/size") * 512)) serial=$(cat "$disk/serial")"
    volume=$name
    for part in "$disk/$name"[0-9]*; do
      [ -e "$part" ] || continue
      volume=${part##*/}
      say "partition=$volume of=$name start=$(cat "$part/start") bytes=$(($(cat "$part/size") * 512))"
    done
    if [ -x /sbin/blkid ]; then
      say "blkid=$volume $(/sbin/blkid -p -o export "/dev/$volume" | tr '\n' ' ')"
    fi
    volume "$disk" "$volume"
  done
  # The kernel escapes what is no plain character (proc(5)).
  while read -r source path type options _; do
    case $source in /dev/vd* | /dev/root) say "mount=${source#/dev/} $path $type $options" ;; esac
  done </proc/mounts
}

# The file system of one volume: what it holds, and whether it can be written.
volume() {
  path=$(printf "$(mounted_at "$(number_of "$2")")") # \040 is a blank
  own=''
  if [ -z "$path" ]; then
    path=/run/volumes/$2
    own=$path
    mkdir -p "$path"
    mount -t ext4 -o ro "/dev/$2" "$path" 2>/dev/null || mount -t vfat -o ro "/dev/$2" "$path" 2>/dev/null || { say "unreadable=$2"; return; }
  fi
  say "df=$2 kib=$(df -Pk "$path" | awk 'END { print $2 }')"
  [ "$path" = / ] || files "$2" "$path"
  ro=$(cat "$1/ro")
  # As it would be mounted to be written.
  [ -z "$own" ] || mount -o remount,rw "$own" 2>/dev/null
  if touch "$path/report.touched" 2>/dev/null && sync; then say "write=$2 ok"; else say "write=$2 refused"; fi
  # What the file system refuses, the disk may take: it is asked where that harms nothing.
  if [ "$ro" = 1 ]; then
    if echo x 2>/dev/null >"/dev/$2"; then say "write_device=$2 ok"; else say "write_device=$2 refused"; fi
  fi
  [ -z "$own" ] || umount "$own"
}

files() {
  (cd "$2" && find . -xdev ! -path './lost+found*' ! -name report.touched | sort | head -n 60) >/run/report.files
  while read -r file; do
    at=$2/$file
    say "file=$1 $file mode=$(stat -c %f "$at") owner=$(stat -c %u:%g "$at") links=$(stat -c %h "$at")" \
      "inode=$(stat -c %i "$at")$([ -L "$at" ] && echo " to=$(readlink "$at")")"
    [ -f "$at" ] && [ ! -L "$at" ] && [ "$(stat -c %s "$at")" -le 400 ] &&
      say "text=$1 $file $(tr '\n' '|' <"$at")"
    case $file in
      # The kernel gives it what its extended attribute says.
      */capable/busybox) say "capabilities=$1 $file $(su -s /bin/sh nobody -c "$at grep CapEff /proc/self/status" | tr -d '\t')" ;;
    esac
  done </run/report.files
}

interfaces() {
  for nic in /sys/class/net/*; do
    name=${nic##*/}
    [ "$name" != lo ] || continue
    say "link=$name index=$(cat "$nic/ifindex") mac=$(cat "$nic/address") state=$(cat "$nic/operstate")"
    ip -4 -o addr show dev "$name" | awk '{ print $4 }' | while read -r address; do say "address=$name $address"; done
  done
  ip route | while read -r route; do say "route=$route"; done
  sed -n 's/^nameserver //p' /etc/resolv.conf 2>/dev/null | while read -r server; do say "dns=$server"; done
}

# What tells of the guest what no look at it tells:
#   ping=ADDRESS[,DEVICE]
#   dhcp=DEVICE                          the address that it would be given
#   serve=PORT,TEXT                      answers with it over HTTP from now on
#   mark=TEXT, mark                      writes to the root, reads it
#   http=NAME,DEVICE,METHOD,PATH[,HEADER…]   asks the metadata service
#   become=DEVICE,MAC,ADDRESS/PREFIX,GATEWAY takes them for its own
act() {
  case $1 in
    ping=*)
      to=${1#ping=}
      device=${to#*,}
      [ "$device" != "$to" ] || device=''
      if ping -c 1 -W 5 ${device:+-I "$device"} "${to%%,*}" >/dev/null 2>&1; then say "ping=$to ok"; else say "ping=$to lost"; fi
      ;;
    dhcp=*) # asks, and takes nothing
      lease=$(udhcpc -n -q -t 10 -T 1 -i "${1#dhcp=}" -s /bin/true 2>&1 | sed -n 's/.*lease of \([0-9.]*\) obtained.*/\1/p')
      say "lease=${1#dhcp=} ${lease:-none}"
      ;;
    http=*) http "${1#http=}" ;;
    serve=*)
      served=${1#serve=}
      mkdir -p /run/www
      echo "${served#*,}" >/run/www/index.html
      if httpd -p "${served%%,*}" -h /run/www; then say "serve=$served"; else say "serve=refused"; fi
      ;;
    become=*) become "${1#become=}" ;;
    mark=*)
      say "mark_before=$(cat /mark 2>/dev/null || echo none)"
      echo "${1#mark=}" >/mark
      sync
      echo 3 >/proc/sys/vm/drop_caches
      say "mark_after=$(cat /mark)"
      ;;
    mark) say "mark=$(cat /mark 2>/dev/null || echo none)" ;;
    *) say "unknown=$1" ;;
  esac
}

http() {
  IFS=,
  set -- $1
  unset IFS
  name=$1 device=$2 method=$3 path=$4
  shift 4
  gateway=$(ip route | awk -v device="$device" '$1 == "default" && $5 == device { print $3; exit }')
  ip route replace 169.254.169.254/32 via "$gateway" dev "$device"
  # In a header a last @ is the token that was given last.
  {
    printf '%s %s HTTP/1.0\r\nHost: 169.254.169.254\r\n' "$method" "$path"
    for header; do
      case $header in *@) header=${header%@}$(cat /run/report.token) ;; esac
      printf '%s\r\n' "$header"
    done
    printf '\r\n'
  } | nc -w 5 169.254.169.254 80 >/run/report.http 2>/dev/null
  ip route del 169.254.169.254/32
  sed '1,/^\r$/d' /run/report.http >/run/report.body
  status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' /run/report.http)
  [ "$method" != PUT ] || cp /run/report.body /run/report.token
  say "http=$name status=${status:-none} bytes=$(wc -c </run/report.body) md5=$(md5sum </run/report.body | cut -d ' ' -f 1)" \
    "body=$(head -c 200 /run/report.body | tr '\n' '|' | tr -c ' -~' '?')"
}

become() {
  IFS=,
  set -- $1
  unset IFS
  ip link set "$1" down
  ip link set "$1" address "$2"
  ip link set "$1" up
  ip addr flush dev "$1"
  ip addr add "$3" dev "$1"
  ip route replace default via "$4" dev "$1"
  say "became=$1 $2 $3"
}

report() {
  : >"$lines"
  say "begin=$turn"
  for word in "$@"; do act "$word"; done
  set +f
  machine
  volumes
  interfaces
  send
  set -f
}

send() { # one write for a line: nothing of the kernel's or another program's comes in between
  while IFS= read -r line; do echo "report: $line"; done <"$lines"
  echo "report: end=$(wc -l <"$lines") $(md5sum <"$lines" | cut -d ' ' -f 1)"
}

dmesg -n 1
turn=1
words=''
set -f # what is typed is no pattern
for word in $(cat /proc/cmdline); do
  case $word in report.*) words="$words ${word#report.}" ;; esac
done
stty -F /dev/ttyS0 -echo
report $words
while read -r words; do
  [ "$words" != reboot ] || reboot
  [ "$words" != poweroff ] || poweroff
  [ "$words" != again ] || { send; continue; }
  turn=$((turn + 1))
  report $words
done </dev/ttyS0
