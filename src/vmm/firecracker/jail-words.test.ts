import { expect, test } from 'vitest';
import { jailRefusal } from './jail-words.ts';

test.each([
  [
    'flintlock: cannot show it /state/disk0: No such file or directory\n',
    'refused',
    /Cannot jail Firecracker: cannot show it \/state\/disk0: No such/,
  ],
  ['flintlock: cannot run /opt/jailer: No such file or directory', 'tool', /cannot run \/opt\/jailer.*being replaced/],
  [
    'Failed to create /dev/net/tun via mknod inside the jail: Operation not permitted (os error 1)\nError: MknodDev(..)',
    ...(['refused', /mknod inside the jail: Operation not permitted.*CAP_MKNOD.*--firecracker-jail off$/] as const),
  ],
  [
    'a warning\nFailed to exec into Firecracker: No such file or directory (os error 2)\n',
    ...(['refused', /Only a static program runs in a jail/] as const),
  ],
  ['Failed to copy /a to /b: No space left on device (os error 28)\n', 'tool', /No space left on device/],
] as const)('%j is told', (errors, kind, words) => {
  expect(jailRefusal(errors)).toMatchObject({ kind, reason: 'ProviderRefused', message: expect.stringMatching(words) });
});

test('what Firecracker says itself is not the jail’s', () => {
  expect(jailRefusal('Error: Failed to open the API socket at: run/api.sock.\n')).toBeUndefined();
  expect(jailRefusal('')).toBeUndefined();
});
