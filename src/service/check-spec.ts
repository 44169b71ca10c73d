import { allDone } from '../base/all-done.ts';
import { TimeLimit } from '../base/time-limit.ts';
import { type Capacity, inodeAdmission, limitsOf } from '../domain/admission.ts';
import {
  type Candidate,
  chooseProvider,
  mayGoTo,
  type PassedOver,
  type ProviderChoice,
} from '../domain/choose-provider.ts';
import { cordoned } from '../domain/cordon.ts';
import type { SpecDraft } from '../domain/draft.ts';
import { Fault, type Violation } from '../domain/fault.ts';
import { metadataBy } from '../domain/metadata-rules.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Metadata, Spec } from '../domain/spec.ts';
import type { OthersUsers } from '../domain/user-ranges.ts';
import { validate } from '../domain/validate.ts';
import type { ToolNeed } from '../ports/tools.ts';
import type { Vmm } from '../ports/vmm.ts';
import { checkNetwork, type NetworkNeeds } from './check-network.ts';
import { cordonOf } from './cordon.ts';
import type { Needs, NeedsOf } from './needs.ts';
import { likelyWords } from './plan-boot.ts';
import { checkPulls, type ImageField, type WayNeeds } from './plan-images.ts';

/** To judge a spec by what the host has, and can do. */
export type CheckNeeds = NetworkNeeds &
  WayNeeds &
  NeedsOf<'images', 'check'> &
  NeedsOf<'store', 'recall'> &
  NeedsOf<'tools', 'obstacle'> &
  Needs<'vmms' | 'defaultVmms' | 'capacity' | 'limits' | 'pullPolicy' | 'othersUsers' | 'patience'>;

/** So long a create waits for the first trials of providers that it may go to, all together. */
const TRIAL_MS = 30_000;

/** A spec that the host could run, and what may be promised on it. */
export interface Checked {
  readonly spec: Spec;
  readonly metadata: Metadata;
  readonly provider: string;
  /** Those that would have come first. */
  readonly passedOver: readonly PassedOver[];
  readonly limits: ReturnType<typeof limitsOf>;
  readonly diskIsMemory: boolean;
  readonly others: readonly OthersUsers[];
}

/**
 * Makes a spec of what came, and judges it by what the host has: nothing is stored, taken or pulled.
 * @param uid - makes the id of a spec that has none
 */
export async function check(needs: CheckNeeds, draft: SpecDraft, uid: Uid): Promise<Checked> {
  const valid = withMetadataAnyhow(validate(draft, uid.toLowerCase()), needs);
  // Stored as it is in force: another daemon's default must not change it.
  const spec: Spec = { ...valid, pullPolicy: valid.pullPolicy ?? needs.pullPolicy };
  const cordon = cordonOf(needs.store);
  if (cordon) throw cordoned(`microVM ${spec.namespace}/${spec.id}`, cordon);
  const [{ provider, passedOver, host }, others] = await allDone([
    checkAgainstHost(needs, spec, draft),
    needs.othersUsers(),
  ]);
  const { capacity, diskIsMemory, freeInodes = Number.POSITIVE_INFINITY } = host;
  const full = inodeAdmission(`microVM ${spec.namespace}/${spec.id}`, freeInodes);
  if (full) throw full;
  const limits = limitsOf(needs.limits, capacity);
  return { spec, provider, passedOver, metadata: draft.metadata, limits, diskIsMemory, others };
}

/** Where the caller cannot say who may ask for metadata, every interface may that the service reaches. */
function withMetadataAnyhow(spec: Spec, { network }: CheckNeeds): Spec {
  if (spec.metadataAnyhow !== true || spec.metadataRef === undefined || !network) return spec;
  const interfaces = spec.interfaces.map((nic) => ({
    ...nic,
    allowMetadata: nic.type === 'TAP' && nic.bridge === undefined,
  }));
  return { ...spec, interfaces };
}

/**
 * What needs no pull is refused now: all at once, before anything is stored.
 * @returns the provider that it goes to, and what the host has
 */
