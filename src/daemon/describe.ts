import { stringify } from 'yaml';
import { type Configured, httpEndpoints } from './config.ts';
import { environmentName, SETTING_NAMES, type SettingName, settingOf } from './settings.ts';

/** A setting as a reader is told of it: for --help, the example file and the documentation. */
export interface SettingText {
  readonly name: SettingName;
  readonly environment: string;
  /** What stands for the value; `true|false` for a flag. */
  readonly value: string;
  readonly repeatable: boolean;
  readonly help: string;
  /** As in the file: YAML on one line. */
  readonly standard: string;
}

export const SETTING_TEXTS: readonly SettingText[] = SETTING_NAMES.map((name) => {
  const { value = 'true|false', repeatable = false, help, default: standard } = settingOf(name);
  return { name, environment: environmentName(name), value, repeatable, help, standard: yamlOf(standard) };
});

function yamlOf(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim();
}

/** With spaces, so that it is refused as a value. */
const HIDDEN = '(not shown here)';
const WIDTH = 100;

/** A configuration file with every key, each commented out and at its default. */
export function exampleFile(): string {
  const entries = SETTING_TEXTS.map(({ name, value, repeatable, help, standard, environment }) => {
    const about = `${help[0]?.toUpperCase()}${help.slice(1)}. ${value}${repeatable ? ', or a list of them' : ''}; ${environment}`;
    return `${wrapped(about)}\n#${name}: ${standard}\n`;
  });
  return `${wrapped(HEAD)}\n\n${entries.join('\n')}`;
}

const HEAD =
  'Settings of flintlockd, for: flintlockd run --config FILE. Every key is here, with its default. A flag wins over the environment, that over this file. Check it with: flintlockd run --config FILE --config-check';

function wrapped(text: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + word.length + 3 > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => `# ${line}`).join('\n');
}

/** What is in force, and where each value came from; as YAML it can be used as a file, but for secrets. */
export function checkedText(configured: Configured, format: 'yaml' | 'json'): string {
  const { raw, sources } = configured;
  const values = SETTING_NAMES.map((name) => {
    const value = name === 'http-endpoint' ? httpEndpoints(configured) : raw[name];
    const isHidden = settingOf(name).secret === true && value !== '';
    return { name, value: isHidden ? HIDDEN : value, source: sources[name] };
  });
  if (format === 'yaml')
    return values.map(({ name, value, source }) => `${name}: ${yamlOf(value)} # ${source}\n`).join('');
  const entries = values.map(({ name, value, source }) => [name, { value, source }]);
  return `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`;
}
