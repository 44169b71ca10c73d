import { expect, test } from 'vitest';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import { Fault } from '../../domain/fault.ts';
import type { FileInfo, Run } from '../../ports/host.ts';
import { type KvmChoice, lookAtDevices } from './devices.ts';

const node = (mode: number, group = 0): FileInfo => ({
  ...{ kind: 'other', device: '10:232', sizeBytes: 0, diskBytes: 0, mode, owner: { user: 0, group } },
});
const VIRTUALISES = 'flags\t: fpu svm lm\n';
const FINE = 'kvm: ok\ntun: ok\n';

async function look(
  nodes: Readonly<Record<string, FileInfo | undefined>>,
  said: string | Fault = FINE,
  cpu = VIRTUALISES,
  kvm: KvmChoice = 'auto',
  isJailed = false,
) {
  const asked: string[][] = [];
  const run: Run = async (argv) => {
    asked.push([...argv]);
    if (said instanceof Fault) throw said;
    return said;
  };
  const all = { '/dev/net/tun': node(0o666), ...nodes };
  const files = {
    ...fakeFiles({ '/proc/cpuinfo': cpu }),
    stat: async (path: string) => all[path as keyof typeof all],
  };
  const found = await lookAtDevices({ run, files, signal: new AbortController().signal, kvm, isJailed });
  return { found, asked };
}

test('a device of a group is opened as one of that group', async () => {
  const { found, asked } = await look({ '/dev/kvm': node(0o660, 104) });
  expect(found).toEqual({ groups: [104] });
  expect(asked[0]).toContain('--groups=104');
  expect(asked[0]).toContain('--reuid=65534');
});

test('one that all may open needs no group, and the group of root is nobody’s', async () => {
  expect((await look({ '/dev/kvm': node(0o666) })).found).toEqual({ groups: [] });
  expect((await look({ '/dev/kvm': node(0o660, 0) })).found).toEqual({ groups: [] });
});

test('what is trusted is not tried, and its group is known all the same', async () => {
  const { found, asked } = await look({ '/dev/kvm': node(0o660, 104) }, FINE, 'flags: fpu\n', 'trust');
  expect(found).toEqual({ groups: [104] });
  expect(asked).toEqual([]);
});

test('in a jail there are nodes of its own: no group is needed for those of the host, and they are tried as they are there', async () => {
  const { found, asked } = await look({ '/dev/kvm': node(0o660, 104) }, FINE, VIRTUALISES, 'auto', true);
  expect(found).toEqual({ groups: [] });
  expect(asked).toMatchObject([['perl', '-e', expect.stringMatching(/SYS_mknod.*KVM|mknod.*0xAE01/s), '--', '65534']]);
  const useless = 'kvm: cannot open it: No such device or address\ntun: ok\n';
  const { found: worse } = await look({ '/dev/kvm': node(0o600) }, useless, VIRTUALISES, 'auto', true);
  expect(worse.why).toMatch(/cannot use \/dev\/kvm: cannot open it: No such device/);
});

test.each([
  ['no node', {}, FINE, VIRTUALISES, /no \/dev\/kvm: load kvm_intel or kvm_amd/],
  ['no node and no such CPU', {}, FINE, 'flags: fpu\n', /no \/dev\/kvm: the CPU does not virtualise/],
  ['no tun', { '/dev/kvm': node(0o666), '/dev/net/tun': undefined }, FINE, VIRTUALISES, /modprobe tun/],
  [
    'of root alone',
    { '/dev/kvm': node(0o600) },
    'kvm: cannot open it: Permission denied\ntun: ok',
    VIRTUALISES,
    /chmod 660 \/dev\/kvm/,
  ],
  [
    'tun of root alone',
    { '/dev/kvm': node(0o666) },
    'kvm: ok\ntun: cannot open it: Permission denied',
    VIRTUALISES,
    /chmod 666 \/dev\/net\/tun/,
  ],
  [
    'answering and useless',
    { '/dev/kvm': node(0o666) },
    FINE,
    'flags: fpu\n',
    /There is a \/dev\/kvm, and it runs no ordinary guest: the CPU does not virtualise/,
  ],
  [
    'no machine from it',
    { '/dev/kvm': node(0o666) },
    'kvm: it makes no virtual machine: Operation not supported\n',
    VIRTUALISES,
    /makes no virtual machine/,
  ],
  ['nothing told', { '/dev/kvm': node(0o666) }, '', VIRTUALISES, /nothing was told/],
  [
    'no perl',
    { '/dev/kvm': node(0o666) },
    new Fault('tool', 'perl is not there'),
    VIRTUALISES,
    /cannot be tried: perl is not there/,
  ],
] as const)('%s is told', async (_, nodes, said, cpu, words) => {
  expect((await look(nodes, said, cpu)).found.why).toMatch(words);
});