async function checkAgainstHost(
  needs: CheckNeeds,
  spec: Spec,
  draft: SpecDraft,
): Promise<Pick<Checked, 'provider' | 'passedOver'> & { readonly host: Capacity }> {
  const [choice, obstacle, host, unfit, wrongNetwork] = await allDone([
    choose(needs, spec),
    needs.tools.obstacle(toolNeeds(needs, spec)),
    needs.capacity(),
    unfitImages(needs, spec, draft),
    checkNetwork(needs, spec),
  ]);
  if (choice.is === 'unavailable')
    throw new Fault('refused', `Cannot run microVMs with ${choice.provider}: ${choice.why}`, {
      reason: 'ProviderUnavailable',
    });
  const wrong: Violation[] = choice.is === 'refused' ? [...choice.violations] : [];
  if (obstacle !== undefined)
    throw new Fault('refused', `Cannot make microVMs on this host: ${obstacle}`, { reason: 'ProviderUnavailable' });
  const { capacity, notes } = host;
  // No other microVM's end can mend that: it is the request that is wrong. What they leave of it: admission.
  if (spec.memoryInMb > capacity.memoryInMb)
    wrong.push({
      field: 'memory_in_mb',
      description: `${spec.memoryInMb} MiB is more than this host has: at most ${capacity.memoryInMb}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`,
    });
  wrong.push(...unfit, ...wrongNetwork);
  if (wrong.length > 0) throw Fault.invalid(wrong);
  await checkPulls(needs, spec, references(spec, draft));
  return { provider: choice.provider ?? '', passedOver: choice.is === 'chosen' ? choice.passedOver : [], host };
}

async function unfitImages({ images }: CheckNeeds, spec: Spec, draft: SpecDraft): Promise<readonly Violation[]> {
  const wrong = references(spec, draft).map(async ([field, reference]) => {
    const description = await images.check(reference);
    return description === undefined ? [] : [{ field, description }];
  });
  return (await allDone(wrong)).flat();
}

async function choose(needs: CheckNeeds, spec: Spec): Promise<ProviderChoice> {
  const words = likelyWords(needs, spec);
  const byDefault = needs.defaultVmms.map(({ name }) => name);
  const names = mayGoTo(spec.provider, byDefault);
  const possible = names.flatMap((name) => needs.vmms.find((vmm) => vmm.name === name) ?? []);
  const candidates: Candidate[] = [];
  using time = new TimeLimit(undefined, TRIAL_MS * needs.patience);
  // Those behind the first that can do it are asked nothing: one of them may hang.
  for (const vmm of possible) {
    const candidate = await asCandidate(vmm, spec, words, time.signal);
    candidates.push(candidate);
    if (candidate.unavailable === undefined && candidate.lacks.length === 0) break;
  }
  const known = needs.vmms.map(({ name }) => name);
  return chooseProvider(spec.provider, known, candidates);
}

/** Which provider it is stays for the microVM's whole life: one whose first trial is under way is waited for. */
async function asCandidate(
  vmm: Pick<Vmm, 'name' | 'info' | 'check' | 'tried'>,
  spec: Spec,
  words: readonly string[],
  signal: AbortSignal,
): Promise<Candidate> {
  await vmm.tried?.(signal).catch(() => undefined); // in time or not, it says itself what is known
  const { available, unavailableReason, version } = await vmm.info();
  const why = available ? {} : { unavailable: unavailableReason, ...(version === '' && { absent: true as const }) };
  return { name: vmm.name, lacks: vmm.check(spec, words), ...why };
}

/** What the host must be able to do for this one beside what it must for each. */
function toolNeeds({ network }: CheckNeeds, spec: Spec): ReadonlySet<ToolNeed> {
  const needs = new Set<ToolNeed>();
  if (spec.volumes.length > 0) needs.add('volumes');
  if (spec.volumes.some(({ partitionId }) => partitionId !== undefined)) needs.add('partitions');
  if (metadataBy(spec).disk) needs.add('metadata-disks');
  if (spec.interfaces.length > 0) needs.add('networks');
  if (network && spec.interfaces.some(({ type, bridge }) => type === 'TAP' && bridge === undefined))
    needs.add('managed');
  return needs;
}

/** Volumes by the index that was sent: the spec has the root first. */
function references(spec: Spec, draft: SpecDraft): readonly ImageField[] {
  return [
    ['kernel.image', spec.kernel.image],
    ...(spec.initrd ? [['initrd.image', spec.initrd.image] as const] : []),
    ...draft.volumes.map(({ image = '' }, i) => [`volumes[${i}].source.container_source`, image] as const),
  ];
}
