import { createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startApi, tokensOf } from '../../test/support/api.ts';
import { Authority } from '../../test/support/certificates.ts';
import { runCli } from '../../test/support/run-cli.ts';

const portOf = (endpoint: { kind: string; port?: number }): string => `localhost:${endpoint.port}`;

/** An API with TLS, by files that stay as they are. */
const startTls = (pair: { cert: Buffer; key: Buffer; clientCa?: Buffer }) =>
  startApi({}, { tls: { current: () => pair, onChange: () => () => {} } });

test('TLS by a CA of one’s own, with a certificate of one’s own where it is asked for', async () => {
  const ca = new Authority();
  const { grpc } = await startTls({ ...ca.issue('host'), clientCa: ca.own.cert });
  const web = ca.issue('web');
  const flags = ['--host', portOf(grpc), '--tls-ca', ca.own.certFile];
  const own = ['--tls-cert', web.certFile, '--tls-key', web.keyFile];
  expect(await runCli([...flags, ...own, 'list', '-o', 'name'])).toMatchObject({ exit: 0, stdout: 'default/web\n' });
  const env = {
    FLINTLOCK_HOST: `https://${portOf(grpc)}`,
    FLINTLOCK_TLS_CA: ca.own.certFile,
    FLINTLOCK_TLS_CERT: web.certFile,
    FLINTLOCK_TLS_KEY: web.keyFile,
  };
  expect(await runCli(['list', '-o', 'name'], { env })).toMatchObject({ exit: 0, stdout: 'default/web\n' });
  const none = await runCli([...flags, 'list']);
  expect(none.stderr).toContain('turned the connection away: Not let in: a client certificate is needed');
  expect(none.stderr).toContain('--tls-cert and --tls-key');
});

test('what is wrong with TLS is told, with what to do', async () => {
  const ca = new Authority();
  const other = new Authority('other').own.certFile;
  const right = await startTls(ca.issue('host'));
  const old = await startTls(ca.issue('host', { days: -1 }));
  const named = await startTls(ca.issue('host', { names: 'DNS:lab.example' }));
  const plain = await startApi();
  const list = async (host: string, ...flags: string[]): Promise<string> => {
    const result = await runCli(['--host', host, ...flags, 'list']);
    expect(result).toMatchObject({ exit: 1, stdout: '' });
    return result.stderr;
  };
  const known = ['--tls-ca', ca.own.certFile];
  expect(await list(portOf(right.grpc))).toMatch(/This port speaks TLS, .*\nTLS is spoken with --tls-ca FILE/);
  expect(await list(portOf(right.grpc), '--tls-ca', other)).toMatch(/not known here\n.*--tls-ca FILE/);
  expect(await list(`https://${portOf(right.grpc)}`)).toMatch(/not known here\n.*--tls-ca FILE/);
  expect(await list(portOf(old.grpc), ...known)).toContain('its certificate has expired');
  expect(await list(portOf(named.grpc), ...known)).toMatch(/is for another name\n.*--tls-server-name NAME/);
  expect(await list(portOf(plain.grpc), ...known)).toMatch(/does not speak TLS\nLeave the TLS flags/);
  expect(await list(portOf(plain.http))).toContain('This port speaks HTTP/1.1 with JSON: gRPC is served at');
  const name = ['--tls-server-name', 'lab.example'];
  expect(await runCli(['--host', portOf(named.grpc), ...known, ...name, 'list'])).toMatchObject({ exit: 0 });
  // Another's TLS server says nothing that we understand.
  const silent = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(Buffer.from('15030300020228', 'hex'))); // an alert
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void silent.close());
  const at = silent.address();
  expect(await list(`localhost:${typeof at === 'object' && at ? at.port : 0}`)).toContain('Or does it speak TLS?');
});

test('a token that is missing or wrong is told, with where it is given', async () => {
  const { grpc } = await startApi({}, { tokens: tokensOf({ name: 'ci', secret: 'kettle' }) });
  const list = (...flags: string[]) => runCli(['--host', portOf(grpc), ...flags, 'list', '-o', 'name']);
  const none = await list();
  expect(none.exit).toBe(1);
  expect(none.stderr).toMatch(/A token is needed: .*\nGive it with --token-file FILE, FLINTLOCK_TOKEN or a context/);
  expect((await list('--token', 'wrong')).stderr).toContain('The token is not known here');
  expect(await list('--token', 'kettle')).toMatchObject({ exit: 0, stdout: 'default/web\n' });
  const env = { FLINTLOCK_TOKEN: 'kettle', FLINTLOCK_HOST: portOf(grpc) };
  expect(await runCli(['list', '-o', 'name'], { env })).toMatchObject({ exit: 0, stdout: 'default/web\n' });
});
