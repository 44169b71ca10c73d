import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { formatEndpoint, parseEndpoint } from '../api/endpoint.ts';
import { Fault } from '../domain/fault.ts';
import { insteadOf } from './former.ts';
import { type Config, environmentName, SETTING_NAMES, type SettingName, settingOf } from './settings.ts';

export type Source = 'flag' | 'environment' | 'file' | 'default';
export type Flags = Readonly<Partial<Record<SettingName, unknown>>>;

export interface Configured {
  readonly config: Config;
  readonly sources: Readonly<Record<SettingName, Source>>;
  /** The values as they were written. */
  readonly raw: Readonly<Record<SettingName, unknown>>;
}

/** Names the file, and is no setting itself. */
export const CONFIG_VARIABLE = 'FLINTLOCKD_CONFIG';

/**
 * What is in force: flag > environment > file > default.
 *
 * @param more - what is wrong already, to be told with the rest
 * @throws Fault `invalid` with all that is wrong, at once
 */
export function configure(
  flags: Flags,
  environment: NodeJS.ProcessEnv,
  file: string | undefined,
  more: readonly string[] = [],
): Configured {
  const wrong: string[] = [...more];
  let fromFile: Readonly<Record<string, unknown>> = {};
  try {
    if (file !== undefined) fromFile = readFile(file);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    wrong.push(error.message);
  }
  for (const key of Object.keys(fromFile))
    if (!isSetting(key)) wrong.push(`${file}: unknown key "${key}"${meant(key, SETTING_NAMES)}`);
  const variables = SETTING_NAMES.map(environmentName);
  for (const key of Object.keys(environment))
    if (key.startsWith('FLINTLOCKD_') && key !== CONFIG_VARIABLE && !variables.includes(key))
      wrong.push(`unknown environment variable ${key}${meant(key, variables)}`);
  const values: Record<string, unknown> = {};
  const raws: Record<string, unknown> = {};
  const sources: Record<string, Source> = {};
  for (const name of SETTING_NAMES) {
    const setting = settingOf(name);
    const [raw, source] = pick(name, flags, environment, fromFile);
    sources[name] = source;
    raws[name] = raw;
    const parsed = setting.schema.safeParse(raw);
    if (parsed.success) values[name] = parsed.data;
    else wrong.push(...parsed.error.issues.map((issue) => `${nameIn(source, name, file)}: ${issue.message}`));
  }
  wrong.push(...contradictions(values, sources as Configured['sources']));
  if (wrong.length > 0)
    throw new Fault(
      'invalid',
      wrong.length === 1 ? `Bad configuration: ${wrong[0]}` : `Bad configuration:\n  ${wrong.join('\n  ')}`,
    );
  return { config: values as Config, sources: sources as Configured['sources'], raw: raws as Configured['raw'] };
}

const isSetting = (key: string): boolean => SETTING_NAMES.some((name) => name === key);

/** Another spelling is the commonest slip. */
export function meant(wrong: string, names: readonly string[]): string {
  const instead = insteadOf(wrong);
  if (instead !== undefined) return `: ${instead}`;
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  const near =
    names.find((name) => plain(name) === plain(wrong)) ?? names.find((name) => isNear(plain(name), plain(wrong)));
  return near === undefined ? '' : `: did you mean ${near}?`;
}

/** One contains the other, or begins like it. */
const isNear = (name: string, wrong: string): boolean =>
  wrong.length >= 4 &&
  (name.includes(wrong) || wrong.includes(name) || name.slice(0, -2) === wrong.slice(0, name.length - 2));

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

/** What does not go together. What is wrong by itself is left out: it has been told of. */
function contradictions(config: Partial<Config>, sources: Configured['sources']): string[] {
  const wrong: string[] = [];
  const network = config['managed-network'];
  if (config['bridge-name'] && network !== undefined && sources['managed-network'] !== 'default' && network !== 'none')
    wrong.push(
      `--bridge-name ${config['bridge-name']} and --managed-network ${network} exclude each other: taps are plugged into one bridge; leave one of them out`,
    );
  wrong.push(...contradictoryAccess(config));
  const seen = new Map<string, string>();
  for (const name of ['grpc-endpoint', 'http-endpoint'] as const)
    for (const text of config[name] ?? [])
      try {
        const endpoint = parseEndpoint(text);
        const isImplied = name === 'http-endpoint' && sources[name] === 'default';
        if (endpoint.kind === 'tcp' && config.insecure === false && !config['tls-cert'] && !isImplied)
          wrong.push(
            `--${name} ${text} would serve plain text: give --tls-cert and --tls-key, allow it with --insecure, or serve a unix socket only (--${name} unix:///PATH)`,
          );
        const other = seen.get(formatEndpoint(endpoint));
        const isFixed = endpoint.kind === 'unix' || endpoint.port !== 0;
        if (isFixed && !isImplied && other !== undefined && other !== name)
          wrong.push(`--${name} ${text} and --${other} are the same endpoint: gRPC and HTTP need one each`);
        seen.set(formatEndpoint(endpoint), name);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        wrong.push(`--${name}: ${error.message}`);
      }
  const { 'state-dir': state, 'run-dir': run } = config;
  if (
    state !== undefined &&
    run !== undefined &&
    (`${run}/`.startsWith(`${state}/`) || `${state}/`.startsWith(`${run}/`))
  )
    wrong.push(`--run-dir ${run} and --state-dir ${state} lie in each other: everything below each is its own`);
  return wrong;
}

/** How callers are known. */
function contradictoryAccess(config: Partial<Config>): string[] {
  const wrong: string[] = [];
  const { 'tls-cert': cert, 'tls-key': key, 'tls-client-ca': clientCa, 'tls-client-validate': validates } = config;
  if (cert && !key) wrong.push('--tls-cert needs --tls-key, its private key');
  if (key && !cert) wrong.push('--tls-key needs --tls-cert, its certificate');
  if (cert && config.insecure)
    wrong.push('--insecure and --tls-cert exclude each other: TCP endpoints serve plain text or TLS; leave one out');
  if (validates && !clientCa)
    wrong.push(
      '--tls-client-validate needs --tls-client-ca: the authorities that may sign the certificates of clients',
    );
  if (clientCa && validates === false)
    wrong.push('--tls-client-ca does nothing without --tls-client-validate: give both, or leave it out');
  if (validates && !cert) wrong.push('--tls-client-validate needs TLS: give --tls-cert and --tls-key');
  if (config['basic-auth-token'] && config['basic-auth-token-file'])
    wrong.push('--basic-auth-token and --basic-auth-token-file exclude each other: leave one of them out');
  return wrong;
}

/** Without --insecure and TLS the default HTTP endpoint is left out; one that was asked for is refused instead. */
export const httpEndpoints = ({ config, sources }: Configured): readonly string[] =>
  config.insecure || config['tls-cert'] !== '' || sources['http-endpoint'] !== 'default' ? config['http-endpoint'] : [];
