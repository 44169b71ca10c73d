import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { createNetns, type Netns } from '../../../test/support/netns.ts';
import { run } from '../../host/run.ts';
import { replug } from './replug.ts';

const signal = new AbortController().signal;
const [FIRST, SECOND] = ['flrpl0', 'flrpl1'];

/** As QEMU has taps open; it says what it reads from each, by the length of a packet's header and the packet's type. */
const READER = `
import fcntl, os, select, struct, sys
taps = {}
for name in sys.argv[2:]:
    tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', name.encode(), 0x5002))
    fcntl.ioctl(tap, 0x400454d8, struct.pack('i', 12))
    taps[tap] = name
print('open', flush=True)
while True:
    for tap in select.select(list(taps), [], [])[0]:
        try:
            packet = os.read(tap, 65536)
            if packet[24:26] == bytes.fromhex('88b5'): print(taps[tap], len(packet), flush=True)
        except OSError: pass
`;

const sh = (host: Netns, ...argv: [string, ...string[]]) => host.run(argv, { signal, timeoutMs: 20_000 });
const make = async (host: Netns, name: string): Promise<void> => {
  await sh(host, 'ip', 'tuntap', 'add', name, 'mode', 'tap', 'vnet_hdr');
  await sh(host, 'ip', 'link', 'set', name, 'up');
};
const openIn = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`)
    .filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).endsWith('/net/tun'))
    .map((fd) => /^iff:\s*(\S*)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '');

/** A frame of a type for experiments, out of the host's side of a tap. */
const SEND = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
s.send(b'\\xff' * 6 + b'\\x02' + b'\\0' * 5 + b'\\x88\\xb5' + b'x' * 50)
`;

test('a process reads from the tap that was made in the place of a deleted one, and from no other', async () => {
  const host = await createNetns();
  onTestFinished(() => host[Symbol.asyncDispose]());
  for (const tap of [FIRST, SECOND]) await make(host, tap);
  const mark = `/run/${host.pid}/qmp.sock`;
  const within = ['--target', String(host.pid), '--net', '--'];
  const words = ['python3', '-c', READER, `unix:${mark},server=on`, FIRST, SECOND];
  const reader = spawn('nsenter', [...within, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = reader.pid ?? 0;
  onTestFinished(async () => {
    const ended = once(reader, 'exit');
    reader.kill('SIGKILL');
    await ended;
  });
  let said = '';
  reader.stdout.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  await expect.poll(() => said, { timeout: 20_000 }).toContain('open\n');
  const taps = [FIRST, SECOND];
  // There is nothing to do yet.
  await replug({ pid, mark, taps, tap: SECOND }, run, signal);
  expect(openIn(pid)).toEqual(taps);

  await sh(host, 'ip', 'link', 'delete', SECOND);
  await expect(replug({ pid, mark: '/run/other', taps, tap: SECOND }, run, signal)).rejects.toThrow(/another by now/);
  await expect(replug({ pid, mark, taps: [SECOND], tap: SECOND }, run, signal)).rejects.toThrow(
    `Cannot plug ${SECOND} in again: it has 2 taps open, not 1`,
  );
  await expect(replug({ pid, mark, taps: [SECOND, FIRST], tap: SECOND }, run, signal)).rejects.toThrow(/has the taps/);
  await make(host, SECOND);
  await replug({ pid, mark, taps, tap: SECOND }, run, signal);
  expect(openIn(pid)).toEqual(taps);
  const shown: unknown = JSON.parse(await sh(host, 'ip', '-j', 'link', 'show', 'dev', SECOND));
  expect(shown).toMatchObject([{ flags: expect.arrayContaining(['UP', 'LOWER_UP']) }]);
  for (const tap of [SECOND, FIRST]) await sh(host, 'python3', '-c', SEND, tap);
  // Each with a header of 12 bytes.
  await expect.poll(() => said, { timeout: 20_000 }).toContain(`${FIRST} 76\n`);
  expect(said).toContain(`${SECOND} 76\n`);
  await expect(replug({ pid: 1, mark, taps, tap: SECOND }, run, signal)).rejects.toThrow(/another by now/);
});
