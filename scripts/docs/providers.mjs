import { COMMON_OPTIONS } from '../../src/domain/common-options.ts';
import { PROVIDERS } from '../../src/vmm/registry.ts';
import { cell, code, made, sentence, table } from './markdown.mjs';

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
  ['takes back freed memory (`balloon`)', ({ balloon }) => yes(balloon)],
  ['reboot in place', ({ rebootInPlace }) => yes(rebootInPlace)],
  ['pause', ({ pause }) => yes(pause)],
  ['console can be typed on', ({ consoleInput }) => yes(consoleInput)],
  ['snapshot', ({ snapshot }) => yes(snapshot)],
  ['ways into the guest', ({ channels }) => channels.join(', ')],
];
const yes = (is) => (is ? 'yes' : 'no');

const optionRows = (options) =>
  Object.entries(options).map(([key, { values, help }]) => [code(key), code(values.join('|')), cell(sentence(help))]);

export function providersPage() {
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
