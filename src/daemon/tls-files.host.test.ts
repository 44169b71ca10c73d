import { chmodSync, copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Authority } from '../../test/support/certificates.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { errorMessage } from '../base/error-text.ts';
import { clock as realClock } from '../host/clock.ts';
import { configure, type Flags } from './config.ts';
import { tlsOf } from './tls-files.ts';

const settings = (flags: Flags) => configure({ 'grpc-endpoint': ['unix:///run/x.sock'], ...flags }, {}, undefined);

function scratch(): string {
  const directory = mkdtempSync('/tmp/flt-access-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return errorMessage(error);
  }
  return '';
}

describe('the certificate', () => {
  function pairIn(authority: Authority, name: string) {
    const directory = scratch();
    const paths = { cert: `${directory}/tls.crt`, key: `${directory}/tls.key` };
    const put = (called: string): void => {
      const { certFile, keyFile } = authority.issue(called);
      copyFileSync(certFile, `${paths.cert}.new`);
      copyFileSync(keyFile, `${paths.key}.new`);
      renameSync(`${paths.cert}.new`, paths.cert);
      renameSync(`${paths.key}.new`, paths.key);
    };
    put(name);
    return { ...paths, directory, put };
  }

  test('is served as it changes; what is broken leaves the old one in force, and is told once', async () => {
    const authority = new Authority();
    const { cert, key, directory, put } = pairIn(authority, 'first');
    const log = memoryLog();
    const tls = tlsOf(settings({ 'tls-cert': cert, 'tls-key': key }).config, { log, clock: realClock });
    onTestFinished(() => tls?.close());
    let changes = 0;
    tls?.onChange(() => changes++);
    const first = tls?.current().cert;

    copyFileSync(authority.own.keyFile, key); // of another certificate
    const errors = () => log.lines.filter(({ level }) => level === 'error');
    await expect.poll(errors, { timeout: 20_000 }).toHaveLength(1);
    expect(errors()[0]).toMatchObject({
      message: expect.stringContaining('stays in force'),
      fields: { why: expect.stringContaining('do not go together') },
    });
    tls?.look(); // nothing has changed since
    writeFileSync(`${directory}/other`, ''); // nor has this to do with it
    expect([tls?.current().cert, changes]).toEqual([first, 0]);

    put('second');
    await expect.poll(() => changes, { timeout: 20_000 }).toBe(1);
    expect(tls?.current().cert).not.toEqual(first);
    expect(errors()).toHaveLength(1);
  });

  test.each<[string, (paths: { cert: string; key: string; other: string }) => Flags, string]>([
    [
      'that is not there',
      ({ key }) => ({ 'tls-cert': '/nowhere.pem', 'tls-key': key }),
      '--tls-cert /nowhere.pem: there is no such',
    ],
    ['that is a key', ({ key }) => ({ 'tls-cert': key, 'tls-key': key }), 'there is no PEM certificate in it'],
    ['without its key', ({ cert, other }) => ({ 'tls-cert': cert, 'tls-key': other }), 'do not go together'],
    [
      'with a CA that is a key',
      ({ cert, key }) => ({ 'tls-cert': cert, 'tls-key': key, 'tls-client-validate': true, 'tls-client-ca': key }),
      `there is no PEM certificate in it`,
    ],
  ])('%s is refused at the start', (_, flagsOf, part) => {
    const authority = new Authority();
    const { certFile: cert, keyFile: key } = authority.issue('host');
    const { config } = settings(flagsOf({ cert, key, other: authority.own.keyFile }));
    expect(messageOf(() => tlsOf(config, { log: memoryLog(), clock: new FakeClock() }))).toContain(part);
  });

  test('whose key others can read is refused, one that has expired is warned of', () => {
    const authority = new Authority();
    const { certFile: cert, keyFile: key } = authority.issue('host', { days: -1 });
    const { config } = settings({ 'tls-cert': cert, 'tls-key': key });
    const log = memoryLog();
    tlsOf(config, { log, clock: realClock })?.close();
    expect(log.lines).toMatchObject([{ level: 'warn', message: expect.stringContaining('has expired') }]);
    chmodSync(key, 0o644);
    expect(messageOf(() => tlsOf(config, { log, clock: realClock }))).toContain(`chmod o= ${key}`);
  });
});
