import type { Check, Result } from '../check.ts';
import { whoAmI } from '../look.ts';

/** Numbers of capabilities(7), from linux/capability.h. */
const NEEDED = { CAP_CHOWN: 0, CAP_KILL: 5, CAP_SETGID: 6, CAP_SETUID: 7, CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 };

/** The daemon makes interfaces, firewall rules and files of other users. */
export const rights: Check = {
  name: 'rights',
  async examine(host) {
    const me = await whoAmI(host);
    const missing = Object.entries(NEEDED)
      .filter(([, number]) => !me.has(number))
      .map(([name]) => name);
    const tun = await host.files.stat('/dev/net/tun');
    const results: Result[] = [];
    if (missing.length === 0)
      results.push({ name: 'rights', status: 'ok', found: 'has what the daemon needs', fix: '' });
    else if (me.root)
      results.push({
        name: 'rights',
        status: 'fail',
        found: `root here lacks ${missing.join(', ')}: is this a container?`,
        fix: 'Run it on the host, or give the container these capabilities (--cap-add, or --privileged)',
      });
    else
      results.push({
        name: 'rights',
        status: 'warn',
        found: `this user lacks ${missing.join(', ')}, which the daemon needs`,
        fix: 'Run the daemon with sudo; to check it all: sudo flintlock doctor',
      });
    results.push(
      tun
        ? { name: '/dev/net/tun', status: 'ok', found: 'is there', fix: '' }
        : {
            name: '/dev/net/tun',
            status: 'fail',
            found: 'is not there: no network interface for a VM can be made',
            fix: 'sudo modprobe tun (in a container: --device /dev/net/tun)',
          },
    );
    return results;
  },
};
