import { fstatSync, readSync, writeSync } from 'node:fs';
import type { Begun } from './machine.ts';

/** The word of `boot_args` by which a test asks for a guest that does more than stand there: `stand-in=reboot`. */
export const wordIn = (cmdline: string): string => /(?:^| )stand-in=(\S+)/.exec(cmdline)?.[1] ?? '';

const SECTOR = 512;

const counted = { read_count: 0, write_count: 0 };

/** What it has done since it was asked last, as Firecracker counts it: in some of its groups, of which there are more. */
export function countedOf(cmdline: string): unknown {
  const execute_fails = wordIn(cmdline) === 'failing-disk' ? 1 : 0;
  const block = { execute_fails, event_fails: 0, invalid_reqs_count: 0, ...counted };
  Object.assign(counted, { read_count: 0, write_count: 0 });
  return { utc_timestamp_ms: Date.now(), block, net: { tap_write_fails: 0 }, vcpu: { failures: 0 } };
}

const say = (text: string): void => void writeSync(1, text);

/** What a Linux says last, at a level that nothing hides. */
const ENDS = {
  reboot: '[    1.000000] reboot: Restarting system\r\n[    1.000001] reboot: machine restart\r\n',
  panic:
    '[    1.000000] Kernel panic - not syncing: sysrq triggered crash\r\n[    1.000001] Rebooting in 1 seconds..\r\n',
  stands:
    '[    1.000000] Kernel panic - not syncing: no init\r\n[    1.000001] ---[ end Kernel panic - not syncing: no init ]---\r\n',
  poweroff: '[    1.000000] reboot: Power down\r\n',
} as const;

/** What a command in the guest does to its power. */
export function powerBy(how: 'reboot' | 'poweroff'): void {
  if (how === 'reboot') endBy('reboot');
  say(ENDS.poweroff);
}

function endBy(how: 'reboot' | 'panic'): never {
  say(ENDS[how]);
  process.exit(0);
}

/** Its kernel hears it, with CONFIG_VT, and its init reboots. */
export function hearCtrlAltDel(cmdline: string): void {
  if (wordIn(cmdline) === 'no-vt') return;
  endBy('reboot');
}

function askedFor(path: string, hasToken: boolean, mmds: Begun['mmds']): string {
  if (!mmds) return 'nothing';
  if (mmds.version === 'V2' && !hasToken) return '401';
  return mmds.store.answer(path).replaceAll('\n', ' ');
}

/**
 * A guest that there is none of: it says what its machine is, writes to each disk that it may write to, says what it hears, and ends
 * as it is told, by its command line or by `reboot`, `poweroff` and `panic` that are typed; `ask PATH` asks for metadata.
 */
export function beGuest({ vcpus, memoryInMib, cmdline, drives, interfaces, mmds }: Begun): void {
  say(`Command line: ${cmdline}\r\n`);
  drives.forEach(({ fd, is_read_only: isReadOnly }, i) => {
    const sector = Buffer.alloc(SECTOR);
    readSync(fd, sector, 0, SECTOR, 0);
    counted.read_count++;
    if (!isReadOnly) counted.write_count++;
    const first = sector.subarray(0, 8).toString('latin1').replaceAll('\0', '.');
    if (!isReadOnly) writeSync(fd, 'written by the guest', SECTOR);
    const sectors = Math.floor(fstatSync(fd).size / SECTOR);
    say(`disk vd${String.fromCharCode(97 + i)} ro=${isReadOnly ? 1 : 0} sectors=${sectors} first=${first}\r\n`);
  });
  interfaces.forEach(({ guest_mac: mac, host_dev_name: device, mtu }, i) => {
    say(`nic eth${i} mac=${mac ?? 'random'} tap=${device} mtu=${mtu ?? 1_500}\r\n`);
  });
  if (mmds) say(`mmds ${mmds.version} on ${mmds.on.join(' ')}\r\n`);
  say(`stand-in: up cpus=${vcpus} mib=${memoryInMib}\r\n`);
  process.stdin.on('data', (bytes: Buffer) => {
    const typed = bytes.toString();
    say(typed.replaceAll('\r', '\r\n'));
    const asked = typed.trim();
    if (asked === 'reboot' || asked === 'panic') endBy(asked);
    if (asked === 'poweroff') say(ENDS.poweroff);
    const [, how, path] = /^(ask|ask-with-token) (\/\S*)$/.exec(asked) ?? [];
    if (path !== undefined) say(`mmds says: ${askedFor(path, how === 'ask-with-token', mmds)}\r\n`);
  });
  process.stdin.on('error', () => undefined);
  const word = wordIn(cmdline);
  if (word === 'megabyte') for (let line = 0; line < 16_384; line++) say(`${String(line).padStart(62, '.')}\r\n`);
  if (word === 'reboot' || word === 'panic') endBy(word);
  if (word === 'stands' || word === 'poweroff') say(ENDS[word]);
  if (word === 'quiet-reboot') process.exit(0);
  if (word === 'die') process.kill(process.pid, 'SIGSEGV');
  if (word === 'bad-syscall') process.exit(148);
}
