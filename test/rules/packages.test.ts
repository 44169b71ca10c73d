import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
type Row = readonly [name: string, why: string, probe: string];
interface Packages {
  readonly NEEDED: readonly Row[];
  readonly ELSEWHERE: Readonly<Record<string, { readonly names: Readonly<Record<string, string>> }>>;
  describeElsewhere(os: Readonly<Record<string, string>>, packages: readonly Row[]): readonly string[];
}
const path = join(ROOT, 'scripts/packages.mjs');
const { NEEDED, ELSEWHERE, describeElsewhere } = (await import(path)) as Packages;

test('docs/installing.md names the packages that the set-up installs', () => {
  const text = readFileSync(join(ROOT, 'docs/installing.md'), 'utf8');
  const [, named = ''] = /apt-get install -y ((?:[^\n]*\\\n)*[^\n]*)/.exec(text) ?? [];
  expect(named.split(/[\s\\]+/).toSorted()).toEqual(NEEDED.map(([name]) => name).toSorted());
});

test('other distributions are told what to install by their own names', () => {
  const fedora = describeElsewhere({ ID: 'fedora', PRETTY_NAME: 'Fedora Linux 43' }, NEEDED).join('\n');
  expect(fedora).toContain('this is Fedora Linux 43');
  expect(fedora).toMatch(/sudo dnf install libatomic qemu-system-x86 .*\biproute\b.*\bxz\b.*\bbusybox$/m);
  const arch = describeElsewhere({ ID: 'manjaro', ID_LIKE: 'arch' }, NEEDED).join('\n');
  expect(arch).toMatch(/sudo pacman -S --needed gcc-libs .*\bxz\b.*\bbusybox$/m);
  expect(arch).toContain('and umoci from the AUR');
  const ubuntu = describeElsewhere({ ID: 'ubuntu' }, NEEDED).join('\n');
  expect(ubuntu).toMatch(/sudo apt-get install .*\bdnsmasq-utils\b.*\bbusybox-static$/m);
  const unknown = describeElsewhere({ ID: 'plan9' }, NEEDED).join('\n');
  expect(unknown).toContain('what these Debian packages hold');
  const suse = describeElsewhere({ ID: 'opensuse-tumbleweed', ID_LIKE: 'opensuse suse' }, NEEDED).join('\n');
  expect(suse).toMatch(/sudo zypper install .*\bqemu-x86\b.*\bdnsmasq dnsmasq-utils xz\b.*\bbusybox-static$/m);
  const kali = describeElsewhere({ ID: 'kali', ID_LIKE: 'debian' }, NEEDED).join('\n');
  expect(kali).toMatch(/sudo apt-get install .*\bdnsmasq-utils\b/m);
  const mint = describeElsewhere({ ID: 'linuxmint', ID_LIKE: 'ubuntu debian' }, NEEDED).join('\n');
  expect(mint).toContain('On Ubuntu this installs');
  for (const text of [fedora, arch, ubuntu, unknown, suse, kali, mint]) {
    for (const [name] of NEEDED) expect(text).toContain(name);
    expect(text).toContain('.cache/images');
  }
});

test('where the Node of the lockfile cannot start, nothing is to be installed', () => {
  const alpine = describeElsewhere({ ID: 'alpine', PRETTY_NAME: 'Alpine Linux v3.22' }, NEEDED).join('\n');
  expect(alpine).toContain('Alpine Linux v3.22, whose C library is musl');
  expect(alpine).not.toContain('install what');
});

test('a name elsewhere is that of a package that is needed', () => {
  const needed = readFileSync(path, 'utf8').split('export const ELSEWHERE')[0] ?? '';
  for (const { names } of Object.values(ELSEWHERE))
    for (const name of Object.keys(names)) expect(needed).toContain(`'${name}'`);
});
