import type { Listener } from '../ports/network.ts';

/** Reads what `ss -Hlntup` printed: sockets that wait for others, of IPv4 and of both. @see ss(8) */
export function parseListeners(text: string): readonly Listener[] {
  return text.split('\n').flatMap((line): Listener[] => {
    const [protocol, , , , local = ''] = line.trim().split(/\s+/);
    const found = /^(.+):(\d+)$/.exec(local);
    if ((protocol !== 'tcp' && protocol !== 'udp') || !found) return [];
    const [, host = '', port = ''] = found;
    const address = addressOf(host);
    if (address === undefined) return [];
    const program = /users:\(\("([^"]*)",pid=(\d+)/.exec(line);
    return [{ protocol, address, port: Number(port), program: program ? `${program[1]} (pid ${program[2]})` : '' }];
  });
}

/** `*` is every address of IPv4 and IPv6; undefined for one of IPv6 alone. A device may stand behind: `0.0.0.0%eth0`. */
function addressOf(host: string): string | undefined {
  const [bare = ''] = host.replace(/^\[(?:::ffff:)?(.*)\]$/, '$1').split('%');
  if (bare === '*' || bare === '0.0.0.0') return '';
  return /^\d+\.\d+\.\d+\.\d+$/.test(bare) ? bare : undefined;
}
