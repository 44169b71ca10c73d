import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from '../../guest/cpio.ts';
import { DEMO, demoSpec, type SpecInit } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';

const TOOL_MS = 300_000;

/** Says every second what time it has. */
const RUN = `#!/bin/sh
while sleep 1; do echo "guest: clock=$(date +%s)"; done
`;

/**
 * Makes the image of a guest that lives in its initrd: the demo system, which
 * tells its clock. Everything is slow on a nested host: no root is unpacked
 * for it, and its one disk is small.
 *
 * @param directory - for the image's layout, not there yet
 * @returns what makes a spec of it
 */
export async function makeGuest(directory: string): Promise<(id: string) => SpecInit> {
  const scratch = `${directory}-scratch`;
  const kernel = join(scratch, 'kernel');
  const own = join(scratch, 'own');
  mkdirSync(join(own, 'etc/flintlock'), { recursive: true });
  writeFileSync(join(own, 'etc/flintlock/run'), RUN, { mode: 0o755 });
  execFileSync('umoci', ['raw', 'unpack', '--image', `${DEMO}:kernel`, kernel], {
    ...{ timeout: TOOL_MS, stdio: ['ignore', 'ignore', 'pipe'] },
  });
  const initrd = join(kernel, 'initrd');
  appendFileSync(initrd, gzipSync(cpio(own))); // Linux unpacks one archive after the other
  await writeLayout(directory, {
    initrd: { layers: [[{ name: 'initrd', data: readFileSync(initrd) }]] },
    data: { layers: [[{ name: 'hello', data: 'hello\n' }]] },
  });
  rmSync(scratch, { recursive: true });
  return (id) =>
    demoSpec(id, {
      initrd: { image: `oci:${directory}:initrd` },
      volumes: [{ id: 'data', source: { containerSource: `oci:${directory}:data` } }],
    });
}
