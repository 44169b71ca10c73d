import { expect, test } from 'vitest';
import { qemuArgv } from '../../src/vmm/qemu/argv.ts';
import { ownOf, templateOf } from './argv.ts';

const [, ...argv] = qemuArgv(
  {
    ...{ uid: '01ABC', runDirectory: '/run/x/vm/01ABC', stateDirectory: '/state/vm/01ABC', user: 700_001 },
    ...{ vcpu: 1, memoryInMb: 96, kernel: '/state/images/k/vmlinux', cmdline: 'quiet' },
    disks: [
      {
        ...{ id: 'root', path: '/state/vm/01ABC/root.qcow2', format: 'qcow2', readOnly: false, isRoot: true },
        backing: '/state/images/g/golden',
      },
    ],
    nics: [{ device: 'flabcd1', mac: '52:54:00:00:00:01' }],
  },
  { binary: 'qemu-system-x86_64', accelerator: 'tcg', acpi: true, userSwitch: 'runas' },
  'quiet',
);

test('what is one microVM’s own is found in the command line that the daemon makes', () => {
  expect(templateOf(argv)).toMatchObject({
    name: '01ABC',
    qmp: '/run/x/vm/01ABC/qmp.sock',
    console: '/state/vm/01ABC/console.log',
    overlay: { path: '/state/vm/01ABC/root.qcow2', backing: '/state/images/g/golden' },
    tap: 'flabcd1',
    mac: '52:54:00:00:00:01',
  });
  expect(() => templateOf(['true'])).toThrow('no command line');
});

test('another has nothing of it, and what all share', () => {
  const own = ownOf(templateOf(argv), 258, '/floor/258', true);
  const words = own.argv.join(' ');
  for (const word of ['01ABC', 'flabcd1', '52:54:00:00:00:01']) expect(words).not.toContain(word);
  for (const word of ['guest=floor-258', '/state/images/k/vmlinux', '/state/images/g/golden', 'ifname=flb258,'])
    expect(words).toContain(word);
  expect(own).toMatchObject({
    qmp: '/floor/258/qmp.sock',
    console: '/floor/258/console.log',
    mac: '02:fb:00:00:01:02',
  });
  expect(own.argv.at(-1)).toBe('-S');
  expect(ownOf(templateOf(own.argv), 3, '/floor/3', false).argv).not.toContain('-S');
});
