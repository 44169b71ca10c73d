import type { Images } from './images.ts';
import { configuredOf, configuredSince } from './lab.ts';
import { type GuestRow, judged, type Scene, type Seen } from './row.ts';
import { dataVolume, reporting, rootVolume, tap } from './specs.ts';

const NOT_SAID = 'Unknown NotReported: The guest has not said whether it applied';

/** Where the data volume is in the guest. */
const at = (seen: Seen | undefined): string =>
  seen?.report
    .all('mount')
    .find(({ name }) => name === 'vdb')
    ?.text.split(' ')[1] ?? 'nowhere';

const row = (
  name: string,
  guest: string,
  expected: string,
  seenInGuest: string,
  condition: (seen: Seen) => string,
): GuestRow => ({
  row: `machine/guest-configured-${name}`,
  expected,
  guest: ({ guests }) => {
    const where = at(guests[guest]);
    return judged(where === seenInGuest, `the volume is ${where}`);
  },
  host: (seen) => {
    const text = condition(seen);
    return judged(text.startsWith(expected), text);
  },
});

const spec = (images: Images, mountPoint: string, change = {}) =>
  reporting(images, {
    volumes: [rootVolume(images, change), dataVolume('data', images.data, { mountPoint })],
    interfaces: [tap('lan0')],
  });

/** Whether guests say that they applied what only they can do: asked of guests that did, could not, and do not know how. */
export const configured: Scene = {
  name: 'configured',
  guests: (images) => {
    const { initrd: _, ...deaf } = spec(images, '/srv/data', { source: { containerSource: images.deaf } });
    return {
      told: spec(images, '/srv/data'),
      // Its parent is a file.
      failed: spec(images, '/etc/hostname/data'),
      deaf: { ...deaf, kernel: { image: images.small, cmdline: 'quiet init=/sbin/deaf' } },
    };
  },
  next: async ({ configured, reboot, record }) => {
    const told = await configured('told');
    const since = configuredSince(await record('told'));
    await reboot('told');
    const rebooted = await configured('told');
    const isAnew = configuredSince(await record('told')) > since;
    return {
      told,
      failed: await configured('failed'),
      deaf: configuredOf(await record('deaf')),
      rebooted: isAnew ? rebooted : `since before the reboot: ${rebooted}`,
    };
  },
  rows: [
    row(
      'said',
      'told',
      'True Configured: The guest has applied lan0, /srv/data',
      '/srv/data',
      (seen) => seen.notes.told ?? '',
    ),
    row(
      'failed',
      'failed',
      'False ConfigurationFailed: The guest could not apply /etc/hostname/data',
      'nowhere',
      (seen) => seen.notes.failed ?? '',
    ),
    row('not-said', 'deaf', `${NOT_SAID} lan0, /srv/data`, 'nowhere', (seen) => seen.notes.deaf ?? ''),
    row(
      'said-after-a-reboot',
      'told',
      'True Configured: The guest has applied lan0, /srv/data',
      '/srv/data',
      (seen) => seen.notes.rebooted ?? '',
    ),
  ],
};
