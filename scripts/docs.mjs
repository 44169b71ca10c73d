/**
 * Makes the reference pages of docs/ from what the programs are made of: the
 * daemon's settings, the command lines, the protos with their comments.
 *
 *   npm run docs                     writes them
 *   node scripts/docs.mjs --check    changes nothing; fails when one is not what it would be
 *
 * It reads the sources themselves, so it runs on the pinned Node.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { allVerbs, createProgram as createCli } from '../src/cli/command-line.ts';
import { createProgram as createDaemon } from '../src/daemon/command-line.ts';
import { exampleFile, SETTING_TEXTS } from '../src/daemon/describe.ts';
import { COMMON_OPTIONS } from '../src/domain/common-options.ts';
import { PROVIDERS } from '../src/vmm/registry.ts';
import { proofOf } from '../test/conformance/fields.ts';
import { GROUPS } from '../test/conformance/groups.ts';
import { MORE_PATIENCE, main, PATIENCE, ROOT, Stop } from './steps.mjs';

const BUF_MS = 120_000 * PATIENCE;

const made = (from) => `<!-- Made by "npm run docs" from ${from}. Change that instead. -->\n`;

/** In a table a bar ends a cell, and a line end the row. */
const cell = (text) =>
  text
    .replaceAll('|', '\\|')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
const code = (text) => (text === '' ? '' : `\`${text.replaceAll('|', '\\|')}\``);
const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |\n`).join('');
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;

function configurationPage() {
  const rows = SETTING_TEXTS.map(({ name, value, repeatable, help, standard, environment }) => [
    `${code(`--${name}`)}<br>${code(environment)}`,
    `${code(value)}${repeatable ? ', several' : ''}`,
    code(standard),
    cell(sentence(help)),
  ]);
  return `${made('src/daemon/settings.ts')}
# Configuration of flintlockd

A setting is taken from the first of these that has it:

1. the flag of \`flintlockd run\`, e.g. \`--state-dir /srv/flintlock\`
2. the environment variable, e.g. \`FLINTLOCKD_STATE_DIR\`; several values are split at commas
3. the YAML file that \`--config FILE\` or \`FLINTLOCKD_CONFIG\` names, with keys as the flags without their dashes
4. the default

\`flintlockd run … --config-check\` prints what is in force and where each value came from, and ends; with
\`--config-check json\` for programs. Unknown flags, keys and \`FLINTLOCKD_\` variables, impossible values and settings that
contradict each other are refused at the start, all at once, with exit status 1.

## Settings

${table(['flag and variable', 'value', 'default', 'meaning'], rows)}
Times are written as \`90s\`, \`15m\`, \`24h\` or \`7d\`.

## An example file

\`flintlockd config-example\` prints this, to be changed where you want something else:

\`\`\`yaml
${exampleFile()}\`\`\`
`;
}

/** A command's help: usage, arguments, options, and what stands below them. */
function commandSection(command, name, level, { withOptions = true } = {}) {
  let all = '';
  command.configureOutput({ writeOut: (text) => (all += text), getOutHelpWidth: () => 120 });
  command.outputHelp();
  const usage = /^Usage: (.*)$/m.exec(all)?.[1] ?? name;
  const help = command.createHelp();
  const args = help
    .visibleArguments(command)
    .map((arg) => [code(help.argumentTerm(arg)), cell(help.argumentDescription(arg))]);
  const options = help
    .visibleOptions(command)
    .map((option) => [code(option.flags), cell(help.optionDescription(option))]);
  const after = all.slice(command.helpInformation().length).trim();
  const [prose, examples] = after.split(/^Examples?:\n/m);
  const parts = [`${'#'.repeat(level)} ${name}\n`];
  if (command.aliases().length > 0) parts.push(`Also: ${command.aliases().map(code).join(', ')}.\n`);
  parts.push(`${sentence(command.description())}\n`, `\`\`\`\n${usage}\n\`\`\`\n`);
  if (args.length > 0) parts.push(table(['argument', 'meaning'], args));
  if (withOptions && options.length > 0) parts.push(table(['option', 'meaning'], options));
  if (prose?.trim()) parts.push(`\`\`\`\n${prose.trim()}\n\`\`\`\n`);
  if (examples) parts.push(`Examples:\n\n\`\`\`sh\n${examples.replaceAll(/^ {2}/gm, '').trim()}\n\`\`\`\n`);
  return parts.join('\n');
}

