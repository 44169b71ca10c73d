import { expect, test } from 'vitest';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { prepare, takeBack } from './access.ts';
import { readyRefusal, readyWords } from './ready-perl.ts';

const config: VmmConfig = {
  ...{ uid: '01UID', runDirectory: '/run/01UID', stateDirectory: '/state/01UID', user: 77_001 },
  ...{
    vcpu: 1,
    memoryInMb: 64,
    kernel: '/images/vmlinux',
    initrd: '/images/initrd',
    cmdline: '',
    nics: [{ device: 'fl1', mac: '02:00:00:00:00:01' }],
  },
  disks: [
    { id: 'root', path: '/state/01UID/disk0.img', format: 'raw', readOnly: false, isRoot: true },
    { id: 'shared', path: '/images/golden', format: 'raw', readOnly: true, isRoot: false },
    { id: 'cidata', path: '/state/01UID/cidata', format: 'raw', readOnly: true, isRoot: false },
    { id: 'gone', path: '/state/01UID/gone', format: 'raw', readOnly: false, isRoot: false },
  ],
};
const MODES: Readonly<Record<string, number>> = { '/images/golden': 0o600, '/images/initrd': 0o640 };

function hands() {
  const done: string[] = [];
  const there = fakeFiles({
    ...{ '/images/vmlinux': '', '/images/initrd': '', '/images/golden': '' },
    ...{ '/state/01UID/disk0.img': '', '/state/01UID/cidata': '' },
  });
  const files = {
    ...there,
    stat: async (path: string) => {
      const info = await there.stat(path);
      return info && { ...info, mode: MODES[path] ?? 0o644 };
    },
    own: async (path: string, user: number) => void done.push(`own ${path} ${user}`),
    setMode: async (path: string, mode: number) => void done.push(`mode ${path} ${mode.toString(8)}`),
    write: async (path: string) => void done.push(`write ${path}`),
  };
  return { done, files };
}

test('its user may read what is shared; the directory that is lent to it is taken back', async () => {
  const { done, files } = hands();
  await prepare(config, { files });
  expect(done.toSorted()).toEqual([
    'mode /images/golden 644',
    'mode /images/initrd 644',
    'write /state/01UID/firecracker.log',
  ]);
  await takeBack(config, files);
  expect(done.at(-1)).toBe('own /run/01UID 0');
});

test('pipes are made, and taps and what is its own become its user’s, by what becomes it, which says what it cannot do', () => {
  expect(readyWords(config)).toEqual([
    ...['77001', '/run/01UID/console.in', '/run/01UID/metrics', 'fl1', '--'],
    ...['/state/01UID/firecracker.log', '/state/01UID/disk0.img', '/state/01UID/cidata', '/state/01UID/gone'],
    ...['/run/01UID', '--'],
  ]);
  expect(readyRefusal('x\nflintlock: before Firecracker, cannot plug into fl1: No such device\n')).toMatchObject({
    kind: 'tool',
    message: 'Cannot start Firecracker: cannot plug into fl1: No such device',
  });
  for (const other of ['cannot enter a jail', 'before Firecracker, cannot run firecracker: No such file or directory'])
    expect(readyRefusal(`flintlock: ${other}\n`)).toBeUndefined();
});
