import { expect, test } from 'vitest';
import { INTENTS, RESULTS } from '../../test/support/ledger-rows.ts';
import { countedLedger } from '../../test/support/memory-ledger.ts';
import { HOST_OWNER, vmOwner } from '../domain/ledger.ts';
import type { Uid } from '../domain/microvm.ts';
import { ParsedRows } from './parsed-rows.ts';

const uid = '01HF7YAT00M0GZY8KQDZEF4C74' as Uid;

test('a microVM’s rows are parsed once, and anew when they say something else', () => {
  const { ledger, parsed } = countedLedger();
  const owner = vmOwner(uid);
  const entry = ledger.intend(owner, 'directory', '', INTENTS.directory);
  ledger.intend(owner, 'tap', 'eth0', INTENTS.tap);
  ledger.of(owner);
  parsed();
  expect(ledger.of(owner).map(({ made }) => made)).toEqual([false, false]);
  expect(ledger.ofKind('tap')).toHaveLength(1);
  expect(parsed()).toBe(0);
  ledger.made(entry, RESULTS.directory);
  parsed();
  expect(ledger.of(owner).map(({ made }) => made)).toEqual([true, false]);
  expect(parsed()).toBe(1);
  ledger.strike(entry);
  expect(ledger.of(owner).map(({ kind }) => kind)).toEqual(['tap']);
  ledger.intend(owner, 'directory', '', INTENTS.directory);
  expect(ledger.of(owner)).toHaveLength(2);
});

test('what was struck out is not kept', () => {
  let count = 0;
  const rows = new ParsedRows({
    versionOf: () => 1,
    read: ({ entry, owner, kind, key }) => {
      count++;
      return { entry, owner, kind, key, why: 'it is a test' };
    },
  });
  const row = {
    entry: 1,
    owner: 'host',
    kind: 'bridge',
    key: '',
    version: 1,
    program: '',
    intent: '',
    made: 0,
    result: '',
  };
  rows.keep([row]);
  rows.read(row);
  expect(count).toBe(1);
  rows.forget(1);
  rows.read(row);
  expect(count).toBe(2);
});

test('what is being taken away counts as not made, also where it is known', () => {
  const { ledger } = countedLedger();
  const entry = ledger.intend(HOST_OWNER, 'forwarding', '', INTENTS.forwarding);
  ledger.made(entry, RESULTS.forwarding);
  expect(ledger.of(HOST_OWNER)[0]?.made).toBe(true);
  {
    using _leaving = ledger.leaving([entry]);
    expect(ledger.of(HOST_OWNER)[0]?.made).toBe(false);
    expect(ledger.find(HOST_OWNER, 'forwarding', '')?.made).toBe(false);
  }
  expect(ledger.of(HOST_OWNER)[0]?.made).toBe(true);
});
