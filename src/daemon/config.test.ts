import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { configure, type Flags, httpEndpoints } from './config.ts';
import { environmentName, SETTING_NAMES, settingOf } from './settings.ts';

function file(text: string): string {
  const directory = mkdtempSync('/tmp/flt-config-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(`${directory}/config.yaml`, text);
  return `${directory}/config.yaml`;
}

const SOCKET = { 'grpc-endpoint': ['unix:///run/x.sock'] };
/** With what would else be refused allowed. */
const configured = (flags: Flags = {}, environment: NodeJS.ProcessEnv = {}, path?: string) =>
  configure({ insecure: true, ...flags }, environment, path);
function wrongIn(...args: Parameters<typeof configure>): string {
  try {
    configure(...args);
    return '';
  } catch (error) {
    expect(error).toBeInstanceOf(Fault);
    expect(error).toMatchObject({ kind: 'invalid' });
    return error instanceof Fault ? error.message : '';
  }
}

describe('what is in force', () => {
  test('is the default where nothing is given', () => {
    const { config, sources } = configured();
    expect(config).toMatchObject({
      'state-dir': '/var/lib/flintlock',
      'run-dir': '/run/flintlock',
      'grpc-endpoint': ['localhost:9090'],
      'vmm-uid-range': 'auto',
      'retain-deleted': 86_400_000,
      'maximum-retry': 10,
      'managed-network': 'auto',
    });
    expect(sources['state-dir']).toBe('default');
  });

  test('is the flag before the environment before the file', () => {
    const path = file('state-dir: /file\nrun-dir: /file\nqemu-bin: file\nmaximum-retry: 3');
    const environment = { FLINTLOCKD_STATE_DIR: '/environment', FLINTLOCKD_RUN_DIR: '/environment' };
    const { config, sources } = configured({ 'state-dir': '/flag' }, environment, path);
    expect(config).toMatchObject({
      'state-dir': '/flag',
      'run-dir': '/environment',
      'qemu-bin': 'file',
      'maximum-retry': 3,
    });
    expect(sources).toMatchObject({
      'state-dir': 'flag',
      'run-dir': 'environment',
      'qemu-bin': 'file',
      'qemu-accel': 'default',
    });
  });

  test('is not what is empty in the environment or null in the file', () => {
    const { sources } = configured({}, { FLINTLOCKD_STATE_DIR: '' }, file('run-dir:\n'));
    expect(sources).toMatchObject({ 'state-dir': 'default', 'run-dir': 'default' });
  });

  test('may be several, each source in its own way', () => {
    expect(configured({ 'image-root': ['/a', '/b'] }).config['image-root']).toEqual(['/a', '/b']);
    expect(configured({}, { FLINTLOCKD_IMAGE_ROOT: '/a,/b' }).config['image-root']).toEqual(['/a', '/b']);
    expect(configured({}, {}, file('image-root: [/a, /b]')).config['image-root']).toEqual(['/a', '/b']);
    expect(configured({}, {}, file('image-root: /a')).config['image-root']).toEqual(['/a']);
  });

  test.each([
    ['true', true],
    ['1', true],
    ['false', false],
    ['0', false],
  ])('FLINTLOCKD_INSECURE=%s is %s', (text, value) => {
    expect(configure(SOCKET, { FLINTLOCKD_INSECURE: text }, undefined).config.insecure).toBe(value);
  });

  test.each([
    ['90s', 90_000],
    ['15m', 900_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['5', 5_000],
    ['250ms', 250],
  ])('the time %s is %d ms', (text, ms) => {
    expect(configured({ 'retain-deleted': text }).config['retain-deleted']).toBe(ms);
  });

  test('is a number in the file where a text is wanted', () => {
    expect(configured({}, {}, file('retain-deleted: 60')).config['retain-deleted']).toBe(60_000);
  });

  test('has directories in one form', () => {
    expect(configured({ 'state-dir': '/a/b//' }).config['state-dir']).toBe('/a/b');
  });

  test('is empty for an empty file', () => {
    expect(configured({}, {}, file('')).sources['state-dir']).toBe('default');
    expect(configured({}, {}, file('# nothing')).sources['state-dir']).toBe('default');
  });
});

describe('what is wrong', () => {
  test.each<[string, Flags]>([
    ['state-dir', { 'state-dir': 'relative' }],
    ['state-dir', { 'state-dir': '/a/../b' }],
    ['run-dir', { 'run-dir': `/${'r'.repeat(64)}` }],
    ['run-dir', { 'run-dir': `/${'ü'.repeat(40)}` }],
    ['image-root', { 'image-root': ['/a', 'b'] }],
    ['managed-network', { 'managed-network': '10.77.0.1/24' }],
    ['managed-network', { 'managed-network': '10.77.0.0/30' }],
    ['managed-network', { 'managed-network': 'nonsense' }],
    ['default-provider', { 'default-provider': 'vmware' }],
    ['default-provider', { 'default-provider': 'qemu,qemu' }],
    ['default-provider', { 'default-provider': '' }],
    ['qemu-accel', { 'qemu-accel': 'hvf' }],
    ['qemu-acpi', { 'qemu-acpi': 'yes' }],
    ['vmm-uid-range', { 'vmm-uid-range': '0-10' }],
    ['vmm-uid-range', { 'vmm-uid-range': '700000' }],
    ['vmm-uid-range', { 'vmm-uid-range': '700010-700000' }],
    ['vmm-uid-range', { 'vmm-uid-range': '700000-4294967295' }],
    ['vmm-uid-range', { 'vmm-uid-range': '65000-66000' }],
    ['vmm-uid-range', { 'vmm-uid-range': 'none' }],
    ['max-memory', { 'max-memory': 'lots' }],
    ['max-memory', { 'max-memory': '0' }],
    ['max-disk', { 'max-disk': '-1' }],
    ['max-vcpu', { 'max-vcpu': '0' }],
    ['max-microvms', { 'max-microvms': 'auto' }],
    ['maximum-retry', { 'maximum-retry': '0' }],
    ['maximum-retry', { 'maximum-retry': 'many' }],
    ['maximum-retry', { 'maximum-retry': '1.5' }],
    ['retain-deleted', { 'retain-deleted': '1 fortnight' }],
    ['verbosity', { verbosity: '-1' }],
    ['log-format', { 'log-format': 'xml' }],
    ['grpc-endpoint', { 'grpc-endpoint': ['ftp://x'] }],
    ['grpc-endpoint', { 'grpc-endpoint': ['localhost:99999'] }],
    ['http-endpoint', { 'http-endpoint': ['nonsense'] }],
    ['insecure-registry', { 'insecure-registry': ['https://x'] }],
  ])('%s: %j is told by its flag', (name, flags) => {
    expect(wrongIn({ insecure: true, ...flags }, {}, undefined)).toContain(`--${name}`);
  });

  test('is told by where it was given', () => {
    expect(wrongIn(SOCKET, { FLINTLOCKD_QEMU_ACCEL: 'x' }, undefined)).toContain('FLINTLOCKD_QEMU_ACCEL: ');
    const path = file('qemu-accel: x');
    expect(wrongIn(SOCKET, {}, path)).toContain(`${path}: qemu-accel: `);
  });

  test('is told all at once, one a line', () => {
    const path = file('colour: red\nqemu-acpi: maybe');
    const message = wrongIn({ 'state-dir': 'x' }, { FLINTLOCKD_VERBOSITY: '99', FLINTLOCKD_COLOR: 'x' }, path);
    for (const part of ['colour', 'qemu-acpi', '--state-dir', 'FLINTLOCKD_VERBOSITY', 'FLINTLOCKD_COLOR'])
      expect(message).toContain(part);
  });

  test.each([
    ['no YAML', 'a: [', 'Cannot read'],
    ['a list', '- a', 'mapping'],
    ['a text', 'hello', 'mapping'],
    ['twice the same', 'run-dir: /a\nrun-dir: /b', 'Cannot read'],
    ['of other keys', '__proto__: 1\nstate_dir: /x', 'state_dir'],
  ])('is a file that is %s', (_, text, part) => {
    expect(wrongIn(SOCKET, {}, file(text))).toContain(part);
  });

  test('is a file that is not there', () => {
    expect(wrongIn(SOCKET, {}, '/nowhere/config.yaml')).toContain('/nowhere/config.yaml');
  });
});

describe('plain text', () => {
  test('is served only when it is allowed, and the refusal says how', () => {
    const message = wrongIn({}, {}, undefined);
    expect(message).toContain('localhost:9090');
    expect(message).toContain('--insecure');
    expect(message).toContain('unix:///');
    expect(wrongIn({ 'http-endpoint': ['localhost:1'], ...SOCKET }, {}, undefined)).toContain('--http-endpoint');
  });

  test('needs no leave on a unix socket, and the default HTTP endpoint is left out then', () => {
    const settings = configure(SOCKET, {}, undefined);
    expect(httpEndpoints(settings)).toEqual([]);
    expect(httpEndpoints(configured())).toEqual(['localhost:8090']);
    const asked = configure({ ...SOCKET, 'http-endpoint': ['unix:///run/h.sock'] }, {}, undefined);
    expect(httpEndpoints(asked)).toEqual(['unix:///run/h.sock']);
  });
});

describe('what does not go together', () => {
  test.each<[Flags, string]>([
    [
      { insecure: true, 'http-endpoint': ['localhost:9090'] },
      'localhost:9090 and --grpc-endpoint are the same endpoint',
    ],
    [{ ...SOCKET, 'http-endpoint': ['unix:///run/x.sock'] }, 'are the same endpoint'],
    [{ ...SOCKET, 'run-dir': '/s/run', 'state-dir': '/s' }, 'lie in each other'],
    [{ ...SOCKET, 'run-dir': '/same', 'state-dir': '/same/' }, 'lie in each other'],
  ])('%j is refused', (flags, part) => {
    expect(wrongIn(flags, {}, undefined)).toContain(part);
  });

  test('is told with all else that is wrong, and what may have been meant', () => {
    const path = file('state_dir: /x\nverbosity: loud');
    const lines = wrongIn({ 'retain-deleted': 'soon' }, { FLINTLOCKD_STATEDIR: '/y' }, path).split('\n  ');
    expect(lines).toEqual([
      'Bad configuration:',
      `${path}: unknown key "state_dir": did you mean state-dir?`,
      'unknown environment variable FLINTLOCKD_STATEDIR: did you mean FLINTLOCKD_STATE_DIR?',
      expect.stringContaining('--retain-deleted: '),
      expect.stringContaining(`${path}: verbosity: `),
      expect.stringContaining('--grpc-endpoint localhost:9090 would serve plain text'),
    ]);
  });
});

describe('every setting', () => {
  test.each(SETTING_NAMES)('%s has a help, a variable of its own, and a default that is right', (name) => {
    const { schema, help, default: standard } = settingOf(name);
    expect(help).not.toBe('');
    expect(environmentName(name)).toMatch(/^FLINTLOCKD_[A-Z_]+$/);
    expect(schema.safeParse(standard).success).toBe(true);
  });
});

describe('a bridge of others', () => {
  test('and a managed network that was asked for exclude each other', () => {
    expect(
      wrongIn({ insecure: true, 'bridge-name': 'br0', 'managed-network': '10.77.0.0/24' }, {}, undefined),
    ).toContain('--bridge-name br0 and --managed-network 10.77.0.0/24 exclude each other');
    expect(configured({ 'bridge-name': 'br0' }).config['bridge-name']).toBe('br0');
    expect(wrongIn({ insecure: true, 'bridge-name': 'br0', 'managed-network': 'none' }, {}, undefined)).toBe('');
  });

  test.each(['br 0', 'a-name-of-17-byte', '-br0', 'br/0', 'br"0'])('%j is no name of one', (name) => {
    expect(wrongIn({ insecure: true, 'bridge-name': name }, {}, undefined)).toContain(
      'must be the name of an interface',
    );
  });
});
