import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * What this host is called: by its kernel, with and without its domain, and by
 * the lines of `/etc/hosts` that name it.
 */
export function hostNames(): readonly string[] {
  let hosts = '';
  try {
    hosts = readFileSync('/etc/hosts', 'utf8');
  } catch {
    // Then it says nothing more.
  }
  return namesIn(hosts, hostname());
}

/** @param hosts - what `/etc/hosts` says, hosts(5) */
export function namesIn(hosts: string, name: string): readonly string[] {
  const own = new Set([name, name.replace(/\..*$/, '')]);
  for (const line of hosts.split('\n')) {
    const [, ...names] = line.replace(/#.*$/, '').trim().split(/\s+/);
    if (names.some((one) => own.has(one))) for (const one of names) own.add(one);
  }
  return [...own].filter((one) => one !== '');
}