async function cliPage() {
  const sink = { out: () => undefined, err: () => undefined };
  const act = async () => undefined;
  const program = createCli(act, {}, sink);
  const verbs = (await allVerbs(program, act)).filter((verb) => verb.name() !== 'help');
  const sections = verbs.flatMap((verb) => [
    commandSection(verb, `flintlock ${verb.name()}`, 2),
    ...verb.commands.map((inner) => commandSection(inner, `flintlock ${verb.name()} ${inner.name()}`, 3)),
  ]);
  const daemon = createDaemon('', { run: act, tearDown: act, example: act });
  const daemonSections = daemon.commands
    .filter((command) => command.name() !== 'help')
    .map((command) => commandSection(command, `flintlockd ${command.name()}`, 2, { withOptions: false }));
  return `${made('the command lines themselves')}
# Command line

${commandSection(program, 'flintlock', 2)}
${table(
  ['verb', 'what it does'],
  verbs.map((verb) => [
    `[${[verb.name(), ...verb.aliases()].join(', ')}](#flintlock-${verb.name()})`,
    cell(verb.description()),
  ]),
)}
${sections.join('\n')}
# The daemon's

Their settings are in [configuration.md](../configuration.md).

${daemonSections.join('\n')}`;
}

/** The protos, with their comments, as files of descriptors. */
function descriptors() {
  const { status, error, stdout, stderr } = spawnSync(
    join(ROOT, 'node_modules/.bin/buf'),
    ['build', '-o', '-#format=binpb'],
    {
      cwd: ROOT,
      maxBuffer: 64 << 20,
      timeout: BUF_MS,
    },
  );
  if (error?.code === 'ETIMEDOUT') throw new Stop(`buf build did not end in ${BUF_MS / 1_000} s; ${MORE_PATIENCE}`);
  if (status !== 0) throw new Stop(`buf build failed: ${stderr}`);
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout));
}

/** The comment above a thing, by its path of field numbers (descriptor.proto, SourceCodeInfo.Location). */
function commentOf(file, path) {
  const key = path.join();
  const found = file.proto.sourceCodeInfo?.location.find((location) => location.path.join() === key);
  return (found?.leadingComments ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !line.startsWith('TODO'))
    .join('\n')
    .trim();
}

/** The numbers of fields in descriptor.proto. */
const PATH = { fileMessage: 4, fileService: 6, message: 3, enum: 4, field: 2, value: 2, method: 2 };

function pathOf(desc) {
  const siblings = desc.parent ? (desc.kind === 'enum' ? desc.parent.nestedEnums : desc.parent.nestedMessages) : [];
  // Maps are messages of their own in the proto, and counted.
  const all =
    desc.parent && desc.kind === 'message' ? desc.parent.proto.nestedType.map((type) => type.name) : undefined;
  if (!desc.parent) return [PATH.fileMessage, desc.file.messages.indexOf(desc)];
  const index = all ? all.indexOf(desc.proto.name) : siblings.indexOf(desc);
  return [...pathOf(desc.parent), desc.kind === 'enum' ? PATH.enum : PATH.message, index];
}

const SCALARS = [
  '',
  'double',
  'float',
  'int64',
  'uint64',
  'int32',
  'fixed64',
  'fixed32',
  'bool',
  'string',
  '',
  '',
  'bytes',
];

/** A type as it is written in the proto, linked where the page has it. */
function typeText(field, known) {
  const one = (scalar, desc) => {
    if (!desc) return SCALARS[scalar] ?? 'scalar';
    return known.has(desc.typeName) ? `[${desc.name}](#${anchor(desc)})` : desc.name;
  };
  if (field.fieldKind === 'list') return `list of ${one(field.scalar, field.message ?? field.enum)}`;
  if (field.fieldKind === 'map') return `map of string to ${one(field.scalar, field.message ?? field.enum)}`;
  return `${one(field.scalar, field.message ?? field.enum)}${field.proto.proto3Optional ? ', optional' : ''}`;
}

const anchor = (desc) => desc.name.toLowerCase();

/** Where the promise of a field is proved, as the last cell of its row. */
function proofCell(message, field) {
  const proof = proofOf(`${message.name}.${field.name}`);
  if (!proof) return '';
  if ('other' in proof) return proof.other.endsWith('.ts') ? code(proof.other) : proof.other;
  return proof.rows.map((row) => `[${row.split('/')[1]}](conformance.md#${row.split('/')[0]})`).join(', ');
}

