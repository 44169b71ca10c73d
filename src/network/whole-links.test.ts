import { expect, test } from 'vitest';
import { ownedBy } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { cutOffFlaws, parseWholeLinks } from './whole-links.ts';

const device = 'flabcd0';
const ledger = memoryLedger();
ledger.made(ledger.intend(ownedBy('uid-1'), 'tap', '', { device, bridge: 'flabcdbr', alias: 'a' }), {
  ...{ index: 7, mac: '02:00:00:00:00:01' },
});
const linked = (flags: readonly string[], ifindex: number) =>
  parseWholeLinks(JSON.stringify([{ ifindex, ifname: device, flags, linkinfo: { info_kind: 'tun' } }]));

test.for<
  readonly [
    what: string,
    flags: readonly string[],
    opened: readonly string[] | undefined,
    isCutOff: boolean,
    index?: number,
  ]
>([
  ['the VMM has it open', ['UP', 'LOWER_UP'], [device], false],
  ['the one that the VMM has open was deleted', ['UP', 'NO-CARRIER'], [''], true],
  ['the one that the VMM has open was deleted, another is there', ['UP', 'NO-CARRIER'], ['flabcd1', ''], true],
  ['the VMM has none open', ['UP', 'NO-CARRIER'], [], false],
  ['the VMM has let go of it, and another was made', ['UP', 'NO-CARRIER'], [], true, 9],
  ['the VMM was started with the other', ['UP', 'LOWER_UP'], [device], false, 9],
  ['the VMM cannot be looked at', ['UP', 'NO-CARRIER'], undefined, false],
  ['it is down, which is told by itself', [], [''], false],
])('%s', async ([, flags, opened, isCutOff, index = 7]) => {
  const [tap] = ledger.ofKind('tap');
  if (!tap) throw new Error('there is no tap');
  const flaws = await cutOffFlaws(tap, linked(flags, index), async () => opened);
  expect(flaws.map(({ owner, isLasting, cutOff }) => ({ owner, isLasting, cutOff }))).toEqual(
    isCutOff ? [{ owner: 'uid-1', isLasting: true, cutOff: device }] : [],
  );
});

test.for<readonly [what: string, flags: readonly string[], port: object, wanted: readonly string[]]>([
  ['a port as it was made', ['UP', 'LOWER_UP'], { state: 'forwarding', learning: true, isolated: false }, []],
  ['one that was switched off', ['UP', 'LOWER_UP'], { state: 'disabled' }, ['state 3']],
  ['one that nobody has open', ['UP', 'NO-CARRIER'], { state: 'disabled' }, []],
  ['one that is set apart', ['UP'], { isolated: true, flood: false }, ['isolated off', 'flood on']],
])('%s', ([, flags, port, wanted]) => {
  const linkinfo = { info_kind: 'tun', info_slave_kind: 'bridge', info_slave_data: port };
  const [link] = parseWholeLinks(JSON.stringify([{ ifindex: 7, ifname: device, flags, linkinfo }]));
  expect(link?.port?.setApart).toEqual(wanted);
});
