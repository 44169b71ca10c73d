import { Fault } from '../domain/fault.ts';
import type { Files, Run } from '../ports/host.ts';

/** How iproute2 and nftables say that the kernel does not know of something. */
const UNKNOWN = /Unknown device type|Operation not supported|Protocol not supported|open \/dev\/net\/tun|Not supported/;

/**
 * Says of a tool's words that the kernel cannot, with the module and the
 * remedy: mostly it was upgraded and the host not booted since, so that its
 * modules are gone.
 */
export function kernelExplained(run: Run, files: Pick<Files, 'read' | 'list'>): Run {
  return async (argv, limits) => {
    try {
      return await run(argv, limits);
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== 'tool' || !UNKNOWN.test(error.message)) throw error;
      const module = moduleOf(argv, limits.input?.toString() ?? '', error.message);
      throw new Fault('tool', `${error.message}. ${await kernelRemedy(files, module)}`, {
        cause: error,
        ...(error.reason !== undefined && { reason: error.reason }),
        terminal: error.terminal,
      });
    }
  };
}

/** Of what a command makes; undefined where it does not say. */
function moduleOf(argv: readonly string[], input: string, message: string): string | undefined {
  if (argv.includes('nft')) return 'nf_tables';
  if (message.includes('/dev/net/tun')) return 'tun';
  // Of a batch the line that failed is told.
  const line = Number(/Command failed -:(\d+)/.exec(message)?.[1] ?? 0);
  const command = line > 0 ? (input.split('\n')[line - 1] ?? '') : argv.join(' ');
  return command.startsWith('tuntap ') ? 'tun' : /\blink add\b.* type (\w+)/.exec(command)?.[1];
}

/**
 * @param module - by which the kernel could; undefined: it is not known
 * @see uname(2): modules lie in a directory named after the release
 */
export async function kernelRemedy(files: Pick<Files, 'read' | 'list'>, module?: string): Promise<string> {
  const release = Buffer.from((await files.read('/proc/sys/kernel/osrelease', { maxBytes: 200 })) ?? [])
    .toString()
    .trim();
  const load = module === undefined ? 'load the module that is missing' : `sudo modprobe ${module}`;
  const there = await files.list('/lib/modules');
  if (there.includes(release))
    return (
      `The running kernel ${release} cannot: ${load} ("flintlock doctor" tries each kind of thing); where that fails, ` +
      `install the rest of its modules (Ubuntu: linux-modules-extra-${release}), or boot another kernel`
    );
  if (there.length > 0)
    return (
      `The modules of the running kernel ${release} are not on this host (those of ${there.join(', ')} are)` +
      `${module === undefined ? '' : `, ${module} among them`}: reboot`
    );
  // A service may be kept from seeing them, as our unit's is: then the kernel finds them all the same.
  return (
    `The running kernel ${release} cannot, and its modules are not to be seen from here: ${load}; where the host has ` +
    `none for this kernel (ls /lib/modules), it was upgraded and not rebooted: reboot, or boot a kernel that has what is missing`
  );
}
