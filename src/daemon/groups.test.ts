import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { socketGroup } from './groups.ts';

function fileWith(text: string): string {
  const directory = mkdtempSync('/tmp/flt-config-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(`${directory}/config.yaml`, text);
  return `${directory}/config.yaml`;
}

test('the group of the sockets', () => {
  const file = fileWith('root:x:0:\nflintlock:x:997:ann\n');
  expect(socketGroup('flintlock', false, file)).toBe(997);
  expect(socketGroup('4711', true, file)).toBe(4711);
  expect(socketGroup('nobody', false, file)).toBeUndefined();
  expect(() => socketGroup('nobody', true, file)).toThrow(/no such group; make it with: groupadd --system nobody/);
});
