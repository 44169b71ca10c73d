import { expect, test } from 'vitest';
import { noRoom } from './room-words.ts';

test.each([
  [
    'mke2fs failed (exit status 1): Could not allocate: No space left on device (the file system of /a b/(c) has 12 KiB and 9 inodes left)',
    'no space left on the disk: the file system of /a b/(c) has 12 KiB and 9 inodes left',
  ],
  [
    'Cannot write /x/y: no space left on the disk: the file system of /x has no inodes left',
    'no space left on the disk: the file system of /x has no inodes left',
  ],
  [
    'Cannot write /x/y: no space left on the disk: the file system of /x has 0 KiB and Infinity inodes left',
    'no space left on the disk: the file system of /x has 0 KiB and Infinity inodes left',
  ],
  ['cp failed (exit status 1): Disk quota exceeded', 'no space left in the quota of the disk'],
  ['who knows', 'no space left on the disk'],
])('%s', (message, words) => expect(noRoom(message)).toBe(words));
