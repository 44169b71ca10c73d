import { entriesOf, type HostStepKind, type IntentOf, type LedgerEntry } from '../domain/ledger.ts';
import type { Files } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { MacvtapPathIntent } from '../ports/network.ts';
import type { Flaw, Wholeness } from '../ports/network-watch.ts';
import { leaseFiles } from './dnsmasq.ts';
import type { createElements } from './elements.ts';
import { guard } from './failure.ts';
import { firewallRules } from './firewall.ts';
import { guardsRules } from './guards.ts';
import { type Ip, parseRules } from './ip.ts';
import { metadataRules, removeRoutes, SERVICE } from './metadata-paths.ts';
import { createNft, type Nft, type NftRow } from './nft.ts';
import { openTaps } from './open-taps.ts';
import { publishingRules } from './published.ts';
import { inScratch, type ScratchHands } from './scratch.ts';
import type { Sysctl } from './sysctl.ts';
import { elementFlaws, ownerOf } from './whole-elements.ts';
import {
  bridgeFlaws,
  cutOffFlaws,
  macvtapFlaws,
  macvtapPathFlaws,
  parseWholeLinks,
  tapFlaws,
  type WholeLink,
} from './whole-links.ts';
import { neighbourFlaws } from './whole-neighbours.ts';
import { bridgeRouteFlaws } from './whole-routes.ts';
import { settingFlaws } from './whole-settings.ts';
import { createTableMemory } from './whole-tables.ts';

export interface WholenessHands {
  readonly ip: Ip;
  readonly nft: Nft;
  readonly sysctl: Sysctl;
  readonly files: Files;
  readonly elements: ReturnType<typeof createElements>;
  /** For a namespace in which rules are read as they should be; absent: as they were seen first. */
  readonly scratch?: ScratchHands | undefined;
  readonly log: Log;
  /** As the firewall was given it. */
  readonly connections?: number | undefined;
}

