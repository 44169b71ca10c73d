import { CONFIGURED } from '../domain/guest-report.ts';
import { type GuestMount, helpedNics, percentEncoded } from '../domain/guest-words.ts';
import type { GuestNic } from '../domain/network-config.ts';

/**
 * What a guest with cloud-init runs at each boot, as a boothook, and again when cloud-init has set up
 * network and mounts: it looks at what there is, and says so on the console as
 * `flintlock-init` does. It asks for what is there, not for what was ordered,
 * because the user's own data may have changed that.
 *
 * @returns empty where nothing is asked of the guest
 */
export function vendorScript(nics: readonly GuestNic[], mounts: readonly GuestMount[]): string {
  const helped = helpedNics(nics);
  if (helped.length === 0 && mounts.length === 0) return '';
  const calls = [
    ...helped.map(({ name, mac, fixed }) => ['nic', name, mac, fixed?.address ?? '']),
    ...mounts.map(({ path, device, isReadOnly }) => [
      'volume',
      ...[percentEncoded(path), path, `/dev/${device}`, isReadOnly ? 'ro' : 'rw'],
    ]),
  ];
  return `${SCRIPT}${calls.map((words) => words.map(quoted).join(' ')).join('\n')}
echo "${CONFIGURED}nics=\${nics:-none} mounts=\${mounts:-none}" >/dev/console
`;
}

/**
 * As a boothook it comes too early, before the mounts, so that it puts itself
 * where the last stage of each boot looks. Of vendor-data that is the only way:
 * scripts by their frequency are obeyed in user-data alone.
 *
 * An address may come a little after the network is called up.
 */
const SCRIPT = `#!/bin/sh
# Says on the console which names, addresses and mounts of the microVM's spec are in place.
scripts=/var/lib/cloud/scripts/per-boot
case $0 in
  $scripts/*) ;;
  *)
    mkdir -p $scripts && cp "$0" $scripts/flintlock-configured && chmod 755 $scripts/flintlock-configured
    exit
    ;;
esac
nics='' mounts=''
nic() { # NAME MAC ADDRESS
  state=failed tries=10
  if [ "$(cat "/sys/class/net/$1/address" 2>/dev/null)" = "$2" ]; then
    [ -n "$3" ] || state=dhcp
    while [ $state = failed ] && [ $tries -gt 0 ]; do
      if ip -4 -o addr show dev "$1" | grep -qF " $3 "; then state=$3; break; fi
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
`;

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
