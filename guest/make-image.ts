import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeDemoTree } from './demo-tree.ts';

/** A file of an image: its content, or that with a mode (0644 by default; a script needs 0755). */
export type ImageFile = string | Uint8Array | { readonly content: string | Uint8Array; readonly mode: number };

export interface ImageContent {
  /** An OCI layout: a directory, made if it is not there. Not for two calls at once. */
  readonly layout: string;
  readonly tag: string;
  /** A tag of the same layout, on whose layers it is put. */
  readonly from?: string;
  /** A tar archive, not compressed, that is the first layer as it is: with its owners, device nodes and so on. */
  readonly archive?: string;
  /** A directory that becomes the image's root, or lies over the archive's. A layer of its own, as all that follow. */
  readonly tree?: string;
  /** The demo guest's files: busybox and an init that brings up the network and runs /etc/flintlock/run. */
  readonly demo?: boolean;
  /** Further files, by absolute path in the image: they win over the tree's. */
  readonly files?: Readonly<Record<string, ImageFile>>;
}

/**
 * Makes an OCI image with umoci. Files belong to root where root makes it;
 * else to the caller mapped to root.
 *
 * ```ts
 * // A guest that says what it finds on its second disk, and powers off:
 * makeImage({
 *   layout: '/scratch/images', tag: 'probe', demo: true,
 *   files: { '/etc/flintlock/run': { mode: 0o755, content: '#!/bin/sh\nhead -c 16 /dev/vdb\npoweroff\n' } },
 * }); // -> oci:/scratch/images:probe
 * ```
 *
 * @returns the reference, `oci:LAYOUT:TAG`
 * @throws Error with the words of umoci or tar
 */
export function makeImage({ layout, tag, from, archive, tree, demo, files }: ImageContent): string {
  const image = `${layout}:${tag}`;
  mkdirSync(dirname(layout), { recursive: true });
  if (!existsSync(join(layout, 'index.json'))) umoci(['init', '--layout', layout]);
  if (from === undefined) umoci(['new', '--image', image]);
  else umoci(['tag', '--image', `${layout}:${from}`, tag]);
  if (archive !== undefined) umoci(['raw', 'add-layer', '--image', image, archive]);
  const scratch = mkdtempSync(join(dirname(layout), '.image-'));
  const insert = (directory: string): void => {
    // By tar, and not by "umoci insert": the archive that this makes has no end, and others refuse it.
    const layer = join(scratch, 'layer.tar');
    const owner = process.getuid?.() === 0 ? [] : ['--owner=0', '--group=0'];
    const names = readdirSync(directory).map((name) => `./${name}`);
    if (names.length === 0) return;
    const form = ['--create', '--format=posix', '--numeric-owner', '--sort=name', '--xattrs', '--xattrs-include=*'];
    run('tar', [...form, ...owner, '--file', layer, '--directory', directory, '--', ...names.sort()]);
    umoci(['raw', 'add-layer', '--image', image, layer]);
    rmSync(layer);
  };
  try {
    if (tree !== undefined) insert(tree);
    if (demo) {
      writeDemoTree(join(scratch, 'demo'));
      insert(join(scratch, 'demo'));
    }
    const entries = Object.entries(files ?? {});
    for (const [path, file] of entries) {
      const { content, mode } = typeof file === 'object' && 'content' in file ? file : { content: file, mode: 0o644 };
      const to = join(scratch, 'files', path);
      mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
      writeFileSync(to, content, { mode });
    }
    if (entries.length > 0) insert(join(scratch, 'files'));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return `oci:${image}`;
}

const umoci = (args: readonly string[]): void => run('umoci', args);

function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 300_000 });
}
