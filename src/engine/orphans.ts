import { bridgeName, type Names, tableName } from '../domain/names.ts';
import type { Network } from '../ports/network.ts';

/**
 * Firewall tables of a managed network whose daemon and bridge are gone: made
 * under another state directory that is no more. They drop what new guests on
 * the same network are sent. One whose daemon lives makes its bridge again within seconds, and its tables too.
 */
export async function orphanTables(
  network: Pick<Network, 'tables' | 'interfaces'>,
  names: Names,
  signal: AbortSignal,
): Promise<readonly { readonly table: string; readonly bridge: string }[]> {
  const tables = await network.tables(signal);
  const devices = new Set((await network.interfaces(signal)).map(({ device }) => device));
  const instances = tables.flatMap((table) => /^inet flintlock_([a-z2-7]{4})$/.exec(table)?.[1] ?? []);
  return instances
    .filter((instance) => instance !== names.instance && !devices.has(bridgeName({ instance })))
    .flatMap((instance) => {
      const name = tableName({ ...names, instance });
      return tables
        .filter((table) => table.split(' ')[1] === name || table.split(' ')[1]?.startsWith(`${name}_`))
        .map((table) => ({ table, bridge: bridgeName({ instance }) }));
    });
}
