import { join } from 'node:path';

/** Configuration of our own, for tools that have some: what a host's own says is meant for its people. */
const TOOLS = join(import.meta.dirname, '../../packaging/tools');

/**
 * All that a tool sees of the daemon's environment, and what we put in the
 * place of the host's configuration files. Nobody's home: what its owner
 * configured for himself (`.mtoolsrc`, `.config/containers`) is not ours.
 */
export const toolEnvironment = (): Readonly<Record<string, string>> => ({
  PATH: process.env.PATH ?? '',
  LANG: 'C.UTF-8',
  HOME: '/nonexistent',
  MKE2FS_CONFIG: `${TOOLS}/mke2fs.conf`,
  MTOOLSRC: `${TOOLS}/mtools.conf`,
});

type Environment = Readonly<Record<string, string | undefined>>;

/** Proxies as Go's programs read them, in both cases, and certificates to trust beside or instead of the host's. */
const FOR_REGISTRIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];

/**
 * What an operator sets for the daemon's way to registries. It goes to the
 * program that speaks to them and to nothing else: a proxy's password may be
 * in it. `ALL_PROXY`, which that program does not know, stands in for either
 * proxy that is not given.
 * @see https://pkg.go.dev/net/http#ProxyFromEnvironment
 */
export function registryEnvironment(environment: Environment): Readonly<Record<string, string>> {
  const given = (name: string): string | undefined => environment[name] || environment[name.toLowerCase()];
  const all = given('ALL_PROXY');
  const found = Object.fromEntries(
    FOR_REGISTRIES.flatMap((name) => {
      const value = given(name) ?? (name === 'HTTP_PROXY' || name === 'HTTPS_PROXY' ? all : undefined);
      return value ? [[name, value] as const] : [];
    }),
  );
  // Else the logins of root's own session would count.
  return { ...found, XDG_RUNTIME_DIR: '/nonexistent' };
}
