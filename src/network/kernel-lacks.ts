import { Fault } from '../domain/fault.ts';
import type { Files, Run } from '../ports/host.ts';

/** How iproute2 and nftables say that the kernel does not know of something. */
const UNKNOWN = /Unknown device type|Operation not supported|Protocol not supported|open \/dev\/net\/tun|Not supported/;

/**
 * Says of a tool's words that the kernel cannot, with the remedy: mostly it was
 * upgraded and the host not booted since, so that its modules are gone.
 */
export function kernelExplained(run: Run, files: Pick<Files, 'read' | 'list'>): Run {
  return async (argv, limits) => {
    try {
      return await run(argv, limits);
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== 'tool' || !UNKNOWN.test(error.message)) throw error;
      throw new Fault('tool', `${error.message}. ${await kernelRemedy(files)}`, {
        cause: error,
        ...(error.reason !== undefined && { reason: error.reason }),
        terminal: error.terminal,
      });
    }
  };
}

/** @see uname(2): modules lie in a directory named after the release */
async function kernelRemedy(files: Pick<Files, 'read' | 'list'>): Promise<string> {
  const release = Buffer.from((await files.read('/proc/sys/kernel/osrelease', { maxBytes: 200 })) ?? [])
    .toString()
    .trim();
  const there = await files.list('/lib/modules');
  if (there.includes(release))
    return `The running kernel ${release} cannot: load the module that is missing ("flintlock doctor" tries each), or boot another kernel`;
  return (
    `The modules of the running kernel ${release} are not on this host` +
    (there.length > 0 ? ` (those of ${there.join(', ')} are): reboot` : ': boot a kernel that has what is missing')
  );
}
