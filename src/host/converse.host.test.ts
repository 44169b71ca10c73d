import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { isAlive } from '../../test/support/is-alive.ts';
import { converse } from './converse.ts';

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (isSo()) return;
    await sleep(10);
  }
  throw new Error(`not in 10 s: ${what}`);
}

function talk(...argv: readonly [string, ...string[]]) {
  const over = new AbortController();
  onTestFinished(() => over.abort());
  let text = '';
  const onText = (more: string): void => {
    text += more;
  };
  const conversation = converse(argv, { signal: over.signal, onText });
  return { ...conversation, over, text: () => text };
}

test('what it says on either output comes in the order of saying, with its arguments whole', async () => {
  const one = talk('sh', '-c', 'while read -r x; do echo "out $x $1"; echo "err $x" >&2; done', 'sh', 'a b; "$(id)"');
  one.say('1\n');
  one.say('2\n');
  await until('all is said', () => one.text().split('\n').length === 5);
  expect(one.text()).toBe('out 1 a b; "$(id)"\nerr 1\nout 2 a b; "$(id)"\nerr 2\n');
});

test('how it ended is told', async () => {
  expect(await talk('sh', '-c', 'exit 3').ended).toEqual({ code: 3, signal: null });
  const missing = talk('flintlock-no-such-tool');
  expect(await missing.ended).toEqual({ code: 127, signal: null });
  expect(missing.text()).toContain('not found');
  missing.say('in vain');
  missing.end();
});

test('it ends with what it started, by end and by the signal; before a start the signal starts nothing', async () => {
  for (const how of ['end', 'abort'] as const) {
    const one = talk('sh', '-c', 'sleep 60 & echo $!; wait');
    await until('it has a child', () => /^\d+\n$/.test(one.text()));
    if (how === 'end') one.end();
    else one.over.abort();
    expect(await one.ended).toEqual({ code: null, signal: 'SIGKILL' });
    await until('its child has ended', () => !isAlive(Number(one.text())));
  }
  const never = converse(['true'], { signal: AbortSignal.abort(), onText: () => undefined });
  expect([never.pid, await never.ended]).toEqual([undefined, { code: null, signal: null }]);
});

test.each(['cat', 'sleep'])('it ends with us however we end: %s', async (tool) => {
  const script = `
    const { converse } = await import(${JSON.stringify(join(import.meta.dirname, 'converse.ts'))});
    const over = new AbortController();
    const argv = ${JSON.stringify(tool === 'cat' ? ['cat'] : ['sleep', '60'])};
    console.log(converse(argv, { signal: over.signal, onText() {} }).pid);
    setInterval(() => undefined, 1000);`;
  const us = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(us, 'exit');
  onTestFinished(() => void us.kill('SIGKILL'));
  const [line] = await once(us.stdout, 'data');
  const pid = Number(String(line));
  await until('it runs', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(tool));
  us.kill('SIGKILL');
  await exited;
  await until('it has ended', () => !isAlive(pid));
});
