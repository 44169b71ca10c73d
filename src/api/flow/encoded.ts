import type { MicroVmView } from '../../domain/microvm.ts';
import type { Form } from '../../service/shown.ts';

/** As it was encoded, and as it goes to the connection. */
const COPIES = 2;

/** MicroVMs as the bytes of a message, or of a part of one. */
export const encodedBy = (encode: (vm: MicroVmView) => Uint8Array): Form<Uint8Array> => ({
  make: encode,
  bytesOf: ({ byteLength }) => byteLength,
});

/** How many bytes a page of them takes until it is sent. */
export function weightOfEncoded(parts: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const { byteLength } of parts) bytes += byteLength;
  return bytes * COPIES;
}
