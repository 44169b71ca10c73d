import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import type { Conversation, Converse, Run } from '../ports/host.ts';
import { createIp, type Ip } from './ip.ts';
import { createLiving } from './living.ts';
import { type LivingForm, livingIp, livingNft, WITH_NEXT } from './living-forms.ts';
import { createNft, type Nft } from './nft.ts';

const signal = new AbortController().signal;

let host: Netns;
let ip: Ip;
let nft: Nft;
/** As they are run once. */
let once: { readonly ip: Ip; readonly nft: Nft };
let conversations: Conversation[];
let runs: string[];
let log: ReturnType<typeof memoryLog>;
beforeEach(async () => {
  host = await createNetns();
  [conversations, runs, log] = [[], [], memoryLog()];
  const run: Run = (argv, limits) => {
    runs.push(argv.join(' '));
    return host.run(argv, limits);
  };
  const converse: Converse = (argv, options) => {
    const one = host.living.converse(argv, options);
    conversations.push(one);
    return one;
  };
  const kept = (form: LivingForm): Run =>
    createLiving(form, run, { ...host.living, converse, patience: 1, clock: new FakeClock(), log });
  ip = createIp(run, kept(livingIp()));
  nft = createNft(run, kept(livingNft()));
  once = { ip: createIp(host.run), nft: createNft(host.run) };
});
afterEach(() => host[Symbol.asyncDispose]());

const sh = (...argv: readonly [string, ...string[]]): Promise<string> => host.run(argv, { signal, timeoutMs: 20_000 });
const wordsOf = async (act: Promise<unknown>): Promise<string> => {
  try {
    await act;
  } catch (error) {
    return String(error);
  }
  return 'done';
};

describe('ip', () => {
  test('shows what a process of its own shows, and none is started', async () => {
    const shown = ['link show dev lo', 'address show dev lo'];
    expect(await ip.batch(shown, signal)).toBe(await once.ip.batch(shown, signal));
    await ip.batch(['tuntap add dev t0 mode tap', 'link set dev t0 alias x up'], signal);
    expect(await ip.find('t0', signal)).toEqual(await once.ip.find('t0', signal));
    await ip.remove('t0', signal);
    expect(runs).toEqual([]);
    expect(conversations).toHaveLength(1);
    expect(log.lines).toEqual([]);
  });

  test('goes no further than what failed, and says so in the same words', async () => {
    await sh('ip', 'tuntap', 'add', 'dev', 't0', 'mode', 'tap');
    for (const bad of [
      'tuntap add dev t0 mode tap',
      'link set dev nowhere up',
      'link set dev t0 mtu 5',
      'nonsense',
      'link set dev t0 master nowhere',
    ]) {
      const words = await wordsOf(ip.batch([bad, 'link set dev t0 alias reached'], signal));
      expect(words).toMatch(/ failed .exit status \d+.: /);
      expect(words).toBe(await wordsOf(once.ip.batch([bad], signal)));
    }
    expect((await ip.find('t0', signal))?.alias).toBe('');
    const marked = `link set dev t0 mtu 5${WITH_NEXT}`;
    expect(await wordsOf(ip.batch([marked, 'link set dev t0 alias reached'], signal))).toBe(
      await wordsOf(once.ip.batch([marked], signal)),
    );
    const shown = await ip.batch([`link set dev t0 mtu 1400${WITH_NEXT}`, 'link show dev t0'], signal);
    expect(shown).toBe(await once.ip.batch([`link set dev t0 mtu 1400${WITH_NEXT}`, 'link show dev t0'], signal));
    expect(await ip.find('nowhere', signal)).toBeUndefined();
    await ip.remove('nowhere', signal);
  });

  test('sees what others removed, made again, and renamed', async () => {
    await ip.batch(['link add name br0 type bridge', 'tuntap add dev t0 mode tap'], signal);
    for (let i = 0; i < 3; i++) {
      expect((await ip.find('t0', signal))?.kind).toBe('tun');
      expect((await ip.find('br0', signal))?.kind).toBe('bridge');
      await ip.batch(['link set dev t0 master br0 up'], signal);
      await sh('ip', 'link', 'delete', 'dev', 't0');
      await sh('ip', 'link', 'delete', 'dev', 'br0');
      if (i === 1) expect(await ip.find('t0', signal)).toBeUndefined();
      await sh('ip', 'link', 'add', 'name', 'br0', 'type', 'bridge');
      await sh('ip', 'tuntap', 'add', 'dev', 't0', 'mode', 'tap');
      await ip.batch(['link set dev t0 master br0 up'], signal);
      expect((await ip.find('t0', signal))?.master).toBe('br0');
    }
    await sh('ip', 'link', 'set', 'dev', 't0', 'down');
    await sh('ip', 'link', 'set', 'dev', 't0', 'name', 't1');
    expect(await ip.find('t0', signal)).toBeUndefined();
    await sh('ip', 'tuntap', 'add', 'dev', 't0', 'mode', 'tap');
    expect(await ip.find('t0', signal)).toEqual(await once.ip.find('t0', signal));
    await ip.remove('t0', signal);
    await expect(sh('ip', 'link', 'show', 'dev', 't0')).rejects.toThrow('does not exist');
    expect(await sh('ip', 'link', 'show', 'dev', 't1')).toContain('t1');
  });
});

