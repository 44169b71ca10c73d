import { openSync, writeSync } from 'node:fs';

export type Tell = (source: string, event: string, properties?: Readonly<Record<string, string>>) => void;

/** The file of events, as the program writes it. @param to - `path=PATH` or `fd=N`; absent: none */
export function eventMonitor(to: string | undefined): Tell | undefined {
  if (to === undefined) return () => undefined;
  const [key, value = ''] = [to.slice(0, to.indexOf('=')), to.slice(to.indexOf('=') + 1)];
  if (key !== 'path' && key !== 'fd') return undefined;
  const fd = key === 'fd' ? Number(value) : openSync(value, 'w', 0o600);
  const began = process.hrtime.bigint();
  return (source, event, properties) => {
    const ns = process.hrtime.bigint() - began;
    const timestamp = { secs: Number(ns / 1_000_000_000n), nanos: Number(ns % 1_000_000_000n) };
    writeSync(fd, `${JSON.stringify({ timestamp, source, event, properties: properties ?? null }, null, 2)}\n\n`);
  };
}
