/** What of a full disk is said where it is looked at. @see ../host/room.ts */
const ROOM = /the file system of .{1,4096}? has (?:no inodes left|\d+ KiB and \w+ inodes left)/;

/**
 * That there is no room, with the figures of whoever looked: of blocks or of inodes, and on which disk.
 * @param message - of a Fault `full`
 */
export function noRoom(message: string): string {
  const room = ROOM.exec(message)?.[0];
  if (room !== undefined) return `no space left on the disk: ${room}`;
  return /quota/i.test(message) ? 'no space left in the quota of the disk' : 'no space left on the disk';
}
