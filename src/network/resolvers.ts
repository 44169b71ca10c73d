import { Fault } from '../domain/fault.ts';
import { serversIn } from '../domain/resolv-conf.ts';
import type { Files } from '../ports/host.ts';
import { dhcpPaths } from './dnsmasq.ts';

/** A resolver's file has a few lines. */
const MAX_BYTES = 65_536;

/** What the guests' DNS server passes questions on to. */
export interface Resolvers {
  readonly servers: readonly string[];
  /** Why the host's own file gave none; absent: it was read. */
  readonly wrong?: string;
}

export interface FollowsResolvers {
  /**
   * Brings our copy of the host's resolv.conf up to date: what it is now, whatever it is a link to and whoever may
   * read it. Who changes it tells the server.
   */
  follow(directory: string): Promise<Resolvers & { readonly isChanged: boolean }>;
}

/** @param source - the host's own file */
export function createResolvers({
  files,
  source,
}: {
  readonly files: Files;
  readonly source: string;
}): FollowsResolvers {
  const read = async (): Promise<Resolvers> => {
    try {
      const bytes = await files.read(source, { maxBytes: MAX_BYTES });
      if (!bytes) return { servers: [], wrong: `${source} is not there, or leads nowhere` };
      const servers = serversIn(new TextDecoder().decode(bytes));
      return servers.length > 0 ? { servers } : { servers, wrong: `${source} names no DNS server` };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { servers: [], wrong: error.message };
    }
  };
  return {
    async follow(directory) {
      const { resolvers } = dhcpPaths(directory);
      const found = await read();
      const text = found.servers.map((server) => `nameserver ${server}\n`).join('');
      const before = await files.read(resolvers);
      const isChanged = before === undefined || new TextDecoder().decode(before) !== text;
      if (isChanged) await files.write(resolvers, text, { mode: 0o644 });
      return { ...found, isChanged };
    },
  };
}
