import { join } from 'node:path';
import type { Files } from '../../ports/host.ts';

const PAGES = '/sys/kernel/mm/hugepages/hugepages-2048kB';
const MAX_NUMBER = 32;

/**
 * How many huge pages of 2 MiB the host has that nobody has, and that are promised to nobody; undefined where it does not say.
 * @see https://docs.kernel.org/admin-guide/mm/hugetlbpage.html
 */
export async function freeHugePagesOf(files: Pick<Files, 'read'>): Promise<number | undefined> {
  const numberIn = async (name: string): Promise<number> => {
    const text = Buffer.from((await files.read(join(PAGES, name), { maxBytes: MAX_NUMBER })) ?? []).toString();
    return /^\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  };
  try {
    const [free, promised] = await Promise.all([numberIn('free_hugepages'), numberIn('resv_hugepages')]);
    return Number.isNaN(free - promised) ? undefined : Math.max(0, free - promised);
  } catch {
    return undefined; // it is asked once more when Firecracker takes them
  }
}