/** @param isProved - whether its fields have a last column that says how */
function messageSection(message, known, level, isProved = false) {
  const path = pathOf(message);
  const rows = message.fields.map((field, i) => [
    code(field.name),
    typeText(field, known),
    String(field.number),
    cell(commentOf(message.file, [...path, PATH.field, i])),
    ...(isProved ? [proofCell(message, field)] : []),
  ]);
  const parts = [`${'#'.repeat(level)} ${message.name}\n`, `${commentOf(message.file, path)}\n`];
  const head = ['field', 'type', 'tag', 'meaning', ...(isProved ? ['proved by'] : [])];
  if (rows.length > 0) parts.push(table(head, rows));
  for (const inner of message.nestedEnums) {
    const at = pathOf(inner);
    const values = inner.values.map((value, i) => [
      code(value.name),
      String(value.number),
      cell(commentOf(inner.file, [...at, PATH.value, i])),
    ]);
    parts.push(
      `${'#'.repeat(level + 1)} ${inner.name}\n`,
      `${commentOf(inner.file, at)}\n`,
      table(['value', 'number', 'meaning'], values),
    );
  }
  return parts.join('\n');
}

function namesIn(messages) {
  return new Set(
    messages.flatMap((message) => [message.typeName, ...message.nestedEnums.map((inner) => inner.typeName)]),
  );
}

function specPage(registry) {
  const { messages } = registry.getFile('types/microvm.proto');
  const known = namesIn(messages);
  return `${made('proto/types/microvm.proto')}
# The spec and the status

A microVM is a spec, which you write, and a status, which the daemon keeps. In YAML and JSON a field may be written as
here or in camel case (\`memory_in_mb\`, \`memoryInMb\`). A field that this version does not honour yet is refused by
name; one that is left out has its default. Megabytes are MiB.

The shortest spec that boots is \`kernel.image\` and one root volume, with a kernel that needs no initrd: 2 vCPUs, 1024 MiB
of memory, and no interface. An interface is there where \`interfaces\` asks for one, and nowhere else
(\`flintlock run\` asks for one where the daemon has a network).

What proves that a field does what is said of it stands in the last column: mostly rows of the
[conformance suite](conformance.md), which boots guests and asks them.

${messages.map((message) => messageSection(message, known, 2, true)).join('\n')}`;
}

/** What the suite expects, as far as it is known before a guest has booted. */
function conformancePage() {
  const sections = Object.keys(GROUPS).map((group) => {
    const all = Object.values(GROUPS);
    const proved = all.flatMap(({ scenes }) => scenes.flatMap(({ rows }) => rows));
    const refused = all.flatMap((one) => one.refused);
    const own = (rows) => rows.filter(({ row }) => row.startsWith(`${group}/`));
    const rows = [
      ...own(proved).map(({ row, expected, host }) => [
        code(row.split('/')[1]),
        host ? 'guest, host' : 'guest',
        typeof expected === 'string' ? code(expected) : 'what the record says',
      ]),
      ...own(refused).map(({ row, field, words }) => [
        code(row.split('/')[1]),
        'refused',
        code(`${field}: …${words}…`),
      ]),
    ];
    return `## ${group}\n\n${table(['row', 'asked', 'expected'], rows)}`;
  });
  return `${made('test/conformance')}
# How every field is proved

\`npm run conformance\` boots real guests with every field of the [spec](spec.md), asks them what they see, and compares
that with what the record says and what the host's own tools show. A row is \`group/name\`; \`--only PATTERN\` picks rows,
\`--provider NAME\` tries another provider, \`-o json\` prints them with the guest's own lines as evidence. Rows that are
refused ask for what cannot be: create says so, in these words, and nothing is stored.

${sections.join('\n')}`;
}

/** What stands of one machine in each row. */
const FEATURES = [
  ['virtual CPUs, at most', ({ limits }) => limits.vcpu.most],
  ['memory in MiB', ({ limits }) => `${limits.memoryInMb.least} to ${limits.memoryInMb.most}`],
  ['disks and interfaces together, at most', ({ limits }) => limits.devices.most],
  ['disks, at most', ({ limits }) => limits.disks],
  ['interfaces, at most', ({ limits }) => limits.interfaces],
  ['formats of disks', ({ diskFormats }) => diskFormats.join(', ')],
  ['types of interfaces', ({ interfaceTypes }) => interfaceTypes.join(', ')],
  ['power button', ({ powerButton }) => yes(powerButton)],
  ['answers for metadata itself (`mmds`)', ({ mmds }) => yes(mmds)],
  ['reboot in place', ({ rebootInPlace }) => yes(rebootInPlace)],
  ['pause', ({ pause }) => yes(pause)],
  ['console can be typed on', ({ consoleInput }) => yes(consoleInput)],
  ['snapshot', ({ snapshot }) => yes(snapshot)],
  ['ways into the guest', ({ channels }) => channels.join(', ')],
];
const yes = (is) => (is ? 'yes' : 'no');

