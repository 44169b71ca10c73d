import { join } from 'node:path';
import { TINY_TAG, writeTinyImage } from './tiny-image.ts';
import { expected, type Tool } from './tool.ts';

/** Brings images from registries. */
export const skopeo: Tool = {
  program: 'skopeo',
  package: 'skopeo',
  need: 'each',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const from = join(directory, 'from');
    const to = join(directory, 'to');
    await writeTinyImage(files, from);
    const program = ['skopeo', '--tmpdir', directory, '--insecure-policy'] as const;
    const manifest = await run([...program, 'inspect', '--raw', `oci:${from}:${TINY_TAG}`], limits);
    expected('skopeo does not tell the manifest of an image as it is', manifest.includes('"schemaVersion":2'));
    await run([...program, 'copy', '--quiet', `oci:${from}:${TINY_TAG}`, `dir:${to}`], limits);
    expected('skopeo copied an image to nowhere', (await files.stat(join(to, 'manifest.json'))) !== undefined);
  },
};
