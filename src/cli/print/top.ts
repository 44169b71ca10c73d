import { durationMs } from '@bufbuild/protobuf/wkt';
import type { StatisticsResponse } from '../../gen/flintlock/microvm/v1/guest_statistics_pb.ts';
import type { Rates, TrafficRate } from '../rates.ts';
import { paint, printable } from './style.ts';
import { type Cell, tableText } from './table.ts';
import { ageText, bytesText } from './units.ts';

/** A guest with what it used, or why that is not known. */
export interface Row {
  readonly name: string;
  readonly sample?: StatisticsResponse;
  readonly rates?: Rates;
  readonly why?: string;
}

const HEAD: readonly Cell[] = [
  'NAME',
  'CPU',
  'OF',
  'MEMORY',
  'OF',
  'READ/S',
  'WRITE/S',
  'IN/S',
  'OUT/S',
  'PROCESSES',
  'UP',
].map((text) => ({ text, colour: 'bold' }));

/** One line for each guest. */
export const guestsText = (rows: readonly Row[], colour: boolean): string =>
  tableText([HEAD, ...rows.map(cellsOf)], { colour });

function cellsOf({ name, sample, rates, why }: Row): Cell[] {
  if (!sample) return [name, '-', '-', '-', '-', '-', '-', '-', '-', '-', why ?? ''];
  return [
    name,
    rates ? percentText(rates.cpuPercent) : '-',
    String(sample.cpus),
    bytesText(sample.memoryBytes - sample.memoryAvailableBytes),
    bytesText(sample.memoryBytes),
    ...trafficCells(rates?.disk),
    ...trafficCells(rates?.network),
    String(sample.processCount),
    upText(sample),
  ];
}

const trafficCells = (traffic: TrafficRate | undefined): string[] =>
  traffic ? [bytesText(Math.round(traffic.bytesIn)), bytesText(Math.round(traffic.bytesOut))] : ['-', '-'];

const percentText = (percent: number): string => `${percent.toFixed(1)}%`;
const upText = ({ uptime }: StatisticsResponse): string => (uptime ? ageText(durationMs(uptime)) : '');

/** One guest, with its processes. */
export function guestText({ name, sample, rates }: Row, colour: boolean): string {
  if (!sample) return '';
  const used = sample.memoryBytes - sample.memoryAvailableBytes;
  const load = sample.load.map((one) => one.toFixed(2)).join(' ');
  const swap =
    sample.swapBytes > 0n
      ? `, swap ${bytesText(sample.swapBytes - sample.swapFreeBytes)} of ${bytesText(sample.swapBytes)}`
      : '';
  const facts = tableText(
    [
      ['cpu', `${rates ? percentText(rates.cpuPercent) : '-'} of ${sample.cpus}, load ${load}, up ${upText(sample)}`],
      ['memory', `${bytesText(used)} of ${bytesText(sample.memoryBytes)}${swap}`],
      ['root', `${bytesText(sample.rootBytes - sample.rootFreeBytes)} of ${bytesText(sample.rootBytes)}`],
      ['disks', `${trafficText(rates?.disk, 'read', 'written')} (${namesOf(sample.disks)})`],
      ['network', `${trafficText(rates?.network, 'in', 'out')} (${namesOf(sample.interfaces)})`],
    ],
    { colour, indent: '  ' },
  );
  const processes = (rates?.processes ?? []).map(({ pid, name: its, cpuPercent, residentBytes }) => [
    ...[String(pid), percentText(cpuPercent), bytesText(residentBytes), its],
  ]);
  const head = ['PID', 'CPU', 'MEMORY', `NAME (of ${sample.processCount})`].map(
    (text): Cell => ({ text, colour: 'bold' }),
  );
  return `${paint(printable(name), 'bold', colour)}\n${facts}\n${tableText([head, ...processes], { colour })}`;
}

const namesOf = (devices: readonly { readonly name: string }[]): string =>
  devices.map(({ name }) => name).join(', ') || 'none';

const trafficText = (traffic: TrafficRate | undefined, came: string, went: string): string => {
  const [bytesIn, bytesOut] = trafficCells(traffic);
  return `${bytesIn}/s ${came}, ${bytesOut}/s ${went}`;
};
