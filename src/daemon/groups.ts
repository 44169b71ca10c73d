import { readFileSync } from 'node:fs';
import { Fault } from '../domain/fault.ts';

/**
 * The group whose members may use the unix sockets.
 *
 * @param name - a group's name or number
 * @param isAsked - whether it was asked for: then it must be there
 * @param file - group(5)
 * @returns its number; undefined where there is none
 * @throws Fault `refused`
 */
export function socketGroup(name: string, isAsked: boolean, file = '/etc/group'): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`${name}:`));
  if (line !== undefined) return Number(line.split(':')[2]);
  if (!isAsked) return undefined;
  throw new Fault(
    'refused',
    `Cannot give the unix sockets to the group ${name}: there is no such group; make it with: groupadd --system ${name}`,
  );
}