describe('nft', () => {
  const table = 'table ip t { set s { type inet_service; }; map m { type inet_service : ipv4_addr; }; }';
  const held = () => sh('nft', 'list', 'table', 'ip', 't');

  test('does all statements of an act or none, by one process', async () => {
    await nft.apply(table, signal);
    runs.length = 0;
    await nft.change(['add element ip t s { 1 }', 'add element ip t m { 1 : 10.0.0.1 }'], signal);
    expect(await held()).toMatch(/elements = \{ 1 \}[\s\S]*elements = \{ 1 : 10\.0\.0\.1 \}/);
    expect(runs).toEqual([]);
    const half = ['add element ip t s { 2 }', 'add element ip t none { 2 }'];
    const before = await held();
    expect(await wordsOf(nft.change(half, signal))).toBe(await wordsOf(once.nft.change(half, signal)));
    expect(await held()).toBe(before);
    // What is added in the same transaction can be deleted whether it was there or not.
    await nft.change(['add element ip t s { 3 }', 'delete element ip t s { 3 }'], signal);
    expect(await held()).toBe(before);
  });

  test('sees tables that others remove and make', async () => {
    for (let i = 0; i < 3; i++) {
      await sh('nft', table);
      await nft.change(['add element ip t s { 5 }'], signal);
      expect(await held()).toContain('{ 5 }');
      await sh('nft', 'delete table ip t');
      await expect(nft.change(['add element ip t s { 5 }'], signal)).rejects.toThrow(/No such file or directory/);
    }
  });

  test('takes an act that is long, and many of them, one of which is killed', async () => {
    await sh('nft', table);
    const many = Array.from({ length: 2_000 }, (_, i) => `add element ip t s { ${i + 1} }`);
    await nft.change(many, signal);
    expect((await nft.elements({ table: 'ip t', name: 's' }, signal)).length).toBe(2_000);
    const acts = Array.from({ length: 200 }, (_, i) => nft.change([`delete element ip t s { ${i + 1} }`], signal));
    await acts[20];
    conversations.findLast(({ pid }) => pid !== undefined)?.end();
    const told = await Promise.allSettled(acts);
    const failed = told.filter(({ status }) => status === 'rejected').length;
    expect(failed).toBeLessThanOrEqual(1);
    const left = (await nft.elements({ table: 'ip t', name: 's' }, signal)).length;
    expect([1_800, 1_800 + failed]).toContain(left);
  });
});
