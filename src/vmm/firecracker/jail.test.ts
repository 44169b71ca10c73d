import { expect, test } from 'vitest';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import { Fault } from '../../domain/fault.ts';
import { type JailChoice, lookAtJail } from './jail.ts';
import { versionIn } from './version.ts';

const version = versionIn('Firecracker v1.17.0') ?? { major: 1, minor: 17, text: '1.17.0' };
const FILES = { '/usr/bin/jailer': 'x', '/usr/bin/firecracker': '#!/bin/sh\n' };

interface Host {
  readonly files?: Readonly<Record<string, string>>;
  readonly says?: string | Fault;
  readonly trial?: string;
  readonly choice?: JailChoice;
  readonly jailer?: string;
}

const look = ({
  files = FILES,
  says = 'Jailer v1.17.0\n\n',
  trial = 'ok\n',
  choice = 'auto',
  jailer = 'jailer',
}: Host) =>
  lookAtJail({
    ...{ choice, jailer, binary: 'firecracker', version, path: '/usr/bin', files: fakeFiles(files) },
    signal: new AbortController().signal,
    run: async ([program]) => {
      if (program === 'perl') return trial;
      if (says instanceof Fault) throw says;
      return says;
    },
  });

test('the jailer of the same version is used where a jail can be', async () => {
  expect(await look({})).toEqual({
    jail: {
      jailer: '/usr/bin/jailer',
      program: '/usr/bin/firecracker',
      programBytes: FILES['/usr/bin/firecracker'].length,
    },
  });
});

test.each<[string, Host, RegExp, boolean]>([
  ['turned off', { choice: 'off' }, /turned off by --firecracker-jail off/, false],
  ['not installed', { files: {} }, /jailer is not installed.*--firecracker-jailer-bin/, false],
  ['not installed, and wanted', { files: {}, choice: 'on' }, /not installed/, true],
  ['not where it was named', { jailer: '/opt/jailer' }, /\/opt\/jailer is not installed/, true],
  ['another version', { says: 'Jailer v1.16.1\n' }, /is of version 1\.16\.1, and Firecracker of 1\.17\.0/, true],
  ['another program', { says: 'hello\n' }, /no jailer of Firecracker's: it said "hello"/, true],
  ['failing', { says: new Fault('timeout', 'it hangs') }, /cannot be tried: it hangs/, true],
  [
    'without rights',
    { trial: 'it may make no device nodes: Operation not permitted\n' },
    /no device nodes.*CAP_MKNOD/,
    true,
  ],
  ['without a word', { trial: '' }, /nothing was told of it/, true],
  ['without Firecracker', { files: { '/usr/bin/jailer': 'x' } }, /firecracker is not there any more/, true],
])('%s is told', async (_, host, words, isAsked) => {
  expect(await look(host)).toEqual({ why: expect.stringMatching(words), isAsked });
});

test('a program that would look for its libraries in the jail is not put there', async () => {
  const elf = Buffer.alloc(64 + 56);
  elf.write('\x7fELF\x02\x01\x01', 'latin1');
  elf.writeBigUInt64LE(64n, 32);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt32LE(3, 64);
  const files = { ...FILES, '/usr/bin/firecracker': elf.toString('latin1') };
  expect(await look({ files })).toMatchObject({ why: expect.stringMatching(/linked dynamically.*static program/) });
});
