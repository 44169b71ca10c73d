import { join } from 'node:path';
import { expected, type Tool, type TrialHands } from './tool.ts';

/** What each has to unpack: made by `xz --check=crc32`, `xz --format=lzma`, `bzip2` and `lz4 -l`. */
const TEXT = 'flintlock trial of unpacking\n';
const XZ =
  '/Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQAcZmxpbnRsb2NrIHRyaWFsIG9mIHVucGFja2luZwoAAAAA9lUUzgABMR1A3t2FkEKZDQEAAAAAAVla';
const LZMA = 'XQAAgAD//////////wAzGwlhxYN3MQ46XWazCxuhHdRXIOcjlR4Rg46qANJ1D+Gf/ov4AA==';
const BZIP2 = 'QlpoOTFBWSZTWdqUjlsAAATRgAAQQAAprdYAIAAiJ6hptAQpgABSWl5cGaL0jRcYPZCjafF3JFOFCQ2pSOWw';
const LZ4 = 'AiFMGB8AAADwDmZsaW50bG9jayB0cmlhbCBvZiB1bnBhY2tpbmcK';

/** Without them a kernel that is packed so is not looked into. Those of gzip and zstd need no tool. */
export const xz: Tool = {
  program: 'xz',
  package: 'xz-utils',
  need: 'none',
  version: ['--version'],
  async trial(hands) {
    const flags = ['--decompress', '--force', '--quiet'] as const;
    await unpacks(hands, 'xz', '.xz', XZ, (from) => ['xz', '--single-stream', ...flags, '--', from]);
    await unpacks(hands, 'xz', '.lzma', LZMA, (from) => ['xz', '--format=lzma', ...flags, '--', from]);
  },
};

/** Without it a layer that is packed so is not unpacked. */
export const bzip2: Tool = {
  program: 'bzip2',
  package: 'bzip2',
  need: 'none',
  trial: (hands) => unpacks(hands, 'bzip2', '.bz2', BZIP2, (from) => ['bzip2', '-d', '-q', '-f', '--', from]),
};

export const lz4: Tool = {
  program: 'lz4',
  package: 'lz4',
  need: 'none',
  version: ['--version'],
  trial: (hands) => unpacks(hands, 'lz4', '.lz4', LZ4, (from) => ['lz4', '-d', '-m', '-q', '-f', '--', from]),
};

async function unpacks(
  { run, files, directory, limits }: TrialHands,
  tool: string,
  suffix: string,
  packed: string,
  argv: (from: string) => readonly string[],
): Promise<void> {
  const file = join(directory, 'file');
  await files.write(`${file}${suffix}`, Buffer.from(packed, 'base64'));
  // As a kernel is: what a tool writes is bounded.
  await run(['prlimit', `--fsize=${1 << 20}`, '--', ...argv(`${file}${suffix}`)], limits);
  const found = Buffer.from((await files.read(file)) ?? []).toString();
  expected(`${tool} did not unpack what it was given`, found === TEXT);
  await files.remove(file);
}
