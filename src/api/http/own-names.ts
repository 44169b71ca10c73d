import { isIP } from 'node:net';
import { Fault } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';

/**
 * Whether a request's `Host` is a name of this daemon's. Where nothing but
 * reaching the port lets a caller in, a page in a browser may call itself by a
 * name of its own maker, have that name lead to this host once it is loaded,
 * and is then of the same origin as the daemon: only the name tells them apart.
 *
 * An address is always one of ours: whoever asked for it meant to come here,
 * and so did the page that it came from. So is `localhost`. A request without
 * the header comes from no browser.
 *
 * @param names - beside them, of any case
 * @throws Fault `denied` that says what to do
 */
export function refuseOtherNames(host: string | undefined, names: readonly string[]): void {
  if (host === undefined) return;
  const name = nameOf(host);
  if (name === 'localhost' || isIP(name) !== 0 || names.some((own) => nameOf(own) === name)) return;
  throw new Fault(
    'denied',
    `This daemon does not go by the name ${shorten(name)}, so that a web page that does is kept out: ` +
      `ask for localhost or an address, or give flintlockd --http-name ${shorten(name)} if the name is this host's; ` +
      'with tokens or TLS any name will do',
  );
}

/** Of `NAME[:PORT]`, without the dot at its end that makes a name absolute. */
function nameOf(host: string): string {
  const [, address, name = host] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  return (address ?? name).replace(/\.$/, '').toLowerCase();
}
