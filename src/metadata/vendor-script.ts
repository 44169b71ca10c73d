import { CONFIGURED } from '../domain/guest-report.ts';
import { type GuestMount, helpedNics, percentEncoded } from '../domain/guest-words.ts';
import type { GuestNic } from '../domain/network-config.ts';

/**
 * What a guest with cloud-init runs at each boot, as a boothook, and again when cloud-init has set up
 * network and mounts. It supplies what a container's runtime would lay over the image, where the image
 * lacks it, as `flintlock-init` does in other guests. Then it looks at what there is of the spec's names,
 * addresses and mounts, and says so on the console, and again whenever that changes. It asks for what is there,
 * not for what was ordered, because the user's own data may have changed that.
 */
export function vendorScript(nics: readonly GuestNic[], mounts: readonly GuestMount[]): string {
  const helped = helpedNics(nics);
  const servers = nics.flatMap(({ fixed }) => fixed?.dns ?? []);
  const gateways = nics.flatMap(({ name, fixed }) =>
    fixed?.gateway === undefined ? [] : [`${name}=${fixed.gateway}`],
  );
  const calls = [
    ...helped.map(({ name, mac, fixed }) => ['nic', name, mac, fixed?.address ?? '']),
    ...mounts.map(({ path, device, isReadOnly }) => [
      'volume',
      ...[percentEncoded(path), path, `/dev/${device}`, isReadOnly ? 'ro' : 'rw'],
    ]),
  ];
  return [
    HEAD,
    `servers='${[...new Set(servers)].join(' ')}'`,
    `gateways='${gateways.join(' ')}'`,
    SUPPLY,
    ...(calls.length > 0 ? [LOOK(calls.map((words) => `  ${words.map(quoted).join(' ')}`).join('\n'))] : []),
  ].join('\n');
}

/**
 * As a boothook it comes too early, before the mounts, so that it puts itself
 * where the last stage of each boot looks. Of vendor-data that is the only way:
 * scripts by their frequency are obeyed in user-data alone.
 */
const HEAD = `#!/bin/sh
# Of flintlock. Supplies what a container's runtime would: name servers, localhost and the own name, the machine-id, a static
# address's way out, where the image has none. Says on the console which names, addresses and mounts of the microVM's spec are in place.
scripts=/var/lib/cloud/scripts/per-boot`;

/**
 * Nothing that the image sets is taken away. What the guest's own programs will write
 * (systemd-resolved, a DHCP client) is left to them: they have the network up when this runs.
 */
