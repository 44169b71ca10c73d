import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { MicroVMSchema } from '../../src/gen/types/microvm_pb.ts';
import { interfaces } from './interfaces.ts';
import { kernel } from './kernel.ts';
import { kernelNamed } from './kernel-named.ts';
import { machine } from './machine.ts';
import { metadata } from './metadata.ts';
import { optionsOf, Usage } from './options.ts';
import { judge } from './play.ts';
import { reportsIn } from './report.ts';
import { type GuestRow, judged, type Seen } from './row.ts';
import { table } from './table.ts';
import { volumes } from './volumes.ts';
import { worksOf } from './work.ts';

const GROUPS = { machine, kernel, volumes, interfaces, metadata };

const CONSOLE = `Linux version 6.1
report: initrd=well-known\r
/ # report: begin=1\r
report: cpus=2\r
report: disk=vda ro=0 bytes=1024\r
report: disk=vdb ro=1 bytes=2048\r
report: end=4\r
flintlock-guest: run exit=0\r
report: begin=2\r
report: cpus=4\r
report: end=3\r
report: begin=3\r
report: cpus=8
report: end=2
`;

function seen(console = CONSOLE): Seen {
  const reports = reportsIn(console);
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

test('of a console all reports are read that came through whole', () => {
  const [first, second, ...others] = reportsIn(CONSOLE);
  expect(others).toEqual([]);
  expect(first?.text('cpus')).toBe('2');
  expect(second?.text('cpus')).toBe('8'); // between them one lost a line
  expect(first?.value('disk', 'vdb', 'bytes')).toBe('2048');
  expect(first?.text('initrd')).toBe('well-known');
  expect(second?.text('initrd')).toBe('nothing');
  expect(first?.value('disk', 'vdz', 'ro')).toBe('nothing');
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

test('a judge that fails is a row that is wrong', () => {
  const broken = row({
    guest: () => {
      throw new Error('no such thing');
    },
  });
  expect(judge(broken, seen())).toMatchObject({ ok: false, seen_in_guest: 'no such thing' });
});

test('every row has a name of its own, in its group', () => {
  for (const [name, { scenes, refused }] of Object.entries(GROUPS)) {
    const rows = [...scenes.flatMap((scene) => scene.rows), ...refused].map((one) => one.row);
    expect(rows.length, name).toBeGreaterThan(0);
  }
  const all = worksOf(GROUPS, /(?:)/).flatMap(({ rows }) => rows);
  expect(new Set(all).size).toBe(all.length);
  for (const one of all) expect(one).toMatch(/^(machine|kernel|volumes|interfaces|metadata)\/[\w.-]+$/);
});

test('rows are chosen by their name, and no scene is played for none', () => {
  const works = worksOf(GROUPS, /^volumes\/copy-on-write$/);
  expect(works.map(({ name, rows }) => [name, rows])).toEqual([['copies', ['volumes/copy-on-write']]]);
  expect(worksOf(GROUPS, /nothing is named so/)).toEqual([]);
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
