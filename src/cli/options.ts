import { Option } from 'commander';
import { duration } from './duration.ts';

/** `-o`, with what the verb can print. */
export const outputOption = (...formats: string[]): Option =>
  new Option('-o, --output <format>', 'print in another form').choices(formats);

/** `--timeout`, in milliseconds. */
export const timeoutOption = (): Option =>
  new Option('--timeout <time>', 'how long to wait at most: 500ms, 60s, 2m, 1h')
    .argParser(duration)
    .default(60_000, '60s');

/** A namespace as the daemon takes it: empty is all of them. */
export const namespaceOf = ({ namespace, allNamespaces }: { namespace?: string; allNamespaces?: boolean }): string =>
  allNamespaces ? '' : (namespace ?? 'default');

export const namespaceOptions = (): Option[] => [
  new Option('-n, --namespace <name>', 'the namespace (default: "default")').conflicts('allNamespaces'),
  new Option('-A, --all-namespaces', 'all namespaces'),
];

export const selectorOption = (): Option =>
  new Option('-l, --selector <selector>', 'only microVMs whose labels match: app=web,tier in (a,b),!old');
