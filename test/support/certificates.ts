import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface Pair {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface PairOptions {
  /** Days from now; negative: it has run out. */
  readonly days?: number;
  /** As openssl writes them. */
  readonly names?: string;
}

/** A certificate authority of a test's own, made by openssl(1); its files are gone with the test. */
export class Authority {
  readonly directory: string;
  readonly own: Pair;
  #count = 0;

  constructor(name = 'lab') {
    this.directory = mkdtempSync(join(tmpdir(), 'flintlock-ca-'));
    onTestFinished(() => rmSync(this.directory, { recursive: true, force: true }));
    const [keyFile, certFile] = [join(this.directory, 'ca.key'), join(this.directory, 'ca.pem')];
    openssl('req', '-x509', ...NEW_KEY, '-keyout', keyFile, '-out', certFile, '-subj', `/CN=${name}`, '-days', '2');
    this.own = read(certFile, keyFile);
  }

  /** A certificate and its key, for a server on loopback or a client. */
  issue(name: string, { days = 1, names = 'DNS:localhost,IP:127.0.0.1' }: PairOptions = {}): Pair {
    const base = join(this.directory, `${++this.#count}`);
    const [keyFile, certFile] = [`${base}.key`, `${base}.pem`];
    writeFileSync(`${base}.ext`, `basicConstraints=CA:FALSE\nsubjectAltName=${names}\n`);
    openssl('req', '-new', ...NEW_KEY, '-keyout', keyFile, '-out', `${base}.csr`, '-subj', `/CN=${name}`);
    const files = ['-in', `${base}.csr`, '-extfile', `${base}.ext`, '-out', certFile];
    if (days < 0) this.#issueInThePast(files, days);
    else openssl('x509', '-req', ...files, '-days', `${days}`, '-CA', this.own.certFile, '-CAkey', this.own.keyFile);
    return read(certFile, keyFile);
  }

  /** x509(1) makes none that has run out since OpenSSL 3.4; ca(1) makes what it is told. */
  #issueInThePast(files: readonly string[], days: number): void {
    const config = join(this.directory, 'ca.cnf');
    const database = join(this.directory, 'ca.txt');
    const serial = join(this.directory, 'ca.serial');
    const own = [`database = ${database}`, `serial = ${serial}`, 'policy = any', 'default_md = sha256'];
    const sections = ['[ca]', 'default_ca = own', '[own]', ...own, '[any]', 'commonName = supplied', ''];
    writeFileSync(config, sections.join('\n'));
    writeFileSync(database, '');
    writeFileSync(serial, `10${this.#count}0\n`);
    const end = Date.now() + days * DAY_MS;
    openssl(
      ...['ca', '-batch', '-notext', '-config', config, '-outdir', this.directory, ...files],
      ...['-startdate', asn1(end - DAY_MS), '-enddate', asn1(end)],
      ...['-cert', this.own.certFile, '-keyfile', this.own.keyFile],
    );
  }
}

const DAY_MS = 86_400_000;

/** As ASN.1 writes times: YYYYMMDDHHMMSSZ. */
const asn1 = (time: number): string => `${new Date(time).toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`;

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 30_000 });
}

const read = (certFile: string, keyFile: string): Pair => ({
  certFile,
  keyFile,
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
});
