/**
 * Makes the images for guests that docs/guests.md describes, below
 * .cache/images: `kernel`, a small kernel that needs no initrd; `tiny`, a small
 * root for tests; `debian`, Debian with systemd and cloud-init. What is in step
 * already is left alone.
 *
 *     npm run images [kernel] [tiny] [debian]
 *
 * Without names: all. The first time the kernel takes 5 to 15 minutes, Debian 2
 * to 5.
 */
import { join } from 'node:path';
import { IMAGES, setup } from './setup.mjs';
import { main, Stop } from './steps.mjs';

/** By name: the image of the set-up that holds it, its reference, what it is. */
const KNOWN = {
  kernel: { image: 'kernel', at: 'kernel:latest', is: 'a kernel that needs no initrd' },
  tiny: { image: 'demo', at: 'demo:root', is: 'busybox: the demo root' },
  debian: { image: 'debian', at: 'debian:latest', is: 'Debian with systemd and cloud-init' },
};

await main('images', async () => {
  const given = process.argv.slice(2);
  if (given.includes('--help') || given.includes('-h')) {
    console.log(
      `usage: npm run images [${Object.keys(KNOWN).join('] [')}]\n\nWithout names: all. docs/guests.md says what they hold.`,
    );
    return 0;
  }
  const unknown = given.find((name) => !Object.hasOwn(KNOWN, name));
  if (unknown !== undefined)
    throw new Stop(`there is no image "${unknown}"; there are ${Object.keys(KNOWN).join(', ')}`);
  const names = given.length > 0 ? [...new Set(given)] : Object.keys(KNOWN);
  const images = names.map((name) => KNOWN[name].image).filter((image) => image !== 'demo');
  await setup({ images });
  const width = Math.max(...names.map((name) => KNOWN[name].at.length));
  for (const name of names) {
    const { at, is } = KNOWN[name];
    console.log(`oci:${join(IMAGES, at.padEnd(width))}  ${is}`);
  }
});
