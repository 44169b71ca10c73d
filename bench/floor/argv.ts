import { basename, dirname } from 'node:path';

/** A VMM's command line, and what in it is one microVM's own. */
export interface Template {
  readonly argv: readonly string[];
  readonly name: string;
  readonly qmp: string;
  readonly console: string;
  /** The overlay, and what lies below it; absent: it has no such disk. */
  readonly overlay?: { readonly path: string; readonly backing: string };
  readonly tap?: string;
  readonly mac?: string;
}

/** One of the floor's own, by a template. */
export interface Own {
  readonly argv: readonly [string, ...string[]];
  readonly qmp: string;
  readonly console: string;
  readonly overlay: string;
  readonly tap: string;
  readonly mac: string;
}

const firstOf = (argv: readonly string[], pattern: RegExp): string | undefined => {
  for (const word of argv) {
    const found = pattern.exec(word)?.[1];
    if (found !== undefined) return found;
  }
  return undefined;
};

/** @throws Error where it is no such command line */
export function templateOf(argv: readonly string[]): Template {
  const name = firstOf(argv, /^guest=([^,]+)/);
  const qmp = firstOf(argv, /^socket,id=qmp,path=([^,]+)/);
  const console = firstOf(argv, /^socket,id=console,.*logfile=([^,]+)/);
  if (name === undefined || qmp === undefined || console === undefined)
    throw new Error(`no command line of a microVM: ${argv.join(' ')}`);
  const overlayNode = firstOf(argv, /^\{"driver":"qcow2".*"file":"([^"]+)"/);
  const backingNode = firstOf(argv, /^\{"driver":"raw".*"file":"(backing[^"]+)"/);
  const fileOf = (node: string | undefined): string | undefined =>
    node && firstOf(argv, new RegExp(`^\\{"driver":"file","node-name":"${node}","filename":"([^"]+)"`));
  const overlay = fileOf(overlayNode);
  const backing = fileOf(backingNode);
  const tap = firstOf(argv, /^tap,.*ifname=([^,]+)/);
  const mac = firstOf(argv, /"mac":"([^"]+)"/);
  return {
    ...{ argv, name, qmp, console },
    ...(overlay !== undefined && backing !== undefined && { overlay: { path: overlay, backing } }),
    ...(tap !== undefined && { tap }),
    ...(mac !== undefined && { mac }),
  };
}

/** The same command line for another, in a directory of its own, standing still where it is `paused`. */
export function ownOf(template: Template, n: number, directory: string, paused: boolean): Own {
  const own = {
    qmp: `${directory}/${basename(template.qmp)}`,
    console: `${directory}/${basename(template.console)}`,
    overlay: `${directory}/${basename(template.overlay?.path ?? 'disk')}`,
    tap: `flb${n}`,
    mac: `02:fb:00:00:${hex(n >> 8)}:${hex(n & 0xff)}`,
  };
  const changes: readonly (readonly [string, string])[] = [
    [dirname(template.qmp), directory],
    [dirname(template.console), directory],
    [`guest=${template.name}`, `guest=floor-${n}`],
    ...(template.tap === undefined ? [] : [[`ifname=${template.tap},`, `ifname=${own.tap},`] as const]),
    ...(template.mac === undefined ? [] : [[template.mac, own.mac] as const]),
  ];
  const words = template.argv
    .filter((word) => word !== '-S')
    .map((word) => changes.reduce((text, [from, to]) => text.replaceAll(from, to), word));
  const [program = '', ...rest] = [...words, ...(paused ? ['-S'] : [])];
  return { argv: [program, ...rest], ...own };
}

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');