const optionRows = (options) =>
  Object.entries(options).map(([key, { values, help }]) => [code(key), code(values.join('|')), cell(sentence(help))]);

function providersPage() {
  const sections = PROVIDERS.map(({ name, title, settings, options, machines }) => {
    const rows = FEATURES.map(([what, of]) => [what, ...machines.map(({ capabilities }) => String(of(capabilities)))]);
    const flags = Object.entries(settings).map(([flag, { value, default: standard, help }]) => [
      code(`--${flag}`),
      code(value),
      code(standard),
      cell(sentence(help)),
    ]);
    const keys = optionRows(options);
    return `## ${title} (\`${name}\`)

${table(['what', ...machines.map(({ when }) => when)], rows)}
Settings of the daemon:

${table(['flag', 'value', 'default', 'meaning'], flags)}
In \`provider_options\` of a spec:

${table(['key', 'value', 'meaning'], keys)}`;
  });
  return `${made('src/vmm')}
# The providers

A provider is a virtual machine monitor. A spec names one in \`provider\`, or goes to the first of \`--default-provider\` that
can be used on the host and can do all that the spec asks; it stays there. What a provider lacks is refused at create, by
the tables of this page, which \`flintlock info -o json\` prints as \`features\` for the host that it is asked of.

In \`provider_options\` of every spec:

${table(['key', 'value', 'meaning'], optionRows(COMMON_OPTIONS))}

${sections.join('\n')}`;
}

const API_FILES = ['microvms', 'images', 'host', 'guest', 'guest_files'].map(
  (name) => `flintlock/microvm/v1/${name}.proto`,
);

