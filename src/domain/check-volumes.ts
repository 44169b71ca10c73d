import type { SpecDraft, VolumeDraft } from './draft.ts';
import { shorten } from './labels.ts';
import type { VolumeSpec } from './spec.ts';

type Bad = (field: string, description: string) => void;

const VOLUME_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** As in RFC 9562; GPT's own way to write one. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const NO_UUID = /^[0-]+$/;
/** Less than 16 TiB, where a file of ext4 on the host ends (with blocks of 4 KiB). */
const MAX_SIZE_IN_MB = 2 ** 24 - 1;
/** All of them must fit on the kernel's command line. */
const MAX_MOUNT_POINT = 1024;

/** What is wrong with the volumes of a spec, in API field names. */
export function checkVolumes({ volumes, initrd }: Pick<SpecDraft, 'volumes' | 'initrd'>, bad: Bad): void {
  const roots = volumes.filter((v) => v.isRoot).length;
  if (roots > 1) bad('volumes', `${roots} volumes are is_root: exactly one must be`);
  if (roots === 0 && !initrd) bad('volumes', 'one volume must be is_root, unless an initrd is given');
  const ids = new Set<string>();
  const mountPoints = new Map<string, string>();
  const partitions = new Map<string, string>();
  volumes.forEach((volume, i) => {
    const at = `volumes[${i}]`;
    if (!VOLUME_ID.test(volume.id))
      bad(
        `${at}.id`,
        `"${shorten(volume.id)}" must have 1 to 63 letters, digits, "-", "_", "." and begin with a letter or digit`,
      );
    else if (ids.has(volume.id)) bad(`${at}.id`, `"${volume.id}" is used twice: each volume needs its own`);
    ids.add(volume.id);
    if (!volume.image) bad(`${at}.source.container_source`, 'is required: an OCI image reference');

    const wrongMount = checkMountPoint(volume, mountPoints);
    if (wrongMount !== undefined) bad(`${at}.mount_point`, wrongMount);
    else if (volume.mountPoint !== '') mountPoints.set(volume.mountPoint, at);

    const partition = volume.partitionId?.toLowerCase() ?? '';
    const wrongPartition = checkPartition(volume.partitionId ?? '', partitions.get(partition));
    if (wrongPartition !== undefined) bad(`${at}.partition_id`, wrongPartition);
    else if (partition !== '') partitions.set(partition, at);

    const { sizeInMb = 0 } = volume;
    if (sizeInMb < 0) bad(`${at}.size_in_mb`, `${sizeInMb} is negative: give MiB, or 0 for what the image needs`);
    if (sizeInMb > MAX_SIZE_IN_MB)
      bad(`${at}.size_in_mb`, `${sizeInMb} MiB is more than a disk can have: at most ${MAX_SIZE_IN_MB}, below 16 TiB`);
  });
}

/** @param taken - the volumes that have a mount point already */
function checkMountPoint(
  { mountPoint: path, isRoot }: VolumeDraft,
  taken: ReadonlyMap<string, string>,
): string | undefined {
  if (path === '') return undefined;
  const shown = `"${shorten(path)}"`;
  if (isRoot) return path === '/' ? undefined : `${shown}: the root volume is mounted at "/": write that, or nothing`;
  if (/\p{Cc}/u.test(path) || !path.isWellFormed() || path.length > MAX_MOUNT_POINT)
    return `${shown} must be a path of at most ${MAX_MOUNT_POINT} characters without control characters`;
  if (!path.startsWith('/')) return `${shown} must be an absolute path of the guest: begin with "/"`;
  if (path === '/') return '"/" is the place of the root volume: give a directory below it';
  const parts = path.slice(1).split('/');
  if (parts.includes('..')) return `${shown} must be without ".."`;
  if (parts.some((part) => part === '' || part === '.')) {
    const plain = `/${parts.filter((part) => part !== '' && part !== '.').join('/')}`;
    return `${shown} must be without "//", "." and a "/" at its end: write "${shorten(plain)}"`;
  }
  const other = taken.get(path);
  return other === undefined ? undefined : `${shown} is the mount_point of ${other} too: each volume needs its own`;
}

function checkPartition(id: string, other: string | undefined): string | undefined {
  if (id === '') return undefined;
  if (!UUID.test(id) || NO_UUID.test(id))
    return `"${shorten(id)}" must be a UUID of 32 hexadecimal digits, as 8-4-4-4-12, not all zero`;
  return other === undefined ? undefined : `${id} is the partition_id of ${other} too: each volume needs its own`;
}

/** A volume that was checked. The UUID gets the form that Linux shows. */
export const toVolume = ({ partitionId, sizeInMb, image = '', ...draft }: VolumeDraft): VolumeSpec => ({
  id: draft.id,
  isRoot: draft.isRoot,
  isReadOnly: draft.isReadOnly,
  mountPoint: draft.mountPoint,
  image,
  ...(partitionId && { partitionId: partitionId.toLowerCase() }),
  ...(sizeInMb && { sizeInMb }),
});
