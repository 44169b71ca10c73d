import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { parseEndpoint } from '../api/endpoint.ts';
import { Fault } from '../domain/fault.ts';
import { type Config, environmentName, SETTING_NAMES, type SettingName, settingOf } from './settings.ts';

export type Source = 'flag' | 'environment' | 'file' | 'default';
export type Flags = Readonly<Partial<Record<SettingName, unknown>>>;

export interface Configured {
  readonly config: Config;
  readonly sources: Readonly<Record<SettingName, Source>>;
}

/**
 * What is in force: flag > environment > file > default.
 * @throws Fault `invalid` with all that is wrong, at once
 */
export function configure(flags: Flags, environment: NodeJS.ProcessEnv, file: string | undefined): Configured {
  const wrong: string[] = [];
  const fromFile = file === undefined ? {} : readFile(file);
  for (const key of Object.keys(fromFile))
    if (!SETTING_NAMES.some((name) => name === key)) wrong.push(`${file}: unknown key "${key}"`);
  const values: Record<string, unknown> = {};
  const sources: Record<string, Source> = {};
  for (const name of SETTING_NAMES) {
    const setting = settingOf(name);
    const [raw, source] = pick(name, flags, environment, fromFile);
    sources[name] = source;
    const parsed = setting.schema.safeParse(raw);
    if (parsed.success) values[name] = parsed.data;
    else wrong.push(...parsed.error.issues.map((issue) => `${nameIn(source, name, file)}: ${issue.message}`));
  }
  if (wrong.length === 0) wrong.push(...contradictions(values as Config, sources as Configured['sources']));
  if (wrong.length > 0) throw new Fault('invalid', `Bad configuration: ${wrong.join('; ')}`);
  return { config: values as Config, sources: sources as Configured['sources'] };
}

function pick(
  name: SettingName,
  flags: Flags,
  environment: NodeJS.ProcessEnv,
  file: Readonly<Record<string, unknown>>,
): readonly [unknown, Source] {
  const setting = settingOf(name);
  if (flags[name] !== undefined) return [flags[name], 'flag'];
  const text = environment[environmentName(name)];
  if (text !== undefined && text !== '') {
    if (setting.repeatable) return [text.split(','), 'environment'];
    if (setting.value === undefined)
      return [{ true: true, '1': true, false: false, '0': false }[text] ?? text, 'environment'];
    return [text, 'environment'];
  }
  const value = file[name];
  if (value !== undefined && value !== null) {
    if (setting.repeatable) return [Array.isArray(value) ? value : [value], 'file'];
    return [typeof value === 'number' && typeof setting.default === 'string' ? String(value) : value, 'file'];
  }
  return [setting.default, 'default'];
}

const nameIn = (source: Source, name: SettingName, file: string | undefined): string =>
  source === 'flag' ? `--${name}` : source === 'environment' ? environmentName(name) : `${file}: ${name}`;

function readFile(path: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new Fault(
      'invalid',
      `Cannot read the configuration file ${path}: ${String((cause as Error).message).split('\n')[0]}`,
      {
        cause,
      },
    );
  }
  if (parsed === null) return {};
  if (typeof parsed !== 'object' || Array.isArray(parsed))
    throw new Fault('invalid', `Cannot use the configuration file ${path}: it must be a YAML mapping of settings`);
  return parsed as Readonly<Record<string, unknown>>;
}

function contradictions(config: Config, sources: Configured['sources']): string[] {
  const wrong: string[] = [];
  for (const name of ['grpc-endpoint', 'http-endpoint'] as const)
    for (const text of config[name])
      try {
        const endpoint = parseEndpoint(text);
        const isImplied = name === 'http-endpoint' && sources[name] === 'default';
        if (endpoint.kind === 'tcp' && !config.insecure && !isImplied)
          wrong.push(
            `--${name} ${text} would serve plain text: allow it with --insecure, or serve a unix socket only (--${name} unix:///PATH)`,
          );
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        wrong.push(`--${name}: ${error.message}`);
      }
  return wrong;
}

/** Without --insecure the default HTTP endpoint is left out; one that was asked for is refused instead. */
export const httpEndpoints = ({ config, sources }: Configured): readonly string[] =>
  config.insecure || sources['http-endpoint'] !== 'default' ? config['http-endpoint'] : [];