function apiPage(registry) {
  const files = API_FILES.map((path) => registry.getFile(path));
  const known = namesIn(files.flatMap((file) => file.messages));
  const stream = (is, desc) =>
    `${is ? 'stream of ' : ''}${known.has(desc.typeName) ? `[${desc.name}](#${anchor(desc)})` : desc.name}`;
  const services = files.flatMap((file) =>
    file.services.map((service, i) => {
      const at = [PATH.fileService, i];
      const rows = service.methods.map((method, k) => [
        code(method.name),
        stream(['client_streaming', 'bidi_streaming'].includes(method.methodKind), method.input),
        stream(['server_streaming', 'bidi_streaming'].includes(method.methodKind), method.output),
        cell(commentOf(file, [...at, PATH.method, k])),
      ]);
      return `## ${service.name}\n\n${commentOf(file, at)}\n\n${table(['call', 'request', 'answer', 'what it does'], rows)}`;
    }),
  );
  return `${made('proto/flintlock/microvm/v1')}
# The API

Package \`flintlock.microvm.v1\`, over gRPC with reflection and health. The records are in [spec.md](spec.md).

${services.join('\n')}
${files.flatMap((file) => file.messages.map((message) => messageSection(message, known, 2))).join('\n')}`;
}

function dropInPage(registry) {
  const files = ['services/microvms', 'types/microvm', 'exec/microvmexec', 'ssh/microvmsshproxy'].map((name) =>
    registry.getFile(`dropin/${name}.proto`),
  );
  const messages = files.flatMap((file) => file.messages);
  const known = namesIn(messages);
  const [service] = files.flatMap((file) => file.services);
  const stream = (is) => (is ? 'stream of ' : '');
  const rows = files.flatMap((file) =>
    (file.services[0]?.methods ?? []).map((method, k) => [
      code(method.name),
      `${stream(method.methodKind === 'bidi_streaming')}${known.has(method.input.typeName) ? `[${method.input.name}](#${anchor(method.input)})` : method.input.name}`,
      `${stream(method.methodKind !== 'unary')}${known.has(method.output.typeName) ? `[${method.output.name}](#${anchor(method.output)})` : method.output.name}`,
      cell(commentOf(file, [PATH.fileService, 0, PATH.method, k])),
    ]),
  );
  return `${made('proto/dropin and scripts/docs.mjs')}
# The drop-in API

For clients of Liquid Metal: point them at \`flintlockd\`, with the address and token that they have. The service is
\`${service.typeName}\`, and for commands in guests \`microvmexec.services.api.v1alpha1.MicroVMExec\` and
\`microvmsshproxy.services.api.v1alpha1.MicroVMSSHProxy\`, on the port of the native API, with reflection and health. New programs
use the [native API](api.md), which can do more; a microVM made through one is read, listed and deleted through the other.

${table(['call', 'request', 'answer', 'what it does'], rows)}
## Over HTTP

${table(
  ['request', 'answer'],
  [
    ['`POST /v1alpha1/microvm`, the body is the MicroVMSpec', 'CreateMicroVMResponse'],
    ['`GET /v1alpha1/microvm/{uid}`', 'GetMicroVMResponse'],
    ['`GET /v1alpha1/microvm/{namespace}?name=`', 'ListMicroVMsResponse, of one namespace'],
    ['`GET /v1alpha1/microvm?namespace=&name=`', 'ListMicroVMsResponse, of all namespaces'],
    ['`DELETE /v1alpha1/microvm/{uid}`', '`{}`, at once'],
  ],
)}
Names of fields may be in snake or camel case, enums names or numbers. An unknown field is 400. An error is
\`{"code": 5, "message": "… not found", "details": []}\` with the number of its gRPC code and the HTTP status that belongs
to it. A path that has the form of a uid is one, unless a namespace is called so.

## What is to be known

- **A uid names a microVM**; several may have one namespace and id. \`namespace/id\` is taken for a uid where it is that of
  exactly one.
- **Interfaces are MACVTAP where the type is left out**, and need \`--parent-iface\`. A TAP is on the managed network, or on
  the bridge of \`--bridge-name\`, or on the one that \`overrides.bridge_name\` names.
- **Metadata** is on a disk with the label \`cidata\`, the last one, which cloud-init reads by itself. A TAP on the managed
  network reaches it at \`http://169.254.169.254/\` too. \`meta-data\` gets \`instance_id: <uid>\` where it has none. A value that
  is no base64 is served as it is.
- **A static address**: \`gateway\` with or without a prefix, \`nameservers\`; what is left out is the managed network's. The
  guest is told by the same words as in the native API (see [guests.md](../guests.md)).
- **kernel.cmdline** is written in the order of the keys; an empty value is a bare flag; a value with white space is quoted.
- **States**: what the native API calls STOPPED is FAILED here, and PAUSED is CREATED. \`status.message\` and
  \`status.reason\` say why; they are an extension that older clients pass over.
- **Optional fields** that were left out stay out in answers; empty ones are as left out.
- **\`allow_guest_agent\`** is the native API's \`"agent": "on"\` in \`provider_options\`, and false is \`"off"\`. ExecCommand and SSHProxy go by the
  guest's agent; without that right it is FAILED_PRECONDITION.
- **\`vsock_path\`** is a socket of the daemon's own, there while the guest runs: see [guest-agent.md](../guest-agent.md).
- **Not built yet**, and refused by name: \`virtiofs_source\`. The tags of
  ServerInfo are unverified: no publication of them was read.
- **The other API's fields** have some of the same tags. A client that calls the wrong one of the two services is refused
  with INVALID_ARGUMENT, and nothing is made.

${messages.map((message) => messageSection(message, known, 2)).join('\n')}`;
}

async function pages() {
  const registry = descriptors();
  return new Map([
    ['docs/configuration.md', configurationPage()],
    ['docs/reference/cli.md', await cliPage()],
    ['docs/reference/spec.md', specPage(registry)],
    ['docs/reference/providers.md', providersPage()],
    ['docs/reference/conformance.md', conformancePage()],
    ['docs/reference/api.md', apiPage(registry)],
    ['docs/reference/drop-in.md', dropInPage(registry)],
  ]);
}

await main('docs', async () => {
  const isCheck = process.argv.includes('--check');
  const stale = [];
  for (const [path, made] of await pages()) {
    const text = `${made.trimEnd()}\n`;
    const file = join(ROOT, path);
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
    stale.push(path);
    if (isCheck) continue;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  if (isCheck && stale.length > 0) throw new Stop(`${stale.join(', ')}: not what the sources make; run "npm run docs"`);
  if (!isCheck) console.log(stale.length > 0 ? `docs: wrote ${stale.join(', ')}` : 'docs: everything is in step');
});
