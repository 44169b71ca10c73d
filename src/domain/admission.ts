import { Fault } from './fault.ts';
import type { MicroVm } from './microvm.ts';
import type { Spec } from './spec.ts';

/** What a host has, gives, or is asked for. */
export interface Resources {
  readonly vcpu: number;
  /** MiB. */
  readonly memoryInMb: number;
  /** MiB. */
  readonly diskInMb: number;
}

/** What microVMs can have on a host. */
export interface Capacity {
  readonly capacity: Resources;
  /** By whomever. */
  readonly used: Resources;
  /** Volumes lie in memory: what they may grow to is memory too. */
  readonly diskIsMemory: boolean;
  /** Files that the file system of the state directory can still have; absent: not known. */
  readonly freeInodes?: number;
  /** Where less is in force than the host has: a sentence for each. */
  readonly notes: readonly string[];
}

/** What all microVMs together are promised. */
export interface Promised extends Resources {
  readonly microvms: number;
}

/** The most that may be promised; absent: no limit. */
export type Limits = { readonly [K in keyof Promised]?: number };

/** Settings: a figure, or what is derived from the host. */
export interface LimitSettings {
  /** Bytes. */
  readonly maxMemory: number | 'auto' | 'none';
  readonly maxVcpu: number | 'none';
  /** Bytes. */
  readonly maxDisk: number | 'auto' | 'none';
  readonly maxMicrovms: number | 'none';
}

/** The daemon keeps so much memory for the host and the VMMs themselves (MiB). */
export const HOST_MEMORY_MB = 512;

const MIB = 2 ** 20;

/** A microVM has about 20 files of its own, and the daemon's database wants some: with fewer left none is admitted. */
export const LEAST_FREE_INODES = 100;

/** Whether a microVM's own files can still be made. @returns Fault `full` Admission */
export function inodeAdmission(what: string, freeInodes: number): Fault | undefined {
  if (freeInodes >= LEAST_FREE_INODES) return undefined;
  return new Fault(
    'full',
    `Cannot admit ${what}: the file system of the state directory has ${freeInodes} inodes left (df -i), and ${LEAST_FREE_INODES} must be free; remove files, or put the state on one with more`,
    { reason: 'Admission' },
  );
}

/** @param capacity - what the host has */
export function limitsOf(settings: LimitSettings, capacity: Resources): Limits {
  const { maxMemory, maxVcpu, maxDisk, maxMicrovms } = settings;
  const memory = maxMemory === 'auto' ? Math.max(1, capacity.memoryInMb - HOST_MEMORY_MB) : toMb(maxMemory);
  const disk = maxDisk === 'auto' ? capacity.diskInMb : toMb(maxDisk);
  return {
    ...(memory !== 'none' && { memoryInMb: memory }),
    ...(maxVcpu !== 'none' && { vcpu: maxVcpu }),
    ...(disk !== 'none' && { diskInMb: disk }),
    ...(maxMicrovms !== 'none' && { microvms: maxMicrovms }),
  };
}

const toMb = (bytes: number | 'none'): number | 'none' => (bytes === 'none' ? bytes : Math.floor(bytes / MIB));

/**
 * What a microVM is promised from its create until nothing is left of it.
 * Of its disks what they may grow to: a read-only volume is the shared disk
 * image itself, and one without a size counts once its size is known.
 */
export function promisedTo(spec: Spec, made: Partial<Pick<MicroVm['made'], 'volumes'>> = {}): Resources {
  const sizes = spec.volumes
    .filter(({ isReadOnly }) => !isReadOnly)
    .map(({ id, sizeInMb }) => made.volumes?.[id]?.sizeInMb ?? sizeInMb ?? 0);
  return { vcpu: spec.vcpu, memoryInMb: spec.memoryInMb, diskInMb: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Where volumes lie in memory: what they may grow to counts there too. */
export const withDisksAsMemory = <T extends Resources>(promised: T, diskIsMemory: boolean): T =>
  diskIsMemory ? { ...promised, memoryInMb: promised.memoryInMb + promised.diskInMb } : promised;

/**
 * Whether its CPUs and memory are promised whatever the ledger says: it runs,
 * or will by itself. Any other holds them only while the ledger names a VMM
 * of it, whose end is not proved. Its disks are promised until it is gone.
 */
export function willRun({ is }: MicroVm['state']): boolean {
  switch (is) {
    case 'PENDING':
    case 'CREATED':
    case 'PAUSED':
      return true;
    case 'STOPPED':
    case 'FAILED':
    case 'DELETING':
      return false;
    default:
      return is satisfies never;
  }
}

interface Figure {
  readonly of: keyof Promised;
  readonly unit: string;
  readonly flag: string;
  readonly less: string;
}

const FIGURES: readonly Figure[] = [
  { of: 'microvms', unit: 'microVMs', flag: '--max-microvms', less: 'delete some' },
  { of: 'memoryInMb', unit: 'MiB of memory', flag: '--max-memory', less: 'ask for less, or delete or stop others' },
  { of: 'vcpu', unit: 'vCPUs', flag: '--max-vcpu', less: 'ask for fewer, or delete or stop others' },
  {
    of: 'diskInMb',
    unit: 'MiB of disk',
    flag: '--max-disk',
    less: 'ask for less, use read-only volumes, or delete others',
  },
];

/**
 * Whether what is asked for fits beside what is promised already.
 * @param others - what is promised to all others
 * @returns Fault `full` Admission with every figure that does not fit
 */
export function admission(what: string, asked: Promised, others: Promised, limits: Limits): Fault | undefined {
  const short = FIGURES.filter(({ of }) => {
    const limit = limits[of];
    // What asks for none takes none: it is not refused for what others were promised under another limit.
    return limit !== undefined && asked[of] > 0 && others[of] + asked[of] > limit;
  });
  if (short.length === 0) return undefined;
  const figures = short.map(
    ({ of, unit, flag, less }) =>
      `it asks for ${asked[of]} ${unit}, ${others[of]} of at most ${limits[of]} are promised (${less}, or raise ${flag})`,
  );
  return new Fault('full', `Cannot admit ${what}: ${figures.join('; ')}`, { reason: 'Admission' });
}
