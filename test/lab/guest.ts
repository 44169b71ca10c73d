import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from '../../guest/cpio.ts';
import { writeInitrd } from '../../guest/initrd.ts';
import { writeLayout } from '../support/oci-layout.ts';

const TOOL_MS = 300_000;
const IMAGES = join(import.meta.dirname, '../../.cache/images');

/** Says every second what time it has. */
const RUN = `#!/bin/sh
while sleep 1; do echo "guest: clock=$(date +%s)"; done
`;

/**
 * Makes images for a guest that lives in its initrd: the demo system, which
 * tells its clock. They are made outside of the nested host, where it is quick.
 * Tags: `initrd` for the small kernel, `initrd-modules` for the demo kernel, and `data`, a small disk.
 *
 * @param layout - not there yet
 * @param scratch - not there yet; left behind
 */
export async function writeGuest(layout: string, scratch: string): Promise<void> {
  const own = join(scratch, 'own');
  const kernel = join(scratch, 'kernel');
  mkdirSync(join(own, 'etc/flintlock'), { recursive: true });
  writeFileSync(join(own, 'etc/flintlock/run'), RUN, { mode: 0o755 });
  // Linux unpacks one archive after the other.
  const added = gzipSync(cpio(own));
  const small = join(scratch, 'initrd');
  writeInitrd(small, join(scratch, 'tree'));
  execFileSync('umoci', ['raw', 'unpack', '--image', `${IMAGES}/demo:kernel`, kernel], {
    ...{ timeout: TOOL_MS, stdio: ['ignore', 'ignore', 'pipe'] },
  });
  const initrdOf = (file: string) => ({
    layers: [[{ name: 'initrd', data: Buffer.concat([readFileSync(file), added]) }]],
  });
  await writeLayout(layout, {
    initrd: initrdOf(small),
    'initrd-modules': initrdOf(join(kernel, 'initrd')),
    data: { layers: [[{ name: 'hello', data: 'hello\n' }]] },
  });
}

/** What of a spec makes that guest, on the small kernel where it has been compiled. */
export function guestOf(layout: string) {
  const isSmall = existsSync(join(IMAGES, 'kernel/index.json'));
  return {
    kernel: { image: `oci:${IMAGES}/${isSmall ? 'kernel:latest' : 'demo:kernel'}`, cmdline: 'quiet' },
    initrd: { image: `oci:${layout}:${isSmall ? 'initrd' : 'initrd-modules'}` },
    volumes: [{ id: 'data', source: { containerSource: `oci:${layout}:data` } }],
  };
}
