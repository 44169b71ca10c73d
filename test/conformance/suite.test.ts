import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { file_types_microvm, MicroVMSchema } from '../../src/gen/types/microvm_pb.ts';
import { PROVED_FIELDS, proofOf } from './fields.ts';
import { GROUPS, rowNames } from './groups.ts';
import type { Images } from './images.ts';
import { kernelNamed } from './kernel-named.ts';
import type { Lab } from './lab.ts';
import { optionsOf, Usage } from './options.ts';
import { judge } from './play.ts';
import { heardOn } from './report.ts';
import { judgeRequest } from './requested.ts';
import { type GuestRow, judged, type Seen } from './row.ts';
import { table } from './table.ts';
import { doAll, type Work, worksOf } from './work.ts';

/** As report.sh writes it. */
function reported(...lines: readonly string[]): string {
  const sum = createHash('md5')
    .update(lines.map((line) => `${line}\n`).join(''))
    .digest('hex');
  return [...lines, `end=${lines.length} ${sum}`].map((line) => `report: ${line}\r\n`).join('');
}

const CONSOLE = `Linux version 6.1
report: initrd=well-known\r
/ # ${reported('begin=1', 'cpus=2', 'disk=vda ro=0 bytes=1024', 'disk=vdb ro=1 bytes=2048', 'text=vdb ./x  two  ')}\
flintlock-guest: run exit=0\r
${reported('begin=2', 'cpus=8')}report: begin=3\r
`;

function seen(console = CONSOLE): Seen {
  const { reports } = heardOn(console);
  const [report] = reports;
  if (!report) throw new Error('no report');
  const record = create(MicroVMSchema);
  return { report, reports, console, record, host: { links: [], at: {} }, guests: {}, notes: {} };
}

const row = (change: Partial<GuestRow> = {}): GuestRow => ({
  row: 'a/b',
  expected: '2',
  guest: ({ report }) => report.text('cpus'),
  ...change,
});

test('of a console every report is read', () => {
  const { reports, broken, isUnfinished } = heardOn(CONSOLE);
  const [first, second, ...others] = reports;
  expect([broken, isUnfinished]).toEqual([0, true]);
  expect(others).toEqual([]); // the third has not ended yet
  expect(heardOn(CONSOLE.slice(0, CONSOLE.indexOf('report: begin=3') - 10)).reports).toHaveLength(1); // nor the second
  expect(first?.text('cpus')).toBe('2');
  expect(second?.text('cpus')).toBe('8');
  expect(first?.value('disk', 'vdb', 'bytes')).toBe('2048');
  expect(first?.text('initrd')).toBe('well-known');
  expect(second?.text('initrd')).toBe('nothing');
  expect(first?.value('disk', 'vdz', 'ro')).toBe('nothing');
});

test.each([
  ['a letter twice', CONSOLE.replace('cpus=8', 'cpus=88')],
  ['a letter twice in what begins a line', CONSOLE.replace('report: cpus=8', 'reeport: cpus=8')],
  ['a line less', CONSOLE.replace('report: cpus=8\r\n', '')],
])('a report with %s is nobody’s word', (_, console) => {
  const { reports, broken } = heardOn(console);
  expect(reports.map((report) => report.text('begin'))).toEqual(['1']);
  expect(broken).toBe(1);
  // Said again it is one, and said twice it is not two.
  const again = reported('begin=2', 'cpus=8');
  const healed = heardOn(console + again + again).reports;
  expect(healed.map((report) => report.text('cpus'))).toEqual(['2', '8']);
});

test('a report whose end is broken has not ended, until it is said again', () => {
  const lost = heardOn(CONSOLE.replace(/report: end=2/, 'report: eend=2'));
  expect(lost).toMatchObject({ broken: 0, isUnfinished: true });
  const again = heardOn(CONSOLE.replace(/report: end=2/, 'report: eend=2') + reported('begin=2', 'cpus=8'));
  expect(again.reports.map((report) => report.text('begin'))).toEqual(['1', '2']);
});

