import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { kernelExplained } from './kernel-lacks.ts';

const files = (modules: readonly string[]) => ({
  read: async () => Buffer.from('6.1.0-57-amd64\n'),
  list: async () => modules,
});
const limits = { signal: new AbortController().signal, timeoutMs: 1 };
const failing = (words: string) => () => Promise.reject(new Fault('tool', words));
const [upgraded, whole] = [['6.1.0-58-amd64'], ['6.1.0-57-amd64']];

test.for([
  [
    upgraded,
    /Unknown device type\. The modules of the running kernel 6\.1\.0-57-amd64 are not on this host \(those of 6\.1\.0-58-amd64 are\): reboot$/,
  ],
  [whole, /The running kernel 6\.1\.0-57-amd64 cannot: load the module that is missing/],
  // As in a service that is kept from them.
  [[], /its modules are not to be seen from here: .*where the host has none .*reboot, or boot a kernel that has what/],
] as const)('of a kernel with the modules of %s', async ([modules, says]) => {
  const run = kernelExplained(failing('Error: Unknown device type'), files(modules));
  await expect(run(['ip', 'link'], limits)).rejects.toThrow(says);
});

test.for([
  [['ip', '-batch', '-'], 'link add a type bridge\nlink add b type veth peer name c', 'Command failed -:2', 'veth'],
  [['ip', '-batch', '-'], 'tuntap add dev a mode tap', 'Command failed -:1', 'tun'],
  [['ip', 'link', 'add', 'a', 'type', 'bridge'], '', '', 'bridge'],
  [['nft', '-f', '-'], 'table bridge x { }', 'Operation not supported', 'nf_tables'],
] as const)('the module is named: %s %s', async ([argv, input, words, module]) => {
  const run = kernelExplained(failing(`Unknown device type. ${words}`), files(upgraded));
  await expect(run([...argv], { ...limits, input })).rejects.toThrow(`, ${module} among them: reboot`);
  const other = kernelExplained(failing(`Unknown device type. ${words}`), files(whole));
  await expect(other([...argv], { ...limits, input })).rejects.toThrow(`sudo modprobe ${module} `);
});

test('what is something else stays as it is', async () => {
  const run = kernelExplained(failing('Cannot find device'), files([]));
  await expect(run(['ip', 'link'], limits)).rejects.toThrow(/^Cannot find device$/);
});
