import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { configure } from './config.ts';
import { checkedText, exampleFile } from './describe.ts';
import { SETTING_NAMES, settingOf } from './settings.ts';

const SOCKET = { 'grpc-endpoint': ['unix:///run/x/api.sock'] };

function fileWith(text: string): string {
  const directory = mkdtempSync('/tmp/flt-config-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(`${directory}/config.yaml`, text);
  return `${directory}/config.yaml`;
}

test('the example file has every key, says nothing else than the defaults, and is a file', () => {
  const example = exampleFile();
  expect(example.split('\n').filter((line) => !line.startsWith('#') && line !== '')).toEqual([]);
  const asFile: unknown = parse(example.replaceAll(/^#(?=[a-z])/gm, ''));
  expect(asFile).toEqual(Object.fromEntries(SETTING_NAMES.map((name) => [name, settingOf(name).default])));
  const file = fileWith(example.replaceAll(/^#(?=[a-z])/gm, ''));
  expect(configure({ insecure: true }, {}, file).config).toEqual(configure({ insecure: true }, {}, undefined).config);
});

test('what is in force is told so that it can be used as a file', () => {
  const configured = configure({ ...SOCKET, verbosity: '2' }, { FLINTLOCKD_STATE_DIR: '/s' }, undefined);
  const text = checkedText(configured, 'yaml');
  expect(text).toContain('state-dir: /s # environment\n');
  expect(text).toContain('grpc-endpoint: [ unix:///run/x/api.sock ] # flag\n');
  // The implied HTTP endpoint is not in force where nothing may be plain text.
  const { config } = configure({}, {}, fileWith(text));
  expect(config).toEqual({ ...configured.config, 'http-endpoint': [] });
  expect(JSON.parse(checkedText(configured, 'json'))['state-dir']).toEqual({ value: '/s', source: 'environment' });
});
