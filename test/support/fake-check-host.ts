import type { CheckHost, DaemonFindings } from '../../src/doctor/check.ts';
import { Fault } from '../../src/domain/fault.ts';
import type { FileInfo, Files } from '../../src/ports/host.ts';

/** A host as a check of the doctor sees it. */
export interface Fake {
  /** Files by path; a directory ends with `/`. */
  readonly files?: Readonly<Record<string, string>>;
  /** What tools print, by the beginning of their command line; all others fail. */
  readonly tools?: Readonly<Record<string, string>>;
  readonly free?: number;
  readonly inodes?: number;
  readonly vmmUsers?: string;
  readonly daemon?: DaemonFindings;
}

export function fakeHost({
  files = {},
  tools: answers = {},
  free = 2 ** 40,
  inodes = 2 ** 20,
  vmmUsers,
  daemon,
}: Fake): CheckHost {
  const info = (path: string): FileInfo | undefined => {
    const kind = Object.hasOwn(files, `${path}/`) ? 'directory' : Object.hasOwn(files, path) ? 'file' : undefined;
    return kind && { kind, sizeBytes: 1, diskBytes: 1, mode: 0o755 };
  };
  const used: Partial<Files> = {
    read: async (path) => (files[path] === undefined ? undefined : Buffer.from(files[path])),
    stat: async (path) => info(path),
    realPath: async (path) => {
      if (path.startsWith('/secret/')) throw new Fault('tool', 'EACCES: permission denied');
      return info(path) ? path : undefined;
    },
    async firstFile(paths) {
      const path = paths.find((one) => !one.startsWith('/secret/') && info(one)?.kind === 'file');
      return path === undefined ? undefined : { path, real: path, stamp: '' };
    },
    list: async (path) => Object.keys(files).filter((name) => name.startsWith(`${path}/`) && name !== `${path}/`),
    freeBytes: async () => free,
    freeInodes: async () => inodes,
    remove: async () => undefined,
  };
  return {
    files: used as Files,
    run: async (argv) => {
      const line = argv.join(' ');
      const key = Object.keys(answers).find((start) => line.startsWith(start));
      if (key === undefined) throw new Fault('tool', `${argv[0]} failed (exit status 1): it said nothing`);
      return answers[key] ?? '';
    },
    signal: new AbortController().signal,
    path: '/secret/bin:/usr/bin',
    stateDirectory: '/var/lib/flintlock',
    runDirectory: '/run/flintlock',
    clock: { elapsed: () => 0, now: () => 1_000_000 },
    settings: { 'qemu-bin': 'qemu-system-x86_64' },
    ...(vmmUsers !== undefined && { vmmUsers }),
    ...(daemon && { daemon }),
  };
}
