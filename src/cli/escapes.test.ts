import { expect, test } from 'vitest';
import { Escapes } from './escapes.ts';

test.for([
  { typed: ['ls\r', 'ps\r'], data: 'ls\rps\r', detach: false },
  { typed: ['\x03\x04'], data: '\x03\x04', detach: false }, // Ctrl-C and Ctrl-D are the guest's
  { typed: ['ab\x1dcd'], data: 'ab', detach: true },
  { typed: ['~.'], data: '', detach: true },
  { typed: ['x\r', '~', '.'], data: 'x\r', detach: true },
  { typed: ['x\n~.'], data: 'x\n', detach: true },
  { typed: ['cd ~.\r'], data: 'cd ~.\r', detach: false },
  { typed: ['~~.\r'], data: '~.\r', detach: false },
  { typed: ['~', 'x~.\r'], data: '~x~.\r', detach: false },
  { typed: ['~\r~.'], data: '~\r', detach: true },
])('$typed', ({ typed, data, detach }) => {
  const escapes = new Escapes();
  let got = '';
  let left = false;
  for (const piece of typed) {
    const answer = escapes.feed(Buffer.from(piece));
    got += Buffer.from(answer.data).toString();
    left ||= answer.detach;
  }
  expect({ got, left }).toEqual({ got: data, left: detach });
});

test('bytes that are no text pass unaltered', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i).filter((byte) => byte !== 0x1d && byte !== 0x7e);
  expect(new Escapes().feed(bytes)).toEqual({ data: bytes, detach: false });
});
