import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
/** Of unshare(1) and nsenter(1), and how systemd.exec(5) calls them. */
const NAMESPACES: Readonly<Record<string, string>> = { net: 'net', mount: 'mnt', pid: 'pid', ipc: 'ipc', uts: 'uts' };

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