const SUPPLY = `in_hosts() { # NAME
  awk -v name="$1" '{ sub("#.*", ""); for (i = 2; i <= NF; i++) if ($i == name) found = 1 } END { exit !found }' /etc/hosts 2>/dev/null
}
# Who builds an image may leave what answered there: Docker's resolver, and systemd's where that does not run.
names_a_server() { # the last numbers of 127.0.0.x that count as none
  sed -n 's/^[[:blank:]]*nameserver[[:blank:]][[:blank:]]*\\([^[:blank:]]*\\).*/\\1/p' /etc/resolv.conf | grep -qvxE "127\\.0\\.0\\.($1)"
}
# The servers of static addresses go before those that the image has, where nobody else would see to it: ifupdown alone does not.
prefer_servers() {
  [ ! -L /etc/resolv.conf ] && [ ! -e /run/NetworkManager ] && ! command -v resolvconf >/dev/null || return 0
  first=$(for server in $servers; do grep -qx "nameserver $server" /etc/resolv.conf || echo "nameserver $server"; done)
  [ -n "$first" ] || return 0
  rest=$(cat /etc/resolv.conf)
  printf '%s\\n%s\\n' "$first" "$rest" >/etc/resolv.conf
}
supply() {
  id=$(tr ' ' '\\n' </proc/cmdline | sed -n 's/^systemd\\.machine_id=\\([0-9a-f]\\{32\\}\\)$/\\1/p' | tail -n 1)
  # systemd has taken it already.
  if [ -n "$id" ] && [ ! -d /run/systemd/system ] && [ "$(cat /etc/machine-id 2>/dev/null)" != "$id" ]; then
    echo "$id" >/etc/machine-id
  fi
  if ! grep -qs '^hosts:.*myhostname' /etc/nsswitch.conf; then
    own=$(uname -n)
    in_hosts localhost || printf '\\n%s\\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback' >>/etc/hosts
    case $own in
      '' | '(none)' | localhost) ;;
      *) in_hosts "$own" || printf '\\n127.0.1.1 %s\\n' "$own$([ "\${own%%.*}" = "$own" ] || echo " \${own%%.*}")" >>/etc/hosts ;;
    esac
  fi
  # cloud-init tells ifupdown of a gateway in words for route(8), which Debian no longer installs. What comes later goes before it.
  for gateway in $gateways; do
    [ -z "$(ip -4 route show default)" ] || break
    ip -4 route add default via "\${gateway#*=}" dev "\${gateway%%=*}" metric 4096
  done
  if [ -e /run/systemd/resolve/stub-resolv.conf ]; then
    names_a_server 11 || ln -sfn ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
    return
  fi
  if names_a_server '11|53|54'; then
    prefer_servers
    return
  fi
  # What the spec gives, or else what DHCP gave to systemd-networkd, which tells nobody without systemd-resolved.
  [ -n "$servers" ] || servers=$(cat /run/systemd/netif/leases/* 2>/dev/null | sed -n 's/^DNS=//p')
  [ -z "$servers" ] || [ -e /etc/resolv.conf ] || rm -f /etc/resolv.conf
  for server in $servers; do echo "nameserver $server" >>/etc/resolv.conf; done
} 2>/dev/null
supply
case $0 in
  $scripts/*) ;;
  *)
    mkdir -p $scripts && cp "$0" $scripts/flintlock-configured && chmod 755 $scripts/flintlock-configured
    exit
    ;;
esac`;

/**
 * An address may come a little after the network is called up, and may go again
 * while programs of the guest are still at it: who says that it is there looks again after each change.
 */
const LOOK = (calls: string): string => `nic() { # NAME MAC ADDRESS
  state=failed
  if [ "$(cat "/sys/class/net/$1/address" 2>/dev/null)" = "$2" ]; then
    [ -n "$3" ] || state=dhcp
    while [ $state = failed ]; do
      if ip -4 -o addr show dev "$1" | grep -qF " $3 "; then state=$3; break; fi
      [ $tries -gt 0 ] || break
      tries=$((tries - 1))
      sleep 1
    done
  fi
  nics="$nics\${nics:+,}$1:$state"
}
volume() { # NAME PATH DEVICE MODE
  state=failed
  number=$(stat -c '0x%t<<8|0x%T' "$3" 2>/dev/null)
  if [ -n "$number" ] && [ "$(stat -c '0x%D' "$2" 2>/dev/null)" = "$(printf '0x%x' $(($number)))" ]; then state=$4; fi
  mounts="$mounts\${mounts:+,}$1:$state"
}
look() { # SECONDS that may be waited for an address
  nics='' mounts='' tries=$1
${calls}
  line="${CONFIGURED}nics=\${nics:-none} mounts=\${mounts:-none}"
  [ "$line" = "$said" ] || echo "$line" >/dev/console
  said=$line
}
said=''
if [ "$1" = watch ]; then
  said=$2
  # What happened before the watch began. Where nobody tells of changes (busybox's ip has no monitor), it looks by itself.
  { echo; ip monitor link address; while sleep 20; do echo; done; } 2>/dev/null | while read -r _; do
    sleep 1
    look 0
  done
else
  look 10
  setsid "$0" watch "$said" </dev/null >/dev/null 2>&1 &
fi
`;

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
