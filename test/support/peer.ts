import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createNetns, type Netns } from './netns.ts';

const sh = (netns: Netns, ...argv: [string, ...string[]]): Promise<string> =>
  netns.run(argv, { signal: new AbortController().signal, timeoutMs: 20_000 });

/** A machine of its own at a bridge of `host`, as a guest is behind its tap. Its interface is `eth0`; the caller disposes of it. */
export async function plugPeer(
  host: Netns,
  { bridge, port, mac }: { readonly bridge: string; readonly port: string; readonly mac: string },
): Promise<Netns> {
  const peer = await createNetns();
  await sh(host, 'ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(peer.pid));
  await sh(host, 'ip', 'link', 'set', port, 'master', bridge, 'up');
  await sh(peer, 'ip', 'link', 'set', 'eth0', 'address', mac, 'up');
  return peer;
}

/** Asks for an address by DHCP and takes it. @param directory - for the client's script @returns the address */
export async function askForAddress(peer: Netns, directory: string): Promise<string> {
  const script = join(directory, 'udhcpc.sh');
  const lines = [
    '#!/bin/sh',
    '[ "$1" = bound ] || exit 0',
    'ip addr flush dev $interface',
    'ip addr add $ip/$mask dev $interface',
    'ip route replace default via $router',
  ];
  await writeFile(script, `${lines.join('\n')}\n`, { mode: 0o755 });
  await sh(peer, 'busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', '10', '-T', '1', '-s', script);
  const shown = await sh(peer, 'ip', '-4', '-o', 'addr', 'show', 'dev', 'eth0');
  return /inet ([\d.]+)/.exec(shown)?.[1] ?? 'none';
}

/** Once, waiting for the answer up to a second. @returns whether it came */
export const ping = (from: Netns, to: string): Promise<boolean> =>
  sh(from, 'busybox', 'ping', '-c', '1', '-W', '1', to).then(
    () => true,
    () => false,
  );