test('a row is ok when the guest says what is expected, and so does the host', () => {
  expect(judge(row(), seen())).toEqual({
    row: 'a/b',
    ok: true,
    basis: 'guest',
    expected: '2',
    seen_in_guest: '2',
    seen_on_host: '',
    evidence: ['report: cpus=2'],
  });
  expect(judge(row({ expected: '3' }), seen()).ok).toBe(false);
  expect(judge(row({ host: () => '3' }), seen())).toMatchObject({ ok: false, seen_on_host: '3' });
  expect(judge(row({ host: () => judged(true, 'as told') }), seen())).toMatchObject({ ok: true });
  expect(judge(row({ guest: ({ report }) => judged(false, report.text('cpus')) }), seen()).ok).toBe(false);
});

test('a row that asked the guest nothing proves nothing', () => {
  expect(judge(row({ guest: () => '2' }), seen())).toMatchObject({ ok: false, evidence: [] });
});

test('without a guest what the VMM was told stands for it, and what the host sees is judged', () => {
  const told = ['disk vda ro=0 sectors=8'];
  const judgeIt = (more: Partial<GuestRow>) => judgeRequest(row(more), seen(), told);
  expect(judgeIt({ host: () => '2' })).toMatchObject({
    ok: true,
    basis: 'request',
    seen_in_guest: null,
    evidence: told,
  });
  expect(judgeIt({ host: () => '3' })).toMatchObject({ ok: false, seen_on_host: '3' });
  expect(judgeIt({})).toMatchObject({ ok: true, seen_in_guest: null, seen_on_host: told[0] });
  expect(judgeRequest(row(), seen(), [])).toMatchObject({ ok: false });
});

test('a judge that fails is a row that is wrong', () => {
  const broken = row({
    guest: () => {
      throw new Error('no such thing');
    },
  });
  expect(judge(broken, seen())).toMatchObject({ ok: false, seen_in_guest: 'no such thing' });
});

test('every row has a name of its own, of a group', () => {
  const works = worksOf(GROUPS, /(?:)/).flatMap(({ rows }) => rows);
  expect(new Set(works).size).toBe(works.length);
  expect(works.toSorted()).toEqual(rowNames().toSorted()); // none is outside of all groups
  for (const one of works) expect(one).toMatch(/^[\w-]+\/[\w.-]+$/);
});

test('every field of spec and status is proved, by rows that there are or by a file that there is', () => {
  const fields = file_types_microvm.messages.flatMap(({ name, fields }) =>
    fields.map((field) => `${name}.${field.name}`),
  );
  expect(PROVED_FIELDS.toSorted()).toEqual(fields.toSorted());
  const proofs = fields.map((field) => [field, proofOf(field)] as const);
  for (const [field, proof] of proofs) {
    if (!proof) expect.unreachable(`${field} has no proof`);
    else if ('rows' in proof) expect(proof.rows, field).not.toEqual([]);
    else if (proof.other.endsWith('.ts')) expect(existsSync(proof.other), proof.other).toBe(true);
  }
  const rows = new Set(proofs.flatMap(([, proof]) => (proof && 'rows' in proof ? proof.rows : [])));
  expect(rowNames().filter((row) => !rows.has(row))).toEqual([]);
});

test('rows are chosen by their name, and no scene is played for none', () => {
  const works = worksOf(GROUPS, /^volumes\/copy-on-write$/);
  expect(works.map(({ name, rows }) => [name, rows])).toEqual([['copies', ['volumes/copy-on-write']]]);
  expect(worksOf(GROUPS, /nothing is named so/)).toEqual([]);
});

