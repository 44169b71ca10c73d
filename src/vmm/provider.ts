import type { Check } from '../doctor/check.ts';
import type { Capabilities } from '../domain/capabilities.ts';
import type { Clock } from '../ports/clock.ts';
import type { Converse, Files, Processes, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { Meter } from '../ports/meter.ts';
import type { Vmm } from '../ports/vmm.ts';
import type { Starts } from './supervisor/starts.ts';

/** A setting of the daemon that a provider brings: a flag, a variable and a key of the file are made from it. */
export interface ProviderSetting {
  readonly help: string;
  /** As in --help: what stands for the value. */
  readonly value: string;
  readonly default: string;
  /** All that it may be; absent: any text that is not empty. */
  readonly choices?: readonly string[];
  /** It names the provider's program: doctor takes it too. */
  readonly isProgram?: true;
}

type Settings = Readonly<Record<string, ProviderSetting>>;
type Values<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends { readonly choices: readonly (infer C)[] } ? C : string;
};

/** What every provider is made with. */
export interface ProviderDeps {
  /** The daemon's instance. */
  readonly whose: string;
  /** Directories in which a program that is only named is looked for, separated by colons. */
  readonly path: string;
  readonly run: Run;
  readonly converse: Converse;
  readonly files: Files;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Log;
  /** What limits are multiplied by, on a slow host; absent: 1. */
  readonly patience?: number;
  /** Absent: nobody counts. */
  readonly meter?: Pick<Meter, 'vmmFailures'>;
  /** Of all providers together. */
  readonly starts: Starts;
}

interface About<S extends Settings> {
  /** In `spec.provider`. */
  readonly name: string;
  /** As users know it. */
  readonly title: string;
  /** By name, which begins with the provider's. */
  readonly settings: S;
  /** Keys of `provider_options`, with the values of each and what they mean. */
  readonly options: Readonly<Record<string, { readonly values: readonly string[]; readonly help: string }>>;
  /** The machines that it makes, and when: the usual one first. */
  readonly machines: readonly { readonly when: string; readonly capabilities: Capabilities }[];
  readonly checks: readonly Check[];
  /** Of a host that runs strangers' code; absent: none. */
  readonly productionChecks?: readonly Check[];
}

interface Definition<S extends Settings> extends About<S> {
  create(deps: ProviderDeps, settings: Values<S>): Promise<Vmm>;
}

/** A kind of VMM, whole: all that the rest of Flintlock has to know of it before one is made. */
export interface Provider<S extends Settings = Settings> extends About<S> {
  /** @param settings - by name, each one of its choices; others than its own are passed over */
  create(deps: ProviderDeps, settings: Readonly<Record<string, unknown>>): Promise<Vmm>;
}

export function defineProvider<const S extends Settings>(definition: Definition<S>): Provider<S> {
  return {
    ...definition,
    create: async (deps, settings) => definition.create(deps, valuesOf(definition, settings)),
  };
}

/** @throws for what no configuration lets through */
function valuesOf<S extends Settings>(
  { name, settings }: About<S>,
  given: Readonly<Record<string, unknown>>,
): Values<S> {
  const values = Object.entries(settings).map(([key, { choices }]) => {
    const value = given[key];
    if (typeof value !== 'string' || (choices && !choices.includes(value)))
      throw new Error(`setting ${key} of provider ${name} cannot be ${JSON.stringify(value)}`);
    return [key, value];
  });
  return Object.fromEntries(values) as Values<S>;
}
