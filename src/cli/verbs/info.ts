import { timestampDate } from '@bufbuild/protobuf/wkt';
import {
  type Cordon,
  type Provider,
  type ProviderFeatures,
  type Resources,
  type ServerInfoResponse,
  ServerInfoResponseSchema,
} from '../../gen/flintlock/microvm/v1/host_pb.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption } from '../options.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { paint, printable } from '../print/style.ts';
import { tableText } from '../print/table.ts';
import { bytesText } from '../print/units.ts';

export const configure: Configure = (command, act) => {
  command
    .addOption(outputOption('json', 'yaml'))
    .addHelpText('after', '\nExamples:\n  flintlock info\n  flintlock info -o json | jq .providers\n')
    .action(({ output }: { output?: Structured }) => act((context) => info(context, output)));
};

async function info(context: Context, output: Structured | undefined): Promise<number> {
  const host = await (await context.clients()).host();
  const answer = await host.serverInfo({}, quick(context.io.interrupt));
  await context.out(
    output
      ? await structuredText(jsonOf(ServerInfoResponseSchema, answer), output)
      : infoText(answer, context.colour.stdout),
  );
  return EXIT.done;
}

function infoText(info: ServerInfoResponse, colour: boolean): string {
  const facts = tableText(
    [
      ['flintlockd', info.version],
      ['instance', info.instance],
      ['microVMs', `${info.microvms}${info.reconciling ? ' (not all have been looked at since the start)' : ''}`],
      ...(info.cordon ? [['cordoned', cordonText(info.cordon)]] : []),
      ['capacity', resourcesText(info.capacity)],
      ...info.capacityNotes.map((note) => ['', note]),
      ['promised', resourcesText(info.promised)],
      ['at most', limitsText(info)],
      ['used', resourcesText(info.used)],
      ['network', info.managedNetwork || 'none of its own'],
      ['demo kernel', info.demoKernel || 'none: flintlock run needs --kernel-image'],
      ['volumes', `made by ${info.volumeCopy} copies`],
    ],
    { colour },
  );
  const wrong = info.tools.filter(({ state }) => state !== 'works');
  const tools = wrong.map(({ name, found, remedy }) => [name, remedy === '' ? found : `${found}. ${remedy}`]);
  const title = tools.length === 0 ? '' : `\n${paint('tools', 'bold', colour)}\n`;
  return (
    facts +
    title +
    tableText(tools, { colour, indent: '  ' }) +
    info.providers.map((provider) => providerText(provider, info.defaultProvider, colour)).join('')
  );
}

function providerText(provider: Provider, byDefault: string, colour: boolean): string {
  const mark = provider.name === byDefault ? ' (the default)' : '';
  const title = `\n${paint(printable(`provider ${provider.name}`), 'bold', colour)}${mark}\n`;
  const rows = provider.available
    ? [
        ['version', provider.version],
        ['accelerator', `${provider.accelerator}: ${provider.acceleratorReason}`],
        ['can', provider.capabilities.join(', ')],
        ...(provider.features ? [['at most', featuresText(provider.features)]] : []),
      ]
    : [['not usable', provider.unavailableReason]];
  return title + tableText(rows, { colour, indent: '  ' });
}

/** What one microVM may have. */
const featuresText = ({ maxVcpu, maxMemoryInMb, maxDevices, diskFormats, interfaceTypes }: ProviderFeatures): string =>
  [
    `${maxVcpu} CPUs`,
    `${bytesText(BigInt(maxMemoryInMb) << 20n)} memory`,
    `${maxDevices} disks (${diskFormats.join(', ')}) and interfaces (${interfaceTypes.join(', ')})`,
  ].join(', ');

/** Since when, and why. */
function cordonText({ since, reason }: Cordon): string {
  const when = since ? `since ${timestampDate(since).toISOString()}` : 'takes no more microVMs';
  return reason === '' ? when : printable(`${when}: ${reason}`);
}

/** What may be promised: a figure, or that there is none. */
function limitsText({ limits, maxMicrovms }: ServerInfoResponse): string {
  const { vcpu = 0, memoryInMb = 0n, diskInMb = 0n } = limits ?? {};
  return [
    vcpu === 0 ? 'any number of CPUs' : `${vcpu} CPUs`,
    `${memoryInMb === 0n ? 'any' : bytesText(memoryInMb << 20n)} memory`,
    `${diskInMb === 0n ? 'any' : bytesText(diskInMb << 20n)} disk`,
    ...(maxMicrovms === 0 ? [] : [`${maxMicrovms} microVMs`]),
  ].join(', ');
}

function resourcesText(resources: Resources | undefined): string {
  if (!resources) return 'not known';
  const { vcpu, memoryInMb, diskInMb } = resources;
  return `${vcpu} CPUs, ${bytesText(memoryInMb << 20n)} memory, ${bytesText(diskInMb << 20n)} disk`;
}