test('what a sample leaves out, others stand for', () => {
  const works = worksOf(GROUPS, /(?:)/);
  const [left, kept] = [true, false].map((isLeft) =>
    works.filter(({ leftToProofs }) => leftToProofs === isLeft).flatMap(({ rows }) => rows),
  );
  expect(left).not.toEqual([]);
  // Of Debian 13 as others build it, each; the static address is one of cloud-init's own group.
  for (const row of left ?? [])
    expect(kept).toContain(
      row.replace(/^stock\/(bookworm|trixie)-/, row.endsWith('-address-static') ? 'cloud-init/' : 'stock/built-'),
    );
  expect([optionsOf(['--sample']).sample, optionsOf([]).sample]).toEqual([true, false]);
});

test('a scene that was not in time is tried once more where that is wanted, and never in silence', async () => {
  const lab = { close: async () => undefined } as unknown as Lab;
  const images = {} as Images;
  const run = async (ends: readonly ('late' | 'wrong' | 'ok')[], isWanted: boolean) => {
    const left = [...ends];
    const said: string[] = [];
    const work: Work = {
      ...{ name: 'one', alone: false, hasParent: true, slow: false, leftToProofs: false, rows: ['a/b'] },
      run: async () => {
        const end = left.shift();
        const result = judge(row({ expected: end === 'ok' ? '2' : 'else' }), seen());
        return { results: [result], ...(end === 'late' && { late: 'no report' }) };
      },
    };
    const again = isWanted ? (_: Work, late: string): void => void said.push(late) : undefined;
    const results = await doAll(
      [work],
      images,
      1,
      async () => lab,
      () => undefined,
      again,
    );
    return { said, left: left.length, results: results.map((r) => [r.ok, r.tried_again_after]), text: table(results) };
  };
  const healed = await run(['late', 'ok', 'ok'], true);
  expect(healed).toMatchObject({ said: ['no report'], left: 1, results: [[true, 'no report']] });
  expect(healed.text).toContain('all ok, 1 at the second try, for want of time\n');
  expect(await run(['late', 'late', 'ok'], true)).toMatchObject({ left: 1, results: [[false, 'no report']] });
  expect(await run(['wrong', 'ok'], true)).toMatchObject({ said: [], left: 1, results: [[false, undefined]] });
  expect(await run(['late', 'ok'], false)).toMatchObject({ said: [], left: 1, results: [[false, undefined]] });
});

test('the table shows every row, and of what is wrong what the guest said', () => {
  const text = table([judge(row(), seen()), judge(row({ row: 'a/c', expected: 'x'.repeat(60) }), seen())]);
  expect(text).toContain('a/b | 2');
  expect(text).toContain(`WRONG a/c\n  expected:      ${'x'.repeat(60)}\n`);
  expect(text).toContain('  | report: cpus=2\n');
  expect(text).toContain('2 rows (2 by guest, 0 by request, 0 by refused): 1 wrong\n');
});

test('options', () => {
  expect(optionsOf([])).toMatchObject({ parallel: 2, json: false, provider: '' });
  expect(optionsOf(['--parallel', '4', '-o', 'json', '--only', '^a'])).toMatchObject({ parallel: 4, json: true });
  for (const wrong of [['--parallel', '0'], ['-o', 'yaml'], ['--only', '('], ['--what'], ['word']])
    expect(() => optionsOf(wrong)).toThrow(Usage);
});

test('a kernel is given another name, and nothing else is changed', () => {
  const field = (text: string): Buffer => Buffer.concat([Buffer.from(text), Buffer.alloc(65 - text.length)]);
  const names = ['Linux', '(none)', '6.1.0', '#1 SMP', 'x86_64', '(none)'].map(field);
  const before = Buffer.concat([Buffer.alloc(100, 1), ...names, Buffer.alloc(100, 2)]);
  const after = kernelNamed(before, 'mine');
  expect(after.subarray(100 + 3 * 65, 100 + 4 * 65)).toEqual(field('#1 mine'));
  field('#1 SMP').copy(after, 100 + 3 * 65);
  expect(after).toEqual(before);
  expect(() => kernelNamed(Buffer.alloc(1000), 'mine')).toThrow('no struct new_utsname');
});
