import type { PortOutput, PortTarget } from '../../src/ports/guest-ports.ts';

/** A server of a guest. */
export const TARGET: PortTarget = { is: 'tcp', host: '', port: 80 };

/** What a caller sends, in these pieces. */
export async function* these(...all: string[]): AsyncGenerator<Uint8Array> {
  for (const one of all) yield Buffer.from(one);
}

/** All that comes back, each word that is no data in brackets. */
export async function heard(outputs: AsyncIterable<PortOutput>): Promise<string[]> {
  const all: string[] = [];
  for await (const one of outputs) all.push(one.is === 'data' ? Buffer.from(one.data).toString() : `[${one.is}]`);
  return all;
}
