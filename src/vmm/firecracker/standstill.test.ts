import { expect, test } from 'vitest';
import type { Files } from '../../ports/host.ts';
import { Standstill } from './standstill.ts';

const HALTED = '[   91.912033] reboot: System halted\r\n';

function makeConsole(said: string) {
  let text = Buffer.from(said);
  const files: Pick<Files, 'stat' | 'read'> = {
    stat: async () => ({ kind: 'file', sizeBytes: text.length, diskBytes: 0, mode: 0o600 }),
    read: async (_path, { offset = 0, maxBytes = text.length } = {}) => text.subarray(offset, offset + maxBytes),
  };
  const say = (more: string): void => {
    text = Buffer.concat([text, Buffer.from(more)]);
  };
  return { say, standstill: new Standstill(files as Files, '/console', 'advice') };
}

test('last words are believed when they still stand there a look later', async () => {
  const { standstill, say } = makeConsole(HALTED);
  expect(await standstill.look()).toBeUndefined();
  expect(await standstill.look()).toMatchObject({ reason: 'GuestShutdown' });
  say('more');
  expect(await standstill.look()).toBeUndefined();
});

test('those of the run before are not those of a guest that says nothing yet', async () => {
  const { standstill, say } = makeConsole(HALTED);
  await standstill.begin();
  for (let i = 0; i < 3; i++) expect(await standstill.look()).toBeUndefined();
  say(`up\r\n${HALTED}`);
  await standstill.look();
  expect(await standstill.look()).toMatchObject({ reason: 'GuestShutdown' });
});
