import { join } from 'node:path';
import { TINY_FILE, TINY_TAG, writeTinyImage } from './tiny-image.ts';
import { expected, type Tool } from './tool.ts';

/** Unpacks images. */
export const umoci: Tool = {
  program: 'umoci',
  package: 'umoci',
  need: 'each',
  version: ['--version'],
  rootOnly: true,
  async trial({ run, files, directory, limits }) {
    const image = join(directory, 'image');
    const tree = join(directory, 'tree');
    await writeTinyImage(files, image);
    await run(['umoci', 'raw', 'unpack', '--image', `${image}:${TINY_TAG}`, tree], { ...limits, umask: '022' });
    const text = Buffer.from((await files.read(join(tree, TINY_FILE.path))) ?? []).toString();
    expected('umoci did not unpack the file of an image', text === TINY_FILE.text);
  },
};
