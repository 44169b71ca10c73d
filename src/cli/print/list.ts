import type { MicroVM } from '../../gen/types/microvm_pb.ts';
import { addressesOf, colourOf, imageOf, nameOf, portsOf, stateOf, uidOf } from './microvm.ts';
import type { Cell } from './table.ts';
import { ageText, millisOf } from './units.ts';

const HEAD = ['NAMESPACE', 'ID', 'STATE', 'REASON', 'AGE', 'ADDRESSES'];

export const headOf = (wide: boolean): Cell[] => {
  const names = wide
    ? [...HEAD, 'PORTS', 'UID', 'VCPU', 'MEMORY', 'PROVIDER', 'RETRY', 'LABELS', 'IMAGE']
    : [...HEAD, 'IMAGE'];
  return names.map((text) => ({ text, colour: 'bold' }));
};

/** One microVM as a row. What is empty is shown as `-`, so that columns can be cut by position. */
export function rowOf(vm: MicroVM, wide: boolean, now: number): Cell[] {
  const { spec, status } = vm;
  const state = stateOf(status);
  const created = millisOf(spec?.createdAt);
  const [namespace = '', id = ''] = nameOf(vm).split('/');
  const cells: Cell[] = [
    namespace,
    id,
    { text: state, colour: colourOf(state) },
    status?.reason ?? '',
    created === undefined ? '' : ageText(now - created),
    addressesOf(vm).join(','),
  ];
  if (wide) {
    const labels = Object.entries(spec?.labels ?? {}).map(([key, value]) => (value === '' ? key : `${key}=${value}`));
    const provider = [status?.provider, status?.accelerator].filter(Boolean).join('/');
    cells.push((spec?.interfaces ?? []).flatMap(portsOf).join(','));
    cells.push(uidOf(vm), String(spec?.vcpu ?? ''), `${spec?.memoryInMb ?? 0}MiB`);
    cells.push(provider, String(status?.retry ?? 0), labels.sort().join(','));
  }
  cells.push(imageOf(vm));
  return cells.map((cell) => (cell === '' ? '-' : cell));
}
