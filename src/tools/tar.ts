import { join } from 'node:path';
import { fromOutput, toInput, UNPACK } from '../unpack/program.ts';
import { TINY_FILE, writeTinyImage } from './tiny-image.ts';
import { expected, type Tool } from './tool.ts';

/** Writes the files of images: the unpacker pipes them into it. */
export const tar: Tool = {
  program: 'tar',
  package: 'tar',
  need: 'each',
  version: ['--version'],
  rootOnly: true,
  async trial({ run, files, directory, limits }) {
    const target = join(directory, 'tree');
    const layer = await writeTinyImage(files, join(directory, 'image'));
    await files.makeDirectory(target, 0o755);
    const input = toInput({
      ...{ is: 'unpack', target, parts: [{ is: 'layer', ...layer }] },
      limits: { maxBytes: 1 << 20, maxInodes: 10, maxInDirectory: 10, keepFreeBytes: 0 },
    });
    const outcome = fromOutput(await run(UNPACK, { ...limits, input }));
    expected(outcome.is === 'refused' ? outcome.why : 'an image was not unpacked', outcome.is === 'done');
    const text = Buffer.from((await files.read(join(target, TINY_FILE.path))) ?? []).toString();
    expected('tar did not write the file of an image', text === TINY_FILE.text);
  },
};
