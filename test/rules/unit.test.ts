import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
/** Of unshare(1) and nsenter(1), and how systemd.exec(5) calls them. */
const NAMESPACES: Readonly<Record<string, string>> = { net: 'net', mount: 'mnt', pid: 'pid', ipc: 'ipc', uts: 'uts' };

/** What is in the groups that the unit takes away, of what exists on this CPU (systemd 252, systemd-analyze syscall-filter). */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  '@clock': ['adjtimex', 'clock_adjtime', 'clock_settime', 'settimeofday'],
  '@cpu-emulation': ['modify_ldt'],
  '@debug': ['lookup_dcookie', 'perf_event_open', 'pidfd_getfd', 'ptrace'],
  '@module': ['delete_module', 'finit_module', 'init_module'],
  '@obsolete': ['_sysctl', 'create_module', 'get_kernel_syms', 'query_module', 'uselib', 'ustat', 'vserver'],
  '@raw-io': ['ioperm', 'iopl'],
  '@reboot': ['kexec_file_load', 'kexec_load', 'reboot'],
  '@swap': ['swapoff', 'swapon'],
};

test('the unit lets perl make the system calls that it makes by their numbers', () => {
  const unit = readFileSync(join(ROOT, 'packaging/systemd/flintlockd.service'), 'utf8');
  const lines = [...unit.matchAll(/^SystemCallFilter=(~?)(.*)$/gm)];
  const of = (sign: string) =>
    lines.filter(([, taken]) => taken === sign).flatMap(([, , words = '']) => words.split(' '));
  expect(of('~').filter((group) => GROUPS[group] === undefined)).toEqual([]);
  const taken = of('~')
    .flatMap((group) => GROUPS[group] ?? [])
    .filter((call) => !of('').includes(call));
  const made = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .flatMap((name) => [...readFileSync(join(ROOT, 'src', name), 'utf8').matchAll(/SYS_(\w+)(?: =>|:) \d+/g)])
    .map(([, call = '']) => call);
  expect(made).toContain('pidfd_getfd');
  expect(made.filter((call) => taken.includes(call))).toEqual([]);
});

test('the unit lets the daemon make the namespaces that it makes, and no others', () => {
  const texts = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    // The doctor is run from a shell.
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('doctor/'))
    .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'));
  const byTools = texts
    .flatMap((text) => [...text.matchAll(/\['(?:unshare|nsenter)'((?:, ['`]--[a-z]+[^,]*)+)/g)])
    .flatMap(([, flags = '']) =>
      [...flags.matchAll(/['`]--([a-z]+)/g)].map(([, flag = '']) => NAMESPACES[flag] ?? flag),
    );
  // What perl makes by a system call.
  const byCalls = texts.some((text) => text.includes('CLONE_NEWNS')) ? ['mnt'] : [];
  const unit = readFileSync(join(ROOT, 'packaging/systemd/flintlockd.service'), 'utf8');
  const allowed = /^RestrictNamespaces=(.*)$/m.exec(unit)?.[1]?.split(' ');
  expect(byTools.length).toBeGreaterThan(1);
  expect(allowed?.toSorted()).toEqual([...new Set([...byTools, ...byCalls])].toSorted());
});
