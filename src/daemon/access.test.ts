import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { digestOf } from '../api/token-gate.ts';
import { Fault } from '../domain/fault.ts';
import { clock as realClock } from '../host/clock.ts';
import { accessWarnings } from './access-warnings.ts';
import { configure, type Flags, httpEndpoints } from './config.ts';
import { checkedText } from './describe.ts';
import { parseTokens, tokensFor } from './tokens.ts';

vi.setConfig({ testTimeout: 60_000 });

const SECRET = 'kettle-drum-orchard';
const SOCKET = { 'grpc-endpoint': ['unix:///run/x.sock'] };
const settings = (flags: Flags) => configure({ ...SOCKET, ...flags }, {}, undefined);

function scratch(): string {
  const directory = mkdtempSync('/tmp/flt-access-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function fileWith(text: string, mode = 0o600): string {
  const path = `${scratch()}/tokens.yaml`;
  writeFileSync(path, text, { mode });
  return path;
}

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(Fault);
    return error instanceof Fault ? error.message : '';
  }
  return '';
}

describe('what does not go together', () => {
  test.each<[Flags, string]>([
    [{ 'tls-cert': '/c' }, '--tls-cert needs --tls-key'],
    [{ 'tls-key': '/k' }, '--tls-key needs --tls-cert'],
    [{ 'tls-cert': '/c', 'tls-key': '/k', insecure: true }, '--insecure and --tls-cert exclude each other'],
    [{ 'tls-cert': '/c', 'tls-key': '/k', 'tls-client-validate': true }, 'needs --tls-client-ca'],
    [{ 'tls-cert': '/c', 'tls-key': '/k', 'tls-client-ca': '/a' }, 'does nothing without --tls-client-validate'],
    [{ 'tls-client-validate': true, 'tls-client-ca': '/a' }, 'needs TLS'],
    [{ 'basic-auth-token': 'a', 'basic-auth-token-file': '/f' }, 'exclude each other'],
    [{ 'basic-auth-token': 'a b' }, 'printable ASCII'],
    [{ 'tokens-file': 'relative' }, '--tokens-file'],
  ])('%j', (flags, part) => {
    expect(messageOf(() => settings(flags))).toContain(part);
  });

  test('TLS is as good as --insecure for a TCP endpoint, and brings the default of HTTP', () => {
    const configured = configure({ 'tls-cert': '/c', 'tls-key': '/k' }, {}, undefined);
    expect(httpEndpoints(configured)).toEqual(['localhost:8090']);
    expect(messageOf(() => configure({}, {}, undefined))).toContain('--tls-cert');
  });

  test('a secret is not told of when the settings are', () => {
    const configured = settings({ 'basic-auth-token': SECRET });
    for (const format of ['yaml', 'json'] as const) expect(checkedText(configured, format)).not.toContain(SECRET);
    expect(messageOf(() => settings({ 'basic-auth-token': `${SECRET} ` }))).not.toContain(SECRET);
  });

  test.each<[Flags, readonly string[]]>([
    [{}, []],
    [{ insecure: true, 'grpc-endpoint': ['localhost:0'] }, ['rules this host']],
    [{ insecure: true, 'grpc-endpoint': ['localhost:0'], 'tokens-file': '/t' }, ['reads the tokens']],
    [{ 'tls-cert': '/c', 'tls-key': '/k', 'grpc-endpoint': ['localhost:0'] }, ['give --tokens-file']],
    [{ 'tls-cert': '/c', 'tls-key': '/k', 'tls-client-validate': true, 'tls-client-ca': '/a' }, []],
    [{ 'basic-auth-token': 'short' }, ['can be guessed', 'everybody on this host']],
  ])('%j at the start is told of', (flags, parts) => {
    const warnings = accessWarnings(settings(flags));
    expect(warnings).toEqual(parts.map((part) => expect.stringContaining(part)));
  });
});