/** Compares in content; what is found is mended by who asked. */
export function createWholeness({
  ip,
  nft,
  sysctl,
  files,
  elements,
  scratch,
  log,
  connections,
}: WholenessHands): Wholeness {
  const memory = createTableMemory(nft, isVariable);

  /** The rules whose listing is known. */
  const listed = new Set<string>();

  /**
   * How our own rules look when they are listed: written in a namespace where nobody else can have changed them, once for
   * each text.
   */
  const learn = async (rules: readonly (readonly [text: string, tables: readonly string[]])[], signal: AbortSignal) => {
    const unknown = rules.filter(([text]) => !listed.has(text));
    if (unknown.length === 0 || !scratch) return;
    try {
      await inScratch(scratch, signal, async (run) => {
        const inside = createNft(run);
        for (const [text, tables] of unknown) {
          await inside.apply(text, signal);
          for (const table of tables) {
            const [family = '', name = ''] = table.split(' ');
            memory.remember(table, (await inside.table(family, name, signal)) ?? []);
          }
          listed.add(text);
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      for (const [text] of unknown) listed.add(text);
      log.warn('what the firewall should hold is taken from what it holds now', { error });
    }
  };

  const routeFlaws = async (
    { routes, device, select }: { routes: number; device: string; select: readonly string[] },
    rulesText: string,
    signal: AbortSignal,
  ): Promise<Flaw[]> => {
    const ours = parseRules(rulesText).filter((rule) => rule.routes === String(routes));
    const lost = select.filter((words) => !ours.some(({ text }) => words.split('|').every((w) => text.includes(w))));
    const isWhole = lost.length === 0 && ours.length === select.length;
    const leads = await ip.routesIn(routes, signal);
    return [
      ...(isWhole
        ? []
        : [
            {
              thing: `routing rules to ${routes}`,
              what: `the routing rules that lead ${device} to table ${routes} are not as they were made`,
              // Those that are left would be taken for all of them.
              mend: (limited: AbortSignal) => removeRoutes(ip, routes, limited),
              remake: true as const,
            },
          ]),
      ...(leads.some(({ text }) => text.startsWith(`local ${SERVICE}`))
        ? []
        : [{ thing: `routes ${routes}`, what: `the routes of table ${routes} are gone` }]),
    ];
  };

  const leaseFlaws = async (entries: readonly LedgerEntry[]): Promise<Flaw[]> => {
    const flaws: Flaw[] = [];
    for (const entry of entries) {
      if (entry.kind !== 'lease' && entry.kind !== 'probe') continue;
      const intent = entry.kind === 'probe' ? entry.intent.lease : entry.intent;
      for (const [path, content] of leaseFiles(intent)) {
        const bytes = await files.read(path);
        const found = bytes && new TextDecoder().decode(bytes);
        if (found !== content)
          flaws.push({
            thing: `file ${path}`,
            what: `the reservation of ${intent.address}, ${path}, ${found === undefined ? 'is gone' : 'was changed'}`,
            ...ownerOf(entry),
          });
      }
    }
    return flaws;
  };

  const rowsOf = async (table: string, present: readonly string[], signal: AbortSignal) => {
    const [family = '', name = ''] = table.split(' ');
    return present.includes(table) ? nft.table(family, name, signal) : undefined;
  };
  const present = async (signal: AbortSignal): Promise<readonly string[]> =>
    (await nft.tables(signal)).map(({ family, name }) => `${family} ${name}`);

  return {
    remember: (tables, signal) =>
      guard('look at the firewall', async () => {
        const there = await present(signal);
        for (const table of tables) {
          const rows = await rowsOf(table, there, signal);
          if (rows && !memory.knows(table)) memory.remember(table, rows);
        }
      }),

    flaws: ({ entries, isWhole, isAsked }, signal) =>
      guard('compare the network with what was made', async () => {
        const before = entries().filter(({ made }) => made);
        const asked = before.filter(isAsked);
        const of = <K extends HostStepKind>(kind: K): IntentOf<K> | undefined => entriesOf(asked, kind)[0]?.intent;
        const [bridge, firewall, guards] = [of('bridge'), of('firewall'), of('guards')];
        const [publishing, path] = [of('publishing'), of('metadata-path')];
        const macvtaps = of('macvtap-guards');
        const service = of('macvtap-path');

        const shown = (await ip.show(['address show', 'rule show'], signal)).split('\n');
        const links: readonly WholeLink[] = parseWholeLinks(shown[0] ?? '[]');
        const tables = [
          ...(firewall ? [`inet ${firewall.table}`] : []),
          ...(guards ? [`bridge ${guards.table}`] : []),
          ...(publishing ? [`ip ${publishing.table}`] : []),
          ...(path ? [`bridge ${path.table}`, `inet ${path.table}`] : []),
          ...(macvtaps ? [`netdev ${macvtaps.table}`] : []),
          ...(service ? [`inet ${service.table}`] : []),
        ];
        await learn(
          [
            ...(firewall ? ([[firewallRules(firewall, connections), [`inet ${firewall.table}`]]] as const) : []),
            ...(guards ? ([[guardsRules(guards), [`bridge ${guards.table}`]]] as const) : []),
            ...(publishing ? ([[publishingRules(publishing), [`ip ${publishing.table}`]]] as const) : []),
            ...(path ? ([[metadataRules(path), [`bridge ${path.table}`, `inet ${path.table}`]]] as const) : []),
          ],
          signal,
        );
        const there = await present(signal);
        const rows = new Map<string, readonly NftRow[] | undefined>();
        for (const table of tables) rows.set(table, await rowsOf(table, there, signal));
        const settings = {
          ...(bridge && links.some(({ device }) => device === bridge.bridge) && { bridge: bridge.bridge }),
          ...{ forwards: of('forwarding') !== undefined, publishes: publishing !== undefined },
        };
        const ofBridge = bridge ? bridgeFlaws(bridge, links, ip) : [];
        const guests = asked.flatMap((entry) =>
          entry.kind === 'guard' && entry.intent.address !== undefined
            ? [{ address: entry.intent.address, mac: entry.intent.mac, owner: entry.owner.uid }]
            : [],
        );
        const found: Flaw[] = [
          ...ofBridge,
          // What it lacks has taken its routes along.
          ...(bridge && ofBridge.length === 0
            ? [
                ...(await bridgeRouteFlaws(bridge, guests, path ? [SERVICE] : [], ip, signal)),
                ...(await neighbourFlaws(bridge, guests, ip, signal)),
              ]
            : []),
          ...(await settingFlaws(settings, sysctl, signal)),
          ...tables.flatMap((table) => memory.flaws(table, rows.get(table))),
          ...(path
            ? await routeFlaws(
                { routes: path.routes, device: path.bridge, select: [`to ${SERVICE}|iif ${path.bridge}`] },
                shown[1] ?? '[]',
                signal,
              )
            : []),
          ...(service ? macvtapPathFlaws(service, links) : []),
          ...(service ? servicePartFlaws(service, rows.get(`netdev ${service.table}`)) : []),
        ];
        const after = entries();
        const madeNow = new Set(after.filter(({ made }) => made).map(({ entry }) => entry));
        const isStill = ({ entry }: LedgerEntry): boolean => madeNow.has(entry);
        const still = asked.filter(isStill);
        const cutOff = async (entry: LedgerEntry): Promise<Flaw[]> => {
          if (entry.kind !== 'tap') return [];
          const vmm = entriesOf(after, 'vmm').find(({ owner }) => owner.uid === entry.owner.uid);
          const pid = vmm?.made ? vmm.result?.process.pid : undefined;
          if (pid === undefined) return [];
          return cutOffFlaws(entry, links, () => openTaps(files, pid));
        };
        const isBridged = ({ intent }: LedgerEntry<'tap'>): boolean => intent.bridge === bridge?.bridge;
        return [
          ...found,
          ...elementFlaws(
            elements,
            [...rows.values()].flatMap((one) => one ?? []),
            tables.filter((table) => rows.get(table) !== undefined),
            { still, all: [...before, ...after], isWhole: isWhole() },
          ),
          ...still.flatMap((entry) => (entry.kind === 'tap' ? tapFlaws(entry, links, isBridged(entry), ip) : [])),
          ...still.flatMap((entry) => (entry.kind === 'macvtap' ? macvtapFlaws(entry, links, ip) : [])),
          ...(await leaseFlaws(still)),
          ...(await Promise.all(still.map(cutOff))).flat(),
        ];
      }),
  };
}

/** Of macvtaps' table: what comes with the way to the service, and goes when that moves; see `macvtap-path.ts`. */
const SERVICE_PARTS = ['map macs', 'set served', 'chain service-in', 'chain service-out'] as const;
export const isVariable = (table: string, part: string): boolean =>
  table.startsWith('netdev ') &&
  (SERVICE_PARTS.some((one) => one === part) || (part.startsWith('chain ') && part !== 'chain metadata'));

/** Nothing of it stands in the ledger by itself: it is there when the way is made. */
function servicePartFlaws({ table }: MacvtapPathIntent, rows: readonly NftRow[] | undefined): Flaw[] {
  if (!rows) return []; // told as the table
  const there = new Set(rows.map(({ kind, row }) => `${kind} ${String(row.name ?? '')}`));
  return SERVICE_PARTS.filter((part) => !there.has(part)).map((part) => ({
    thing: `table netdev ${table} ${part}`,
    what: `${part} of the firewall table netdev ${table} is gone`,
  }));
}
