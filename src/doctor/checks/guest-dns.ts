import { serversIn } from '../../domain/resolv-conf.ts';
import { TROUBLE_TEXT, troublesIn } from '../../domain/server-words.ts';
import type { Check, CheckHost, Result } from '../check.ts';

/** The end of its log. */
const LOG_BYTES = 65_536;

/** Whom guests' questions for names are passed on to, and what the server that does so has said since its start. */
export const guestDns: Check = {
  name: 'guest-dns',
  examine: async (host) => [await resolvers(host), await server(host)],
};

async function resolvers({ files }: CheckHost): Promise<Result> {
  const name = 'DNS servers';
  const fix =
    'Name one in /etc/resolv.conf (nameserver ADDRESS), or mend what it links to; the daemon follows by itself';
  const bytes = await files.read('/etc/resolv.conf');
  if (!bytes) return { name, status: 'warn', found: '/etc/resolv.conf is not there, or leads nowhere', fix };
  const servers = serversIn(new TextDecoder().decode(bytes));
  if (servers.length === 0)
    return { name, status: 'warn', found: '/etc/resolv.conf names none: guests find the names of guests only', fix };
  return { name, status: 'ok', found: `guests' questions are passed on to ${servers.join(', ')}`, fix: '' };
}

async function server({ files, runDirectory }: CheckHost): Promise<Result> {
  const name = 'DHCP server';
  const path = `${runDirectory}/network/log/dnsmasq.log`;
  const info = await files.stat(path);
  if (!info) return { name, status: 'ok', found: 'none was started here', fix: '' };
  const offset = Math.max(0, info.sizeBytes - LOG_BYTES);
  const text = new TextDecoder().decode(await files.read(path, { offset, maxBytes: LOG_BYTES }));
  const last = troublesIn(text).at(-1);
  if (!last) return { name, status: 'ok', found: 'has not complained since its start', fix: '' };
  const found = `${TROUBLE_TEXT[last.kind]}; the last that it said of it: ${last.words}`;
  return { name, status: 'warn', found, fix: `Look whether it is still so: ${path}` };
}
