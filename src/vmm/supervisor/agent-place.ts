import type { Violation } from '../../domain/fault.ts';
import { metadataBy } from '../../domain/metadata-ways.ts';
import type { Spec } from '../../domain/spec.ts';

/**
 * What is wrong with a spec that asks by name for a way to the guest's agent where its own devices leave no place for one;
 * one that does not ask has none then.
 *
 * @param besideAgent - how many disks and interfaces leave a place
 */
export function unplacedAgent(spec: Spec, besideAgent: number): readonly Violation[] {
  const devices = spec.volumes.length + (metadataBy(spec).disk ? 1 : 0) + spec.interfaces.length;
  if (spec.providerOptions.agent !== 'on' || devices <= besideAgent) return [];
  const description = `is on, and ${devices} disks and interfaces leave no place for the way to an agent: ${besideAgent} do`;
  return [{ field: 'provider_options[agent]', description }];
}
