import type { Check } from '../check.ts';
import { textOf } from '../look.ts';

/** For guests' way out. The daemon turns it on for its managed network; other networks are the operator's. */
export const forwarding: Check = {
  name: 'IPv4 forwarding',
  async examine(host) {
    const value = await textOf(host, '/proc/sys/net/ipv4/ip_forward');
    if (value === undefined)
      return [
        { name: 'IPv4 forwarding', status: 'fail', found: 'this kernel has no IPv4', fix: 'Boot another kernel' },
      ];
    const found =
      value === '1'
        ? 'is on'
        : 'is off; guests on a managed network reach the host, and beyond it once forwarding is on';
    return [{ name: 'IPv4 forwarding', status: 'ok', found, fix: '' }];
  },
};
