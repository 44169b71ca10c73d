import { wantsBalloon } from '../../domain/common-options.ts';
import type { Violation } from '../../domain/fault.ts';
import { metadataBy } from '../../domain/metadata-rules.ts';
import type { Spec } from '../../domain/spec.ts';

/**
 * What is wrong with a spec that asks by name for a way to the guest's agent where its own devices leave no place for one;
 * one that does not ask has none then.
 *
 * @param besideAgent - how many disks and interfaces leave a place
 */
export function unplacedAgent(spec: Spec, besideAgent: number): readonly Violation[] {
  const devices = spec.volumes.length + (metadataBy(spec).disk ? 1 : 0) + spec.interfaces.length;
  const room = roomFor(spec.providerOptions, besideAgent);
  if (spec.providerOptions.agent !== 'on' || devices <= room) return [];
  const description = `is on, and ${devices} disks and interfaces leave no place for the way to an agent: ${room} do`;
  return [{ field: 'provider_options[agent]', description }];
}

/** How many disks and interfaces leave a place for the way to an agent. @param besideAgent - where there is nothing else */
export const roomFor = (options: Spec['providerOptions'], besideAgent: number): number =>
  besideAgent - (wantsBalloon(options) ? 1 : 0);
