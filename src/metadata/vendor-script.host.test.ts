import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { reportIn } from '../domain/guest-report.ts';
import { vendorScript } from './vendor-script.ts';

const LO = '00:00:00:00:00:00';

/** What it says on this host, whose interface `lo` and mounts it looks at. */
function said(...args: Parameters<typeof vendorScript>): string {
  const at = mkdtempSync(join(tmpdir(), 'flt-script-'));
  onTestFinished(() => rmSync(at, { recursive: true }));
  const script = vendorScript(...args)
    .replaceAll('/dev/console', join(at, 'console'))
    .replaceAll('sleep 1', ':')
    .replaceAll('/var/lib/cloud', at);
  writeFileSync(join(at, 'script'), script);
  execFileSync('/bin/sh', ['-eu', join(at, 'script')]);
  execFileSync(join(at, 'scripts/per-boot/flintlock-configured'));
  return readFileSync(join(at, 'console'), 'utf8');
}

test('what is in place is said to be, and what is not failed', () => {
  const nics = [
    { name: 'lo', mac: LO, fixed: { address: '127.0.0.1/8', dns: [] } },
    { name: 'lo', mac: LO },
    { name: 'lo', mac: LO, fixed: { address: '127.0.0.1/16', dns: [] } },
    { name: 'lo', mac: '02:00:00:00:00:01' },
    { name: 'nothere0', mac: LO },
  ];
  const mounts = [
    { path: "/it's \\n $(id) `id`", device: 'vdz', isReadOnly: false },
    { path: '/', device: 'null', isReadOnly: true },
  ];
  expect(said(nics, mounts)).toBe(
    'flintlock-guest: configured nics=lo:127.0.0.1/8,lo:dhcp,lo:failed,lo:failed,nothere0:failed ' +
      'mounts=/it%27s%20%5Cn%20%24%28id%29%20%60id%60:failed,/:failed\n',
  );
});

test('the daemon understands what it says', () => {
  const nics = [{ name: 'lo', mac: LO, fixed: { address: '127.0.0.1/8', dns: [] } }];
  expect(reportIn(said(nics, []), { nics, mounts: [], hasMetadata: true })?.status).toBe('True');
  const mounts = [{ path: '/a b', device: 'vdz', isReadOnly: false }];
  expect(reportIn(said([], mounts), { nics: [], mounts, hasMetadata: true })).toMatchObject({ status: 'False' });
});

test('a mount is in place where its path lies on its device', () => {
  // A file system of any device, whose number a device of that number would have.
  const at = mkdtempSync(join(tmpdir(), 'flt-device-'));
  onTestFinished(() => rmSync(at, { recursive: true }));
  const [major = '', minor = ''] = execFileSync('mountpoint', ['-d', '/'], { encoding: 'utf8' }).trim().split(':');
  execFileSync('mknod', [join(at, 'vdb'), 'b', major, minor]);
  const script = (path: string) => said([], [{ path, device: `..${at}/vdb`, isReadOnly: true }]);
  expect(script('/')).toBe('flintlock-guest: configured nics=none mounts=/:ro\n');
  expect(script('/proc')).toBe('flintlock-guest: configured nics=none mounts=/proc:failed\n');
});

test('where nothing is asked there is none', () => {
  expect(vendorScript([{ name: 'eth0', mac: LO }], [])).toBe('');
});
