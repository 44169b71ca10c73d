import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { contextOf, type TlsFiles } from '../api/tls.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { type Fresh, keepFresh } from './fresh-files.ts';
import { readNamedFile } from './secret-file.ts';
import type { Config } from './settings.ts';

/** Early enough to mend it by day. */
const WARN_MS = 14 * 86_400_000;

/**
 * What TLS is served with, read again when it changes; undefined: plain text.
 * @throws Fault `refused` where the files cannot be used
 */
export function tlsOf(config: Config, { log, clock }: { log: Log; clock: Clock }): Fresh<TlsFiles> | undefined {
  const { 'tls-cert': cert, 'tls-key': key, 'tls-client-validate': validates, 'tls-client-ca': clientCa } = config;
  if (cert === '') return undefined;
  const load = (): TlsFiles => {
    const files: TlsFiles = {
      cert: readNamedFile(cert, { flag: '--tls-cert', forbidden: 0 }),
      key: readNamedFile(key, { flag: '--tls-key', forbidden: 0o007 }),
      ...(validates && { clientCa: readNamedFile(clientCa, { flag: '--tls-client-ca', forbidden: 0 }) }),
    };
    const [first] = certificatesIn(files.cert, `--tls-cert ${cert}`);
    if (files.clientCa) certificatesIn(files.clientCa, `--tls-client-ca ${clientCa}`);
    try {
      createSecureContext(contextOf(files));
    } catch (cause) {
      const why = `the certificate and the key do not go together, or one of them cannot be read (${wordsOf(cause)})`;
      throw new Fault('refused', `Cannot use --tls-cert ${cert} with --tls-key ${key}: ${why}`, { cause });
    }
    if (first) tellDates(first, { log, clock });
    return files;
  };
  const paths = [cert, key, ...(validates ? [clientCa] : [])];
  return keepFresh({ what: 'the TLS certificate', paths, load, log, clock });
}

const wordsOf = (cause: unknown): string => (cause instanceof Error && 'code' in cause ? String(cause.code) : 'no PEM');

/** @throws Fault `refused` where there is none, or one that cannot be read */
function certificatesIn(pem: Buffer, name: string): readonly X509Certificate[] {
  const blocks = pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Fault('refused', `Cannot use ${name}: there is no PEM certificate in it`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new Fault('refused', `Cannot use ${name}: a certificate in it cannot be read`, { cause });
  }
}

/** Clients would refuse it, so the host's owner should know first. */
function tellDates({ subject, validToDate }: X509Certificate, { log, clock }: { log: Log; clock: Clock }): void {
  const left = validToDate.getTime() - clock.now();
  const fields = { subject: subject.replaceAll('\n', ','), until: validToDate.toISOString() };
  if (left <= 0) log.warn('the TLS certificate has expired: clients will refuse it', fields);
  else if (left < WARN_MS) log.warn('the TLS certificate expires soon', fields);
  else log.info('the TLS certificate', fields);
}
