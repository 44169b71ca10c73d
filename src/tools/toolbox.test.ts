import { expect, test } from 'vitest';
import { FakeClock, turn } from '../../test/support/fake-clock.ts';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { ToolNeed } from '../ports/tools.ts';
import type { Tool } from './tool.ts';
import { createToolbox } from './toolbox.ts';

function makeBox() {
  const clock = new FakeClock();
  const log = memoryLog();
  const wrong = new Map<string, () => Promise<void>>();
  const tool = (program: string, need: ToolNeed): Tool => ({
    program,
    package: `${program}-package`,
    need,
    trial: async () => wrong.get(program)?.(),
  });
  const tools = [tool('nft', 'networks'), tool('tar', 'each')];
  const files = { ...fakeFiles({ '/bin/nft': '', '/bin/tar': '' }), remove: async () => undefined };
  const run = async (): Promise<string> => '/tmp/x\n';
  const make = () =>
    createToolbox(tools, { run, files, clock, log, path: '/bin', whose: 'test', signal: new AbortController().signal });
  return { clock, log, wrong, make };
}
const breaks = (message: string) => () => Promise.reject(new Fault('tool', message));
const NONE: ReadonlySet<ToolNeed> = new Set();

test('what a microVM does not need is not in its way', async () => {
  const { wrong, make } = makeBox();
  wrong.set('nft', breaks('no JSON'));
  const box = make();
  expect(await box.obstacle(NONE)).toBeUndefined();
  expect(await box.obstacle(new Set(['networks']))).toMatch(/^no JSON\. sudo apt-get install nft-package/);
});

test('a tool that breaks is told once, is in the way, and is tried again until it works', async () => {
  const { clock, log, wrong, make } = makeBox();
  wrong.set('tar', breaks('no zstd'));
  const box = make();
  expect(await box.obstacle(NONE)).toMatch(/no zstd/);
  clock.advance(5_000);
  expect((await box.states()).find(({ name }) => name === 'tar')).toMatchObject({ is: 'broken' });
  expect(log.lines.filter(({ message }) => message === 'a tool does not work')).toHaveLength(1);
  wrong.clear();
  clock.advance(5_000);
  expect(await box.obstacle(NONE)).toBeUndefined();
  expect(log.lines.at(-1)).toMatchObject({ message: 'a tool works now' });
});

test('a trial that takes its time holds nobody up, and slow is called slow', async () => {
  const { clock, wrong, make } = makeBox();
  let end = (): void => undefined;
  wrong.set('tar', () => new Promise((resolve) => (end = resolve)));
  const box = make();
  const asked = box.obstacle(NONE);
  await turn();
  clock.advance(5_000);
  expect(await asked).toBeUndefined();
  clock.advance(20_000);
  end();
  await turn();
  const states = await box.states();
  expect(states.find(({ name }) => name === 'tar')).toMatchObject({
    is: 'slow',
    found: expect.stringContaining('25 s'),
  });
  expect(await box.obstacle(NONE)).toBeUndefined();
});
