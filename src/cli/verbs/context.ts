import { isAbsolute, resolve } from 'node:path';
import type { Command } from 'commander';
import { parseAddress } from '../address.ts';
import type { Act, Configure, Context } from '../context.ts';
import { contextOf, readContexts, type SavedContext, writeContexts } from '../contexts.ts';
import { EXIT, Problem } from '../exit.ts';
import { outputOption } from '../options.ts';
import { type Structured, structuredText } from '../print/structured.ts';
import { tableText } from '../print/table.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

interface AddOptions extends SavedContext {
  readonly tokenStdin?: boolean;
}

export const configure: Configure = (command, act) => {
  command.helpCommand(false).addHelpText('after', EXAMPLES);
  const sub = (name: string, summary: string): Command =>
    command
      .command(name)
      .description(summary)
      .showHelpAfterError(`Try: flintlock context ${name.split(' ')[0]} --help`);
  sub('add <name>', 'remember how a daemon is reached, under a name')
    .requiredOption('--host <address>', 'HOST:PORT, https://HOST:PORT or unix:///path')
    .option('--token-file <file>', 'the file with the token: it is read at each call')
    .option('--token-stdin', 'read the token from standard input, and keep it')
    .option('--tls-ca <file>', "the authority that signed the daemon's certificate (PEM)")
    .option('--tls-cert <file>', 'a certificate of your own (PEM)')
    .option('--tls-key <file>', 'its private key (PEM)')
    .option('--tls-server-name <name>', "the name in the daemon's certificate, where it is not the host's")
    .addHelpText('after', ADD_EXAMPLES)
    .action((name: string, options: AddOptions) => act((context) => add(context, name, options)));
  sub('use [name]', 'take a context where none is named')
    .option('--none', 'take none: the daemon of this host')
    .addHelpText('after', '\nExamples:\n  flintlock context use lab\n  flintlock context use --none\n')
    .action((name: string | undefined, { none }: { none?: boolean }) => act((context) => use(context, name, none)));
  sub('ls', 'list the contexts, without their tokens')
    .alias('list')
    .addOption(outputOption('json', 'yaml'))
    .addHelpText('after', '\nExamples:\n  flintlock context ls\n  flintlock context ls -o json\n')
    .action(({ output }: { output?: Structured }) => act((context) => list(context, output)));
  remove(
    sub('rm <name>', 'forget a context')
      .alias('remove')
      .addHelpText('after', '\nExample:\n  flintlock context rm lab\n'),
    act,
  );
};

async function add(context: Context, name: string, { tokenStdin, ...options }: AddOptions): Promise<number> {
  if (!NAME.test(name))
    throw new Problem(EXIT.usage, `"${name}" is no name of a context: at most 63 letters, digits and . _ -`);
  if (options.host !== undefined) parseAddress(options.host);
  if (tokenStdin && options.tokenFile !== undefined)
    throw new Problem(EXIT.usage, '--token-stdin and --token-file exclude each other');
  if ((options.tlsCert === undefined) !== (options.tlsKey === undefined))
    throw new Problem(EXIT.usage, '--tls-cert and --tls-key belong together: the certificate and its private key');
  const before = readContexts(context.io.env);
  const token = tokenStdin ? await typedToken(context) : undefined;
  const saved: SavedContext = { ...withAbsolute(options), ...(token !== undefined && { token }) };
  const contexts = { ...before.contexts, [name]: saved };
  writeContexts(context.io.env, { current: before.current ?? name, contexts });
  await context.hint(before.current === undefined ? `It is in use now.` : `Use it: flintlock context use ${name}`);
  return EXIT.done;
}

/** A file stays the same wherever the next call is made from. */
function withAbsolute(options: SavedContext): SavedContext {
  const files = ['tokenFile', 'tlsCa', 'tlsCert', 'tlsKey'];
  return Object.fromEntries(
    Object.entries(options).map(([key, value]: [string, string]) => [
      key,
      files.includes(key) && !isAbsolute(value) ? resolve(value) : value,
    ]),
  );
}

async function typedToken({ io }: Context): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of io.stdin()) pieces.push(piece);
  const token = Buffer.concat(pieces).toString().trim();
  if (!/^[\x21-\x7e]{1,4096}$/.test(token))
    throw new Problem(
      EXIT.usage,
      'Standard input has no token: it must be printable ASCII without spaces, in one line',
    );
  return token;
}

async function use({ io }: Context, name: string | undefined, none = false): Promise<number> {
  if ((name === undefined) !== none)
    throw new Problem(EXIT.usage, 'Name a context, or give --none for the daemon of this host');
  const { contexts } = readContexts(io.env);
  if (name !== undefined) contextOf({ contexts }, name);
  writeContexts(io.env, { ...(name !== undefined && { current: name }), contexts });
  return EXIT.done;
}

async function list(context: Context, output: Structured | undefined): Promise<number> {
  const { current, contexts } = readContexts(context.io.env);
  const all = Object.entries(contexts).map(([name, { token, ...rest }]) => ({
    name,
    current: name === current,
    ...rest,
    ...(token !== undefined && { token: '(kept)' }),
  }));
  if (output) await context.out(await structuredText(all, output));
  else if (all.length === 0)
    await context.err('There are no contexts: flintlock context add NAME --host HOST:PORT …\n');
  else {
    const head = ['', 'NAME', 'HOST', 'TLS', 'TOKEN'];
    const rows = all.map(({ name, current: isCurrent, host = '', tlsCa, tlsCert, tokenFile, token }) => [
      isCurrent ? '*' : '',
      name,
      host,
      tlsCert ? 'with a certificate' : tlsCa || host.startsWith('https:') ? 'yes' : 'no',
      tokenFile ?? token ?? 'none',
    ]);
    await context.out(tableText([head, ...rows], { colour: context.colour.stdout }));
  }
  return EXIT.done;
}

function remove(command: Command, act: Act): void {
  command.action((name: string) =>
    act(async ({ io }) => {
      const before = readContexts(io.env);
      contextOf(before, name);
      const { [name]: _, ...contexts } = before.contexts;
      const { current } = before;
      writeContexts(io.env, { ...(current !== undefined && current !== name && { current }), contexts });
      return EXIT.done;
    }),
  );
}

const EXAMPLES = `
They are kept in $XDG_CONFIG_HOME/flintlock/contexts.json (by default below ~/.config), for you alone. The one in use
counts where neither --host, FLINTLOCK_HOST, --context nor FLINTLOCK_CONTEXT is given.

Examples:
  flintlock context add lab --host lab.example:9090 --tls-ca ca.pem --token-file ~/lab.token
  flintlock context use lab
  flintlock --context lab list
  flintlock context ls
`;

const ADD_EXAMPLES = `
Examples:
  flintlock context add lab --host lab.example:9090 --tls-ca ca.pem --token-file ~/lab.token
  flintlock context add lab --host https://lab.example:9090 --token-stdin < lab.token
  flintlock context add here --host unix:///run/flintlock/api.sock
`;
