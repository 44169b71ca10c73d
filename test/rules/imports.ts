import { posix } from 'node:path';
import { ROOMS, roomOf, TESTS } from './rooms.ts';

/** Everything that is imported: static, for its effects only, re-exported, types, and by import(). */
export function importsOf(source: string): readonly string[] {
  const code = source.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const pattern =
    /(?:^|[\s;}])(?:import|export)\s*(?:[\w\s{},*$]*?\sfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;
  return [...code.matchAll(pattern)].map(([, fixed, called]) => fixed ?? called ?? '');
}

/**
 * What a file imports and its room may not.
 *
 * @param path - from the repository's root, below src/
 * @returns a sentence for each
 */
export function breaches(path: string, source: string): readonly string[] {
  const name = roomOf(path);
  const room = name === undefined ? undefined : ROOMS[name];
  if (name === undefined || room === undefined) return [`${path}: in no room of test/rules/rooms.ts`];
  const isTest = path.endsWith('.test.ts');

  const isAllowed = (target: string): boolean => {
    if (target.startsWith('node:'))
      return (
        isTest ||
        room.node === 'any' ||
        room.node.some((module) => target === `node:${module}` || target === `node:${module}/promises`)
      );
    if (!target.startsWith('.')) {
      const npm = target
        .split('/')
        .slice(0, target.startsWith('@') ? 2 : 1)
        .join('/');
      return room.packages?.includes(npm) === true || (isTest && TESTS.packages.includes(npm));
    }
    const file = posix.join(posix.dirname(path), target);
    if (isTest && TESTS.directories.some((directory) => file.startsWith(`${directory}/`))) return true;
    if (!file.startsWith('src/')) return false;
    const other = roomOf(file);
    if (other === name) return true;
    if (other === undefined) return false;
    return (
      room.rooms.includes(other) ||
      room.rooms.includes(file.slice('src/'.length)) ||
      (room.rooms.includes('any') && other !== 'cli')
    );
  };

  return importsOf(source)
    .filter((target) => !isAllowed(target))
    .map((target) => `${path}: the room ${name} may not import ${target}`);
}
