import type { Files, Run } from '../ports/host.ts';
import { failed } from './failure.ts';

const TIMEOUT_MS = 60_000;
/** Every character device, by its number: links to where it is among the devices. */
const DEVICES = '/sys/dev/char';

export interface TapNodes {
  /**
   * The character device of a macvtap: the host's own, or one made at `own`.
   * @param index - the ifindex, after which the host names it
   */
  node(device: string, index: number, own: string, signal: AbortSignal): Promise<string>;
}

/**
 * The host names the device after the ifindex: `/dev/tap7`. Two network
 * namespaces may each have a seventh interface, and only one of them the name;
 * in a container there may be none at all. So whose a device is, is read from
 * the kernel's list, which names the interface, and not believed of its name.
 */
export function createTapNodes({ run, files }: { readonly run: Run; readonly files: Files }): TapNodes {
  const numberOf = async (device: string, index: number): Promise<string | undefined> => {
    const major = /^\s*(\d+) macvtap$/m.exec(await textOf('/proc/devices'))?.[1];
    if (major === undefined) return undefined;
    for (const number of await files.list(DEVICES)) {
      if (!number.startsWith(`${major}:`)) continue;
      const leads = await files.readLink(`${DEVICES}/${number}`).catch(() => ''); // gone meanwhile
      if (leads.endsWith(`/net/${device}/macvtap/tap${index}`)) return number;
    }
    return undefined;
  };
  const textOf = async (path: string): Promise<string> =>
    Buffer.from((await files.read(path, { maxBytes: 65_536 })) ?? []).toString();

  return {
    async node(device, index, own, signal) {
      const number = await numberOf(device, index);
      if (number === undefined)
        throw failed(`Cannot find the character device of ${device} below ${DEVICES}: is /sys mounted?`);
      const theirs = `/dev/tap${index}`;
      if ((await files.stat(theirs))?.device === number) {
        await files.remove(own);
        return theirs;
      }
      if ((await files.stat(own))?.device === number) return own;
      await files.remove(own);
      const [major = '', minor = ''] = number.split(':');
      await run(['mknod', '--mode=600', own, 'c', major, minor], { signal, timeoutMs: TIMEOUT_MS });
      return own;
    },
  };
}