describe('the file with tokens', () => {
  const parse = (text: string) => parseTokens(Buffer.from(text), 'F');

  test('names tokens, or their digests, with rights and a namespace', () => {
    const sha256 = Buffer.from(digestOf('of another token')).toString('hex');
    const text = `- {name: ci, token: ${SECRET}, access: read-write, namespace: team}\n- name: eye\n  sha256: "${sha256}"\n  access: read-only\n`;
    expect(parse(text)).toEqual([
      { name: 'ci', digest: digestOf(SECRET), access: 'read-write', namespace: 'team' },
      { name: 'eye', digest: Buffer.from(digestOf('of another token')), access: 'read-only' },
    ]);
    expect(parse('[]')).toEqual([]);
  });

  test.each([
    ['', 'must be a YAML list'],
    ['a: 1', 'must be a YAML list'],
    [`- {name: a, token: [${SECRET}`, 'it is no YAML (BAD_INDENT in line 1)'],
    [`- {name: a, token: *${SECRET}, access: read-only}`, 'it is no YAML'],
    [`- ${SECRET}`, '[0]: '],
    [`- {name: a, token: ${SECRET}}`, '[0].access: must be read-only or read-write'],
    [`- {name: a, token: ${SECRET}, access: all}`, '[0].access: must be read-only or read-write'],
    [`- {name: "a b", token: ${SECRET}, access: read-only}`, '[0].name: '],
    ['- {name: a, token: short, access: read-only}', 'at least 16 characters'],
    ['- {name: a, token: 12345678901234567, access: read-only}', 'put it in quotes'],
    ['- {name: a, access: read-only}', 'needs token or sha256'],
    [`- {name: a, token: ${SECRET}, sha256: ${'a'.repeat(64)}, access: read-only}`, 'needs token or sha256'],
    [`- {name: a, token: ${SECRET}, access: read-only, ns: x}`, 'Unrecognized key: "ns"'],
  ])('%j is refused, and nothing of it told', (text, part) => {
    const message = messageOf(() => parse(text));
    expect(message).toContain('Cannot use --tokens-file F: ');
    expect(message).toContain(part);
    expect(message).not.toContain(SECRET);
  });

  test.each([
    [
      `- {name: a, token: ${SECRET}, access: read-only}\n- {name: b, token: ${SECRET}, access: read-write}`,
      'same token',
    ],
    [
      `- {name: a, token: ${SECRET}, access: read-only}\n- {name: a, token: ${SECRET}2, access: read-only}`,
      'given twice',
    ],
  ])('twins are refused: %j', (text, part) => {
    const config = settings({ 'tokens-file': fileWith(text) }).config;
    expect(messageOf(() => tokensFor(config, { log: memoryLog(), clock: new FakeClock() }))).toContain(part);
  });

  test('must be its owner’s alone, and there', () => {
    const start = (path: string) =>
      messageOf(() =>
        tokensFor(settings({ 'tokens-file': path }).config, { log: memoryLog(), clock: new FakeClock() }),
      );
    const open = fileWith('[]', 0o600);
    chmodSync(open, 0o640);
    expect(start(open)).toContain(`others can read or change it: chmod 0600 ${open}`);
    expect(start('/nowhere/tokens')).toContain('there is no such file');
    expect(start('/tmp')).toContain('it is no file');
  });

  test('is read again when it changes; a token that is gone or changed ends what it began', async () => {
    const line = (name: string, access: string): string =>
      `- {name: ${name}, token: ${SECRET}-${name}, access: ${access}}\n`;
    const path = fileWith(line('a', 'read-write') + line('b', 'read-write') + line('c', 'read-only'));
    const log = memoryLog();
    const tokens = tokensFor(settings({ 'tokens-file': path }).config, { log, clock: realClock });
    onTestFinished(() => tokens?.close());
    const before = tokens?.current() ?? [];
    writeFileSync(path, line('a', 'read-write') + line('b', 'read-only') + line('d', 'read-only'));
    await expect.poll(() => tokens?.current().map(({ name }) => name), { timeout: 20_000 }).toEqual(['a', 'b', 'd']);
    expect(before.map(({ withdrawn }) => withdrawn.aborted)).toEqual([false, true, true]);
    expect(JSON.stringify(log.lines)).not.toContain(SECRET);
  });
});
