import type { FileInfo, Files } from '../../src/ports/host.ts';

/** A file's text or bytes, a symlink, another kind, or a directory (which need not be listed when something is in it). */
export type FakeEntry = string | Uint8Array | { readonly link: string } | { readonly kind: FileInfo['kind'] };

/** A file system in memory, as far as reading goes; what else is called fails the test. */
export function fakeFiles(entries: Readonly<Record<string, FakeEntry>>): Files {
  const directories = new Set(['/']);
  for (const path of Object.keys(entries))
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) directories.add(path.slice(0, at));
  const entryOf = (path: string): FakeEntry | undefined =>
    entries[path] ?? (directories.has(path) ? { kind: 'directory' } : undefined);
  const unexpected = (what: string) => () => {
    throw new Error(`unexpected: ${what}`);
  };
  return {
    async stat(path) {
      const entry = entryOf(path);
      if (entry === undefined) return undefined;
      const data = bytesOf(entry);
      const kind =
        typeof entry === 'string' || entry instanceof Uint8Array ? 'file' : 'link' in entry ? 'symlink' : entry.kind;
      const sizeBytes = data?.length ?? 0;
      return { kind, sizeBytes, diskBytes: sizeBytes, mode: 0o644 };
    },
    async readLink(path) {
      const entry = entryOf(path);
      if (typeof entry !== 'object' || !('link' in entry)) throw new Error(`no symlink: ${path}`);
      return entry.link;
    },
    async read(path, { offset = 0, maxBytes = Number.MAX_SAFE_INTEGER } = {}) {
      return bytesOf(entryOf(path))?.subarray(offset, offset + maxBytes);
    },
    async list(path) {
      const names = [...Object.keys(entries), ...directories]
        .filter((one) => one.startsWith(`${path}/`))
        .map((one) => one.slice(path.length + 1).split('/')[0] ?? '');
      return [...new Set(names)].sort();
    },
    opens: async (path) => entryOf(path) !== undefined,
    freeBytes: async () => 2 ** 40,
    freeInodes: async () => 2 ** 30,
    realPath: async (path) => (entryOf(path) === undefined ? undefined : path),
    async firstFile(paths) {
      const path = paths.find((one) => bytesOf(entryOf(one)) !== undefined);
      return path === undefined ? undefined : { path, real: path, stamp: '' };
    },
    makeDirectory: unexpected('makeDirectory'),
    remove: unexpected('remove'),
    write: unexpected('write'),
    writeSparse: unexpected('writeSparse'),
    rename: unexpected('rename'),
    copy: unexpected('copy'),
    watch: unexpected('watch'),
    punch: unexpected('punch'),
    own: unexpected('own'),
    setMode: unexpected('setMode'),
    typeInto: unexpected('typeInto'),
    takeFrom: unexpected('takeFrom'),
    pinSocket: unexpected('pinSocket'),
    overwrite: unexpected('overwrite'),
    removeDirectory: unexpected('removeDirectory'),
  };
}

const bytesOf = (entry: FakeEntry | undefined): Uint8Array | undefined =>
  typeof entry === 'string' ? new TextEncoder().encode(entry) : entry instanceof Uint8Array ? entry : undefined;
